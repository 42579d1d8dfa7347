"""The report in a real browser: contents, safety and accessibility.

Two pages of `shotbench report`: stored responses of real models to the real questions, without media, and two synthetic
runs on a small studio set with media, one with hostile responses.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.report.gather import ReportRun, read_report_run
from lmms_eval_shotbench.scoring.option_prior import blind_letters
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE
from tests.support.chromium import asked_for, chromium, open_page, said, serious_faults, show_as
from tests.support.report_runs import write_questions
from tests.test_benchmarks import figures_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

REAL_RUNS = ("shotbench.shotvl-3b.reasoning", "shotbench.qwen2.5-vl-3b.direct")
SCRIPT = "<script>window.ran = 1</script>"
HOSTILE = {  # response, and a part of it as it must be displayed
    f"A {SCRIPT}": SCRIPT,
    '</textarea></script><img src="x" onerror="window.ran = 1">': "</textarea></script><img src",
    "<svg onload=window.ran=1> <a href='javascript:window.ran=1'>B</a>": "<svg onload",
    "x" * 1_000_000: "xxxx",
    "the answer is \u202eB\u202c \u05d0\u05d1 \u200f C": "[U+202E]B[U+202C]",
    "\x1b[31mC\x1b[0m \x07\x00 \x9b1m": "␛[31mC␛[0m ␇␀ [U+009B]1m",
    "{{ 7 * 7 }} ${7 * 7} <!-- --> &lt;b&gt;": "{{ 7 * 7 }} ${7 * 7} <!-- --> &lt;b&gt;",
}


class OpenedReport:
    """A written page, with its runs read again."""

    def __init__(self, browser: Any, page: Path, runs: list[ReportRun]) -> None:
        self.browser, self.page, self.runs = browser, page, runs
        self.numbers: dict[str, Any] = json.loads((page.parent / "scores.json").read_text())
        self.items = list(runs[0].items)

    def open(self, fragment: str = "") -> None:
        open_page(self.browser, self.page, fragment)

    def js(self, code: str, *arguments: object) -> Any:
        return self.browser.execute_script(code, *arguments)

    def texts(self, selector: str) -> list[str]:
        """Return the text content of all matching elements."""
        found: list[str] = self.js(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector
        )
        return found

    def press(self, *keys: str) -> None:
        """Send keys to the focused element."""
        from selenium.webdriver import ActionChains

        ActionChains(self.browser).send_keys(*keys).perform()

    def follow(self, fragment: str) -> None:
        """Change the address's fragment and wait for the page to follow, which it does in a later task."""
        self.browser.execute_async_script(
            "addEventListener('hashchange', () => arguments[1](), {once: true}); location.hash = arguments[0]", fragment
        )

    def becomes(self, condition: Callable[[], bool]) -> bool:
        """True as soon as the condition holds, False after 30 s without: links and Escape act in later tasks."""
        from selenium.common import TimeoutException
        from selenium.webdriver.support.wait import WebDriverWait

        try:
            return WebDriverWait(self.browser, 30, 0.05).until(lambda _: condition())
        except TimeoutException:
            return False

    def shows(self, item: QAItem) -> bool:
        """Whether the item is open, or opens soon."""
        return self.becomes(lambda: item.item_id in self.opened)

    @property
    def matches(self) -> int:
        """Number of matching items, as displayed."""
        return int(self.texts(".explorer-count")[0].split()[0].replace(",", ""))

    @property
    def opened(self) -> str:
        """Title of the open item; "" if none is open."""
        return "".join(self.texts("dialog[open] h3"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


def report(browser: Any, folder: Path, questions: Path, responses: list[Path]) -> OpenedReport:
    """Run `shotbench report` on these responses and return the page."""
    page = folder / "report.html"
    assert main(["report", str(questions), *map(str, responses), "--out", str(page)]) == 0
    return OpenedReport(browser, page, [read_report_run(path, str(questions)) for path in responses])


@pytest.fixture(scope="module")
def real_report(browser: Any, real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> OpenedReport:
    responses = [real_data / "responses" / f"{name}.jsonl.gz" for name in REAL_RUNS]
    return report(browser, tmp_path_factory.mktemp("real"), real_data / "shotbench" / "test.tsv", responses)


@pytest.fixture(scope="module")
def synthetic_report(browser: Any, studio_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> OpenedReport:
    """One run is always correct; the other has hostile responses to the first items, then A, B, A, B, …"""
    folder = tmp_path_factory.mktemp("made")
    items = read_questions(studio_shards)
    hostile = [*HOSTILE, *("AB"[index % 2] for index in range(len(items)))]
    for name, responses in (("knows", [item.answer for item in items]), ("hostile", hostile)):
        rows = zip(items, responses, strict=False)
        lines = [json.dumps({"index": item.source_index, "response": response}) for item, response in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    return report(browser, folder / "page", studio_shards, [folder / "knows.jsonl", folder / "hostile.jsonl"])


@pytest.fixture(params=["real_report", "synthetic_report"])
def any_report(request: pytest.FixtureRequest) -> OpenedReport:
    opened: OpenedReport = request.getfixturevalue(request.param)
    return opened


def test_nothing_is_loaded_and_the_console_stays_silent(any_report: OpenedReport) -> None:
    any_report.open()
    for item in any_report.items[:10]:
        any_report.follow(f"#item={quote(item.item_id)}")
    assert said(any_report.browser) == []
    assert set(asked_for(any_report.browser)) == {any_report.page.as_uri()}
    assert (
        any_report.js("return performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length")
        == 0
    )


def test_the_page_is_small(any_report: OpenedReport) -> None:
    assert any_report.page.stat().st_size < 15_000_000


SCALES = {"percent": (100, 2), "short": (100, 1), "points": (100, 2), "printed": (1, 1), "count": (1, 0)}


def test_every_number_on_the_page_equals_the_scores(any_report: OpenedReport) -> None:
    any_report.open()
    shown = any_report.js(
        "return [...document.querySelectorAll('data')].map(e => [e.dataset.pointer, e.dataset.form, e.textContent])"
    )
    assert len(shown) > 200
    for pointer, form, text in shown:
        stored: Any = any_report.numbers
        for step in pointer.split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            stored = stored[int(step)] if isinstance(stored, list) else stored[step]
        if isinstance(stored, list):
            assert (form, int(text.replace(",", ""))) == ("length", len(stored)), pointer
        elif form in SCALES:
            scale, digits = SCALES[form]
            assert float(text.replace(",", "")) == pytest.approx(stored * scale, abs=0.5001 * 10**-digits), pointer
        elif form == "p":
            assert stored < 0.001 if text == "<0.001" else float(text) == pytest.approx(stored, abs=0.0005001), pointer
        else:
            assert float(text) == pytest.approx(stored, rel=1e-3), pointer


def test_the_headline_equals_the_scores_of_the_runs(any_report: OpenedReport) -> None:
    any_report.open()
    for index, run in enumerate(any_report.runs):
        right = sum(item.correct for item in run.stored.items)
        micro = f"data[data-pointer='/runs/{index}/strict/accuracy/micro/value']"
        assert any_report.texts(f"#headline-table ~ tbody {micro}") == [f"{100 * right / len(run.items):.2f}"]


# --- filters, with counts computed independently of the page


def letter(run: ReportRun, item: QAItem) -> str | None:
    return run.stored.by_index[item.source_index].letter


def missed(run: ReportRun, item: QAItem) -> bool:
    return letter(run, item) != item.answer


Wanted = Callable[[QAItem, ReportRun, ReportRun], bool]
FILTERS: dict[str, Wanted] = {
    f"dimension={CAMERA_MOVEMENT.slug}": lambda item, *_: item.dimension == CAMERA_MOVEMENT.slug,
    f"term={quote(f'{SHOT_SIZE.slug}/Wide')}": lambda item, *_: (
        item.dimension == SHOT_SIZE.slug and "Wide" in map(str, SHOT_SIZE.parse(item.gold).terms)
    ),
    "run0=right": lambda item, a, b: not missed(a, item),
    "run1=wrong": lambda item, a, b: missed(b, item) and letter(b, item) is not None,
    "run1=undecided": lambda item, a, b: letter(b, item) is None,
    "run1=missed": lambda item, a, b: missed(b, item),
    "run0=right&run1=missed": lambda item, a, b: missed(b, item) and not missed(a, item),
    "differ=1": lambda item, a, b: letter(a, item) != letter(b, item),
    "undecided=1": lambda item, a, b: None in (letter(a, item), letter(b, item)),
    "q=MEDIUM+wide": lambda item, a, b: all(word in text(item, a, b) for word in ("medium", "wide")),
    "q=nothing+says+this": lambda item, a, b: all(word in text(item, a, b) for word in ("nothing", "says", "this")),
    f"dimension={SHOT_SIZE.slug}&q=because": lambda item, a, b: (
        item.dimension == SHOT_SIZE.slug and "because" in text(item, a, b)
    ),
}


def text(item: QAItem, *runs: ReportRun) -> str:
    responses = [run.responses[0][item.source_index] for run in runs]
    return "\n".join([item.item_id, item.question, *item.options, *responses]).lower()


@pytest.mark.parametrize("filters", FILTERS)
def test_filters_and_search_give_the_right_counts(any_report: OpenedReport, filters: str) -> None:
    any_report.open(f"#{filters}")
    assert any_report.matches == sum(FILTERS[filters](item, *any_report.runs) for item in any_report.items)
    assert len(any_report.texts(".explorer-cards > li")) == min(any_report.matches, 24)


def test_the_filter_for_a_wrong_prior_has_the_count_of_the_scores(real_report: OpenedReport) -> None:
    wrong = sum(
        letter != item.answer for item, letter in zip(real_report.items, blind_letters(real_report.items), strict=True)
    )
    real_report.open("#prior=wrong&run0=right")
    where = real_report.numbers["runs"][0]["strict"]["prior"]["where_wrong"]
    assert where["n"] == wrong
    assert real_report.matches == round(where["value"] * where["n"])


def test_controls_filter_and_are_kept_in_the_address(real_report: OpenedReport) -> None:
    from selenium.webdriver.support.ui import Select

    real_report.open()
    assert real_report.matches == len(real_report.items)
    dimension, search = (real_report.browser.find_element("name", name) for name in ("dimension", "q"))
    Select(dimension).select_by_visible_text(CAMERA_MOVEMENT.paper_name)
    search.send_keys("zoom in")
    kept = real_report.matches
    assert kept == sum(
        item.dimension == CAMERA_MOVEMENT.slug and all(word in text(item, *real_report.runs) for word in ("zoom", "in"))
        for item in real_report.items
    )
    real_report.open(real_report.js("return location.hash"))
    assert real_report.matches == kept
    real_report.browser.find_element("css selector", ".explorer-filters button").click()
    assert real_report.matches == len(real_report.items)


# --- links to one item


def test_a_link_opens_its_item_at_once_and_while_the_page_is_open(any_report: OpenedReport) -> None:
    first, last = any_report.items[0], any_report.items[-1]
    any_report.open(f"#item={quote(last.item_id)}")
    assert any_report.shows(last)
    any_report.follow(f"#item={quote(first.item_id)}")
    assert any_report.shows(first)
    assert any_report.texts("dialog .explorer-question") == [first.question]
    any_report.browser.back()
    assert any_report.shows(last)


def test_different_questions_with_the_same_id_are_two_items(browser: Any, real_data: Path, tmp_path: Path) -> None:
    pairs = [("shotbench", REAL_RUNS[0]), ("refineshot", "refineshot.shotvl-3b.direct")]
    files = [(real_data / name / "test.tsv", real_data / f"responses/{run}.jsonl.gz") for name, run in pairs]
    page = tmp_path / "report.html"
    assert main(["report", *(str(path) for pair in files for path in pair), "--out", str(page)]) == 0
    shown = OpenedReport(browser, page, [read_report_run(responses, str(asked)) for asked, responses in files])
    refined = {item.item_id: item for item in shown.runs[1].items}
    first = next(item for item in shown.items if item.options != refined[item.item_id].options)
    shown.open(f"#item={quote(first.item_id)}")
    for name, item, other in ((first.item_id, first, 1), (f"{first.item_id} (2)", refined[first.item_id], 0)):
        shown.open(f"#item={quote(name)}")
        displayed = zip(item.options, shown.texts("dialog li"), strict=True)
        assert all(option in line for option, line in displayed)
        assert "Not asked" in shown.texts("dialog h4")[other]


def test_the_samples_of_an_item_are_counted_found_and_shown_one_by_one(browser: Any, tmp_path: Path) -> None:
    questions = write_questions(tmp_path / "test.tsv", n=3)
    texts = ["A, says the first", "C", "A", "The fourth is unsure: A or B."]
    lines = [
        {"index": index, "sample": number, "response": response}
        for index in range(3)
        for number, response in enumerate(texts if index == 0 else ["B"] * 4, start=1)
    ]
    (tmp_path / "four.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    shown = report(browser, tmp_path / "page", questions, [tmp_path / "four.jsonl"])
    shown.open("#q=unsure")
    assert shown.matches == 1
    votes = [(item.letters.count(item.answer), item.correct) for item in shown.runs[0].stored.items]
    shown.open()
    for card, (right, correct) in zip(shown.texts(".explorer-cards > li"), votes, strict=True):
        assert f"({right} of 4 right)" in card and ("✓ Right" in card) == correct
    shown.open(f"#item={quote(shown.items[0].item_id)}")
    assert shown.becomes(lambda: len(shown.texts("dialog details")) == 4)
    assert [text in part for text, part in zip(texts, shown.texts("dialog details pre"), strict=True)] == [True] * 4
    assert "Undecided" in shown.texts("dialog summary")[3] and "majority of 4 samples" in shown.texts("dialog h4")[0]
    assert "answered in 1 of 4 samples of four" in shown.texts("dialog li")[2]
    assert serious_faults(browser) == [] and said(browser) == []


def test_a_link_to_an_unknown_item_shows_a_message(real_report: OpenedReport) -> None:
    real_report.open("#item=%3Cb%3Enobody")
    assert real_report.opened == ""
    assert "There is no item <b>nobody" in real_report.texts(".explorer-count")[0]


def test_opened_at_another_section_the_page_shows_all_items(synthetic_report: OpenedReport) -> None:
    synthetic_report.open("#headline")
    assert synthetic_report.matches == len(synthetic_report.items)


def test_a_link_to_another_section_leaves_the_filters(real_report: OpenedReport) -> None:
    real_report.open("#run0=right")
    before = real_report.matches
    real_report.follow("#how")
    assert real_report.matches == before < len(real_report.items)


# --- keyboard


def test_the_keyboard_alone_searches_opens_turns_and_closes(synthetic_report: OpenedReport) -> None:
    from selenium.webdriver.common.keys import Keys

    synthetic_report.open()
    synthetic_report.press("/")
    synthetic_report.press("close UP")
    found = [
        item
        for item in synthetic_report.items
        if "close" in text(item, *synthetic_report.runs) and "up" in text(item, *synthetic_report.runs)
    ]
    assert synthetic_report.matches == len(found) > 3
    synthetic_report.press(Keys.TAB)
    assert synthetic_report.js("return document.activeElement.name") == "dimension"
    synthetic_report.js("document.activeElement.blur()")
    synthetic_report.press("j", "j", "k", Keys.ARROW_DOWN, Keys.ENTER)
    first, second, third = found[:3]
    assert synthetic_report.shows(second)
    synthetic_report.press("j")
    assert synthetic_report.shows(third)
    synthetic_report.press(Keys.ARROW_LEFT, "k")
    assert synthetic_report.shows(first)
    synthetic_report.press(Keys.ESCAPE)
    assert synthetic_report.becomes(lambda: synthetic_report.opened == "")
    focused = "return document.activeElement.textContent"
    assert synthetic_report.becomes(lambda: first.item_id in synthetic_report.js(focused))


def test_single_keys_can_be_switched_off(synthetic_report: OpenedReport) -> None:
    synthetic_report.open()
    synthetic_report.browser.find_element("id", "explorer-keys").click()
    synthetic_report.js("document.activeElement.blur()")
    synthetic_report.press("/", "j")
    assert synthetic_report.js("return document.activeElement === document.body")


def test_every_control_has_a_name_and_is_reached_by_tab(real_report: OpenedReport) -> None:
    from selenium.webdriver.common.keys import Keys

    real_report.open()
    real_report.browser.find_element("name", "q").click()
    reached = [real_report.js("return document.activeElement.name || document.activeElement.textContent")]
    while "Next page" not in reached[-1]:
        real_report.press(Keys.TAB)
        reached.append(real_report.js("return document.activeElement.name || document.activeElement.textContent"))
    assert reached[:8] == ["q", "dimension", "term", "run0", "run1", "prior", "differ", "undecided"]
    assert sum("shotbench-" in name for name in reached) == 24


# --- accessibility, narrow screens and print


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(any_report: OpenedReport, scheme: str) -> None:
    show_as(any_report.browser, prefers_color_scheme=scheme)
    any_report.open()
    assert serious_faults(any_report.browser) == []
    show_as(any_report.browser)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility_in_an_open_item(synthetic_report: OpenedReport, scheme: str) -> None:
    show_as(synthetic_report.browser, prefers_color_scheme=scheme)
    synthetic_report.open(f"#item={quote(synthetic_report.items[0].item_id)}")
    assert serious_faults(synthetic_report.browser) == []
    show_as(synthetic_report.browser)


def test_a_narrow_screen_needs_no_scrolling_sideways(any_report: OpenedReport) -> None:
    size = {"width": 320, "height": 700, "deviceScaleFactor": 1, "mobile": False}
    any_report.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for fragment in ("", f"#item={quote(any_report.items[0].item_id)}"):
        any_report.open(fragment)
        assert any_report.js("return document.documentElement.scrollWidth") <= 320
    assert any_report.js("const d = document.querySelector('dialog'); return d.scrollWidth <= d.clientWidth")
    any_report.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


CUT = """const wide = (one) => one.getBoundingClientRect().right > innerWidth || one.scrollWidth > one.clientWidth;
return [...document.querySelectorAll("caption span, svg.chart, .scroll tbody th")]
  .filter((one) => one.checkVisibility() && wide(one)).map((one) => one.textContent.slice(0, 80));"""


def test_captions_charts_and_names_are_complete_on_a_narrow_screen(any_report: OpenedReport) -> None:
    size = {"width": 380, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    any_report.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    any_report.open()
    assert any_report.js(CUT) == []
    any_report.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_print_shows_a_remark_or_the_open_item(synthetic_report: OpenedReport) -> None:
    visible = "return document.querySelector(arguments[0]).checkVisibility()"
    show_as(synthetic_report.browser, "print")
    synthetic_report.open()
    seen = [synthetic_report.js(visible, name) for name in (".explorer-print", ".explorer-screen", "#headline")]
    synthetic_report.open(f"#item={quote(synthetic_report.items[0].item_id)}")
    assert seen == [True, False, True]
    assert [synthetic_report.js(visible, name) for name in ("dialog", "dialog h3", "#headline")] == [True, True, False]
    show_as(synthetic_report.browser)


# --- media


LOADED = """const [selector, done] = arguments;
const width = image => image.decode().then(() => image.naturalWidth, () => 0);
Promise.all([...document.querySelectorAll(selector)].map(width)).then(done)"""


def test_no_picture_is_broken_where_media_are_absent(real_report: OpenedReport) -> None:
    real_report.open(f"#item={quote(real_report.items[0].item_id)}")
    assert real_report.texts("#explorer img") == []
    assert len(real_report.texts(".explorer-cards .explorer-absent")) == 24
    assert real_report.texts("dialog .explorer-absent") == ["Still not in this report"]


def test_stills_and_clips_are_shown(synthetic_report: OpenedReport) -> None:
    synthetic_report.open()
    widths = synthetic_report.browser.execute_async_script(LOADED, ".explorer-cards img")
    assert len(widths) == 24 and min(widths) > 0
    clip = next(item for item in synthetic_report.items if item.dimension == CAMERA_MOVEMENT.slug)
    synthetic_report.open(f"#item={quote(clip.item_id)}")
    assert min(synthetic_report.browser.execute_async_script(LOADED, "dialog img")) > 6 * 50
    play = synthetic_report.browser.find_element("css selector", "dialog .strip + button")
    moving = "return document.querySelector('dialog img').getAnimations().length"
    assert synthetic_report.js(moving) == 0, "nothing moves unasked"
    play.click()
    assert (synthetic_report.js(moving), play.text) == (1, "Show its frames side by side")


# --- hostile responses


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_response_is_text_and_runs_nothing(synthetic_report: OpenedReport, number: int) -> None:
    synthetic_report.open(f"#item={quote(synthetic_report.items[number].item_id)}")
    assert list(HOSTILE.values())[number] in synthetic_report.texts("dialog pre")[-1]
    assert synthetic_report.js("return [window.ran ?? null, document.querySelectorAll('dialog pre *').length]") == [
        None,
        0,
    ]
    assert synthetic_report.js("return getComputedStyle(document.querySelector('dialog pre')).unicodeBidi") == "isolate"
    assert said(synthetic_report.browser) == []


def test_a_megabyte_is_truncated_with_a_remark(synthetic_report: OpenedReport) -> None:
    number = next(number for number, response in enumerate(HOSTILE) if len(response) == 1_000_000)
    synthetic_report.open(f"#item={quote(synthetic_report.items[number].item_id)}")
    assert "Cut: 20,000 characters are shown, 980,000 more are not." in synthetic_report.texts(
        "dialog .explorer-said p"
    )


def test_the_benchmark_prints_its_figures(browser: Any, real_data: Path) -> None:
    figures = figures_of("report.py", real_data, "--limit", "40")
    assert {"bare: first view, ms", "full: ready, ms", "full: filter, ms", "full: size, MB"} <= set(figures)
    assert figures["full: size, MB"]["ours"] > figures["bare: size, MB"]["ours"]
