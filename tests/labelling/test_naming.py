"""Naming: what a checkpoint's configuration states, terms that begin other terms, normalization, and views."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

from lmms_eval_shotbench.labelling.asking.naming import (
    BadConfig,
    NamingRule,
    Normalization,
    direct_extensions,
    longest_match,
)
from lmms_eval_shotbench.labelling.asking.shot_views import VIEWS, as_filmed, term_as_filmed, view_name
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, COMPOSITION, DIMENSIONS, Dimension, MediaKind, View

# ------------------------------------------------------------------------------------------------ the naming rule


def test_a_checkpoint_states_how_it_was_taught_to_name() -> None:
    assert NamingRule.of(SimpleNamespace()) == NamingRule(0, "")
    stated = {"naming_gap": 10, "no_term": "none", "ends_labels": True}
    assert NamingRule.of(SimpleNamespace(shotbench=stated)) == NamingRule(10, "none", True)


@pytest.mark.parametrize(
    "stated", [{"naming_gap": -1}, {"naming_gap": "10"}, {"no_term": 3}, {"ends_labels": 1}, {"naming gap": 10}]
)
def test_an_invalid_statement_is_named(stated: dict[str, Any]) -> None:
    with pytest.raises(BadConfig, match=r'"shotbench" of config\.json'):
        NamingRule.of(SimpleNamespace(shotbench=stated))


# --------------------------------------------------------------------------------- terms that begin other terms


def test_a_term_that_begins_others_loses_what_goes_on_to_them() -> None:
    medium, wide, wider, close = [1], [1, 2], [1, 2, 3], [4]
    logs = [math.log(share) for share in (0.5, 0.3, 0.1, 0.2)]
    found = longest_match(logs, direct_extensions([medium, wide, wider, close]))
    assert [math.exp(one) for one in found] == pytest.approx([0.2, 0.2, 0.1, 0.2])


@pytest.mark.slow
@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=3), min_size=1, max_size=8, unique_by=tuple),
    st.lists(st.floats(0.05, 1.0), min_size=39, max_size=39),
)
def test_no_probability_is_counted_twice(continuations: list[list[int]], draws: list[float]) -> None:
    """Probabilities of a random process over sequences: those of terms, as deducted, sum to at most one."""
    steps = iter(draws)
    nodes: dict[tuple[int, ...], float] = {(): 1.0}
    for length in range(3):
        for parent in [node for node in nodes if len(node) == length]:
            weights = [next(steps, 0.5) for _ in range(3)]
            nodes |= {(*parent, token): nodes[parent] * one / sum(weights) for token, one in enumerate(weights)}
    logs = [math.log(nodes[tuple(one)]) for one in continuations]
    deducted = longest_match(logs, direct_extensions(continuations))
    assert all(one <= log + 1e-12 for one, log in zip(deducted, logs, strict=True))
    assert sum(map(math.exp, deducted)) <= 1 + 1e-4


# -------------------------------------------------------------------------------------------------- normalization


def test_without_normalization_probabilities_are_those_of_the_terms() -> None:
    shares = [0.5, 0.2, 0.05]
    found = Normalization().probabilities([math.log(one) for one in shares], [1, 3, 2])
    assert found == pytest.approx([one / 0.75 for one in shares])


def test_length_divides_the_logarithm_by_the_number_of_tokens() -> None:
    found = Normalization(length_exponent=1.0).probabilities([-1.0, -4.0], [1, 4])
    assert found == pytest.approx([0.5, 0.5])


def test_the_prior_cancels_what_is_named_without_seeing() -> None:
    seen, grey = [-1.0, -2.0, -3.0], [-1.0, -2.0, -4.0]
    weights = [1.0, 1.0, math.e]
    found = Normalization(prior_weight=1.0).probabilities(seen, [1, 1, 1], grey)
    assert found == pytest.approx([one / sum(weights) for one in weights])
    assert Normalization().probabilities(seen, [1, 1, 1], grey) == Normalization().probabilities(seen, [1, 1, 1])


def test_improbable_terms_do_not_underflow() -> None:
    assert Normalization().probabilities([-2000.0, -2001.0], [1, 1]) == pytest.approx([0.731059, 0.268941], abs=1e-5)


# ---------------------------------------------------------------------------------------------------------- views


@pytest.mark.parametrize("dimension", DIMENSIONS, ids=lambda one: one.slug)
def test_every_view_maps_the_terms_of_a_dimension_to_one_another(dimension: Dimension) -> None:
    names = [term.name for term in dimension.terms]
    for view in VIEWS[dimension.media_kind]:
        mapped = [term_as_filmed(name, dimension, view) for name in names]
        assert sorted(mapped) == sorted(names)
        assert [term_as_filmed(name, dimension, view) for name in mapped] == names


@pytest.mark.parametrize(
    ("named", "view", "filmed"),
    [
        ("Pan left", (), "Pan left"),
        ("Pan left", (View.MIRRORED,), "Pan right"),
        ("Pan left", (View.REVERSED,), "Pan right"),
        ("Pan left", (View.MIRRORED, View.REVERSED), "Pan left"),
        ("Push in", (View.MIRRORED,), "Push in"),
        ("Push in", (View.MIRRORED, View.REVERSED), "Pull out"),
        ("Rack focus to foreground", (View.REVERSED,), "Rack focus to background"),
        ("Tracking", (View.REVERSED,), "Tracking"),
        ("none", (View.REVERSED,), "none"),
    ],
)
def test_a_term_named_in_a_view_is_turned_into_the_term_as_filmed(
    named: str, view: tuple[View, ...], filmed: str
) -> None:
    assert term_as_filmed(named, CAMERA_MOVEMENT, view) == filmed


def test_values_keep_to_their_terms() -> None:
    found = as_filmed({"Left heavy": 0.7, "Right heavy": 0.2, "Center": 0.1}, COMPOSITION, (View.MIRRORED,))
    assert found == {"Right heavy": 0.7, "Left heavy": 0.2, "Center": 0.1}


def test_views_have_the_names_of_votes() -> None:
    names = [view_name(view) for view in VIEWS[MediaKind.CLIP]]
    assert names == ["as filmed", "mirrored", "reversed", "mirrored and reversed"]
