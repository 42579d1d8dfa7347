"""Fixtures of the tests of the page of labels: one browser for all of them, and a page of two films."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.labelling.page.write_page import write_page
from tests.support.chromium import chromium
from tests.support.label_scores import SCORED
from tests.support.label_sheets import drawn_sheet
from tests.support.opened_labels import FILMS, OpenedPage


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        browser.set_window_size(1440, 1000)
        yield browser


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> OpenedPage:
    write_page(tmp_path, drawn_sheet(tmp_path, 12, FILMS), SCORED)
    return OpenedPage(browser, tmp_path)
