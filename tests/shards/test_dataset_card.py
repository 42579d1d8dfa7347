"""The dataset card of a shard folder, for readers and for the Hub."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import yaml

from data_pipeline.defects import Defect, DefectKind
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE
from tests.support.shard_rows import ABOUT, row, rows


def test_the_card_has_valid_yaml_and_lists_defects(tmp_path: Path) -> None:
    defects = [
        Defect(DefectKind.REPEATED_TERM, n, str(n), f"image/{n}.jpg", "twice", loses_row=False) for n in range(30)
    ]
    defects.append(Defect(DefectKind.EMPTY_FILE, 99, "98", "image/zero.jpg", "0 bytes", loses_row=True))
    write_shards(rows(6), tmp_path / "out", ABOUT, splits=["test"], defects=defects)
    _, header, body = (tmp_path / "out/README.md").read_text().split("---\n", 2)
    data = yaml.safe_load(header)
    assert data["license"] == "apache-2.0"
    assert data["configs"][0]["data_files"] == [{"split": "test", "path": "data/test-*.parquet"}]
    assert {"name": "video", "dtype": "video"} in data["dataset_info"]["features"]
    assert "repeated term: 30 (kept)" in body
    assert "image/zero.jpg" in body
    assert "image/29.jpg" not in body
    assert "| Camera Movement | clips | 2 |" in body


def card_of(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def test_splits_are_in_the_order_of_their_use(tmp_path: Path) -> None:
    names = ["test", "sft", "grpo", "cot_sft", "dev", "other"]
    mixed = [row(n, split=names[n % 6]) for n in range(60)]
    outcome = write_shards(mixed, tmp_path / "out", ABOUT, splits=names)
    assert list(outcome.counts) == ["other", "sft", "cot_sft", "grpo", "dev", "test"]
    data = yaml.safe_load(card_of(tmp_path / "out").split("---\n", 2)[1])
    assert [entry["split"] for entry in data["configs"][0]["data_files"]] == list(outcome.counts)
    assert [entry["num_examples"] for entry in data["dataset_info"]["splits"]] == [10] * 6
    assert "| dimension | media | other | sft | cot_sft | grpo | dev | test |" in card_of(tmp_path / "out")


def test_right_answers_are_counted_by_term(tmp_path: Path) -> None:
    first, second, never = SHOT_SIZE.terms[0], SHOT_SIZE.terms[1], SHOT_SIZE.terms[5]
    pan, tilt = (str(term) for term in CAMERA_MOVEMENT.terms[:2])
    compound = replace(row(2).item, dimension=CAMERA_MOVEMENT.slug, options=("x", f"{pan}, {tilt}"), answer="B")
    unknown = replace(row(3).item, options=("yes", "no"), answer="A")
    mixed = [row(0, split="sft"), row(4, split="sft"), row(1), PendingRow.of("test", compound, b""),
             PendingRow.of("test", unknown, b"")]  # fmt: skip
    write_shards(mixed, tmp_path / "out", ABOUT, splits=["sft", "test"])
    card = card_of(tmp_path / "out")
    for line in (f"Shot Size | {first} | 2 | 0", f"Shot Size | {second} | 0 | 1", f"Shot Size | {never} | 0 | 0",
                 "Shot Size | (no term) | 0 | 1", f"Camera Movement | {pan} | 0 | 1",
                 f"Camera Movement | {tilt} | 0 | 1"):  # fmt: skip
        assert f"| {line} |" in card


def test_known_limits_and_additional_sections_are_on_the_card(tmp_path: Path) -> None:
    about = replace(ABOUT, known_limits="No night scenes.", sections={"Blind audit": "31.0 % of 25.0 %."})
    write_shards(rows(), tmp_path / "with", about, splits=["test"])
    write_shards(rows(), tmp_path / "without", ABOUT, splits=["test"])
    assert "## Known limits\n\nNo night scenes." in card_of(tmp_path / "with")
    assert "## Blind audit\n\n31.0 % of 25.0 %." in card_of(tmp_path / "with")
    assert "Known limits" not in card_of(tmp_path / "without")
