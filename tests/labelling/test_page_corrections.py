"""Correction on the page of labels in a real browser: by keyboard to the file, undone, loaded again, applied."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.labelling.apply_corrections import apply_corrections, overlay
from lmms_eval_shotbench.labelling.corrections import COLUMNS, corrections_csv, merge_corrections, read_corrections
from lmms_eval_shotbench.labelling.deciding.contradictions import contradictions_of
from lmms_eval_shotbench.labelling.label_cell import PERSON, LabelCell, Status
from lmms_eval_shotbench.labelling.page.write_page import sheet_identity, write_page
from lmms_eval_shotbench.labelling.shot_sheet import TABLE, read_sheet
from lmms_eval_shotbench.vocabulary import COMPOSITION, LIGHTING_TYPE, SHOT_SIZE, slugs
from tests.support.chromium import said
from tests.support.label_sheets import MODEL, drawn_sheet
from tests.support.opened_labels import FILMS, OpenedPage

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


# --- correction by keyboard


def test_corrections_by_keyboard_are_saved_and_applied(page: OpenedPage, tmp_path: Path) -> None:
    edits = [
        (0, "shot_size", ("2",), "Close Up", Status.LABELLED),
        (1, "camera_angle", ("0",), "", Status.NONE),
        (2, "composition", ("BACKSPACE",), "", Status.UNSURE),
        (3, "lighting_type", ("2", "3"), "Tungsten", Status.LABELLED),
        (4, "camera_movement", ("1", "7", ">", "2", "1"), "Firstly Pan left, then Tilt up", Status.LABELLED),
        (13, "camera_movement", ("3", "4"), "Static shot", Status.LABELLED),
    ]
    for row, slug, keys, label, status in edits:
        page.go(row, slug)
        page.press(*keys)
        spoken = {Status.NONE: "no label: the shot says nothing about it", Status.UNSURE: "unsure"}.get(status, label)
        assert f": {spoken}, corrected, not applied yet" in page.cell()
    page.go(5, "lighting_condition")
    page.press("2")
    page.press("2")
    page.press("1", "2", shift=True)  # Silhouette, and Backlight with it
    assert "Backlight, Silhouette" in page.cell()
    assert page.texts(".unsaved") == ["7 unsaved"]
    saved = page.saved(tmp_path / "downloads")
    assert page.texts(".unsaved") == ["all saved"]

    made = read_corrections(saved, page.sheet)
    expected = [*((row, slug, label, status) for row, slug, _, label, status in edits)]
    expected.append((5, "lighting_condition", "Backlight, Silhouette", Status.LABELLED))
    shots = [row.shot for row in page.sheet.shots]
    assert [(one.shot_id, one.dimension, one.label, one.status, one.film_id, one.start) for one in made] == [
        (shots[row].shot_id, slug, label, status, shots[row].film_id, shots[row].start_seconds)
        for row, slug, label, status in expected
    ]
    assert saved.read_text().splitlines()[0] == ",".join(COLUMNS)

    assert not apply_corrections(page.folder, saved).lost
    table = list(csv.DictReader((page.folder / TABLE).open(encoding="utf-8")))
    for row, slug, label, status in expected:
        found = table[row]
        assert (found[slug], found[f"{slug}_status"], found[f"{slug}_source"]) == (label, str(status), PERSON)
    before = read_sheet(page.folder).shots
    assert [row for row in range(24) if before[row] != page.sheet.shots[row]] == sorted({row for row, *_ in expected})
    page.open()
    assert page.texts(".unsaved") == ["no corrections"]  # those that are applied are no edits any more
    assert len(page.texts(".cell.by-person")) > 3 and page.texts(".cell.edited") == []
    assert said(page.browser) == []


def test_corrections_outlast_the_page_and_are_undone_and_redone(page: OpenedPage) -> None:
    original = page.sheet.shots[0].cells["shot_size"].label
    page.go(0, "shot_size")
    page.press("7")
    page.press("1")
    assert "Extreme Close Up" in page.cell()
    page.press("u")
    assert "Extreme Wide" in page.cell()
    page.press("ARROW_DOWN", "u")
    assert original in page.cell() and page.texts(".unsaved") == ["no corrections"]
    page.press("u")
    assert "nothing to undo" in page.texts(".announced")[0]
    page.press("r")
    page.press("r")
    assert "Extreme Close Up, corrected" in page.cell()
    page.open()
    page.go(0, "shot_size")
    assert "Extreme Close Up, corrected, not applied yet" in page.cell()
    assert page.texts(".unsaved") == ["1 unsaved"]
    page.press("DELETE")
    assert original in page.cell() and page.texts(".unsaved") == ["no corrections"]


def test_two_windows_of_the_same_page_share_their_corrections(page: OpenedPage) -> None:
    first = page.browser.current_window_handle
    page.browser.switch_to.new_window("window")
    page.open()
    page.go(1, "shot_size")
    page.press("7")
    page.browser.close()
    page.browser.switch_to.window(first)
    assert page.becomes(lambda: page.texts(".unsaved") == ["1 unsaved"])
    page.go(1, "shot_size")
    assert "Extreme Wide, corrected" in page.cell()


def test_terms_of_a_facet_exclude_each_other_and_others_are_added_and_removed(page: OpenedPage) -> None:
    page.go(0, "lighting_type")
    page.press("1", "1")
    page.press("1", "6", shift=True)
    assert "Daylight, Practical light" in page.cell()
    page.press("1", "5", shift=True)
    assert "Moonlight, Practical light" in page.cell()
    page.press("1", "6", shift=True)
    assert "Lighting Type: Moonlight, corrected" in page.cell()
    page.press("1", "5", shift=True)
    assert "Lighting Type: unsure, corrected" in page.cell()
    page.press("3")
    assert "3 is no term of Lighting Type" in page.texts(".announced")[0]


def test_enter_confirms_a_guess_and_n_goes_to_what_has_to_be_asked(page: OpenedPage) -> None:
    page.go(0, SHOT_SIZE.slug)
    asked = [
        (row, slug)
        for row, one in enumerate(page.sheet.shots)
        for slug, cell in one.cells.items()
        if (cell.status is Status.UNSURE or cell.contradictions) and (row, slug) > (0, "")
    ]
    page.press("n")
    at = page.js(
        "const e = document.activeElement; return [e.parentElement.dataset.position, e.dataset.column].map(Number)"
    )
    first = next((row, slug) for row, slug in asked if (row, slugs().index(slug)) > (0, 0))
    assert at == [first[0], slugs().index(first[1])]
    guess = page.sheet.shots[first[0]].cells[first[1]]
    page.press("ENTER")
    assert f"{guess.label}, corrected" in page.cell()


def test_a_saved_file_is_loaded_again_and_a_later_edit_stays(page: OpenedPage, tmp_path: Path) -> None:
    page.go(0, "shot_size")
    page.press("2")
    page.go(1, "shot_size")
    page.press("3")
    saved = page.saved(tmp_path / "downloads")
    kept = tmp_path / "kept.csv"
    bad = "film-0-0001,shot_size,Huge,labelled,2026-11-30T10:00:00Z,,,\n"
    kept.write_text(saved.read_text() + bad)
    page.press("u")
    page.go(0, "shot_size")
    page.press("4")
    page.browser.find_element("id", "labels-file").send_keys(str(kept))
    assert page.becomes(lambda: "taken over" in page.texts(".announced")[0])
    assert ": 1. Left out, 1: " in page.texts(".announced")[0]
    assert "line 4: Huge is no label here" in page.texts(".announced")[0]
    assert "Medium, corrected" in page.cell()
    page.press("ARROW_DOWN")
    assert "Medium Close Up, corrected" in page.cell()


def test_a_file_of_other_cuts_is_matched_by_time_and_what_matches_nothing_is_named(
    page: OpenedPage, tmp_path: Path
) -> None:
    """The sheet's shots last two seconds; the file numbers them otherwise, as after a cut was found before them."""
    film, size = FILMS[0], SHOT_SIZE.slug

    def line(shot_id: str, label: str, times: str, second: int, of: str = film) -> str:
        return f"{shot_id},{size},{label},labelled,2026-11-30T10:00:{second:02}.000+00:00,{of},{times}\n"

    lines = [
        line("film-0-0003", "Close Up", "2.100000,4.200000", 1),  # shot 2
        line("film-0-0004", "Wide", "6,8", 2),  # shot 4, with its own number
        line("film-0-0099", "Medium", "1.9,4", 0),  # shot 2 as well, but earlier
        line("film-0-0005", "Medium", "9,11", 3),  # a third of shots 5 and 6 each
        line("film-0-0006", "Medium", "80,82", 4),
        line("film-0-0007", "Medium", "12,14", 5, of="another"),
    ]
    (file := tmp_path / "other cuts.csv").write_text(",".join(COLUMNS) + "\n" + "".join(lines))
    page.browser.find_element("id", "labels-file").send_keys(str(file))
    assert page.becomes(lambda: "taken over" in page.texts(".announced")[0])
    said_of_it = page.texts(".announced")[0]
    assert "from other cuts.csv: 2. Found by their times in shots of other numbers: 2. Left out, 3: " in said_of_it
    assert f"line 5: no shot of {film} is from 0:09.0 to 0:11.0" in said_of_it
    assert "line 6: no shot of harbour" in said_of_it and "line 7: no shot of another" in said_of_it
    made = read_corrections(page.saved(tmp_path / "downloads"), page.sheet)
    assert [(one.shot_id, one.label, one.start) for one in made] == [
        ("film-0-0002", "Close Up", 2.0),
        ("film-0-0004", "Wide", 6.0),
    ]
    overlaid = overlay(page.sheet, read_corrections(file))
    of_page, of_apply = (
        [(one.shot_id, one.label) for one in some] for some in (made, merge_corrections(overlaid.applied))
    )
    assert of_page == of_apply and len(overlaid.lost) == 3


def test_a_film_with_a_comma_and_quotes_survives_the_file(browser: Any, tmp_path: Path) -> None:
    film = 'night, "day"'
    write_page(tmp_path, drawn_sheet(tmp_path, 2, (film,), media=False))
    page = OpenedPage(browser, tmp_path)
    page.go(0, "shot_size")
    page.press("2")
    saved = page.saved(tmp_path / "downloads")
    (one,) = read_corrections(saved, page.sheet)
    assert one.film_id == film
    applied = tmp_path / "applied.csv"
    applied.write_text(corrections_csv([one]))  # as `shotbench label apply` keeps it
    page.press("u")
    for path in (saved, applied):
        page.browser.find_element("id", "labels-file").send_keys(str(path))
        assert page.becomes(lambda: "taken over" in page.texts(".announced")[0])
        assert "Close Up, corrected" in page.cell()
        page.press("DELETE")


@pytest.mark.parametrize("stored", ["no JSON", "null", "7", '{"edits": 3}', '{"edits": [["film-9 shot_size", {}]]}'])
def test_what_another_page_left_in_the_browser_does_no_harm(page: OpenedPage, stored: str) -> None:
    page.js(
        "localStorage.setItem(arguments[0], arguments[1])", f"shotbench-labels-{sheet_identity(page.sheet)}", stored
    )
    page.open()
    assert said(page.browser) == [] and page.texts(".unsaved")[0].startswith("no corrections")
    page.go(1, SHOT_SIZE.slug)
    page.press("2")
    assert "Close Up, corrected" in page.cell() and page.texts(".unsaved") == ["1 unsaved"]


def test_a_correction_flags_contradictions_as_the_command_does(browser: Any, tmp_path: Path) -> None:
    cells = {
        "shot_framing": LabelCell(Status.LABELLED, "Insert", 0.9, source=MODEL),
        LIGHTING_TYPE.slug: LabelCell(Status.LABELLED, "Moonlight", 0.9, source=MODEL),
        COMPOSITION.slug: LabelCell(Status.LABELLED, "Center", 0.9, source=MODEL),
    }
    sheet = drawn_sheet(tmp_path, 1, media=False)
    write_page(tmp_path, replace(sheet, shots=[replace(sheet.shots[0], cells=cells)]))
    page = OpenedPage(browser, tmp_path)
    page.js("document.querySelector('.cell').focus()")
    page.press("6")  # Establishing shot
    page.press("ARROW_RIGHT")
    page.press("1", "8", shift=True)  # Sunny, with Moonlight
    edited = {
        "shot_framing": replace(cells["shot_framing"], label="Establishing shot"),
        LIGHTING_TYPE.slug: replace(cells[LIGHTING_TYPE.slug], label="Moonlight, Sunny"),
        COMPOSITION.slug: cells[COMPOSITION.slug],
    }
    expected = contradictions_of(edited)
    assert expected[LIGHTING_TYPE.slug]
    named = dict(
        zip(edited, page.js("return [...document.querySelectorAll('.cell')].map(e => e.ariaLabel)"), strict=True)
    )
    for slug, sentences in expected.items():
        assert named[slug].endswith(f"corrected, not applied yet, {', '.join(sentences)}")
    assert named[COMPOSITION.slug].endswith("confidence 90 percent")
    page.press("1", "5")
    assert page.texts(".cell.contradiction") == []
