"""The theory of sparsity: its theorems beside what trained layers do."""
