"""`shotbench train watch`: what is printed about runs in every state."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from lmms_eval_shotbench.cli import main
from tests.support.kept_completions import COMPLETION, WRONG, write_completions, write_grpo_run
from verl_recipes.run import watch
from verl_recipes.run.watch import NothingToWatch, states, watched

CONFIG = "data: {{train_files: {rows}, train_batch_size: 4}}\ntrainer: {{total_epochs: 3}}\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = write_grpo_run(tmp_path / "grpo")
    rows = tmp_path / "grpo" / "rows" / "grpo.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"prompt": ["?"] * 9}), rows)
    (run / "config.yaml").write_text(CONFIG.format(rows=rows))
    return run


def test_the_last_figures_and_completions_are_printed_once(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "watch", str(run), "--once"]) == 0
    printed = capsys.readouterr().out
    assert re.match(r"grpo: grpo, start 1, last output \d+ s ago\n", printed)
    for expected in (
        "step 3 of 6, 30 s a step, about 90 s left",
        "reward 1, format 0.75, gradient norm 0.25",
        "steps without a finite gradient norm: 1 since the last start",
        "responses lost: 0 in this step, 2 in all",
        "accuracy in training, % (step 3): shot size 50.0",
        "rollouts of step 3: 2 of 2 kept",
        "- reward 0.5 (acc 0, format 1), 9 tokens, right answer A, film-0",
        f"    {WRONG.response}",
    ):
        assert expected in printed
    assert main(["train", "watch", str(run)]) == 0  # not a terminal
    assert capsys.readouterr().out.splitlines()[1:] == printed.splitlines()[1:]


def test_the_completions_with_the_lowest_and_highest_rewards_are_shown(run: Path) -> None:
    several = [replace(COMPLETION, sample=sample, score=float(sample)) for sample in range(9)]
    write_completions(run, "validation", 1, several)
    shown = [line.split()[2] for line in watched(run, completions=4).splitlines() if line.startswith("- reward")]
    assert shown[:4] == ["0", "1", "7", "8"]
    assert "- reward" not in watched(run, completions=0)
    shown = [line.split()[2] for line in watched(run, completions=1).splitlines() if line.startswith("- reward")]
    assert shown[0] == "8"


@pytest.mark.parametrize("width", [30, 44, 80, 200])
def test_no_line_is_longer_than_the_terminal(run: Path, width: int) -> None:
    write_completions(run, "rollouts", 1, [replace(COMPLETION, response="word " * 500, item_id="x" * 120)])
    lines = watched(run, width).splitlines()
    assert max(map(len, lines)) <= width
    assert "    …" in lines


def test_a_response_cannot_control_the_terminal(run: Path) -> None:
    hostile = replace(COMPLETION, response="\x1b[2J\x07 a\nb \u202e\ud800 \x9b31m", item_id="\x1b]0;title\x07")
    write_completions(run, "rollouts", 1, [hostile])
    printed = watched(run)
    assert all(char.isprintable() or char == "\n" for char in printed) and "a b" in printed


def test_a_run_that_has_not_finished_a_step_is_reported_as_such(tmp_path: Path) -> None:
    run = write_grpo_run(tmp_path / "grpo", steps=0)
    printed = watched(run)
    assert "no step of the training is finished yet" in printed and "no completions are kept yet" not in printed
    (run / "completions" / "rollouts" / "0001.jsonl").unlink()
    (run / "metrics" / "0001.jsonl").write_text('{"step":0,"data":{"val-core/a/shot_size/acc/mean@1":0.25}}\n{"st')
    printed = watched(run)
    assert "accuracy in validation, % (step 0): shot size 25.0" in printed
    assert "no step of the training is finished yet" in printed and "no completions are kept yet" in printed
    (run / "logs" / "0001.log").unlink()
    assert "not started" in watched(run)


def test_a_run_without_output_for_long_is_reported_with_its_log(run: Path) -> None:
    log = run / "logs" / "0001.log"
    hours_ago = time.time() - 7320
    os.utime(log, (hours_ago, hours_ago))
    printed = " ".join(watched(run, width=500).split())
    assert re.search(rf"no output for 2 h \d+ min, so it may have stopped: see {re.escape(str(log))}", printed)


def test_an_sft_run_has_a_loss_and_no_completions(tmp_path: Path) -> None:
    run = write_grpo_run(tmp_path / "sft", steps=0)
    (run / "order.json").write_text(json.dumps({"method": "sft"}))
    trained, validated = {"train/loss": 0.5, "train/grad_norm": float("nan")}, {"val/loss": 0.75}
    rows = [json.dumps({"step": 2, "data": data}) + "\n" for data in (trained, validated)]
    (run / "metrics" / "0001.jsonl").write_text("".join(rows))
    printed = watched(run)
    assert "loss 0.5, gradient norm nan" in printed and "validation loss 0.75 (step 2)" in printed
    assert "completions" not in printed and "step 2\n" in printed  # without the configuration there is no total


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_what_is_no_run_is_named_with_what_to_do(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["train", "watch", str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert name in error and "give the --out" in error and "Traceback" not in error
    with pytest.raises(NothingToWatch):
        watched(tmp_path / name)


@pytest.mark.parametrize("options", [["--interval", "0"], ["--interval", "nan"], ["--completions", "-1"]])
def test_impossible_options_are_refused(options: list[str], run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "watch", str(run), *options]) == 2
    assert options[0] in capsys.readouterr().err


def test_a_terminal_is_refreshed_until_the_run_is_finished(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            (run / "finished").touch()

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(watch.time, "sleep", wait)
    shown = list(states(run, 2.5, completions=1))
    assert waits == [2.5, 2.5] and len(shown) == 3
    assert all(state.startswith(watch.CLEAR) for state in shown) and "finished" in shown[-1]


def test_an_interrupted_watch_ends_without_an_error(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(watch.time, "sleep", interrupt)
    assert len(list(states(run, 1.0, completions=1))) == 1


def test_watching_changes_nothing_in_the_folder(run: Path) -> None:
    def contents() -> dict[Path, tuple[int, int]]:
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in run.rglob("*")}

    before = contents()
    watched(run)
    assert contents() == before
