"""How captions are worded: the file of `shotbench label --caption-template`, whose format `captions.toml` documents.

Owns reading and checking it. A file overrides parts of `captions.toml`, which has words for every term; how they are
put together is in `caption_text.py`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.vocabulary import Dimension, UnknownDimension, UnknownTerm, dimension_named, slugs

PACKAGED = "captions.toml"
SHOT_FIELD = "shot"  # size and framing as one noun phrase
FIELDS = (SHOT_FIELD, *slugs(), "film_id", "shot_id")
FIELD = re.compile(r"\{([^{}]*)\}")
OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
Words = Mapping[str, Mapping[str, str]]  # by slug and by name of the term


class BadCaptionTemplate(ValueError):
    """A caption template cannot be used; the message says where, why and what is possible."""


class CaptionStyle(StrEnum):
    """What a caption is."""

    SENTENCE = "sentence"
    TAGS = "tags"


@dataclass(frozen=True)
class CaptionTemplate:
    """Texts with fields in braces and optional parts in brackets, and the words of each term."""

    style: CaptionStyle
    sentence: str
    tags: Sequence[str]
    phrase: Words
    tag: Words

    def tag_of(self, dimension: Dimension, name: str) -> str:
        """The tag of a term."""
        return self.tag.get(dimension.slug, {}).get(name, name.lower())


def read_caption_template(path: Path | None = None) -> CaptionTemplate:
    """Read a template; by default the packaged one.

    Raises:
        BadCaptionTemplate: no TOML, or an unknown key, field, dimension or term.
    """
    table = tomllib.loads((resources.files(__package__) / PACKAGED).read_text(encoding="utf-8"))
    if path is None:
        return _template(table)
    try:
        own = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        unknown = own.keys() - table.keys()
        if unknown:
            raise BadCaptionTemplate(f"unknown key {', '.join(sorted(unknown))}; the keys are {', '.join(table)}")
        return _template(table | own, table)
    except OSError as error:
        raise BadCaptionTemplate(f"{path} cannot be opened: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadCaptionTemplate(f"{path} is no TOML: {error}; see {PACKAGED} for the format") from None
    except BadCaptionTemplate as error:
        raise BadCaptionTemplate(f"{path}: {error}") from None


def parse_caption_template(row: Mapping[str, Any]) -> CaptionTemplate:
    """Parse a complete template that was stored as JSON; raises `BadCaptionTemplate`."""
    try:
        return _template(row)
    except KeyError as error:
        raise BadCaptionTemplate(f"a template without {error}") from None


def _template(table: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> CaptionTemplate:
    styles = list(CaptionStyle)
    if table["style"] not in styles:
        raise BadCaptionTemplate(f"style is {table['style']!r}; it is one of {', '.join(styles)}")
    tags = table["tags"]
    if not isinstance(tags, list):
        raise BadCaptionTemplate("tags is no list of texts")
    _check_text("sentence", table["sentence"], optional=True)
    for text in tags:
        _check_text("tags", text, optional=False)
    words = {key: _words(key, table[key], (defaults or {}).get(key, {})) for key in ("phrase", "tag")}
    return CaptionTemplate(CaptionStyle(table["style"]), table["sentence"], tuple(tags), **words)


def _check_text(key: str, text: Any, *, optional: bool) -> None:
    if not isinstance(text, str) or not text.strip():
        raise BadCaptionTemplate(f"{key} has {text!r}, which is no text")
    for name in FIELD.findall(text):
        if name not in FIELDS:
            raise BadCaptionTemplate(f"{key} has the unknown field {{{name}}}; the fields are {', '.join(FIELDS)}")
    rest = FIELD.sub("", text)
    if found := re.search(r"[\[\]{}]", OPTIONAL.sub(r"\1", rest) if optional else rest):
        fault = "without its counterpart, or inside another" if optional else "where no text is optional"
        raise BadCaptionTemplate(f"{key} has a {found[0]} {fault}: {text!r}")


def _words(key: str, own: Any, defaults: Words) -> Words:
    """The words of the terms: the default ones, with those of a file in their stead."""
    merged = {slug: dict(words) for slug, words in defaults.items()}
    for name, words in own.items() if isinstance(own, dict) else [("", own)]:
        if not isinstance(words, dict):
            raise BadCaptionTemplate(f"[{key}.{name}] is no table; write [{key}.DIMENSION] and lines TERM = TEXT")
        try:
            dimension = dimension_named(name)
            texts = {dimension.term(term).name: text for term, text in words.items()}
        except (UnknownDimension, UnknownTerm) as error:
            raise BadCaptionTemplate(f"[{key}.{name}]: {error}") from None
        for term, text in texts.items():
            if not isinstance(text, str) or not text.strip() or (key == "tag" and "," in text):
                raise BadCaptionTemplate(f"[{key}.{name}]: {term} has {text!r}; write a text, in tags without a comma")
        merged.setdefault(dimension.slug, {}).update(texts)
    return merged
