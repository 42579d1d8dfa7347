"""Notes on a table, as defects that drop no row: unread columns, commented rows, a tally of unknown terms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from data_pipeline.annotations.annotation_files import COMMENT, Table
from data_pipeline.annotations.label_cells import UnknownWord
from data_pipeline.defects import Defect, DefectKind
from lmms_eval_shotbench.remote_path import Location

TABLE_NOTES = (DefectKind.UNREAD_COLUMN, DefectKind.COMMENTED_ROW, DefectKind.UNKNOWN_TERM)


def table_notes(parsed: Table, table: Location) -> Iterator[Defect]:
    """The columns that are not read and the comment lines that look like rows."""
    for name in parsed.columns.unread:
        yield _note(DefectKind.UNREAD_COLUMN, parsed.header_line, table, repr(name))
    for line in parsed.commented_rows:
        detail = f"it begins with {COMMENT}; quote its first cell if it is a row"
        yield _note(DefectKind.COMMENTED_ROW, line, table, detail)


def unknown_term_notes(unknown: Iterable[UnknownWord], table: Location) -> Iterator[Defect]:
    """One note for each unknown term of a dimension, the most frequent first, with the terms nearest to it."""
    words = [(word.dimension.slug, word.word.casefold(), ", ".join(word.nearest)) for word in unknown]
    for (slug, word, nearest), count in Counter(words).most_common():
        yield _note(DefectKind.UNKNOWN_TERM, 0, table, f"{word!r} in {slug}: {count:,}; the nearest: {nearest}")


def _note(kind: DefectKind, line: int, table: Location, detail: str) -> Defect:
    return Defect(kind, line, "", table.name, detail, loses_row=False)
