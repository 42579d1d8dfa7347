"""Small published sets in the layout of their authors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from string import ascii_uppercase
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


def imported(
    name: str, source: Path, out: Path, split: str = "test", **options: Any
) -> tuple[ImportReport, list[QAItem]]:
    """Import a set, check the account of its rows and that every right answer is graded as right."""
    done = import_published_set(name, str(source), out, **options)
    items = list(ShardFolder(out, split).items())
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


def prompt(question: str, *options: str) -> str:
    """A question with its options as lines, as in CineTechBench."""
    lines = [f"{letter}. {text}" for letter, text in zip(ascii_uppercase, options, strict=False)]
    return "\n".join([question, *lines, "Please answer with the letter only."])


def cinetech_still(number: int, category: str, annotation: str, *options: str, answer: str = "A") -> dict[str, Any]:
    """A row of CineTechBench's image_annotation.json; the first option is the annotation unless options are given."""
    asked = prompt(f"What is the {category} of this picture?", *(options or (annotation, "Other", "None")))
    name = f"{number:03d}-{category}-{number:03d}.jpg"
    return {
        "Image_name": name,
        "URL": f"https://www.imdb.com/title/tt{number:07d}/mediaviewer/rm1/",
        "Category": category,
        "Type": "A",
        "Annotation": annotation,
        "QA": {"Prompt": asked, "Answer": answer},
    }


def cinetech_clip(number: int, movement: str, start: str = "00:00:00", end: str = "00:00:03") -> dict[str, Any]:
    """A row of CineTechBench's video_annotation.json."""
    return {
        "id": number,
        "movie_id": number,
        "video_name": f"clip {number}.mp4",
        "start_frame": start,
        "end_frame": end,
        "type": movement,
        "classification": "Single",
        "QA": {"prompt": prompt("How does the camera move?", "Crane Shot", movement), "answer": "B"},
    }
