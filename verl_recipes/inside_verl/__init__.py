"""Modules that verl's own processes load: dataset classes, reward, trainer, and patches of transformers and vLLM."""
