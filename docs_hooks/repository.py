"""Where a page of the site comes from in the repository, and what its links become.

Pages link to each other and to code by relative path, as they must on the repository's own pages. On the site a link to
a page stays relative, and a link to any other file becomes its address in the repository.
"""

from __future__ import annotations

import configparser
import os
import posixpath
import re
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
DOCS = "docs"
PROJECT_URL = "Source"  # its name in project_urls of setup.cfg
# Pages and files of the site whose source is elsewhere in the repository, by their path on the site.
ELSEWHERE = {
    "verl_recipes.md": "verl_recipes/README.md",
    "tiny_model.md": "lmms_eval_shotbench/models/tiny_shotvl/README.md",
    "benchmarks.md": "benchmarks/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "scores.schema.json": "lmms_eval_shotbench/runs/scores.schema.json",
}
_CODE = r"^(?:```|~~~).*?^(?:```|~~~)|`[^`\n]+`"
_LINK = re.compile(rf"(?P<code>{_CODE})|(?<!\\)\[(?P<text>[^\]\[]*)\]\((?P<target>[^)\s]+)\)", re.MULTILINE | re.DOTALL)


@cache
def repository_address() -> str | None:
    """Address of the repository: from setup.cfg, or else of the CI that builds the site; None without both."""
    settings = configparser.ConfigParser()
    settings.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    for line in settings.get("metadata", "project_urls", fallback="").splitlines():
        name, _, url = line.partition("=")
        if name.strip() == PROJECT_URL:
            return url.strip().rstrip("/")
    server, repository = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    return f"{server}/{repository}" if server and repository else None


def source_of(page: str) -> str:
    """Path in the repository of a page, given its path on the site."""
    return ELSEWHERE.get(page, f"{DOCS}/{page}")


def with_site_links(markdown: str, page: str, site: Collection[str], address: str | None) -> str:
    """Return the page with the links of the site.

    Args:
        markdown: The page as it is in the repository.
        page: Its path on the site.
        site: Paths of all pages and files of the site.
        address: Address of the repository; if it is None, links to files that are not on the site become plain text.
    """
    on_site = {source_of(path): path for path in site}

    def replaced(match: re.Match[str]) -> str:
        if match["code"]:
            return match[0]
        target = _target(match["target"], page, on_site, address)
        return match["text"] if target is None else f"[{match['text']}]({target})"

    return _LINK.sub(replaced, markdown)


def _target(link: str, page: str, on_site: Mapping[str, str], address: str | None) -> str | None:
    path, hash_sign, anchor = link.partition("#")
    if not path or "://" in path or path.startswith("mailto:"):
        return link
    source = posixpath.normpath(posixpath.join(posixpath.dirname(source_of(page)), path))
    if source in on_site:
        return posixpath.relpath(on_site[source], posixpath.dirname(page) or ".") + hash_sign + anchor
    if not (REPOSITORY / source).exists():
        return link  # MkDocs reports it
    kind = "tree" if (REPOSITORY / source).is_dir() else "blob"
    return None if address is None else f"{address}/{kind}/HEAD/{source}{hash_sign}{anchor}"
