"""What verl's own processes load: dataset classes, reward, trainer, and patches of verl and vLLM."""
