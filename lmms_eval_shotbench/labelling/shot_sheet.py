"""The shot sheet: every shot of some films with its labels, as files of a folder.

LABELS/labels.json   facts about the films and how they were labelled
LABELS/shots.jsonl   one shot per line: times, media, cells, and every vote
LABELS/shots.csv     the same labels as a table, which `shotbench data films --table` reads
LABELS/media/FILM/   key still and clip of every shot

`labels.json` is written last and marks a complete sheet.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.atomic_file import atomic_path, write_atomic
from lmms_eval_shotbench.labelling.label_cell import LabelCell
from lmms_eval_shotbench.labelling.shot import FilmFacts, FilmShot, frame_rate_drift
from lmms_eval_shotbench.labelling.timecode import HOURS
from lmms_eval_shotbench.labelling.vote import Vote
from lmms_eval_shotbench.vocabulary import slugs

SCHEMA = 1
FACTS, SHOTS, TABLE, MEDIA = "labels.json", "shots.jsonl", "shots.csv", "media"
TIME_COLUMNS = ("start", "end", "start_timecode", "end_timecode")
TABLE_COLUMNS = (
    *("film_id", "media", "shot_id", *TIME_COLUMNS),
    *(f"{slug}{part}" for slug in slugs() for part in ("", "_confidence", "_agreement", "_source", "_status")),
)


class BadSheet(ValueError):
    """A folder has no complete shot sheet; the message says what is missing and what to do."""


@dataclass(frozen=True)
class SheetRow:
    """A shot with its cells by dimension slug; a dimension that was not asked has no cell."""

    shot: FilmShot
    cells: Mapping[str, LabelCell]
    votes: Sequence[Vote] = ()

    def to_row(self) -> dict[str, Any]:
        """The shot as a line of shots.jsonl."""
        cells = {slug: cell.to_row() for slug, cell in self.cells.items()}
        return {"shot": asdict(self.shot), "cells": cells, "votes": [vote.to_row() for vote in self.votes]}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> SheetRow:
        """Parse `to_row`."""
        cells = {slug: LabelCell.from_row(cell) for slug, cell in row["cells"].items()}
        return cls(FilmShot(**row["shot"]), cells, [Vote.from_row(vote) for vote in row["votes"]])


@dataclass(frozen=True)
class ShotSheet:
    """Labelled shots in the order of films and time, the films, and how they were labelled."""

    films: Sequence[FilmFacts]
    shots: Sequence[SheetRow]
    run: Mapping[str, Any] = field(default_factory=dict)  # command, models, versions, settings

    def of_film(self, film_id: str) -> list[SheetRow]:
        """The shots of a film."""
        return [one for one in self.shots if one.shot.film_id == film_id]


def write_sheet(folder: Path, sheet: ShotSheet) -> None:
    """Write the three files of a sheet, each atomically."""
    with atomic_path(folder / SHOTS) as draft, draft.open("w", encoding="utf-8") as lines:
        for one in sheet.shots:
            lines.write(json.dumps(one.to_row()) + "\n")
    write_atomic(folder / TABLE, sheet_table(sheet))
    facts = {"schema": SCHEMA, "films": [film.to_row() for film in sheet.films], "run": sheet.run}
    write_atomic(folder / FACTS, json.dumps(facts, indent=1) + "\n")


def read_sheet(folder: Path, *, votes: bool = True) -> ShotSheet:
    """Read a complete sheet; `votes=False` leaves the votes out, which are most of its bytes.

    Raises:
        BadSheet: there is none, it is of a newer version, or a line is broken.
    """
    films, run = _read_facts(folder)
    try:
        return ShotSheet(films, list(_read_shots(folder / SHOTS, votes)), run)
    except FileNotFoundError:
        raise BadSheet(f"{folder} has no {SHOTS}; label the films again") from None


def read_films(folder: Path) -> list[FilmFacts]:
    """Read the films of a sheet alone; raises `BadSheet` like `read_sheet`."""
    return _read_facts(folder)[0]


def _read_facts(folder: Path) -> tuple[list[FilmFacts], Mapping[str, Any]]:
    """The films, and how they were labelled."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise BadSheet(f"{folder} has no {FACTS}: no films were labelled there, or the run is unfinished") from None
    except ValueError as error:
        raise BadSheet(f"{folder / FACTS} is no JSON: {error}; label the films again") from None
    schema = facts.get("schema") if isinstance(facts, dict) else None
    if schema != SCHEMA:
        raise BadSheet(f"{folder / FACTS} has schema {schema}, expected {SCHEMA}; label the films again")
    try:
        return [FilmFacts.from_row(film) for film in facts["films"]], facts["run"]
    except (KeyError, TypeError, ValueError) as error:
        raise BadSheet(f"{folder / FACTS} is broken: {error!r}; label the films again") from None


def _read_shots(path: Path, votes: bool) -> Iterator[SheetRow]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                yield SheetRow.from_row(row if votes else row | {"votes": []})
            except (ValueError, KeyError, TypeError) as error:
                raise BadSheet(f"{path}, line {number}: {error}; label the films again") from None


def labels_digest(sheet: ShotSheet) -> str:
    """Hash of the rows of shots.csv in any order, which identifies the shots and labels that scores are of."""
    return hashlib.sha256("\n".join(sorted(sheet_table(sheet).splitlines())).encode()).hexdigest()[:16]


def sheet_table(sheet: ShotSheet) -> str:
    """The sheet as CSV, one row per shot, with the columns of `shotbench data films --table`."""
    films = {film.film_id: film for film in sheet.films}
    with_timecode = {film.film_id for film in sheet.films if _has_timecode(film, sheet.of_film(film.film_id))}
    text = io.StringIO()
    writer = csv.DictWriter(text, TABLE_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for one in sheet.shots:
        shot = one.shot
        film = films[shot.film_id]
        row = _table_row(one, film.media)
        if shot.film_id in with_timecode:
            row |= {"start_timecode": film.timecode(shot.first_frame), "end_timecode": film.timecode(shot.end_frame)}
        writer.writerow(row)
    return text.getvalue()


def _has_timecode(film: FilmFacts, rows: Sequence[SheetRow]) -> bool:
    """Whether a timecode is one frame to every reader: at a constant rate, and not also counted from 00:00:00:00."""
    rate = film.frame_rate
    if rate is None or frame_rate_drift([one.shot for one in rows], rate) > 1 / (2 * rate):
        return False
    start = film.timecode_start
    return (start == 0 or start > film.frames) and start + film.frames < HOURS * 3600 * round(rate)


def _table_row(one: SheetRow, media: str) -> dict[str, str]:
    shot = one.shot
    row = {"film_id": shot.film_id, "media": media, "shot_id": shot.shot_id}
    if shot.start_seconds is not None and shot.end_seconds is not None:
        row |= {"start": f"{shot.start_seconds:.6f}", "end": f"{shot.end_seconds:.6f}"}
    for slug, cell in one.cells.items():
        row |= {
            slug: cell.table_label,
            f"{slug}_confidence": "" if cell.confidence is None else f"{cell.confidence:.3f}",
            f"{slug}_agreement": "" if cell.agreement is None else f"{cell.agreement:.3f}",
            f"{slug}_source": cell.source,
            f"{slug}_status": str(cell.status),
        }
    return row
