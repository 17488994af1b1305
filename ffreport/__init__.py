"""From stored runs to versioned reports: what ``pipeline.py`` does."""
