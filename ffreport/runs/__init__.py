"""Results on disk: a run of one's own, a shipped one, or one that stands in."""
