"""Annotation tables for `shotbench data films` from the published labels of MovieShots, MovieNet, AVE and CineScale.

    python docs/examples/film_set_tables.py movieshots v1_full_trailer.json --out movieshots.csv
    python docs/examples/film_set_tables.py movienet v3_full.json --shots SHOTS --films FILMS --out movienet.csv
    python docs/examples/film_set_tables.py ave ave.json --films SCENES --out ave.csv
    python docs/examples/film_set_tables.py cinescale LABELS --films FILMS --out cinescale.csv

Labels are copied by name, as published. What they mean is in the files for `--aliases` beside this script, of which
movieshots.txt is also for MovieNet. Everything labelled is in a row, or is counted with the reason why not.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.vocabulary import CAMERA_ANGLE, CAMERA_MOVEMENT, SHOT_FRAMING, SHOT_SIZE

Row = dict[str, Any]
Media = Mapping[str, str]  # file name by name without ending
STYLES = {SHOT_SIZE.slug: "scale", CAMERA_MOVEMENT.slug: "movement"}  # of MovieShots, by column
AVE = {
    SHOT_SIZE.slug: "shot-size",
    CAMERA_ANGLE.slug: "shot-angle",
    SHOT_FRAMING.slug: "shot-type",
    CAMERA_MOVEMENT.slug: "shot-motion",
}
SCALES = frozenset(["ECU", "CU", "MCU", "MS", "MLS", "LS", "ELS", "FS", "IS"])  # of CineScale
INSERT = {SHOT_FRAMING.slug: SHOT_FRAMING.term("Insert").name}
SHORTEST_RUN = 3  # seconds of one label; the label of the middle one is then that of its neighbours, too
UNLABELLED = "without a label"


class BadLabels(ValueError):
    """The labels are not in the published form."""


def movieshots(labels: Path, lost: Counter[str]) -> Iterator[Row]:
    """Yield a row for each shot of a trailer, IMDB_ID/shot_NNNN.mp4."""
    for film, shot, row in styled_shots(labels, of_films=False, lost=lost):
        yield row | {"media": f"{film}/shot_{shot}.mp4"}


def movienet(labels: Path, shots: Path, media: Media, lost: Counter[str]) -> Iterator[Row]:
    """Yield a row for each shot of a film; shot N is line N of SHOTS/IMDB_ID.txt, counted from 0."""
    ranges: dict[str, list[tuple[int, int]]] = {}
    for film, shot, row in styled_shots(labels, of_films=True, lost=lost):
        if film not in ranges:
            ranges[film] = shot_ranges(shots / f"{film}.txt")
        if int(shot) >= len(ranges[film]):
            lost["not in the shot list of its film"] += 1
            continue
        start, end = ranges[film][int(shot)]
        yield row | {"media": medium(media, film), "start_frame": start, "end_frame": end}


def styled_shots(labels: Path, of_films: bool, lost: Counter[str]) -> Iterator[tuple[str, str, Row]]:
    """Yield film, shot and a row with its labels, from any version of the file; by `label`, as `value` varies."""
    seen: dict[tuple[str, str], Row] = {}
    for path, found in shots_below(read_json(labels)):
        if ("movie" in path) is not of_films:
            lost["of a trailer" if of_films else "of a film"] += 1
            continue
        film, shot = path[-2], path[-1].zfill(4)
        named = {column: named_label(found, name) for column, name in STYLES.items()}
        row = {"film_id": film, "shot_id": f"{film}-{shot}"} | named
        if seen.setdefault((film, shot), row) is not row:
            if seen[film, shot] != row:
                raise BadLabels(f"shot {shot} of {film} is listed with different labels")
            lost["listed again"] += 1
        elif not any(named.values()):
            lost[UNLABELLED] += 1
        else:
            yield film, shot, row


def named_label(found: Mapping[str, Any], name: str) -> str:
    """Return the label of a shot in words; "" if it has none."""
    style = found.get(name, {})
    if not isinstance(style, dict) or not isinstance(style.get("label", ""), str):
        raise BadLabels(f"{name} is {json.dumps(style)}, no object with a label in words")
    return str(style.get("label", ""))


def shots_below(
    node: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield shots with the names above them, film and number last; versions have splits or kinds of media above."""
    for name, child in node.items():
        if not isinstance(child, dict):
            raise BadLabels(f"{'/'.join((*path, name))} is no object of shots, scale or movement")
        if path and (child.keys() & set(STYLES.values()) or (not child and name.isdigit())):
            yield (*path, name), child
        else:
            yield from shots_below(child, (*path, name))


def shot_ranges(file: Path) -> list[tuple[int, int]]:
    """Read first and last frame from each line; a shot lasts to the first frame of the next."""
    if not file.exists():
        return []
    lines = [line.split()[:2] for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not all(len(words) == 2 and "".join(words).isdigit() for words in lines):
        raise BadLabels(f"a line of {file.name} does not begin with two frame numbers")
    return list(pairwise([int(start) for start, _ in lines] + [int(end) for _, end in lines[-1:]]))


def ave(labels: Path, media: Media, lost: Counter[str]) -> Iterator[Row]:
    """Yield a row for each shot of a scene; every value is a list of one, times are seconds of the scene."""
    for scene, shots in read_json(labels).items():
        if not isinstance(shots, dict) or not all(isinstance(values, dict) for values in shots.values()):
            raise BadLabels(f"{scene} is no object of shots with their values")
        for shot, values in shots.items():
            listed = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
            cells = {name: ", ".join(map(str, value)) for name, value in listed.items()}
            found = {column: cells.get(name, "") for column, name in AVE.items()}
            if not any(found.values()):
                lost[UNLABELLED] += 1
                continue
            times = {"start": cells.get("start-time", ""), "end": cells.get("end-time", "")}
            yield {"film_id": scene, "media": medium(media, scene), "shot_id": shot} | times | found


def cinescale(labels: Path, media: Media, lost: Counter[str]) -> Iterator[Row]:
    """Yield a row for the middle second of each run of one label; a file is a film, a line a second of it."""
    files = sorted(labels.glob("*.csv"))
    if not files:
        raise BadLabels("no .csv files in this folder")
    for file in files:
        second = 0
        for scale, run in groupby(scales(file)):
            seconds = len(list(run))
            if seconds < SHORTEST_RUN:
                lost[f"in runs shorter than {SHORTEST_RUN} seconds"] += seconds
            else:
                lost["in a run of which another second is a row"] += seconds - 1
                row = {"film_id": file.stem, "media": medium(media, file.stem), "shot_id": f"{file.stem}-{second:05d}"}
                label = INSERT if scale == "IS" else {SHOT_SIZE.slug: scale}
                yield row | {"still": second + seconds / 2} | label
            second += seconds


def scales(file: Path) -> list[str]:
    """Return the cells of the column of shot scales, whatever its heading is."""
    text = file.read_text(encoding="utf-8-sig")
    lines = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=text.count))
    columns = [[cell.strip() for cell in column] for column in zip(*filter(None, lines), strict=True)]
    for cells in columns:
        if 2 * sum(cell in SCALES for cell in cells) > len(cells):
            return cells if cells[0] in SCALES else cells[1:]
    headings = ", ".join(cells[0] for cells in columns)
    raise BadLabels(f"{file.name} has no column of {', '.join(sorted(SCALES))}, only {headings}")


def medium(media: Media, name: str) -> str:
    """Return the file of this name; `data films` reports those that are missing."""
    return media.get(name, f"{name}.mp4")


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object."""
    found = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise BadLabels("no JSON object")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table, and print how many labelled shots, or seconds, are in rows and why others are in none."""
    parser = argparse.ArgumentParser(description="Make an annotation table for `shotbench data films`.")
    parser.add_argument("set", choices=["movieshots", "movienet", "ave", "cinescale"])
    parser.add_argument("labels", type=Path, help="published file of labels; of CineScale, the folder of its files")
    parser.add_argument("--films", type=Path, help="folder with the films, to find their endings (default: .mp4)")
    parser.add_argument("--shots", type=Path, help="folder with MovieNet's shot lists, IMDB_ID.txt")
    parser.add_argument("--out", type=Path, required=True, help="table to write")
    given = parser.parse_args(arguments)
    if given.set == "movienet" and not given.shots:
        parser.error("movienet needs --shots")
    lost: Counter[str] = Counter()
    media = {path.stem: path.name for path in sorted(given.films.iterdir())} if given.films else {}
    readers = {
        "movieshots": partial(movieshots, given.labels),
        "movienet": partial(movienet, given.labels, given.shots, media),
        "ave": partial(ave, given.labels, media),
        "cinescale": partial(cinescale, given.labels, media),
    }
    try:
        rows = list(readers[given.set](lost))
        if not rows:
            raise BadLabels(f"no row: {', '.join(f'{count} {reason}' for reason, count in lost.items())}")
    except (ValueError, OSError) as error:
        print(f"{given.labels}: {error}", file=sys.stderr)
        return 2
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(given.out, text.getvalue())
    print(f"{len(rows) + lost.total()} labelled: {len(rows)} in rows, {lost.total()} left out")
    for reason, count in lost.most_common():
        print(f"{count:8} {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
