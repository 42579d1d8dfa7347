"""Complete runs of `shotbench eval --model shotvl`: interrupted, resumed, distributed, with broken media.

Every run is a separate process. lmms-eval takes 8 s to start, so most runs are forked from a process that has finished
the imports (`warm`): they execute the command's `main` from its first line and end by SIGKILL like any other. Errors in
the imports themselves are covered by runs started from a shell (`cold`).
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.host, pytest.mark.timeout(900)]
pytest.importorskip("lmms_eval")
pytest.importorskip("torch")

from lmms_eval_shotbench.harness.task_folder import tasks_path
from lmms_eval_shotbench.progress import LINE_SECONDS
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.questions.shards import MEDIA_COLUMNS
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.harness.test_lmms_eval import isolated_caches, lmms_eval, read_scores  # noqa: F401
from tests.support.ports import free_port
from tests.support.timeless import timeless_samples
from tests.support.warm_runs import WITHOUT_GPU, Kill, warm, warm_ranks

# With --cpu, accelerate starts a single process for any --num_processes.
LAUNCHER = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines=1", "--mixed_precision=no")
ITEMS = 68  # in the smallest studio set; not divisible by the numbers of processes below in every task
NEW_TOKENS = 24


@pytest.fixture(scope="module", autouse=True)
def single_threaded(isolated_caches: Any) -> Any:  # noqa: F811
    """Use one thread per run: several runs share few cores, and results do not depend on the number of threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.delenv("SHOTBENCH_RESPONSES", raising=False)
        yield


@pytest.fixture(scope="module")
def eval_arguments(studio_shards: Path, tiny_model_unconstrained: Path) -> Callable[..., list[str]]:
    """Build the command's arguments; small batches, so that there are many."""

    def arguments(out: Path, *more: str, style: str = "reasoning", tokens: int = NEW_TOKENS) -> list[str]:
        model = ["--model", "shotvl"]
        model += ["--model_args", f"pretrained={tiny_model_unconstrained},device=cpu,batch_tokens=1000"]
        settings = ["--tasks", f"shotbench_{style}", "--gen_kwargs", f"max_new_tokens={tokens}"]
        return ["eval", *model, *settings, "--data", str(studio_shards), "--out", str(out), *more]

    return arguments


class UninterruptedRun:
    """A finished run, its samples and its log."""

    def __init__(self, out: Path, log: str) -> None:
        self.out, self.log = out, log
        self.samples = timeless_samples(out)


@pytest.fixture(scope="module")
def uninterrupted_run(
    eval_arguments: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory
) -> UninterruptedRun:
    out = tmp_path_factory.mktemp("uninterrupted") / "out"
    log = out.with_name("log")
    assert exit_status(eval_arguments(out), log) == 0, log.read_text()[-3000:]
    return UninterruptedRun(out, log.read_text())


def cold(arguments: list[str], *launcher: str) -> list[str]:
    return [sys.executable, *launcher, "-m", "lmms_eval_shotbench.cli", *arguments]


def exit_status(arguments: list[str], log: Path, kill: Kill | None = None) -> int | None:
    process = warm(arguments, log, kill=kill)
    process.join()
    return process.exitcode


def kept(out: Path) -> list[str]:
    """Return the keys of the stored responses; an incomplete last line has none."""
    keys = []
    for path in (out / "responses").glob("rank-*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                keys.append(json.loads(line)["key"])
            except ValueError:
                continue
    return keys


def samples(out: Path) -> dict[int, str]:
    """Responses by index; of an unanswered item, the reason."""
    lines = (json.loads(line) for line in (out / "samples.jsonl").read_text(encoding="utf-8").splitlines())
    return {row["index"]: row["unanswered"] if "unanswered" in row else row["response"] for row in lines}


# ------------------------------------------------------------------------------------------------uninterrupted runs


def test_one_pass_answers_every_question(uninterrupted_run: UninterruptedRun, studio_shards: Path) -> None:
    responses = samples(uninterrupted_run.out)
    assert list(responses) == [item.source_index for item in read_questions(studio_shards)]
    assert len(responses) == len(kept(uninterrupted_run.out)) == ITEMS
    assert len(set(responses.values())) > ITEMS // 4, "identical responses to all prompts would prove nothing"
    scores = read_scores(uninterrupted_run.out)
    assert list(scores["run"]["passes"]) == ["all"]
    assert (scores["n"], scores["unanswered"]) == (ITEMS, [])


def test_a_log_has_progress_only_of_work_that_takes_longer(uninterrupted_run: UninterruptedRun) -> None:
    lines = [line for line in uninterrupted_run.log.splitlines() if "new tokens/s" in line]
    elapsed = [re.search(r"\[(\d+):(\d+)<", line) for line in lines]
    assert all(found and 60 * int(found[1]) + int(found[2]) >= int(LINE_SECONDS) for found in elapsed), lines


def test_lmms_eval_and_its_python_function_give_the_same_answers(
    uninterrupted_run: UninterruptedRun,
    studio_shards: Path,
    tiny_model_unconstrained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    model, group, tokens = (
        f"pretrained={tiny_model_unconstrained},device=cpu",
        "shotbench_reasoning",
        f"max_new_tokens={NEW_TOKENS}",
    )
    flags = ("--model", "shotvl", "--model_args", model, "--tasks", group, "--gen_kwargs", tokens, "--log_samples")
    finished = lmms_eval(studio_shards, *flags, "--output_path", str(tmp_path))
    assert finished.returncode == 0, finished.stdout[-2000:]
    lines = (line for path in tmp_path.rglob("*_samples_*.jsonl") for line in path.read_text().splitlines())
    assert _responses_by_index(map(json.loads, lines)) == samples(uninterrupted_run.out)

    monkeypatch.setenv("SHOTBENCH_DATA", str(studio_shards))
    manager = TaskManager(include_path=str(tasks_path()), include_defaults=False)
    results = simple_evaluate("shotvl", model, tasks=[group], task_manager=manager, gen_kwargs=tokens)
    assert _responses_by_index(itertools.chain(*results["samples"].values())) == samples(uninterrupted_run.out)


def _responses_by_index(logged: Any) -> dict[int, str]:
    """Return the responses by index in lmms-eval's samples."""
    responses = {}
    for sample in logged:
        response = sample["filtered_resps"]  # a list, from which lmms-eval takes the text when it writes samples
        responses[sample["shotbench_score"]["index"]] = response if isinstance(response, str) else response[0]
    return dict(sorted(responses.items()))


# -------------------------------------------------------------------------------------------------- interrupted runs


KILLED_DURING_IMPORTS = """
import os, signal, sys
class Fatal:
    @staticmethod
    def find_spec(name, *_):
        if name == "lmms_eval.evaluator":
            os.kill(os.getpid(), signal.SIGKILL)
sys.meta_path.insert(0, Fatal)
from lmms_eval_shotbench.cli import main
sys.exit(main(sys.argv[1:]))
"""


def kill_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before_the_first_response() -> None:
    from lmms_eval_shotbench.models.shotvl import ShotVL

    ShotVL.generate_until = lambda *_: kill_process()


def after_responses(count: int, ranks: int = 1) -> None:
    """Kill the process once it and each of the other ranks have stored `count` responses."""
    from lmms_eval_shotbench.runs.response_store import ResponseStore

    keep, new = ResponseStore.keep, 0

    def keep_and_kill(self: Any, responses: Mapping[str, Any]) -> Any:
        nonlocal new
        stored = keep(self, responses)
        new += len(responses)
        if new >= count:
            folder = self._file.parent
            while not all(lines_in(folder / f"rank-{rank}.jsonl") >= count for rank in range(ranks)):
                time.sleep(0.01)
            kill_process()
        return stored

    ResponseStore.keep = keep_and_kill


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def within_a_line() -> None:
    """Kill the process when half of the first line is written."""
    from lmms_eval_shotbench.runs import response_store

    append = response_store.append_lines

    def append_half(path: Path, lines: Iterable[str], **_: bool) -> None:
        for line in lines:  # may be empty
            append(path, [])
            with path.open("ab") as stream:
                stream.write(line.encode()[: len(line) // 2])
            kill_process()

    response_store.append_lines = append_half


def between_results() -> None:
    """Kill the process after samples.jsonl is written and before scores.json is."""
    replace = os.replace

    def replace_or_kill(source: Any, target: Any) -> None:
        if Path(target).name == "scores.json":
            kill_process()
        replace(source, target)

    os.replace = replace_or_kill


def test_a_run_killed_ten_times_ends_like_an_uninterrupted_one(
    eval_arguments: Callable[..., list[str]], uninterrupted_run: UninterruptedRun, tmp_path: Path
) -> None:
    """Killed in the imports, before the first answer, between answers, within one, and while results are written."""
    out, log = tmp_path / "out", tmp_path / "log"
    killed = subprocess.run([sys.executable, "-c", KILLED_DURING_IMPORTS, *eval_arguments(out)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-3000:]
    kills: list[Kill] = [partial(after_responses, count) for count in (1, 7, 5, 9, 2, 4)]
    kills[2:2] = [before_the_first_response, within_a_line]
    for kill in kills:
        before = kept(out)
        assert exit_status(eval_arguments(out), log, kill) == -signal.SIGKILL, log.read_text()[-3000:]
        assert kept(out)[: len(before)] == before, "stored responses are never lost"
        assert len(kept(out)) < ITEMS and not (out / "samples.jsonl").exists()
    assert exit_status(eval_arguments(out), log, between_results) == -signal.SIGKILL, log.read_text()[-3000:]
    assert (out / "samples.jsonl").exists() and not (out / "scores.json").exists()
    assert exit_status(eval_arguments(out), log) == 0
    assert timeless_samples(out) == uninterrupted_run.samples
    assert sorted(kept(out)) == sorted(kept(uninterrupted_run.out)), "each distinct question was asked and stored once"
    assert read_scores(out)["items"] == read_scores(uninterrupted_run.out)["items"]


def test_responses_of_other_settings_are_not_reused(
    eval_arguments: Callable[..., list[str]], uninterrupted_run: UninterruptedRun, tmp_path: Path
) -> None:
    used, log = tmp_path / "used", tmp_path / "log"
    shutil.copytree(uninterrupted_run.out, used)
    assert exit_status(eval_arguments(used, "--limit", "2"), log) == 0
    assert len(kept(used)) == ITEMS, "nothing is asked again with the same settings"
    responses = [samples(used)]
    others: list[dict[str, Any]] = [{"style": "step_by_step"}, {"tokens": 5}]
    for number, settings in enumerate(others):
        fresh = tmp_path / f"fresh-{number}"
        for out in (used, fresh):
            assert exit_status(eval_arguments(out, "--limit", "2", **settings), log) == 0, log.read_text()[-3000:]
        assert timeless_samples(used) == timeless_samples(fresh)
        assert len(kept(used)) == ITEMS + 16 * (number + 1)
        responses.append(samples(fresh))
    assert all(len(set(texts)) == 3 for texts in zip(*(texts.values() for texts in responses), strict=True))


# --------------------------------------------------------------------------------------------- several processes


def launched(arguments: list[str], processes: int, log: Path) -> list[int | None]:
    """Run by the launcher, which starts that many cold processes; return its exit status."""
    launcher = [*LAUNCHER, f"--num_processes={processes}", f"--main_process_port={free_port()}"]
    with log.open("wb") as stream:
        finished = subprocess.run(
            cold(arguments, *launcher), stdout=stream, stderr=stream, env={**os.environ, **WITHOUT_GPU}
        )
    return [finished.returncode]


@pytest.mark.parametrize(("processes", "by"), [(2, launched), (3, warm_ranks)])
def test_processes_share_the_questions_without_missing_or_duplicating_one(
    eval_arguments: Callable[..., list[str]],
    uninterrupted_run: UninterruptedRun,
    tmp_path: Path,
    processes: int,
    by: Callable[[list[str], int, Path], list[int | None]],
) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    assert set(by(eval_arguments(out), processes, log)) == {0}, log.read_text()[-3000:]
    assert timeless_samples(out) == uninterrupted_run.samples
    assert sorted(kept(out)) == sorted(kept(uninterrupted_run.out))
    parts = [len(path.read_bytes().splitlines()) for path in (out / "responses").iterdir()]
    assert len(parts) == processes and min(parts) > ITEMS // processes // 2
    assert len(list(tmp_path.rglob("scores.json"))) == 1
    assert read_scores(out)["items"] == read_scores(uninterrupted_run.out)["items"]
    cost = read_scores(out)["cost"]
    assert cost["seconds"]["known"] == cost["wall_seconds"]["known"] == ITEMS
    assert cost["seconds"]["total"] <= processes * cost["wall_seconds"]["total"], "of the ranks: a sum, and their mean"


def test_one_process_resumes_a_run_of_two_killed_processes(
    eval_arguments: Callable[..., list[str]], uninterrupted_run: UninterruptedRun, tmp_path: Path
) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    statuses = warm_ranks(eval_arguments(out), 2, log, partial(after_responses, 10, ranks=2))
    assert statuses == [-signal.SIGKILL] * 2, log.read_text()[-3000:]
    before = kept(out)
    assert len(before) < ITEMS and not (out / "scores.json").exists()
    assert exit_status(eval_arguments(out), log) == 0
    assert timeless_samples(out) == uninterrupted_run.samples
    assert sorted(kept(out)) == sorted(kept(uninterrupted_run.out)), "nothing was asked again"


# ------------------------------------------------------------------------------------------------------ broken media


def test_broken_media_fail_only_their_items_until_they_are_repaired(
    studio_shards: Path, eval_arguments: Callable[..., list[str]], uninterrupted_run: UninterruptedRun, tmp_path: Path
) -> None:
    data, out, log = tmp_path / "shards", tmp_path / "out", tmp_path / "log"
    shutil.copytree(studio_shards, data)
    still, clip = (
        next(item.source_index for item in read_questions(data) if item.media_kind is kind)
        for kind in (MediaKind.STILL, MediaKind.CLIP)
    )
    (shard,) = (data / "data").glob("*.parquet")
    truncate_media(shard, {still, clip})
    on_these = [*eval_arguments(out), "--data", str(data)]

    assert exit_status(on_these, log) == 1
    assert f"no response for 2 items (index {still}, {clip})" in log.read_text()
    assert read_scores(out)["unanswered"] == [still, clip]
    responses, expected = samples(out), samples(uninterrupted_run.out)
    for index, reason in ((still, "still cannot be decoded"), (clip, "clip cannot be decoded")):
        assert reason in responses[index]
    assert responses == expected | {still: responses[still], clip: responses[clip]}
    before = kept(out)
    assert len(before) == ITEMS - 2

    shutil.copy(studio_shards / "data" / shard.name, shard)
    assert exit_status(on_these, log) == 0
    assert timeless_samples(out) == uninterrupted_run.samples
    assert kept(out)[:-2] == before and sorted(kept(out)) == sorted(kept(uninterrupted_run.out))


def truncate_media(shard: Path, indices: set[int]) -> None:
    """Rewrite a shard with some media truncated to three quarters of their bytes; checksums stay the same."""
    import pyarrow
    import pyarrow.parquet as parquet

    table = parquet.read_table(shard)
    rows = table.to_pylist()
    for row in rows:
        if row["source_index"] in indices:
            medium = row[MEDIA_COLUMNS[MediaKind(row["media_kind"])]]
            medium["bytes"] = medium["bytes"][: len(medium["bytes"]) * 3 // 4]
    parquet.write_table(pyarrow.Table.from_pylist(rows, table.schema), shard)
