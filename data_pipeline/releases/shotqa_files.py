"""The files of a ShotQA release: where they are, what identifies them, and which film a medium is from.

Owns the names of the files, the release's fingerprints, and the reading of `meta.jsonl`. What a question row says is
in `shotqa_questions.py`, the media are in `shotqa_archive.py`.

As it is published (Vchitect/ShotQA): `data.tar.gz` (40 GB, flat), `grpo.json`, `sft.json`, `sft_v1.1.json` (567 MB,
open-ended), `meta.jsonl` with `img_id`, `title` and what is known of the shot. The names of its other columns are not
documented, so film numbers and times are looked for under several. A series counts as one film: its episodes share
sets and faces. Clips are not in `meta.jsonl`; their names begin with that of the video they were cut from.
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
FINGERPRINT_VERSION = 1  # raise when an import of the same release would write other rows

# Columns of meta.jsonl, letters and digits only, in lower case; the first one that says something counts.
NAME_COLUMNS = ("imgid", "videoid", "clipid", "image", "video", "file", "filename")
FILM_COLUMNS = ("imdbid", "imdb", "title", "filmtitle", "movietitle", "film", "movie")
TIME_COLUMNS = ("timestamp", "timecode", "starttime", "start", "time")
_EPISODE = re.compile(r"/season/.*$", re.IGNORECASE)
_CUT_FROM = re.compile(r"(.+?)\.(?:webm|mp4|mkv|mov|avi|flv|m4v)_.+", re.IGNORECASE)
_TIME = re.compile(r"(?:(\d{1,3}):)?([0-5]?\d):([0-5]?\d(?:[.,]\d+)?)|(\d+(?:\.\d+)?)")


class Origin(NamedTuple):
    """Where a medium comes from; empty and None where nobody says."""

    film_id: str = ""
    start_seconds: float | None = None


@dataclass(frozen=True)
class ShotQARelease:
    """A release folder."""

    folder: Path
    archive: Path

    def question_files(self, with_open_ended: bool) -> list[Path]:
        """The question files that are there; of questions that stand twice, the earlier file's count."""
        names = (GRPO, SFT, OPEN_ENDED) if with_open_ended else (GRPO, SFT)
        return [self.folder / name for name in names if (self.folder / name).is_file()]

    def archive_fingerprint(self) -> str:
        """Identify the archive without reading it."""
        status = self.archive.stat()
        return f"{self.archive.name} {status.st_size} {status.st_mtime_ns}"

    def fingerprint(self, with_open_ended: bool, *choices: object) -> str:
        """Identify the release, and the choices that change what becomes of it."""
        paths = [*self.question_files(with_open_ended), self.folder / META]
        files = [(path.name, file_sha256(path)) for path in paths]
        seen = [FINGERPRINT_VERSION, self.archive_fingerprint(), files, with_open_ended, *choices]
        return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def find_shotqa(name: str) -> ShotQARelease:
    """Find a release folder or, where there is none of that name, the Hub's dataset; raise `ImportRefused`."""
    folder = Path(name).expanduser()
    folder = folder if folder.exists() else _download(name)
    archive = next((folder / name for name in ARCHIVES if (folder / name).is_file()), None)
    if archive is None:
        raise ImportRefused(f"{folder} has no {ARCHIVES[0]}; give the folder that holds ShotQA's files as published")
    if not any((folder / name).is_file() for name in (GRPO, SFT)):
        raise ImportRefused(f"{folder} has neither {SFT} nor {GRPO}, which hold the questions; download one of them")
    if not (folder / META).is_file():
        raise ImportRefused(f"{folder} has no {META}, which says what film a still is from; splits by film need it")
    return ShotQARelease(folder, archive)


def _download(name: str) -> Path:
    try:
        return hub_snapshot(name, ["README.md", *ARCHIVES, GRPO, SFT, OPEN_ENDED, META])
    except DatasetNotFound as error:
        raise ImportRefused(
            f"no release at {name!r}: {error}. Check the name, the network and your access (ShotQA is gated), or "
            "download the release by hand and give its folder"
        ) from None


def read_origins(path: Path) -> dict[str, Origin]:
    """Read `meta.jsonl`: where each medium is from, by its file name; the first row of a name that tells a film counts.

    A row that cannot be read says nothing of any film; it costs no question.
    """
    origins: dict[str, Origin] = {}
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        for line in lines:
            name, origin = _read_origin(line)
            if name and not origins.get(name, Origin()).film_id:
                origins[name] = origin
    return origins


def origin_of(media_path: str, origins: Mapping[str, Origin]) -> Origin:
    """Where a medium is from: what `meta.jsonl` says, else the video that a clip's name tells it was cut from."""
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
    cells = {_plain(key): value for key, value in row.items()}
    film = _EPISODE.sub("", " ".join(_first(cells, FILM_COLUMNS).split()))
    return PurePosixPath(_first(cells, NAME_COLUMNS)).name, Origin(film, _seconds(_first(cells, TIME_COLUMNS)))


@lru_cache(maxsize=1024)  # the same few names in every row
def _plain(name: str) -> str:
    """A column's name, whatever its spelling."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _first(cells: Mapping[str, object], names: tuple[str, ...]) -> str:
    """The first of these cells that holds a text or number."""
    found = (str(cells[name]).strip() for name in names if isinstance(cells.get(name), str | int | float))
    return next((text for text in found if text), "")


def _seconds(text: str) -> float | None:
    """Seconds, or H:MM:SS, as a number; None where it is neither."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    hours, minutes, seconds, plain = match.groups()
    return float(plain) if plain else int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(",", "."))
