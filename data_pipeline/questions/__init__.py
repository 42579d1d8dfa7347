"""Questions out of labelled shots, and what training wants besides: reasoning chains, difficulty."""
