"""Stills and clips: encoded bytes to pixels."""
