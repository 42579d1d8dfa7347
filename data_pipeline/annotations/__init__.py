"""Annotation tables of films: one annotated range per row."""
