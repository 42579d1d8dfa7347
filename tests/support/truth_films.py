"""A folder of films with a table of truth, as `shotbench data studio --raw` writes, but rendered in a moment."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

from PIL import Image

from lmms_eval_shotbench.labelling.truth import TruthRow, truth_table
from tests.support.made_films import MadeFilm, MadeShot

FILM = MadeFilm((MadeShot(36, 1), MadeShot(25, 2), MadeShot(1, 3)), (256, 192), bars=24, rate=Fraction(12))
FILE, STILL_FILE = "film.mp4", "still.png"


def write_truth_films(folder: Path, rows: Iterable[TruthRow], film: MadeFilm = FILM) -> Path:
    """Write a letterboxed film, a still file and the truth of their shots."""
    film.write(folder / "films" / FILE)
    Image.effect_noise((256, 144), 60).convert("RGB").save(folder / "films" / STILL_FILE)
    (folder / "truth.csv").write_text(truth_table(rows), encoding="utf-8")
    return folder
