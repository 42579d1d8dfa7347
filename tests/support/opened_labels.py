"""A page of labels in a real browser, with its sheet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.labelling.page.write_page import PAGE
from lmms_eval_shotbench.labelling.shot_sheet import read_sheet
from lmms_eval_shotbench.vocabulary import DIMENSIONS, slugs
from tests.support.chromium import open_page

FILMS = ("harbour", "The <b>night</b> & train")


class OpenedPage:
    """A written page, opened without corrections of an earlier test."""

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
        file = downloads / "corrections.csv"
        assert self.becomes(lambda: file.is_file() and file.stat().st_size > 0)  # the browser creates it empty
        return file
