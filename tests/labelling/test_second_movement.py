"""A second camera movement: from the probability of labels of two, in every view."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from lmms_eval_shotbench.labelling.asking.second_movement import (
    first_movement,
    second_movement,
    second_movement_questions,
)
from lmms_eval_shotbench.labelling.asking.shot_views import VIEWS, ShotView, label_as_filmed
from lmms_eval_shotbench.labelling.vote import NO_TERM, Vote, Way
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, MediaKind, View

FIRST = "Pan left"
# Labels with their probabilities, of a shot as filmed
FILMED = {
    "Pan left": 0.3,
    "Pan left, Push in": 0.1,
    "Push in, Pan left": 0.05,
    "Firstly Pan left, then Tilt up": 0.3,
    "Firstly Tilt up, then Pan left": 0.05,
    "Zoom in": 0.9,
    "Zoom in, Tilt down": 0.7,
}


@pytest.mark.parametrize("view", VIEWS[MediaKind.CLIP])
def test_labels_with_the_first_movement_are_added_up_in_every_view(view: ShotView) -> None:
    shown = {label_as_filmed(label, CAMERA_MOVEMENT, view): math.log(share) for label, share in FILMED.items()}
    found = second_movement(FIRST, list(shown), list(shown.values()), view)
    assert found.probabilities == pytest.approx({NO_TERM: 0.3 / 0.8, "Push in": 0.15 / 0.8, "Tilt up": 0.35 / 0.8})
    assert found.labels == {"Push in": "Pan left, Push in", "Tilt up": "Firstly Pan left, then Tilt up"}


def test_played_backwards_the_steps_change_their_order() -> None:
    shown = {"Firstly Tilt down, then Pan right": 0.0, "Pan right": -1.0}
    found = second_movement(FIRST, list(shown), list(shown.values()), (View.REVERSED,))
    assert found.labels == {"Tilt up": "Firstly Pan left, then Tilt up"}


def test_the_first_movement_is_the_most_probable_by_all_views() -> None:
    shares = [{"Pan left": 0.4, "Arc": 0.6}, {"Pan left": 0.9, "Arc": 0.1}]
    votes = [Vote(CAMERA_MOVEMENT.slug, "tiny@1", Way.PROBABILITY, "1.mp4", "as filmed", one) for one in shares]
    assert first_movement(votes) == "Pan left"
    assert first_movement([]) is None
    nothing = Vote(CAMERA_MOVEMENT.slug, "tiny@1", Way.PROBABILITY, "1.mp4", "as filmed", {NO_TERM: 0.9, "Arc": 0.1})
    assert first_movement([nothing]) is None


@pytest.mark.host
@pytest.mark.parametrize("first", ["Static shot", "Pan left"])
def test_every_other_movement_is_asked_for_in_every_view(first: str, tiny_model: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from lmms_eval_shotbench.labelling.asking.naming import NamingRule

    processor = transformers.AutoProcessor.from_pretrained(tiny_model)
    asked = second_movement_questions(processor, NamingRule(), first)
    labels = list(asked.continuations[CAMERA_MOVEMENT.slug])
    for view in VIEWS[MediaKind.CLIP]:
        found = second_movement(first, labels, [0.0] * len(labels), view)
        others = {term.name for term in CAMERA_MOVEMENT.terms} - {first}
        assert set(found.probabilities) == {*others, NO_TERM}
        assert found.probabilities[NO_TERM] == pytest.approx(1 / 77)
