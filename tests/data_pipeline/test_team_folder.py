"""A team's folder, from films and a table in timecode to shards that `datasets`, lmms-eval and verl read."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.shards.dataset_card import read_defects
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.shards import MEDIA_COLUMNS, ShardFolder
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.film_rows import film_lessons, film_prompts
from tests.support.run_cache import made_once
from tests.support.team_folder import write_team_folder

pytestmark = pytest.mark.slow  # films are encoded and cut
COMMAND = ["data", "films", "films", "--table", "shots.csv", "--out", "shards", "--workers", "0"]
SPLITS = ("sft", "grpo", "dev", "test")
LEFT_OUT = {
    "raw.mov": "unreadable film: cannot be decoded: no decoder for 'BRAW'",
    "harbour copy.mp4": "duplicate picture: the same frames as harbour-",
    "torn.jpg": "undecodable medium: still cannot be decoded: ",
}
WARNED = {"phone.mov": "high dynamic range was mapped to standard", "paris.png": "unreadable EXIF"}


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after the command was refused once and repeated with a corrected table."""

    def make(folder: Path) -> None:
        write_team_folder(folder)
        table = folder / "shots.csv"
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            assert main([*COMMAND, "--rows", "refused.csv"]) == 2  # one film under two ids
            assert not (folder / "shards").exists()
            table.write_text(table.read_text("utf-8").replace(",harbour copy,", ",harbour,"), "utf-8")
            assert main([*COMMAND, "--rows", "copy.csv"]) == 0

    return made_once("team", make, tmp_path_factory)


def rows_in(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_one_table_lists_what_became_of_each_row(team: Path) -> None:
    rows = rows_in(team / "shards" / "rows.csv")
    table = (team / "shots.csv").read_text("utf-8-sig").splitlines()
    assert [int(row["line"]) for row in rows] == list(range(2, len(table) + 1))
    assert [[row["film_id"], row["media"]] for row in rows] == [line.split(",")[1:3] for line in table[1:]]
    for row in rows[:-1]:
        assert row["outcome"] == ("left out" if row["media"] in LEFT_OUT else "complete"), row
        assert row["reasons"].startswith(LEFT_OUT.get(row["media"], "")) and bool(row["reasons"]) == (
            row["media"] in LEFT_OUT
        )
        assert row["warnings"].startswith(WARNED.get(row["media"], "")), row
    assert rows[-1]["outcome"] == "left out"
    assert "'wobbly' is no term" in rows[-1]["reasons"] and "across a cut" in rows[-1]["reasons"]
    questions = [item for split in SPLITS for item in ShardFolder(team / "shards", split).items()]
    assert sum(int(row["questions"]) for row in rows) == len(questions)
    assert {row["split"] for row in rows if row["questions"] != "0"} == set(SPLITS)
    assert (team / "copy.csv").read_text() == (team / "shards" / "rows.csv").read_text()


def test_a_refused_table_lists_its_rows_as_not_written(team: Path) -> None:
    refused = rows_in(team / "refused.csv")
    assert len(refused) == len(rows_in(team / "copy.csv"))
    assert {row["outcome"] for row in refused} == {"left out"}
    assert refused[0]["reasons"] == "nothing was written"


def test_a_second_call_counts_the_same_rows_and_a_check_lists_them_without_cutting(
    team: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(team)
    assert main([*COMMAND, "--rows", "again.csv"]) == 0
    assert "shots.csv: rows: 29; complete: 19; in part: 0; left out: 10. " in capsys.readouterr().out
    assert (team / "again.csv").read_text() == (team / "shards" / "rows.csv").read_text()
    assert main([*COMMAND, "--check", "--rows", "checked.csv"]) == 1
    outcomes = {row["media"]: row["outcome"] for row in rows_in(team / "checked.csv")}
    assert {media for media, outcome in outcomes.items() if outcome == "left out"} == {"raw.mov", "torn.jpg"}
    assert {outcome for media, outcome in outcomes.items()} == {"left out", "usable"}


def test_datasets_reads_every_question(team: Path, tmp_path: Path) -> None:
    import datasets

    loaded = datasets.load_dataset(str(team / "shards"), cache_dir=str(tmp_path))
    defects = [defect for defect in read_defects(team / "shards") if defect.loses_row]
    assert defects and set(loaded) == set(SPLITS)
    for split, rows in loaded.items():
        items = list(ShardFolder(team / "shards", split).items())
        clips = MEDIA_COLUMNS[MediaKind.CLIP]  # decoding it needs FFmpeg's libraries
        read = list(rows.cast_column(clips, datasets.Video(decode=False)))
        assert [row["item_id"] for row in read] == [item.item_id for item in items]
        for row, item in zip(read, items, strict=True):
            still = row[MEDIA_COLUMNS[MediaKind.STILL]]
            assert (still is not None and min(still.size) >= 144) == (item.media_kind is MediaKind.STILL)
            assert (row[clips] is not None) == (item.media_kind is MediaKind.CLIP)


@pytest.mark.host
def test_lmms_eval_asks_a_tiny_model_every_question_of_the_test(
    team: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMMS_EVAL_DATASETS_CACHE", str(tmp_path / "datasets"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = ["--model", "qwen2_5_vl", "--model_args", f"pretrained={tiny_model},device=cpu,device_map=cpu"]
    command = ["eval", "--tasks", "shotbench", "--data", str(team / "shards"), "--out", str(tmp_path / "run"), *model]
    assert main([*command, "--gen_kwargs", "max_new_tokens=1", "--verbosity", "WARNING"]) == 0
    samples = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text("utf-8").splitlines()]
    assert len(samples) == len(list(ShardFolder(team / "shards", "test").items())) > 0
    assert {sample["response"] for sample in samples} <= set("ABCD")


@pytest.mark.verl
def test_verls_datasets_read_every_question_of_training(team: Path, tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("verl")
    from verl.utils.tokenizer import hf_processor

    from verl_recipes.training_rows import write_training_rows

    processor: Any = hf_processor(str(tiny_model))
    lessons = film_lessons(write_training_rows(str(team / "shards"), "sft", tmp_path / "sft", "sft"), processor)
    items = list(ShardFolder(team / "shards", "sft").items())
    assert len(lessons) == len(items) > 0
    for lesson, item in zip((lessons[index] for index in range(len(items))), items, strict=True):
        kind = "video_grid_thw" if item.media_kind is MediaKind.CLIP else "image_grid_thw"
        assert kind in lesson["multi_modal_inputs"]
    prompts = film_prompts(write_training_rows(str(team / "shards"), "grpo", tmp_path / "grpo", "grpo"), processor)
    items = list(ShardFolder(team / "shards", "grpo").items())
    assert len(prompts) == len(items) > 0
    answers = [prompts[index]["reward_model"]["ground_truth"] for index in range(len(items))]
    assert answers == [item.answer for item in items]
