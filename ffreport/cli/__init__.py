"""The command line: options, and a file for each family of commands."""
