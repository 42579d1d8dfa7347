"""Checks before a run occupies a GPU: rows, media, lengths, batches, model, memory, disk, cluster."""
