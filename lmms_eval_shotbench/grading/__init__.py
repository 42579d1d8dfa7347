"""A response to a letter: the strict and the official protocol, and an optional judge."""
