"""Small published sets in the layout of their authors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from data_pipeline.defects import Defect
from data_pipeline.releases.checked_rows import ImportReport
from data_pipeline.releases.import_published_set import import_published_set
from lmms_eval_shotbench.grading.grade import grade
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import ShardFolder
from tests.support.releases import clip, still

SIZES = ["ambiguous", "closeUp", "detail", "extremeLongShot", "fullShot", "longShot", "mediumCloseUp", "mediumShot"]


def film_shots(folder: Path, rows: list[dict[str, Any]], split: str = "test", class_names: bool = True) -> Path:
    """Write stills and labels as types-of-film-shots does; a row is {label, annotator, image}."""
    features = {
        "image": {"_type": "Image"},
        "label": {"names": SIZES, "_type": "ClassLabel"},
        "annotator": {"dtype": "string", "_type": "Value"},
    }
    table = pa.Table.from_pylist(rows)
    if class_names:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    (folder / "data").mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, folder / f"data/{split}-00000-of-00001.parquet", row_group_size=5)
    return folder


def film_shot(number: int, label: int, annotator: str = "human") -> dict[str, Any]:
    return {"image": {"bytes": still(number), "path": f"film {number}.jpg"}, "label": label, "annotator": annotator}


def imported(name: str, source: Path, out: Path, **options: Any) -> tuple[ImportReport, list[QAItem]]:
    """Import a set, check the account of its rows and that every right answer is graded as right."""
    done = import_published_set(name, str(source), out, **options)
    items = list(ShardFolder(out).items())
    assert len(items) == done.rows_written == done.rows_read - sum(defect.loses_row for defect in done.defects)
    assert {item.source for item in items} == {name}
    for item in items:
        for response in (item.answer, item.gold, f"<think>Hm.</think><answer>{item.answer}</answer>"):
            assert grade(item, response).correct, (item, response)
    return done, items


def losses(defects: tuple[Defect, ...]) -> list[tuple[str, str]]:
    """Kind and detail of each defect that loses a row."""
    return [(str(defect.kind), defect.detail) for defect in defects if defect.loses_row]


def json_lines(path: Path, rows: Sequence[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def camera_row(number: int, *labels: str) -> dict[str, Any]:
    """A row of CameraBench's test.jsonl."""
    name = f"-2uIa-XMJC{number}.5.3"
    gif = f"https://huggingface.co/datasets/syCen/CameraBench/resolve/main/videos_gif/{name}.gif"
    return {"Video": gif, "labels": list(labels), "caption": "The camera moves.", "path": f"videos/{name}.mp4"}


def write_clips(folder: Path, names: Iterable[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / PurePosixPath(name).name).write_bytes(clip())
    return folder
