"""Byte-exact resizing of stills and frames, compiled; README.md says why and how to remove it."""
