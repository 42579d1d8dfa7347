"""Captions of shots: their English, their template, and the folders that trainers load."""

from __future__ import annotations

import json
import os
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from lmms_eval_shotbench.labelling.exports.caption_template import (
    BadCaptionTemplate,
    CaptionStyle,
    CaptionTemplate,
    read_caption_template,
)
from lmms_eval_shotbench.labelling.exports.caption_text import caption
from lmms_eval_shotbench.labelling.exports.captions import CaptionCounts, write_captions
from lmms_eval_shotbench.labelling.label_cell import LabelCell, Status
from lmms_eval_shotbench.labelling.shot import FilmFacts, FilmShot
from lmms_eval_shotbench.labelling.shot_sheet import SheetRow, ShotSheet
from lmms_eval_shotbench.vocabulary import (
    CAMERA_ANGLE,
    CAMERA_MOVEMENT,
    DIMENSIONS,
    LENS_SIZE,
    SHOT_FRAMING,
    SHOT_SIZE,
    MediaKind,
)
from tests.support import REPOSITORY

GOLDEN = [
    json.loads(line)
    for line in (REPOSITORY / "tests" / "golden" / "captions.jsonl").read_text(encoding="utf-8").splitlines()
]
PACKAGED = read_caption_template()
TAGS = replace(PACKAGED, style=CaptionStyle.TAGS)


def a_row(labels: dict[str, str], number: int = 1, **cells: LabelCell) -> SheetRow:
    shot_id = f"film.a-{number:04}"
    shot = FilmShot(shot_id, "film.a", number, f"media/film.a/{number}.jpg", f"media/film.a/{number}.mp4")
    return SheetRow(shot, {slug: LabelCell(Status.LABELLED, text, 0.9) for slug, text in labels.items()} | cells)


def sentence(labels: dict[str, str], template: CaptionTemplate = PACKAGED, kind: MediaKind = MediaKind.CLIP) -> str:
    return caption(a_row(labels), kind, template)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["tags"])
def test_sentences_and_tags_are_the_golden_ones(case: dict[str, str]) -> None:
    labels = dict(case["labels"])  # type: ignore[arg-type]
    assert (sentence(labels), sentence(labels, TAGS)) == (case["sentence"], case["tags"])


def test_the_golden_file_has_every_term() -> None:
    terms = {(dimension.slug, term.name) for dimension in DIMENSIONS for term in dimension.terms}
    assert terms <= {item for case in GOLDEN for item in case["labels"].items()}


def test_every_combination_of_present_and_absent_labels_is_one_well_formed_sentence() -> None:
    draw = random.Random(23)
    for present in range(1, 1 << len(DIMENSIONS)):
        asked = [dimension for place, dimension in enumerate(DIMENSIONS) if present >> place & 1]
        text = sentence({dimension.slug: draw.choice(dimension.terms).name for dimension in asked})
        assert re.fullmatch(r"An? [^.]*[a-z]\.", text), text
        assert not re.search(r"  |[,;] ?[,;.]|[\[\]{}*]| [,;.]", text), text
        assert not re.match(r"A [aeiou]|An [^aeiou]", text), text
        assert ("camera" in text) == (CAMERA_MOVEMENT in asked), text
        assert ("lens" in text) == (LENS_SIZE in asked), text


def test_only_labelled_cells_are_named() -> None:
    unsure = LabelCell(Status.UNSURE, "Static shot", 0.4)
    none = LabelCell(Status.NONE, confidence=0.9)
    row = a_row({SHOT_SIZE.slug: "Wide"}, **{CAMERA_MOVEMENT.slug: unsure, CAMERA_ANGLE.slug: none})
    assert caption(row, MediaKind.CLIP, PACKAGED) == "A wide shot."
    assert caption(a_row({}, **{CAMERA_MOVEMENT.slug: unsure}), MediaKind.CLIP, PACKAGED) == ""


def test_a_still_shows_no_movement() -> None:
    labels = {SHOT_SIZE.slug: "Wide", CAMERA_MOVEMENT.slug: "Pan left"}
    assert sentence(labels, kind=MediaKind.STILL) == "A wide shot."
    assert sentence({CAMERA_MOVEMENT.slug: "Pan left"}, kind=MediaKind.STILL) == ""


def test_a_template_changes_the_wording(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        'sentence = "sks, {shot}[ ({camera_movement}, {camera_angle})][ ⟨{camera_movement}⟩] of {film_id}"\n'
        'tags = ["sks film", "{camera_movement}", "{camera_angle}", "{shot_size}"]\n'
        '[phrase.shot_size]\nCU = "tight *"\n[tag.shot_size]\nCU = "tight shot"\n',
        encoding="utf-8",
    )
    own = read_caption_template(path)
    labels = {SHOT_SIZE.slug: "Close Up", SHOT_FRAMING.slug: "2 shot", CAMERA_MOVEMENT.slug: "Pan left"}
    assert sentence(labels, own) == "sks, a tight two-shot ⟨pans left⟩ of film.a"
    assert sentence(labels, replace(own, style=CaptionStyle.TAGS)) == "sks film, pan left, tight shot"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('sentence = "{shot} {mood}"', r"unknown field \{mood\}; the fields are shot, "),
        ('sentence = "{shot}[, {camera_angle}"', "without its counterpart"),
        ('sentence = "{shot}[, [{camera_angle}]]"', "inside another"),
        ('tags = ["[{shot_size}]"]', "where no text is optional"),
        ('tags = "{shot_size}"', "no list"),
        ('style = "poem"', "one of sentence, tags"),
        ('sentense = "x"', "unknown key sentense"),
        ('[phrase.mood]\nx = "y"', "'mood' is no dimension"),
        ('[phrase.shot_size]\nHuge = "huge"', "'Huge' is no term"),
        ('[tag.shot_size]\nWide = "wide, open"', "without a comma"),
        ("[phrase]\nshot_size = 3", "is no table"),
        ("phrase = 3", "is no table"),
        ("sentence = ", "no TOML"),
        ("sentence = 4", "no text"),
    ],
)
def test_a_wrong_template_is_refused_with_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadCaptionTemplate, match=reason) as error:
        read_caption_template(path)
    assert str(path) in str(error.value)
    with pytest.raises(BadCaptionTemplate, match="cannot be opened"):
        read_caption_template(tmp_path / "absent.toml")


def a_sheet(folder: Path) -> ShotSheet:
    """Four shots: two labelled, one by its movement alone, one without a label; the media of the second are missing."""
    rows = [
        a_row({SHOT_SIZE.slug: "Close Up", CAMERA_MOVEMENT.slug: "Push in"}, 1),
        a_row({SHOT_SIZE.slug: "Wide"}, 2),
        a_row({CAMERA_MOVEMENT.slug: "Static shot"}, 3),
        a_row({}, 4),
    ]
    (folder / "media" / "film.a").mkdir(parents=True)
    for row in rows:
        if row.shot.number != 2:
            (folder / row.shot.clip).write_bytes(b"clip %d" % row.shot.number)
            (folder / row.shot.still).write_bytes(b"still %d" % row.shot.number)
    return ShotSheet([FilmFacts("film.a", "film.a.mov", "/films/film.a.mov")], rows)


def test_folders_have_media_texts_and_metadata_of_labelled_shots_alone(tmp_path: Path) -> None:
    counts = write_captions(tmp_path, a_sheet(tmp_path))
    assert counts == {MediaKind.CLIP: CaptionCounts(2, 1, 1), MediaKind.STILL: CaptionCounts(1, 2, 1)}
    assert str(counts[MediaKind.CLIP]) == "2 captions, 1 left out without a label, 1 left out whose file is missing"
    clips = tmp_path / "captions" / "clips"
    assert sorted(path.name for path in clips.iterdir()) == [
        *("film.a-0001.mp4", "film.a-0001.txt", "film.a-0003.mp4", "film.a-0003.txt", "metadata.jsonl"),
    ]
    assert (clips / "film.a-0001.txt").read_bytes() == b"A close-up; the camera pushes in.\n"
    assert (clips / "film.a-0001.mp4").read_bytes() == b"clip 1"
    lines = [json.loads(line) for line in (clips / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[1] == {
        "file_name": "film.a-0003.mp4",
        "text": "A shot; the camera remains static.",
        "film_id": "film.a",
        "shot_id": "film.a-0003",
    }


def test_a_second_run_replaces_the_captions(tmp_path: Path) -> None:
    sheet = a_sheet(tmp_path)
    write_captions(tmp_path, sheet)
    write_captions(tmp_path, ShotSheet(sheet.films, sheet.shots[2:]), TAGS)
    clips = tmp_path / "captions" / "clips"
    assert sorted(path.name for path in clips.glob("*.txt")) == ["film.a-0003.txt"]
    assert (clips / "film.a-0003.txt").read_text(encoding="utf-8") == "static shot\n"
    assert not (tmp_path / "captions" / "stills").exists()  # none of these stills has a label


def test_media_are_copied_where_the_file_system_has_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(source: Path, target: Path) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", no_links)
    write_captions(tmp_path, a_sheet(tmp_path))
    assert (tmp_path / "captions" / "stills" / "film.a-0001.jpg").read_bytes() == b"still 1"


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "column"), [("clips", "video"), ("stills", "image")])
def test_hugging_face_datasets_loads_the_folders(
    tmp_path: Path, folder: str, column: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    # It imports torchcodec also if it decodes nothing, and fails if that cannot find its FFmpeg.
    monkeypatch.setattr(datasets.config, "TORCHCODEC_AVAILABLE", False)
    write_captions(tmp_path / "labels", a_sheet(tmp_path / "labels"))
    data = datasets.load_dataset(
        f"{column}folder", data_dir=str(tmp_path / "labels" / "captions" / folder), cache_dir=str(tmp_path / "cache")
    )["train"]
    feature = datasets.Video(decode=False) if column == "video" else datasets.Image(decode=False)
    data = data.cast_column(column, feature)
    assert data["text"][0] in {"A close-up; the camera pushes in.", "A close-up."}
    assert Path(data[0][column]["path"]).stem == "film.a-0001" == data["shot_id"][0]
