"""Completions of a training run: the responses that the trained model gave, with their rewards, as JSON lines.

RUN/completions/
  validation/0001.jsonl   all responses of every validation
  rollouts/0001.jsonl     a sample of the responses that were trained on, see `verl_recipes/inside_verl/completions.py`

There is one file per attempt, like those of the metrics. A kill may truncate the last line, which is not read. An
attempt that resumes repeats the steps after its checkpoint, so its steps replace those of earlier attempts.

Standard library only.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

Kind = Literal["validation", "rollouts"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FOLDER = "completions"
MEDIA = Path("rows") / "media"  # in the run folder: the media of the training rows
LAST_BYTES = 1_000_000  # read to find the last step
CompletionsByStep = dict[int, list["Completion"]]


@dataclass(frozen=True, slots=True)
class Completion:
    """One response with its question and its reward."""

    step: int
    item_id: str
    dimension: str  # slug
    data_source: str  # "<source>/<dimension>"
    question: str
    options: list[str]
    ground_truth: str  # letter
    media_kind: str  # still or clip
    media_sha256: str  # "" if the shards have none
    medium: str  # file name in RUN/rows/media
    sample: int  # index among the responses to this question in this step
    response: str
    tokens: int
    finished: bool  # False: cut at the maximum number of tokens
    rewards: Mapping[str, float]  # parts of the reward by name: acc, format, …
    score: float

    def to_line(self) -> bytes:
        """Serialize the completion as one line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def read_completions(run: Path) -> dict[Kind, CompletionsByStep]:
    """Read all completions of a run by kind and step, in the order of steps; empty if none were kept."""
    found: dict[Kind, CompletionsByStep] = {kind: {} for kind in KINDS}
    for attempt in sorted({path.name for path in (run / FOLDER).glob("*/*.jsonl")}):
        logged = {kind: by_step(_completions(run / FOLDER / kind / attempt)) for kind in KINDS}
        first = min((step for steps in logged.values() for step in steps), default=None)
        if first is None:
            continue
        for kind in KINDS:
            before = {step: several for step, several in found[kind].items() if step <= first}
            found[kind] = dict(sorted((before | logged[kind]).items()))
    return found


def last_completions(run: Path, kind: Kind) -> list[Completion]:
    """Read the completions of the last step of which any were kept, without reading complete files."""
    for path in sorted((run / FOLDER / kind).glob("*.jsonl"), reverse=True):
        if steps := by_step(_completions(path, LAST_BYTES)):
            return list(steps.values())[-1]
    return []


def by_step(completions: Iterable[Completion]) -> CompletionsByStep:
    """Group completions by step, in order of first occurrence."""
    steps: defaultdict[int, list[Completion]] = defaultdict(list)
    for completion in completions:
        steps[completion.step].append(completion)
    return dict(steps)


def _completions(path: Path, last_bytes: int | None = None) -> Iterator[Completion]:
    """Yield the completions of a file, or those in its last bytes; incomplete lines are left out."""
    if not path.is_file():
        return
    names = [field.name for field in fields(Completion)]
    with path.open("rb") as stream:
        if last_bytes and path.stat().st_size > last_bytes:
            stream.seek(-last_bytes, 2)
            stream.readline()  # the rest of a line
        for line in stream:
            try:
                row = json.loads(line)
                yield Completion(**{name: row[name] for name in names})
            except (ValueError, LookupError, TypeError):
                continue
