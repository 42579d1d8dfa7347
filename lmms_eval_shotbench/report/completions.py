"""Completions of training runs on the page: numbers by step, and a sample that is browsed by step and by reward.

`completions_json` are the numbers of scores.json, which show whether the reward is exploited: well-formed but wrong
responses, responses that are cut, all alike, very short or very long. `completions_section` is the browser of single
completions, with completions.js; as in the shot explorer, external text is data in an inert JSON element.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import fmean, median
from typing import Any

from lmms_eval_shotbench.report.explorer import MB, ExplorerParts, cut_response, package_file, script_json, shared_limit
from lmms_eval_shotbench.report.gather import one_line
from lmms_eval_shotbench.report.rows import evenly_spaced
from lmms_eval_shotbench.report.thumbnails import ThumbnailSource, thumbnails
from lmms_eval_shotbench.report.training import TrainingCurves
from lmms_eval_shotbench.runs.completions import MEDIA, Completion, CompletionsByStep
from lmms_eval_shotbench.vocabulary import DIMENSIONS, MediaKind

SHOWN = 1200  # completions on the page, of all runs and both kinds
TEXT_MB = 2.0  # budget of all responses
EXTREME = 4  # very short or long: by this factor below or above the median of the step
REMARKS = {
    "wrong": "well-formed but wrong",
    "malformed": "not well-formed",
    "unfinished": "cut off",
    "same": "same as another response to this question",
    "short": "very short",
    "long": "very long",
}


def completions_json(steps: CompletionsByStep) -> dict[str, Any]:
    """Return the numbers of one kind of completions (docs/report.md)."""
    return {
        "n": sum(map(len, steps.values())),
        "steps": [{"step": step} | _step_numbers(several) for step, several in steps.items()],
    }


def _step_numbers(several: Sequence[Completion]) -> dict[str, Any]:
    remarks = [remark for found in remarks_of(several) for remark in found]
    texts = Counter(one.response for one in several)
    tokens = [one.tokens for one in several]
    names = sorted({name for one in several for name in one.rewards} - {"score"})
    shares: dict[str, float | None] = {name: remarks.count(name) / len(several) for name in REMARKS}
    if len({one.item_id for one in several}) == len(several):
        shares["same"] = None  # no question has two responses
    return {
        "n": len(several),
        "score": fmean(one.score for one in several),
        "rewards": {name: fmean(one.rewards[name] for one in several if name in one.rewards) for name in names},
        "remarks": shares,
        "most_common": max(texts.values()) / len(several),
        "tokens": {"shortest": min(tokens), "median": median(tokens), "longest": max(tokens)},
    }


def remarks_of(step: Sequence[Completion]) -> list[list[str]]:
    """Return what is conspicuous about each completion of a step, as keys of `REMARKS`."""
    usual = median(one.tokens for one in step)
    given = Counter((one.item_id, one.response) for one in step)
    return [
        [
            name
            for name, applies in {
                "wrong": one.rewards.get("format") == 1 and one.rewards.get("acc") == 0,
                "malformed": one.rewards.get("format") == 0,
                "unfinished": not one.finished,
                "same": given[one.item_id, one.response] > 1,
                "short": one.tokens * EXTREME <= usual,
                "long": one.tokens >= usual * EXTREME,
            }.items()
            if applies
        ]
        for one in step
    ]


Remarked = tuple[Completion, list[str]]  # with keys of `REMARKS`


def sampled_completions(steps: CompletionsByStep, most: int) -> list[Remarked]:
    """Return a sample with remarks: all responses to some questions, of evenly spaced steps with the first and last.

    Which questions depends only on their ids, so that those of a validation can be followed over the steps.
    """
    if not steps:
        return []
    groups = [list(_groups(several)) for several in steps.values()]
    at_least = max(len(group) for several in groups for group in several)
    chosen = evenly_spaced(groups, max(2, min(24, most // at_least)))
    share = most // len(chosen)
    found = []
    for several in chosen:
        taken = several[0]
        for group in several[1:]:
            if len(taken) + len(group) > share:
                break
            taken = taken + group
        found += taken
    return found


def _groups(step: Sequence[Completion]) -> Iterator[list[Remarked]]:
    """Yield the completions of a step by question, in random order of the questions."""

    def rank(pair: Remarked) -> str:
        return hashlib.sha256(pair[0].item_id.encode("utf-8", "replace")).hexdigest()

    for _, group in groupby(sorted(zip(step, remarks_of(step), strict=True), key=rank), key=rank):
        yield list(group)


def completions_section(training: Sequence[TrainingCurves], thumbnails_mb: float) -> ExplorerParts:
    """Build the browser of completions; all parts are empty if no run kept any."""
    from jinja2 import Environment

    kinds = [(run, kind, steps) for run, one in enumerate(training) for kind, steps in one.completions.items() if steps]
    if not kinds:
        return ExplorerParts()
    sample = [(run, kind, sampled_completions(steps, SHOWN // len(kinds))) for run, kind, steps in kinds]
    media: dict[str, ThumbnailSource] = {}
    for run, _, several in sample:
        media |= _training_media(training[run].path, [one for one, _ in several])
    pictures = thumbnails(media, round(thumbnails_mb * MB))
    data = _plain([one_line(one.path.absolute().name) for one in training], sample)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    html = environment.from_string(package_file("completions.html.j2")).render(
        runs=data["runs"],
        kinds=sorted({kind for _, kind, _ in kinds}),
        steps=sorted({one["step"] for one in data["completions"]}),
        dimensions=[one for one in DIMENSIONS if one.slug in {item["dimension"] for item in data["items"]}],
        remarks=REMARKS,
        shown=len(data["completions"]),
        kept=sum(len(several) for _, _, steps in kinds for several in steps.values()),
        left_out=len({item["medium"] for item in data["items"]} - set(pictures)),
        completions_json=script_json(data),
        pictures_json=script_json(pictures),
    )
    return ExplorerParts(html, package_file("explorer.css"), package_file("completions.js"))


def _training_media(run: Path, completions: Sequence[Completion]) -> dict[str, ThumbnailSource]:
    """Return the media among the training rows of a run, by name."""
    folder = run / MEDIA
    kinds = {one.medium: MediaKind(one.media_kind) for one in completions if one.media_kind in list(MediaKind)}
    inside = {name: kind for name, kind in kinds.items() if Path(name).name == name and (folder / name).is_file()}
    return {name: ThumbnailSource(kind, partial((folder / name).read_bytes)) for name, kind in inside.items()}


def _plain(runs: Sequence[str], sample: Sequence[tuple[int, str, Sequence[Remarked]]]) -> dict[str, Any]:
    """Return the data of completions.js; questions are stored once."""
    limit = shared_limit([one.response for _, _, several in sample for one, _ in several], round(TEXT_MB * MB))
    items: list[dict[str, Any]] = []
    numbers: dict[tuple[int, str], int] = {}
    completions = []
    for run, kind, several in sample:
        for one, remarks in several:
            if (run, one.item_id) not in numbers:
                numbers[run, one.item_id] = len(items)
                items.append(_item(one))
            shown = cut_response(one.response, limit)
            completions.append(
                {
                    "run": run,
                    "kind": kind,
                    "step": one.step,
                    "item": numbers[run, one.item_id],
                    "sample": one.sample,
                    "response": shown,
                    "cut": len(one.response) - len(shown),
                    "tokens": one.tokens,
                    "score": one.score,
                    "rewards": {name: value for name, value in one.rewards.items() if name != "score"},
                    "remarks": remarks,
                }
            )
    names = {dimension.slug: dimension.paper_name for dimension in DIMENSIONS}
    return {"runs": runs, "dimensions": names, "remarks": REMARKS, "items": items, "completions": completions}


def _item(one: Completion) -> dict[str, Any]:
    return {
        "item_id": one.item_id,
        "dimension": one.dimension,
        "question": one.question,
        "options": one.options,
        "answer": one.ground_truth,
        "kind": one.media_kind,
        "medium": one.medium,
    }
