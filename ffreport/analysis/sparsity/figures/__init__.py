"""Figures of the theory of sparsity."""
