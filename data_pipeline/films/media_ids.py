"""One file has one film id: the same medium under two ids would be in two splits.

Owns the search for such files in an annotation table, before anything is cut. Files are compared by content, so that
copies, links and other spellings of a path are found: sizes first, then beginnings, and complete files only if both are
equal. Ids that differ only in spelling and films that look alike are in `checks/same_films.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from data_pipeline.annotations.annotation_table import AnnotatedRange
from data_pipeline.annotations.columns import TableRefused
from lmms_eval_shotbench.questions.shards import file_sha256
from lmms_eval_shotbench.remote_path import Location

BEGINNING = 1 << 16  # bytes; enough to distinguish nearly all media of one size
FILES_NAMED = 5

FirstLines = dict[str, int]  # film id -> first line with it


def check_one_id_per_medium(rows: Iterable[AnnotatedRange], films: Location) -> None:
    """Raise `TableRefused` if a file, or another file with the same bytes, is listed under several film ids."""
    lines: dict[str, FirstLines] = {}  # by medium
    for row in rows:
        lines.setdefault(row.media, {}).setdefault(row.film_id, row.line)
    repeated = list(_under_several_ids(lines, films))
    if not repeated:
        return
    named = "; ".join(_described(media, lines) for media in repeated[:FILES_NAMED])
    more = f"; and {len(repeated) - FILES_NAMED:,} more" if len(repeated) > FILES_NAMED else ""
    raise TableRefused(
        f"one file is listed under several film ids: {named}{more}. Splits are made by film: write one film_id for all "
        "rows of a file, or accept the ids with --trust-ids, as for a reel of several films"
    )


def _under_several_ids(lines: Mapping[str, FirstLines], films: Location) -> Iterator[tuple[str, ...]]:
    """Media with equal content whose rows have several film ids."""
    equal: list[tuple[str, ...]] = [tuple(lines)]
    for key in (_size, _beginning, _sha256):
        equal = [part for group in equal for part in _parts(group, films, key) if len(_ids(part, lines)) > 1]
    found = {media for group in equal for media in group}
    yield from equal
    yield from ((media,) for media, ids in lines.items() if len(ids) > 1 and media not in found)


def _parts(media: Sequence[str], films: Location, key: Callable[[Location], object]) -> list[tuple[str, ...]]:
    """The media grouped by a key; those without one, and those that share it with no other, are left out."""
    groups: dict[object, tuple[str, ...]] = {}
    for name in media:
        try:
            found = key(films / name)
        except OSError:  # recorded when the medium is cut
            continue
        if found:
            groups[found] = (*groups.get(found, ()), name)
    return [group for group in groups.values() if len(group) > 1]


def _size(path: Location) -> int:
    return path.stat().st_size


def _beginning(path: Location) -> bytes:
    with path.open("rb") as file:
        return file.read(BEGINNING)


def _sha256(path: Location) -> str:
    return file_sha256(path)


def _ids(media: Iterable[str], lines: Mapping[str, FirstLines]) -> FirstLines:
    """All film ids of some media with their first lines, in the order of the table."""
    found: FirstLines = {}
    for name in media:
        for film_id, line in lines[name].items():
            found[film_id] = min(line, found.get(film_id, line))
    return dict(sorted(found.items(), key=lambda entry: entry[1]))


def _described(media: Sequence[str], lines: Mapping[str, FirstLines]) -> str:
    ids = ", ".join(f"{film_id!r} (line {line})" for film_id, line in _ids(media, lines).items())
    files = media[0] + (f" (the same file as {', '.join(media[1:])})" if media[1:] else "")
    return f"{files} under {ids}"
