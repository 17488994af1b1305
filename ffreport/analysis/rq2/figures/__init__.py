"""Figures of RQ2, a file for each kind."""
