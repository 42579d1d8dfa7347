"""Asking a model about shots: by probabilities of terms, or in rounds of options; votes come out."""
