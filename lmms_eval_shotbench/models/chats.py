"""From lmms-eval's requests to chats a model can answer: text, media as they are stored, and how to answer.

Tasks of ShotBench hand their media over undecoded. Media of other tasks, pictures in memory or paths, are taken too, so
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

KINDS = {"image": MediaKind.STILL, "video": MediaKind.CLIP}
IGNORED_SETTINGS = {"do_sample", "use_cache"}  # the temperature says whether to sample; the cache is always used


class UnfitRequest(ValueError):
    """A request this model cannot answer; the message says what to change."""


class HowToAnswer(NamedTuple):
    """Settings of generation; without `sampling` it is greedy, as the protocol says."""

    max_new_tokens: int = MAX_NEW_TOKENS
    stop_strings: tuple[str, ...] = ()
    sampling: Sampling | None = None


class Chat(NamedTuple):
    """Messages as a chat template takes them, with bare marks for media; the media in order; how to answer."""

    messages: list[dict[str, Any]]
    media: list[StoredMedium]
    how: HowToAnswer

    def settings(self) -> dict[str, Any]:
        """All of the chat that decides its answer."""
        return {
            "messages": self.messages,
            "media": [[medium.kind.value, medium.key] for medium in self.media],
            "how": self.how._asdict(),
        }


def read_chat(messages: Sequence[Mapping[str, Any]], generation: Mapping[str, Any]) -> Chat:
    """Read lmms-eval's messages and generation settings; raises `UnfitRequest`."""
    media: list[StoredMedium] = []
    bare = []
    for message in messages:
        parts = []
        for part in message["content"]:
            if part["type"] in KINDS:
                media.append(_stored(part["url"], KINDS[part["type"]]))
                parts.append({"type": part["type"]})
            elif part["type"] == "text":
                parts.append({"type": "text", "text": part["text"]})
            else:
                raise UnfitRequest(f"shotvl reads text, stills and clips, not {part['type']}")
        bare.append({"role": message["role"], "content": parts})
    return Chat(bare, media, how_to_answer(generation))


def how_to_answer(generation: Mapping[str, Any]) -> HowToAnswer:
    """Read a task's `generation_kwargs`; raises `UnfitRequest` for what is not to be had."""
    given = {name: value for name, value in generation.items() if name not in IGNORED_SETTINGS}
    if int(given.pop("num_beams", 1) or 1) > 1:
        raise UnfitRequest("shotvl searches no beams; leave num_beams at 1")
    sampling = _sampling(given)
    until = given.pop("until", None) or ()
    stops = (until,) if isinstance(until, str) else tuple(until)
    tokens = int(given.pop("max_new_tokens", None) or MAX_NEW_TOKENS)
    if tokens < 1 or given:
        raise UnfitRequest(f"shotvl does not know these generation settings: {given or {'max_new_tokens': tokens}}")
    return HowToAnswer(tokens, stops, sampling)


def _sampling(given: dict[str, Any]) -> Sampling | None:
    """Take the settings of sampling out of `given`; without a temperature they have no meaning."""
    temperature, top_p, top_k, seed = (
        given.pop(name, None) or default for name, default in Sampling._field_defaults.items()
    )
    if not (float(temperature) >= 0 and 0 < float(top_p) <= 1 and int(top_k) >= 0):
        raise UnfitRequest(f"no way to sample: temperature={temperature}, top_p={top_p}, top_k={top_k}")
    return Sampling(float(temperature), float(top_p), int(top_k), int(seed)) if float(temperature) > 0 else None


def _stored(shown: Any, kind: MediaKind) -> StoredMedium:
    """A medium of any task, as bytes with their digest."""
    if isinstance(shown, StoredMedium):
        return shown
    if isinstance(shown, str):
        path = Path(shown.removeprefix("file://"))
        with path.open("rb") as stream:
            return StoredMedium(kind, hashlib.file_digest(stream, "sha256").hexdigest(), path.read_bytes)
    encoded = io.BytesIO()
    picture = shown if shown.mode == "RGBA" else shown.convert("RGB")
    picture.save(encoded, "PNG", compress_level=1)  # without loss, so it is the same picture
    return StoredMedium(kind, hashlib.sha256(encoded.getvalue()).hexdigest(), encoded.getvalue)
