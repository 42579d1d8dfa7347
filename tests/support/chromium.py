"""Headless Chromium, driven by selenium: what it was asked to load, what it said, how it is asked to look."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
PROMISED = "SHOTBENCH_BROWSER"  # set by .ci/run where there is one
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,900")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; where there is none the test is skipped, but where one was promised it fails."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    driver = shutil.which("chromedriver")
    promised = os.environ.get(PROMISED)
    if not (found and driver):
        (pytest.fail if promised else pytest.skip)(
            "needs Chromium and its driver: apt-get install chromium chromium-driver"
        )
    if not promised:
        pytest.importorskip("selenium", reason="needs selenium: pip install 'lmms-eval-shotbench[browser]'")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = found
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    browser.set_script_timeout(120)  # axe goes through tens of thousands of elements
    try:
        yield browser
    finally:
        browser.quit()


def open_page(browser: Any, page: Path, fragment: str = "") -> None:
    """Open a page afresh: another fragment alone would not load it again. Forgets what was logged before."""
    browser.get("about:blank")
    said(browser), asked_for(browser)
    browser.get(page.as_uri() + fragment)


def said(browser: Any) -> list[str]:
    """What stands on the console since it was last read: errors, warnings, violations of the page's policy."""
    return [entry["message"] for entry in browser.get_log("browser")]


def asked_for(browser: Any) -> list[str]:
    """Addresses that were asked for since this was last read, but for data in the page itself."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith("data:")]


def show_as(browser: Any, media: str = "", **features: str) -> None:
    """Render for `print` or `screen`, with features such as prefers_color_scheme="dark"; none given: as usual."""
    named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": named})


def serious_faults(browser: Any) -> list[str]:
    """What axe-core finds serious or critical: rule, and the elements it says that of."""
    from importlib.resources import files

    axe = files("selenium_axe_python").joinpath("axe-core/axe.min.js").read_text(encoding="utf-8")
    browser.execute_script(axe)
    found = browser.execute_async_script(
        "axe.run(document, {resultTypes: ['violations']}).then(arguments[arguments.length - 1])"
    )
    return [
        f"{fault['id']} ({fault['impact']}): {[node['html'][:200] for node in fault['nodes'][:3]]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
