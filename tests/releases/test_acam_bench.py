"""Import of ACaM-Bench: fields are read by name, and what is not found is reported with the keys of the row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.releases.checked_rows import RowsLost
from data_pipeline.releases.import_published_set import import_published_set
from tests.support.published_sets import imported, json_lines, losses, prompt, write_clips

NAME = "acam-bench"
MOVES = ["Pan left", "Tracking", "Zoom in", "Static"]
QUESTION = "Which camera movement does the clip show?"
BINARY = {
    "image": "syn_videos/tracking_82.mp4",
    "camera_motion": ["Tracking"],
    "question": "Does the camera perform a tracking shot (follow the subject)?",
    "label": "Yes",
    "source": "Veo_3.1_fast_preview",
}
FORMS: list[dict[str, Any]] = [
    {"video": "a.mp4", "question": QUESTION, "options": MOVES, "answer": "Tracking"},
    {"video": "a.mp4", "question": QUESTION, "options": [f"{x}. {m}" for x, m in zip("ABCD", MOVES, strict=True)],
     "answer": "B"},
    {"video_path": "real/a.mp4", "question": QUESTION, "choices": dict(zip("ABCD", MOVES, strict=True)), "label": "B"},
    {"image": "a.mp4", "question": prompt(QUESTION, *MOVES), "answer": "(B) Tracking", "camera_motion": ["tracking"]},
]  # fmt: skip


def test_each_form_of_a_question_is_read(tmp_path: Path) -> None:
    source = tmp_path / "set"
    json_lines(source / "data/real.jsonl", FORMS)
    (source / "binary.json").write_text(json.dumps([BINARY, BINARY | {"label": "No"}]))
    write_clips(source / "clips", ["a.mp4", "tracking_82.mp4"])
    done, items = imported(NAME, source, tmp_path / "out")
    assert (done.rows_written, done.defects) == (6, ())
    assert [(item.options, item.answer) for item in items[:2]] == [(("Yes", "No"), "A"), (("Yes", "No"), "B")]
    assert {(item.question, item.options, item.answer) for item in items[2:]} == {(QUESTION, tuple(MOVES), "B")}
    assert [item.item_id for item in items[1:3]] == ["acam-bench-binary-00001", "acam-bench-data-real-00000"]
    assert len({item.source_index for item in items}) == 6


def test_classes_without_a_term_are_left_out_by_name(tmp_path: Path) -> None:
    unknown = BINARY | {"camera_motion": ["Whip_Pan"]}
    several = BINARY | {"camera_motion": ["pan_left", "Dolly-In"]}
    json_lines(tmp_path / "set/binary.jsonl", [BINARY, unknown, several])
    write_clips(tmp_path / "set", ["tracking_82.mp4"])
    done, items = imported(NAME, tmp_path / "set", tmp_path / "out")
    assert len(items) == 2
    assert losses(done.defects) == [
        ("label that names no term", "'Whip_Pan' of camera_motion is not in the table of classes")
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"question": None}, "keys is ['answer', 'clip_question', 'options', 'question', 'video'], expected one of"),
        ({"options": "a, b"}, "a list of texts, or an object with the letters"),
        ({"options": None}, "a question followed by options A, B, C"),
        ({"answer": "E"}, "a letter from A to D"),
        ({"answer": 2}, "a text"),
        ({"video": "../../etc/passwd/.."}, "media_path"),
    ],
)
def test_a_row_without_a_field_is_reported_with_its_keys(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    json_lines(tmp_path / "set/real.jsonl", [FORMS[0], FORMS[0] | {"clip_question": "?"} | changes])
    write_clips(tmp_path / "set", ["a.mp4"])
    with pytest.raises(RowsLost) as refusal:
        import_published_set(NAME, str(tmp_path / "set"), tmp_path / "out")
    (defect,) = refusal.value.report.defects
    assert (defect.line, defect.kind) == (2, "bad row")
    assert expected in defect.detail
