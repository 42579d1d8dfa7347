"""Reasoning chains for CoT-SFT: questions with known answers go to a vision endpoint, thoughts that hold come back.

Owns the flow from a split of shards to a shard folder with the split `cot_sft`, whose items carry `reasoning`. The
prompt is in `chain_prompts.py`, the way to the endpoint in `chain_requests.py`; replies are kept by `reply_cache.py`
and judged by `chain_checks.py`. First everything is asked, then everything is written: an endpoint that fails costs no
shards, and a run that is killed goes on with the first item that has no reply.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from data_pipeline.defects import Defect, DefectKind, Flaw
from data_pipeline.questions.chain_checks import Chain, check_chain
from data_pipeline.questions.chain_prompts import CLIP_SHOWN, PROMPT_VERSION, SETTINGS, chain_message, chain_prompt
from data_pipeline.questions.chain_requests import ChainRequest, Endpoint, answers
from data_pipeline.questions.reply_cache import ReplyCache
from data_pipeline.questions.source_split import SourceSplit
from data_pipeline.shards.dataset_card import About
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.qa_item import QAItem

SPLIT = "cot_sft"


class ChainsRefused(ValueError):
    """There is nothing to ask, or nothing came of it; the message says what to do."""


@dataclass(frozen=True)
class ChainReport:
    """What came of a run."""

    folder: Path
    items: int
    written: int
    asked: int  # requests that brought a reply; the other replies were in the cache
    drops: Counter[DefectKind]
    without_reply: int  # of the drops; running again asks these again
    already_complete: bool


class _Outcome(NamedTuple):
    items: list[QAItem]  # with their chains
    defects: list[Defect]
    without_reply: int


def write_chains(
    shards: str, split: str, out: Path, endpoint: Endpoint, *, cache: Path | None = None, limit: int = 0,
    overwrite: bool = False,
) -> ChainReport:  # fmt: skip
    """Ask for a chain for every item of a split and write those that hold to `out`.

    Args:
        cache: File of replies (default: OUT.replies.jsonl beside `out`).
        limit: Ask for the first so many items only; 0: all.

    Raises:
        ChainsRefused: no item, or no chain that holds.
        EndpointFailed: the endpoint is down or refuses everything; replies are kept.
        CacheRefused, WriteRefused: a file or folder is in the way.
    """
    source = SourceSplit(shards, split)
    items = source.items[: limit or None]
    if limit < 0 or not items:
        raise ChainsRefused(f"split {split!r} of {shards} has no item to ask about (--limit {limit})")
    settings = _fingerprint("chains", source.sha256, split, limit, endpoint.model, endpoint.max_tokens, *_WORDING)
    source.check_out(out, overwrite, settings)
    with ReplyCache(cache or default_cache(out)) as replies:
        before = len(replies)
        trouble = _ask_for(source, items, endpoint, replies)
        outcome = _judge(source, items, endpoint, replies, trouble)
        asked = len(replies) - before
    if not outcome.items:
        raise ChainsRefused(
            f"none of {len(items)} chains holds ({_listed(outcome.defects)}); {replies.path} keeps them"
        )
    chains = _fingerprint(settings, *((item.item_id, item.reasoning) for item in outcome.items))
    about = _about(source, endpoint, len(items), f"{settings}-{chains}")
    rows = (source.row(SPLIT, item) for item in outcome.items)
    written = write_shards(rows, out, about, splits=[SPLIT], overwrite=overwrite, defects=outcome.defects)
    drops = Counter(defect.kind for defect in outcome.defects)
    return ChainReport(
        written.folder, len(items), len(outcome.items), asked, drops, outcome.without_reply, written.already_complete
    )


def default_cache(out: Path) -> Path:
    """Where replies are kept unless another file is named: beside the shards, for they were paid for."""
    return out.with_name(f"{out.name}.replies.jsonl")


_WORDING = (PROMPT_VERSION, SETTINGS)


def _fingerprint(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def reply_key(source: SourceSplit, item: QAItem, endpoint: Endpoint) -> str:
    """What a reply depends on: model, question, answer, notes, medium, settings; not on where the model is served."""
    prompt = chain_prompt(item, CLIP_SHOWN)  # with the count of frames left open: settings and medium decide it
    return _fingerprint(endpoint.model, prompt, source.media_sha256(item), endpoint.max_tokens, SETTINGS)


def _ask_for(source: SourceSplit, items: Sequence[QAItem], endpoint: Endpoint, replies: ReplyCache) -> dict[str, str]:
    """Ask for what the cache lacks; returns by key why there is still no reply."""
    from tqdm import tqdm

    unknown = {key: item for item in items if replies.reply(key := reply_key(source, item, endpoint)) is None}
    requests = (ChainRequest(key, partial(_message, source, item)) for key, item in unknown.items())
    trouble = {}
    if unknown:
        with closing(answers(endpoint, requests)) as coming:
            for key, answer in tqdm(coming, "chains", len(unknown), unit="item", file=sys.stderr, disable=None):
                if answer.reply is None:
                    trouble[key] = answer.error
                else:
                    replies.add(key, unknown[key].item_id, answer.reply)
    return trouble


def _message(source: SourceSplit, item: QAItem) -> list[dict[str, object]]:
    return chain_message(item, source.media(item))


def _judge(
    source: SourceSplit, items: Sequence[QAItem], endpoint: Endpoint, replies: ReplyCache, trouble: dict[str, str]
) -> _Outcome:
    """Items whose chains hold, and a defect for each of the others, in the order of the items."""
    kept, defects = [], []
    for item in items:
        key = reply_key(source, item, endpoint)
        reply = replies.reply(key)
        verdict = _no_reply(trouble[key]) if reply is None else check_chain(item, reply)
        if isinstance(verdict, Chain):
            kept.append(replace(item, reasoning=verdict.text))
        else:
            index = str(item.source_index)
            defects.append(Defect(verdict.kind, 0, index, item.media_path, verdict.detail, loses_row=True))
    return _Outcome(kept, defects, sum(defect.detail.startswith(_NO_REPLY) for defect in defects))


_NO_REPLY = "no reply: "


def _no_reply(error: str) -> Flaw:
    return Flaw(DefectKind.CHAIN_FAILED, f"{_NO_REPLY}{error}")


def _listed(defects: Sequence[Defect]) -> str:
    counts = Counter(defect.kind for defect in defects)
    return ", ".join(f"{kind}: {count}" for kind, count in counts.items()) + f"; the first: {defects[0].detail}"


def _about(source: SourceSplit, endpoint: Endpoint, asked: int, fingerprint: str) -> About:
    return About(
        title=f"{source.title}, with reasoning chains",
        fingerprint=fingerprint,
        what="Questions about the film language of a shot, each with a reasoning chain in the column `reasoning`: "
        "`<think>…</think><answer>X</answer>`, X being the right letter.",
        provenance=f"Split `{source.split}` of {source.title} (manifest {source.sha256}); media are unchanged.",
        how_made=f"`shotbench data chains` asked the model `{endpoint.model}` (prompt version {PROMPT_VERSION}, "
        f"at most {endpoint.max_tokens} tokens, temperature 0) for {asked:,} chains. It was told the right answer and "
        "what the terms on offer mean. A chain is kept if it is well-formed, if its answer and the conclusion of its "
        "thought are the right option by the strict grader, if its length is sane and if it does not speak of having "
        "been told. The thoughts were written by a model and read by nobody; that they describe what is in the "
        "picture is not checked. Questions and media keep the licence of their source; the terms of the model's "
        "maker may bind the use of the chains as well.",
        licence=source.licence,
        tags=("film", "reasoning"),
    )
