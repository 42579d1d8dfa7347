"""The page of labels in a real browser: correction by keyboard, filters, media on demand, safety and accessibility."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

from lmms_eval_shotbench.labelling.apply_corrections import apply_corrections
from lmms_eval_shotbench.labelling.contradictions import contradictions_of
from lmms_eval_shotbench.labelling.corrections import COLUMNS, corrections_csv, read_corrections
from lmms_eval_shotbench.labelling.label_cell import PERSON, LabelCell, Status
from lmms_eval_shotbench.labelling.page import PAGE, sheet_identity, write_page
from lmms_eval_shotbench.labelling.shot_sheet import TABLE, ShotSheet, read_sheet
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, COMPOSITION, DIMENSIONS, LIGHTING_TYPE, SHOT_SIZE, slugs
from tests.labelling.test_page import SCORED
from tests.support.chromium import asked_for, chromium, open_page, said, serious_faults, show_as
from tests.support.label_sheets import MODEL, drawn_cell, drawn_sheet
from tests.test_benchmarks import figures_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
FILMS = ("harbour", "The <b>night</b> & train")


class OpenedPage:
    """A page of labels in the browser, with its sheet."""

    def __init__(self, browser: Any, folder: Path) -> None:
        self.browser, self.folder = browser, folder
        self.sheet = read_sheet(folder)
        self.open(forget=True)

    def open(self, forget: bool = False) -> None:
        open_page(self.browser, self.folder / PAGE)
        if forget:
            self.js("localStorage.clear()")
            open_page(self.browser, self.folder / PAGE)

    def js(self, code: str, *arguments: object) -> Any:
        return self.browser.execute_script(code, *arguments)

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.js(
            "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", selector
        )
        return found

    def press(self, *keys: str, shift: bool = False) -> None:
        """Send keys to the focused element, with Shift held if asked."""
        from selenium.webdriver import ActionChains, Keys

        actions = ActionChains(self.browser)
        for key in keys:
            named = getattr(Keys, key) if len(key) > 1 else key
            (actions.key_down(Keys.SHIFT).send_keys(named).key_up(Keys.SHIFT) if shift else actions.send_keys(named))
        actions.perform()

    def go(self, row: int, slug: str) -> None:
        """Put the cursor on a cell by the arrow keys alone."""
        if self.js("return !document.activeElement.closest('.sheet')"):
            self.js("document.activeElement.blur()")
            self.press("ARROW_DOWN")  # enters the list at its cursor
        self.press("HOME", *["ARROW_LEFT"] * len(DIMENSIONS))
        self.press(*["ARROW_DOWN"] * row, *["ARROW_RIGHT"] * slugs().index(slug))

    def cell(self) -> str:
        """Name of the focused cell, as a screen reader says it."""
        return str(self.js("return document.activeElement.ariaLabel"))

    def choose(self, **values: str) -> str:
        """Set filters, and return the displayed number of shots."""
        self.js(
            "const form = document.querySelector('.sheet-filters');"
            "for (const [name, value] of Object.entries(arguments[0])) form.elements[name].value = value;"
            "form.elements[Object.keys(arguments[0]).at(-1)].dispatchEvent(new Event('input', {bubbles: true}))",
            values,
        )
        return self.texts(".sheet-count")[0]

    def becomes(self, condition: Callable[[], bool]) -> bool:
        """True as soon as the condition holds, False after 30 s without."""
        from selenium.common import TimeoutException
        from selenium.webdriver.support.wait import WebDriverWait

        try:
            return WebDriverWait(self.browser, 30, 0.05).until(lambda _: condition())
        except TimeoutException:
            return False

    def scroll_down(self) -> None:
        """Show the charts, which are drawn when they come into view."""
        self.js("document.querySelector('#rhythm').scrollIntoView()")
        assert self.becomes(lambda: bool(self.texts(".comparison td")))

    def saved(self, downloads: Path) -> Path:
        """Save by the key `s`, and return the downloaded file."""
        downloads.mkdir(exist_ok=True)
        for file in downloads.iterdir():
            file.unlink()
        allowed = {"behavior": "allow", "downloadPath": str(downloads)}
        self.browser.execute_cdp_cmd("Browser.setDownloadBehavior", allowed)
        self.press("s")
        assert self.becomes(lambda: (downloads / "corrections.csv").is_file())
        return downloads / "corrections.csv"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        browser.set_window_size(1440, 1000)
        yield browser


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> OpenedPage:
    write_page(tmp_path, drawn_sheet(tmp_path, 12, FILMS), SCORED)
    return OpenedPage(browser, tmp_path)


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
    assert ": 1. Left out" in page.texts(".announced")[0]
    assert "line 4: Huge is no label here" in page.texts(".announced")[0]
    assert "Medium, corrected" in page.cell()
    page.press("ARROW_DOWN")
    assert "Medium Close Up, corrected" in page.cell()


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
