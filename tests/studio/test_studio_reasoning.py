"""Studio questions with a chain of thought, and studio datasets of stills only."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # renders

pytest.importorskip("numba")

from data_pipeline.studio_set import StudioSettings, studio_shards
from data_pipeline.workers import Workers
from lmms_eval_shotbench.grading.grade import grade
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import MediaKind


@pytest.fixture(scope="module")
def reasoning_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stills") / "shards"
    settings = StudioSettings(films=1, width=64, shares={"sft": 1.0}, kind=MediaKind.STILL, reasoning=True)
    studio_shards(settings, folder, Workers(0))
    return folder


def test_every_question_has_a_chain_that_concludes_its_answer(reasoning_shards: Path) -> None:
    items = list(ShardFolder(reasoning_shards, "sft").items())
    assert len(items) > 40
    for item in items:
        verdict = grade(item, item.reasoning)
        assert verdict.correct and verdict.well_formed


def test_a_dataset_of_stills_has_no_clips_and_its_card_says_so(reasoning_shards: Path) -> None:
    assert {item.media_kind for item in ShardFolder(reasoning_shards, "sft").items()} == {MediaKind.STILL}
    assert "--only stills" in (reasoning_shards / "README.md").read_text()
    assert "--reasoning" in (reasoning_shards / "README.md").read_text()


def test_chains_are_only_added_on_request(studio_shards: Path) -> None:
    assert not any(item.reasoning for item in ShardFolder(studio_shards).items())
