"""Input rules of a Qwen-VL checkpoint, read from its configuration files; its weights are not loaded."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy
import torch

from lmms_eval_shotbench.error_text import first_line
from lmms_eval_shotbench.qwen.architecture import Architecture
from lmms_eval_shotbench.qwen.architectures import ARCHITECTURES
from lmms_eval_shotbench.qwen.inputs import Patches, PatchRule, Prompt, patch_seconds
from lmms_eval_shotbench.qwen.revision import folder_digest
from lmms_eval_shotbench.qwen.rope_positions import Grid
from lmms_eval_shotbench.vocabulary import MediaKind

PROBE_FPS = Fraction(12)
PROBE_PATCHES = 18  # 3 seconds at 12 frames a second


class UnsupportedCheckpoint(ValueError):
    """A checkpoint that `shotvl` cannot run; the message states which it can."""


@dataclass(frozen=True)
class InputRules:
    """How chats become inputs of a checkpoint, and what ends its responses."""

    config: Any
    processor: Any
    generation_config: Any
    revision: str  # of the weights: the Hub's commit, or a digest of the folder
    patch_rule: PatchRule
    architecture: Architecture

    @property
    def placeholders(self) -> dict[MediaKind, int]:
        """Token id of the placeholder of each kind of medium."""
        return self.architecture.placeholders

    @property
    def end_tokens(self) -> frozenset[int]:
        """Token ids that end a response, from the checkpoint's generation settings."""
        ends = self.generation_config.eos_token_id
        return frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])

    def probe(self, kind: MediaKind) -> Prompt:
        """Return a prompt with a small black still or clip, to check what reaches the model."""
        rule, config = self.patch_rule, self.config
        is_clip = kind is MediaKind.CLIP
        times, frames = (PROBE_PATCHES, rule.frames) if is_clip else (1, 1)
        grid = Grid(times, rule.merge, rule.merge, PROBE_FPS if is_clip else Fraction(0))
        values = torch.zeros((grid.patches, len(rule.mean) * frames * rule.side**2), dtype=torch.uint8)
        seconds = patch_seconds(range(times * frames), PROBE_FPS, frames) if is_clip else ()
        ids = [config.vision_start_token_id, self.placeholders[kind], config.vision_end_token_id]
        return Prompt(ids, [Patches(kind, values, grid, seconds)])


def read_input_rules(pretrained: str, revision: str | None = None) -> InputRules:
    """Read configuration and processor from a folder or the Hub.

    Raises:
        UnsupportedCheckpoint: `shotvl` cannot run the checkpoint.
        OSError: A file of the checkpoint cannot be read or downloaded.
    """
    from transformers import AutoConfig, AutoProcessor

    config = AutoConfig.from_pretrained(pretrained, revision=revision)
    if config.model_type not in ARCHITECTURES:
        raise UnsupportedCheckpoint(
            f"{pretrained} is a {config.model_type}; shotvl runs {', '.join(ARCHITECTURES)} checkpoints. "
            "Run others by their name in lmms-eval, such as --model internvl_hf"
        )
    processor = AutoProcessor.from_pretrained(pretrained, revision=revision)
    _require_one_rule(processor, pretrained)
    return InputRules(
        config,
        processor,
        _generation_config(pretrained, revision, config),
        getattr(config, "_commit_hash", None) or folder_digest(Path(pretrained)),
        PatchRule.of(processor),
        ARCHITECTURES[config.model_type].of(config, processor),
    )


def _generation_config(pretrained: str, revision: str | None, config: Any) -> Any:
    """Return the checkpoint's generation settings; without a file of them, those that its configuration implies.

    transformers reports a file that could not be downloaded like one that the checkpoint does not have. It would then
    decode with other settings than the checkpoint's, such as another end of a response.
    """
    from transformers import GenerationConfig
    from transformers.utils import GENERATION_CONFIG_NAME

    revision = getattr(config, "_commit_hash", None) or revision
    if not _has_file(pretrained, GENERATION_CONFIG_NAME, revision):
        return GenerationConfig.from_model_config(config)
    return GenerationConfig.from_pretrained(pretrained, revision=revision)


def _has_file(pretrained: str, name: str, revision: str | None) -> bool:
    """Whether a checkpoint has a file, downloaded to the cache; raises `OSError` if that cannot be found out."""
    from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import RemoteEntryNotFoundError

    if Path(pretrained).is_dir():
        return (Path(pretrained) / name).is_file()
    if try_to_load_from_cache(pretrained, name, revision=revision) is _CACHED_NO_EXIST:
        return False
    try:
        hf_hub_download(pretrained, name, revision=revision)
    except RemoteEntryNotFoundError:
        return False
    except OSError as error:
        reason = first_line(error.__cause__ or error)
        raise OSError(
            f"{pretrained}: its {name} cannot be downloaded and is not in the cache ({reason}); repeat the command "
            "when the Hub can be reached, or give the folder of a complete download as pretrained=FOLDER"
        ) from error
    return True


def _require_one_rule(processor: Any, pretrained: str) -> None:
    """Raise `UnsupportedCheckpoint` if stills and clips are cut into patches or normalised differently."""
    stills, clips = processor.image_processor, processor.video_processor
    for name in ("patch_size", "merge_size", "temporal_patch_size", "image_mean", "image_std"):
        of_stills, of_clips = getattr(stills, name), getattr(clips, name)
        if numpy.any(numpy.asarray(of_stills) != numpy.asarray(of_clips)):
            raise UnsupportedCheckpoint(
                f"{pretrained}: its processor has {name} {of_stills} for stills and {of_clips} for clips; shotvl needs "
                "one for both (preprocessor_config.json and video_preprocessor_config.json, or processor_config.json)"
            )


def transformers_version() -> str:
    """Return the installed version of transformers."""
    from importlib.metadata import version

    return version("transformers")
