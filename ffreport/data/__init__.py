"""Data sets found, downloaded, verified and read; a user's own among them."""
