"""Adapters to lmms-eval and lm-eval, and the evaluation that runs through them."""
