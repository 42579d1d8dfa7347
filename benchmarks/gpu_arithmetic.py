"""How long a GPU takes for a prompt, by arithmetic: nothing here was measured on a GPU.

Assumed: bfloat16 on an H100 SXM (989 TFLOP/s dense, 3.35 TB/s), `PREFILL_UTILISATION` of the one while prompts are
prefilled and `DECODE_UTILISATION` of the other while `BATCH` responses are decoded at once (continuous batching). Both
are what a well-tuned engine reaches; a GPU that is used less needs fewer cores. Sizes of models are those of the
released Qwen2.5-VL checkpoints, of which ShotVL has the same.
"""

from __future__ import annotations

from typing import NamedTuple

from lmms_eval_shotbench.qwen.rope_positions import Grid, tokens_of

FLOPS, BANDWIDTH = 989e12, 3.35e12  # per second, in bfloat16; bytes per second
PREFILL_UTILISATION, DECODE_UTILISATION = 0.5, 0.6
BATCH = 64  # responses decoded at once
TEXT_TOKENS, NEW_TOKENS = 120, 80  # of a question with its system text; of an answer (public responses of ShotVL-3B)
BYTES = 2  # per parameter or value
MERGE = 2  # patches per token side
VISION_PARAMETERS, VISION_WIDTH = 0.63e9, 1280  # parameters that every patch passes
FULL_ATTENTION_LAYERS = 4  # of the vision tower's 32, within a temporal patch; the others attend within 64 patches


class LanguageModel(NamedTuple):
    """Size of a language model."""

    parameters: float  # without the embedding, which is looked up
    layers: int
    width: int  # of queries, all heads together
    kv_width: int  # of keys, all heads together


MODELS = {"3B": LanguageModel(2.77e9, 36, 2048, 256), "7B": LanguageModel(6.53e9, 28, 3584, 512)}


def prefill_flops(grid: Grid, model: LanguageModel) -> float:
    """Floating-point operations to prefill a prompt with one medium: vision tower, linear layers, causal attention."""
    tokens = tokens_of(grid, MERGE) + TEXT_TOKENS
    per_frame = grid.height * grid.width
    vision = 2 * VISION_PARAMETERS * grid.patches + 4 * FULL_ATTENTION_LAYERS * VISION_WIDTH * per_frame * grid.patches
    return vision + 2 * model.parameters * tokens + 2 * model.layers * model.width * tokens**2


def decode_bytes(grid: Grid, model: LanguageModel) -> float:
    """Bytes of GPU memory read to decode one response: its share of the weights, and its keys and values."""
    tokens = tokens_of(grid, MERGE) + TEXT_TOKENS
    return NEW_TOKENS * BYTES * (model.parameters / BATCH + 2 * model.layers * model.kv_width * tokens)


def gpu_seconds(grid: Grid, model: LanguageModel) -> float:
    """Seconds of one H100 for a question about a medium with this patch grid."""
    prefill = prefill_flops(grid, model) / (FLOPS * PREFILL_UTILISATION)
    return prefill + decode_bytes(grid, model) / (BANDWIDTH * DECODE_UTILISATION)


def cores_needed(media_cpu_seconds: float, grid: Grid, model: LanguageModel, gpus: int) -> float:
    """Number of cores that prepare media as fast as the GPUs take them; each GPU answers questions of its own."""
    return gpus * media_cpu_seconds / gpu_seconds(grid, model)
