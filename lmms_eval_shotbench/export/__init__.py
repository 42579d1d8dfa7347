"""Results of a run in the formats of others: one module a format, listed in `formats.py`."""
