"""Patches for Qwen2.5-VL only: its rotary positions contain the times of a clip."""
