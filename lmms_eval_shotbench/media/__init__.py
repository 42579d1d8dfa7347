"""Decode stills and clips from encoded bytes to pixels."""
