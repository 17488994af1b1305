"""The ledger: every claim of the papers, its test and its verdict."""
