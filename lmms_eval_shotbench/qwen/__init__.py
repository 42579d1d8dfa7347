"""Qwen2.5-VL as the protocol needs it: checkpoints, inputs, positions, decoding."""
