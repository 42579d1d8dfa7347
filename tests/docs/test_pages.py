"""The README and the pages of the documentation: length, navigation, generated pages, links. Nothing is built."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from PIL import Image

from docs_hooks.backends_page import backends_page
from docs_hooks.command_reference import command_pages, command_paths
from docs_hooks.glossary import FOLDER, PAGE, glossary_page, picture_name
from docs_hooks.repository import ELSEWHERE, with_site_links
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.vocabulary import DIMENSIONS
from tests.support import REPOSITORY

DOCS = REPOSITORY / "docs"
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
ADDRESS = "https://example.org/us/project"


def nav_pages(entries: Any) -> Iterator[str]:
    for entry in entries:
        for value in entry.values():
            if isinstance(value, str):
                yield value
            else:
                yield from nav_pages(value)


def test_the_readme_has_at_most_150_lines() -> None:
    assert len(README.splitlines()) <= 150


def test_the_readme_links_to_files_that_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", README) if "://" not in link]
    assert len(links) > 10
    assert [link for link in links if not (REPOSITORY / link.partition("#")[0]).exists()] == []


def test_every_page_is_in_the_navigation_once() -> None:
    settings = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"))
    pages = list(nav_pages(settings["nav"]))
    written = {path.name for path in DOCS.glob("*.md")} | {path for path in ELSEWHERE if path.endswith(".md")}
    commands = {page for page in pages if page.startswith("commands")}
    assert sorted(pages) == sorted(written | commands | {PAGE})


def test_the_tables_of_models_are_those_of_the_presets_and_of_the_record() -> None:
    text = (DOCS / "backends.md").read_text(encoding="utf-8")
    assert text == backends_page(text), "run: python -m docs_hooks.backends_page"
    assert text.count("<!-- generated: ") == 2


def test_the_glossary_explains_and_shows_every_term() -> None:
    page = glossary_page()
    terms = [(dimension, term) for dimension in DIMENSIONS for term in dimension.terms]
    headings = re.findall(r"^### (.+) \{#", page, re.MULTILINE)
    assert headings == [term.name for _, term in terms]
    pictures = re.findall(rf"\]\({FOLDER}/(.+?)\)", page)
    assert pictures == [picture_name(dimension, term) for dimension, term in terms]
    assert sorted(pictures) == sorted(path.name for path in (DOCS / FOLDER).iterdir())
    anchors = re.findall(r"\{#(\S+)", page)
    assert len(set(anchors)) == len(anchors)
    assert set(re.findall(r"\]\(#(\S+?)\)", page)) <= set(anchors)


def test_the_pictures_of_the_glossary_are_small() -> None:
    paths = list((DOCS / FOLDER).iterdir())
    assert sum(path.stat().st_size for path in paths) < 1_500_000
    for path in paths:
        with Image.open(path) as picture:
            assert picture.format == "JPEG" and picture.width >= 320, path


def test_the_command_reference_has_every_command_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    pages = command_pages()
    text = "\n".join(pages.values())
    for path in command_paths():
        assert main([*path.split()[1:], "--help"]) == 0
        names = re.findall(r"^  (--[\w-]+)", capsys.readouterr().out.partition("\nGeneral:")[0], re.MULTILINE)
        section = text.partition(f"\n## {path} {{#")[2].partition("\n## ")[0]
        assert [name for name in names if f"| `{name}" not in section] == [], path
    anchors = set(re.findall(r"\{#(\S+)\}", text))
    assert set(re.findall(r"\]\(#(\S+?)\)", text)) <= anchors
    assert set(re.findall(r"\]\((commands\w*\.md)\)", text)) <= set(pages)


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("grading.md", "[x](scores.md)", "[x](scores.md)"),
        ("grading.md", "[x](scores.md#numbers)", "[x](scores.md#numbers)"),
        ("grading.md", "[x](#the-optional-judge)", "[x](#the-optional-judge)"),
        ("grading.md", "[x](https://arxiv.org/abs/1)", "[x](https://arxiv.org/abs/1)"),
        ("grading.md", "[`a.py`](../setup.cfg)", f"[`a.py`]({ADDRESS}/blob/HEAD/setup.cfg)"),
        ("grading.md", "[x](../tests)", f"[x]({ADDRESS}/tree/HEAD/tests)"),
        ("grading.md", "[x](../verl_recipes/README.md#lora)", "[x](verl_recipes.md#lora)"),
        ("verl_recipes.md", "[x](../docs/scores.md)", "[x](scores.md)"),
        ("verl_recipes.md", "[x](recipes.py)", f"[x]({ADDRESS}/blob/HEAD/verl_recipes/recipes.py)"),
        ("grading.md", "![x](picture.jpg)", "![x](picture.jpg)"),
        ("grading.md", "[x](../no_such_file.py)", "[x](../no_such_file.py)"),
        ("grading.md", "`[x](../setup.cfg)`", "`[x](../setup.cfg)`"),
        ("grading.md", "```\n[x](../setup.cfg)\n```", "```\n[x](../setup.cfg)\n```"),
    ],
)
def test_links_to_code_become_addresses_of_the_repository(page: str, link: str, expected: str) -> None:
    site = ["grading.md", "scores.md", "verl_recipes.md"]
    assert with_site_links(link, page, site, ADDRESS) == expected


def test_without_an_address_links_to_code_become_text() -> None:
    text = "[`setup.cfg`](../setup.cfg), [scores](scores.md)"
    assert with_site_links(text, "grading.md", ["scores.md"], None) == "`setup.cfg`, [scores](scores.md)"
