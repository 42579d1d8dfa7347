"""The page of labels as a file: its data, its media within the budget, its safety."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.labelling.page import page_media
from lmms_eval_shotbench.labelling.page.page_media import CLIPS, MOST_EMBEDDED
from lmms_eval_shotbench.labelling.page.write_page import (
    PAGE,
    PAGE_BYTES,
    SCORES,
    page_data,
    sheet_identity,
    stored_scores,
    write_page,
)
from lmms_eval_shotbench.labelling.shot import FilmFacts
from lmms_eval_shotbench.labelling.shot_sheet import ShotSheet, labels_digest
from lmms_eval_shotbench.vocabulary import DIMENSIONS, SHOT_SIZE
from tests.support.label_scores import SCORED
from tests.support.label_sheets import drawn_cell, drawn_sheet
from tests.support.parsed_page import Element, parsed
from tests.support.rendered_clips import Rendering, render

HOSTILE = "</script><script>window.ran = 1</script>"


def written(folder: Path, sheet: ShotSheet, scores: dict[str, Any] | None = None) -> Element:
    return parsed(write_page(folder, sheet, scores).read_text(encoding="utf-8"))


def data_of(page: Element, name: str) -> Any:
    return json.loads(page.by_id(name).text)


def test_the_page_holds_every_shot_with_its_cells_and_media(tmp_path: Path) -> None:
    sheet = drawn_sheet(tmp_path, 3, ("harbour", "night train"))
    page = written(tmp_path, sheet)
    shots, media = data_of(page, "labels-data")["shots"], data_of(page, "labels-media")
    assert [shot["id"] for shot in shots] == [row.shot.shot_id for row in sheet.shots] == list(media)
    for row, shot in zip(sheet.shots, shots, strict=True):
        for cell, (status, label, confidence, *_) in zip(row.cells.values(), shot["cells"], strict=True):
            assert (status, label, confidence) == (str(cell.status), cell.label, cell.confidence)
        still, clip = media[shot["id"]]
        assert still.startswith("data:image/jpeg;base64,") and clip.startswith("data:video/mp4;base64,")
    assert [shot["timecode"] for shot in shots[:2]] == ["01:00:00:00", "01:00:02:00"]


def test_the_policy_forbids_all_loading_and_names_the_pages_only_script(tmp_path: Path) -> None:
    page = written(tmp_path, drawn_sheet(tmp_path, 1))
    (policy,) = [one.attributes["content"] for one in page.all("meta") if "http-equiv" in one.attributes]
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "file:" not in policy
    assert len([one for one in page.all("script") if "type" not in one.attributes]) == 1
    assert not list(page.all("link", "iframe", "object"))


def test_external_text_is_data(tmp_path: Path) -> None:
    sheet = drawn_sheet(tmp_path, 1, (HOSTILE,), media=False)
    named = replace(sheet.shots[0], shot=replace(sheet.shots[0].shot, remark=HOSTILE))
    films = [replace(sheet.films[0], defects=(HOSTILE,))]
    page = written(tmp_path, replace(sheet, shots=[named], films=films))
    assert len(list(page.all("script"))) == 3
    assert data_of(page, "labels-data")["shots"][0]["remark"] == HOSTILE
    assert next(one.text for one in page.all("strong")) == HOSTILE


def test_only_dimensions_that_were_asked_are_columns(tmp_path: Path) -> None:
    sheet = drawn_sheet(tmp_path, 2, media=False)
    asked = [replace(row, cells={SHOT_SIZE.slug: row.cells[SHOT_SIZE.slug]}) for row in sheet.shots]
    assert [one["slug"] for one in page_data(replace(sheet, shots=asked))["dimensions"]] == [SHOT_SIZE.slug]
    assert len(page_data(replace(sheet, shots=[]))["dimensions"]) == len(DIMENSIONS)


def test_a_shot_without_a_cell_or_a_medium_or_times_is_shown(tmp_path: Path) -> None:
    sheet = drawn_sheet(tmp_path, 2, media=False)
    bare = replace(sheet.shots[0].shot, start_seconds=None, end_seconds=None)
    film = FilmFacts("harbour", "harbour.png", "/films/harbour.png")
    rows = [replace(sheet.shots[0], shot=bare, cells={}), sheet.shots[1]]
    data = page_data(replace(sheet, films=[film], shots=rows))
    assert data["shots"][0]["cells"] == [None] * len(DIMENSIONS) and data["shots"][0]["timecode"] == ""


def test_the_identity_stays_when_a_model_labels_again_and_changes_with_the_cuts(tmp_path: Path) -> None:
    sheet = drawn_sheet(tmp_path, 3, media=False)
    again = [replace(row, cells={"shot_size": drawn_cell(SHOT_SIZE, "again")}) for row in sheet.shots]
    cut = [replace(row, shot=replace(row.shot, end_seconds=1.0)) for row in sheet.shots]
    assert sheet_identity(replace(sheet, shots=again)) == sheet_identity(sheet)
    assert sheet_identity(replace(sheet, shots=cut)) != sheet_identity(sheet)


def test_drop_frame_timecode_counts_as_editing_systems_do(tmp_path: Path) -> None:
    sheet = drawn_sheet(tmp_path, 1, media=False)
    film = replace(sheet.films[0], frame_rate=Fraction(30000, 1001), start_timecode="00:00:59;28")
    later = replace(sheet.shots[0], shot=replace(sheet.shots[0].shot, first_frame=2))
    assert page_data(replace(sheet, films=[film], shots=[later]))["shots"][0]["timecode"] == "00:01:00;02"


# --- media


def test_missing_and_broken_media_are_counted_on_the_page(tmp_path: Path) -> None:
    sheet = drawn_sheet(tmp_path, 3)
    (tmp_path / sheet.shots[0].shot.still).write_bytes(b"no picture")
    (tmp_path / sheet.shots[1].shot.clip).unlink()
    page = written(tmp_path, sheet)
    remarks = [one.text for one in page.all("p") if one.attributes.get("class") == "warning"]
    assert remarks == [
        "Stills that are missing or broken: 1.",
        "Clips that are too large for the page, missing or broken: 1.",
    ]


def large_clip() -> bytes:
    return render(Rendering(24, size=(384, 216), codec_options={"crf": "1"}))


def test_clips_that_do_not_fit_are_made_smaller_or_left_out(tmp_path: Path) -> None:
    sheet = drawn_sheet(tmp_path, 2)
    shots = [row.shot for row in sheet.shots]
    for shot in shots:
        (tmp_path / shot.clip).write_bytes(large_clip())
    fit = page_media.page_media(tmp_path, shots, PAGE_BYTES)
    assert all(len(clip) > len(large_clip()) for _, clip in fit.addresses.values()) and not fit.remarks
    budget = len(large_clip())
    small = page_media.page_media(tmp_path, shots, budget)
    assert all(clip.startswith("data:video/mp4") for _, clip in small.addresses.values()) and not small.remarks
    assert sum(len(still) + len(clip) for still, clip in small.addresses.values()) <= budget
    none = page_media.page_media(tmp_path, shots, 10_000)
    assert [clip for _, clip in none.addresses.values()] == ["", ""] and none.remarks[0].endswith("broken: 2")
    assert all(still for still, _ in none.addresses.values())


def test_smaller_clips_are_kept_for_the_next_page(tmp_path: Path) -> None:
    sheet = drawn_sheet(tmp_path, 1)
    shot = sheet.shots[0].shot
    (tmp_path / shot.clip).write_bytes(large_clip())
    made = [page_media.page_media(tmp_path, [shot], len(large_clip()) // 2) for _ in range(2)]
    assert made[0] == made[1] and made[0].addresses[shot.shot_id][1]
    (kept,) = (tmp_path / CLIPS).iterdir()
    kept.write_bytes(render(Rendering(6)))  # a page that encoded again would not show this one
    assert page_media.page_media(tmp_path, [shot], len(large_clip()) // 2) != made[0]


def test_beyond_300_shots_media_are_files_beside_the_page(tmp_path: Path) -> None:
    sheet = drawn_sheet(tmp_path, MOST_EMBEDDED + 1, media=False)
    shots = [replace(row, shot=replace(row.shot, still="media/50% off/1.jpg")) for row in sheet.shots]
    page = written(tmp_path, replace(sheet, shots=shots))
    assert set(map(tuple, data_of(page, "labels-media").values())) == {("media/50% off/1.jpg", "")}
    (policy,) = [one.attributes["content"] for one in page.all("meta") if "http-equiv" in one.attributes]
    assert "img-src data: blob: file: 'self';" in policy and "default-src 'none'" in policy


# --- figures of a score


def test_scores_are_a_section_with_accuracy_confusion_and_calibration(tmp_path: Path) -> None:
    sheet = drawn_sheet(tmp_path, 1, media=False)
    page = written(tmp_path, sheet, SCORED).by_id("scores")
    assert "27 shots were found in it, of 30" in page.text and "(F1 0.982)" in page.text
    rows = [[cell.text for cell in row.all("th", "td")] for row in page.all("tr")]
    assert rows[1][:3] == ["Camera Movement", "20", "62.5 (52.5 – 72.5)"] and rows[1][-3:] == ["–", "3.4", "91.0"]
    assert rows[2][0] == "Mean over dimensions"
    assert rows[3:] == [
        ["True \\ in the sheet", "Pan left", "Zoom in", "unsure"],
        ["Pan left", "5", "", "2"],
        ["none", "", "1", ""],
    ]
    assert [one.attributes["cy"] for one in page.all("circle")] == ["45.0"]
    assert not re.search(r'id="scores"', write_page(tmp_path, sheet).read_text(encoding="utf-8"))


def test_scores_in_the_folder_are_found_unless_they_are_broken_or_of_other_labels(tmp_path: Path) -> None:
    sheet, other = drawn_sheet(tmp_path, 2, media=False), drawn_sheet(tmp_path, 3, media=False)
    assert stored_scores(tmp_path, sheet) is None
    (tmp_path / SCORES).write_text(json.dumps(SCORED | {"labels_digest": labels_digest(sheet)}))
    found = stored_scores(tmp_path, sheet)
    assert found and found["dimensions"] == json.loads(json.dumps(SCORED["dimensions"]))
    assert stored_scores(tmp_path, other) is None
    for broken in ("{", json.dumps(SCORED), "[]"):
        (tmp_path / SCORES).write_text(broken)
        assert stored_scores(tmp_path, sheet) is None


def test_a_page_without_clips_and_without_space_has_no_media_budget_to_divide(tmp_path: Path) -> None:
    sheet = drawn_sheet(tmp_path, 2)
    shots = [replace(row.shot, clip="") for row in sheet.shots]
    assert all(still and not clip for still, clip in page_media.page_media(tmp_path, shots, -1).addresses.values())


def test_the_page_of_300_shots_is_below_25_megabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sheet = drawn_sheet(tmp_path, 30)
    for row in sheet.shots:
        (tmp_path / row.shot.clip).write_bytes(large_clip())
    monkeypatch.setattr("lmms_eval_shotbench.labelling.page.write_page.PAGE_BYTES", PAGE_BYTES // 10)
    write_page(tmp_path, sheet)
    assert (tmp_path / PAGE).stat().st_size <= PAGE_BYTES // 10
