"""Figures of RQ1, a file for each kind."""
