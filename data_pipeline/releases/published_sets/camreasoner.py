"""Read CamReasoner: one JSON file in the format of EasyR1, for evaluation or for reinforcement learning.

Owns the two shapes of a row and the split: questions of a file for training are in `grpo`, others in `test`.

    evaluation   {"problem", "options", "path", "solution", "problem_id", "problem_type", "data_type", …}
    training     {"problem", "options", "videos", "answer", "problem_id", "problem_type", "data_type"}
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from data_pipeline.defects import DefectKind
from data_pipeline.releases.media_folder import MediaFolder
from data_pipeline.releases.published_sets.json_fields import (
    field_named,
    numbered_rows,
    options_from,
    row_fields,
    text_named,
)
from data_pipeline.releases.published_sets.set_rows import LeftOut, SetQuestion, SetRows, video_id
from data_pipeline.releases.release_media import ImportRefused
from data_pipeline.releases.shotqa_rows import answer_letter, path_in_release
from lmms_eval_shotbench.vocabulary import MediaKind, normal_form

SPLIT_OF_FILE = {"camerabench_binary.json": "test", "camerabench_rl.json": "grpo"}
MULTIPLE_CHOICE, VIDEO = "multiple choice", "video"
NOT_NAMED = "no movement in `problem_id`"  # the question is valid all the same
_NUMBERED = re.compile(r"(.+?)_?\d+")  # Move_Down_1


def read(folder: Path, media: MediaFolder, rows: SetRows) -> MediaFolder:
    """Read the JSON file of the folder; returns where the clips are."""
    paths = [folder / name for name in SPLIT_OF_FILE if (folder / name).is_file()]
    if len(paths) != 1:
        raise ImportRefused(
            f"{folder} has {len(paths)} of the files {', '.join(SPLIT_OF_FILE)}; give a folder with one"
        )
    rows.split = SPLIT_OF_FILE[paths[0].name]
    for line, row in numbered_rows(paths[0]):
        item_id = f"{rows.published.source}-{rows.split}-{line - 1:05d}"
        rows.take(line, item_id, paths[0].name, partial(_question, rows, row, item_id, line - 1))
    return media


def _question(rows: SetRows, row: object, item_id: str, index: int) -> SetQuestion:
    fields = row_fields(item_id, row)
    for name, ours in (("problem_type", MULTIPLE_CHOICE), ("data_type", VIDEO)):
        if normal_form(str(fields.get(name, ours))) != ours:
            raise LeftOut(DefectKind.OPEN_ENDED, f"{name} {fields[name]!r}, not {ours!r}")
    group, dimension = rows.published.only_group
    numbered = _NUMBERED.fullmatch(str(fields.get("problem_id")))
    rows.class_of(group, numbered[1] if numbered and group.find(numbered[1]) else NOT_NAMED)
    options = options_from(item_id, "options", field_named(item_id, fields, ("options",)))
    path = path_in_release(text_named(item_id, fields, ("videos", "path")))
    question = text_named(item_id, fields, ("problem",))
    answer = answer_letter(item_id, "answer", text_named(item_id, fields, ("answer", "solution")), options)
    return SetQuestion(
        rows.item(item_id, index, dimension, question, options, answer, MediaKind.CLIP, path, video_id(path))
    )
