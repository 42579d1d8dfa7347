"""Files of annotation tools become an annotation table: read, find the films, map to terms, merge into rows.

Owns the order of these steps, and the account of what is lost: every annotation is in a row, is left out by the map, or
has a defect that says why. Readers are in `annotations/tools/`, the map in `annotations/label_map.py`, merging in
`annotations/annotation_rows.py`, films and their frames in `films/named_films.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from data_pipeline.annotations.annotation_rows import (
    AnnotationRow,
    Extent,
    Placed,
    TimeUnit,
    extent_of,
    merge_annotations,
)
from data_pipeline.annotations.annotation_table import plain_stem
from data_pipeline.annotations.label_map import NO_MAP, LabelMap
from data_pipeline.annotations.tools.read_tool_file import read_tool_file
from data_pipeline.annotations.tools.tool_annotation import BadAnnotations, Span, ToolAnnotation
from data_pipeline.annotations.written_table import table_as_csv
from data_pipeline.defects import Defect, DefectKind, Flaw
from data_pipeline.films.film_sources import FilmSource
from data_pipeline.films.named_films import NamedFilms, file_name, frames_of_span
from lmms_eval_shotbench.labelling.shot import FilmShot
from lmms_eval_shotbench.labelling.shot_sheet import time_cells


@dataclass
class ImportedAnnotations:
    """The rows of a table, and the account of the annotations."""

    rows: list[dict[str, str]] = field(default_factory=list)
    annotations: int = 0  # that were read
    used: int = 0  # in rows
    skipped: int = 0  # by the map
    unmapped: list[tuple[ToolAnnotation, str]] = field(default_factory=list)  # and why they name no term
    defects: list[Defect] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def table(self) -> str:
        """The table as CSV."""
        return table_as_csv(self.rows)


@dataclass
class _AnnotatedMedium:
    """A film or still with its annotations; `source` is None if its file is not known."""

    film_id: str
    media: str
    source: FilmSource | None = None
    placed: list[Placed] = field(default_factory=list)


def import_annotations(
    files: Sequence[Path],
    label_map: LabelMap = NO_MAP,
    films: Sequence[FilmSource] | None = None,
    rate: Fraction | None = None,
) -> ImportedAnnotations:
    """Read files of annotation tools as the rows of one table.

    Args:
        files: The files.
        label_map: What names and values mean.
        films: The films that the annotations are of, which give frames and times; None: the table has the times as
            the tools write them.
        rate: Frames per second where a format does not state them; None if not given.

    Raises:
        BadAnnotations: a file cannot be used, needs a frame rate, or there is no annotation at all.
    """
    importing = _FilesRead(label_map, NamedFilms(films) if films is not None else None, rate)
    for path in files:
        importing.read(path)
    done = importing.finished()
    if not done.annotations:
        raise BadAnnotations(f"{', '.join(map(str, files))}: no annotations; export them from the tool again")
    lost = sum(defect.loses_row for defect in done.defects)
    if done.annotations != done.used + done.skipped + lost:
        raise RuntimeError(
            f"{done.annotations:,} annotations were read, {done.used:,} used, {done.skipped:,} skipped and {lost:,} "
            "lost, which does not add up: this is a bug, please report it"
        )
    return done


class _FilesRead:
    """The files read so far."""

    def __init__(self, label_map: LabelMap, films: NamedFilms | None, rate: Fraction | None) -> None:
        self._map, self._films, self._rate = label_map, films, rate
        self._media: dict[str, _AnnotatedMedium] = {}
        self._done = ImportedAnnotations()

    def read(self, path: Path) -> None:
        """Read a file and sort its annotations by medium."""
        films = self._films
        found = read_tool_file(path, self._rate, films.of_timeline if films else lambda _: None)
        self._done.remarks += [f"{path.name}: {remark}" for remark in found.remarks]
        self._done.annotations += len(found.annotations) + len(found.unread)
        for where, reason in found.unread:
            self._lose(path, where, "", DefectKind.UNREAD_ANNOTATION, reason)
        for annotation in found.annotations:
            self._place(path, annotation)

    def finished(self) -> ImportedAnnotations:
        """Merge the annotations of each medium into rows."""
        for medium in self._media.values():
            merged = merge_annotations(medium.placed)
            self._done.used += len(merged.used)
            used = {id(medium.placed[index]) for index in merged.used}
            for one, reason in merged.lost:
                is_lost = id(one) not in used
                used.add(id(one))  # one defect loses it, others are remarks
                self._lose(
                    Path(one.file),
                    one.annotation.where,
                    _said(one.annotation),
                    DefectKind.UNREAD_ANNOTATION,
                    reason,
                    is_lost,
                )
            self._done.rows += self._rows(medium, merged.rows)
        return self._done

    def _place(self, path: Path, annotation: ToolAnnotation) -> None:
        meaning, done = self._map.meaning(annotation), self._done
        if not meaning.labels and not meaning.is_shot:
            if meaning.is_meant:
                done.skipped += 1
                return
            done.unmapped.append((annotation, meaning.reason))
            self._lose(path, annotation.where, _said(annotation), DefectKind.UNKNOWN_LABEL, meaning.reason)
            return
        if not meaning.labels and meaning.reason and not meaning.is_meant:
            done.unmapped.append((annotation, meaning.reason))  # a shot whose value is no label
            self._lose(path, annotation.where, _said(annotation), DefectKind.UNKNOWN_LABEL, meaning.reason, False)
        medium = self._medium(annotation.media)
        if isinstance(medium, str):
            self._lose(path, annotation.where, _said(annotation), DefectKind.MISSING_MEDIUM, medium)
            return
        extent = self._extent(path, annotation.span, medium)
        if isinstance(extent, Flaw):
            self._lose(path, annotation.where, _said(annotation), extent.kind, extent.detail)
            return
        medium.placed.append(Placed(annotation, path.name, meaning, extent))

    def _medium(self, names: Sequence[str]) -> _AnnotatedMedium | str:
        """The medium of an annotation, or why it has none."""
        if self._films is None:
            if not names:
                return "it does not name its film; give --films with that film"
            name = file_name(names[0])
            return self._media.setdefault(name, _AnnotatedMedium(plain_stem(name), name))
        source = self._films.find(names)
        if isinstance(source, str):
            return source
        return self._media.setdefault(source.media, _AnnotatedMedium(source.film_id, source.media, source))

    def _extent(self, path: Path, span: Span | None, medium: _AnnotatedMedium) -> Extent | Flaw:
        """The range of an annotation: in frames, if the film is known."""
        if medium.source is None or self._films is None:
            if span and span.frames and not (span.seconds or self._rate):
                raise BadAnnotations(
                    f"{path} counts frames and does not state the frame rate; give --films FOLDER with the films, "
                    "or --fps"
                )
            return extent_of(span)
        if medium.source.is_still:
            return Flaw(DefectKind.BAD_ROW, "a still has no times") if span else extent_of(None)
        film = self._films.film(medium.source)
        if film is None:
            return Flaw(DefectKind.UNREADABLE_FILM, f"{medium.media} cannot be read")
        if span is None:
            return extent_of(None)
        frames = frames_of_span(span, film, medium.media)
        if isinstance(frames, Flaw):
            return frames
        return Extent(TimeUnit.FRAMES, Fraction(frames[0]), None if frames[1] is None else Fraction(frames[1]))

    def _rows(self, medium: _AnnotatedMedium, rows: Sequence[AnnotationRow]) -> list[dict[str, str]]:
        """The cells of the rows of a medium."""
        ids = [f"{medium.film_id}-{number:04}" for number in range(1, len(rows) + 1)]
        times = self._film_times(medium, dict(zip(ids, rows, strict=True)))
        cells = []
        for shot_id, row in zip(ids, rows, strict=True):
            named = {"film_id": medium.film_id, "media": medium.media, "shot_id": shot_id}
            written = times[shot_id] if times is not None else _times_as_written(row.span, self._rate)
            cells.append(named | written | row.labels)
        return cells

    def _film_times(self, medium: _AnnotatedMedium, rows: dict[str, AnnotationRow]) -> dict[str, dict[str, str]] | None:
        """The times of rows by shot id, in seconds and timecode of their film; None if it is not known."""
        if medium.source is None or self._films is None:
            return None
        film = None if medium.source.is_still else self._films.film(medium.source)
        shots = []
        cells: dict[str, dict[str, str]] = {shot_id: {} for shot_id in rows}
        for shot_id, row in rows.items():
            if film is None or row.extent.clock is TimeUnit.NONE:
                continue
            first, end = int(row.extent.start), row.extent.end
            if end is None:
                cells[shot_id] = {"start": f"{film.time_of(first):.6f}"}
                continue
            seconds = film.time_of(first), film.time_of(int(end))
            shots.append(FilmShot(shot_id, medium.film_id, 0, "", "", first, int(end), *seconds))
        return cells | time_cells(self._films.facts(medium.source), shots)

    def _lose(self, path: Path, where: str, said: str, kind: DefectKind, reason: str, loses_row: bool = True) -> None:
        detail = f"{said}: {reason}" if said else reason
        self._done.defects.append(Defect(kind, 0, where, path.name, detail, loses_row))


def _said(annotation: ToolAnnotation) -> str:
    return f"{annotation.name} {annotation.value!r}" if annotation.value else annotation.name


def _times_as_written(span: Span | None, rate: Fraction | None) -> dict[str, str]:
    """The times of a row whose film is not known."""
    if span is None:
        return {}
    cells: dict[str, str] = {}
    seconds = span.seconds
    if span.frames:
        cells |= {"start_frame": str(span.frames[0]), "end_frame": str(span.frames[1])}
        if seconds is None and rate:
            seconds = span.frames[0] / rate, span.frames[1] / rate
    if span.timecode:
        cells |= {"start_timecode": span.timecode[0], "end_timecode": span.timecode[1]}
    if seconds:
        cells |= {
            name: f"{float(time):.6f}" for name, time in zip(("start", "end"), seconds, strict=True) if time is not None
        }
    return cells
