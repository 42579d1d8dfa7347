"""Measure the data pipeline: import of a release and cutting of films, in items and MB per second, in one run.

    python benchmarks/pipeline.py [--megabytes 4000] [--warm] [--films 4] [--minutes 1] [--json]

A stand-in for ShotQA is drawn with files of the real size (690 kB per still), without broken media. Then

- `import_vs_copy`: pass-through import (`--media trust`: first bytes and checksums) against copying the archive; both
  sync to disk. The goal is half of the speed of a copy, a ratio of 0.5. The archive is not in the page cache at the
  start, as one of 40 GB never is; with `--warm` it is. The stand-in's gzip has stored blocks, the fastest to read: the
  compression of the real archive is not known to us.
- `import_vs_from_generator`: the same against the usual script, `datasets.Dataset.from_generator(...).to_parquet()`.
- `two_workers_vs_one`: cutting films, which is decoding and encoding, with one Ray worker (theirs) and two. The checked
  import is also reported for both. The start of Ray is not timed.

A figure is a cost in seconds, so a ratio above 1 is in our favour. It takes ten minutes and 15 GB of disk.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from machine import Figures, figure, machine, print_figure, print_json

STILL_BYTES = 690_000  # 40 GB in 58,343 files
STILL_SIZE = (1920, 1080)
CUT_SECONDS = 4.0  # duration of a clip cut out of a film


class Setting(NamedTuple):
    """Sizes, repetitions and working folder of the measurements."""

    work: Path
    items: int
    films: int
    minutes: float
    repeat: int
    warm: bool


def seconds(run: Callable[[], object]) -> float:
    """Wall time of a call in seconds, including the sync to disk."""
    os.sync()
    begin = time.perf_counter()
    run()
    os.sync()
    return time.perf_counter() - begin


def drop_from_page_cache(path: Path) -> None:
    """Drop a file from the page cache."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)  # dirty pages would not be dropped
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


def read_into_page_cache(path: Path) -> None:
    """Read a file into the page cache, as far as memory allows."""
    with path.open("rb", 0) as stream:
        while stream.read(1 << 24):
            pass


def draw_release(setting: Setting) -> Path:
    """Draw a release with valid media, padded to the real file size."""
    from stand_in_media import SMALL_MEDIA
    from stand_in_shotqa import make_shotqa

    settings = SMALL_MEDIA._replace(still_size=STILL_SIZE)
    make_shotqa(setting.work / "release", setting.items, broken_share=0, settings=settings, least_bytes=STILL_BYTES)
    return setting.work / "release"


def copy_archive(release: Path, out: Path) -> None:
    """Copy the archive."""
    shutil.copyfile(release / "data.tar.gz", out)


def import_release(release: Path, out: Path, media: str, workers: int = 0) -> None:
    """Import with this package."""
    from data_pipeline.releases.import_shotqa import import_shotqa
    from data_pipeline.releases.shotqa_questions import ShotQAChoices
    from data_pipeline.workers import Workers

    import_shotqa(str(release), out, ShotQAChoices(media=media), workers=Workers(workers))


def import_from_generator(release: Path, out: Path) -> None:
    """The usual script: rows from a generator, then Parquet, without checks."""
    import json

    import datasets

    rows_by_name: dict[str, list[dict[str, Any]]] = {}
    for name in ("sft.json", "grpo.json"):
        for row in json.loads((release / name).read_text()):
            for path in (row or {}).get("images", []) + (row or {}).get("videos", []):
                rows_by_name.setdefault(Path(path).name, []).append(row)

    def rows() -> Iterator[dict[str, Any]]:
        with tarfile.open(release / "data.tar.gz", "r|gz") as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.name in rows_by_name else None
                encoded = stream.read() if stream else b""
                for row in rows_by_name.get(member.name, []) if stream else []:
                    yield {"messages": row["messages"], "solution": row.get("solution"), "medium": encoded}

    questions: Any = datasets.Dataset.from_generator(rows, cache_dir=str(out.parent / "cache"))
    questions.to_parquet(out)
    shutil.rmtree(out.parent / "cache")


@contextmanager
def ray_with(workers: int) -> Iterator[None]:
    """A local Ray with this number of workers, which have started and imported their libraries."""
    from data_pipeline.workers import Workers, map_units, ray_running

    with ray_running(Workers(workers)):
        list(map_units(_warm_up, range(2 * workers), Workers(workers)))
        yield


def _warm_up(_number: int) -> None:
    import data_pipeline.films.cut_films
    import data_pipeline.releases.import_shotqa  # noqa: F401

    time.sleep(0.5)  # so that every worker gets a task


def draw_films(setting: Setting) -> Path:
    """Create films of moving noise, with a table of clips and stills to cut out of them."""
    import csv

    import av
    import numpy

    from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE

    folder = setting.work / "films"
    folder.mkdir()
    length = setting.minutes * 60
    ground = numpy.random.default_rng(0).integers(0, 255, (90, 160, 3), dtype="uint8").repeat(8, 0).repeat(8, 1)
    with (setting.work / "annotations.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["film_id", "media", "start", "end", CAMERA_MOVEMENT.slug, SHOT_SIZE.slug])
        for number in range(setting.films):
            with av.open(str(folder / f"film-{number}.mp4"), "w") as film:
                track: Any = film.add_stream("libx264", rate=24, options={"preset": "ultrafast", "threads": "2"})
                track.width, track.height, track.pix_fmt = 1280, 720, "yuv420p"
                for step in range(int(length * 24)):
                    picture = numpy.ascontiguousarray(numpy.roll(ground, 5 * step + 97 * number, axis=1))
                    film.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
                film.mux(track.encode())
            for start in range(0, int(length - CUT_SECONDS), 2 * int(CUT_SECONDS)):
                move, size = CAMERA_MOVEMENT.term("Truck right").name, SHOT_SIZE.terms[0].name
                table.writerow([f"film-{number}", f"film-{number}.mp4", start, start + CUT_SECONDS, move, size])
    return folder


def cut(setting: Setting, films: Path, workers: int) -> int:
    """Cut the films with this number of workers; return the number of stills and clips."""
    from data_pipeline.films.cut_films import cut_films
    from data_pipeline.films.cut_settings import CutSettings
    from data_pipeline.workers import Workers

    work, defects = setting.work / f"cut-{workers}", list[Any]()
    shots = cut_films(setting.work / "annotations.csv", films, work, CutSettings(), Workers(workers), defects)
    return len(list(shots))


def measure_import(setting: Setting) -> Figures:
    """Measure the import against a copy and the usual script, and the checked import with one worker and two."""
    release = draw_release(setting)
    archive = release / "data.tar.gz"
    megabytes = archive.stat().st_size / 1e6
    ways: dict[str, Callable[[Path], None]] = {
        "raw copy": lambda out: copy_archive(release, out),
        "pass-through import": lambda out: import_release(release, out, "trust"),
        "from_generator": lambda out: import_from_generator(release, out),
    }
    wall: dict[str, float] = {}
    for _ in range(setting.repeat):  # alternating: the first access to memory is slow on a virtual machine
        for name, way in ways.items():
            out = setting.work / name.replace(" ", "-")
            (read_into_page_cache if setting.warm else drop_from_page_cache)(archive)
            elapsed = seconds(lambda way=way, out=out: way(out))  # type: ignore[misc]
            wall[name] = min(elapsed, wall.get(name, elapsed))
            (shutil.rmtree if out.is_dir() else os.unlink)(out)
    for workers in (1, 2):
        out, name = setting.work / f"checked-{workers}", f"checked import, {workers} of 2 workers"
        with ray_with(workers):
            wall[name] = seconds(lambda out=out, n=workers: import_release(release, out, "check", n))  # type: ignore[misc]
        shutil.rmtree(out)
    for name, elapsed in wall.items():
        print(
            f"{name:34} {elapsed:8.2f} s {setting.items / elapsed:8,.0f} items/s {megabytes / elapsed:8,.0f} MB/s",
            flush=True,
        )
    ours = wall["pass-through import"]
    return {
        "import_vs_copy": figure(ours, wall["raw copy"]),
        "import_vs_from_generator": figure(ours, wall["from_generator"]),
        "checked_import_two_workers_vs_one": figure(*(wall[f"checked import, {n} of 2 workers"] for n in (2, 1))),
    }


def measure_films(setting: Setting) -> Figures:
    """Measure cutting with one worker and with two."""
    films = draw_films(setting)
    megabytes = sum(path.stat().st_size for path in films.iterdir()) / 1e6
    wall = {}
    for workers in (1, 2):
        with ray_with(workers):
            found: list[int] = []
            wall[workers] = seconds(lambda n=workers, found=found: found.append(cut(setting, films, n)))  # type: ignore[misc]
        elapsed, rate = wall[workers], found[0] / wall[workers]
        film_speed = setting.films * setting.minutes * 60 / elapsed
        print(f"own film, {workers} of 2 workers            {elapsed:8.2f} s {rate:8,.1f} items/s "
              f"{megabytes / elapsed:8,.1f} MB/s, {film_speed:,.1f} times real time", flush=True)  # fmt: skip
    return {"two_workers_vs_one": figure(wall[2], wall[1])}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=4000, help="size of the stand-in release (default: 4000)")
    parser.add_argument("--warm", action="store_true", help="the archive is in memory when a clock starts")
    parser.add_argument("--films", type=int, default=4, help="films to cut (default: 4; 0 for none)")
    parser.add_argument("--minutes", type=float, default=1, help="length of a film (default: 1)")
    parser.add_argument(
        "--place", type=Path, help="folder on the disk to measure (default: the system's temporary one)"
    )
    parser.add_argument("--repeat", type=int, default=3, help="of imports without checks; the best counts (default: 3)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="pipeline-benchmark-", dir=args.place) as work:
        print(machine())
        items = max(args.megabytes * 1_000_000 // STILL_BYTES, 40)
        setting = Setting(Path(work), items, args.films, args.minutes, args.repeat, args.warm)
        figures = measure_import(setting) | (measure_films(setting) if setting.films else {})
        for name, values in figures.items():
            print_figure(name, values)
    if args.json:
        print_json(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
