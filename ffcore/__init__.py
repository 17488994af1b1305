"""Training, measures and reports for Forward-Forward learning (arXiv 2408.09210 and 2311.05667)."""
