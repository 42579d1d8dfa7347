"""The caption of a shot: one sentence of film English, or tags, composed from its labels.

Only labelled cells are named, so nothing is claimed that is not known: a shot whose movement is unsure is not "static".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from lmms_eval_shotbench.labelling.exports.caption_template import (
    FIELD,
    OPTIONAL,
    SHOT_FIELD,
    CaptionStyle,
    CaptionTemplate,
)
from lmms_eval_shotbench.labelling.shot_sheet import SheetRow
from lmms_eval_shotbench.vocabulary import DIMENSIONS, SHOT_FRAMING, SHOT_SIZE, Dimension, Label, MediaKind

NOUN = "shot"  # where no word is a noun itself
NOUN_MARK = "*"
_VOWEL = re.compile(r"[aeio]|u(?!ni)", re.IGNORECASE)


def caption(row: SheetRow, kind: MediaKind, template: CaptionTemplate) -> str:
    """The caption of a shot's still or clip on one line; empty if no cell that it can show is labelled.

    A still shows no movement.
    """
    labels = dict(_labels(row, kind))
    if not labels:
        return ""
    names = {"film_id": row.shot.film_id, "shot_id": row.shot.shot_id}
    if template.style is CaptionStyle.TAGS:
        words = {dimension.slug: _tags(dimension, label, template) for dimension, label in labels.items()}
        texts = [_filled(f"[{text}]", words | names) for text in template.tags]
        return ", ".join(dict.fromkeys(text for text in texts if text))
    words = {dimension.slug: _phrase(dimension, label, template) for dimension, label in labels.items()}
    words[SHOT_FIELD] = _noun_phrase(labels, template)
    text = _filled(template.sentence, words | names)
    return text[:1].upper() + text[1:] if template.sentence.startswith(("{", "[")) else text


def _labels(row: SheetRow, kind: MediaKind) -> Iterator[tuple[Dimension, Label]]:
    for dimension in DIMENSIONS:
        cell = row.cells.get(dimension.slug)
        if cell and cell.table_label and (kind is MediaKind.CLIP or dimension.media_kind is MediaKind.STILL):
            yield dimension, dimension.canonical(dimension.parse(cell.table_label))


def _filled(text: str, words: Mapping[str, str]) -> str:
    """A text with its fields filled in, without the brackets in which a field has no words."""

    def optional(found: re.Match[str]) -> str:
        return found[1] if all(words.get(name) for name in FIELD.findall(found[1])) else ""

    filled = FIELD.sub(lambda found: words.get(found[1], ""), OPTIONAL.sub(optional, text))
    return " ".join(filled.split())


def _phrase(dimension: Dimension, label: Label, template: CaptionTemplate) -> str:
    """The words of a label: what is true at once joined by "and", what follows by "then"."""
    words = template.phrase[dimension.slug]
    return ", then ".join(_listed([words[term.name] for term in step]) for step in label.steps)


def _tags(dimension: Dimension, label: Label, template: CaptionTemplate) -> str:
    return ", ".join(template.tag_of(dimension, term.name) for step in label.steps for term in step)


def _noun_phrase(labels: Mapping[Dimension, Label], template: CaptionTemplate) -> str:
    """Size and framing as one noun with its article, such as "a medium over-the-shoulder two-shot"."""
    before: list[str] = []
    nouns: list[str] = []
    after: list[str] = []
    for dimension in (SHOT_SIZE, SHOT_FRAMING):
        steps = labels[dimension].steps if dimension in labels else ()
        words = [template.phrase[dimension.slug][term.name].partition(NOUN_MARK) for step in steps for term in step]
        before += [first for first, mark, _ in words if mark]
        after += [rest for _, mark, rest in words if mark]
        nouns.append(_listed([noun for noun, mark, _ in words if not mark]))
    noun = nouns if any(nouns) else [NOUN]
    phrase = " ".join(" ".join([*before, *noun, *after]).split())
    return f"{'an' if _VOWEL.match(phrase) else 'a'} {phrase}"


def _listed(words: Sequence[str]) -> str:
    """Words as a list in English: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""
