"""Shard folders written whole or not at all, their card, and how they are pushed."""
