"""Measure the import of a release against a plain script, each in its own process.

    python benchmarks/import_release.py [RELEASE] [--full] [--shards DIR] [--json]

"ours" is `import_shotbench`: every row and medium is checked, nothing is unpacked. "theirs" unpacks both tars into a
temporary folder and writes Parquet files with Image and Video columns by `datasets`, without checks. A ratio above 1 is
in our favour. Without RELEASE a stand-in is drawn (see `stand_in_release.py`), small unless --full.
Start-up and imports are part of both times. Memory is the peak of the process (VmHWM), disk the number of bytes passed
to write(2), both as counted by the kernel, so this runs on Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from machine import Figures, figure, machine, print_figure, print_json

from lmms_eval_shotbench.qa_item import COLUMNS
from lmms_eval_shotbench.questions.question_files import read_tsv
from lmms_eval_shotbench.questions.shards import MEDIA_COLUMNS, shard_features

ROOT = Path(__file__).resolve().parents[1]
SMALL = 300  # questions


class Cost(NamedTuple):
    """Costs of one import."""

    seconds: float
    peak_memory_mb: float
    disk_written_mb: float


def import_ours(release: Path, out: Path) -> None:
    """Import with this package."""
    from data_pipeline.releases.import_shotbench import import_shotbench

    import_shotbench(str(release), out)


def import_theirs(release: Path, out: Path) -> None:
    """Unpack everything, then write it again, as the usual script does."""
    import datasets

    with tempfile.TemporaryDirectory(dir=out.parent) as unpacked:
        for name in ("images.tar", "videos.tar"):
            with tarfile.open(release / name) as tar:
                tar.extractall(unpacked, filter="data")
        rows: list[dict[str, Any]] = []
        for item in read_tsv(release / "test.tsv"):
            empty = dict.fromkeys(MEDIA_COLUMNS.values())
            rows.append(item.to_row() | empty | {MEDIA_COLUMNS[item.media_kind]: f"{unpacked}/{item.media_path}"})
        assert set(rows[0]) == {*COLUMNS, *MEDIA_COLUMNS.values()}
        out.mkdir()
        # Cast afterwards: encoding into a Video column would need torchcodec with its FFmpeg.
        questions = datasets.Dataset.from_list(rows).cast(shard_features())
        # As in push_to_hub; otherwise the files would contain the paths of the temporary folder.
        embedded = questions.with_format("arrow").map(datasets.table.embed_table_storage, batched=True)
        embedded.with_format(None).to_parquet(out / "test.parquet")


def measure(way: str, release: Path, out: Path) -> Cost:
    """Run one way in a new process."""
    command = [sys.executable, __file__, str(release), "--way", way, "--shards", str(out)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    begin = time.perf_counter()
    output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds = time.perf_counter() - begin
    return Cost(seconds, *json.loads(output.splitlines()[-1]))


def _run_way(way: str, release: Path, out: Path) -> None:
    (import_ours if way == "ours" else import_theirs)(release, out)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    written = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    print(json.dumps([int(status["VmHWM"].split()[0]) * 1024 / 1e6, int(written["wchar"]) / 1e6]))


def compare(release: Path, shards: Path | None, work: Path) -> Figures:
    """Measure both ways and print them side by side."""
    for path in release.glob("*.tar"):
        path.read_bytes()  # so that the release is in the page cache for both
    ours, theirs = measure("ours", release, shards or work / "ours"), measure("theirs", release, work / "theirs")
    figures = {name: figure(getattr(ours, name), getattr(theirs, name)) for name in Cost._fields}
    for name, values in figures.items():
        print_figure(name, values)
    rows = sum(1 for _ in read_tsv(release / "test.tsv"))
    megabytes = sum(path.stat().st_size for path in release.glob("*.tar")) / 1e6
    for name, cost in (("ours", ours), ("theirs", theirs)):
        print(f"{name:7} {rows / cost.seconds:8,.0f} rows/s {megabytes / cost.seconds:8,.0f} MB/s")
    return figures


def _stand_in(work: Path, full: bool) -> Path:
    from stand_in_release import MediaSettings, make_release, real_questions

    make_release(real_questions(), work / "release", MediaSettings(), None if full else SMALL)
    return work / "release"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("release", type=Path, nargs="?", help="release folder; a stand-in is drawn without it")
    parser.add_argument("--full", action="store_true", help="draw all 3,572 questions")
    parser.add_argument("--shards", type=Path, help="keep our shards there; must not exist")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    parser.add_argument("--way", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.way:
        _run_way(args.way, args.release, args.shards)
        return 0
    if args.shards and args.shards.exists():
        parser.error(f"{args.shards} exists; an import would find it complete and do nothing")
    parent = args.shards.parent if args.shards else None
    with tempfile.TemporaryDirectory(prefix="import-benchmark-", dir=parent) as work:
        print(machine())
        figures = compare(args.release or _stand_in(Path(work), args.full), args.shards, Path(work))
    if args.json:
        print_json(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
