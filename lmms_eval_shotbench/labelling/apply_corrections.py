"""Set the cells that a person has corrected: in a new sheet (`overlay`) or in a folder (`apply_corrections`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.labelling.corrections import (
    CORRECTIONS,
    BadCorrections,
    Correction,
    corrections_csv,
    merge_corrections,
    read_corrections,
    stored_corrections,
)
from lmms_eval_shotbench.labelling.deciding.contradictions import contradictions_of
from lmms_eval_shotbench.labelling.label_cell import LabelCell
from lmms_eval_shotbench.labelling.label_files import write_label_files_again
from lmms_eval_shotbench.labelling.shot import SAME_SHOT, FilmShot, overlap
from lmms_eval_shotbench.labelling.shot_sheet import SheetRow, ShotSheet, read_sheet


class Applied(NamedTuple):
    """What became of the corrections of a folder."""

    read: int  # corrections in the file
    cells: int  # of the sheet that a person has set, by this file or an earlier one
    lost: list[Correction]  # of all files: their shots do not exist; they stay in the folder's corrections.csv


def apply_corrections(folder: Path, file: Path) -> Applied:
    """Merge a file into LABELS/corrections.csv, set the cells, and write the sheet and what is made of it again.

    Of each cell the latest edit counts. The corrections are written first: if the process is killed afterwards, the
    same command completes the work.

    Raises:
        BadSheet: there is no complete sheet in the folder.
        BadCorrections: the file cannot be used; nothing was written.
    """
    sheet = read_sheet(folder)
    read = read_corrections(file, sheet)
    if read and not overlay(sheet, read).applied:
        raise BadCorrections(f"{file}: none of its shots is in {folder}; name the folder that it was saved for")
    overlaid = overlay(sheet, merge_corrections(stored_corrections(folder), read))
    kept = merge_corrections(overlaid.applied, overlaid.lost)
    write_atomic(folder / CORRECTIONS, corrections_csv(kept))
    write_label_files_again(folder, overlaid.sheet)
    return Applied(len(read), len(kept) - len(overlaid.lost), overlaid.lost)


class Overlaid(NamedTuple):
    """A sheet with the corrections in it."""

    sheet: ShotSheet
    applied: list[Correction]  # as found: with the id and the range of the shot in this sheet
    lost: list[Correction]  # whose shot does not exist; they stay in the file


def overlay(sheet: ShotSheet, corrections: Iterable[Correction]) -> Overlaid:
    """Set the corrected cells of a sheet; if two corrections are for the same cell, the later one wins.

    A correction belongs to the shot of the same film whose range overlaps the corrected one by at least half
    (intersection over union), wherever the film is cut now; without a range, to the shot with its id. Contradictions
    are found again in the shots with corrections.
    """
    shots = _ShotFinder([row.shot for row in sheet.shots])
    cells: dict[str, dict[str, LabelCell]] = {row.shot.shot_id: dict(row.cells) for row in sheet.shots}
    applied, lost = list[Correction](), list[Correction]()
    for one in sorted(corrections, key=lambda one: one.time):
        if (shot := shots.find(one)) is None:
            lost.append(one)
            continue
        of_shot = cells[shot.shot_id]
        of_shot[one.dimension] = one.cell(of_shot.get(one.dimension))
        applied.append(anchored(one, shot))
    corrected = {one.shot_id for one in applied}
    rows = [
        SheetRow(row.shot, _flagged(cells[row.shot.shot_id]), row.votes) if row.shot.shot_id in corrected else row
        for row in sheet.shots
    ]
    return Overlaid(replace(sheet, shots=rows), applied, lost)


def lost_text(one: Correction) -> str:
    """Return what a lost correction says, and which shot it was about."""
    times = "" if one.start is None or one.end is None else f" from {one.start:.2f} to {one.end:.2f} s"
    said = one.label or str(one.status)
    return f"{one.shot_id}{times} of {one.film_id or 'an unknown film'}: {one.dimension} {said}; no shot is there now"


def _flagged(cells: Mapping[str, LabelCell]) -> dict[str, LabelCell]:
    """Return the cells of a shot, each with what it contradicts."""
    found = contradictions_of(cells)
    return {slug: replace(cell, contradictions=found.get(slug, ())) for slug, cell in cells.items()}


def anchored(one: Correction, shot: FilmShot) -> Correction:
    """Return the correction with the id, film and range of this shot."""
    return replace(one, shot_id=shot.shot_id, film_id=shot.film_id, start=shot.start_seconds, end=shot.end_seconds)


class _ShotFinder:
    """Finds the shot that a correction is about."""

    def __init__(self, shots: Iterable[FilmShot]) -> None:
        self._by_id: dict[str, FilmShot] = {}
        self._of_film: dict[str, list[FilmShot]] = {}
        for shot in shots:
            self._by_id[shot.shot_id] = shot
            self._of_film.setdefault(shot.film_id, []).append(shot)

    def find(self, one: Correction) -> FilmShot | None:
        same = self._by_id.get(one.shot_id)
        if same and one.film_id not in ("", same.film_id):
            same = None
        if one.film_id and one.start is not None and one.end is not None:
            corrected = (one.start, one.end)
            if same and same.times and overlap(same.times, corrected) > SAME_SHOT:  # no other shot overlaps as much
                return same
            shots = self._of_film.get(one.film_id, ())
            pairs = [(overlap(shot.times, corrected), shot) for shot in shots if shot.times]
            share, nearest = max(pairs, key=lambda pair: pair[0], default=(0.0, None))
            return nearest if share >= SAME_SHOT else None
        return same
