"""The spellings of terms that people write into tables, beyond those of the release.

Owns the words of `SPELLINGS` and when two spellings are the same: case, hyphens, blanks, plurals and inflections do not
matter, nor do adverbs ("slowly") and nouns that follow a term ("shot", "lens"). The terms are those of the vocabulary,
the synonyms of prose those of `grading/wordings.py`; a graded answer is never read with the spellings of this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache

from data_pipeline.annotations.plain_text import half_width
from lmms_eval_shotbench.grading.phrases import base_form
from lmms_eval_shotbench.grading.wordings import NOT_A_TERM, TRANSPARENT, WORDINGS
from lmms_eval_shotbench.vocabulary import (
    CAMERA_ANGLE,
    CAMERA_MOVEMENT,
    COMPOSITION,
    LENS_SIZE,
    LIGHTING_CONDITION,
    LIGHTING_TYPE,
    SHOT_FRAMING,
    SHOT_SIZE,
    Dimension,
    Term,
)

# Nouns that may follow a term: of every dimension, and of one ("wide angle" is a lens and no shot size).
HEADS = frozenset(["shot", "view", "framing", "frame", "camera"])
HEADS_OF = {
    CAMERA_ANGLE.slug: HEADS | {"angle"},
    LENS_SIZE.slug: HEADS | {"lens", "angle"},
    LIGHTING_TYPE.slug: HEADS | {"light"},
    LIGHTING_CONDITION.slug: HEADS | {"light"},
    COMPOSITION.slug: HEADS | {"composition"},
}
_PLURAL_ABBREVIATION = re.compile(r"\b([A-Z0-9]{2,})s\b")  # MCUs
_WORD = re.compile(r"[^\W_]+|/")
_EXPLAINED = re.compile(r"([^()]+)\(([^()]+)\)")  # Medium Wide Shot (MWS)
JOINERS = re.compile(r"[,;&+|/\n]")  # "Medium, Wide" is not "Medium Wide"


def _combined(verbs: str, directions: str) -> tuple[str, ...]:
    return tuple(f"{verb} {direction}" for verb in verbs.split() for direction in directions.split())


_SIDEWAYS = "move truck track dolly slide crab strafe jib"
_VERTICALLY = "boom crane jib pedestal ped lift move elevate elevator"
_AROUND = "left right clockwise counterclockwise ccw cw around"

# By dimension and term; spellings of the vocabulary and of `grading/wordings.py` are not repeated.
SPELLINGS: dict[str, dict[str, tuple[str, ...]]] = {
    SHOT_SIZE.slug: {
        "Extreme Close Up": ("XCU", "BCU", "Extreme CU", "Big CU"),
        "Close Up": ("Close",),
        "Medium Close Up": ("Medium CU",),
        "Medium Wide": ("MFS", "Medium LS", "American", "Cowboy", "Plan américain", "Three quarter shot", "3/4 shot"),
        "Extreme Wide": ("XLS", "VLS", "VWS", "Extreme LS", "Very Long", "Extra Wide", "Extra Long"),
    },
    SHOT_FRAMING.slug: {
        "Single": ("Clean single", "1 shot"),
        "2 shot": ("Clean 2 shot", "2S"),
        "3 shot": ("Clean 3 shot", "3S"),
        "Establishing shot": ("EST", "Establisher"),
    },
    CAMERA_ANGLE.slug: {
        "Aerial": ("Drone", "Helicopter"),
        "Overhead": ("Birdseye", "God's eye", "Top view", "Top shot"),
        "Dutch angle": ("Oblique angle", "Dutched"),
    },
    LENS_SIZE.slug: {
        "Ultra Wide / Fisheye": ("UWA", "Super wide angle"),
        "Wide": ("Wide angle",),
        "Medium": ("Normal lens", "Standard lens"),
    },
    LIGHTING_TYPE.slug: {"Sunny": ("Sunlight", "Sunlit"), "Overcast": ("Overcast sky",)},
    LIGHTING_CONDITION.slug: {"Edge light": ("Rim",), "Backlight": ("Contre jour",), "Underlight": ("Up light",)},
    COMPOSITION.slug: {
        "Center": ("Central", "Center framed", "Center weighted"),
        "Left heavy": ("Left weighted",),
        "Right heavy": ("Right weighted",),
    },
    CAMERA_MOVEMENT.slug: {
        "Pan left": ("Pan L",),
        "Pan right": ("Pan R",),
        "Push in": _combined("push pull dolly track truck move creep", "in forward closer"),
        "Pull out": _combined("pull push dolly track truck move creep", "out back away backward"),
        "Boom up": _combined(_VERTICALLY + " rise raise", "up"),
        "Boom down": _combined(_VERTICALLY + " drop lower", "down"),
        "Move to the left": _combined(_SIDEWAYS, "left"),
        "Move to the right": _combined(_SIDEWAYS, "right"),
        "Camera roll": (*_combined("roll", _AROUND), "Dutch roll", "Barrel roll"),
        "Arc": (*_combined("arc orbit circle", _AROUND), "Circle", "Orbital", "Circular", "360", "360 degrees"),
        "Dolly zoom": ("Vertigo", "Hitchcock zoom", "Contra zoom", "Zoom dolly", "Trombone shot"),
        "Rack focus": ("Rack",),
        "Tracking": ("Follow", "Following"),
        "Static shot": (
            *("Tripod", "On a tripod", "Sticks", "Fixed", "Fixed shot", "Lock off", "Locked", "Locked down"),
            *("No movement", "No camera movement", "Still camera", "Unmoving", "Motionless"),
        ),
    },
}


def spelling_key(text: str) -> str:
    """The form in which two spellings of the same words are equal.

    >>> spelling_key("Close-Ups") == spelling_key("closeup")
    True
    """
    words = _words(text)
    return "".join([word for word in words if word not in TRANSPARENT] or words)


def spelling_keys(dimension: Dimension, text: str) -> Iterator[str]:
    """The key of a text, and the key without the nouns around it; the first that is known counts."""
    yield spelling_key(text)
    words = [word for word in _words(text) if word not in TRANSPARENT]
    heads = HEADS_OF.get(dimension.slug, HEADS)
    while words and words[-1] in heads:
        words.pop()
    if words and words[0] == "camera":
        words.pop(0)
    if words:
        yield "".join(words)


@lru_cache(maxsize=4096)
def _words(text: str) -> tuple[str, ...]:
    plain = JOINERS.sub("/", re.sub(r"['’`]", "", half_width(text)))
    return tuple(base_form(word) for word in _WORD.findall(_PLURAL_ABBREVIATION.sub(r"\1", plain).casefold()))


def all_spellings(dimension: Dimension) -> Iterator[tuple[str, Term]]:
    """Every spelling of every term, the vocabulary's own first."""
    for term in dimension.terms:
        yield from ((name, term) for name in (term.name, *term.aliases))
    for words in (WORDINGS, SPELLINGS):
        for name, spellings in words.get(dimension.slug, {}).items():
            if name != NOT_A_TERM:
                yield from ((spelling, _term_named(dimension.terms, name)) for spelling in spellings)


def _term_named(terms: Iterable[Term], name: str) -> Term:
    return next(term for term in terms if term.name == name)


@cache
def terms_by_key(dimension: Dimension) -> dict[str, Term]:
    """The terms by the keys of all their spellings; a full spelling counts before one without its nouns."""
    spellings = list(all_spellings(dimension))
    keys: dict[str, Term] = {}
    for spelling, term in spellings:
        keys.setdefault(spelling_key(spelling), term)
    for spelling, term in spellings:
        for key in spelling_keys(dimension, spelling):
            keys.setdefault(key, term)
    return keys


def known_term(dimension: Dimension, text: str) -> Term | None:
    """The term that is written in a text, or None."""
    terms = terms_by_key(dimension)
    if explained := _EXPLAINED.fullmatch(text.strip()):
        first, second = (known_term(dimension, part) for part in explained.groups())
        return first if first == second else None
    return next((terms[key] for key in spelling_keys(dimension, text) if key in terms), None)
