"""A folder of films of three shots each, and the table of their labels."""

from __future__ import annotations

import csv
from pathlib import Path

from tests.support.made_films import MadeFilm, MadeShot

LABELS = (("CU", "Pan left"), ("Wide", "Arc"), ("Medium", "Push in"))
SECONDS = 1.25  # of a shot, at 24 frames per second


def write_films(folder: Path, films: int) -> None:
    """Write `films/film-N.mp4` and `table.csv`."""
    with (folder / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["film_id", "media", "start", "end", "shot_size", "camera_movement"])
        for number in range(films):
            shots = tuple(MadeShot(round(24 * SECONDS), 10 * number + shot) for shot in range(len(LABELS)))
            MadeFilm(shots=shots).write(folder / f"films/film-{number}.mp4")
            for shot, labels in enumerate(LABELS):
                table.writerow([f"film {number}", f"film-{number}.mp4", shot * SECONDS, (shot + 1) * SECONDS, *labels])
