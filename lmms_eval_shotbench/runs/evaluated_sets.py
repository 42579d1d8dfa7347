"""The sets and models of several runs: which runs belong together.

A **set** is the questions of one `source`. Questions with the same source in two folders are one set if at least half
of the smaller folder's are the same in the other (a re-import, a part of it), otherwise two. A run on a folder with
several sources counts for each of them.

A **model** is a checkpoint with a prompt style, as recorded in the run. Responses without a record are of the model
that their file or folder is named after. `NAME=RUN` names the model instead.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from lmms_eval_shotbench.grading.grade import Protocol
from lmms_eval_shotbench.grading.reasoning_tags import ReasoningTags
from lmms_eval_shotbench.model_args import parse_model_args
from lmms_eval_shotbench.qa_item import BadRow, QAItem
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.questions.shards import DatasetNotFound
from lmms_eval_shotbench.questions.variants import original_id, variant_named_in
from lmms_eval_shotbench.runs.compare import is_same_medium
from lmms_eval_shotbench.runs.score import fingerprint
from lmms_eval_shotbench.runs.scores_schema import BadRun
from lmms_eval_shotbench.runs.stored_runs import AnsweredItem, StoredRun, sides

CHECKPOINT_ARGUMENTS = ("pretrained", "model_version", "model", "model_name")  # of lmms-eval's models
NAMED = re.compile(r"(?P<name>[^=/\\]+)=(?P<run>.+)", re.DOTALL)


@dataclass(eq=False)
class EvaluatedSet:
    """The questions of one source."""

    name: str
    source: str
    data: str  # where its questions were read first
    items: list[QAItem]


class SetRun(NamedTuple):
    """The part of a run that is on one set."""

    set: EvaluatedSet
    model: str
    variant: str  # "" for the original questions
    run: StoredRun
    questions: Sequence[QAItem]  # original questions of the set, as read for this run


class SetQuestions(NamedTuple):
    """Questions as read from one place."""

    data: str
    items: list[QAItem]
    asked: dict[str, tuple[str, str]]  # fingerprint and medium by item id


def read_set_runs(
    arguments: Sequence[str],
    data: Sequence[str] = (),
    split: str | None = None,
    protocol: Protocol = "strict",
    tags: ReasoningTags = (),
) -> list[SetRun]:
    """Read runs, in the order of the arguments, and find their sets and models.

    Args:
        arguments: RUN, or QUESTIONS RESPONSES; each may follow `NAME=`.
        data: Places of questions, searched before those recorded in the runs.
        split: Split of the questions; by default that recorded in each run.
        protocol: Grading protocol.
        tags: Further tags of thoughts, for responses that are graded here.

    Raises:
        BadRun: A run is invalid, or its questions are not found.
        BadResponses, DatasetNotFound, BadRow: Responses or questions cannot be read.
    """
    names, plain = _named_arguments(arguments)
    reader = _QuestionReader()
    sets: list[EvaluatedSet] = []
    found: list[tuple[SetRun, str]] = []
    start = 0
    for side in sides(plain):
        run = side.read(protocol, split or "test", tags)
        model = names.pop(start, "") or _recorded_model(run)
        questions = reader.questions_of(run, [side.questions] if side.questions else data, split)
        found += [(one, model) for one in _parts(run, questions, sets)]
        start += 2 if side.questions else 1
    if names:
        raise BadRun(f"{next(iter(names.values()))}=: a name stands before a run or before its QUESTIONS")
    _name_apart(sets)
    shown = _shown_models([model for _, model in found])
    return [one._replace(model=shown[model]) for one, model in found]


def _named_arguments(arguments: Sequence[str]) -> tuple[dict[int, str], list[str]]:
    """Separate `NAME=` from arguments; names are by position. An existing path is no name."""
    names, plain = {}, []
    for position, argument in enumerate(arguments):
        named = None if Path(argument).exists() else NAMED.fullmatch(argument)
        if named:
            names[position] = named["name"]
        plain.append(named["run"] if named else argument)
    return names, plain


class _QuestionReader:
    """Reads the questions of each place once."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, str], SetQuestions] = {}

    def questions_of(self, run: StoredRun, data: Sequence[str], split: str | None) -> SetQuestions:
        """Return the first questions of these places, or of the run's record, that the run was asked."""
        recorded = str(run.how.get("data") or "")
        places = list(dict.fromkeys(filter(None, (*data, recorded))))
        if not places:
            raise BadRun(f"{run.name} has no record of its questions; give them with --data")
        problems = []
        for place in places:
            try:
                questions = self._questions(place, split or str(run.how.get("split") or "test"))
            except (DatasetNotFound, BadRow) as error:
                if len(places) == 1 and not data:
                    raise BadRun(f"{run.name}: its questions cannot be read; give them with --data ({error})") from None
                problems.append(str(error))
                continue
            if all(_is_asked(one, questions) for one in run.items):
                return questions
            problems.append(f"{place} has others")
        raise BadRun(f"{run.name}: its questions were not found; give them with --data ({'; '.join(problems)})")

    def _questions(self, data: str, split: str) -> SetQuestions:
        if (data, split) not in self._read:
            items = read_questions(data, split)
            asked = {item.item_id: (fingerprint(item), item.medium) for item in items}
            self._read[data, split] = SetQuestions(data, items, asked)
        return self._read[data, split]


def _is_asked(one: AnsweredItem, questions: SetQuestions) -> bool:
    """Whether a run's question is among these; of a variant's, whether its original is."""
    asked, medium = questions.asked.get(original_id(one.item_id), ("", ""))
    same_question = one.asked == asked or variant_named_in(one.item_id) is not None
    return bool(asked) and same_question and is_same_medium(one.medium, medium)


def _parts(run: StoredRun, questions: SetQuestions, sets: list[EvaluatedSet]) -> Iterator[SetRun]:
    """Yield the parts of a run on each source of its questions; sets that are new are added to `sets`."""
    of_source: defaultdict[str, list[QAItem]] = defaultdict(list)
    for item in questions.items:
        of_source[item.source].append(item)
    for source, items in of_source.items():
        ids = {item.item_id for item in items}
        answered = [one for one in run.items if original_id(one.item_id) in ids]
        if not answered:
            continue
        variant = variant_named_in(answered[0].item_id)
        refused = round(run.refused * len(answered) / len(run.items))  # the share of the complete run
        part = replace(run, items=answered, refused=refused)
        yield SetRun(_set_of(source, items, questions.data, sets), "", variant.name if variant else "", part, items)


def _set_of(source: str, items: list[QAItem], data: str, sets: list[EvaluatedSet]) -> EvaluatedSet:
    for one in sets:
        if one.source == source and _are_same_set(one.items, items):
            return one
    sets.append(EvaluatedSet(source or "questions", source, data, items))
    return sets[-1]


def _are_same_set(one: Sequence[QAItem], other: Sequence[QAItem]) -> bool:
    """Whether at least half of the smaller set's questions are in the other, about the same media."""
    if one is other:
        return True
    known = {item.item_id: item for item in one}
    pairs = [(known[item.item_id], item) for item in other if item.item_id in known]
    same = sum(fingerprint(a) == fingerprint(b) and is_same_medium(a.medium, b.medium) for a, b in pairs)
    return 2 * same >= min(len(one), len(other))


def _name_apart(sets: Sequence[EvaluatedSet]) -> None:
    """Make names unique: of sets with the same source, by the folder or file of their questions, or by number."""
    for one in [one for one in sets if [other.source for other in sets].count(one.source) > 1]:
        path = Path(one.data)
        one.name += f" {path.parent.name + '/' if path.suffix else ''}{path.name}"
    names = [one.name for one in sets]
    for number, one in enumerate(sets, start=1):
        one.name += f" ({number})" if names.count(one.name) > 1 else ""


def recorded_checkpoint(how: Mapping[str, Any]) -> str:
    """Return the checkpoint among the model arguments of a run's record; "" if there is none."""
    arguments = [parse_model_args(one.get("model_args") or "") for one in (how.get("passes") or {}).values()]
    return next((each[name] for each in arguments for name in CHECKPOINT_ARGUMENTS if name in each), "")


def _recorded_model(run: StoredRun) -> str:
    """Return the checkpoint and prompt style of a run's record, separated by a tab; without one, the file's name."""
    if not run.how.get("model"):
        path = Path(run.name)
        stem = re.sub(r"(\.(jsonl?|gz|csv|tsv|txt|xlsx))+$", "", path.name)
        return path.absolute().parent.name if stem in ("scores", "scores.official", "samples") else stem
    return "\t".join([recorded_checkpoint(run.how) or str(run.how["model"]), str(run.how.get("prompt_style") or "")])


def _shown_models(models: Sequence[str]) -> dict[str, str]:
    """Return short names by model: the last step of a checkpoint's path, and the prompt style if it is needed."""
    different = list(dict.fromkeys(models))
    checkpoint = {one: one.partition("\t")[0] for one in different}
    short = {one: checkpoint[one].rstrip("/").rpartition("/")[2] for one in different}
    for other in (checkpoint, {one: one.replace("\t", ", ") for one in different}):
        taken = list(short.values())
        short = {one: other[one] if taken.count(name) > 1 else name for one, name in short.items()}
    return short
