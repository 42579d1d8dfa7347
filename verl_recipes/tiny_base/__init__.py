"""A Qwen2.5-VL of a million parameters that learns the terms of film on one CPU core: the base of the CPU recipes."""
