"""The language of film as ShotBench tests it: eight dimensions and their terms.

This is the only place that names a dimension or a term. A *term* is one label ("Close Up"); its *facet* is the
question it answers, so two terms of one facet cannot both be true of one shot. A *label* is the parsed text of an
option: one term, several simultaneous terms ("Backlight, Silhouette") or a sequence of steps ("Firstly Pan left, then
Tilt up"). `Dimension.parse` turns any spelling of the release into a `Label`.

Sources: ShotBench paper (arXiv 2506.21356), section 3 and table 9 for dimensions and terms; the spelling variants are
those of the released `test.tsv`; facets of framing and light follow RefineShot (arXiv 2510.02423).

Standard library only: reward workers import this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache


class MediaKind(StrEnum):
    """Kind of a question's medium: a single frame or a video clip."""

    STILL = "still"
    CLIP = "clip"


class View(StrEnum):
    """How a medium is presented to the model; the correct terms change with it (`OPPOSITES`)."""

    AS_FILMED = "as filmed"
    MIRRORED = "mirrored"  # left and right exchanged
    REVERSED = "reversed"  # a clip played backwards


class UnknownTerm(ValueError):
    """A label contains a name that is not a term of its dimension."""


class UnknownDimension(ValueError):
    """No dimension has this slug or release label."""


def normal_form(text: str) -> str:
    """Fold case and drop punctuation and the word "and", so that spellings of the same label compare equal.

    >>> normal_form("Backlight and  Silhouette.") == normal_form("backlight, silhouette")
    True
    """
    return " ".join(word for word in re.findall(r"[^\W_]+", text.casefold()) if word != "and")


@dataclass(frozen=True)
class Term:
    """One term of a dimension; `aliases` are synonyms, and terms of the same `facet` exclude each other."""

    name: str
    facet: str
    aliases: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Label:
    """A parsed option: steps in time order, each with the terms that are true simultaneously."""

    steps: tuple[tuple[Term, ...], ...]

    def __str__(self) -> str:
        """Option text in the vocabulary's own spelling."""
        steps = [", ".join(map(str, step)) for step in self.steps]
        return steps[0] if len(steps) == 1 else f"Firstly {', then '.join(steps)}"

    @property
    def terms(self) -> frozenset[Term]:
        """The terms of all steps."""
        return frozenset(term for step in self.steps for term in step)

    @property
    def is_compound(self) -> bool:
        """Whether the label contains more than one term."""
        return sum(len(step) for step in self.steps) > 1

    @property
    def repeated_terms(self) -> tuple[Term, ...]:
        """Terms repeated within a step, or in two identical consecutive steps: a defect of the label."""
        twice = [term for step in self.steps for term in set(step) if step.count(term) > 1]
        again = [
            term
            for before, after in zip(self.steps, self.steps[1:], strict=False)
            if set(before) == set(after)
            for term in before
        ]
        return tuple(dict.fromkeys(twice + again))


@dataclass(frozen=True)
class Dimension:
    """One of the eight dimensions of cinematic language that ShotBench tests."""

    slug: str  # our name, in tasks, columns and scores
    release_label: str  # `category` in test.tsv
    paper_name: str
    abbreviation: str  # column of the paper's tables
    media_kind: MediaKind
    terms: tuple[Term, ...]

    def __hash__(self) -> int:
        return hash(self.slug)  # unique; the generated hash would cover all terms on every call

    @property
    def question(self) -> str:
        """The question that the release asks about this dimension."""
        place = "in this movie shot" if self.media_kind is MediaKind.CLIP else "of this shot"
        return f"What's the {self.release_label} {place}?"

    @cached_property
    def _term_of_spelling(self) -> dict[str, Term]:
        return {normal_form(name): term for term in self.terms for name in (term.name, *term.aliases)}

    def term(self, name: str) -> Term:
        """Return the term with this name or alias, with or without a trailing "shot"; raise `UnknownTerm`."""
        spelling = normal_form(name)
        for candidate in (spelling, spelling.removesuffix(" shot"), f"{spelling} shot"):
            if candidate in self._term_of_spelling:
                return self._term_of_spelling[candidate]
        raise UnknownTerm(f"{name!r} is no term of {self.paper_name}; its terms: {', '.join(map(str, self.terms))}")

    def parse(self, text: str) -> Label:
        """Parse an option or annotation in any spelling of the release; raise `UnknownTerm` naming the unknown part."""
        return _parse(self, text)

    def canonical(self, label: Label) -> Label:
        """Canonical form, equal for equivalent labels: terms of a step in the order of `terms`, no repetitions."""
        steps = [tuple(term for term in self.terms if term in step) for step in label.steps]
        return Label(tuple(step for place, step in enumerate(steps) if not place or step != steps[place - 1]))


# The release spells the first word of a sequence in several ways.
_OPENING = re.compile(r"^\s*(?:firstly|fisrtly|fristly|first)\b,?", re.IGNORECASE)
_NEXT_STEP = re.compile(r"\s*,?\s*\b(?:then|finally)\b\s*", re.IGNORECASE)
_AT_ONCE = re.compile(r"\s*,\s*(?:and\s+)?|\s+and\s+", re.IGNORECASE)


@lru_cache(maxsize=4096)  # about 500 distinct labels in the release
def _parse(dimension: Dimension, text: str) -> Label:
    steps = _NEXT_STEP.split(_OPENING.sub("", text.strip().rstrip(".")))
    return Label(tuple(tuple(dimension.term(part) for part in _AT_ONCE.split(step.strip())) for step in steps))


def steps_exchanged(text: str) -> str:
    """Reverse the order of a label's steps, keeping its conjunctions where they are.

    >>> steps_exchanged("Firstly Pan left, then Tilt up.")
    'Firstly Tilt up, then Pan left.'
    """
    opening = _OPENING.match(text)
    start, end = opening.end() if opening else 0, len(text.rstrip(" ."))
    body = text[start:end]
    steps, joints = _NEXT_STEP.split(body.strip())[::-1], _NEXT_STEP.findall(body)
    blanks = body[: len(body) - len(body.lstrip())]
    joined = "".join(step + joint for step, joint in zip(steps, [*joints, ""], strict=True))
    return f"{text[:start]}{blanks}{joined}{text[end:]}"


def _facet_terms(facet: str, *names: str | tuple[str, ...]) -> tuple[Term, ...]:
    """Create the terms of one facet; a tuple is a name followed by its aliases."""
    return tuple(Term(name, facet) if isinstance(name, str) else Term(name[0], facet, name[1:]) for name in names)


SHOT_SIZE = Dimension(
    "shot_size", "shot size", "Shot Size", "SS", MediaKind.STILL,
    _facet_terms(
        "size",
        ("Extreme Close Up", "ECU", "Extreme Closeup"),
        ("Close Up", "CU", "Closeup"),
        ("Medium Close Up", "MCU", "Medium Closeup"),
        ("Medium", "MS"),
        ("Medium Wide", "MWS"),
        ("Wide", "WS"),
        ("Extreme Wide", "EWS"),
    ),
)  # fmt: skip
SHOT_FRAMING = Dimension(
    "shot_framing", "shot framing", "Shot Framing", "SF", MediaKind.STILL,
    _facet_terms("subject count", "Single", ("2 shot", "Two shot"), ("3 shot", "Three shot"), ("Group shot", "Group"))
    + _facet_terms("detail", "Insert")
    + _facet_terms("environment", "Establishing shot")
    + _facet_terms("perspective", ("Over the shoulder", "OTS")),
)  # fmt: skip
CAMERA_ANGLE = Dimension(
    "camera_angle", "camera angle", "Camera Angle", "CA", MediaKind.STILL,
    _facet_terms("height", "Aerial", "Overhead", "High angle", "Low angle")
    + _facet_terms("roll", ("Dutch angle", "Dutch", "Canted angle")),
)  # fmt: skip
LENS_SIZE = Dimension(
    "lens_size", "lens size", "Lens Size", "LS", MediaKind.STILL,
    _facet_terms(
        "focal length",
        ("Ultra Wide / Fisheye", "Ultra Wide", "Fisheye"),
        ("Wide", "Wide Lens"),
        ("Medium", "Medium Lens"),
        ("Long Lens", "Long", "Telephoto"),
    ),
)  # fmt: skip
LIGHTING_TYPE = Dimension(
    "lighting_type", "lighting type", "Lighting Type", "LT", MediaKind.STILL,
    _facet_terms("light source", "Daylight", "Artificial light", "Mixed light", "Firelight", "Moonlight")
    + _facet_terms("visible source", "Practical light")
    + _facet_terms("weather", "Overcast", "Sunny")
    + _facet_terms("lamp", "Fluorescent", "HMI", "Tungsten", "LED"),
)  # fmt: skip
LIGHTING_CONDITION = Dimension(
    "lighting_condition", "lighting", "Lighting Condition", "LC", MediaKind.STILL,
    _facet_terms("direction", "Side light", "Backlight", "Underlight", "Top light")
    + _facet_terms("contrast", "High contrast", "Low contrast")
    + _facet_terms("quality", "Hard light", "Soft light")
    + _facet_terms("technique", "Edge light")
    + _facet_terms("effect", "Silhouette"),
)  # fmt: skip
COMPOSITION = Dimension(
    "composition", "composition", "Shot Composition", "SC", MediaKind.STILL,
    _facet_terms("weight", "Center", "Balanced", "Left heavy", "Right heavy")
    + _facet_terms("symmetry", "Symmetrical")
    + _facet_terms("looking room", "Short side"),
)  # fmt: skip
CAMERA_MOVEMENT = Dimension(
    "camera_movement", "camera movement", "Camera Movement", "CM", MediaKind.CLIP,
    _facet_terms("depth", ("Push in", "Dolly in"), ("Pull out", "Dolly out"))
    + _facet_terms("height", "Boom up", "Boom down")
    + _facet_terms(
        "lateral",
        ("Move to the left", "Move to left", "Trucking left", "Truck left"),
        ("Move to the right", "Move to right", "Trucking right", "Truck right"),
    )
    + _facet_terms("yaw", "Pan left", "Pan right")
    + _facet_terms("pitch", "Tilt up", "Tilt down")
    + _facet_terms("roll", ("Camera roll", "Roll"))
    + _facet_terms("focal length", "Zoom in", "Zoom out", "Dolly zoom")
    + _facet_terms("orbit", "Arc")
    + _facet_terms("subject", ("Tracking", "Tracking shot"))
    + _facet_terms(
        "focus",
        "Rack focus",
        ("Rack focus to foreground", "the focus changes from background to foreground"),
        ("Rack focus to background", "the focus changes from foreground to background"),
    )
    + _facet_terms("rest", ("Static shot", "Static")),
)  # fmt: skip

DIMENSIONS: tuple[Dimension, ...] = (
    SHOT_SIZE,
    SHOT_FRAMING,
    CAMERA_ANGLE,
    LENS_SIZE,
    LIGHTING_TYPE,
    LIGHTING_CONDITION,
    COMPOSITION,
    CAMERA_MOVEMENT,
)
SEVERAL_TERMS = (LIGHTING_TYPE, LIGHTING_CONDITION)  # dimensions in which several terms are usually true at once
_BY_NAME = {name: dimension for dimension in DIMENSIONS for name in (dimension.slug, dimension.release_label)}


def dimension_named(name: str) -> Dimension:
    """Return the dimension with this slug or release label; raise `UnknownDimension` listing the slugs."""
    try:
        return _BY_NAME[name.strip().lower()]
    except KeyError:
        raise UnknownDimension(f"{name!r} is no dimension; use one of {', '.join(slugs())}") from None


def slugs(dimensions: Iterable[Dimension] = DIMENSIONS) -> list[str]:
    """Slugs of the dimensions, by default of all in the paper's order."""
    return [dimension.slug for dimension in dimensions]


_SIDES = {"left": "right"}
_WAYS = {"push": "pull", "in": "out", "up": "down", "foreground": "background"}
# Replacement of each word of a label in another view. Terms without such a word remain true: played backwards, a static
# shot is static, an arc an arc, a roll a roll, and both components of a dolly zoom reverse.
OPPOSITES: dict[View, dict[str, str]] = {
    View.MIRRORED: _SIDES | {other: word for word, other in _SIDES.items()},
    View.REVERSED: _SIDES | _WAYS | {other: word for word, other in (_SIDES | _WAYS).items()},
}
# Played backwards, people whom the camera follows walk backwards; whether that is still Tracking is undefined.
AMBIGUOUS_REVERSED = "subject"  # facet
