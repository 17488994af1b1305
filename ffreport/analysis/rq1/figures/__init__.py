"""Figures of RQ1."""
