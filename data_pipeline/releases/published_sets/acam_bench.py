"""Read ACaM-Bench: JSON files of multiple-choice and Yes/No questions about clips.

Owns the names of the fields. Only those of the Yes/No rows are documented (`image`, `camera_motion`, `question`,
`label`), so each field is looked up under several names and the options in several forms: a list, an object from letter
to text, or lines of the question. A row without one of them is a defect that names the keys of the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from data_pipeline.releases.media_folder import MediaFolder
from data_pipeline.releases.published_sets.json_fields import (
    field_named,
    numbered_rows,
    options_from,
    question_and_options,
    row_fields,
    text_named,
)
from data_pipeline.releases.published_sets.set_rows import SetQuestion, SetRows
from data_pipeline.releases.release_media import ImportRefused
from data_pipeline.releases.shotqa_rows import answer_letter, path_in_release
from lmms_eval_shotbench.vocabulary import MediaKind, normal_form

QUESTION = ("question", "Question", "problem", "prompt")
OPTIONS = ("options", "Options", "choices", "candidates")
ANSWER = ("answer", "Answer", "label", "correct_answer", "correct_option", "ground_truth", "solution")
MEDIUM = ("video", "videos", "image", "video_path", "video_name", "path")
CLASS = "camera_motion"
YES_NO = ("Yes", "No")
ROWS_A_FILE = 1_000_000  # so that indices are unique across files


def read(folder: Path, media: MediaFolder, rows: SetRows) -> MediaFolder:
    """Read all JSON files of the folder; returns where the clips are."""
    paths = [folder / file for file in sorted(_json_files(folder))]
    if not paths:
        raise ImportRefused(f"{folder} has no JSON files; give the folder that holds the files as published")
    for number, path in enumerate(paths):
        name = path.relative_to(folder).as_posix()
        file_id = name.rpartition(".")[0].replace("/", "-")
        for line, row in numbered_rows(path):
            item_id = f"{rows.published.source}-{file_id}-{line - 1:05d}"
            rows.take(line, item_id, name, partial(_question, rows, row, item_id, number * ROWS_A_FILE + line - 1))
    return media


def _json_files(folder: Path) -> set[Path]:
    """Return the JSON files below the folder, relative to it, without hidden ones."""
    found = {path.relative_to(folder) for suffix in ("json", "jsonl") for path in folder.rglob(f"*.{suffix}")}
    return {path for path in found if not any(part.startswith(".") for part in path.parts)}


def _question(rows: SetRows, row: object, item_id: str, index: int) -> SetQuestion:
    fields = row_fields(item_id, row)
    question, options = _asked(item_id, fields)
    answer = answer_letter(item_id, "answer", text_named(item_id, fields, ANSWER), options)
    path = path_in_release(text_named(item_id, fields, MEDIUM))
    group, dimension = rows.published.only_group
    item = rows.item(item_id, index, dimension, question, options, answer, MediaKind.CLIP, path)
    classes = fields.get(CLASS) or [item.gold]
    for name in classes if isinstance(classes, list) else [classes]:
        rows.mapped_class(group, str(name))
    return SetQuestion(item)


def _asked(item_id: str, fields: Mapping[str, object]) -> tuple[str, tuple[str, ...]]:
    """Return the question and its options."""
    question = text_named(item_id, fields, QUESTION)
    if any(fields.get(name) for name in OPTIONS):
        return question, options_from(item_id, "options", field_named(item_id, fields, OPTIONS))
    if normal_form(text_named(item_id, fields, ANSWER)) in map(normal_form, YES_NO):
        return question, YES_NO
    return question_and_options(item_id, "question", question)
