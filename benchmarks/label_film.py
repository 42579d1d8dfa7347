"""Measure what it costs to cut a film into shots for `shotbench label`: processor time and peak memory.

    python benchmarks/label_film.py [--minutes 10] [--widths 320 1920] [--json]

One film is made for each width: 750 shots an hour, 4.8 seconds each, of drifting texture with grain, in H.264 with
B-frames at 24 frames per second. Ten shots are encoded, and their packets repeated to the length asked for, so that a
film of two hours (`--minutes 120`, 1,500 shots) takes no longer to make than one of ten minutes.

Ours is the cutting step: cuts found, a key still and a clip of every shot written, in one decode. Theirs is the lower
bound: decoding the same film once. Both run in a process of their own; times are user and system time per hour of film,
and do not depend on what else runs on the machine as wall time does. Memory is the peak of the process (ru_maxrss).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from machine import Figures, figure, machine, print_figure, print_json

from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.cut_shots import cut_shots
from data_pipeline.films.film_probe import probe_film, read_frames
from data_pipeline.films.film_sources import FilmSource
from data_pipeline.films.label_media import LABEL_DEFAULTS

RATE = 24  # frames per second
SHOT_FRAMES = 115  # 4.8 s
REEL_SHOTS = 10
GRAIN = 3  # standard deviation, of 255
BLOCK = 40  # pixels of the texture at a width of 1,920


class Cost(NamedTuple):
    """Processor seconds and peak megabytes of a process, and what it printed."""

    seconds: float
    megabytes: float
    printed: str


def pictures(width: int, height: int) -> Iterator[np.ndarray]:
    """The frames of ten shots: uint8 [height, width, 3]."""
    draw = np.random.default_rng(1)
    block = max(2, BLOCK * width // 1920)
    grain = draw.normal(0, GRAIN, (height * 2, width * 2, 1)).astype(np.int8).view(np.uint8)
    for _ in range(REEL_SHOTS):
        shape = (height // block + 2, (width + SHOT_FRAMES) // block + 2, 3)
        coarse = np.kron(draw.integers(30, 225, shape, np.uint8), np.ones((block, block, 1), np.uint8))
        for number in range(SHOT_FRAMES):
            top, left = draw.integers(0, height), draw.integers(0, width)
            noise = grain[top : top + height, left : left + width]
            yield coarse[:height, number : number + width] + noise  # negative grain wraps around to a subtraction


def make_film(path: Path, width: int, minutes: float) -> int:
    """Write a film of this length; returns its number of frames."""
    height = width * 9 // 16 // 2 * 2
    reel = path.with_suffix(".reel.mp4")
    with av.open(str(reel), "w") as container:
        track: Any = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "20"})
        track.width, track.height, track.pix_fmt = width, height, "yuv420p"
        for picture in pictures(width, height):
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(track.encode())
    repeats = max(1, round(minutes * 60 * RATE / (REEL_SHOTS * SHOT_FRAMES)))
    with av.open(str(reel)) as source, av.open(str(path), "w") as target:
        copied = target.add_stream_from_template(source.streams.video[0])
        length = round(REEL_SHOTS * SHOT_FRAMES / RATE / source.streams.video[0].time_base)
        for repeat in range(repeats):
            source.seek(0)
            for packet in source.demux(video=0):
                if packet.size and packet.pts is not None and packet.dts is not None:
                    packet.pts, packet.dts = packet.pts + repeat * length, packet.dts + repeat * length
                    packet.stream = copied
                    target.mux(packet)
    reel.unlink()
    return repeats * REEL_SHOTS * SHOT_FRAMES


def decode(film: Path) -> None:
    """Decode a film once."""
    probed = probe_film(film)
    print(sum(1 for _ in read_frames(probed, 0, probed.frames)), "frames")


def cut(film: Path) -> None:
    """Cut a film into shots."""
    with tempfile.TemporaryDirectory() as folder:
        done = cut_shots(
            FilmSource("film", film.name, film), Path(folder), "media", CutSettings.read(None, LABEL_DEFAULTS)
        )
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        print(f"{len(done.shots)} shots, {size / 1e6:,.0f} MB of media", *done.facts.defects)


def cost_of(step: str, film: Path) -> Cost:
    """Run a step in a process of its own."""
    command = [sys.executable, __file__, "--step", step, str(film)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout.read().strip()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6, printed)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10, help="length of each film (default: 10)")
    parser.add_argument("--widths", type=int, nargs="+", default=[320, 1920], help="in pixels (default: 320 1920)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON in the last line")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        {"cut": cut, "decode": decode}[given.step[0]](Path(given.step[1]))
        return 0
    print(machine(), flush=True)
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for width in given.widths:
            film = Path(folder) / f"{width}.mp4"
            hours = make_film(film, width, given.minutes) / RATE / 3600
            ours, theirs = cost_of("cut", film), cost_of("decode", film)
            name = f"{width} pixels, s per hour of film"
            figures[name] = figure(ours.seconds / hours, theirs.seconds / hours)
            print_figure(name, figures[name], f"{film.stat().st_size / 1e6:,.0f} MB: {ours.printed}")
            name = f"{width} pixels, peak MB"
            figures[name] = figure(ours.megabytes, theirs.megabytes)
            print_figure(name, figures[name])
            film.unlink()
    if given.json:
        print_json(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
