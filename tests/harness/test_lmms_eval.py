"""The tasks inside the real lmms-eval: its command line, its Python function, and `shotbench eval` agree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.host
pytest.importorskip("lmms_eval")

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.harness import task_functions
from lmms_eval_shotbench.harness.task_folder import tasks_path
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.questions.shards import ShardFolder
from tests.support.real_data import stored_responses
from tests.support.warm_runs import warm_ranks

RESPONSES = "shotbench.shotvl-3b.reasoning"
TINY = "device=cpu,device_map=cpu,min_pixels=3136"


@pytest.fixture(scope="module", autouse=True)
def isolated_caches(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Use temporary caches and no network."""
    folder = tmp_path_factory.mktemp("caches")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOTBENCH_CACHE", str(folder / "shotbench"))
        patch.setenv("LMMS_EVAL_DATASETS_CACHE", str(folder / "datasets"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="module")
def questions(studio_shards: Path) -> list[QAItem]:
    return read_questions(studio_shards)


def run_eval(out: Path, data: Path, model: str, model_args: str, tasks: str = "shotbench", *more: str) -> int:
    arguments = ["--tasks", tasks, "--data", str(data), "--out", str(out), "--model", model]
    return main(["eval", *arguments, "--model_args", model_args, "--verbosity", "WARNING", *more])


def read_scores(out: Path, name: str = "scores.json") -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((out / name).read_text(encoding="utf-8"))
    return loaded


def stored(path: Path, responses: dict[int, str]) -> Path:
    lines = (json.dumps({"index": index, "response": text}) + "\n" for index, text in responses.items())
    path.write_text("".join(lines), encoding="utf-8")
    return path


def lmms_eval(data: object, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run lmms-eval's own command with a task folder that its process has to create again."""
    tasks = tasks_path()
    shutil.rmtree(tasks.parent)
    command = [sys.executable, "-m", "lmms_eval", "--include_path", str(tasks), *arguments]
    return subprocess.run(command, env={**os.environ, "SHOTBENCH_DATA": str(data)}, capture_output=True, text=True)


def group_results(folder: Path, group: str) -> dict[str, float]:
    """Return the group's metrics from lmms-eval's results file."""
    (path,) = folder.rglob("*_results.json")
    row = json.loads(path.read_text(encoding="utf-8"))["results"][group]
    return {key.removesuffix(",none"): value for key, value in row.items() if key.endswith(",none")}


# --------------------------------------------------------------------------------------------- the real questions


def test_replayed_real_responses_reproduce_published_scores_through_every_entry_point(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tsv, group = real_data / "shotbench" / "test.tsv", "shotbench_reasoning"
    replay = f"responses={real_data}/responses/{RESPONSES}.jsonl.gz"

    assert run_eval(tmp_path / "ours", tsv, "replay", replay, group) == 0
    assert "protocol official: micro 65.99" in capsys.readouterr().out
    official, strict = read_scores(tmp_path / "ours", "scores.official.json"), read_scores(tmp_path / "ours")
    assert (official["correct"], strict["correct"], strict["n"]) == (2357, 2356, 3572)
    letters = {item["index"]: item["letter"] for item in official["items"]}
    assert letters == {row["index"]: row["reference_letter"] for row in stored_responses(real_data, RESPONSES)}

    theirs = ("--model", "replay", "--model_args", replay, "--tasks", group, "--output_path", str(tmp_path / "theirs"))
    finished = lmms_eval(tsv, *theirs)
    assert finished.returncode == 0, finished.stdout[-2000:]
    cli = group_results(tmp_path / "theirs", group)
    assert cli["shotbench_official"] == pytest.approx(2357 / 3572)
    assert cli["shotbench_accuracy"] == pytest.approx(strict["accuracy"]["micro"]["value"])
    assert cli["shotbench_macro"] == pytest.approx(strict["accuracy"]["macro"]["value"])
    assert cli["shotbench_answered"] == pytest.approx(strict["answered_rate"])

    python = _simple_evaluate(tsv, replay, group)
    assert {name: python[name] for name in cli if name.startswith("shotbench")} == pytest.approx(
        {name: value for name, value in cli.items() if name.startswith("shotbench")}
    )
    assert main(["score", str(tsv), str(tmp_path / "ours" / "samples.jsonl"), "--format", "json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["items"] == strict["items"] and again["accuracy"] == strict["accuracy"]


def _simple_evaluate(data: Path, model_args: str, group: str) -> dict[str, float]:
    """Run lmms-eval's Python function, which unlike its command line never strips a thought."""
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOTBENCH_DATA", str(data))
        manager = TaskManager(include_path=str(tasks_path()), include_defaults=False)
        results = simple_evaluate("replay", model_args, tasks=[group], task_manager=manager)
    return {key.removesuffix(",none"): value for key, value in results["results"][group].items()}


def test_an_evaluation_opens_its_questions_once(
    studio_shards: Path, questions: list[QAItem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Counter[str] = Counter()
    open_folder = ShardFolder.__init__

    def download(name: str, **_: Any) -> str:
        opened["the Hub"] += 1
        return str(studio_shards)

    def counted(self: ShardFolder, *args: Any, **kwargs: Any) -> None:
        opened["shards"] += 1
        open_folder(self, *args, **kwargs)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr(ShardFolder, "__init__", counted)
    replayed = stored(tmp_path / "replies.jsonl", {item.source_index: "A" for item in questions})
    assert run_eval(tmp_path / "run", Path("film/shots"), "replay", f"responses={replayed}") == 0
    assert opened == {"the Hub": 1, "shards": 1}

    opened.clear()
    monkeypatch.setenv(
        "SHOTBENCH_DATA", "film/shots"
    )  # lmms-eval without `shotbench eval`: each task locates its questions
    for _ in range(8):
        assert task_functions.DATASET_KWARGS["data_files"]["test"]
    assert [task_functions.doc_to_visual(item.to_row()) for item in questions[:2]]
    assert opened == {"the Hub": 1, "shards": 1}


def test_tables_of_lmms_eval_name_their_columns_and_are_printed_by_one_process(
    studio_shards: Path,
    questions: list[QAItem],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> int:
        raise AssertionError("the process, which holds the model, is forked")

    monkeypatch.setattr(os, "fork", refuse)
    replayed = stored(tmp_path / "r.jsonl", {item.source_index: item.answer for item in questions})
    assert run_eval(tmp_path / "run", studio_shards, "replay", f"responses={replayed}") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    tasks, _, first, *_ = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    assert tasks[:8] == ["Tasks", "Filter", "n-shot", "Metric", "", "Value", "", "Stderr"]
    row = dict(zip(tasks[:6], first[:6], strict=True))
    assert (row["Metric"], float(row["Value"])) == ("shotbench_accuracy", 1.0)


# ------------------------------------------------------------------------------------------------------ with media


def test_a_tiny_model_is_evaluated_on_stills_and_clips_end_to_end(
    studio_shards: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    short = ("--gen_kwargs", "max_new_tokens=1", "--limit", "2")
    assert run_eval(out, studio_shards, "qwen2_5_vl", f"pretrained={tiny_model},{TINY}", "shotbench", *short) == 0
    scores = read_scores(out)
    assert scores["n"] == 16 and len(scores["accuracy"]["by_dimension"]) == 8
    passes = scores["run"]["passes"]
    assert passes["stills"]["model_args"] == f"pretrained={tiny_model},{TINY}"
    assert passes["clips"]["tasks"] == ["shotbench_camera_movement"]
    assert passes["clips"]["model_args"] == f"pretrained={tiny_model},{TINY},fps=12,max_pixels=230400"
    assert not passes["clips"]["clips_resampled"]
    samples = [json.loads(line) for line in (out / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(samples) == 16 and {sample["response"] for sample in samples} <= set("ABCD")
    assert scores["answered_rate"] == 1.0
    assert "over dimensions (macro)" in capsys.readouterr().out


def test_the_model_sees_the_system_text_the_medium_and_the_question(
    studio_shards: Path, questions: list[QAItem]
) -> None:
    from lmms_eval_shotbench.harness.task_functions import doc_to_messages, doc_to_text, doc_to_visual

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOTBENCH_DATA", str(studio_shards))
        for item in (questions[0], questions[-1]):
            system, user = doc_to_messages(item.to_row(), {"prompt_style": "reasoning"})
            assert system["content"][0]["text"].startswith("A conversation between User and Assistant.")
            shown, text = user["content"]
            assert text["text"].startswith(f"Question: {item.question}\nOptions:\nA. ")
            visual = doc_to_visual(item.to_row())[0]
            if item.dimension == "camera_movement":
                assert shown == {"type": "video", "url": visual} and Path(visual).suffix == ".mp4"
            else:
                assert shown["type"] == "image" and visual.size == (160, 90)
        assert doc_to_text(questions[0].to_row(), {"prompt_style": "direct"}).startswith("Question:")
        assert doc_to_text(questions[0].to_row(), {"prompt_style": "reasoning"}).startswith("A conversation")


def test_a_model_without_a_frame_rate_argument_gets_resampled_clips(studio_shards: Path, tmp_path: Path) -> None:
    import decord

    out = tmp_path / "run"
    assert (
        run_eval(out, studio_shards, "dummy", "decode_num_frames=4", "shotbench_camera_movement", "--limit", "2") == 0
    )
    assert read_scores(out)["run"]["passes"]["clips"]["clips_resampled"]
    copies = sorted(Path(os.environ["SHOTBENCH_CACHE"], "clips").glob("*-12fps.mp4"))
    assert len(copies) == 2
    assert all(decord.VideoReader(str(copy)).get_avg_fps() == 12 for copy in copies)


def test_our_tasks_are_indexed_once_in_a_process(
    studio_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmms_eval import utils

    load, indexed = utils.load_yaml_config, []

    def recorded(yaml_path: Any = None, *rest: Any, mode: str = "full", **named: Any) -> Any:
        if mode == "simple":
            indexed.append(yaml_path)
        return load(yaml_path, *rest, mode=mode, **named)

    monkeypatch.setattr(utils, "load_yaml_config", recorded)
    counts = []
    for number, task in enumerate(("shotbench_shot_size", "shotbench_shot_size", "shotbench_reasoning_shot_size")):
        out = tmp_path / str(number)
        assert run_eval(out, studio_shards, "dummy", "response=B", task, "--limit", "1") == 0
        assert read_scores(out)["n"] == 1
        counts.append(len(indexed))
    assert counts[0] == counts[1] == counts[2]


def test_two_processes_share_the_questions_and_ask_each_once(
    studio_shards: Path, questions: list[QAItem], tmp_path: Path
) -> None:
    responses = stored(tmp_path / "r.jsonl", {item.source_index: item.answer for item in questions})
    arguments = ["eval", "--tasks", "shotbench", "--data", str(studio_shards), "--model", "replay"]
    arguments += ["--model_args", f"responses={responses}", "--out", str(tmp_path / "run")]
    assert warm_ranks(arguments, 2, tmp_path / "log") == [0, 0], (tmp_path / "log").read_text()[-3000:]
    scores = read_scores(tmp_path / "run")
    assert (scores["correct"], scores["n"]) == (len(questions), len(questions))


def test_flags_of_lmms_eval_are_passed_on_with_a_config_file_and_its_own_output_path(
    studio_shards: Path, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("seed: [7, 7, 7, 7]\n", encoding="utf-8")
    flags = ("--config", str(config), "--output_path", str(tmp_path / "theirs"), "--limit", "1")
    assert run_eval(tmp_path / "run", studio_shards, "dummy", "response=B", "shotbench_shot_size", *flags) == 0
    assert [item["letter"] for item in read_scores(tmp_path / "run")["items"]] == ["B"]
    (results,) = (tmp_path / "theirs").rglob("*_results.json")
    assert json.loads(results.read_text(encoding="utf-8"))["config"]["random_seed"] == 7
    assert not (tmp_path / "run" / "lmms_eval").exists()


# ------------------------------------------------------------------------------------------------------------- failures


def test_a_missing_dataset_ends_bare_lmms_eval_with_one_line_and_no_retries(tmp_path: Path) -> None:
    finished = lmms_eval(tmp_path / "nowhere", "--model", "dummy", "--tasks", "shotbench", "--limit", "1")
    messages = [line for line in finished.stderr.splitlines() if line.startswith("shotbench: no questions at")]
    assert finished.returncode != 0 and len(messages) == 1
    assert "shotbench data studio --out SHARDS" in messages[0]
    assert "RetryError" not in finished.stdout + finished.stderr


def test_a_missing_dataset_ends_shotbench_eval_before_lmms_eval_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_eval(tmp_path / "run", tmp_path / "nowhere", "dummy", "") == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("shotbench: no questions at") and captured.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_failed_evaluations_in_a_row_leave_the_earlier_run_as_it_was(
    studio_shards: Path, questions: list[QAItem], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    replies = stored(tmp_path / "r.jsonl", {item.source_index: item.answer for item in questions})
    assert run_eval(out, studio_shards, "replay", f"responses={replies}") == 0
    before = {path.name: path.read_bytes() for path in out.glob("s*.json*")}
    assert len(before) == 3
    capsys.readouterr()
    for _ in range(2):
        assert run_eval(out, studio_shards, "replay", f"responses={tmp_path}/absent.jsonl") == 1
        printed = capsys.readouterr().err
        assert "the stills pass failed" in printed and f"{out} still holds the complete run" in printed
        assert {path.name: path.read_bytes() for path in out.glob("s*.json*")} == before
    assert not (out / "previous").exists()


def test_an_item_without_response_is_named_and_exits_with_1(
    studio_shards: Path, questions: list[QAItem], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    responses_by_index = {item.source_index: item.answer for item in questions}
    del responses_by_index[questions[3].source_index]
    responses = stored(tmp_path / "r.jsonl", responses_by_index)
    assert run_eval(tmp_path / "run", studio_shards, "replay", f"responses={responses}") == 1
    assert f"no response for 1 items (index {questions[3].source_index})" in capsys.readouterr().out
    scores = read_scores(tmp_path / "run")
    assert scores["unanswered"] == [questions[3].source_index]
    assert scores["correct"] == len(questions) - 1


def test_invalid_tasks_are_refused_before_anything_is_written(
    studio_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run_eval(out, studio_shards, "dummy", "", "shotbench,shotbench_reasoning") == 2
    assert "one prompt style and one variant per run" in capsys.readouterr().err
    assert run_eval(out, studio_shards, "dummy", "", "shotbench_lens") == 2
    assert "no ShotBench task in --tasks shotbench_lens" in capsys.readouterr().err
    assert not out.exists()


def test_a_truncated_still_is_refused_although_lmms_eval_lets_pillow_fill_it_with_grey(
    studio_shards: Path, questions: list[QAItem]
) -> None:
    import lmms_eval.api.task  # noqa: F401  changes Pillow for the whole process
    from PIL import ImageFile

    from lmms_eval_shotbench.media.stills import BrokenMedium, open_still
    from lmms_eval_shotbench.questions.shards import ShardFolder

    encoded = ShardFolder(studio_shards).media(questions[0].item_id)
    with pytest.raises(BrokenMedium, match="cannot be decoded"):
        open_still(encoded[: len(encoded) // 2])
    assert open_still(encoded).size == (160, 90)
    assert ImageFile.LOAD_TRUNCATED_IMAGES  # lmms-eval's setting is unchanged


def test_wrong_time_positions_are_warned_of_only_if_they_are_wrong(tiny_model: Path) -> None:
    import torch
    from transformers import AutoConfig, Qwen2_5_VLForConditionalGeneration

    from lmms_eval_shotbench.harness.lmms_eval import time_position_warning

    config = AutoConfig.from_pretrained(tiny_model)
    model = Qwen2_5_VLForConditionalGeneration(config).model
    patches = 6  # temporal patches of one token each: 12 frames at 12 a second
    ids = torch.tensor([[config.vision_start_token_id] + [config.video_token_id] * patches])
    kinds = (ids == config.video_token_id).int() * 2  # 2 means video
    grid = torch.tensor([[patches, 2, 2]])
    known = {"input_ids": ids, "mm_token_type_ids": kinds, "video_grid_thw": grid, "second_per_grid_ts": [2 / 12]}
    positions, _ = model.get_rope_index(**known)
    times = (positions[0, 0, 1:] - positions[0, 0, 1]).tolist()
    right = [int(patch * config.vision_config.tokens_per_second * 2 / 12) for patch in range(patches)]
    assert right == [0, 0, 0, 1, 1, 1]
    assert (times != right) == bool(time_position_warning("qwen2_5_vl"))
    assert time_position_warning("dummy") == ""
