"""Byte-exact resizing of stills and frames; README.md says what is compiled, why, and how to remove it."""
