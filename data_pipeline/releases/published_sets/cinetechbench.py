"""Read CineTechBench: `image_annotation.json` and `video_annotation.json`, questions whose media are local copies.

Owns the differences of the two files (names and case of the keys) and the check that a clip is cut to its annotated
part. A row is mapped by its class name: letters are unique within one question only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from data_pipeline.checks.check_media import check_file_size
from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.medium_guard import MediumGuard
from data_pipeline.releases.media_folder import MediaFolder
from data_pipeline.releases.published_sets.class_table import ClassGroup, SetClass
from data_pipeline.releases.published_sets.json_fields import (
    numbered_rows,
    question_and_options,
    row_fields,
    text_named,
)
from data_pipeline.releases.published_sets.set_rows import LeftOut, SetQuestion, SetRows
from data_pipeline.releases.release_media import ImportRefused, ReleaseFile
from data_pipeline.releases.shotqa_rows import answer_letter, path_in_release
from lmms_eval_shotbench.media.clips import clip_header
from lmms_eval_shotbench.qa_item import BadRow
from lmms_eval_shotbench.vocabulary import MediaKind

IMAGES, VIDEOS = "image_annotation.json", "video_annotation.json"
VIDEO_GROUP = "video"
FIRST_INDEX = {IMAGES: 0, VIDEOS: 1_000_000}  # so that indices are unique across files
MAX_SURPLUS_SECONDS = 1.0  # of a clip over its annotated part
_IMDB_TITLE = re.compile(r"tt\d{7,}")
_TIME = re.compile(r"(\d+):(\d+):(\d+)")  # minutes, seconds, frames


def read(folder: Path, media: MediaFolder, rows: SetRows) -> MediaFolder:
    """Read both files, or the one that is there; returns where the media are."""
    paths = [folder / name for name in FIRST_INDEX if (folder / name).is_file()]
    if not paths:
        raise ImportRefused(f"{folder} has neither {IMAGES} nor {VIDEOS}; give the folder that holds the files")
    for path in paths:
        for line, row in numbered_rows(path):
            parse = _still_question if path.name == IMAGES else partial(_clip_question, media)
            item_id = f"{rows.published.source}-{path.name.split('_')[0]}-{line - 1:05d}"
            rows.take(line, item_id, path.name, partial(parse, rows, row, item_id, FIRST_INDEX[path.name] + line - 1))
    return media


class _Asked(NamedTuple):
    """What a question is about: the class of the right answer, and the medium."""

    group: ClassGroup
    right: SetClass
    kind: MediaKind
    path: str
    film_id: str


def _still_question(rows: SetRows, row: object, item_id: str, index: int) -> SetQuestion:
    fields = row_fields(item_id, row)
    category = text_named(item_id, fields, ("Category",))
    group = rows.published.group(category)
    if group is None:
        raise LeftOut(DefectKind.UNKNOWN_LABEL, f"category {category!r} is not in the table of classes")
    right = rows.mapped_class(group, text_named(item_id, fields, ("Annotation",)))
    path = path_in_release(text_named(item_id, fields, ("Image_name",)))
    film = _IMDB_TITLE.search(str(fields.get("URL")))
    return _question(rows, fields, item_id, index, _Asked(group, right, MediaKind.STILL, path, film[0] if film else ""))


def _clip_question(media: MediaFolder, rows: SetRows, row: object, item_id: str, index: int) -> SetQuestion:
    fields = row_fields(item_id, row)
    group = rows.published.group(VIDEO_GROUP)
    assert group is not None, "it is in the table"
    movement = fields.get("type")
    if isinstance(movement, list):  # how clips of several movements are written is not documented
        movement = ", ".join(map(str, movement))
    right = rows.mapped_class(group, text_named(item_id, {"type": movement}, ("type",)))
    path = path_in_release(text_named(item_id, fields, ("video_name",)))
    _require_cut(media, fields, item_id, path)
    film = f"movie {fields['movie_id']}" if fields.get("movie_id") is not None else ""
    return _question(rows, fields, item_id, index, _Asked(group, right, MediaKind.CLIP, path, film))


def _question(rows: SetRows, fields: Mapping[str, object], item_id: str, index: int, asked: _Asked) -> SetQuestion:
    published = row_fields(item_id, fields.get("QA"))
    question, options = question_and_options(item_id, "QA", text_named(item_id, published, ("Prompt", "prompt")))
    answer = answer_letter(item_id, "QA", text_named(item_id, published, ("Answer", "answer")), options)
    assert asked.group.dimension is not None, "its class has a term"
    item = rows.item(
        item_id, index, asked.group.dimension, question, options, answer, asked.kind, asked.path, asked.film_id
    )
    answered = asked.group.find(item.gold)
    contradiction = f"the answer is {item.gold!r}, the annotation {asked.right.name!r}"
    warnings = (Flaw(DefectKind.ANSWER_NOT_TAGGED, contradiction),) if answered not in (None, asked.right) else ()
    return SetQuestion(item, warnings)


def _require_cut(media: MediaFolder, fields: Mapping[str, object], item_id: str, path: str) -> None:
    """Raise `BadRow` if the clip is longer than its annotated part, e.g. the video that it must be cut out of."""
    found = media.find(path, MediaKind.CLIP)
    times = [_TIME.fullmatch(str(fields.get(name)).strip()) for name in ("start_frame", "end_frame")]
    if not isinstance(found, ReleaseFile) or check_file_size(found.size) or not all(times):
        return
    header = None
    with MediumGuard(lambda flaw: None, "reading it"):  # broken media are reported when all are checked
        header = clip_header(media.read(found))
    if header is None:
        return
    start, end = (
        int(time[1]) * 60 + int(time[2]) + int(time[3]) / header.frame_rate for time in times if time is not None
    )
    length = float(header.frames / header.frame_rate)
    if length > end - start + MAX_SURPLUS_SECONDS:
        annotated = f"{fields['start_frame']} to {fields['end_frame']} (minutes, seconds, frames)"
        raise BadRow(item_id, "video_name", f"{path}, {length:.1f} s", f"only the part from {annotated}; cut it out")
