"""Notebooks run, cleaned, turned into pages and kept as versions."""
