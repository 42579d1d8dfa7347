"""Variants inside the real lmms-eval: media, scores, and comparison of runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.host
pytest.importorskip("lmms_eval")
pytest.importorskip("numba")

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.harness import task_functions
from lmms_eval_shotbench.media import clips
from lmms_eval_shotbench.media.clips import Clip
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.questions.shards import ShardFolder, file_sha256
from lmms_eval_shotbench.questions.variants import ROTATION_STRIDE, VARIANTS, Variant, variant_named
from lmms_eval_shotbench.qwen.inputs import MediaLimits, PatchRule, clip_patches
from lmms_eval_shotbench.vocabulary import MediaKind, View
from tests.harness.test_lmms_eval import group_results, isolated_caches, lmms_eval, read_scores, run_eval, stored  # noqa: F401


@pytest.fixture(scope="module")
def questions(studio_shards: Path) -> list[QAItem]:
    return read_questions(studio_shards)


def task(variant: Variant) -> str:
    return "refineshot" if variant.name == "refined" else f"shotbench_{variant.name}"


def answers(items: list[QAItem]) -> dict[int, str]:
    return {item.source_index: item.answer for item in items}


@pytest.fixture(scope="module")
def perfect_run(
    studio_shards: Path, questions: list[QAItem], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Runs with all answers correct, on the original questions or on a variant; do not modify them.

    Each takes lmms-eval seconds, so it is created once.
    """
    folder = tmp_path_factory.mktemp("perfect")

    @cache
    def run(variant: str = "") -> Path:
        items, name = questions, "shotbench"
        if variant:
            items, name = variant_named(variant).of(questions), task(variant_named(variant))
        responses = stored(folder / f"{name}.jsonl", answers(items))
        assert run_eval(folder / name, studio_shards, "replay", f"responses={responses}", name) == 0
        return folder / name

    return run


def test_a_perfect_run_is_robust_in_every_variant(
    studio_shards: Path,
    questions: list[QAItem],
    perfect_run: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    original, runs = perfect_run(), [perfect_run(variant.name) for variant in VARIANTS]
    for variant, run in zip(VARIANTS, runs, strict=True):
        scores = read_scores(run)
        assert scores["run"]["variant"] == variant.name
        assert scores["run"]["left_out"] == [item.source_index for item in variant.left_out(questions)]
        assert (scores["correct"], scores["n"]) == (len(variant.of(questions)),) * 2
        assert scores["run"]["refined"] == ({"file": "", "sha256": ""} if variant.name == "refined" else None)
    capsys.readouterr()
    assert main(["robust", str(original), *map(str, runs), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["variants"]
    assert {name: scores["overall"]["both"]["value"] for name, scores in found.items()} == {
        variant.name: 1.0 for variant in VARIANTS
    }
    assert found["blind"]["overall"]["robust"] is None
    robust = {name: scores["overall"]["robust"] for name, scores in found.items() if name != "blind"}
    assert {name: one["value"] for name, one in robust.items()} == dict.fromkeys(robust, 1.0)
    assert 0 < robust["reversed"]["n"] < found["reversed"]["overall"]["n"]
    mirrored = perfect_run("mirrored")
    samples = str(mirrored / "samples.jsonl")
    assert main(["score", str(studio_shards), samples, "--variant", "mirrored", "--format", "json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["items"] == read_scores(mirrored)["items"]
    assert main(["robust", str(perfect_run("circular"))]) == 0
    assert "circular" in capsys.readouterr().out


def test_lmms_eval_counts_a_question_with_one_wrong_rotation_as_wrong(
    studio_shards: Path, questions: list[QAItem], tmp_path: Path
) -> None:
    rotated = variant_named("circular").of(questions)
    letters = answers(rotated)
    wrong = rotated[1]
    letters[wrong.source_index] = next(letter for letter in wrong.letters if letter != wrong.answer)
    responses = stored(tmp_path / "responses.jsonl", letters)
    options = ("--tasks", "shotbench_circular", "--output_path", str(tmp_path / "theirs"))
    finished = lmms_eval(studio_shards, "--model", "replay", "--model_args", f"responses={responses}", *options)
    assert finished.returncode == 0, finished.stdout[-2000:]
    asked = sum(item.dimension == wrong.dimension for item in questions)
    leaf = group_results(tmp_path / "theirs", f"shotbench_circular_{wrong.dimension}")
    assert leaf["shotbench_all_rotations"] == pytest.approx(1 - 1 / asked)
    group = group_results(tmp_path / "theirs", "shotbench_circular")
    assert group["shotbench_accuracy"] == pytest.approx(1 - 1 / len(rotated))
    assert 1 - 1 / asked < group["shotbench_all_rotations"] < 1
    assert divmod(wrong.source_index, ROTATION_STRIDE) == (questions[0].source_index, 1)


def test_the_published_refined_questions_are_used_if_their_file_is_given(
    real_data: Path, refined_items: dict[int, QAItem], tmp_path: Path
) -> None:
    tsv, refined = real_data / "shotbench" / "test.tsv", real_data / "refineshot" / "test.tsv"
    responses = stored(tmp_path / "responses.jsonl", answers(list(refined_items.values())))
    replay = ("replay", f"responses={responses}", "refineshot")
    assert run_eval(tmp_path / "theirs", tsv, *replay, "--refined", str(refined)) == 0
    theirs = read_scores(tmp_path / "theirs")
    assert (theirs["correct"], theirs["n"]) == (3572, 3572)
    assert theirs["run"]["refined"]["file"] == str(refined)
    assert theirs["run"]["refined"]["sha256"] == file_sha256(refined)


def media_of(studio_shards: Path, item: QAItem, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.setenv("SHOTBENCH_DATA", str(studio_shards))
    return task_functions.doc_to_visual(item.to_row())


def test_stills_are_mirrored_and_blind_questions_have_no_media(
    studio_shards: Path, questions: list[QAItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    still = next(item for item in questions if item.media_kind is MediaKind.STILL)
    (plain,) = media_of(studio_shards, still, monkeypatch)
    (mirrored,) = media_of(studio_shards, variant_named("mirrored").of([still])[0], monkeypatch)
    assert np.array_equal(np.asarray(mirrored), np.asarray(plain)[:, ::-1])
    (blind,) = variant_named("blind").of([still])
    assert media_of(studio_shards, blind, monkeypatch) == []
    messages = task_functions.doc_to_messages(blind.to_row(), {"prompt_style": "direct"})
    assert [part["type"] for message in messages for part in message["content"]] == ["text", "text"]


@pytest.mark.parametrize("view", [View.MIRRORED, View.REVERSED])
def test_clips_are_mirrored_or_reversed(
    view: View, studio_shards: Path, questions: list[QAItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = next(item for item in questions if item.media_kind is MediaKind.CLIP and variant_named(view).of([item]))
    encoded = ShardFolder(studio_shards).media(clip.item_id)
    plain, other = (
        frames_of(path)
        for path in (
            clips.protocol_clip_path(encoded, clip.media_sha256),
            media_of(studio_shards, variant_named(view).of([clip])[0], monkeypatch)[0],
        )
    )
    expected = plain[:, :, ::-1] if view is View.MIRRORED else plain[::-1]
    assert np.abs(other.astype(int) - expected).mean() < 3  # both are re-encoded
    assert np.abs(other.astype(int) - plain).mean() > 6


def frames_of(path: str | Path) -> np.ndarray:
    with Clip(Path(path)) as clip:
        return np.concatenate(list(clip.read(range(clip.frames))))


def test_shotvl_gets_the_frames_of_a_reversed_clip_in_reverse_order(
    studio_shards: Path, questions: list[QAItem]
) -> None:
    clip = next(item for item in questions if item.media_kind is MediaKind.CLIP)
    encoded = ShardFolder(studio_shards).media(clip.item_id)
    rule, limits = PatchRule(14, 2, 2, (127.5,) * 3, (127.5,) * 3), MediaLimits(3136, 50176, clip_max=50176)
    plain, backwards = (clip_patches(encoded, limits, rule, view) for view in (View.AS_FILMED, View.REVERSED))
    assert plain.grid == backwards.grid
    in_time = (plain.grid.time, -1, 3, rule.frames, rule.side**2)  # a patch holds two frames
    assert plain.values.view(in_time).flip(0, 3).equal(backwards.values.view(in_time))
    assert not plain.values.equal(backwards.values)


def test_a_run_on_other_questions_is_refused(
    perfect_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    original, mirrored = perfect_run(), perfect_run("mirrored")
    capsys.readouterr()
    assert main(["robust", str(original)]) == 2
    assert "is not a run of a variant" in capsys.readouterr().err
    assert main(["robust", str(mirrored), str(original)]) == 2
    assert "is a run of mirrored questions; give the run on the original questions first" in capsys.readouterr().err
    assert main(["robust", str(original), str(mirrored), str(mirrored)]) == 2
    assert "mirrored is given twice" in capsys.readouterr().err
    scores = json.loads((original / "scores.json").read_text())
    scores["items"][0]["asked"] = "0" * 16
    (tmp_path / "changed.json").write_text(json.dumps(scores))
    assert main(["robust", str(tmp_path / "changed.json"), str(mirrored)]) == 2
    assert "1 of its questions are not among these" in capsys.readouterr().err


def test_remarks_state_differences_and_missing_questions(
    studio_shards: Path,
    questions: list[QAItem],
    perfect_run: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    original, backwards = perfect_run(), perfect_run("reversed")
    rotated = variant_named("circular").of(questions)
    responses = stored(tmp_path / "rotated.jsonl", answers(rotated))
    arguments = ("replay", f"responses={responses}", "shotbench_circular_reasoning", "--limit", "3")
    assert run_eval(tmp_path / "some", studio_shards, *arguments) == 0
    scores = read_scores(tmp_path / "some")
    scores["unanswered"] = [scores["items"][0]["index"]]
    (tmp_path / "some.json").write_text(json.dumps(scores))
    capsys.readouterr()
    assert main(["robust", str(original), str(tmp_path / "some.json"), str(backwards), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["variants"]
    asked_in_part = len(questions) - found["circular"]["overall"]["n"]
    assert asked_in_part and found["circular"]["overall"]["robust"]["value"] == 1.0
    assert found["circular"]["remarks"] == [
        f"left out, because {tmp_path / 'some.json'} does not contain all their versions: {asked_in_part} questions",
        "the prompt styles differ: direct and reasoning",
        "without any response, which counts as wrong: 1",
    ]
    left_out = variant_named("reversed").left_out(questions)
    assert left_out and found["reversed"]["left_out"] == [item.source_index for item in left_out]
    assert main(["robust", str(original), str(backwards)]) == 0
    assert f"the correct answer is unknown in this variant: {len(left_out)} questions" in capsys.readouterr().out


def test_a_variant_without_questions_is_refused_before_anything_is_written(
    studio_shards: Path, questions: list[QAItem], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stills = tmp_path / "stills.tsv"
    header = "index\ttype\tpath\tquestion\toptions\tanswer\tcategory\n"
    stills.write_text(header + '0\t["image"]\t[\'a.jpg\']\tWhat?\t{"A": "Wide", "B": "Medium"}\tA\tshot size\n')
    assert run_eval(tmp_path / "run", stills, "replay", "responses=none", "shotbench_reversed") == 2
    assert "the data have no such questions" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
