"""The files of a ShotQA release: their paths and fingerprints, and the film each medium is from.

Owns the file names, the release's fingerprints, and parsing `meta.jsonl`. Question rows are read in
`shotqa_questions.py`, media in `shotqa_archive.py`.

As published (Vchitect/ShotQA): `data.tar.gz` (40 GB, flat), `grpo.json`, `sft.json`, `sft_v1.1.json` (567 MB,
open-ended), `meta.jsonl` with `img_id`, `title` and metadata of the shot. The names of its other columns are not
documented, so film ids and times are looked up under several names. A series counts as one film: its episodes share
sets and faces. Clips are not in `meta.jsonl`; their names begin with the name of the video they were cut from.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from data_pipeline.releases.release_media import ImportRefused
from lmms_eval_shotbench.questions.shards import DatasetNotFound, file_sha256, hub_snapshot

GRPO, SFT, OPEN_ENDED, META = "grpo.json", "sft.json", "sft_v1.1.json", "meta.jsonl"
ARCHIVES = ("data.tar.gz", "data.tar")
FINGERPRINT_VERSION = 3  # increment when an import of the same release would write other rows

# Columns of meta.jsonl, in lower case, letters and digits only; the first non-empty one is used.
NAME_COLUMNS = ("imgid", "videoid", "clipid", "image", "video", "file", "filename")
FILM_COLUMNS = ("imdbid", "imdb", "title", "filmtitle", "movietitle", "film", "movie")
TIME_COLUMNS = ("timestamp", "timecode", "starttime", "start", "time")
_EPISODE = re.compile(r"/season/.*$", re.IGNORECASE)
_CUT_FROM = re.compile(r"(.+?)\.(?:webm|mp4|mkv|mov|avi|flv|m4v)_.+", re.IGNORECASE)
_TIME = re.compile(r"(?:(\d{1,3}):)?([0-5]?\d):([0-5]?\d(?:[.,]\d+)?)|(\d+(?:\.\d+)?)")


class Origin(NamedTuple):
    """Film and time of a medium; empty and None if unknown."""

    film_id: str = ""
    start_seconds: float | None = None


@dataclass(frozen=True)
class ShotQARelease:
    """A release folder."""

    folder: Path
    archive: Path

    def question_files(self, with_open_ended: bool) -> list[Path]:
        """Return the existing question files in order of precedence for duplicate questions."""
        names = (GRPO, SFT, OPEN_ENDED) if with_open_ended else (GRPO, SFT)
        return [self.folder / name for name in names if (self.folder / name).is_file()]

    def archive_fingerprint(self) -> str:
        """Return the archive's name, size and modification time."""
        status = self.archive.stat()
        return f"{self.archive.name} {status.st_size} {status.st_mtime_ns}"

    def fingerprint(self, with_open_ended: bool, *choices: object) -> str:
        """Hash the question files, metadata and archive fingerprint with the choices that change the result."""
        paths = [*self.question_files(with_open_ended), self.folder / META]
        files = [(path.name, file_sha256(path)) for path in paths]
        parts = [FINGERPRINT_VERSION, self.archive_fingerprint(), files, with_open_ended, *choices]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def find_shotqa(name: str) -> ShotQARelease:
    """Find a release folder, or else the Hub dataset of that name; raises `ImportRefused`."""
    folder = Path(name).expanduser()
    folder = folder if folder.exists() else _download_shotqa(name)
    archive = next((folder / name for name in ARCHIVES if (folder / name).is_file()), None)
    if archive is None:
        raise ImportRefused(f"{folder} has no {ARCHIVES[0]}; give the folder that holds ShotQA's files as published")
    if not any((folder / name).is_file() for name in (GRPO, SFT)):
        raise ImportRefused(f"{folder} has neither {SFT} nor {GRPO}, which hold the questions; download one of them")
    if not (folder / META).is_file():
        raise ImportRefused(f"{folder} has no {META}, which lists the film of each still, needed for splits by film")
    return ShotQARelease(folder, archive)


def _download_shotqa(name: str) -> Path:
    try:
        return hub_snapshot(name, ["README.md", *ARCHIVES, GRPO, SFT, OPEN_ENDED, META])
    except DatasetNotFound as error:
        raise ImportRefused(
            f"no release at {name!r}: {error}. Check the name, the network and your access (ShotQA is gated), or "
            "download the release by hand and give its folder"
        ) from None


def read_origins(path: Path) -> dict[str, Origin]:
    """Read `meta.jsonl` as origins by file name; the first row of a name with a film is used.

    Rows that cannot be parsed are skipped; no question is lost because of them.
    """
    origins: dict[str, Origin] = {}
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        for line in lines:
            name, origin = _read_origin(line)
            if name and not origins.get(name, Origin()).film_id:
                origins[name] = origin
    return origins


def origin_of(media_path: str, origins: Mapping[str, Origin]) -> Origin:
    """Return the origin of a medium from `meta.jsonl`, else from the video name that a clip's name begins with."""
    name = PurePosixPath(media_path).name
    known = origins.get(name) or origins.get(PurePosixPath(name).stem)
    if known and known.film_id:
        return known
    cut_from = _CUT_FROM.fullmatch(name)
    return Origin(cut_from[1] if cut_from else "", known.start_seconds if known else None)


def _read_origin(line: str) -> tuple[str, Origin]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return "", Origin()
    if not isinstance(row, dict):
        return "", Origin()
    cells = {_normalised(key): value for key, value in row.items()}
    film = _EPISODE.sub("", " ".join(_first(cells, FILM_COLUMNS).split()))
    return PurePosixPath(_first(cells, NAME_COLUMNS)).name, Origin(film, _seconds(_first(cells, TIME_COLUMNS)))


@lru_cache(maxsize=1024)  # the same few names in every row
def _normalised(name: str) -> str:
    """Normalise a column's name to lower-case letters and digits."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _first(cells: Mapping[str, object], names: tuple[str, ...]) -> str:
    """Return the first non-empty text or number among these cells, or an empty string."""
    found = (str(cells[name]).strip() for name in names if isinstance(cells.get(name), str | int | float))
    return next((text for text in found if text), "")


def _seconds(text: str) -> float | None:
    """Parse seconds or H:MM:SS into seconds; None if it is neither."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    hours, minutes, seconds, plain = match.groups()
    return float(plain) if plain else int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(",", "."))
