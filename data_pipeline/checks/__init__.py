"""Checks on media and questions: soundness, look-alikes, contamination, what can be answered blind."""
