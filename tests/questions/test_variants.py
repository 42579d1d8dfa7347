"""Variants of questions: mirrored, reversed, rotated and blind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.variants import (
    ROTATION_STRIDE,
    VARIANTS,
    Variant,
    corresponding_letter,
    opposite,
    original_id,
    question_in_view,
    rotations,
    variant_named,
    variant_named_in,
)
from lmms_eval_shotbench.scoring.option_prior import FOLDS, fold_of
from lmms_eval_shotbench.scoring.robustness import VariantAnswers, VariantScores, variant_scores
from lmms_eval_shotbench.vocabulary import (
    CAMERA_MOVEMENT,
    COMPOSITION,
    DIMENSIONS,
    View,
    dimension_named,
    normal_form,
)
from tests.support.items import make_item

VIEWS = (View.MIRRORED, View.REVERSED)
MOVES = [name for term in CAMERA_MOVEMENT.terms for name in (term.name, *term.aliases)]


def move(*options: str, answer: str = "A") -> QAItem:
    return make_item(options, answer, "camera_movement")


def meaning(item: QAItem, text: str) -> object:
    """The canonical label, equal for all spellings."""
    dimension = dimension_named(item.dimension)
    return dimension.canonical(dimension.parse(text))


@st.composite
def labels(draw: st.DrawFn) -> str:
    """A label of one to three steps in spellings of the release: any case, with or without a full stop."""
    names = st.sampled_from(MOVES).flatmap(lambda name: st.sampled_from([name, name.lower(), name.capitalize()]))
    steps = draw(st.lists(st.lists(names, min_size=1, max_size=2).map(" and ".join), min_size=1, max_size=3))
    opening = draw(st.sampled_from(["", "Firstly ", "Fisrtly "])) if len(steps) > 1 else ""
    body = ", then ".join(steps[:2]) + "".join(f", finally {step}" for step in steps[2:])
    return f"{opening}{body}{draw(st.sampled_from(['', '.']))}"


@pytest.mark.parametrize(
    ("label", "backwards"),
    [
        ("Push in", "Pull out"),
        ("Dolly out", "Dolly in"),
        ("Zoom in and Boom up", "Zoom out and Boom down"),
        ("Tilt up.", "Tilt down."),
        ("Pan left", "Pan right"),
        ("Trucking right", "Trucking left"),
        ("Firstly pan left, then Push in", "Firstly Pull out, then pan right"),
        ("Pan right, then tilt up.", "tilt down, then Pan left."),
        ("Fisrtly push in, then boom up and tilt down.", "Fisrtly boom down and tilt up, then pull out."),
        ("Firstly pan left, then pan left, finally tilt up.", "Firstly tilt down, then pan right, finally pan right."),
        ("Boom up, and the focus changes from foreground to background.",
         "Boom down, and the focus changes from background to foreground."),
        ("Static shot", "Static shot"),
        ("Arc", "Arc"),
        ("Camera roll", "Camera roll"),
        ("Dolly zoom", "Dolly zoom"),
        ("Rack focus", "Rack focus"),
    ],
)  # fmt: skip
def test_reversing_a_clip_reverses_movements_and_the_order_of_steps(label: str, backwards: str) -> None:
    assert opposite(label, View.REVERSED) == backwards
    assert opposite(backwards, View.REVERSED) == label


@pytest.mark.parametrize("dimension", DIMENSIONS, ids=lambda dimension: dimension.slug)
def test_mirroring_changes_only_left_and_right(dimension: object) -> None:
    changed = {term.name: opposite(term.name, View.MIRRORED) for term in dimension.terms}  # type: ignore[attr-defined]
    for name, other in changed.items():
        assert dimension.term(other).facet == dimension.term(name).facet  # type: ignore[attr-defined]
        assert (other != name) == any(side in name.lower() for side in ("left", "right"))
    assert opposite("Left heavy", View.MIRRORED) == "Right heavy"


@given(labels(), st.sampled_from(VIEWS))
def test_the_opposite_of_an_opposite_label_is_the_label_itself(label: str, view: View) -> None:
    other = opposite(label, view)
    assert opposite(other, view) == label
    parsed, parsed_other = CAMERA_MOVEMENT.parse(label), CAMERA_MOVEMENT.parse(other)
    steps = parsed.steps[::-1] if view is View.REVERSED else parsed.steps
    assert [[opposite(term.name, view) for term in step] for step in steps] == [
        [term.name for term in step] for step in parsed_other.steps
    ]


@pytest.mark.slow
@given(st.lists(labels(), min_size=2, max_size=5, unique=True), st.data(), st.sampled_from(VIEWS))
def test_a_question_transformed_twice_is_itself(options: list[str], data: st.DataObject, view: View) -> None:
    item = move(*options, answer=data.draw(st.sampled_from("ABCDE"[: len(options)])))
    changed = question_in_view(item, view)
    if changed is not None:
        assert meaning(changed, changed.gold) == meaning(item, opposite(item.gold, view))
        assert question_in_view(changed, view) == item


def test_an_option_whose_opposite_is_offered_stays_and_the_answer_moves() -> None:
    both_offered = question_in_view(move("Pan left", "Tilt up", "Pan right", "Static shot"), View.MIRRORED)
    assert both_offered and (both_offered.options, both_offered.answer) == (
        ("Pan left", "Tilt up", "Pan right", "Static shot"),
        "C",
    )
    not_offered = question_in_view(move("Tilt up", "Push in", "Pan right", "Static shot", answer="B"), View.REVERSED)
    assert not_offered and (not_offered.options, not_offered.answer) == (
        ("Tilt down", "Pull out", "Pan left", "Static shot"),
        "B",
    )
    alias = question_in_view(move("Move to left", "Trucking right", "Arc", "Zoom in"), View.MIRRORED)
    assert alias and (alias.options[:2], alias.answer) == (("Move to left", "Trucking right"), "B")


@pytest.mark.parametrize(
    ("item", "view"),
    [
        (move("Tracking and Push in", "Static shot"), View.REVERSED),
        (move("Yes", "No"), View.MIRRORED),
        (move("Pan left", "Static", "Static shot"), View.MIRRORED),
    ],
    ids=["tracking", "no terms", "two equivalent options"],
)
def test_a_question_without_a_known_answer_is_left_out(item: QAItem, view: View) -> None:
    assert question_in_view(item, view) is None
    variant = variant_named(view)
    assert variant.of([item]) == [] and variant.left_out([item]) == [item]


def test_rotations_put_every_option_at_every_position() -> None:
    item = make_item()
    turned = rotations(item)
    assert [one.answer for one in turned] == ["C", "B", "A", "D"]
    assert {one.gold for one in turned} == {item.gold}
    assert len({one.source_index for one in turned}) == 4
    assert [divmod(one.source_index, ROTATION_STRIDE) for one in turned] == [(1, 0), (1, 1), (1, 2), (1, 3)]
    assert turned[0] == replace(item, item_id="test-1@circular-0", source_index=26)
    for position in range(4):
        assert {one.options[position] for one in turned} == set(item.options)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_the_id_of_a_transformed_question_names_its_variant_and_its_original(
    variant: Variant, real_items: dict[int, QAItem]
) -> None:
    originals = {item.item_id for item in real_items.values()}
    changed = variant.of(list(real_items.values()))
    assert {variant_named_in(item.item_id) for item in changed} == {variant}
    assert {original_id(item.item_id) for item in changed} <= originals
    assert len({item.source_index for item in changed}) == len(changed)
    by_dimension = [variant.of([item for item in real_items.values() if item.dimension == d.slug]) for d in DIMENSIONS]
    assert sorted((item for some in by_dimension for item in some), key=str) == sorted(changed, key=str)


def test_the_id_of_an_original_question_names_no_variant() -> None:
    assert variant_named_in("film-1@home") is None and original_id("film-1@home") == "film-1@home"
    with pytest.raises(ValueError, match="use one of blind, circular, mirrored, reversed, refined"):
        variant_named("upside down")


@pytest.mark.slow
def test_twenty_real_questions_are_ambiguous_reversed_and_none_mirrored(
    real_items: dict[int, QAItem],
) -> None:
    items = list(real_items.values())
    assert variant_named("mirrored").left_out(items) == []
    left_out = variant_named("reversed").left_out(items)
    assert len(left_out) == 20 and all("Tracking" in item.gold for item in left_out)
    assert len(variant_named("reversed").of(items)) == 444
    for view in VIEWS:
        for changed in variant_named(view).of(items):
            original = real_items[changed.source_index]
            assert meaning(changed, changed.gold) == meaning(original, opposite(original.gold, view))
            again = question_in_view(changed, view)
            assert again and replace(again, item_id=original.item_id) == original
    mirrored = variant_named("mirrored").of(items)
    moved = Counter(item.dimension for item in mirrored if item.gold != real_items[item.source_index].gold)
    assert moved == {COMPOSITION.slug: 168, CAMERA_MOVEMENT.slug: 137}


def option_prior(items: list[QAItem]) -> Callable[[QAItem], str]:
    """A blind answerer: chooses the option text that was correct most often in other folds."""
    right: list[Counter[tuple[str, str]]] = [Counter() for _ in range(FOLDS)]
    for item in items:
        for fold in set(range(FOLDS)) - {fold_of(item.medium)}:
            right[fold][item.dimension, normal_form(item.gold)] += 1

    def answer(item: QAItem) -> str:
        known = right[fold_of(item.medium)]
        return max(item.letters, key=lambda letter: known[item.dimension, normal_form(item.choices[letter])])

    return answer


def answered(variant: Variant, items: list[QAItem], answer: Callable[[QAItem], str]) -> VariantScores:
    """Scores of an answerer that answers each question by `answer`."""
    changed: dict[str, list[QAItem]] = {}
    for item in variant.of(items):
        changed.setdefault(original_id(item.item_id), []).append(item)
    asked = [
        VariantAnswers(item, answer(item), [(to, answer(to)) for to in changed[item.item_id]])
        for item in items
        if item.item_id in changed
    ]
    return variant_scores(variant, asked)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_an_oracle_gets_every_score_of_one(variant: Variant, real_items: dict[int, QAItem]) -> None:
    scores = answered(variant, list(real_items.values()), lambda item: item.answer)
    overall = scores.overall
    assert (overall.original.value, overall.changed.value, overall.both.value) == (1.0, 1.0, 1.0)
    if variant.shows_media:
        assert overall.consistency and overall.robust and overall.robust.value == 1.0
        assert overall.consistency.value == 1.0
        assert (overall.consistency.n < overall.n) == (
            variant.name == "refined"
        )  # "yes" corresponds to no original option
    else:
        assert overall.consistency is None and overall.robust is None


@pytest.mark.slow
@pytest.mark.parametrize(("view", "moved"), [(View.MIRRORED, 127), (View.REVERSED, 114)])
def test_guessing_by_the_option_prior_has_a_robust_accuracy_of_zero(
    view: View, moved: int, real_items: dict[int, QAItem]
) -> None:
    items = list(real_items.values())
    scores = answered(variant_named(view), items, option_prior(items))
    movement = scores.by_dimension[CAMERA_MOVEMENT.slug]
    assert movement.original.value > 0.4  # often correct on the original alone
    assert movement.both.value > 0.2  # static shots stay static, and an opposite may be correct by luck
    assert scores.overall.robust and scores.overall.robust.n == moved
    assert scores.overall.robust.value == 0.0


@pytest.mark.slow
def test_always_answering_the_same_letter_is_never_robust_to_rotation(real_items: dict[int, QAItem]) -> None:
    scores = answered(variant_named("circular"), list(real_items.values()), lambda _: "A")
    assert scores.overall.robust and scores.overall.robust.value == scores.overall.both.value == 0.0
    assert scores.overall.consistency and scores.overall.consistency.value == 0.0
    assert scores.overall.changed.value == pytest.approx(0.25)


def test_an_undecided_answer_is_never_consistent() -> None:
    item = move("Pan left", "Tilt up")
    (changed,) = variant_named("mirrored").of([item])
    for letters in ((None, None), ("A", None), (None, "A")):
        assert not VariantAnswers(item, letters[0], [(changed, letters[1])]).consistent
    assert VariantAnswers(item, "A", [(changed, "A")]).consistent


def test_a_wrong_answer_that_changes_with_the_view_is_consistent() -> None:
    item = move("Pan left", "Tilt up", "Pan right")
    (changed,) = variant_named("mirrored").of([item])
    assert (
        corresponding_letter(item, changed, "A"),
        corresponding_letter(item, changed, "B"),
        corresponding_letter(item, changed, "C"),
    ) == ("C", "B", "A")
    wrong = VariantAnswers(item, "C", [(changed, "A")])
    assert wrong.consistent and not wrong.both and not wrong.right
