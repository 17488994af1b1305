"""Notebooks: what there are, how they run, and what is left of one when it is published."""
