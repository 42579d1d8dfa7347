"""Rows of ShotQA become questions: text formats, answers, films, splits, and invalid rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.defects import Defect, DefectKind
from data_pipeline.releases.shotqa_files import ShotQARelease, find_shotqa
from data_pipeline.releases.shotqa_questions import ShotQAChoices, ShotQAQuestion, is_sampled, read_shotqa
from data_pipeline.releases.shotqa_rows import read_row, split_prompt
from lmms_eval_shotbench.prompts import user_text
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, LENS_SIZE, LIGHTING_CONDITION, SHOT_SIZE, MediaKind
from tests.support.shotqa_releases import OPTIONS, clip_row, prompt, shotqa, still_row

Recorded = list[tuple[DefectKind, str, bool]]


def read(folder: Path, dev_share: float = 0.0, **files: Any) -> tuple[list[ShotQAQuestion], Recorded]:
    defects: list[Defect] = []
    found = read_shotqa(find_shotqa(str(shotqa(folder, **files))), ShotQAChoices(dev_share), defects)
    assert found.rows_read == len(found.good) + found.open_ended + sum(defect.loses_row for defect in defects)
    return found.good, [(defect.kind, defect.index, defect.loses_row) for defect in defects]


def test_the_published_format_yields_the_official_prompt() -> None:
    item = read_row(still_row("NJ8E6FEM.jpg"), "shotqa-grpo-000000", 7).item
    assert (item.question, item.options, item.answer) == (SHOT_SIZE.question, OPTIONS, "B")
    assert (item.media_kind, item.media_path, item.source_index) == (MediaKind.STILL, "images/NJ8E6FEM.jpg", 7)
    assert user_text(item) == prompt()


@pytest.mark.parametrize(
    "text",
    [
        "<image>\n" + prompt(),
        "< video >" + prompt(),
        prompt().replace(". ", ") "),
        prompt().replace("A. ", "(A) ").replace("B. ", "(B) ").replace("C. ", "(C) ").replace("D. ", "(D) "),
        prompt().replace("\n", " "),
        prompt().replace("Options:", "Choices:"),
        prompt().replace("Question: ", "").replace("Options:\n", ""),
        prompt().replace("\n", "\r\n"),
        "Look at take A. It is a test.\n" + prompt(),
        prompt() + " Answer with one of (A), (B), (C), (D).",
        prompt().partition("\nPlease")[0],
    ],
)
def test_other_text_formats_are_equivalent(text: str) -> None:
    question, options = split_prompt(text)
    assert (question.removeprefix("Look at take A. It is a test.").strip(), options) == (SHOT_SIZE.question, OPTIONS)


@pytest.mark.parametrize(
    "answer", ["<answer>C</answer>", "c", "C.", "(C)", "C. Medium", "medium", "<answer> Medium </answer>"]
)
def test_an_answer_may_be_a_letter_or_text_in_solution_or_assistant_message(answer: str) -> None:
    row = still_row("a.jpg")
    assert read_row(row | {"solution": answer}, "x", 0).item.answer == "C"
    messages = [*row["messages"], {"role": "assistant", "content": answer}]
    assert read_row({"messages": messages, "images": row["images"]}, "x", 0).item.answer == "C"


def test_a_thought_is_not_read_as_an_answer() -> None:
    row = still_row("a.jpg") | {"solution": "<think>B? No, D.</think><answer>A</answer>"}
    assert read_row(row, "x", 0).item.answer == "A"


@pytest.mark.parametrize(
    ("published", "worded"),
    [
        ("Push in and Tilt up", "Push in, Tilt up"),
        ("Firstly Push in; secondly Pan right", "Firstly Push in, then Pan right"),
        ("Fristly trucking left, then tilt down.", "Firstly Move to the left, then Tilt down"),
        ("static", "Static shot"),
        ("A shaky walk", "A shaky walk"),
    ],
)
def test_movements_are_rewritten_in_the_terms_of_the_vocabulary(published: str, worded: str) -> None:
    parsed = read_row(clip_row("a.mp4", ["Arc", published, "Pan left", "Zoom in"]), "x", 0)
    assert parsed.item.gold == worded
    assert parsed.item.dimension == CAMERA_MOVEMENT.slug
    assert [warning.kind for warning in parsed.warnings] == [DefectKind.UNKNOWN_TERM] * (worded == published)


def test_dimensions_are_recognised_by_their_longest_name_or_by_the_options() -> None:
    def dimension(question: str, *options: str) -> str:
        text = prompt(SHOT_SIZE, options).replace(SHOT_SIZE.question, question)
        return read_row(still_row("a.jpg", text), "x", 0).item.dimension

    light = ("Side light", "Backlight")
    assert dimension("What's the lighting condition here?", *light) == LIGHTING_CONDITION.slug
    assert dimension("How is this lit?", *light) == LIGHTING_CONDITION.slug
    assert dimension("Name the LENS size.", "Wide", "Medium") == LENS_SIZE.slug
    with pytest.raises(ValueError, match="dimension"):
        dimension("How wide is it?", "Wide", "Medium")  # terms of two dimensions


@pytest.mark.parametrize(
    ("row", "named"),
    [
        (None, "row"),
        ({}, "messages"),
        (still_row("a.jpg", messages="B"), "messages"),
        (still_row("a.jpg", messages=[{"role": "user", "content": prompt()}] * 2), "messages"),
        (still_row("a.jpg", images=[]), "media"),
        (still_row("a.jpg", images=["a.jpg", "b.jpg"]), "media"),
        (still_row("a.jpg", videos=["b.mp4"]), "media"),
        (still_row("a.jpg", images=[7]), "media"),
        (still_row("a.jpg", letter="E"), "solution"),
        (still_row("a.jpg", solution=""), "solution"),
        (still_row("a.jpg", solution="Medium Wide"), "solution"),
        (still_row("a.jpg", prompt(options=["Wide", "Medium"]).replace("shot size", "mood")), "question"),
        (still_row("a\udcff.jpg"), "surrogate"),
    ],
)
def test_a_broken_row_is_a_defect_that_names_the_field(row: object, named: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=named):
        read_row(row, "x", 0)
    good, recorded = read(tmp_path, grpo=[row, still_row("good.jpg")])
    assert [question.item.item_id for question in good] == ["shotqa-grpo-000001"]
    assert recorded == [(DefectKind.BAD_ROW, "shotqa-grpo-000000", True)]


@pytest.mark.parametrize("path", ["/mnt/data/a.jpg", "../a.jpg", "C:\\shots\\a.jpg"])
def test_a_path_outside_the_release_is_reduced_to_its_name(path: str) -> None:
    assert read_row(still_row("a.jpg", images=[path]), "x", 0).item.media_path == "a.jpg"


def test_equivalent_options_lose_the_row_only_if_one_is_right(tmp_path: Path) -> None:
    same_wrong = clip_row("a.mp4", ["Arc", "Boom up", "Static", "Static shot"])
    same_right = clip_row("b.mp4", ["Arc", "Tilt up and Pan left", "Pan left, Tilt up", "Boom up"])
    good, recorded = read(tmp_path, grpo=[same_wrong, same_right])
    assert [question.item.options for question in good] == [("Arc", "Boom up", "Static shot", "Static shot")]
    assert recorded == [
        (DefectKind.SAME_OPTIONS, "shotqa-grpo-000000", False),
        (DefectKind.SAME_OPTIONS, "shotqa-grpo-000001", True),
    ]


def test_a_question_in_both_files_is_kept_in_grpo_and_open_ended_rows_are_counted(tmp_path: Path) -> None:
    asked = still_row("a.jpg", "Describe this shot.")
    shuffled = still_row("a.jpg", prompt(options=OPTIONS[::-1]), letter="C")
    other = still_row("a.jpg", prompt(LENS_SIZE, ["Wide", "Medium"]))
    good, recorded = read(tmp_path, grpo=[still_row("a.jpg")], sft=[asked, shuffled, other, asked])
    assert [(split, item.item_id) for split, _, item in good] == [
        ("grpo", "shotqa-grpo-000000"), ("sft", "shotqa-sft-000002"),
    ]  # fmt: skip
    assert recorded == [(DefectKind.DUPLICATE_QUESTION, "shotqa-sft-000001", True), (DefectKind.OPEN_ENDED, "", False)]


def test_films_and_times_come_from_meta_or_from_the_clips_name(tmp_path: Path) -> None:
    meta = [
        {"img_id": "a.jpg", "title": "Quiz  Lady", "Timestamp": "1:02:03.5"},
        {"img_id": "b.jpg", "title": "Station Eleven/season/1/episode/2", "time": 61},
        {"img_id": "b.jpg", "title": "Another"},
        {"img_id": "c.jpg", "title": None, "imdb_id": "tt0360486"},
        {"title": "Nameless"},
    ]
    rows = [*(still_row(name) for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg")), clip_row("-4dDC0lPRB0.webm_14.mp4")]
    release = shotqa(tmp_path, grpo=rows, meta=meta)
    with (release / "meta.jsonl").open("a") as stream:
        stream.write("{broken\n[1]\n")
    found = read_shotqa(ShotQARelease(release, release / "data.tar.gz"), ShotQAChoices(0), [])
    assert [(item.film_id, item.start_seconds) for _, _, item in found.good] == [
        ("Quiz Lady", 3723.5), ("Station Eleven", 61.0), ("tt0360486", None), ("", None), ("-4dDC0lPRB0", None),
    ]  # fmt: skip


def test_dev_takes_complete_films_from_both_files_in_about_the_share(tmp_path: Path) -> None:
    names = [f"{film}-{shot}.jpg" for film in range(200) for shot in range(3)]
    meta = [{"img_id": name, "title": name.partition("-")[0]} for name in names]
    rows = [still_row(name) for name in names]
    good, _ = read(tmp_path, dev_share=0.1, grpo=rows[::2], sft=rows[1::2], meta=meta)
    films = {
        split: {item.film_id for item_split, _, item in good if item_split == split} for split in ("sft", "grpo", "dev")
    }
    assert not films["dev"] & (films["sft"] | films["grpo"])
    assert 10 <= len(films["dev"]) <= 30
    assert films["dev"] == {name for name in map(str, range(200)) if is_sampled(name, 0.1)}
    assert {item.source_index < 1_000_000 for item_split, _, item in good if item_split == "sft"} == {True}
    assert len({item.source_index for _, _, item in good}) == len(good) == 600


def test_an_incomplete_release_is_refused_with_the_missing_file(tmp_path: Path) -> None:
    for name in ("meta.jsonl", "grpo.json", "data.tar.gz"):
        release = shotqa(tmp_path / name)
        (release / "sft.json").unlink()
        (release / name).unlink()
        with pytest.raises(ValueError, match=name):
            find_shotqa(str(release))


def test_open_ended_file_is_read_on_request_only(tmp_path: Path) -> None:
    release = shotqa(tmp_path, sft=[still_row("a.jpg")])
    (release / "sft_v1.1.json").write_text(
        json.dumps([still_row("a.jpg"), still_row("b.jpg"), still_row("c.jpg", "Why?")])
    )
    assert len(read_shotqa(find_shotqa(str(release)), ShotQAChoices(), []).good) == 1
    found = read_shotqa(find_shotqa(str(release)), ShotQAChoices(with_open_ended=True), [])
    assert [item.item_id for _, _, item in found.good] == ["shotqa-sft-000000", "shotqa-sft11-000001"]
    assert (found.rows_read, found.open_ended) == (4, 1)
