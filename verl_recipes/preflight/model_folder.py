"""Check the model: whether the recipes train its architecture, whether its folder is complete, and its prompts.

A Hub id is looked up in the local cache only; nothing is downloaded.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmms_eval_shotbench.error_text import first_line
from verl_recipes.preflight.known_models import ARCHITECTURES, known_config
from verl_recipes.preflight.problem import Problem

if TYPE_CHECKING:
    from omegaconf import DictConfig

VISION_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
OTHER_MODEL = "Choose a Qwen2.5-VL or Qwen3-VL Instruct checkpoint with --model, or download this one again"
SMALL_FILES = (".json", ".jinja", ".txt")  # configuration, tokenizer, processor
INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"


@dataclass(frozen=True)
class Model:
    """Configuration and processor of a model; None for what could not be loaded."""

    config: Any = None  # transformers' configuration
    processor: Any = None
    small_files: int = 0  # size in bytes of its files other than weights

    @property
    def context(self) -> int | None:
        """`max_position_embeddings` of the model, if known."""
        text = self.config.get_text_config() if self.config else None
        return getattr(text, "max_position_embeddings", None)

    @property
    def heads(self) -> int:
        """Number of attention heads of the text model; 0 if unknown."""
        return int(self.config.get_text_config().num_attention_heads) if self.config else 0


def model_settings(config: DictConfig, method: str) -> DictConfig:
    """The section of the configuration that describes the model."""
    return config.actor_rollout_ref.model if method == "grpo" else config.model


def read_model(settings: DictConfig) -> tuple[Model, list[Problem], list[str]]:
    """Load configuration and processor of the model.

    Returns:
        The model, problems of its folder, and notes, such as that a Hub id is not in the cache.
    """
    if not settings.path:
        return Model(), [Problem("no model is named", "model.path", "Give one with --model")], []
    folder = Path(settings.path).expanduser()
    if not folder.is_dir():
        looks_like_a_path = str(settings.path).startswith(("/", ".", "~")) or str(settings.path).count("/") != 1
        if looks_like_a_path:
            return Model(), [Problem("there is no such folder", str(settings.path), OTHER_MODEL)], []
        cached = _cached(settings.path)
        if cached is None:
            known = known_config(str(settings.path))
            return Model(known), [], [_note_not_cached(settings.path, known)]
        folder = cached
    model, problems = _loaded(folder)
    problems += _weight_problems(folder)
    files = [path for path in folder.iterdir() if path.is_file() and path.suffix in SMALL_FILES and path.name != INDEX]
    return replace(model, small_files=sum(path.stat().st_size for path in files)), problems, []


def _note_not_cached(name: str, known: Any) -> str:
    start = f"model: {name} is not in this machine's cache: the workers will download it"
    if known is None:
        return f"{start}, and its size, the lengths of prompts and the memory it needs are not known in advance"
    return f"{start}. Its size is known from its published configuration, the lengths of prompts are not"


def _cached(name: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _loaded(folder: Path) -> tuple[Model, list[Problem]]:
    from transformers import AutoConfig, AutoProcessor

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        return Model(), [Problem(f"its config.json cannot be read ({first_line(error)})", str(folder), OTHER_MODEL)]
    if config.model_type not in ARCHITECTURES:
        what = f"the recipes train {', '.join(ARCHITECTURES.values())}, this is a {config.model_type}"
        return Model(), [Problem(what, str(folder), OTHER_MODEL)]
    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"its processor or tokenizer cannot be loaded ({first_line(error)})"
        return Model(config), [Problem(what, str(folder), OTHER_MODEL)]
    problems = [Problem(what, str(folder), OTHER_MODEL) for what in _unfit(config, processor)]
    return Model(config, None if problems else processor), problems


def _unfit(config: Any, processor: Any) -> Iterator[str]:
    """What the model lacks for stills and clips, and for the prompts of the evaluation."""
    for part in ("image_processor", "video_processor"):
        if getattr(processor, part, None) is None:
            yield f"its processor has no {part}"
            return
    if not processor.chat_template:
        yield "its processor has no chat template"
    elif _opens_thought(processor):
        yield "its chat template opens a thought before each response, and the prompts ask for one of their own"
    tokenizer = processor.tokenizer
    known = tokenizer.get_vocab()
    if unknown := [token for token in VISION_TOKENS if token not in known]:
        yield f"its tokenizer does not know {', '.join(unknown)}"
    elif len(tokenizer) > config.get_text_config().vocab_size:
        yield f"its tokenizer has {len(tokenizer):,} tokens, the model {config.get_text_config().vocab_size:,}"


def _opens_thought(processor: Any) -> bool:
    """Whether responses begin within a thought, as in Qwen's thinking models."""
    question = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
    prompt: str = processor.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    return prompt.rstrip().endswith("<think>")


def _weight_problems(folder: Path) -> Iterator[Problem]:
    """Problems of weight files that are missing, or whose size differs from that in their header."""
    index = folder / INDEX
    names = {SINGLE}
    if index.is_file():
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    elif not (folder / SINGLE).is_file():
        what = f"it has no weights ({SINGLE} or {INDEX})"
        yield Problem(what, str(folder), OTHER_MODEL)
        return
    for name in sorted(names):
        path = folder / name
        if not path.is_file():
            yield Problem(f"{name} is missing, but listed in its index", str(folder), OTHER_MODEL)
        elif (needed := safetensors_size(path)) != path.stat().st_size:
            what = f"{name} has {path.stat().st_size:,} bytes, but {needed:,} by its header"
            yield Problem(what, str(folder), OTHER_MODEL)


def safetensors_size(path: Path) -> int:
    """Size in bytes of a safetensors file according to its header; 0 if there is no header."""
    with path.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        try:
            header = json.loads(stream.read(length)) if 0 < length < path.stat().st_size else {}
        except ValueError:
            header = {}
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return 8 + length + max(ends) if ends else 0
