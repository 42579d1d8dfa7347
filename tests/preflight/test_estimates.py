"""Estimates of memory and disk, compared with real models, optimizer states and checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.verl
pytest.importorskip("verl")
torch = pytest.importorskip("torch")

from omegaconf import OmegaConf
from transformers import AutoModelForImageTextToText, Qwen2_5_VLConfig

from verl_recipes import recipes
from verl_recipes.preflight import (
    checkpoint_space,
    estimates,
    memory_and_disk,
)
from verl_recipes.preflight.checkpoint_space import SavedSteps
from verl_recipes.preflight.estimates import FULL, HALF
from verl_recipes.preflight.model_size import ModelSize, model_size

GB = 1_000_000_000
PLAIN = OmegaConf.create({})
# Figures of the released checkpoints' config.json.
ROTATION = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
VISION = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16}
QWEN_3B = {
    "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
    "num_attention_heads": 16, "num_key_value_heads": 2, "tie_word_embeddings": True, "rope_parameters": ROTATION,
}  # fmt: skip
QWEN_7B = {
    "vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
    "num_attention_heads": 28, "num_key_value_heads": 4, "tie_word_embeddings": False, "rope_parameters": ROTATION,
}  # fmt: skip


def qwen(text: dict[str, Any]) -> Any:
    vision = VISION | {"out_hidden_size": text["hidden_size"]}
    return Qwen2_5_VLConfig(
        text_config=dict(text), vision_config=vision, tie_word_embeddings=text["tie_word_embeddings"]
    )


@pytest.fixture(scope="module")
def size_3b() -> ModelSize:
    return model_size(qwen(QWEN_3B), PLAIN)


@pytest.fixture(scope="module")
def size_3b_lora() -> ModelSize:
    return model_size(qwen(QWEN_3B), recipes.compose("sft", "3b_lora").model)


@pytest.fixture(scope="module")
def size_7b() -> ModelSize:
    return model_size(qwen(QWEN_7B), PLAIN)


def test_parameters_are_those_of_the_released_checkpoints(size_3b: ModelSize, size_7b: ModelSize) -> None:
    assert size_3b.parameters == size_3b.trained == 3_754_622_976  # half the bytes their weight indices name
    assert size_7b.parameters == size_7b.trained == 8_292_166_656


def test_root_includes_tied_embeddings_but_not_untied_ones(size_3b: ModelSize, size_7b: ModelSize) -> None:
    embedding = QWEN_3B["vocab_size"] * QWEN_3B["hidden_size"]
    assert embedding < size_3b.root < embedding + 50_000_000, "embedding, merger and norms"
    assert size_7b.largest_layer == QWEN_7B["vocab_size"] * QWEN_7B["hidden_size"], "the embedding is a separate unit"
    assert size_7b.root < 80_000_000


def test_lora_trains_two_thin_matrices_per_linear_layer(tiny_model: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(tiny_model)
    settings = OmegaConf.create(
        {"lora_rank": 4, "lora_alpha": 8, "target_modules": "all-linear", "exclude_modules": None}
    )
    size = model_size(model.config, settings)
    linear = [part for name, part in model.named_modules() if type(part) is torch.nn.Linear and name != "lm_head"]
    assert size.trained == sum(4 * (part.in_features + part.out_features) for part in linear)
    assert size.parameters == model.num_parameters() + size.trained


def kept_for_backward(module: Any, call: Callable[[], Any]) -> int:
    """Bytes PyTorch saves for the backward pass, without parameters."""
    weights = {part.untyped_storage().data_ptr() for part in module.parameters()}
    kept: dict[int, Any] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage  # kept alive, so that no address is reused
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        call()
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize("text", [QWEN_3B, QWEN_7B], ids=["3b", "7b"])
def test_the_activations_of_a_layer_are_those_pytorch_saves(text: dict[str, Any]) -> None:
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLDecoderLayer, Qwen2_5_VLVisionBlock

    config = qwen(text)
    config.text_config._attn_implementation = config.vision_config._attn_implementation = "sdpa"
    size = ModelSize(0, 0, 0, 0, 1, text["hidden_size"], text["intermediate_size"], 1, 1280, 3420, 1)
    tokens, side = 64, text["hidden_size"] // text["num_attention_heads"]
    layer = Qwen2_5_VLDecoderLayer(config.text_config, 0).to(torch.bfloat16)
    shown = torch.zeros(1, tokens, text["hidden_size"], dtype=torch.bfloat16, requires_grad=True)
    turned = torch.zeros(2, 3, 1, tokens, side, dtype=torch.bfloat16)
    kept = kept_for_backward(
        layer, lambda: layer(shown, position_embeddings=(turned[0], turned[1]), attention_mask=None, position_ids=None)
    )
    assert kept == pytest.approx(tokens * size.layer_bytes(), rel=0.05)
    block = Qwen2_5_VLVisionBlock(config.vision_config).to(torch.bfloat16)
    patches = torch.zeros(tokens, 1280, dtype=torch.bfloat16, requires_grad=True)
    turned = torch.zeros(2, tokens, 80)
    ends = torch.tensor([0, tokens], dtype=torch.int32)
    kept = kept_for_backward(block, lambda: block(patches, cu_seqlens=ends, position_embeddings=(turned[0], turned[1])))
    assert kept == pytest.approx(tokens * size.block_bytes(), rel=0.05)


def grpo(*overrides: str) -> Any:
    return recipes.compose("grpo", "tiny", ["trainer.n_gpus_per_node=1", *overrides])


def terms(memory: estimates.Memory) -> dict[str, int]:
    return {term.name: term.bytes for term in memory.training}


def test_weights_gradients_and_adam_are_those_of_a_model_after_one_step(tiny_model: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(tiny_model, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters())
    for part in model.parameters():
        part.grad = torch.zeros_like(part)
    optimizer.step()
    moments = [state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
    found = terms(estimates.memory(grpo(), "grpo", model_size(model.config, PLAIN), 100, 50))
    assert found["weights"] == sum(part.nbytes for part in model.parameters())
    assert found["gradients"] == sum(part.grad.nbytes for part in model.parameters())
    assert found["Adam"] == sum(moment.nbytes for moment in moments)


def test_the_size_of_a_checkpoint_is_as_estimated(tiny_model: Path, tmp_path: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(tiny_model, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters())
    for part in model.parameters():
        part.grad = torch.zeros_like(part)
    optimizer.step()
    torch.save(model.state_dict(), tmp_path / "model.pt")
    torch.save(optimizer.state_dict(), tmp_path / "optim.pt")
    written = sum(path.stat().st_size for path in tmp_path.iterdir())
    disk = checkpoint_space.disk(grpo(), "grpo", model_size(model.config, PLAIN), SavedSteps(100, 10), small_files=0)
    assert written == pytest.approx(disk.checkpoint - checkpoint_space.RANK_STATE, rel=0.02)


def test_sharding_divides_weights_and_optimizer_states_but_not_activations(size_7b: ModelSize) -> None:
    one = terms(estimates.memory(grpo(), "grpo", size_7b, 4096, 2000))
    eight = terms(estimates.memory(grpo("trainer.n_gpus_per_node=8"), "grpo", size_7b, 4096, 2000))
    for name in ("weights", "gradients", "Adam"):
        assert eight[name] == one[name] // 8
    for name in ("gathered layers", "activations", "logits"):
        assert eight[name] == one[name]
    assert one["weights"] == 8_292_166_656 * FULL
    bf16 = grpo("actor_rollout_ref.actor.fsdp_config.model_dtype=bf16")
    assert terms(estimates.memory(bf16, "grpo", size_7b, 4096, 2000))["weights"] == 8_292_166_656 * HALF


def test_gradient_checkpointing_and_fused_kernels_take_less(size_3b: ModelSize) -> None:
    def activations(*overrides: str) -> dict[str, int]:
        return terms(estimates.memory(grpo(*overrides), "grpo", size_3b, 3072, 2000))

    model = "actor_rollout_ref.model"
    kept = activations(f"{model}.enable_gradient_checkpointing=false")
    again = activations(f"{model}.enable_gradient_checkpointing=true")
    assert again["activations"] < kept["activations"] / 8
    assert activations(f"{model}.use_fused_kernels=true")["logits"] == 0
    assert again["logits"] == 6 * 16384 * 151936, "for the maximum number of tokens of a micro batch"


def test_a_gpu_that_is_too_small_is_reported_for_each_phase(size_7b: ModelSize) -> None:
    rollout, model = "actor_rollout_ref.rollout", "actor_rollout_ref.model"
    config = grpo(
        f"{rollout}.name=vllm",
        f"{rollout}.gpu_memory_utilization=0.6",
        f"{rollout}.free_cache_engine=true",
        f"{model}.enable_gradient_checkpointing=true",
    )
    memory = estimates.memory(config, "grpo", size_7b, 4096, 2000)
    answering, training = memory_and_disk.gpu_memory_problems(config, "grpo", memory, 80 * GB)
    assert "48.00 GB of the rollout" in answering.what
    assert "training takes about" in training.what
    assert "GB of a card of 80.00 GB, most of it Adam 66.34 GB" in training.what
    assert not list(memory_and_disk.gpu_memory_problems(config, "grpo", memory, 500 * GB))
    notes = "\n".join(memory_and_disk.memory_notes(config, "grpo", memory))
    for name in terms(memory):
        assert name in notes


def test_offloading_frees_memory_for_the_rollout(size_7b: ModelSize) -> None:
    engine = "actor_rollout_ref.actor.fsdp_config"
    away = grpo(f"{engine}.param_offload=true", f"{engine}.optimizer_offload=true")
    here, gone = (estimates.memory(config, "grpo", size_7b, 4096, 2000) for config in (grpo(), away))
    assert here.during_rollout - gone.during_rollout == 8_292_166_656 * 3 * FULL
    assert here.peak == gone.peak, "they come back for the update"


@pytest.mark.parametrize(("method", "engine"), [("sft", "engine"), ("grpo", "actor_rollout_ref.actor.fsdp_config")])
def test_the_lora_recipes_fit_on_a_gpu_of_24_gb_and_would_not_with_a_base_model_in_float32(
    size_3b_lora: ModelSize, method: str, engine: str
) -> None:
    card, size = 25_250_000_000, size_3b_lora  # what CUDA reports of 24 GiB
    for base, problems in (([], 0), ([f"{engine}.model_dtype=fp32"], 1)):
        config = recipes.compose(method, "3b_lora", base)
        memory = estimates.memory(config, method, size, 5120, 5000)
        assert len(list(memory_and_disk.gpu_memory_problems(config, method, memory, card))) == problems
        found, frozen = terms(memory), size.parameters - size.trained
        assert found["weights"] == frozen * (FULL if base else HALF) + size.trained * FULL
        assert (found["gradients"], found["Adam"]) == (size.trained * FULL, size.trained * 2 * FULL)


def test_sending_adapters_needs_the_weights_of_trainer_and_rollout_together(size_3b_lora: ModelSize) -> None:
    engine = "actor_rollout_ref.actor.fsdp_config"
    config = recipes.compose("grpo", "3b_lora", [f"{engine}.model_dtype=fp32"])
    size, frozen = size_3b_lora, size_3b_lora.parameters - size_3b_lora.trained
    memory = estimates.memory(config, "grpo", size, 1, 0)
    assert memory.while_sending == size.parameters * FULL + frozen * HALF + estimates.CONTEXT, "offloaded or not"
    sending, *_ = memory_and_disk.gpu_memory_problems(config, "grpo", memory, 24 * GB)
    assert "while adapters are sent, the trainer's and the rollout's weights take 25.01 GB" in sending.what
    assert "model_dtype=bf16" in sending.next_step
    streamed = recipes.compose("grpo", "3b_lora", [f"{engine}.offload_policy=true"])
    assert estimates.memory(streamed, "grpo", size, 1, 0).while_sending == frozen * HALF + estimates.CONTEXT
    assert not estimates.memory(grpo(), "grpo", size, 1, 0).sending, "verl sends other weights one by one"


def test_a_checkpoint_of_adapters_in_float32_is_counted_by_type(size_3b_lora: ModelSize) -> None:
    config, size = recipes.compose("sft", "3b_lora"), size_3b_lora
    disk = checkpoint_space.disk(config, "sft", size, SavedSteps(100, 10), small_files=0)
    weights = (size.parameters - size.trained) * HALF + size.trained * 3 * FULL
    assert weights <= disk.checkpoint < weights + 10_000_000


LIMIT = "trainer.max_actor_ckpt_to_keep"


@pytest.mark.parametrize(
    ("overrides", "steps", "most", "kept"),
    [
        (["trainer.save_freq=10", f"{LIMIT}=3"], SavedSteps(100, 10), 3, 3),  # one is removed before one is written
        (["trainer.save_freq=10", f"{LIMIT}=1"], SavedSteps(100, 10), 2, 1),  # the only one is removed afterwards
        (["trainer.save_freq=10", f"{LIMIT}=null"], SavedSteps(95, 10), 10, 10),  # the last step is saved as well
        (["trainer.save_freq=10", f"{LIMIT}=-1"], SavedSteps(100, 10), 10, 10),
        (["trainer.save_freq=200", f"{LIMIT}=5"], SavedSteps(100, 10), 1, 1),
        (["trainer.save_freq=-1"], SavedSteps(100, 10), 0, 0),
        (["trainer.save_freq=10", f"{LIMIT}=null"], SavedSteps(100, 10, done=50, checkpoints=2), 7, 7),
        (["trainer.save_freq=30", f"{LIMIT}=null"], SavedSteps(100, 10, done=50, checkpoints=2), 5, 5),
        (["trainer.save_freq=10", f"{LIMIT}=null"], SavedSteps(100, 10, done=100, checkpoints=2), 2, 2),
    ],
)
def test_the_maximum_number_of_checkpoints_on_disk_is_counted(
    overrides: list[str], steps: SavedSteps, most: int, kept: int
) -> None:
    size = ModelSize(10, 10, 1, 1, 1, 1, 1, 1, 1, 1, 1)
    disk = checkpoint_space.disk(grpo(*overrides), "grpo", size, steps, small_files=0)
    assert (disk.most, disk.kept) == (most, kept)


def test_sft_saves_its_last_step_and_each_epoch_if_asked() -> None:
    size, steps = ModelSize(10, 10, 1, 1, 1, 1, 1, 1, 1, 1, 1), SavedSteps(35, 10)
    for frequency, most in (("after_each_epoch", 4), ("-1", 1), ("20", 2)):
        config = recipes.compose("sft", "tiny", [f"trainer.save_freq={frequency}", "trainer.max_ckpt_to_keep=null"])
        assert checkpoint_space.disk(config, "sft", size, steps, small_files=0).most == most


def test_a_disk_that_would_be_full_is_reported_with_figures(tmp_path: Path) -> None:
    disk = checkpoint_space.Disk(checkpoint=40 * GB, most=2, kept=2, merged=6 * GB)
    (problem,) = memory_and_disk.disk_problems(tmp_path / "run", disk, free=50 * GB)
    assert "86.00 GB (2 x 40.00 GB for checkpoints while training; 2 x 40.00 GB and 6.00 GB for a" in problem.what
    assert "50.00 GB are free and 36.00 GB missing" in problem.what
    assert checkpoint_space.Disk(checkpoint=40 * GB, most=2, kept=1, merged=6 * GB).total == 80 * GB
    assert not list(memory_and_disk.disk_problems(tmp_path / "run", disk, free=86 * GB))
    earlier = tmp_path / "run" / "global_step_10"
    earlier.mkdir(parents=True)
    (earlier / "model.pt").write_bytes(b"0" * 1000)
    assert not list(memory_and_disk.disk_problems(tmp_path / "run", disk, free=86 * GB - 1000)), (
        "existing checkpoints count"
    )
