"""Qwen2.5-VL under the protocol: checkpoints, inputs, positions, decoding."""
