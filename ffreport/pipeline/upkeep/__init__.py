"""Stored runs verified, shared, cleared away."""
