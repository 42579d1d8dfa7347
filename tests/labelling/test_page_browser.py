"""The page of labels in a real browser: filters, media on demand, safety and accessibility."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

from lmms_eval_shotbench.labelling.corrections import read_corrections
from lmms_eval_shotbench.labelling.label_cell import LabelCell, Status
from lmms_eval_shotbench.labelling.page.write_page import PAGE, write_page
from lmms_eval_shotbench.labelling.shot_sheet import ShotSheet
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, DIMENSIONS, SHOT_SIZE, slugs
from tests.support.chromium import asked_for, open_page, said, serious_faults, show_as
from tests.support.label_sheets import drawn_cell, drawn_sheet
from tests.support.opened_labels import FILMS, OpenedPage
from tests.test_benchmarks import figures_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


# --- what is shown


def test_every_cell_is_told_by_text_and_class_not_by_colour_alone(page: OpenedPage) -> None:
    shown = page.js(
        "return [...document.querySelectorAll('.cell')].map(e => [e.className, e.textContent,"
        " e.parentElement.dataset.position, e.dataset.column])"
    )
    assert len(shown) > 5 * len(DIMENSIONS)
    for classes, text, position, column in shown:
        cell = page.sheet.shots[int(position)].cells[slugs()[int(column)]]
        assert str(cell.status) in classes.split()
        (percent,) = re.findall(r"(\d+) %", text)
        assert int(percent) == pytest.approx(100 * (cell.confidence or 0), abs=0.5001)
        assert {Status.LABELLED: cell.label, Status.NONE: "none", Status.UNSURE: f"{cell.label}?"}[cell.status] in text
        assert ("unsure" in text) == (cell.status is Status.UNSURE)
        assert ("⚠" in text) == bool(cell.contradictions)


def counted(page: OpenedPage, passes: Callable[[str, LabelCell], bool], film: str = "") -> str:
    found = [
        row
        for row in page.sheet.shots
        if film in ("", row.shot.film_id) and any(passes(slug, cell) for slug, cell in row.cells.items())
    ]
    return f"{len(found)} of 24 shots"


def test_filters_count_shots_of_which_one_cell_passes_all(page: OpenedPage) -> None:
    size = SHOT_SIZE.slug
    assert page.choose(film="1") == "12 of 24 shots"
    assert page.choose(film="", status="unsure") == counted(page, lambda _, cell: cell.status is Status.UNSURE)
    assert page.choose(dimension=size) == counted(
        page, lambda slug, cell: slug == size and cell.status is Status.UNSURE
    )
    assert page.choose(status="", term=f"{size}/ Wide") == counted(
        page, lambda slug, cell: (slug, cell.label) == (size, "Wide")
    )
    below = counted(page, lambda slug, cell: slug == size and (cell.confidence or 0) < 0.6)
    assert page.choose(term="", below="60") == below
    assert page.choose(dimension="", below="", status="contradiction") == counted(
        page, lambda _, cell: bool(cell.contradictions)
    )
    assert page.choose(status="", q="Night shot 7") == "1 of 24 shots"
    assert page.choose(q="no such words") == "0 of 24 shots"
    page.browser.find_element("css selector", ".sheet-filters [type=reset]").click()
    assert page.texts(".sheet-count") == ["24 of 24 shots"]


def test_the_least_certain_shots_come_first(page: OpenedPage) -> None:
    page.choose(dimension=CAMERA_MOVEMENT.slug, order="certainty")
    rows = sorted(page.sheet.shots, key=lambda row: key_of(row.cells[CAMERA_MOVEMENT.slug]))
    shown = page.texts(".sheet-body .facts strong")
    assert shown[:5] == [str(row.shot.number) for row in rows[:5]]
    page.js("document.querySelector('.cell[tabindex=\"0\"]').focus()")
    assert page.cell().startswith("Camera Movement")
    assert page.js("return document.activeElement.parentElement.dataset.position") == "0"


def key_of(cell: LabelCell) -> float:
    return (cell.confidence or 0) - (cell.status is Status.UNSURE or bool(cell.contradictions))


def test_a_clip_plays_under_the_pointer_and_for_the_focused_shot(page: OpenedPage) -> None:
    from selenium.webdriver import ActionChains

    frame = page.browser.find_element("css selector", ".sheet-body .frame")
    ActionChains(page.browser).move_to_element(frame).perform()
    playing = (
        "const v = document.querySelector(arguments[0]); return Boolean(v && v.muted && !v.paused && v.currentTime > 0)"
    )
    assert page.becomes(lambda: page.js(playing, ".sheet-body .frame video"))
    page.go(3, SHOT_SIZE.slug)
    assert page.becomes(lambda: page.js(playing, ".screen video"))
    page.press("SPACE")
    assert page.js("return document.querySelector('.screen video').paused")


def test_rhythm_distributions_comparison_and_scores_are_shown(page: OpenedPage) -> None:
    page.scroll_down()
    assert [text.split(",")[0] for text in page.texts(".rhythm title")] == [
        f"Rhythm of {film}: 12 shots" for film in FILMS
    ]
    labelled = [
        row.cells["shot_size"].label for row in page.sheet.shots if row.cells["shot_size"].status is Status.LABELLED
    ]
    rows = [text for text in page.texts(".distribution tbody tr") if text.startswith("Wide")]
    assert rows[0].endswith(f" {labelled.count('Wide')}" if "Wide" in labelled else "–")
    assert page.texts(".comparison tbody tr")[0].startswith("harbour120:24.02.0 s2.0 s2.0 s2.0 s")
    assert "Camera Movement" in page.texts("#scores table")[0]
    page.go(0, SHOT_SIZE.slug)
    page.press("0")
    page.scroll_down()
    assert page.becomes(lambda: page.texts(".comparison tbody tr")[0].endswith("1"))  # cells by a person


def test_external_names_are_text_and_nothing_is_loaded(page: OpenedPage) -> None:
    assert page.texts("header bdi") == list(FILMS)
    for row in range(4):
        page.go(row, SHOT_SIZE.slug)
    assert page.js("return document.querySelectorAll('b').length") == 0
    assert set(asked_for(page.browser)) == {(page.folder / PAGE).as_uri()}
    assert said(page.browser) == []


# --- accessibility


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(page: OpenedPage, scheme: str) -> None:
    show_as(page.browser, prefers_color_scheme=scheme)
    page.open()
    page.go(2, SHOT_SIZE.slug)
    page.press("3")
    page.scroll_down()
    assert serious_faults(page.browser) == []
    page.press("?")
    assert page.js("return document.querySelector('dialog').open") and serious_faults(page.browser) == []
    page.press("ESCAPE")
    show_as(page.browser)


def test_the_list_is_a_grid_whose_focused_cell_and_position_are_named(page: OpenedPage) -> None:
    page.go(9, "lens_size")
    facts = page.js(
        "const e = document.activeElement, row = e.closest('[role=row]'), grid = e.closest('[role=grid]');"
        "return [e.role, e.ariaColIndex, row.ariaRowIndex, grid.ariaRowCount, grid.ariaColCount]"
    )
    assert facts == ["gridcell", "5", "11", "25", "9"]
    assert page.cell().startswith("Lens Size: ")
    assert page.js("return document.querySelectorAll('.sheet-body [tabindex=\"0\"]').length") == 1


def test_single_keys_can_be_switched_off_outside_the_list(page: OpenedPage) -> None:
    page.browser.find_element("id", "labels-keys").click()
    page.js("document.activeElement.blur()")
    page.press("2", "0")
    assert page.texts(".unsaved") == ["no corrections"]
    page.go(0, SHOT_SIZE.slug)
    page.press("0")
    assert page.texts(".unsaved") == ["1 unsaved"]


def test_everything_is_done_with_the_mouse_too(page: OpenedPage) -> None:
    def click(selector: str) -> None:
        page.browser.find_element("css selector", selector).click()

    click(".sheet-row[data-position='1'] .cell[data-column='4']")
    click(".terms [data-term='Firelight']")
    click(".modes [value=add]")
    click(".terms [data-term='Practical light']")
    assert "Firelight, Practical light" in page.texts(".sheet-row[data-position='1'] .cell[data-column='4']")[0]
    click(".terms [data-term='none']")
    assert page.js("return document.querySelector('.terms [data-term=none]').ariaPressed") == "true"
    click("[data-work=undo]")
    assert "Firelight, Practical light" in page.texts(".sheet-row[data-position='1'] .cell[data-column='4']")[0]
    click("[data-work=back]")
    assert page.texts(".cell.edited") == []


def test_a_narrow_screen_needs_no_scrolling_sideways(page: OpenedPage) -> None:
    size = {"width": 380, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.open()
    assert page.js("return document.documentElement.scrollWidth") <= 380
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


# --- many shots


@pytest.fixture
def long_page(browser: Any, tmp_path: Path) -> OpenedPage:
    """400 shots, whose media lie beside the page."""
    folder = tmp_path / "50% of #1"
    folder.mkdir()
    write_page(folder, drawn_sheet(folder, 400, ("a long film",)))
    return OpenedPage(browser, folder)


def test_media_of_many_shots_are_loaded_as_they_come_into_view(long_page: OpenedPage) -> None:
    def loaded() -> set[str]:
        urls = [unquote(urlparse(url).path) for url in requested]
        return {Path(url).name for url in urls if "/media/" in url}

    requested = asked_for(long_page.browser)
    widths = "return [...document.querySelectorAll('.sheet-body img')].filter(e => e.naturalWidth).length"
    assert long_page.becomes(lambda: long_page.js(widths) > 3)
    requested += asked_for(long_page.browser)
    assert len(loaded()) < 40 and "0001.jpg" in loaded() and "0400.jpg" not in loaded()
    long_page.go(0, SHOT_SIZE.slug)
    long_page.press("END")
    assert long_page.becomes(lambda: long_page.js(widths) > 3)
    requested += asked_for(long_page.browser)
    assert "0400.jpg" in loaded() and "0200.jpg" not in loaded()
    assert said(long_page.browser) == []


def test_only_rows_in_view_exist_and_a_key_changes_few_elements(long_page: OpenedPage) -> None:
    long_page.go(0, SHOT_SIZE.slug)
    long_page.press("END")
    assert long_page.js("return document.querySelectorAll('.sheet-body .sheet-row').length") < 40
    assert long_page.js("return document.querySelectorAll('*').length") < 2500
    long_page.js(
        "window.changed = 0;"
        "new MutationObserver((all) => { for (const one of all) changed += one.addedNodes.length; })"
        ".observe(document.body, {childList: true, subtree: true})"
    )
    long_page.press("3")
    assert 0 < long_page.js("return changed") < 300
    assert "Medium Close Up, corrected" in long_page.cell()


def test_corrections_far_down_are_saved(long_page: OpenedPage, tmp_path: Path) -> None:
    long_page.go(0, SHOT_SIZE.slug)
    long_page.press("END", "3")
    (one,) = read_corrections(long_page.saved(tmp_path / "downloads"), long_page.sheet)
    assert (one.shot_id, one.label) == ("film-0-0400", "Medium Close Up")


def test_an_empty_sheet_is_shown(browser: Any, tmp_path: Path) -> None:
    sheet = drawn_sheet(tmp_path, 1, media=False)
    write_page(tmp_path, ShotSheet(sheet.films, []))
    open_page(browser, tmp_path / PAGE)
    assert said(browser) == [] and serious_faults(browser) == []


def test_stills_without_times_are_shown_and_have_no_movement(browser: Any, tmp_path: Path) -> None:
    sheet = drawn_sheet(tmp_path, 2, media=False)
    still = replace(sheet.shots[0].shot, start_seconds=None, end_seconds=None)
    cells = {slug: cell for slug, cell in sheet.shots[0].cells.items() if slug != CAMERA_MOVEMENT.slug}
    rows = [
        replace(sheet.shots[0], shot=still, cells=cells),
        replace(sheet.shots[1], cells={"camera_movement": drawn_cell(CAMERA_MOVEMENT, "x")}),
    ]
    write_page(tmp_path, replace(sheet, shots=rows))
    page = OpenedPage(browser, tmp_path)
    page.go(0, CAMERA_MOVEMENT.slug)
    page.press("1", "1")
    assert "A still has no camera movement" in page.texts(".announced")[0] and page.texts(".cell.edited") == []


def test_the_benchmark_of_the_page_reports_every_figure(real_data: Path) -> None:
    figures = figures_of("label_page.py", real_data, "--shots", "40")
    assert set(figures) == {"ready, ms", "key, ms", "filter, ms", "size, MB"}
    assert all(values["ours"] > 0 for values in figures.values())
