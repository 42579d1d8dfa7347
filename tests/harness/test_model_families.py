"""Families whose models in lmms-eval need fixes, run by `shotbench eval`; docs/model_families.json has them all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.host
pytest.importorskip("lmms_eval")

from lmms_eval_shotbench.media.clips import Clip
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.harness.test_lmms_eval import isolated_caches, questions, run_eval  # noqa: F401
from tests.support import REPOSITORY
from tests.support.observed_inputs import observed_inputs
from tests.support.tiny_families import FAMILIES, make_tiny_family

TASKS = "shotbench_shot_size,shotbench_camera_movement"


class Expected(NamedTuple):
    """A family under a model of lmms-eval, and the maximum number of frames of a clip that it is given."""

    family: str
    model: str
    model_args: str
    frames: int


RUNS = (
    Expected("internvl", "internvl_hf", "device=cpu,device_map=cpu,num_frames=16", 16),
    Expected("llava_onevision", "llava_hf", "device=cpu", 32),
    Expected("qwen3_vl", "huggingface", "device=cpu,device_map=cpu", 768),
)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.model)
def test_stills_and_clips_reach_the_model_and_are_answered(
    run: Expected,
    studio_shards: Path,
    questions: list[QAItem],  # noqa: F811
    tmp_path: Path,
) -> None:
    checkpoint = make_tiny_family(run.family, tmp_path / run.family)
    arguments = f"pretrained={checkpoint},{run.model_args}"
    more = ("--limit", "1", "--gen_kwargs", "max_new_tokens=1")
    with observed_inputs() as calls:
        assert run_eval(tmp_path / "out", studio_shards, run.model, arguments, TASKS, *more) == 0
    lines = (tmp_path / "out" / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["response"] in tuple("ABCD") for line in lines] == [True, True]

    still, clip = calls
    (item, *_) = (item for item in questions if item.media_kind is MediaKind.CLIP)
    with Clip(ShardFolder(studio_shards).media(item.item_id)) as source:
        assert clip.pictures == min(run.frames, len(source.sampled()))
    assert still.pictures >= 1 and still.architecture == clip.architecture


def test_gemma4_answers_a_still(studio_shards: Path, tmp_path: Path) -> None:
    checkpoint = make_tiny_family("gemma4", tmp_path / "gemma4")
    arguments = f"pretrained={checkpoint},device=cpu,device_map=cpu"
    more = ("--limit", "1", "--gen_kwargs", "max_new_tokens=1")
    with observed_inputs() as calls:
        assert run_eval(tmp_path / "out", studio_shards, "gemma4", arguments, "shotbench_shot_size", *more) == 0
    assert len(calls) == 1


def test_the_record_has_every_family_and_a_reason_for_each_failure() -> None:
    record = json.loads((REPOSITORY / "docs" / "model_families.json").read_text(encoding="utf-8"))
    assert {run["family"] for run in record["runs"]} == {"qwen2_5_vl", *FAMILIES}
    outcomes = [run[kind] for run in record["runs"] for kind in ("stills", "clips")]
    assert all(outcome["ok"] or outcome["error"] for outcome in outcomes)
    assert all(outcome["pictures"] for outcome in outcomes if outcome["ok"])
