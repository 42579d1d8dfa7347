"""Small runs as `shotbench eval` leaves them, made without a model, for tests of the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.grading.grade import PROTOCOLS
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.variants import variant_named
from lmms_eval_shotbench.runs.cost import Prices
from lmms_eval_shotbench.runs.score import SCORES_FILES, samples_of, score_samples
from lmms_eval_shotbench.runs.scores_json import scores_json
from lmms_eval_shotbench.runs.stored_response import StoredResponse

HEADER = "index\ttype\tpath\tquestion\toptions\tanswer\tcategory\n"
SIZES = ("Wide", "Medium", "Close Up", "Medium Wide")
MOVES = ("Pan left", "Pan right", "Tilt up", "Static shot")


def write_questions(path: Path, options: Sequence[str] = SIZES, n: int = 12) -> Path:
    """`n` questions, a third of them on clips, in the release's layout."""
    path.write_text(HEADER + "".join(_line(index, options) for index in range(n)), encoding="utf-8")
    return path


def _line(index: int, options: Sequence[str]) -> str:
    on_clip = index % 3 == 2
    kind, category, offered = ("video", "camera movement", MOVES) if on_clip else ("image", "shot size", options)
    told = json.dumps(dict(zip("ABCD", offered, strict=True)))
    cells = [index, json.dumps([kind]), f"['{kind}/{index}.bin']", "What is it?", told, "ABCD"[index % 4], category]
    quoted = ['"' + str(cell).replace('"', '""') + '"' for cell in cells]
    return "\t".join(quoted) + "\n"


def write_run(
    folder: Path,
    items: Sequence[QAItem],
    says: Callable[[QAItem], str],
    data: Path,
    variant: str = "",
    known: Mapping[str, Any] | None = None,
    prices: Prices | None = None,
    **how: object,
) -> Path:
    """A run's folder: somebody who says `says(item)` to each of the questions, or to those of a variant.

    `known` is stored with each response: its tokens and times.
    """
    known = known or {}
    asked = variant_named(variant).of(items) if variant else list(items)
    responses = [says(item) for item in asked]
    run = {"model": "made", "prompt_style": "direct", "data": str(data), "split": "test", "variant": variant} | how
    folder.mkdir(parents=True)
    rows = zip(asked, responses, strict=True)
    lines = [json.dumps({"index": item.source_index, "response": response} | known) + "\n" for item, response in rows]
    (folder / "samples.jsonl").write_text("".join(lines), encoding="utf-8")
    stored = {item.source_index: StoredResponse(text, **known) for item, text in zip(asked, responses, strict=True)}
    for protocol in PROTOCOLS:
        scores = scores_json(score_samples(asked, samples_of(asked, [stored]), protocol, run=run, prices=prices))
        (folder / SCORES_FILES[protocol]).write_text(json.dumps(scores), encoding="utf-8")
    return folder


def always_right(item: QAItem) -> str:
    """Who sees everything."""
    return f"<think>I look.</think><answer>{item.answer}</answer>"


def always_b(_: QAItem) -> str:
    """Who sees nothing."""
    return "B"
