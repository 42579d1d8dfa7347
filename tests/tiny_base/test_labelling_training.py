"""How the tiny model learns to label: exercises of films, "none" as a token, the loss, and scores on held-out films."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from random import Random

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.labelling.asking.naming import NamingQuestions, NamingRule
from lmms_eval_shotbench.labelling.truth import NOTHING, UNKNOWN, BadTruth, ShotTruth, TruthStatus
from lmms_eval_shotbench.labelling.vote import NO_TERM
from lmms_eval_shotbench.vocabulary import (
    CAMERA_ANGLE,
    CAMERA_MOVEMENT,
    COMPOSITION,
    DIMENSIONS,
    SHOT_SIZE,
    Dimension,
    MediaKind,
    slugs,
)
from verl_recipes.tiny_base import architecture
from verl_recipes.tiny_base.architecture import make_processor, save_checkpoint
from verl_recipes.tiny_base.cell_sampler import NONE_SHARE, CellSampler
from verl_recipes.tiny_base.exercises import LABEL_END, Exercise, ExerciseMaker
from verl_recipes.tiny_base.forward import exclusion_loss
from verl_recipes.tiny_base.held_out import HeldOutScores, label_scores
from verl_recipes.tiny_base.learner import Learner, make_learner, teach_labelling
from verl_recipes.tiny_base.media_batches import UnevenPictures, stack_media
from verl_recipes.tiny_base.whole_shots import ShotFrames, WholeShot

HEIGHT, WIDTH, LENGTH = 28, 56, 6
LEFT = torch.zeros((1, 3, HEIGHT, WIDTH), dtype=torch.uint8).index_fill(
    3, torch.arange(WIDTH // 2), 200
)  # left half lit
BRIGHTER = (torch.arange(LENGTH, dtype=torch.uint8) * 10)[:, None, None, None]  # from frame to frame
LABELLED = TruthStatus.LABELLED


def shot(**truths: ShotTruth) -> WholeShot:
    """A shot whose left half is lit, and which becomes brighter; other dimensions are not known."""
    known = dict.fromkeys(slugs(), UNKNOWN) | truths
    return WholeShot("film", known, LEFT.expand(3, -1, -1, -1), ShotFrames(LEFT + BRIGHTER, 12.0))


STILL = shot().key_frames(MediaKind.STILL)


@pytest.fixture(scope="module")
def learner() -> Learner:
    taught = make_learner(None, seed=0)
    teach_labelling(taught)
    return taught


@pytest.fixture(scope="module")
def maker(learner: Learner) -> ExerciseMaker:
    return learner.exercise_maker([], Random(0))


def sampler(learner: Learner, maker: ExerciseMaker, shots: list[WholeShot]) -> CellSampler:
    return CellSampler(shots, maker, learner.positions, Random(1))


def target(learner: Learner, exercise: Exercise) -> str:
    """What follows the beginning of the thought."""
    decoded: str = learner.processor.tokenizer.decode(exercise.answer)
    return decoded.partition("the answer is")[2].strip()


# ------------------------------------------------------------------------------------------------ "none" as a token


def test_a_new_model_has_a_token_for_none_after_all_others() -> None:
    tokenizer = make_processor().tokenizer
    assert tokenizer(f" {NO_TERM}")["input_ids"] == [len(tokenizer) - 1]


def test_a_start_keeps_its_tokens_and_gains_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    *others, none = architecture._added_tokens()
    assert none == f" {NO_TERM}"
    monkeypatch.setattr(architecture, "_added_tokens", lambda: others)
    start = make_learner(None, seed=0)
    save_checkpoint(start.model, start.processor, tmp_path / "start")
    learner = make_learner(tmp_path / "start", seed=1)
    before, weights = learner.processor.tokenizer.get_vocab(), learner.model.lm_head.weight.detach().clone()
    teach_labelling(learner)
    after = learner.processor.tokenizer.get_vocab()
    assert set(after) - set(before) == {none} and after | before == after
    changed = (learner.model.lm_head.weight != weights).any(dim=1).nonzero().flatten().tolist()
    assert changed == [after[none]] and len(learner.model.lm_head.weight) == len(weights)
    terms = {after[f" {term.name}"] for dimension in DIMENSIONS for term in dimension.terms}
    torch.testing.assert_close(learner.model.lm_head.weight[after[none]], weights[sorted(terms)].mean(0))


def test_a_checkpoint_states_what_it_learned_and_is_not_reset_by_training_it_again(
    learner: Learner, tmp_path: Path
) -> None:
    save_checkpoint(learner.model, learner.processor, tmp_path)
    again = make_learner(tmp_path, seed=1)
    assert NamingRule.of(again.model.config) == NamingRule(10, NO_TERM, ends_labels=True)
    (none,) = again.processor.tokenizer(f" {NO_TERM}")["input_ids"]
    with torch.no_grad():
        again.model.lm_head.weight[none] = 1.5
    teach_labelling(again)
    assert (again.model.lm_head.weight[none] == 1.5).all()


def test_a_model_without_a_spare_embedding_gets_more() -> None:
    learner = make_learner(None, seed=0)
    rows = len(learner.model.lm_head.weight)
    filler = [f"<filler {number}>" for number in range(rows - len(learner.processor.tokenizer) + 1)]
    learner.processor.tokenizer.add_tokens(filler)
    teach_labelling(learner)
    assert len(learner.model.lm_head.weight) == rows + 64 == learner.model.config.text_config.vocab_size


# ------------------------------------------------------------------------------------------------------- exercises


@pytest.mark.parametrize("dimension", DIMENSIONS, ids=lambda one: one.slug)
def test_exercises_are_what_labelling_asks(learner: Learner, maker: ExerciseMaker, dimension: Dimension) -> None:
    rule = NamingRule.of(learner.model.config)
    asked = NamingQuestions(learner.processor, dimension.media_kind, [dimension], rule)
    medium = learner.tokens[dimension.media_kind]
    for name in (dimension.terms[-1].name, NO_TERM):
        exercise = maker.naming_of(dimension, name)
        tokens = asked.continuations[dimension.slug][name]
        assert exercise.gap == rule.gap and len(tokens) == 1
        assert [*asked.tree.trunk, *tokens] == [*maker.before, medium, *exercise.prompt, *exercise.answer]


def test_a_target_is_true_of_the_picture_beside_it(learner: Learner, maker: ExerciseMaker) -> None:
    truths = {
        COMPOSITION.slug: ShotTruth(LABELLED, "Left heavy"),
        CAMERA_MOVEMENT.slug: ShotTruth(LABELLED, "Pan left"),
    }
    cells = sampler(learner, maker, [shot(**truths)])
    exercises, media = cells.step(MediaKind.STILL, 32, 0)
    sides = [bool(still[..., : WIDTH // 2].any()) for still in media.frames]
    assert [target(learner, one) == "Left heavy" for one in exercises] == sides and len(set(sides)) == 2
    exercises, media = cells.step(MediaKind.CLIP, 32, 0)
    for exercise, clip in zip(exercises, media.frames.flatten(1, 2).int(), strict=True):
        is_mirrored = bool(clip[..., 0].sum() < clip[..., -1].sum())
        is_reversed = bool(clip[0].sum() > clip[-1].sum())
        expected = "Pan right" if is_mirrored != is_reversed else "Pan left"
        assert target(learner, exercise).removesuffix(LABEL_END) == expected


def test_any_certain_term_may_be_the_target(learner: Learner, maker: ExerciseMaker) -> None:
    light = ShotTruth(LABELLED, "Daylight, Sunny", frozenset({"Practical light"}))
    exercises, _ = sampler(learner, maker, [shot(lighting_type=light)]).step(MediaKind.STILL, 64, 0)
    assert {target(learner, one) for one in exercises} == {"Daylight", "Sunny"}
    assert not any(one.excluded for one in exercises)


@pytest.mark.parametrize(("level", "expected"), [(18, NONE_SHARE), (1, 1 / 3)])
def test_none_is_at_most_two_fifths_of_a_dimension(
    learner: Learner, maker: ExerciseMaker, level: int, expected: float
) -> None:
    low = [shot(camera_angle=ShotTruth(LABELLED, "Low angle")) for _ in range(2)]
    flat = [shot(camera_angle=NOTHING) for _ in range(level)]
    exercises, _ = sampler(learner, maker, [*low, *flat]).step(MediaKind.STILL, 2000, 0)
    counts = Counter(target(learner, one) for one in exercises)
    assert set(counts) == {"Low angle", NO_TERM}
    assert abs(counts[NO_TERM] / 2000 - expected) < 0.04


def test_a_dimension_of_which_nothing_but_none_is_known_is_learned(learner: Learner, maker: ExerciseMaker) -> None:
    exercises, _ = sampler(learner, maker, [shot(camera_angle=NOTHING)]).step(MediaKind.STILL, 4, 0)
    assert {target(learner, one) for one in exercises} == {NO_TERM}


def test_a_complete_label_has_all_movements_and_an_end_and_a_term_has_none(
    learner: Learner, maker: ExerciseMaker
) -> None:
    at_once = shot(camera_movement=ShotTruth(LABELLED, "Pan left, Tilt up"))
    exercises, _ = sampler(learner, maker, [at_once]).step(MediaKind.CLIP, 200, 0)
    sides, ways = ("Pan left", "Pan right"), ("Tilt up", "Tilt down")
    pairs = {f"{one}, {two}." for side in sides for way in ways for one, two in ((side, way), (way, side))}
    assert {target(learner, one) for one in exercises} == {*pairs, *sides, *ways}
    in_turn = shot(camera_movement=ShotTruth(LABELLED, "Firstly Tracking, then Tilt up"))  # cannot be reversed
    exercises, _ = sampler(learner, maker, [in_turn]).step(MediaKind.CLIP, 100, 0)
    assert {target(learner, one) for one in exercises} == {"Firstly Tracking, then Tilt up.", "Tracking", "Tilt up"}


def test_films_of_which_nothing_is_certain_are_refused(learner: Learner, maker: ExerciseMaker) -> None:
    with pytest.raises(BadTruth, match="no clip of the films"):
        sampler(learner, maker, [shot(camera_angle=NOTHING)]).step(MediaKind.CLIP, 4, 0)


def test_films_are_a_step_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    for options in ([], ["--start", "model", "--finish"]):
        assert main(["train", "tiny-base", "shards", "--out", "new", "--films", "films", *options]) != 0
        assert "--films needs a finished model, given by --start" in capsys.readouterr().err


def test_pictures_of_two_shapes_are_refused(learner: Learner, maker: ExerciseMaker) -> None:
    tall = WholeShot("film", dict.fromkeys(slugs(), UNKNOWN), torch.zeros((1, 3, WIDTH, HEIGHT), dtype=torch.uint8))
    with pytest.raises(UnevenPictures, match="one shape"):
        sampler(learner, maker, [shot(), tall])


# ------------------------------------------------------------------------------------------------ uncertain shots


def test_the_loss_of_excluded_tokens_is_that_of_their_total_probability() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]]).log() + 7
    expected = -math.log(1 - 0.7) - math.log(1 - 0.6)
    assert exclusion_loss(logits, [{0, 2}, {1}]).item() == pytest.approx(expected)


def test_an_uncertain_shot_rules_out_the_terms_that_are_wrong(learner: Learner, maker: ExerciseMaker) -> None:
    between = ShotTruth(TruthStatus.UNCERTAIN, possible=frozenset({"Medium", "Medium Wide"}))
    certain = shot(shot_size=ShotTruth(LABELLED, "Wide"))
    exercises, _ = sampler(learner, maker, [shot(shot_size=between), certain]).step(MediaKind.STILL, 80, 0)
    excluded = {one.excluded for one in exercises if not target(learner, one)}
    wrong = {term.name for term in SHOT_SIZE.terms} - between.possible
    assert excluded == {frozenset(maker.ids(f" {name}")[0] for name in wrong)}
    assert {target(learner, one) for one in exercises if not one.excluded} == {"Wide"}


def test_the_loss_of_an_uncertain_shot_is_added_after_the_beginning_of_the_thought(maker: ExerciseMaker) -> None:
    learner = make_learner(None, seed=0)
    fast_model, media = learner.fast_model(maker), stack_media([STILL, STILL], learner.positions)
    ruled, plain = maker.ruling_out(SHOT_SIZE, ["Wide", "Close Up"]), maker.naming_of(COMPOSITION)
    with torch.no_grad():
        beginnings = fast_model.loss([ruled._replace(excluded=frozenset()), plain], media)
        loss = fast_model.loss([ruled, plain], media)
        states, start = fast_model.hidden([one.prompt + one.answer for one in (ruled, plain)], [ruled.gap] * 2, media)
        end = start + len(ruled.prompt + ruled.answer) - 1
        probabilities = learner.model.lm_head(states[0, end]).softmax(-1)
    excluded = sum(float(probabilities[maker.ids(f" {name}")[0]]) for name in ("Wide", "Close Up"))
    assert excluded > 1e-6
    assert float(loss - beginnings) == pytest.approx(-math.log(1 - excluded) / 2, rel=1e-3, abs=1e-5)


def test_terms_of_several_tokens_exclude_only_first_tokens_that_no_possible_term_has(learner: Learner) -> None:
    class Split:
        """Every word is a token."""

        def __call__(self, text: str) -> dict[str, list[int]]:
            return {"input_ids": [sum(map(ord, word)) for word in text.split()]}

    maker = ExerciseMaker(Split(), {}, Random(0))
    wrong = {"Medium Close Up", "Wide", "Extreme Wide", "Extreme Close Up", "Close Up"}
    excluded = maker.ruling_out(SHOT_SIZE, wrong).excluded
    assert excluded == {sum(map(ord, word)) for word in ("Wide", "Extreme", "Close")}


# ------------------------------------------------------------------------------------------------ held-out scores


def test_scores_count_true_terms_and_labels_where_there_is_none() -> None:
    """The embedding of one term is made dominant, so that the model always names it."""
    again = make_learner(None, seed=0)
    teach_labelling(again)
    maker = again.exercise_maker([], Random(0))
    fast_model = again.fast_model(maker)
    media = stack_media([STILL], again.positions)
    exercise = maker.naming_of(CAMERA_ANGLE)
    with torch.no_grad():
        states, _ = fast_model.hidden([exercise.prompt + exercise.answer], [exercise.gap], media)
        again.model.lm_head.weight[maker.ids(" Low angle")[0]] = 5 * states[0, -1]
    some = [
        shot(camera_angle=ShotTruth(LABELLED, "Low angle, Dutch angle")),
        shot(camera_angle=ShotTruth(LABELLED, "High angle")),
        shot(camera_angle=NOTHING),
        shot(camera_angle=NOTHING),
        shot(),
    ]
    right, on_none = label_scores(fast_model, maker, some, again.positions)
    assert right == {CAMERA_ANGLE.slug: 0.25} and on_none == {CAMERA_ANGLE.slug: 1.0}


def test_scores_are_one_line() -> None:
    scores = HeldOutScores({"shot_size": 0.5, "lens_size": 1.0}, {"shot_size": 0.75}, {"camera_angle": 0.04})
    assert str(scores) == (
        "correct answers 0.750 (shot_size 0.50, lens_size 1.00); right labels 0.750 (shot_size 0.75); "
        "labels where there is none 0.040 (camera_angle 0.04)"
    )
