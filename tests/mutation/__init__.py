"""Change the rules one place at a time, and see whether a test notices: `make mutate`."""
