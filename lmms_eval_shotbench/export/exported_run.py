"""What is exported of one run: its scores, responses and questions, and what only its user knows about it.

The formats take every figure from here. Deviations from a result of the complete benchmark are in `deviations.py`, the
formats in `formats.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lmms_eval_shotbench.environment import DEFAULT_DATASET
from lmms_eval_shotbench.export.local_paths import without_folders
from lmms_eval_shotbench.grading.grade import Protocol
from lmms_eval_shotbench.grading.reasoning_tags import ReasoningTags
from lmms_eval_shotbench.harness.passed_on import GENERATION, max_new_tokens, value_of
from lmms_eval_shotbench.model_args import parse_model_args
from lmms_eval_shotbench.qa_item import SHOTBENCH, QAItem, is_of_source
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.report.gather import ReportRun, read_report_run
from lmms_eval_shotbench.report.rows import command
from lmms_eval_shotbench.runs.evaluated_sets import recorded_checkpoint
from lmms_eval_shotbench.runs.responses import StoredSamples
from lmms_eval_shotbench.runs.robust import variant_of
from lmms_eval_shotbench.runs.scores_schema import BadRun
from lmms_eval_shotbench.runs.stored_runs import sides
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, dimension_named

OVERALL = "shotbench"  # task id of all questions; those of the dimensions are their slugs


@dataclass(frozen=True)
class ExportRequest:
    """What a run does not record about itself; empty where it is not given."""

    model: str = ""  # ORG/MODEL on the Hub, or the name of a model behind an API
    dataset: str = ""  # ORG/NAME of the benchmark on the Hub
    dataset_revision: str = ""  # the commit of its repository
    protocol: Protocol = "strict"  # of formats with one figure a task
    date: str = ""  # of the evaluation: ISO 8601
    source_url: str = ""  # where the evaluation can be looked up
    source_name: str = ""
    organization: str = ""  # who evaluated
    relationship: str = ""  # of the evaluator to the model: first_party, third_party, collaborative or other
    weights: str = ""  # whether anybody can obtain the model's weights: open or closed
    card: str = ""  # content of the model card to update
    allow_deviations: bool = False  # whether to export what is not a result of the complete benchmark


class Result(NamedTuple):
    """Accuracy in one dimension or overall (micro, over items), with its 95 % interval; shares, not percent."""

    task: str  # slug of the dimension, or `OVERALL`
    name: str  # for display
    value: float
    low: float
    high: float
    stderr: float | None  # None: scores of an earlier version
    n: int  # number of questions


class ExportedGeneration(NamedTuple):
    """Settings of the generation, as asked for."""

    temperature: float
    max_new_tokens: int
    samples: int
    seed: int | None  # of the first sample; None if it is not recorded
    other: Mapping[str, str]  # further arguments of --gen_kwargs


@dataclass(frozen=True)
class ExportedRun:
    """A run and the request; what a property needs and nobody has stated raises `BadRun` with the option to give."""

    run: ReportRun
    request: ExportRequest
    set_items: Sequence[QAItem] = ()  # questions of the complete set, of the run's variant; empty if not available

    @property
    def how(self) -> Mapping[str, Any]:
        """`run` of scores.json (docs/scores.md)."""
        return self.run.stored.how

    @property
    def items(self) -> Sequence[QAItem]:
        """The questions that were asked; empty if they are not available."""
        return self.run.items

    @property
    def samples(self) -> StoredSamples:
        """The stored responses of each sample by question index; empty if they are not available."""
        return self.run.samples

    def scores(self, protocol: Protocol) -> Mapping[str, Any] | None:
        """scores.json of a protocol; None if it is neither stored nor can be graded."""
        return self.run.scores if protocol == "strict" else self.run.official

    def results(self, protocol: Protocol = "strict") -> list[Result]:
        """Accuracies of the dimensions that were asked, in the paper's order, and overall; [] without such scores.

        The overall accuracy is left out if the set has dimensions that were not asked.

        Raises:
            BadRun: They are not measured (a blind run with too many refusals).
        """
        scores = self.scores(protocol)
        if scores is None:
            return []
        accuracy = scores["accuracy"]
        found = [(dimension_named(slug), estimate) for slug, estimate in accuracy["by_dimension"].items()]
        if accuracy["micro"] is None or any(estimate is None for _, estimate in found):
            raise BadRun(f"{self.run.stored.name}: too many refusals to measure anything; there is nothing to export")
        found.sort(key=lambda pair: DIMENSIONS.index(pair[0]))
        results = [_result(dimension.slug, dimension.paper_name, estimate) for dimension, estimate in found]
        if not self.dimensions_left_out:
            results.append(_result(OVERALL, f"{self.dataset_name}, all questions", accuracy["micro"]))
        return results

    @property
    def key(self) -> str:
        """What distinguishes results of one model: the benchmark, the prompt style if known, and the variant if any."""
        return ", ".join(filter(None, (self.dataset, self.prompt_style, self.run.variant)))

    @property
    def dimensions_left_out(self) -> list[Dimension]:
        """Dimensions of the complete set that were not asked, as far as the set is available."""
        asked = {item.dimension for item in self.run.stored.items}
        return [one for one in DIMENSIONS if one.slug in {item.dimension for item in self.set_items} - asked]

    @property
    def checkpoint(self) -> str:
        """Recorded checkpoint: a Hub id, a local folder, or the name of a model behind an API; "" if unknown."""
        return recorded_checkpoint(self.how)

    @property
    def is_local(self) -> bool:
        """Whether the checkpoint is a local folder."""
        return self.revision.startswith("folder ") or (
            bool(self.checkpoint) and Path(self.checkpoint).expanduser().exists()
        )

    @property
    def model(self) -> str:
        """Name of the model as given, otherwise the recorded checkpoint if it is no local folder."""
        if self.request.model:
            return self.request.model
        if not self.checkpoint or self.is_local:
            known = f"only the folder {self.checkpoint}" if self.checkpoint else "no checkpoint"
            raise BadRun(f"{self.run.stored.name}: the run records {known}; give the model's name as --model ORG/MODEL")
        return self.checkpoint

    @property
    def revision(self) -> str:
        """Revision of the weights: the Hub's commit, or a digest of a local folder; "" if unknown."""
        return str(self.how.get("revision") or "")

    @property
    def is_shotbench(self) -> bool:
        """Whether the questions are those of the official release, as far as their ids say."""
        return all(is_of_source(item.item_id, SHOTBENCH) for item in self.run.stored.items)

    @property
    def dataset(self) -> str:
        """Hub id of the benchmark as given, otherwise that of ShotBench if its questions were asked."""
        if self.request.dataset:
            return self.request.dataset
        if self.is_shotbench:
            return DEFAULT_DATASET
        raise BadRun(
            f"{self.run.stored.name}: its questions are not ShotBench's; give the Hub id of the benchmark as --dataset "
            "ORG/NAME"
        )

    @property
    def dataset_name(self) -> str:
        """Name of the benchmark for display: the last part of its id."""
        return self.dataset.rpartition("/")[2]

    @property
    def split(self) -> str:
        """Split of the questions."""
        return self.run.split

    @property
    def data_sha256(self) -> str:
        """SHA-256 of the question file, or of the manifest of the shards; "" if unknown."""
        return str(self.how.get("data_sha256") or "")

    @property
    def prompt_style(self) -> str:
        """`direct`, `reasoning` or `step_by_step`; "" if unknown."""
        return str(self.how.get("prompt_style") or "")

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of what determines a response, by package; empty if unknown."""
        return self.how.get("versions") or {}

    @property
    def command(self) -> str:
        """The recorded or reconstructed command; "" without a record.

        A local checkpoint has its given name, other files and folders have no path.
        """
        text = command(self.how)
        if self.is_local and self.request.model:
            text = text.replace(self.checkpoint, self.request.model)
        return without_folders(text)

    @property
    def date(self) -> str:
        """Date of the evaluation (ISO 8601) as given or recorded; "" if unknown."""
        return self.request.date or str(self.how.get("date") or "")

    @property
    def generation(self) -> ExportedGeneration | None:
        """Settings of the generation; None if the run has no record."""
        if not self.how.get("model"):
            return None
        arguments = list(map(str, self.how.get("passed_on") or ()))
        other = parse_model_args(value_of(arguments, GENERATION) or "")
        other.pop("max_new_tokens", None)
        temperature = float(str(self.how.get("temperature") or other.pop("temperature", 0)))
        seed = self.how.get("seed")
        return ExportedGeneration(temperature, max_new_tokens(arguments), self.run.stored.samples, seed, other)


def read_exported_run(
    arguments: Sequence[str],
    request: ExportRequest,
    data: str | None = None,
    split: str | None = None,
    tags: ReasoningTags = (),
) -> ExportedRun:
    """Read the run to export: RUN, or QUESTIONS RESPONSES; raises like `read_report_run`.

    Raises:
        BadRun: There is not exactly one run.
    """
    found = sides(arguments)
    if len(found) != 1:
        raise BadRun(f"one run is exported at a time, got {len(found)}")
    run = read_report_run(found[0].path, found[0].questions or data, split, tags)
    return ExportedRun(run, request, list(_set_items(run)))


def _set_items(run: ReportRun) -> Iterator[QAItem]:
    """Yield the questions of the run's complete set, of its variant, if they are available."""
    if run.data:
        questions = read_questions(run.data, run.split)
        yield from variant_of(run.stored).of(questions) if run.variant else questions


def _result(task: str, name: str, estimate: Mapping[str, Any]) -> Result:
    low, high = estimate["low"], estimate["high"]
    return Result(task, name, estimate["value"], low, high, estimate.get("stderr"), estimate["n"])
