"""Measure what it costs to cut a long film into shots, in one run beside PyAV alone and PySceneDetect.

    python benchmarks/long_film.py [--minutes 120] [--width 1280] [--table] [--json]

The film is generated (`stand_in_film.py`): 24 frames per second, H.264, 750 shots an hour. Ours are:

- `shots`: cuts and a key still of every shot, as in `shotbench data shots`;
- `label`: the same and a clip of every shot, as in `shotbench label`;
- `films`, with `--table`: stills and clips by a table of these shots, cuts checked, quality measured, as in
  `shotbench data films`.

Theirs is PyAV alone: `decode` decodes the film once, and `encode` also scales and encodes the same clips at the same
settings, to the same pictures. The goals are 60 % of the speed of `decode` without clips, a ratio of 0.6, and 80 % of
`encode` with clips. On a tenth of the film, `label` is compared with `scenedetect detect-adaptive split-video`, which
needs ffmpeg on the PATH or in the package imageio-ffmpeg; it writes clips of the full size, at its own settings, and no
stills.

Every step runs in a process of its own, on the same cores, with one thread for decoding and one for encoding, as films
are cut in parallel; ffmpeg uses as many as it likes. Times are user and system time, which do not depend on what else
runs on the machine; wall time is printed. Memory is the peak of the largest process (ru_maxrss).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from machine import Figures, figure, machine, print_figure, print_json
from stand_in_film import RATE, make_film

CLIP_SIDE = 640  # pixels, of all clips
TICK = Fraction(1, RATE)  # time base of PyAV's clips
SHOTS = "shots.json"  # half-open frame ranges, written by `label`


class Cost(NamedTuple):
    """Processor seconds, wall seconds and peak megabytes of a step, and what it printed."""

    seconds: float
    wall: float
    megabytes: float
    printed: str


def shots(film: Path, clips: bool = False) -> None:
    """Find the cuts and write key stills, and clips if asked for."""
    from data_pipeline.films.cut_settings import CutSettings
    from data_pipeline.films.cut_shots import cut_shots
    from data_pipeline.films.film_sources import FilmSource
    from data_pipeline.films.label_media import LABEL_DEFAULTS
    from data_pipeline.find_shots import SHOT_DEFAULTS

    settings = CutSettings.read(None, {**LABEL_DEFAULTS, "clip_longest_side": CLIP_SIDE} if clips else SHOT_DEFAULTS)
    with tempfile.TemporaryDirectory() as folder:
        cut = cut_shots(FilmSource("film", film.name, film), Path(folder), "media", settings, clips=clips)
        print(len(cut.shots), "shots,", media_in(Path(folder)), *cut.facts.defects)
    film.with_name(SHOTS).write_text(json.dumps([(shot.first_frame, shot.end_frame) for shot in cut.shots]))


def label(film: Path) -> None:
    """Find the cuts and write key stills and clips."""
    shots(film, clips=True)


def films(film: Path) -> None:
    """Cut stills and clips by a table."""
    from data_pipeline.films.cut_films import cut_films
    from data_pipeline.films.cut_settings import CutSettings
    from data_pipeline.workers import Workers
    from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE

    table = film.with_name("table.csv")
    with table.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["film_id", "media", "start_frame", "end_frame", SHOT_SIZE.slug, CAMERA_MOVEMENT.slug])
        move = CAMERA_MOVEMENT.term("Truck right").name
        for first, last in json.loads(film.with_name(SHOTS).read_text()):
            writer.writerow(["film", film.name, first, last, SHOT_SIZE.terms[0].name, move])
    with tempfile.TemporaryDirectory() as folder:
        settings, defects = CutSettings(clip_longest_side=CLIP_SIDE), list[Any]()
        cut = list(cut_films(table, film.parent, Path(folder), settings, Workers(), defects))
        print(len(cut), "stills and clips,", media_in(Path(folder)), *{f"{defect.kind}" for defect in defects})


def media_in(folder: Path) -> str:
    """The size of the files in a folder."""
    return f"{sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / 1e6:,.0f} MB"


def decoded(film: Path) -> Iterator[Any]:
    """All frames, decoded by one thread."""
    import av

    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        yield from container.decode(stream)


def decode(film: Path) -> None:
    """Decode the film once."""
    print(sum(1 for _ in decoded(film)), "frames")


def encode(film: Path) -> None:
    """Decode the film once, and scale and encode the clips of its shots: the same pictures as in ours."""
    import av
    import av.filter

    from data_pipeline.films.cut_settings import CutSettings
    from data_pipeline.films.tone_map import SCALING

    settings = CutSettings()
    options = {"preset": settings.clip_preset, "crf": f"{settings.clip_crf}", "bf": "0", "threads": "1"}
    clip: Any = None
    track: Any = None
    scaler: Any = None
    shown = 0  # number of frames of the clip so far
    firsts = {first for first, _ in json.loads(film.with_name(SHOTS).read_text())}
    with tempfile.TemporaryDirectory() as folder:
        for number, frame in enumerate(decoded(film)):
            width = min(CLIP_SIDE, frame.width)
            height = round(frame.height * width / frame.width / 2) * 2
            if not scaler:
                scaler = av.filter.Graph()
                steps = [scaler.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=TICK)]
                steps += [scaler.add("scale", f"{width}:{height}:flags={SCALING}"), scaler.add("format", "yuv420p")]
                scaler.link_nodes(*steps, scaler.add("buffersink")).configure()
            if number in firsts:
                shown = 0
                if clip:
                    clip.mux(track.encode())
                    clip.close()
                clip = av.open(f"{folder}/{number}.mp4", "w", options={"movflags": "+faststart"})
                track = clip.add_stream("libx264", rate=RATE, options=options)
                track.width, track.height, track.pix_fmt = width, height, "yuv420p"
            scaler.vpush(frame)
            scaled = scaler.vpull()
            scaled.pts, scaled.time_base = shown, TICK
            shown += 1
            clip.mux(track.encode(scaled))
        if clip:
            clip.mux(track.encode())
            clip.close()
        print(len(firsts), "clips,", media_in(Path(folder)))


STEPS: dict[str, Callable[[Path], None]] = {step.__name__: step for step in (shots, label, films, decode, encode)}


def cost_of(command: Sequence[str], name: str) -> Cost:
    """Run a command and print its cost."""
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout.read().strip().replace("\n", "; ")
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}: {printed}")
    wall, seconds = time.monotonic() - started, used.ru_utime + used.ru_stime
    cost = Cost(seconds, wall, used.ru_maxrss * 1024 / 1e6, printed)
    print(
        f"{name:22} {seconds / 60:7.2f} processor min {wall / 60:7.2f} wall min {cost.megabytes:7,.0f} MB   {printed}",
        flush=True,
    )
    return cost


def step_cost(step: str, film: Path) -> Cost:
    """Run a step in a process of its own."""
    return cost_of([sys.executable, __file__, "--step", step, str(film)], step)


def compare_with_scenedetect(film: Path, figures: Figures) -> None:
    """Compare `label` with PySceneDetect's command on a film."""
    from scenedetect.platform import get_ffmpeg_path  # type: ignore[import-untyped]

    if not get_ffmpeg_path():
        print("scenedetect split-video: not measured, there is no ffmpeg; install it, or pip install imageio-ffmpeg")
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "scenedetect", "-q", "-i", str(film), "-o", folder]
        theirs = cost_of([*command, "detect-adaptive", "split-video"], "scenedetect, a tenth")
        print(f"{'':22} {len(list(Path(folder).glob('*.mp4')))} clips, {media_in(Path(folder))}")
    ours = cost_of([sys.executable, __file__, "--step", "label", str(film)], "label, a tenth")
    figures["label_vs_scenedetect"] = figure(ours.seconds, theirs.seconds)
    figures["label_vs_scenedetect_peak_mb"] = figure(ours.megabytes, theirs.megabytes)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=120, help="length of the film (default: 120)")
    parser.add_argument("--width", type=int, default=1280, help="of the film in pixels, 16:9 (default: 1280)")
    parser.add_argument("--table", action="store_true", help="also cut the film by a table (half as long again)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        STEPS[given.step[0]](Path(given.step[1]))
        return 0
    print(machine(), flush=True)
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        frames, count = make_film(film, given.width, given.minutes)
        print(f"film: {frames / RATE / 60:.1f} minutes, {frames:,} frames, {count:,} shots, {media_in(film.parent)}")
        compared = [("shots", "decode"), ("label", "encode"), *([("films", "encode")] if given.table else [])]
        # `label` writes the shots that `encode` and `films` read
        steps = ["decode", "shots", "label", "encode", *(["films"] if given.table else [])]
        costs = {step: step_cost(step, film) for step in steps}
        for ours, theirs in compared:
            figures[f"{ours}_vs_{theirs}"] = figure(costs[ours].seconds, costs[theirs].seconds)
            figures[f"{ours}_vs_{theirs}_peak_mb"] = figure(costs[ours].megabytes, costs[theirs].megabytes)
        film.unlink()
        make_film(film, given.width, given.minutes / 10)
        compare_with_scenedetect(film, figures)
    for name, values in figures.items():
        print_figure(name, values)
    if given.json:
        print_json(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
