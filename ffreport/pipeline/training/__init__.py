"""Training: tasks, their order, their memory, their hours."""
