"""Import of CamReasoner: both shapes of a row give the same question, in the split of their file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.releases.import_published_set import import_published_set
from data_pipeline.releases.release_media import ImportRefused
from tests.support.published_sets import imported, losses, write_clips

NAME = "camreasoner"
EVALUATION: dict[str, Any] = {
    "problem_id": "Move_Down_1",
    "problem": "Does the camera move downward (not tilting down) with respect to the initial frame?",
    "data_type": "video",
    "problem_type": "multiple choice",
    "options": ["A. No", "B. Yes"],
    "process": "",
    "solution": "<answer>B</answer>",
    "path": "video/u35WIs62R2M.1.4.mp4",
    "data_source": "camerabench",
    "dataset": "camerabench",
    "output": [],
    "id": "Move_Down_1",
}
TRAINING = {name: EVALUATION[name] for name in ("problem_id", "problem", "data_type", "problem_type", "options")} | {
    "videos": ["video/u35WIs62R2M.1.4.mp4"],
    "answer": "<answer>B</answer>",
}


def release(folder: Path, file: str, rows: list[Any]) -> Path:
    folder.mkdir()
    (folder / file).write_text(json.dumps(rows))
    write_clips(folder / "video", ["u35WIs62R2M.1.4.mp4"])
    return folder


def test_both_shapes_give_the_same_question_in_the_split_of_their_file(tmp_path: Path) -> None:
    binary = release(tmp_path / "inference", "camerabench_binary.json", [EVALUATION])
    training = release(tmp_path / "rl", "camerabench_rl.json", [TRAINING, TRAINING | {"problem_id": "x1"}])
    (tested,) = imported(NAME, binary, tmp_path / "test")[1]
    trained = imported(NAME, training, tmp_path / "grpo", "grpo")[1]
    assert (tested.options, tested.gold, tested.film_id) == (("No", "Yes"), "Yes", "u35WIs62R2M")
    assert replace(trained[0], item_id=tested.item_id) == tested
    card = (tmp_path / "grpo/README.md").read_text()
    assert "| Move_Down | camera_movement | Boom down | 1 | 0 |" in card
    assert "| no movement in `problem_id` |  | not in the table of classes | 1 | 0 |" in card


def test_other_problems_are_left_out_by_type(tmp_path: Path) -> None:
    others = [EVALUATION | {"problem_type": "temporal grounding"}, EVALUATION | {"data_type": "image"}]
    done, items = imported(NAME, release(tmp_path / "set", "camerabench_binary.json", [EVALUATION, *others]),
                           tmp_path / "out")  # fmt: skip
    assert len(items) == 1
    assert losses(done.defects) == [
        ("open-ended question", "problem_type 'temporal grounding', not 'multiple choice'"),
        ("open-ended question", "data_type 'image', not 'video'"),
    ]
    (tmp_path / "set/camerabench_rl.json").write_text("[]")
    with pytest.raises(ImportRefused, match="has 2 of the files"):
        import_published_set(NAME, str(tmp_path / "set"), tmp_path / "both")
