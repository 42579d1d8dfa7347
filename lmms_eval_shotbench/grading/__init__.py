"""Grade responses: the strict and the official protocol, and an optional judge."""
