"""The hooks of MkDocs: they add the generated pages to the site and turn links to code into repository addresses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

REPOSITORY = Path(__file__).parents[1]
if str(REPOSITORY) not in sys.path:  # MkDocs loads this file by its path
    sys.path.insert(0, str(REPOSITORY))

from docs_hooks.command_reference import command_pages  # noqa: E402
from docs_hooks.glossary import PAGE, glossary_page  # noqa: E402
from docs_hooks.repository import ELSEWHERE, repository_address, with_site_links  # noqa: E402

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are generated, and those whose source is elsewhere in the repository."""
    from mkdocs.structure.files import File

    elsewhere = {path: (REPOSITORY / source).read_text(encoding="utf-8") for path, source in ELSEWHERE.items()}
    for path, content in {**command_pages(), PAGE: glossary_page(), **elsewhere}.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the page with the links of the site."""
    paths = {file.src_uri for file in files}
    return with_site_links(markdown, page.file.src_uri, paths, repository_address())
