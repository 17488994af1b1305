"""Persistent homology of latent spaces (Polar-FFA, Appendix D)."""
