"""Reasoning chains for CoT-SFT: a vision endpoint explains known answers, and the valid explanations are kept.

Owns the flow from a split of shards to a shard folder with the split `cot_sft`, whose items carry `reasoning`. The
prompt is in `chain_prompts.py`, requests are sent in `chain_requests.py`, replies cached in `reply_cache.py` and
checked in `chain_checks.py`. All replies are collected before anything is written: a failing endpoint leaves no partial
shards, and a killed run resumes with the first item without a reply.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from data_pipeline.defects import Defect, DefectKind, Flaw
from data_pipeline.medium_guard import MediumGuard
from data_pipeline.questions.chain_checks import Chain, check_chain
from data_pipeline.questions.chain_prompts import CLIP_SHOWN, PROMPT_VERSION, SETTINGS, chain_message, chain_prompt
from data_pipeline.questions.chain_requests import ChainRequest, Endpoint, receive_replies
from data_pipeline.questions.reply_cache import ReplyCache
from data_pipeline.questions.source_split import SourceSplit
from data_pipeline.shards.dataset_card import CardText
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.progress import with_progress
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.remote_path import Location

SPLIT = "cot_sft"


class ChainsRefused(ValueError):
    """There are no items to ask about, or no valid chains; the message says what to do."""


@dataclass(frozen=True)
class ChainReport:
    """Summary of a run."""

    folder: Location
    items: int
    written: int
    asked: int  # replies received in this run; the others were cached
    drops: Counter[DefectKind]
    without_reply: int  # among the drops; requested again by the next run
    already_complete: bool


class _Outcome(NamedTuple):
    items: list[QAItem]  # with chains
    defects: list[Defect]
    without_reply: int


def write_chains(
    shards: str, split: str, out: Path, endpoint: Endpoint, *, cache: Path | None = None, limit: int = 0,
    overwrite: bool = False,
) -> ChainReport:  # fmt: skip
    """Request a chain for every item of a split and write the items with valid chains to `out`.

    Args:
        cache: File of cached replies (default: OUT.replies.jsonl next to `out`).
        limit: Maximum number of items, from the first one on; 0: all.

    Raises:
        ChainsRefused: there is no item, or no valid chain.
        EndpointFailed: the endpoint is down or refuses all requests; received replies stay cached.
        CacheRefused, WriteRefused: the cache or `out` is in use.
    """
    source = SourceSplit(shards, split)
    items = source.items[: limit or None]
    if limit < 0 or not items:
        raise ChainsRefused(f"split {split!r} of {shards} has no item to ask about (--limit {limit})")
    settings = _fingerprint("chains", source.sha256, split, limit, endpoint.model, endpoint.max_tokens, *_WORDING)
    source.check_output(out, overwrite, settings)
    keys = [_key_or_flaw(source, item, endpoint) for item in items]
    keyed = list(zip(items, keys, strict=True))
    with ReplyCache(cache or default_cache(out)) as replies:
        before = len(replies)
        errors = _request_missing(source, keyed, endpoint, replies)
        outcome = _check_replies(keyed, replies, errors)
        asked = len(replies) - before
    if not outcome.items:
        raise ChainsRefused(
            f"none of {len(items)} chains is valid ({_summary(outcome.defects)}); the replies are in {replies.path}"
        )
    chains = _fingerprint(settings, *((item.item_id, item.reasoning) for item in outcome.items))
    about = _chains_card(source, endpoint, len(items), f"{settings}-{chains}")
    rows = (source.row(SPLIT, item) for item in outcome.items)
    written = write_shards(rows, out, about, splits=[SPLIT], overwrite=overwrite, defects=outcome.defects)
    drops = Counter(defect.kind for defect in outcome.defects)
    count = sum(written.counts[SPLIT].values())
    return ChainReport(written.folder, len(items), count, asked, drops, outcome.without_reply, written.already_complete)


def default_cache(out: Path) -> Path:
    """Default cache file: next to the shards, so that paid replies outlive them."""
    return out.with_name(f"{out.name}.replies.jsonl")


_WORDING = (PROMPT_VERSION, SETTINGS)


def _fingerprint(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def reply_key(source: SourceSplit, item: QAItem, endpoint: Endpoint) -> str:
    """Return the cache key of a reply: a hash of model, prompt, medium and settings, but not of the endpoint's URL."""
    prompt = chain_prompt(item, CLIP_SHOWN)  # without the number of frames, which settings and medium determine
    return _fingerprint(endpoint.model, prompt, source.media_sha256(item), endpoint.max_tokens, SETTINGS)


def _key_or_flaw(source: SourceSplit, item: QAItem, endpoint: Endpoint) -> str | Flaw:
    """The cache key of a reply, or why the medium cannot be read."""
    flaws: list[Flaw] = []
    with MediumGuard(flaws.append, "reading it", DefectKind.CHAIN_FAILED):
        return reply_key(source, item, endpoint)
    return flaws[0]


Keyed = tuple[QAItem, str | Flaw]  # an item with `_key_or_flaw`


def _request_missing(
    source: SourceSplit, keyed: Sequence[Keyed], endpoint: Endpoint, replies: ReplyCache
) -> dict[str, str]:
    """Request the replies missing from the cache; returns the error by key where a request failed."""
    missing = {key: item for item, key in keyed if isinstance(key, str) and replies.reply(key) is None}
    requests = (ChainRequest(key, partial(_message, source, item)) for key, item in missing.items())
    errors = {}
    if missing:
        with closing(receive_replies(endpoint, requests)) as results:
            for key, answer in with_progress(results, "chains", len(missing), "item"):
                if answer.reply is None:
                    errors[key] = answer.error
                else:
                    replies.add(key, missing[key].item_id, answer.reply)
    return errors


def _message(source: SourceSplit, item: QAItem) -> list[dict[str, object]]:
    return chain_message(item, source.media(item))


def _check_replies(keyed: Sequence[Keyed], replies: ReplyCache, errors: dict[str, str]) -> _Outcome:
    """Split items into those with valid chains and defects for the others, in the order of the items."""
    kept, defects = [], []
    for item, key in keyed:
        verdict: Chain | Flaw
        if isinstance(key, Flaw):
            verdict = key
        elif (reply := replies.reply(key)) is None:
            verdict = _no_reply(errors[key])
        else:
            verdict = check_chain(item, reply)
        if isinstance(verdict, Chain):
            kept.append(replace(item, reasoning=verdict.text))
        else:
            index = str(item.source_index)
            defects.append(Defect(verdict.kind, 0, index, item.media_path, verdict.detail, loses_row=True))
    return _Outcome(kept, defects, sum(defect.detail.startswith(_NO_REPLY) for defect in defects))


_NO_REPLY = "no reply: "


def _no_reply(error: str) -> Flaw:
    return Flaw(DefectKind.CHAIN_FAILED, f"{_NO_REPLY}{error}")


def _summary(defects: Sequence[Defect]) -> str:
    counts = Counter(defect.kind for defect in defects)
    return ", ".join(f"{kind}: {count}" for kind, count in counts.items()) + f"; the first: {defects[0].detail}"


def _chains_card(source: SourceSplit, endpoint: Endpoint, asked: int, fingerprint: str) -> CardText:
    return CardText(
        title=f"{source.title}, with reasoning chains",
        fingerprint=fingerprint,
        what="Questions about the film language of a shot, each with a reasoning chain in the column `reasoning`: "
        "`<think>…</think><answer>X</answer>`, where X is the correct letter.",
        provenance=f"Split `{source.split}` of {source.title} (manifest {source.sha256}); media are unchanged.",
        how_made=f"`shotbench data chains` requested {asked:,} chains from the model `{endpoint.model}` (prompt "
        f"version {PROMPT_VERSION}, at most {endpoint.max_tokens} tokens, temperature 0). The prompt contained the "
        "correct answer and definitions of the options' terms. A chain is kept if it is well-formed, if its answer and "
        "the conclusion of its thought are the correct option according to strict grading, if its length is within the "
        "limits and if it does not mention that the answer was given. The chains were generated by a model and not "
        "reviewed by a person; whether they describe the picture correctly is not checked. Questions and media keep "
        "the licence of their source; the model provider's terms may also restrict the use of the chains.",
        licence=source.licence,
        tags=("film", "reasoning"),
    )
