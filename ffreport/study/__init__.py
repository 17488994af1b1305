"""What a report covers (a profile, in YAML) and the results that there are of it."""
