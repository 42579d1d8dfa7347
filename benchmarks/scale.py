"""From measured rates to nodes, hours, bytes and cost of a large run of `shotbench data films`.

    python benchmarks/scale.py [--films 10000] [--shots 10000000] [--cores 64] [--nodes 10] [--measure]

The rates are processor time, which depends little on the load of a machine. Those in `Rates` were measured on one core
of an AMD EPYC on 30 November 2026; `--measure` measures most of them again, on a film of half a minute at 720p and on
random hashes. Everything in `Plan` is an assumption, printed with the result. `docs/scale.md` explains the table.
"""

from __future__ import annotations

import argparse
import csv
import random
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from machine import machine

WIDTH, MINUTES = 1280, 0.5
HASHES = 30_000
HASH_BYTES = 200
WRITTEN_ROWS, WRITTEN_BYTES = 1_000, 300_000


@dataclass(frozen=True)
class Rates:
    """Processor seconds of one core and bytes, as measured."""

    cut_shot: float = 3.6  # processor seconds per shot: decoding, cuts, a still and a clip, quality, hashes
    still_bytes: float = 280e3
    clip_bytes: float = 3.7e6  # with grain
    write_gigabyte: float = 3.0  # processor seconds, checksum included
    question: float = 0.45e-3  # processor seconds per question: writing, balancing, audit
    driver_shot: float = 5.7e3  # bytes of the driver's memory per still or clip; not measured by `--measure`
    pairs_per_second: float = 3.5e8  # of hashes, in the search for near-duplicates


@dataclass(frozen=True)
class Plan:
    """A run, and the prices of what it uses."""

    films: int = 10_000
    shots: int = 10_000_000
    nodes: int = 10
    cores: int = 64  # of a node
    questions: float = 4.0  # per shot, of which `clip_questions` are about the clip
    clip_questions: float = 1.0
    film_gigabytes: float = 4.0  # of a film as stored
    reads: float = 2.0  # how often a film is read: its packets for an index, and in the one decode
    efficiency: float = 0.8  # share of the cores' time that is work, since films differ in length
    upload_bytes: float = 300e6  # per second, of the one writer
    core_hour: float = 0.04  # dollars
    gigabyte_month: float = 0.023
    million_puts: float = 5.0
    million_gets: float = 0.4


def table(plan: Plan, rates: Rates) -> list[tuple[str, str]]:
    """The rows of the result: what, and how much."""
    stills = clips = plan.shots
    media = stills * rates.still_bytes + clips * rates.clip_bytes
    still_questions = plan.questions - plan.clip_questions
    shards = plan.shots * (still_questions * rates.still_bytes + plan.clip_questions * rates.clip_bytes)
    cutting = plan.shots * rates.cut_shot / 3600
    cutting_hours = cutting / (plan.nodes * plan.cores * plan.efficiency)
    questions = plan.shots * plan.questions
    writer = max(shards / plan.upload_bytes, shards / 1e9 * rates.write_gigabyte) / 3600
    pairs = (stills**2 + clips**2) / 2
    read = plan.films * plan.film_gigabytes * plan.reads
    gets = read * 1e9 / 8e6 + questions  # blocks of films, and media when they are written
    puts = plan.films * (1 + media / plan.films / 50e6) + shards / 50e6  # parts of 50 MB
    separate = stills + clips
    storage = (media + shards) / 1e9 * plan.gigabyte_month
    return [
        ("cutting, core hours", f"{cutting:,.0f}"),
        (f"cutting, hours on {plan.nodes} nodes of {plan.cores} cores", f"{cutting_hours:,.1f}"),
        ("questions, balance and audit by the driver, hours", f"{questions * rates.question / 3600:,.1f}"),
        ("near-duplicates by the driver, hours", f"{pairs / rates.pairs_per_second / 3600:,.1f}"),
        ("the same in ten batches of films, hours each", f"{pairs / 100 / rates.pairs_per_second / 3600:,.1f}"),
        ("writing and sending shards, hours", f"{writer:,.1f}"),
        ("memory of the driver, GB", f"{plan.shots * 2 * rates.driver_shot / 1e9:,.0f}"),
        ("read from the object store, TB", f"{read / 1e3:,.0f}"),
        ("media in the work folder, TB", f"{media / 1e12:,.1f}"),
        ("shards, a medium with each question, TB", f"{shards / 1e12:,.1f}"),
        ("WebDataset tars, each medium once, TB", f"{media / 1e12:,.1f}"),
        ("objects in the work folder", f"{plan.films:,} (with one for each medium: {separate:,})"),
        ("files of 400 MB in the shards", f"{shards / 400e6:,.0f}"),
        ("cost of cutting, $", f"{cutting / plan.efficiency * plan.core_hour:,.0f}"),
        (
            "cost of requests, $",
            f"{(puts * plan.million_puts + gets * plan.million_gets) / 1e6:,.0f} (with one object for each medium: "
            f"{((puts + separate) * plan.million_puts + gets * plan.million_gets) / 1e6:,.0f})",
        ),
        ("storage of work folder and shards, $ a month", f"{storage:,.0f}"),
    ]


def measure(folder: Path) -> Rates:
    """Measure the rates on this machine."""
    from stand_in_film import SHOTS_A_MINUTE, make_film

    from data_pipeline.films.cut_films import cut_films
    from data_pipeline.films.cut_settings import CutSettings
    from data_pipeline.workers import Workers
    from lmms_eval_shotbench.vocabulary import MediaKind

    (folder / "films").mkdir()
    frames, shots = make_film(folder / "films/film.mp4", WIDTH, MINUTES)
    with (folder / "table.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["film_id", "media", "start", "shot_size", "camera_movement"])
        for second in range(1, int(MINUTES * 60), int(60 / SHOTS_A_MINUTE)):
            rows.writerow(["film", "film.mp4", second, "Medium", "Arc"])
    cut = list[tuple[MediaKind, int]]()

    def cut_all() -> None:
        work = folder / "work"
        for shot in cut_films(folder / "table.csv", folder / "films", work, CutSettings(), Workers(), []):
            cut.append((shot.media_kind, (work / shot.media_path).stat().st_size))

    seconds = processor_seconds(cut_all)
    sizes = {kind: [size for other, size in cut if other is kind] for kind in MediaKind}
    print(f"cut {len(cut)} media of {shots} shots in {frames} frames: {seconds:.1f} s of processor time")
    still, clip = (sum(sizes[kind]) / max(1, len(sizes[kind])) for kind in (MediaKind.STILL, MediaKind.CLIP))
    measured = replace(Rates(), cut_shot=seconds / shots, still_bytes=still, clip_bytes=clip)
    return replace(measured, write_gigabyte=_writing(folder), pairs_per_second=_comparing())


def _writing(folder: Path) -> float:
    """Processor seconds to write a gigabyte of shards."""
    from data_pipeline.shards.dataset_card import CardText
    from data_pipeline.shards.row_writer import PendingRow
    from data_pipeline.shards.write_shards import write_shards
    from lmms_eval_shotbench.qa_item import QAItem
    from lmms_eval_shotbench.vocabulary import SHOT_SIZE, MediaKind

    medium = random.Random(0).randbytes(WRITTEN_BYTES)
    options = tuple(map(str, SHOT_SIZE.terms[:4]))

    def row(number: int) -> PendingRow:
        path = f"{number}.jpg"
        item = QAItem(path, SHOT_SIZE.slug, SHOT_SIZE.question, options, "ABCD"[number % 4], MediaKind.STILL, path)
        return PendingRow.of("test", item, medium)

    rows = [row(number) for number in range(WRITTEN_ROWS)]
    about = CardText("Scale", "scale", "Drawn.", "Nowhere.", "By a benchmark.", "other")
    seconds = processor_seconds(lambda: write_shards(rows, folder / "shards", about, splits=["test"]))
    return seconds / (WRITTEN_ROWS * WRITTEN_BYTES / 1e9)


def _comparing() -> float:
    """Pairs of hashes that are compared in a second of processor time."""
    from data_pipeline.checks.duplicates import near_pairs

    draw = random.Random(0)
    hashes = [draw.randbytes(HASH_BYTES).hex() for _ in range(HASHES)]
    return HASHES**2 / 2 / processor_seconds(lambda: list(near_pairs(hashes)))


def processor_seconds(run: Callable[[], object]) -> float:
    """Processor time of a call, of all threads, in seconds."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, default=Plan.films)
    parser.add_argument("--shots", type=int, default=Plan.shots)
    parser.add_argument("--nodes", type=int, default=Plan.nodes)
    parser.add_argument("--cores", type=int, default=Plan.cores, help="of a node")
    parser.add_argument("--measure", action="store_true", help="measure the rates on this machine")
    given = parser.parse_args()
    rates = Rates()
    if given.measure:
        print(machine())
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            rates = measure(Path(folder))
            print(f"measured in {time.perf_counter() - begin:.0f} s: {rates}")
    plan = Plan(given.films, given.shots, given.nodes, given.cores)
    print(f"\n{plan}\n{rates}\n\n| what | how much |\n|---|---:|")
    for what, how_much in table(plan, rates):
        print(f"| {what} | {how_much} |")


if __name__ == "__main__":
    main()
