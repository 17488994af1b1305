"""What every room stands on: the terminal, locks, threads, what code depends on."""
