"""Which labels are certainly wrong of a shot, and how near they come: the film grammar behind the wrong options.

Owns the judgement, not the choice (see `balance.py`). A wrong option must be wrong for sure, and an annotation says
only what somebody looked at: of a shot labelled "Backlight" nobody said whether the light is hard. So:

- Two terms of one facet exclude each other, as the vocabulary has it.
- Light is named by its most striking properties, one or two of a dozen. Other facets are open there, but for what
  follows from the term itself (`RULED_OUT`): under a silhouette the side that we see is not lit.
- Framing, angle, composition and movement are named in full, and a label with several terms is how two true ones are
  said ("Establishing shot, Group shot"). A term the label leaves out is therefore wrong, as ShotBench itself takes
  it, except where one term contains the other or nearly always comes with it (`OVERLAPPING`): over the shoulder of
  somebody there are two in the picture, what is symmetrical is balanced, who tracks a runner also trucks.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations, permutations, product

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
    Label,
    Term,
)

NAMED_IN_FULL = (SHOT_SIZE, SHOT_FRAMING, CAMERA_ANGLE, LENS_SIZE, COMPOSITION, CAMERA_MOVEMENT)
SCALES = (SHOT_SIZE, LENS_SIZE)  # their terms stand in order of size; neighbours are hard to tell apart

# Terms, or facets as a whole, that may be true together though the label names but one.
_OVERLAPPING: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    SHOT_FRAMING.slug: (("Over the shoulder", ("Single", "2 shot")), ("Establishing shot", ("Group shot",))),
    COMPOSITION.slug: (("Symmetrical", ("Center", "Balanced")), ("Short side", ("Left heavy", "Right heavy"))),
    CAMERA_MOVEMENT.slug: (
        ("Tracking", ("depth", "height", "lateral", "yaw", "pitch", "orbit")),  # the camera moves as its subject does
        ("Arc", ("lateral", "yaw")),  # it is made of the two
        ("Dolly zoom", ("depth", "Zoom in", "Zoom out")),  # likewise
        ("Rack focus", ("focus", "rest")),  # says nothing of the direction; the camera may stand
        ("Rack focus to foreground", ("rest",)),
        ("Rack focus to background", ("rest",)),
    ),
}
# What a term rules out beyond its own facet, where labels are not complete.
_RULED_OUT: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    LIGHTING_CONDITION.slug: (("Silhouette", ("Side light", "Underlight", "Top light", "Low contrast")),),
    LIGHTING_TYPE.slug: (("Overcast", ("Moonlight", "Firelight")), ("Sunny", ("Moonlight", "Firelight"))),
}
# Facets whose terms are taken for each other: the picture moves alike, only parallax tells.
_LOOK_ALIKE = {CAMERA_MOVEMENT.slug: ({"depth", "focal length"}, {"height", "pitch"}, {"lateral", "yaw"})}


def canonical(dimension: Dimension, label: Label) -> Label:
    """The one form of labels that say the same; options are compared and written in it."""
    return dimension.canonical(label)


def shape(label: Label) -> tuple[int, ...]:
    """How many terms each step has; options of one question have one shape, or the odd one out gives itself away."""
    return tuple(len(step) for step in label.steps)


def is_wrong(dimension: Dimension, truth: Label, said: Label) -> bool:
    """Whether `said` is certainly wrong of a shot labelled `truth`."""
    if said.terms == truth.terms:
        return said.steps != truth.steps  # of canonical labels: another order
    return any(_term_is_wrong(dimension, truth.terms, term) for term in said.terms - truth.terms)


def is_hopeless(dimension: Dimension, truth: Label) -> bool:
    """Whether no single term is certainly wrong of a shot labelled `truth`."""
    return not any(is_wrong(dimension, truth, Label(((term,),))) for term in dimension.terms)


def distance(dimension: Dimension, one: Label, other: Label) -> float:
    """How far apart two labels are: 0 says the same terms; shared terms and near ones bring them closer."""
    apart = [
        min(_term_distance(dimension, term, rival) for rival in other.terms) for term in sorted(one.terms, key=str)
    ]
    return sum(apart) / len(apart)


def crossed(dimension: Dimension, truth: Label) -> Iterator[tuple[Label, ...]]:
    """Sets of wrong labels made from a compound one, so that none of a set with it stands out.

    Two terms and a rival of each give four labels, each sharing a term with two others: (a, c), (a, d), (b, c),
    (b, d); where only one of them has a rival, the other is kept in all. Steps X, Y and another Z give XY, YX, XZ, ZX;
    three steps and more are put into other orders.
    """
    sets = _reordered(dimension, truth) if len(truth.steps) > 1 else _recombined(dimension, truth)
    odd = not _is_coherent(dimension, truth)
    for wrong in sets:
        same_shape = all(shape(label) == shape(truth) for label in wrong)
        if same_shape and all(is_wrong(dimension, truth, x) and (odd or _is_coherent(dimension, x)) for x in wrong):
            yield wrong


def _recombined(dimension: Dimension, truth: Label) -> Iterator[tuple[Label, ...]]:
    terms = truth.steps[0]
    for first, second in combinations(terms, 2):
        rest = [term for term in terms if term not in (first, second)]
        for rival, other in product(_rivals(dimension, truth, first), _rivals(dimension, truth, second)):
            pairs = ((first, other), (rival, second), (rival, other))
            yield tuple(canonical(dimension, Label(((*rest, *pair),))) for pair in pairs)
    for term in terms:
        rest = [other for other in terms if other != term]
        for rivals in combinations(_rivals(dimension, truth, term), 3):
            yield tuple(canonical(dimension, Label(((*rest, rival),))) for rival in rivals)


def _reordered(dimension: Dimension, truth: Label) -> Iterator[tuple[Label, ...]]:
    if len(truth.steps) > 2:
        orders = [Label(steps) for steps in permutations(truth.steps) if steps != truth.steps]
        yield from combinations((order for order in orders if canonical(dimension, order) == order), 3)
        return
    for kept, changed in (truth.steps, truth.steps[::-1]):
        for rival in _rivals(dimension, truth, changed[0]) if len(changed) == 1 else ():
            yield Label(truth.steps[::-1]), Label((kept, (rival,))), Label(((rival,), kept))


def _is_coherent(dimension: Dimension, label: Label) -> bool:
    """Whether the terms of each step can be true at once, or a look at the words alone would rule it out."""
    pairs = [pair for step in label.steps for pair in combinations(step, 2)]
    return not any(one.facet == other.facet or _stands_in(_RULED_OUT, dimension, one, other) for one, other in pairs)


def _rivals(dimension: Dimension, truth: Label, term: Term) -> list[Term]:
    """Terms of the same facet that are certainly wrong; where it has none, those of other facets."""
    wrong = [rival for rival in dimension.terms if rival not in truth.terms]
    wrong = [rival for rival in wrong if _term_is_wrong(dimension, truth.terms, rival)]
    return [rival for rival in wrong if rival.facet == term.facet] or wrong


def _term_is_wrong(dimension: Dimension, truth: frozenset[Term], term: Term) -> bool:
    if any(_stands_in(_OVERLAPPING, dimension, term, true) for true in truth):
        return False
    if dimension in NAMED_IN_FULL or any(term.facet == true.facet for true in truth):
        return True
    return any(_stands_in(_RULED_OUT, dimension, term, true) for true in truth)


@lru_cache(maxsize=4096)
def _pairs(dimension: Dimension, ruled_out: bool) -> frozenset[frozenset[Term]]:
    rules = (_RULED_OUT if ruled_out else _OVERLAPPING).get(dimension.slug, ())
    return frozenset(
        frozenset((dimension.term(name), term))
        for name, others in rules
        for term in dimension.terms
        if term.facet in others or term.name in others
    )


def _stands_in(rules: object, dimension: Dimension, one: Term, other: Term) -> bool:
    return frozenset((one, other)) in _pairs(dimension, rules is _RULED_OUT)


def _term_distance(dimension: Dimension, one: Term, other: Term) -> float:
    if one == other:
        return 0.0
    if dimension in SCALES:
        return float(abs(dimension.terms.index(one) - dimension.terms.index(other)))
    alike = any({one.facet, other.facet} <= facets for facets in _LOOK_ALIKE.get(dimension.slug, ()))
    return 1.0 if alike or one.facet == other.facet else 2.0
