"""Captions of shots for training image and video generators.

LABELS/captions/clips/   SHOT.mp4, SHOT.txt and metadata.jsonl: a Hugging Face videofolder
LABELS/captions/stills/  SHOT.jpg, SHOT.txt and metadata.jsonl: a Hugging Face imagefolder
LABELS/captions/template.json  the wording, in which `shotbench label apply` writes them again

`metadata.jsonl` has `file_name`, `text`, `film_id` and `shot_id`: split by film. finetrainers reads it, or the pairs;
diffusion-pipe, musubi-tuner and sd-scripts read a folder of pairs (with `caption_extension = ".txt"`). Media are hard
links to those of the labels, so they take no space; where the file system has none, copies. Shots without any label
have no caption and are left out: trainers would learn an empty text. The folders are replaced by each run.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from lmms_eval_shotbench.atomic_file import atomic_path, write_atomic
from lmms_eval_shotbench.labelling.exports.caption_template import (
    BadCaptionTemplate,
    CaptionTemplate,
    parse_caption_template,
    read_caption_template,
)
from lmms_eval_shotbench.labelling.exports.caption_text import caption
from lmms_eval_shotbench.labelling.shot_sheet import ShotSheet
from lmms_eval_shotbench.vocabulary import MediaKind

CAPTIONS = "captions"  # folder
FOLDERS = {MediaKind.CLIP: "clips", MediaKind.STILL: "stills"}
METADATA = "metadata.jsonl"
TEMPLATE = "template.json"


class CaptionCounts(NamedTuple):
    """How many stills or clips have a caption, and why others have none."""

    written: int = 0
    unlabelled: int = 0  # no label that the medium can show
    missing: int = 0  # the sheet names a file that is not there

    def __str__(self) -> str:
        reasons = ((self.unlabelled, "without a label"), (self.missing, "whose file is missing"))
        left_out = "".join(f", {count:,} left out {reason}" for count, reason in reasons if count)
        return f"{self.written:,} captions{left_out}"


def write_captions(
    folder: Path, sheet: ShotSheet, template: CaptionTemplate | None = None
) -> dict[MediaKind, CaptionCounts]:
    """Write the captions of a sheet's clips and stills, in place of those of an earlier run.

    Args:
        folder: the folder of the labels, which has the media.
        sheet: the labels.
        template: the wording (default: the packaged one).
    """
    template = template or read_caption_template()
    write_atomic(folder / CAPTIONS / TEMPLATE, json.dumps(asdict(template), indent=1, ensure_ascii=False) + "\n")
    return {kind: _write_folder(folder, sheet, kind, template) for kind in FOLDERS}


def remove_captions(folder: Path) -> bool:
    """Remove the captions of an earlier run, and their folder if it is empty then; whether there were any."""
    captions = folder / CAPTIONS
    written = [captions / name for name in (TEMPLATE, *FOLDERS.values()) if (captions / name).exists()]
    for path in written:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    with suppress(OSError):  # it is not there, or has other files
        captions.rmdir()
    return bool(written)


def stored_template(folder: Path) -> CaptionTemplate | None:
    """Return the wording of the captions in a folder of labels; None if it has none.

    Raises:
        BadCaptionTemplate: the stored wording is broken.
    """
    path = folder / CAPTIONS / TEMPLATE
    try:
        return parse_caption_template(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise BadCaptionTemplate(f"{path}: {error}; run `shotbench label` again, or delete {CAPTIONS}/") from None


def _write_folder(folder: Path, sheet: ShotSheet, kind: MediaKind, template: CaptionTemplate) -> CaptionCounts:
    target = folder / CAPTIONS / FOLDERS[kind]
    lines: list[str] = []
    unlabelled = missing = 0
    with atomic_path(target) as draft:
        draft.mkdir()
        for row in sheet.shots:
            shot = row.shot
            medium = shot.clip if kind is MediaKind.CLIP else shot.still
            if not medium:
                continue
            text = caption(row, kind, template)
            if not text:
                unlabelled += 1
                continue
            if not (folder / medium).is_file():
                missing += 1
                continue
            name = f"{shot.shot_id}{Path(medium).suffix}"
            _link(folder / medium, draft / name)
            (draft / f"{shot.shot_id}.txt").write_text(text + "\n", encoding="utf-8", newline="\n")
            facts = {"file_name": name, "text": text, "film_id": shot.film_id, "shot_id": shot.shot_id}
            lines.append(json.dumps(facts, ensure_ascii=False) + "\n")
        (draft / METADATA).write_text("".join(lines), encoding="utf-8", newline="\n")
        shutil.rmtree(target, ignore_errors=True)
    if not lines:  # no library loads an empty folder
        shutil.rmtree(target)
    return CaptionCounts(len(lines), unlabelled, missing)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # no hard links on this file system
        shutil.copyfile(source, target)
