"""The browser of completions in a real browser: filters, orders, safety and accessibility."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from lmms_eval_shotbench.cli import main
from tests.support.chromium import asked_for, chromium, open_page, said, serious_faults
from tests.support.kept_completions import COMPLETION, WRONG, write_completions, write_grpo_run

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
SCRIPT = "<script>window.ran = 1</script><img src=x onerror='window.ran = 1'>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An opened report on a run with 63 completions."""
    run = write_grpo_run(tmp_path_factory.mktemp("runs") / "grpo")
    several = [replace(COMPLETION, step=4, sample=sample, score=float(sample), tokens=99) for sample in range(55)]
    other = replace(COMPLETION, step=5, item_id="film-1", dimension="composition")
    hostile = [replace(other, response=SCRIPT, score=-1.0, tokens=1)]
    kept = [replace(one, step=step) for step in (1, 2, 3) for one in (COMPLETION, WRONG)]
    write_completions(run, "rollouts", 1, [*kept, *several, *hostile])
    write_completions(run, "validation", 1, [replace(COMPLETION, step=5)])
    page = run.parent / "report.html"
    assert main(["report", str(run), "--out", str(page)]) == 0
    with chromium() as opened:
        open_page(opened, page)
        yield opened


def choose(browser: Any, **values: str) -> list[str]:
    """Reset the filters, choose values, and return the shown responses' first facts."""
    browser.execute_script(
        "const form = document.querySelector('#completions form');"
        "for (const control of form.elements) if (control.name) control.selectedIndex = 0;"
        "for (const [name, value] of Object.entries(arguments[0])) form.elements[name].value = value;"
        "form.dispatchEvent(new Event('input'))",
        values,
    )
    return texts(browser, ".completions > li > div > p:first-of-type > strong")


def texts(browser: Any, selector: str) -> list[str]:
    found: list[str] = browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)", selector
    )
    return found


def counted(browser: Any) -> str:
    return texts(browser, "#completions [role=status]")[0]


def test_responses_are_ordered_by_reward_and_paged(browser: Any) -> None:
    assert choose(browser)[0] == "Reward -1"  # lowest first
    assert counted(browser) == "63 of 63 completions."
    assert choose(browser, order="highest")[:2] == ["Reward 54", "Reward 53"]
    next_page = browser.find_element("css selector", "#completions [data-page='1']")
    for _ in range(3):
        next_page.click()
    assert len(entries(browser)) == 3 and not next_page.is_enabled()


def entries(browser: Any) -> list[str]:
    return texts(browser, ".completions > li")


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"step": "4"}, 55), ({"kind": "validation"}, 1), ({"dimension": "composition"}, 1), ({"remark": "wrong"}, 3),
        ({"step": "4", "remark": "same"}, 55), ({"step": "1", "remark": "wrong"}, 1),
        ({"step": "4", "remark": "wrong"}, 0),
    ],
)  # fmt: skip
def test_responses_are_filtered(browser: Any, filters: dict[str, str], count: int) -> None:
    choose(browser, **filters)
    assert counted(browser) == f"{count} of 63 completions."


def test_a_response_is_shown_with_question_parts_remarks_and_picture(browser: Any) -> None:
    choose(browser, step="2", remark="wrong")
    shown = entries(browser)
    assert len(shown) == 1
    parts = ("Reward 0.5 (acc 0, format 1)", "step 2, response 2, 9 tokens", "well-formed but wrong", WRONG.response)
    for part in (*parts, WRONG.question, "A. Wide – right answer"):
        assert part in shown[0]
    size = browser.execute_script("return document.querySelector('.completions img').naturalWidth")
    assert size == 64


def test_text_of_a_response_is_not_executed(browser: Any) -> None:
    choose(browser, dimension="composition")
    assert SCRIPT in entries(browser)[0]
    assert browser.execute_script("return window.ran") is None


def test_the_page_is_accessible_loads_nothing_and_reports_no_error(browser: Any) -> None:
    choose(browser)
    assert [url for url in asked_for(browser) if not url.startswith("file:")] == []
    assert said(browser) == []
    assert serious_faults(browser) == []
