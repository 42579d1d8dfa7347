"""Patches for Qwen3-VL and Qwen3.5 only: their prompts contain the times of a clip."""
