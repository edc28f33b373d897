"""1,000 posters killed at any moment, against a clearinghouse most of whose answers are bad: `make chaos`."""
