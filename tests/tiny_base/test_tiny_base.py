"""The tiny base model: its exercises, its shots, and that it is trained on the inputs of the evaluation."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import mode

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from lmms_eval_shotbench import prompts
from lmms_eval_shotbench.grading.grade import grade
from lmms_eval_shotbench.labelling.asking.naming import NamingQuestions, NamingRule
from lmms_eval_shotbench.labelling.truth import NOTHING, ShotTruth, TruthRow, TruthStatus
from lmms_eval_shotbench.labelling.vote import NO_TERM
from lmms_eval_shotbench.media.stills import open_still
from lmms_eval_shotbench.prompts import plain_reasoning
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import DatasetNotFound, ShardFolder
from lmms_eval_shotbench.qwen.checkpoint import Checkpoint
from lmms_eval_shotbench.qwen.inputs import Prompt, clip_patches, still_patches
from lmms_eval_shotbench.qwen.pixel_values import vision_inputs
from lmms_eval_shotbench.qwen.qwen2_5_vl import Qwen2_5VL
from lmms_eval_shotbench.vocabulary import CAMERA_ANGLE, CAMERA_MOVEMENT, DIMENSIONS, Dimension, MediaKind
from tests.support.items import make_item
from tests.support.truth_films import FILE, write_truth_films
from verl_recipes.tiny_base.architecture import MAX_PIXELS, MIN_PIXELS, save_checkpoint
from verl_recipes.tiny_base.curriculum import BATCH, LABELLING, ExerciseSampler, Phase, Practice
from verl_recipes.tiny_base.exercises import ExerciseMaker, correct_labels
from verl_recipes.tiny_base.held_out import held_out_accuracy
from verl_recipes.tiny_base.learner import SHOWN, Learner, make_learner
from verl_recipes.tiny_base.media_batches import UnevenPictures, stack_media
from verl_recipes.tiny_base.shots import Shot, make_shot, mirrored, time_reversed
from verl_recipes.tiny_base.train import TrainingSettings, train_steps, train_tiny_base
from verl_recipes.tiny_base.whole_shots import ShotFrames, WholeShot

SHORT = TrainingSettings(phases=(Phase(8, {Practice.STILLS: 1.0}),), warm_up=1)


@pytest.fixture(scope="module")
def learner() -> Learner:
    return make_learner(None, seed=0)


@pytest.fixture(scope="module")
def shard_folder(studio_shards: Path) -> ShardFolder:
    return ShardFolder(studio_shards)


@pytest.fixture(scope="module")
def shots(shard_folder: ShardFolder, learner: Learner) -> list[Shot]:
    return [make_shot(item, shard_folder.media(item.item_id), SHOWN, learner.patches) for item in shard_folder.items()]


@pytest.fixture(scope="module")
def training_shards(studio_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The studio film as a training split."""
    copy = tmp_path_factory.mktemp("sft") / "shards"
    shutil.copytree(studio_shards, copy)
    for file in (copy / "data").iterdir():
        file.rename(file.with_name(file.name.replace("test-", "sft-")))
    return copy


def one_of(shots: list[Shot], kind: MediaKind) -> Shot:
    return next(shot for shot in shots if shot.item.media_kind is kind)


def test_a_term_is_one_token_and_every_text_survives_tokenization(learner: Learner, shots: list[Shot]) -> None:
    tokenizer = learner.processor.tokenizer
    for dimension in DIMENSIONS:
        for term in dimension.terms:
            assert len(tokenizer(f" {term}")["input_ids"]) == 1
    texts = [prompts.user_text(shot.item) + plain_reasoning(shot.item) for shot in shots]
    for text in [*texts, *(style.system for style in prompts.PROMPT_STYLES), "Zoë's 2 shots: 3.5 mm?"]:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_exercises_have_the_chat_format_of_the_evaluation(learner: Learner, shots: list[Shot]) -> None:
    item = shots[0].item
    exercise_maker = learner.exercise_maker(shots, Random(0))
    chat = prompts.messages(item, prompts.REASONING, [{"type": "image"}])
    text = learner.processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    image = learner.tokens[MediaKind.STILL]
    assert learner.processor.tokenizer(text)["input_ids"] == [
        *exercise_maker.before,
        image,
        *exercise_maker.reasoning(item).prompt,
    ]


@pytest.mark.parametrize("dimension", DIMENSIONS, ids=lambda one: one.slug)
def test_naming_exercises_are_what_labelling_asks(learner: Learner, dimension: Dimension) -> None:
    """The checkpoint states the gap after the medium that most exercises have."""
    options = tuple(term.name for term in dimension.terms[:4])
    item = replace(make_item(options, dimension=dimension.slug), question=dimension.question)
    exercise_maker = ExerciseMaker(learner.processor.tokenizer, correct_labels([item]), Random(0))
    exercises = [exercise_maker.naming(item) for _ in range(50)]
    rule = NamingRule.of(learner.model.config)
    assert mode(exercise.gap for exercise in exercises) == rule.gap > 0
    asked = NamingQuestions(learner.processor, dimension.media_kind, [dimension], rule)
    medium = learner.tokens[dimension.media_kind]
    exercise, term = exercises[0], asked.continuations[dimension.slug][item.gold]
    assert [*asked.tree.trunk, *term] == [*exercise_maker.before, medium, *exercise.prompt, *exercise.answer]


@pytest.mark.parametrize("width", [128, 160, 320, 1280, 1920])
def test_all_pictures_of_16_to_9_are_resized_to_one_size(learner: Learner, width: int) -> None:
    for least in (MIN_PIXELS, MAX_PIXELS):  # of stills, of clips
        assert learner.patches.fitted(width * 9 // 16, width, least, MAX_PIXELS) == (56, 112)


@pytest.mark.parametrize("kind", list(MediaKind))
def test_the_fast_model_computes_the_logits_of_the_evaluation(
    shots: list[Shot], shard_folder: ShardFolder, kind: MediaKind
) -> None:
    learner = make_learner(None, seed=0)
    shot = one_of(shots, kind)
    exercise_maker = learner.exercise_maker(shots, Random(0))
    text = exercise_maker.reasoning(shot.item).prompt
    encoded = shard_folder.media(shot.item.item_id)
    medium = (
        clip_patches(encoded, SHOWN, learner.patches)
        if kind is MediaKind.CLIP
        else still_patches(open_still(encoded), SHOWN, learner.patches)
    )
    model = learner.model.eval()
    checkpoint = Checkpoint(
        config=model.config,
        processor=learner.processor,
        generation_config=model.generation_config,
        revision="",
        patch_rule=learner.patches,
        architecture=Qwen2_5VL(learner.tokens, learner.positions),
        model=model,
    )
    padded = checkpoint.padded([Prompt([*exercise_maker.before, learner.tokens[kind], *text], [medium])])
    pixels = vision_inputs([medium], learner.patches, checkpoint.device, model.dtype)
    with torch.no_grad():
        expected = model(**padded, **pixels).logits[0, -len(text) :]
        media = stack_media([shot], learner.positions)
        states, start = learner.fast_model(exercise_maker).hidden([text], [0], media)
        found = model.lm_head(states[0, start:])
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-3)


def test_mirroring_swaps_sides_and_reversal_swaps_directions(shots: list[Shot]) -> None:
    clip = one_of(shots, MediaKind.CLIP)

    def labelled(text: str) -> Shot:
        return replace(clip, item=replace(clip.item, options=(text, "Static shot"), answer="A"))

    for term in CAMERA_MOVEMENT.terms:
        shot = labelled(term.name)
        again = mirrored(mirrored(shot))
        assert again.item == shot.item and torch.equal(again.frames, shot.frames)
        if turned := time_reversed(shot):
            assert (back := time_reversed(turned)) and back.item == shot.item
    assert mirrored(labelled("Firstly Pan left, then Tilt up")).item.gold == "Firstly Pan right, then Tilt up"
    first_last = time_reversed(labelled("Firstly Push in, then Tilt up"))
    assert first_last and first_last.item.gold == "Firstly Tilt down, then Pull out"
    assert time_reversed(labelled("Tracking, Pull out")) is None


def test_a_question_with_new_options_keeps_its_answer(learner: Learner, shots: list[Shot]) -> None:
    exercise_maker = learner.exercise_maker(shots, Random(1))
    lists = set()
    for shot in shots * 3:
        changed = exercise_maker.with_new_options(shot.item)
        assert changed.gold == shot.item.gold and len(set(changed.options)) == len(changed.options)
        lists.add(changed.options)
    assert len(lists) > len(shots)


def test_a_given_term_is_not_in_the_loss_and_its_letter_is(learner: Learner, shots: list[Shot]) -> None:
    exercise_maker = learner.exercise_maker(shots, Random(2))
    tokenizer = learner.processor.tokenizer
    for shot in shots:
        exercise = exercise_maker.binding(shot.item)
        given = [token for index, token in enumerate(exercise.answer) if index in exercise.given]
        learned = [token for index, token in enumerate(exercise.answer) if index not in exercise.given]
        assert tokenizer.decode(given) == f" {shot.item.gold}"
        assert f" ({shot.item.answer})." in tokenizer.decode(learned)


@pytest.mark.parametrize("dimension", DIMENSIONS, ids=str)
def test_the_plain_reasoning_is_well_formed_and_correct(dimension: object) -> None:
    item: QAItem = make_item(dimension=dimension.slug, options=tuple(term.name for term in dimension.terms[:4]))  # type: ignore[attr-defined]
    response = plain_reasoning(item)
    verdict = grade(item, response)
    assert verdict.correct and verdict.well_formed
    thought = response.split("</think>")[0].removeprefix("<think>")
    assert grade(item, thought).letter == item.answer  # the thought without its tags gives the same letter


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for practice in Practice:
        monkeypatch.setitem(BATCH, practice, 4)


def test_a_few_steps_reduce_the_loss(shots: list[Shot], small_batches: None) -> None:
    learner = make_learner(None, seed=0)
    draw = Random(0)
    exercise_maker = learner.exercise_maker(shots, draw)
    fast_model = learner.fast_model(exercise_maker)
    sampler = ExerciseSampler(shots, exercise_maker, learner.positions, draw)
    batches = [sampler.step(Practice.STILLS, 0) for _ in range(4)]

    def loss() -> float:
        with torch.no_grad():
            return sum(float(fast_model.loss(*exercises)) for exercises in batches)

    before = loss()
    train_steps(fast_model, sampler, SHORT, lambda progress: None)
    assert loss() < 0.8 * before


@pytest.fixture
def film_shot(shots: list[Shot]) -> WholeShot:
    """A shot that is labelled with the first term of every dimension."""
    truths = {one.slug: ShotTruth(TruthStatus.LABELLED, one.terms[0].name) for one in DIMENSIONS}
    still, clip = (one_of(shots, kind) for kind in MediaKind)
    return WholeShot("film", truths, still.frames, ShotFrames(clip.frames, clip.fps))


@pytest.mark.parametrize("practice", list(Practice))
def test_every_kind_of_exercise_has_target_tokens(
    learner: Learner, shots: list[Shot], film_shot: WholeShot, practice: Practice, small_batches: None
) -> None:
    exercise_maker = learner.exercise_maker(shots, Random(0))
    sampler = ExerciseSampler(shots, exercise_maker, learner.positions, Random(0), [film_shot])
    exercises, media = sampler.step(practice, 3)
    assert len(exercises) == 4
    assert (media is None) == (practice is Practice.BINDING)
    assert all(len(exercise.given) < len(exercise.answer) for exercise in exercises)


def test_a_check_reports_every_dimension(shots: list[Shot]) -> None:
    learner = make_learner(None, seed=0)
    exercise_maker = learner.exercise_maker(shots, Random(0))
    some = [next(shot for shot in shots if shot.item.dimension == dimension.slug) for dimension in DIMENSIONS]
    found = held_out_accuracy(learner.fast_model(exercise_maker), exercise_maker, some, learner.positions)
    assert set(found) == {dimension.slug for dimension in DIMENSIONS}


def test_pictures_of_two_shapes_are_refused(learner: Learner, shots: list[Shot]) -> None:
    other = replace(shots[0], frames=shots[0].frames.transpose(2, 3))
    with pytest.raises(UnevenPictures, match="one shape"):
        ExerciseSampler([shots[0], other], learner.exercise_maker(shots, Random(0)), learner.positions, Random(0))


def test_a_trained_checkpoint_loads_in_plain_transformers_and_is_not_overwritten(
    training_shards: Path, tmp_path: Path, small_batches: None
) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    order = replace(SHORT, phases=(Phase(1, {Practice.BINDING: 1.0}),))
    train_tiny_base([str(training_shards)], tmp_path / "base", training=order)
    assert AutoProcessor.from_pretrained(tmp_path / "base").tokenizer(" Close Up")["input_ids"]
    first = AutoModelForImageTextToText.from_pretrained(tmp_path / "base")
    with pytest.raises(FileExistsError, match="another --out"):
        train_tiny_base([str(training_shards)], tmp_path / "base", training=order)
    train_tiny_base([str(training_shards)], tmp_path / "next", start=tmp_path / "base", training=order)
    second = AutoModelForImageTextToText.from_pretrained(tmp_path / "next")
    assert not torch.equal(first.lm_head.weight, second.lm_head.weight)


def test_a_model_is_trained_to_label_films(training_shards: Path, tmp_path: Path, small_batches: None) -> None:
    order = replace(SHORT, phases=(Phase(1, {Practice.BINDING: 1.0}),))
    train_tiny_base([str(training_shards)], tmp_path / "base", training=order)
    truths = {one.slug: ShotTruth(TruthStatus.LABELLED, one.terms[0].name) for one in DIMENSIONS}
    truths[CAMERA_ANGLE.slug] = NOTHING
    rows = [TruthRow(film, FILE, start, start + 1.5, truths=truths) for film, start in (("one", 0), ("other", 1.5))]
    films = write_truth_films(tmp_path / "films", rows)
    lines: list[str] = []
    order = replace(SHORT, phases=(replace(LABELLING, steps=2),))
    scores = train_tiny_base([str(training_shards)], tmp_path / "next", tmp_path / "base", order, lines.append, [films])
    assert lines[0] == "shots of films: 1 to train on, 1 held out"
    assert set(scores.labels) == {one.slug for one in DIMENSIONS}
    assert set(scores.labels_on_none) == {CAMERA_ANGLE.slug} and str(scores) in lines[-1]
    trained = make_learner(tmp_path / "next", seed=0)
    assert NamingRule.of(trained.model.config) == NamingRule(10, NO_TERM, ends_labels=True)
    assert len(trained.processor.tokenizer(f" {NO_TERM}")["input_ids"]) == 1


def test_a_checkpoint_to_continue_from_keeps_its_own_tokenizer(tmp_path: Path) -> None:
    base = make_learner(None, seed=0)
    base.processor.tokenizer.add_tokens(["Whip pan", " slowly"])
    save_checkpoint(base.model, base.processor, tmp_path)
    next_one = make_learner(tmp_path, seed=1)
    vocabulary = base.processor.tokenizer.get_vocab()
    assert next_one.processor.tokenizer.get_vocab() == vocabulary
    assert len(next_one.processor.tokenizer(" slowly")["input_ids"]) == 1
    assert next_one.patches == base.patches


def test_a_continued_checkpoint_states_the_type_of_its_weights_for_every_part(tmp_path: Path) -> None:
    first = make_learner(None, seed=0)
    save_checkpoint(first.model, first.processor, tmp_path / "first")
    continued = make_learner(tmp_path / "first", seed=1)
    save_checkpoint(continued.model, continued.processor, tmp_path / "next")
    config = json.loads((tmp_path / "next" / "config.json").read_text())
    assert [part["dtype"] for part in (config, config["text_config"], config["vision_config"])] == ["bfloat16"] * 3


def test_test_films_are_never_read(studio_shards: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match="'sft'"):
        train_tiny_base([str(studio_shards)], tmp_path / "base", training=SHORT)
