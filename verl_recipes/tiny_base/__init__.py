"""A Qwen2.5-VL of 1.7 million parameters, trained on film terms on one CPU core: the base model of the CPU recipes."""
