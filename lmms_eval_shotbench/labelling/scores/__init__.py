"""Scores of a shot sheet against what is true."""
