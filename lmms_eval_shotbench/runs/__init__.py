"""Stored responses and scores: reading, scoring, comparing, auditing."""
