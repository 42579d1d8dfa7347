"""Labelling films with a model: questions about every shot, votes, labels with confidence, and files made of them."""
