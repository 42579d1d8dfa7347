"""The documentation site: it builds strictly, and opened from disk it works without requesting anything else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs_hooks import repository
from tests.support import REPOSITORY
from tests.support.chromium import asked_for, chromium, open_page, said

pytest.importorskip("material", reason="needs MkDocs: make docs, or pip install -c constraints.txt '.[docs]'")
pytestmark = pytest.mark.slow
ADDRESS = "https://example.org/us/project"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    server, _, name = ADDRESS.partition("/us/")
    variables = {"GITHUB_SERVER_URL": server, "GITHUB_REPOSITORY": f"us/{name}", "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=os.environ | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_builds_strictly_with_all_its_pages(site: Path) -> None:
    pages = {path.stem for path in site.glob("*.html")}
    assert {path.stem for path in (REPOSITORY / "docs").glob("*.md")} <= pages
    assert {"commands", "commands_data", "commands_train", "glossary", "changelog"} <= pages
    assert (site / "scores.schema.json").read_bytes() == (
        REPOSITORY / "lmms_eval_shotbench/runs/scores.schema.json"
    ).read_bytes()


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loads = re.compile(
        r"<(?:script|img|iframe|source|video)\b[^>]*\bsrc=[\"']?(?:https?:)?//|<link\b[^>]*href=[\"']?https?:"
    )
    pages = list(site.glob("**/*.html"))
    assert [page.name for page in pages if loads.search(page.read_text(encoding="utf-8"))] == []
    for sheet in site.glob("**/*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_links_to_code_lead_to_the_repository(site: Path) -> None:
    links = re.findall(r'href="([^"]+)"', (site / "grading.html").read_text(encoding="utf-8"))
    address = repository.repository_address.__wrapped__() or ADDRESS
    assert f"{address}/blob/HEAD/lmms_eval_shotbench/grading/strict.py" in links
    assert not [link for link in links if link.endswith((".py", ".md")) and "://" not in link]


@pytest.mark.browser
def test_pages_opened_from_disk_request_only_files_of_the_site(site: Path) -> None:
    with chromium() as browser:
        for name in ("index", "commands_data", "glossary", "scores", "troubleshooting"):
            open_page(browser, site / f"{name}.html")
            requested = asked_for(browser)
            assert f"{(site / name).as_uri()}.html" in requested
            assert [url for url in requested if not url.startswith(f"{site.as_uri()}/") and url != "about:blank"] == []
            assert said(browser) == []


@pytest.mark.browser
def test_the_search_works_on_pages_opened_from_disk(site: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    with chromium() as browser:
        open_page(browser, site / "index.html")
        field = browser.find_element(By.CSS_SELECTOR, "input[data-md-component=search-query]")
        browser.execute_script("arguments[0].focus()", field)
        field.send_keys("dolly zoom")
        found = WebDriverWait(browser, 60).until(
            lambda _: browser.find_elements(By.CSS_SELECTOR, ".md-search-result__link")
        )
        assert any("glossary.html" in (link.get_attribute("href") or "") for link in found)
        assert [url for url in asked_for(browser) if not url.startswith(("file:", "about:"))] == []
