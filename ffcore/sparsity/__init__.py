"""Layers trained with every step checked against the theory of sparsity (arXiv 2311.05667)."""
