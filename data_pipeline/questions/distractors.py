"""Which labels are certainly wrong for a shot, and how similar they are to the right one: the rules behind distractors.

Owns which labels are wrong, not which are chosen (see `balance.py`). A distractor must be certainly wrong, and an
annotation records only what its author looked at: a shot labelled "Backlight" may have hard light or not. Therefore:

- Two terms of one facet exclude each other, as defined in the vocabulary.
- Lighting labels name the one or two most striking of a dozen properties. Terms of other facets remain possible,
  except what a term itself rules out (`_RULED_OUT`): the visible side of a silhouette is not lit.
- Framing, angle, composition and movement are annotated completely; a label with several terms means that all of them
  apply ("Establishing shot, Group shot"). A term missing from the label is therefore wrong, as in ShotBench, except
  where one term contains the other or nearly always occurs with it (`_OVERLAPPING`): an over-the-shoulder shot shows
  two people, a symmetrical composition is balanced, a camera that tracks a runner also trucks.
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
SCALES = (SHOT_SIZE, LENS_SIZE)  # their terms are ordered by size; neighbours are hard to distinguish

# Terms, or all terms of a facet, that may apply together although the label names only one.
_OVERLAPPING: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    SHOT_FRAMING.slug: (("Over the shoulder", ("Single", "2 shot")), ("Establishing shot", ("Group shot",))),
    COMPOSITION.slug: (("Symmetrical", ("Center", "Balanced")), ("Short side", ("Left heavy", "Right heavy"))),
    CAMERA_MOVEMENT.slug: (
        ("Tracking", ("depth", "height", "lateral", "yaw", "pitch", "orbit")),  # the camera moves as its subject does
        ("Arc", ("lateral", "yaw")),  # a combination of the two
        ("Dolly zoom", ("depth", "Zoom in", "Zoom out")),  # likewise
        ("Rack focus", ("focus", "rest")),  # does not give the direction; the camera may be static
        ("Rack focus to foreground", ("rest",)),
        ("Rack focus to background", ("rest",)),
    ),
}
# Terms of other facets that a term rules out, in dimensions whose labels are incomplete.
_RULED_OUT: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    LIGHTING_CONDITION.slug: (("Silhouette", ("Side light", "Underlight", "Top light", "Low contrast")),),
    LIGHTING_TYPE.slug: (("Overcast", ("Moonlight", "Firelight")), ("Sunny", ("Moonlight", "Firelight"))),
}
# Facets whose terms are easily confused: the image moves similarly and only parallax differs.
_CONFUSABLE_FACETS = {CAMERA_MOVEMENT.slug: ({"depth", "focal length"}, {"height", "pitch"}, {"lateral", "yaw"})}


def canonical(dimension: Dimension, label: Label) -> Label:
    """Return the canonical form of a label, used to compare labels and to write options."""
    return dimension.canonical(label)


def shape(label: Label) -> tuple[int, ...]:
    """Return the number of terms in each step, which all options of a question share, so that none stands out."""
    return tuple(len(step) for step in label.steps)


def is_wrong(dimension: Dimension, truth: Label, label: Label) -> bool:
    """Return whether `label` is certainly wrong for a shot labelled `truth`."""
    if label.terms == truth.terms:
        return label.steps != truth.steps  # same terms in canonical labels: wrong if the order differs
    return any(_term_is_wrong(dimension, truth.terms, term) for term in label.terms - truth.terms)


def has_no_wrong_term(dimension: Dimension, truth: Label) -> bool:
    """Return whether no single term is certainly wrong for a shot labelled `truth`."""
    return not any(is_wrong(dimension, truth, Label(((term,),))) for term in dimension.terms)


def label_distance(dimension: Dimension, one: Label, other: Label) -> float:
    """Return the mean distance of each term of `one` to the closest term of `other`; 0 if all terms are the same.

    Terms of `SCALES` differ by their number of steps on the scale, other terms by 1 if easily confused, else by 2.
    """
    distances = [
        min(_term_distance(dimension, term, rival) for rival in other.terms) for term in sorted(one.terms, key=str)
    ]
    return sum(distances) / len(distances)


def derived_distractor_sets(dimension: Dimension, truth: Label) -> Iterator[tuple[Label, ...]]:
    """Yield sets of three wrong labels derived from a compound label, such that none of the four options stands out.

    Two terms and one rival of each give four labels, each sharing a term with two others: (a, c), (a, d), (b, c),
    (b, d); if only one term has rivals, the other is kept in all. Steps X, Y and a rival Z give XY, YX, XZ, ZX; three
    or more steps are permuted.
    """
    sets = _reordered(dimension, truth) if len(truth.steps) > 1 else _recombined(dimension, truth)
    allow_incoherent = not _is_coherent(dimension, truth)
    for wrong in sets:
        same_shape = all(shape(label) == shape(truth) for label in wrong)
        if same_shape and all(
            is_wrong(dimension, truth, x) and (allow_incoherent or _is_coherent(dimension, x)) for x in wrong
        ):
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
    """Return whether the terms of each step can apply at once; otherwise the option is recognizably wrong as text."""
    pairs = [pair for step in label.steps for pair in combinations(step, 2)]
    return not any(one.facet == other.facet or _is_paired_in(_RULED_OUT, dimension, one, other) for one, other in pairs)


def _rivals(dimension: Dimension, truth: Label, term: Term) -> list[Term]:
    """Return certainly wrong terms of the same facet, or of other facets if there are none."""
    wrong = [rival for rival in dimension.terms if rival not in truth.terms]
    wrong = [rival for rival in wrong if _term_is_wrong(dimension, truth.terms, rival)]
    return [rival for rival in wrong if rival.facet == term.facet] or wrong


def _term_is_wrong(dimension: Dimension, truth: frozenset[Term], term: Term) -> bool:
    if any(_is_paired_in(_OVERLAPPING, dimension, term, true) for true in truth):
        return False
    if dimension in NAMED_IN_FULL or any(term.facet == true.facet for true in truth):
        return True
    return any(_is_paired_in(_RULED_OUT, dimension, term, true) for true in truth)


@lru_cache(maxsize=4096)
def _pairs(dimension: Dimension, ruled_out: bool) -> frozenset[frozenset[Term]]:
    rules = (_RULED_OUT if ruled_out else _OVERLAPPING).get(dimension.slug, ())
    return frozenset(
        frozenset((dimension.term(name), term))
        for name, others in rules
        for term in dimension.terms
        if term.facet in others or term.name in others
    )


def _is_paired_in(rules: object, dimension: Dimension, one: Term, other: Term) -> bool:
    return frozenset((one, other)) in _pairs(dimension, rules is _RULED_OUT)


def _term_distance(dimension: Dimension, one: Term, other: Term) -> float:
    if one == other:
        return 0.0
    if dimension in SCALES:
        return float(abs(dimension.terms.index(one) - dimension.terms.index(other)))
    confusable = any({one.facet, other.facet} <= facets for facets in _CONFUSABLE_FACETS.get(dimension.slug, ()))
    return 1.0 if confusable or one.facet == other.facet else 2.0
