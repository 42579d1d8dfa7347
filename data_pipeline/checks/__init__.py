"""Checks on media and questions: integrity, near-duplicates, contamination, blind accuracy."""
