"""Conversion of lmms-eval's requests to chats: text, stored media and generation settings.

ShotBench tasks pass their media undecoded. Media of other tasks, pictures in memory or paths, are also accepted, so
that `shotvl` runs any chat task of lmms-eval with stills and clips.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lmms_eval_shotbench.media.stored_medium import StoredMedium
from lmms_eval_shotbench.prompts import MAX_NEW_TOKENS
from lmms_eval_shotbench.qwen.decoding import Sampling
from lmms_eval_shotbench.vocabulary import MediaKind

BEGUN_THOUGHT = "<think>\n"  # end of a prompt in which the chat template has opened the response
KINDS = {"image": MediaKind.STILL, "video": MediaKind.CLIP}
IGNORED_SETTINGS = {"do_sample", "use_cache"}  # sampling depends on the temperature only; the KV cache is always used


class UnsupportedRequest(ValueError):
    """A request this model cannot answer; the message states what to change."""


class GenerationSettings(NamedTuple):
    """Generation settings; decoding is greedy without `sampling`, as in the protocol."""

    max_new_tokens: int = MAX_NEW_TOKENS
    stop_strings: tuple[str, ...] = ()
    sampling: Sampling | None = None


class Chat(NamedTuple):
    """Messages for a chat template, with placeholders for media; the media in order; generation settings."""

    messages: list[dict[str, Any]]
    media: list[StoredMedium]
    generation: GenerationSettings

    def settings(self) -> dict[str, Any]:
        """Return everything in the chat that determines its answer."""
        return {
            "messages": self.messages,
            "media": [[medium.kind.value, medium.key] for medium in self.media],
            "how": self.generation._asdict(),
        }


def read_chat(messages: Sequence[Mapping[str, Any]], generation: Mapping[str, Any]) -> Chat:
    """Convert lmms-eval's messages and generation settings; raises `UnsupportedRequest`."""
    media: list[StoredMedium] = []
    templated = []
    for message in messages:
        parts = []
        for part in message["content"]:
            if part["type"] in KINDS:
                media.append(_stored(part["url"], KINDS[part["type"]]))
                parts.append({"type": part["type"]})
            elif part["type"] == "text":
                parts.append({"type": "text", "text": part["text"]})
            else:
                raise UnsupportedRequest(f"shotvl accepts text, stills and clips, not {part['type']}")
        templated.append({"role": message["role"], "content": parts})
    return Chat(templated, media, parse_generation_settings(generation))


def parse_generation_settings(generation: Mapping[str, Any]) -> GenerationSettings:
    """Parse a task's `generation_kwargs`; raises `UnsupportedRequest` for unsupported settings."""
    given = {name: value for name, value in generation.items() if name not in IGNORED_SETTINGS}
    if int(given.pop("num_beams", 1) or 1) > 1:
        raise UnsupportedRequest("shotvl does not support beam search; leave num_beams at 1")
    sampling = _sampling(given)
    until = given.pop("until", None) or ()
    stops = (until,) if isinstance(until, str) else tuple(until)
    tokens = int(given.pop("max_new_tokens", None) or MAX_NEW_TOKENS)
    if tokens < 1 or given:
        raise UnsupportedRequest(
            f"shotvl does not support these generation settings: {given or {'max_new_tokens': tokens}}"
        )
    return GenerationSettings(tokens, stops, sampling)


def _sampling(given: dict[str, Any]) -> Sampling | None:
    """Remove the sampling settings from `given` and return them, or None at temperature 0."""
    temperature, top_p, top_k, seed = (
        given.pop(name, None) or default for name, default in Sampling._field_defaults.items()
    )
    if not (float(temperature) >= 0 and 0 < float(top_p) <= 1 and int(top_k) >= 0):
        raise UnsupportedRequest(f"invalid sampling settings: temperature={temperature}, top_p={top_p}, top_k={top_k}")
    return Sampling(float(temperature), float(top_p), int(top_k), int(seed)) if float(temperature) > 0 else None


def _stored(shown: Any, kind: MediaKind) -> StoredMedium:
    """Convert a medium of any task to encoded bytes with their digest."""
    if isinstance(shown, StoredMedium):
        return shown
    if isinstance(shown, str):
        path = Path(shown.removeprefix("file://"))
        with path.open("rb") as stream:
            return StoredMedium(kind, hashlib.file_digest(stream, "sha256").hexdigest(), path.read_bytes)
    encoded = io.BytesIO()
    picture = shown if shown.mode == "RGBA" else shown.convert("RGB")
    picture.save(encoded, "PNG", compress_level=1)  # lossless
    return StoredMedium(kind, hashlib.sha256(encoded.getvalue()).hexdigest(), encoded.getvalue)
