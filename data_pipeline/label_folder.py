"""What a folder of labels may hold before a run writes there, and what of an earlier run is removed.

Nothing is replaced or removed that is not of an earlier run. Labels are often written into the folder of a project,
which may have a `media` or `timelines` of its own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from data_pipeline.films.label_media import CUTTING
from data_pipeline.shards.atomic_folder import WriteRefused
from lmms_eval_shotbench.labelling.corrections import stored_corrections
from lmms_eval_shotbench.labelling.exports.captions import CAPTIONS
from lmms_eval_shotbench.labelling.exports.timelines import TIMELINES, remove_timelines
from lmms_eval_shotbench.labelling.page.write_page import PAGE
from lmms_eval_shotbench.labelling.shot import FilmFacts
from lmms_eval_shotbench.labelling.shot_sheet import FACTS, MEDIA, SHOTS, TABLE, BadSheet, read_films
from lmms_eval_shotbench.runs.formatting import first_few

WRITTEN = (FACTS, SHOTS, TABLE, PAGE, CAPTIONS, TIMELINES)  # by every run, in addition to media


def check_label_folder(folder: Path, film_ids: Collection[str], *, overwrite: bool) -> None:
    """Refuse a folder in which labelling these films would replace what must be kept.

    Args:
        overwrite: Whether labels of other films may be replaced; files that are no labels are kept in any case.

    Raises:
        WriteRefused: it is a file, has files that are not of an earlier run, or labels of other films.
        BadCorrections: its corrections cannot be read.
    """
    if folder.exists() and not folder.is_dir():
        raise WriteRefused(f"{folder} is a file; name a folder with --out")
    foreign = [path for film_id in film_ids if _is_foreign(path := folder / MEDIA / film_id)]
    if not _has_labels(folder):
        foreign += [path for name in WRITTEN if (path := folder / name).exists()]
    if foreign:
        names = first_few([path.relative_to(folder).as_posix() for path in foreign], 3)
        raise WriteRefused(
            f"{folder} has {names}, not written by this command; choose another --out, such as a subfolder"
        )
    stored_corrections(folder)  # broken ones are refused before any work
    if not overwrite and (lost := _other_films(folder, film_ids)):
        raise WriteRefused(
            f"{folder} has labels of other films ({first_few(lost, 3)}); name these as well, choose another --out, or "
            "replace their labels with --overwrite"
        )


def labelled_films(folder: Path) -> Sequence[FilmFacts]:
    """The films of the sheet in a folder, in its order; none if it has no complete sheet."""
    try:
        return read_films(folder)
    except BadSheet:
        return []


def remove_other_films(folder: Path, film_ids: Collection[str]) -> None:
    """Remove media and timelines of films that an earlier run labelled and that are not among these."""
    if others := _other_films(folder, film_ids):
        remove_timelines(
            folder, [film.film_id for film in labelled_films(folder)]
        )  # those of the others are written again
    for film_id in others:
        if (folder / MEDIA / film_id / CUTTING).exists():
            shutil.rmtree(folder / MEDIA / film_id)


def _is_foreign(media: Path) -> bool:
    """Whether the folder for the media of a film has other content."""
    return media.exists() and not (media.is_dir() and ((media / CUTTING).exists() or not any(media.iterdir())))


def _has_labels(folder: Path) -> bool:
    """Whether an earlier run, complete or interrupted, wrote to the folder."""
    if any(folder.glob(f"{MEDIA}/*/{CUTTING}")):
        return True
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and {"schema", "films", "run"} <= facts.keys()


def _other_films(folder: Path, film_ids: Collection[str]) -> list[str]:
    """Ids of the labelled films that are not among these, sorted."""
    return sorted({film.film_id for film in labelled_films(folder)} - set(film_ids))
