"""The questions of a ShotQA release: every row becomes a question with film and split, or a defect with the reason.

Owns which files are read, invalid and duplicate rows, the splits, and the text of the dataset card. One row is parsed
in `shotqa_rows.py`, films are in `shotqa_files.py`, media in `shotqa_archive.py`.

Splits are those of the files, `sft` and `grpo`, minus a share of the films for `dev`: a film is in `dev` with all its
questions, from either file. It is sampled by a hash of its name, in whatever spelling, so that it stays there when the
release grows. A medium of unknown film counts as a film. A question in both files is kept from `grpo.json`, which is
read first as the smaller one.

Open-ended rows are counted, not listed: `sft_v1.1.json` has 700,000 of them, which is why that file is only read on
request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import NamedTuple

from data_pipeline.checks.same_films import film_id_key
from data_pipeline.defects import Defect, DefectKind, Flaw
from data_pipeline.releases.json_stream import json_entries
from data_pipeline.releases.release_questions import defect_of
from data_pipeline.releases.shotqa_files import (
    GRPO,
    META,
    OPEN_ENDED,
    SFT,
    Origin,
    ShotQARelease,
    origin_of,
    read_origins,
)
from data_pipeline.releases.shotqa_rows import LICENCE, SOURCE, OpenEnded, read_row
from data_pipeline.releases.shotqa_tags import disagreements
from data_pipeline.shards.dataset_card import STORED_UPRIGHT, CardText
from lmms_eval_shotbench.qa_item import QAItem

SPLITS = ("sft", "grpo", "dev")
SPLIT_OF_FILE = {SFT: "sft", GRPO: "grpo", OPEN_ENDED: "sft"}
NAME_OF_FILE = {SFT: "sft", GRPO: "grpo", OPEN_ENDED: "sft11"}
FIRST_INDEX = {SFT: 0, GRPO: 1_000_000, OPEN_ENDED: 2_000_000}  # so that indices are unique across files
DEV_SEED = "shotqa dev"  # changing it would select other films


@dataclass(frozen=True)
class ShotQAChoices:
    """Options of an import; each of them changes which rows are imported."""

    dev_share: float = 0.02  # of the films
    media: str = "check"  # or trust
    with_open_ended: bool = False  # read sft_v1.1.json as well, for the multiple choice in it


class ShotQAQuestion(NamedTuple):
    """A valid question, its split and its row."""

    split: str
    line: int  # row of its file, from 1
    item: QAItem


class ShotQAQuestions(NamedTuple):
    """All valid questions, and the numbers of rows read and of open-ended rows."""

    good: list[ShotQAQuestion]
    rows_read: int
    open_ended: int


def read_shotqa(release: ShotQARelease, choices: ShotQAChoices, defects: list[Defect]) -> ShotQAQuestions:
    """Return all valid questions; lost rows and doubtful options are added to `defects`.

    Raises:
        data_pipeline.releases.json_stream.BrokenJson: a file is not JSON, or is truncated.
    """
    reader = _RowCollector(read_origins(release.folder / META), choices.dev_share, defects)
    rows_read = open_ended = 0
    for path in release.question_files(choices.with_open_ended):
        open_ended_here = 0
        for line, row in enumerate(json_entries(path), 1):
            rows_read += 1
            open_ended_here += not reader.take(path.name, line, row)
        if open_ended_here:
            flaw = Flaw(
                DefectKind.OPEN_ENDED, f"{open_ended_here:,} rows have no options and are not included in the shards"
            )
            defects.append(defect_of(flaw, 0, "", path.name, loses_row=False))
        open_ended += open_ended_here
    return ShotQAQuestions(reader.good, rows_read, open_ended)


def about_shotqa(fingerprint: str, choices: ShotQAChoices) -> CardText:
    """Return the dataset card's description of these questions."""
    decoded = "Every still was decoded completely, and the first frame of every clip."
    trusted = "Media were not decoded; only their size and headers were checked."
    return CardText(
        title="ShotQA",
        fingerprint=fingerprint,
        what="Multiple-choice questions about the language of film, for training: shot size, framing, camera angle, "
        "lens, lighting, composition and camera movement. Each row is one question about one still or clip.",
        provenance="The release Vchitect/ShotQA (arXiv 2506.21356), licence CC BY-NC-ND 4.0: no commercial use, "
        "and no distribution of modified versions, such as these shards. The copyright of the films remains with "
        "their owners.",
        how_made=f"`shotbench data import-shotqa`. Media are byte-identical to the release, {STORED_UPRIGHT}. "
        f"{decoded if choices.media == 'check' else trusted} Options have the vocabulary's spelling. `dev` contains "
        f"{choices.dev_share:.1%} of the films with all their questions; all others are in `sft` and `grpo` as "
        f"published. Open-ended questions (`{OPEN_ENDED}`) are not included.",
        licence=LICENCE,
        tags=("film", "cinematography", "shotqa"),
        known_limits="The authors verified the labels of clips, but not those of stills. Films are identified by "
        "their title only, clips by the video they were cut from.",
    )


def is_sampled(name: str, share: float) -> bool:
    """Return whether a film, or a medium without one, of this name falls into the sampled share."""
    digest = hashlib.sha256(f"{DEV_SEED} {name}".encode(errors="replace")).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


class _RowCollector:
    """Collects the valid questions of all files, row by row."""

    def __init__(self, origins: Mapping[str, Origin], dev_share: float, defects: list[Defect]) -> None:
        self.good: list[ShotQAQuestion] = []
        self._origins, self._dev_share, self._defects = origins, dev_share, defects
        self._seen: dict[object, str] = {}  # content of a question -> id of the first item with it

    def take(self, file: str, line: int, row: object) -> bool:
        """Keep a row or add a defect; returns False if it is open-ended."""
        item_id = f"{SOURCE}-{NAME_OF_FILE[file]}-{line - 1:06d}"
        try:
            read = read_row(row, item_id, FIRST_INDEX[file] + line - 1)
        except OpenEnded:
            return False
        except ValueError as error:
            self._add_defect(Flaw(DefectKind.BAD_ROW, str(error)), line, item_id, file, loses_row=True)
            return True
        path = read.item.media_path
        origin = origin_of(path, self._origins)
        item = replace(read.item, film_id=origin.film_id, start_seconds=origin.start_seconds)
        asked = (path, item.media_kind, item.dimension, item.gold, tuple(sorted(item.options)))
        first = self._seen.setdefault(asked, item_id)
        if first != item_id:
            duplicate = Flaw(DefectKind.DUPLICATE_QUESTION, f"same question and medium as {first}")
            self._add_defect(duplicate, line, item_id, path, loses_row=True)
        elif read.ambiguous:
            self._add_defect(read.ambiguous, line, item_id, path, loses_row=True)
        else:
            self.good.append(ShotQAQuestion(self._split(file, item), line, item))
            for warning in (*read.warnings, *disagreements(item, origin.tags)):
                self._add_defect(warning, line, item_id, path, loses_row=False)
        return True

    def _split(self, file: str, item: QAItem) -> str:
        group = film_id_key(item.film_id) if item.film_id else PurePosixPath(item.media_path).name
        return "dev" if is_sampled(group, self._dev_share) else SPLIT_OF_FILE[file]

    def _add_defect(self, flaw: Flaw, line: int, item_id: str, path: str, *, loses_row: bool) -> None:
        self._defects.append(defect_of(flaw, line, item_id, path, loses_row=loses_row))
