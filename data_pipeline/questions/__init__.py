"""Questions from labelled shots, and steps for training data: reasoning chains and difficulty."""
