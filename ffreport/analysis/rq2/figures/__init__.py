"""Figures of RQ2."""
