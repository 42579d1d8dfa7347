"""Measure how well each detector of `shotbench data films` finds the cuts of studio films whose cuts are known.

    python benchmarks/cut_detectors.py [--shots 31] [--width 160] [--detectors adaptive …] [--json]

One film is rendered for each kind, with a transition between every two shots:

  hard cut      one frame to the next
  fade          8 frames to black, 4 black frames, 8 frames from black
  dissolve      12 frames in which one shot becomes the next
  flash         hard cuts, and in every shot 1 to 5 frames that are white or overexposed, which are no cuts
  whip pan      hard cuts, and in every shot a pan of 120 degrees in 6 blurred frames, which is no cut
  near-black    hard cuts between shots at a seventh of their light, with noise, and a second of noisy black at the end

Shots are the studio's camera movements. A cut is found if a detected one is at most `TOLERANCE` frames outside the
transition; every other detected cut, a second one in the same transition included, is false. All settings are the
defaults. `adaptive, unfiltered` is PySceneDetect's result, without the filter of flashes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
from machine import machine, print_json

from data_pipeline.films.cut_settings import DETECTOR_SETTINGS, CutSettings
from data_pipeline.films.detect_shots import ShotDetector
from data_pipeline.films.film_probe import probe_film, read_frames
from data_pipeline.studio.clips import FRAME_RATE
from data_pipeline.studio.encoding import Picture, encode_clip
from data_pipeline.studio.films import PlannedShot, staged_clip
from data_pipeline.studio.moves import TERMS
from data_pipeline.studio.render import render

SEED = 21
TOLERANCE = 1  # frames before and after a transition
FADE, BLACK, DISSOLVE = 8, 4, 12  # frames
WHIP, WHIP_DEGREES, SUB_FRAMES = 6, 120.0, 4
DARK, NOISE = 1 / 7, 2  # factor of light; maximum noise, of 255
UNFILTERED = "adaptive, unfiltered"
Shot = list[Picture]


class Film(NamedTuple):
    """Frames of a film, and the frames first to last - 1 of which one begins the next shot, per transition."""

    frames: list[Picture]
    transitions: list[tuple[int, int]]


class Accuracy(NamedTuple):
    """Share of detected cuts that are cuts, and share of cuts that are detected."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def studio_shots(count: int, width: int) -> tuple[list[Shot], list[Shot]]:
    """Render shots of as many films, and the same scenes with a whip pan."""
    terms = sorted(TERMS)
    plain, whipped = [], []
    for film in range(count):
        plan = PlannedShot(SEED, film, "camera_movement", terms[film % len(terms)], 0, width)
        clip = staged_clip(plan)
        plain.append([clip_frame.rgb for clip_frame in clip.filmed(plan.size)])
        whipped.append(list(_whip_pan(plan)))
    return plain, whipped


def _whip_pan(plan: PlannedShot) -> Iterator[Picture]:
    """Two thirds of a second at rest, the pan, and as long at rest again."""
    stage, camera = staged_clip(plan).at(0)
    rest = 2 * FRAME_RATE // 3
    first, last = (render(stage, replace(camera, yaw=camera.yaw + turn), plan.size).rgb for turn in (0, WHIP_DEGREES))
    yield from [first] * rest
    for frame in range(WHIP):
        turns = (WHIP_DEGREES * (frame + (part + 0.5) / SUB_FRAMES) / WHIP for part in range(SUB_FRAMES))
        blurred = [render(stage, replace(camera, yaw=camera.yaw + turn), plan.size).rgb for turn in turns]
        yield np.mean(blurred, axis=0).astype(np.uint8)
    yield from [last] * rest


def hard_cuts(shots: Sequence[Shot]) -> Film:
    """The shots in sequence."""
    starts = np.cumsum([len(shot) for shot in shots])[:-1].tolist()
    return Film([picture for shot in shots for picture in shot], [(start, start + 1) for start in starts])


def fades(shots: Sequence[Shot]) -> Film:
    """Fades through black between the shots, which are shown in full before and after."""
    frames, transitions = list(shots[0]), []
    for one, other in pairwise(shots):
        begin = len(frames)
        frames += [_lit(one[-1], 1 - (step + 1) / FADE) for step in range(FADE)]
        frames += [np.zeros_like(one[-1])] * BLACK
        frames += [_lit(other[0], step / FADE) for step in range(FADE)]
        transitions.append((begin, len(frames)))
        frames += other
    return Film(frames, transitions)


def dissolves(shots: Sequence[Shot]) -> Film:
    """Dissolves: the last frames of a shot with the first ones of the next."""
    frames, transitions = list(shots[0]), []
    for other in shots[1:]:
        shares = [(step + 1) / (DISSOLVE + 1) for step in range(DISSOLVE)]
        mixed = [
            ((1 - share) * old + share * new).astype(np.uint8)
            for share, old, new in zip(shares, frames[-DISSOLVE:], other, strict=False)
        ]
        frames[-DISSOLVE:] = mixed
        transitions.append((len(frames) - DISSOLVE, len(frames)))
        frames += other[DISSOLVE:]
    return Film(frames, transitions)


def flashes(shots: Sequence[Shot]) -> Film:
    """Hard cuts, and a flash in the middle of every shot."""
    draw, flashed = Random(SEED), []
    for shot in shots:
        first, frames, white = len(shot) // 2, draw.randint(1, 5), draw.random() < 0.5
        lit = [np.full_like(picture, 255) if white else _lit(picture, 4.0) for picture in shot[first : first + frames]]
        flashed.append([*shot[:first], *lit, *shot[first + frames :]])
    return hard_cuts(flashed)


def near_black(shots: Sequence[Shot]) -> Film:
    """Hard cuts between dark shots, and black at the end."""
    draw = np.random.default_rng(SEED)

    def noisy(picture: Picture) -> Picture:
        noise = draw.integers(0, NOISE, picture.shape, endpoint=True)
        return (_lit(picture, DARK) + noise).astype(np.uint8)

    film = hard_cuts([[noisy(picture) for picture in shot] for shot in shots])
    black = [noisy(np.zeros_like(film.frames[0])) for _ in range(FRAME_RATE)]
    end = len(film.frames)
    return Film([*film.frames, *black], [*film.transitions, (end, end + 1)])


def _lit(picture: Picture, factor: float) -> Picture:
    return np.clip(picture * factor, 0, 255).astype(np.uint8)


def studio_films(count: int, width: int) -> dict[str, Film]:
    """The film of every kind."""
    shots, whipped = studio_shots(count, width)
    make: dict[str, Callable[[Sequence[Shot]], Film]] = {
        "hard cut": hard_cuts,
        "fade": fades,
        "dissolve": dissolves,
        "flash": flashes,
        "near-black": near_black,
    }
    return {kind: made(shots) for kind, made in make.items()} | {"whip pan": hard_cuts(whipped)}


def detected_cuts(path: Path, settings: CutSettings) -> list[int]:
    """Frame numbers of the cuts of a film."""
    film = probe_film(path)
    detector = ShotDetector(film, settings)
    for number, frame in read_frames(film, 0, film.frames):
        detector.process_frame(number, frame)
    return detector.finish().cuts


def accuracy(found: Sequence[int], transitions: Sequence[tuple[int, int]]) -> Accuracy:
    """Compare detected cuts with the known ones."""
    hits = sum(any(first - TOLERANCE <= cut < last + TOLERANCE for cut in found) for first, last in transitions)
    return Accuracy(hits / len(found) if found else 0.0, hits / len(transitions))


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shots", type=int, default=31, help="shots per film (default: 31)")
    parser.add_argument("--width", type=int, default=160, help="width of the films in pixels (default: 160)")
    parser.add_argument("--detectors", nargs="*", choices=list(DETECTOR_SETTINGS), default=list(DETECTOR_SETTINGS))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    print(machine(), flush=True)
    settings = {name: CutSettings(detector=name) for name in arguments.detectors}
    if "adaptive" in settings:
        settings[UNFILTERED] = CutSettings(flash_frames=0)
    results: dict[str, dict[str, float]] = {}
    print(f"F1 (precision / recall), tolerance {TOLERANCE} frame\n")
    print(f"| kind | cuts | {' | '.join(settings)} |\n|---|---|{'---|' * len(settings)}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        for kind, film in studio_films(arguments.shots, arguments.width).items():
            path.write_bytes(encode_clip(film.frames, FRAME_RATE))
            measured = {name: accuracy(detected_cuts(path, one), film.transitions) for name, one in settings.items()}
            cells = (f"{one.f1:.2f} ({one.precision:.2f} / {one.recall:.2f})" for one in measured.values())
            print(f"| {kind} | {len(film.transitions)} | {' | '.join(cells)} |", flush=True)
            results[kind] = {name: round(one.f1, 4) for name, one in measured.items()}
    if arguments.json:
        print_json(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
