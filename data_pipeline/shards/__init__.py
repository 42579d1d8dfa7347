"""Shard folders: written atomically, with a dataset card, and pushed to a target."""
