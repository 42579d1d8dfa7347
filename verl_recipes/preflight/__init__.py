"""What can be checked before a GPU is taken: rows, media, lengths, batches, model, memory, disk, cluster."""
