"""Corrections: cells of a shot sheet that a person has set, on the page or in a file by hand.

A file of corrections is CSV with the columns `shot_id, dimension, label, status, time` and, as the page writes them,
`film_id, start, end` of the shot: with these, a correction is found again after the film was cut differently. All of a
folder's corrections are in LABELS/corrections.csv; labels of a model never replace them (`apply_corrections.py`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lmms_eval_shotbench.labelling.label_cell import PERSON, LabelCell, Status
from lmms_eval_shotbench.labelling.shot import FilmShot
from lmms_eval_shotbench.labelling.shot_sheet import ShotSheet
from lmms_eval_shotbench.labelling.vote import NO_TERM
from lmms_eval_shotbench.vocabulary import MediaKind, UnknownDimension, UnknownTerm, dimension_named

CORRECTIONS = "corrections.csv"  # in the folder of the labels
REQUIRED = ("shot_id", "dimension", "label", "status", "time")
OF_SHOT = ("film_id", "start", "end")
COLUMNS = (*REQUIRED, *OF_SHOT)
MOST_FAULTS = 10  # listed in a message


class BadCorrections(ValueError):
    """A file of corrections cannot be used; the message lists the lines, what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Correction:
    """A cell as a person has set it, and the shot as that person saw it."""

    shot_id: str
    dimension: str  # slug
    label: str  # in the vocabulary's spelling; empty unless the status is LABELLED
    status: Status
    time: datetime  # of the edit, with a time zone
    film_id: str = ""  # empty: not known
    start: float | None = None  # seconds; None: not known, or a still
    end: float | None = None

    def cell(self, model: LabelCell | None) -> LabelCell:
        """Return the corrected cell; its alternatives are all labels of the model, the model's own first."""
        certain = None if self.status is Status.UNSURE else 1.0
        return LabelCell(self.status, self.label, certain, None, PERSON, _labels_of(model) if model else ())

    def to_row(self) -> dict[str, str]:
        """The correction as a line of the file."""
        seconds = {"start": self.start, "end": self.end}
        times = {name: "" if value is None else f"{value:.6f}" for name, value in seconds.items()}
        row = {"shot_id": self.shot_id, "dimension": self.dimension, "label": self.label, "status": str(self.status)}
        return row | {"time": self.time.isoformat(timespec="milliseconds"), "film_id": self.film_id} | times


def _labels_of(cell: LabelCell) -> tuple[tuple[str, float], ...]:
    """Return the labels of a model with their confidence, its own first."""
    if cell.is_by_person:
        return cell.alternatives
    own = cell.label or (NO_TERM if cell.status is Status.NONE else "")
    return (((own, cell.confidence or 0.0),) if own else ()) + cell.alternatives


def stored_corrections(folder: Path) -> list[Correction]:
    """Return all corrections of a folder of labels; none if nothing was corrected."""
    path = folder / CORRECTIONS
    return read_corrections(path) if path.exists() else []


def read_corrections(path: Path, sheet: ShotSheet | None = None) -> list[Correction]:
    """Read a file of corrections.

    Args:
        sheet: Refuse corrections of shots that it does not have, unless they name their film, and movements of stills.

    Raises:
        BadCorrections: the file is missing or no such table, or cells of it are invalid; up to ten are listed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise BadCorrections(f"{path} does not exist; save it on the page of the labels with the key s") from None
    except OSError as error:
        raise BadCorrections(f"{path} cannot be read: {error.strerror}; name a file of corrections") from None
    except UnicodeDecodeError as error:
        raise BadCorrections(f"{path} is not UTF-8: {error.reason}; save the file as CSV in UTF-8") from None
    table = csv.DictReader(io.StringIO(text, newline=""))
    if missing := [name for name in REQUIRED if name not in (table.fieldnames or ())]:
        raise BadCorrections(
            f"{path}, line 1: no column {', '.join(missing)}; the columns are {', '.join(REQUIRED)}, and possibly "
            f"{', '.join(OF_SHOT)}"
        )
    shots = {row.shot.shot_id: row.shot for row in sheet.shots} if sheet else {}
    found, faults = list[Correction](), list[str]()
    for row in table:
        try:
            one = _parsed(row)
            if sheet:
                _check_shot(one, shots.get(one.shot_id))
            found.append(one)
        except ValueError as error:
            faults.append(f"line {table.line_num}: {error}")
    if faults:
        more = f"; and {len(faults) - MOST_FAULTS:,} more" if len(faults) > MOST_FAULTS else ""
        raise BadCorrections(f"{path}: {'; '.join(faults[:MOST_FAULTS])}{more}. Nothing was applied")
    return found


def _parsed(row: Mapping[str, str | None]) -> Correction:
    if None in row or None in row.values():
        raise ValueError("more or fewer cells than the header has; quote labels that contain commas")
    cells = {name: (row.get(name) or "").strip() for name in COLUMNS}
    status = _status(cells["status"])
    try:
        dimension = dimension_named(cells["dimension"])
        label = dimension.canonical(dimension.parse(cells["label"])) if cells["label"] else None
    except (UnknownDimension, UnknownTerm) as error:
        raise ValueError(str(error)) from None
    if (label is not None) != (status is Status.LABELLED):
        advice = "write a term" if label is None else f"delete the label, or write the status {Status.LABELLED}"
        raise ValueError(f"the status is {status} and the label {cells['label']!r}; {advice}")
    if not cells["shot_id"]:
        raise ValueError("the shot_id is empty; copy it from shots.csv")
    start, end = _seconds("start", cells["start"]), _seconds("end", cells["end"])
    time = _moment(cells["time"])
    return Correction(cells["shot_id"], dimension.slug, str(label or ""), status, time, cells["film_id"], start, end)


def _check_shot(one: Correction, shot: FilmShot | None) -> None:
    """Raise `ValueError` if a shot does not exist, or is a still and the dimension one of clips."""
    if shot is None and not one.film_id:
        raise ValueError(f"there is no shot {one.shot_id!r}; copy the shot_id from shots.csv")
    if shot and shot.start_seconds is None and dimension_named(one.dimension).media_kind is MediaKind.CLIP:
        raise ValueError(f"{one.shot_id} is a still, which has no {one.dimension}; delete the line")


def _status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        raise ValueError(f"{text!r} is no status; write {', '.join(Status)}") from None


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time; write one such as 2026-01-31T18:05:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _seconds(column: str, text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise ValueError(f"{column} is {text!r}, no number of seconds") from None


def corrections_csv(corrections: Iterable[Correction]) -> str:
    """The content of a file of corrections."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(one.to_row() for one in corrections)
    return text.getvalue()


def merge_corrections(*files: Iterable[Correction]) -> list[Correction]:
    """Return the corrections of several files in order of time: of each cell the latest, of equal times the last."""
    latest: dict[tuple[str, str, str, float | None], Correction] = {}
    for one in sorted((one for file in files for one in file), key=lambda one: one.time):  # the order is stable
        latest[one.film_id, one.shot_id, one.dimension, one.start] = one
    return sorted(latest.values(), key=lambda one: one.time)
