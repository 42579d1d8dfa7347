"""Where questions come from, and the variants they become."""
