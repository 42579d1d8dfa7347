"""Estimate the GPU memory of each worker, term by term.

In bytes, for P parameters, T of them trained, sharded over R ranks (FSDP):

    weights      ((P - T) * w + T * t) / R
                                      w: 4 in fp32 (verl's default), 2 in bf16; t: w, but 4 for adapters in FSDP2
    gradients    T * t / R
    Adam         T * 2t / R           two moments
    gathered     2 * (root + 2 * largest layer) + 4 * largest layer
                                      root: parameters outside of layers, which stay gathered in bf16. Two layers are
                                      gathered at a time, as one is prefetched; the gradients of one are reduced in fp32
    activations  tokens * layers * 2h + patches * blocks * 2v + 2 * max(layer, block)
                                      with gradient checkpointing: inputs of all layers, and one layer recomputed
                 tokens * layers * (24h + 8f) + patches * blocks * (30v + 8g)
                                      without: layer = tokens * (24h + 8f), block = patches * (30v + 8g)
    logits       6 * tokens * vocabulary
                                      logits, log-softmax and its gradient, each in bf16; 0 with fused kernels
    rollout      gpu_memory_utilization * GPU memory (vLLM, SGLang)
    context      2 GB                 CUDA context, NCCL buffers, fragmentation: a guess

h and f are the hidden and the intermediate size of the text model, v and g those of the vision tower. Parameters are
counted on the model itself, built on the device "meta", with LoRA applied by PEFT as verl does. 24h + 8f and 30v + 8g
are the bytes that PyTorch saves per token or patch of a layer for the backward pass, with flash attention; a test
measures them. Tokens are those of the largest micro batch, divided by sequence parallelism.

Training and generating alternate. If the rollout engine frees its memory while training (`free_cache_engine`), the
larger phase counts; else its share is added to the peak of training. Offloaded tensors take no GPU memory in the phase
in which they are offloaded. What vLLM or SGLang do with their share of the memory is not estimated. With LoRA there is
a third phase: to send adapters, verl loads all of the trainer's weights into GPU memory, next to those of the engine.

`model_size.py` counts parameters, `checkpoint_space.py` estimates disk space, `memory_and_disk.py` compares the
estimates with the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verl_recipes.preflight.model_size import ModelSize
from verl_recipes.recipes import workers

if TYPE_CHECKING:
    from omegaconf import DictConfig

CONTEXT = 2_000_000_000
HALF, FULL = 2, 4  # bytes of bf16 and fp32
PRECISIONS = {"bf16": HALF, "bfloat16": HALF, "fp16": HALF, "float16": HALF}  # any other is fp32
LOGIT_BYTES = 6
PATCHES_A_TOKEN = 4


def amount(count: int) -> str:
    """Format a number of bytes as GB or MB."""
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


@dataclass(frozen=True)
class EstimatePart:
    """One term of an estimate, in bytes, with its formula in numbers."""

    name: str
    bytes: int
    formula: str = ""

    def __str__(self) -> str:
        return f"{self.name} {amount(self.bytes)}" + (f" ({self.formula})" if self.formula else "")


@dataclass(frozen=True)
class Memory:
    """GPU memory of one worker in its phases: training, rollout, and between them sending adapters to the rollout."""

    training: tuple[EstimatePart, ...]
    rollout: tuple[EstimatePart, ...]  # what the trainer keeps; the rollout engine's own share is not included
    sending: tuple[EstimatePart, ...] = ()  # with the rollout engine's weights; empty if all weights are trained

    @property
    def peak(self) -> int:
        """Bytes that the trainer needs while training."""
        return sum(term.bytes for term in self.training)

    @property
    def during_rollout(self) -> int:
        """Bytes the trainer keeps while responses are generated."""
        return sum(term.bytes for term in self.rollout)

    @property
    def while_sending(self) -> int:
        """Bytes that trainer and rollout engine need together while adapters are sent."""
        return sum(term.bytes for term in self.sending)


def memory(config: DictConfig, method: str, size: ModelSize, longest: int, media: int) -> Memory:
    """Estimate the GPU memory of a worker.

    Args:
        config: Composed configuration of the run.
        method: `sft`, `cot_sft` or `grpo`.
        size: Parameter counts of the model.
        longest: Number of tokens of the longest row, including its response.
        media: Number of these that are media tokens.
    """
    actor = config.actor_rollout_ref.actor if method == "grpo" else config
    engine = actor.fsdp_config if method == "grpo" else actor.engine
    settings = config.actor_rollout_ref.model if method == "grpo" else config.model
    ranks = _ranks(config, engine)
    frozen, trained = weight_bytes(engine, settings)
    by_type = {
        "weights": ((size.parameters - size.trained, frozen), (size.trained, trained)),
        "gradients": ((size.trained, trained),),
        "Adam": ((size.trained, 2 * trained),),
    }
    weights, gradients, adam = (
        _sharded(name, counts, ranks, offloaded=bool(engine.get("offload_policy"))) for name, counts in by_type.items()
    )
    tokens = micro_batch_tokens(config, method, longest)
    shown = tokens * media // max(longest, 1)
    training = (
        weights,
        gradients,
        adam,
        EstimatePart("gathered layers", HALF * (size.root + 2 * size.largest_layer) + FULL * size.largest_layer),
        _activations(size, tokens, shown, bool(settings.get("enable_gradient_checkpointing", True))),
        _logits(size, tokens, bool(settings.get("use_fused_kernels", False))),
        EstimatePart("context", CONTEXT, "a guess"),
    )
    kept_adam = [adam] * (not engine.get("optimizer_offload"))
    kept = [weights] * (not engine.get("param_offload")) + kept_adam
    sending: tuple[EstimatePart, ...] = ()
    if method == "grpo" and settings.get("lora_rank"):
        rollout = config.actor_rollout_ref.rollout
        count, parts = size.parameters - size.trained, int(rollout.tensor_model_parallel_size)
        copy = EstimatePart("the rollout's weights", count * HALF // parts, f"{count:,} x {HALF} / {parts}")
        sending = (weights, *kept_adam, copy, training[-1])
    return Memory(training, (*kept, training[-1]), sending)


def weight_bytes(engine: DictConfig, settings: DictConfig) -> tuple[int, int]:
    """Bytes of a frozen and of a trained parameter, given verl's settings of the engine and of the model.

    With LoRA and FSDP2 the adapters are in float32, whatever the type of the base model (`bfloat16_weights.py`).
    """
    frozen = PRECISIONS.get(str(engine.get("model_dtype") or "fp32"), FULL)
    adapters = settings.get("lora_rank") and engine.get("strategy") == "fsdp2"
    return frozen, FULL if adapters else frozen


def _sharded(name: str, counts: Sequence[tuple[int, int]], ranks: int, *, offloaded: bool) -> EstimatePart:
    """A term of tensors that are sharded over all ranks, given pairs of a count and the bytes of each."""
    counts = [(count, each) for count, each in counts if count] or counts[:1]
    sum_of = " + ".join(f"{count:,} x {each}" for count, each in counts)
    total = 0 if offloaded else sum(count * each for count, each in counts) // ranks
    return EstimatePart(name, total, f"({sum_of}) / {ranks}" if len(counts) > 1 else f"{sum_of} / {ranks}")


def _ranks(config: DictConfig, engine: DictConfig) -> int:
    total = workers(config)
    size = int(engine.get("fsdp_size", -1))
    return max(size if 0 < size < total else total, 1)


def micro_batch_tokens(config: DictConfig, method: str, longest: int) -> int:
    """Maximum number of tokens in a worker's micro batch; `longest` is the number of tokens of the longest row."""
    part = config.actor_rollout_ref.actor if method == "grpo" else config.data
    engine = part if method == "grpo" else config.engine
    prefix = "ppo_" if method == "grpo" else ""
    if part.use_dynamic_bsz:
        return int(part.get(f"{prefix}max_token_len_per_gpu"))  # per rank, whatever the sequence parallelism
    rows = part.get(f"{prefix}micro_batch_size_per_gpu") or 1
    return int(rows * longest // engine.get("ulysses_sequence_parallel_size", 1))


def _activations(size: ModelSize, tokens: int, media: int, checkpointing: bool) -> EstimatePart:
    patches = media * PATCHES_A_TOKEN
    layer, block = tokens * size.layer_bytes(), patches * size.block_bytes()
    if not checkpointing:
        return EstimatePart("activations", size.layers * layer + size.blocks * block, f"{tokens:,} tokens")
    kept = HALF * (tokens * size.layers * size.width + patches * size.blocks * size.vision_width)
    return EstimatePart("activations", kept + 2 * max(layer, block), f"{tokens:,} tokens, gradient checkpointing")


def _logits(size: ModelSize, tokens: int, fused: bool) -> EstimatePart:
    if fused:
        return EstimatePart("logits", 0, "fused kernels")
    return EstimatePart(
        "logits", LOGIT_BYTES * tokens * size.vocabulary, f"{tokens:,} x {size.vocabulary:,} x {LOGIT_BYTES}"
    )
