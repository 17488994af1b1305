"""What a command does: train, measure, run notebooks, publish."""
