"""Measure what it costs to label a film with `shotbench label`: processor time and peak memory.

    python benchmarks/label_film.py [--minutes 10] [--widths 320 1920] [--label] [--json]

One film is made for each width (`stand_in_film.py`): 24 frames per second, 750 shots an hour, no two of them equal. A
film of two hours (`--minutes 120`) has 1,500 shots. The lower bound, theirs, is decoding the same film once.

Ours is the cutting step: cuts found, a key still and a clip of every shot written, in one decode. With `--label`, it is
the whole command with the model of this package, killed (SIGKILL) when half of the votes are stored, and run again: the
processor time of both runs, and the memory of the larger one, beside the limit of 4,000 MB that we set ourselves. What
the first run read until its first vote shows how often it read the film. The benchmark fails unless the shot list has
all shots, each with all dimensions.

Each runs in a process of its own. Times are user and system time, which do not depend on what else runs on the machine
as wall time does. Memory is the peak of the process (ru_maxrss).
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from machine import Figures, figure, machine, print_figure, print_json
from stand_in_film import RATE, make_film

from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.cut_shots import cut_shots
from data_pipeline.films.film_probe import probe_film, read_frames
from data_pipeline.films.film_sources import FilmSource
from data_pipeline.films.label_media import LABEL_DEFAULTS
from lmms_eval_shotbench.labelling.asking.vote_store import STORED
from lmms_eval_shotbench.labelling.shot_sheet import read_sheet
from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL
from lmms_eval_shotbench.vocabulary import DIMENSIONS

MOST_MEGABYTES = 4000.0  # of the labelling of a film of any length
VOTES_A_SHOT = 18  # at least: seven dimensions of a still in two views, one of a clip in four
POLL_SECONDS = 0.2


class Cost(NamedTuple):
    """Processor seconds and peak megabytes of a process, and what it printed."""

    seconds: float
    megabytes: float
    printed: str


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


def label(film: Path, shots: int) -> Cost:
    """Label a film by the command, which is killed when half of the votes are stored, and run again."""
    out = film.with_suffix("")
    started = time.monotonic()
    first, votes_at_kill, read = _run_label(film, out, kill_after=shots * VOTES_A_SHOT // 2)
    second, votes, _ = _run_label(film, out)
    rows = read_sheet(out, votes=False).shots
    if len(rows) != shots or any(len(row.cells) != len(DIMENSIONS) for row in rows):
        raise RuntimeError(f"{film.name} has {shots} shots, and its sheet {len(rows)}")
    seconds, wall = first.seconds + second.seconds, time.monotonic() - started
    printed = (
        f"{seconds / 60:.1f} processor minutes, {wall / 60:.1f} of wall time; killed at {votes_at_kill:,} of {votes:,} "
        f"votes; {read:,.0f} MB read until the first"
    )
    return Cost(seconds, max(first.megabytes, second.megabytes), printed)


def _run_label(film: Path, out: Path, kill_after: int | None = None) -> tuple[Cost, int, float]:
    """Returns the cost, the number of stored votes, and the megabytes that were read until the first of them."""
    command = [sys.executable, "-m", "lmms_eval_shotbench.cli", "label", str(film), "--out", str(out)]
    command += ["--model", "shotvl", "--model_args", f"pretrained={TINY_SHOTVL},device=cpu"]
    read = 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            votes = _stored_votes(out)
            if not votes:
                read = _megabytes_read(process.pid)
            if kill_after is not None and votes >= kill_after:
                process.kill()
                ended = os.wait4(process.pid, 0)
                break
            time.sleep(POLL_SECONDS)
        _, status, used = ended
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != (0 if kill_after is None else -signal.SIGKILL):
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6, ""), _stored_votes(out), read


def _stored_votes(out: Path) -> int:
    stored = out / STORED
    return stored.read_bytes().count(b"\n") if stored.exists() else 0


def _megabytes_read(pid: int) -> float:
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"]) / 1e6


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10, help="length of each film (default: 10)")
    parser.add_argument("--widths", type=int, nargs="+", default=[320, 1920], help="in pixels (default: 320 1920)")
    parser.add_argument("--label", action="store_true", help="measure the whole command, with the tiny model")
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
            frames, shots = make_film(film, width, given.minutes)
            hours, size = frames / RATE / 3600, film.stat().st_size / 1e6
            decoding = cost_of("decode", film)
            ours = label(film, shots) if given.label else cost_of("cut", film)
            most = MOST_MEGABYTES if given.label else decoding.megabytes
            remark = f"{60 * hours:.1f} minutes, {shots:,} shots, {size:,.0f} MB: {ours.printed}"
            name = f"{width} pixels, s per hour of film"
            figures[name] = figure(ours.seconds / hours, decoding.seconds / hours)
            print_figure(name, figures[name], remark)
            name = f"{width} pixels, peak MB"
            figures[name] = figure(ours.megabytes, most)
            print_figure(name, figures[name])
            film.unlink()
    if given.json:
        print_json(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
