"""The glossary of film terms, generated from the vocabulary and the knowledge table, with the committed pictures."""

from __future__ import annotations

from collections.abc import Iterator

from data_pipeline.questions.knowledge import knowledge_of
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, MediaKind, Term

PAGE, FOLDER = "glossary.md", "glossary"
INTRODUCTION = """\
# Glossary of film terms

The terms that ShotBench asks about, by dimension, each with a picture from the [studio](studio.md): a still or, for
camera movement, the first, middle and last frame of a clip. Terms of one *facet* exclude each other in a shot. The
terms are those of [`vocabulary.py`](../lmms_eval_shotbench/vocabulary.py), the explanations those of
[`knowledge.toml`](../data_pipeline/questions/knowledge.toml)."""


def glossary_page() -> str:
    """Return the Markdown of the page."""
    return "\n\n".join([INTRODUCTION, *(part for dimension in DIMENSIONS for part in _dimension(dimension))]) + "\n"


def picture_name(dimension: Dimension, term: Term) -> str:
    """File name of the picture of a term."""
    return f"{anchor(dimension, term)}.jpg"


def anchor(dimension: Dimension, term: Term) -> str:
    """Anchor of a term on the page, such as "shot_size-close-up"."""
    words = "".join(letter if letter.isalnum() else " " for letter in term.name.lower()).split()
    return f"{dimension.slug}-{'-'.join(words)}"


def _dimension(dimension: Dimension) -> Iterator[str]:
    medium = "a clip" if dimension.media_kind is MediaKind.CLIP else "a still"
    yield f"## {dimension.paper_name} {{#{dimension.slug}}}"
    yield f"“{dimension.question}” is asked about {medium}; its name in tasks and scores is `{dimension.slug}`."
    for term in dimension.terms:
        yield from _term(dimension, term)


def _term(dimension: Dimension, term: Term) -> Iterator[str]:
    known = knowledge_of(dimension, term)
    yield f"### {term.name} {{#{anchor(dimension, term)} .term}}"
    yield f"![{term.name}, {dimension.paper_name}]({FOLDER}/{picture_name(dimension, term)}){{ loading=lazy }}"
    names = list(dict.fromkeys(filter(None, [known.abbreviation, *term.aliases])))
    also = f"Also {', '.join(f'“{name}”' for name in names)}. " if names else ""
    yield f"{known.meaning}"
    yield f"**To recognise it:** {known.recognise}"
    confusions = [
        f"- Against [{other}](#{anchor(dimension, dimension.term(other))}): {difference}"
        for other, difference in known.apart.items()
    ]
    yield "\n".join(confusions)
    yield f"*{also}Facet: {term.facet}.*"
