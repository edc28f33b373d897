"""The pages for people: complete, and true."""
