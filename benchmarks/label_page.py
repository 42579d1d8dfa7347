"""Measure the page of `shotbench label` in headless Chromium: until it is usable, and per key, with 3,000 shots.

    python benchmarks/label_page.py [--shots N] [--repeat N] [--json]

The sheet has random labels in all eight dimensions and drawn media; beyond 300 shots they lie beside the page.

*ready* is the time at which the page is usable, from the start of navigation. *key* is the time from a key to the next
painted frame, the median over moving through shots and dimensions, choosing terms and undoing; *filter* the same for
the order of certainty and a search. "Theirs" is not a measurement but the limit we set ourselves.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, NamedTuple

from machine import Figures, figure, machine, print_figure, print_json
from report import chromium
from stand_in_media import valid_medium

from lmms_eval_shotbench.labelling.label_cell import LabelCell, Status
from lmms_eval_shotbench.labelling.page.write_page import write_page
from lmms_eval_shotbench.labelling.shot import FilmFacts, FilmShot
from lmms_eval_shotbench.labelling.shot_sheet import SheetRow, ShotSheet
from lmms_eval_shotbench.vocabulary import DIMENSIONS, MediaKind

LIMITS = {"ready, ms": 3000.0, "key, ms": 100.0, "filter, ms": 100.0, "size, MB": 25.0}
MEDIA = 50  # different ones
FRAMES = 48  # of a shot, at 24 per second
KEYS = {"ArrowDown": 40, "ArrowRight": 7, "3": 10, "ArrowUp": 10, "u": 5, "n": 10, "PageDown": 10}  # how often each
PRESS = """const [key, done] = arguments;
document.querySelector(".cell[tabindex='0']").focus();
const code = /\\d/.test(key) ? `Digit${key}` : key;
const start = performance.now();
document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, code, bubbles: true, cancelable: true}));
requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));"""
FILTER = """const [name, value, done] = arguments, control = document.querySelector(".sheet-filters").elements[name];
control.value = value;
const start = performance.now();
control.dispatchEvent(new Event("input", {bubbles: true}));
requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));"""


class Round(NamedTuple):
    """Milliseconds of one load of the page."""

    ready: float
    keys: list[float]
    filters: list[float]


def made_sheet(folder: Path, shots: int) -> ShotSheet:
    """Write the media of a sheet to a folder and return the sheet."""
    for kind, suffix in ((MediaKind.STILL, "jpg"), (MediaKind.CLIP, "mp4")):
        for number in range(MEDIA):
            path = folder / f"media/{number}.{suffix}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(valid_medium(kind, number))
    film = FilmFacts("film", "film.mp4", "/films/film.mp4", Fraction(24), FRAMES * shots, 1920, 1080)
    return ShotSheet([film], [made_row(number) for number in range(shots)])


def made_row(number: int) -> SheetRow:
    """A shot with a random label in each dimension."""
    first, chance, medium = FRAMES * number, Random(number), f"media/{number % MEDIA}"
    shot = FilmShot(
        f"film-{number + 1:04d}", "film", number + 1, f"{medium}.jpg", f"{medium}.mp4", first, first + FRAMES,
        first / 24, (first + FRAMES) / 24,
    )  # fmt: skip
    cells = {}
    for dimension in DIMENSIONS:
        labels = [term.name for term in chance.sample(dimension.terms, 4)]
        status, share = chance.choice([Status.LABELLED, Status.LABELLED, Status.UNSURE]), chance.random()
        others = tuple((label, round((1 - share) / 3, 3)) for label in labels[1:])
        cells[dimension.slug] = LabelCell(status, labels[0], share, 1.0, "made", others)
    return SheetRow(shot, cells)


def measure(browser: Any, path: Path) -> Round:
    """Load the page, press all keys and change the order and the search."""
    browser.get("about:blank")
    browser.get(path.as_uri())
    ready = browser.execute_script("return performance.getEntriesByName('labels-ready')[0].startTime")
    keys = [browser.execute_async_script(PRESS, key) for key, times in KEYS.items() for _ in range(times)]
    changes = (("order", "certainty"), ("q", "close"), ("q", ""), ("order", "time"))
    return Round(ready, keys, [browser.execute_async_script(FILTER, *change) for change in changes])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shots", type=int, default=3000, help="number of shots (default: 3,000)")
    parser.add_argument("--repeat", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    args = parser.parse_args(arguments)
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        parser.error("needs chromium and its driver: apt-get install chromium chromium-driver")
    with tempfile.TemporaryDirectory(prefix="label-page-benchmark-") as name, chromium() as browser:
        page = write_page(Path(name), made_sheet(Path(name), args.shots))
        print(f"{machine()}\nChromium {browser.capabilities['browserVersion']}, {args.shots:,} shots")
        rounds = [measure(browser, page) for _ in range(args.repeat)]
        size = page.stat().st_size / 1e6
    ours = {
        "ready, ms": median(one.ready for one in rounds),
        "key, ms": median(time for one in rounds for time in one.keys),
        "filter, ms": median(time for one in rounds for time in one.filters),
        "size, MB": size,
    }
    figures: Figures = {what: figure(value, LIMITS[what]) for what, value in ours.items()}
    for what, values in figures.items():
        print_figure(what, values)
    slow = sorted(time for one in rounds for time in one.keys)[-max(1, len(rounds) * sum(KEYS.values()) // 20)]
    print(f"19 of 20 keys take less than {slow:.0f} ms, the longest filter {max(rounds[-1].filters):.0f} ms")
    if args.json:
        print_json(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
