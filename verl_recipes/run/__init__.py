"""One training run: launch, its folder, checkpoints, merging, evaluation, ablation."""
