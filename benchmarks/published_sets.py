"""Import, load, evaluate and compare the sets of `shotbench data import-dataset` at their full numbers of rows.

    python benchmarks/published_sets.py [--share 0.01] [--questions 500] [--only NAME ...] [--work DIR] [--json]

Stand-ins are made (see `stand_in_sets.py`), and for each set, in a process of its own:

- `shotbench data import-dataset`. If rows are broken it must refuse without `--allow-missing`, in a few lines.
- `datasets.load_dataset` on the result: all rows, and some of the media decoded.
- `shotbench data leaks` of ACaM-Bench and CamReasoner against the others, whose shared clips are known.
- `shotbench eval` with the packaged tiny model on at most 500 questions, as many of each dimension.

It fails unless rows in are rows out and rows dropped, the faults of the stand-in are dropped with their reasons, and
all shared clips are found, and no others. Scores are meaningless, so accuracy is near chance. Memory is the kernel's
peak of the process (VmHWM), so this runs on Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from machine import Figures, machine, print_json
from stand_in_sets import Maker, StandIn

from data_pipeline.defects import DefectKind
from data_pipeline.releases.checked_rows import LEFT_OUT
from lmms_eval_shotbench.media.clips import Clip
from lmms_eval_shotbench.media.stills import open_still
from lmms_eval_shotbench.questions.shards import MEDIA_COLUMNS
from lmms_eval_shotbench.vocabulary import MediaKind

SHOTBENCH = str(Path(sys.executable).with_name("shotbench"))
POLL_SECONDS = 0.2
DECODED = 20  # media of each set that are decoded after loading
MOST_LINES = 40  # of a message, whatever the number of rows
LEAKS_OF = {"acam-bench": ("camerabench", "cinetechbench", "types-of-film-shots"), "camreasoner": ("camerabench",)}
failures: list[str] = []


class Cost(NamedTuple):
    """Result of one command."""

    status: int
    output: str
    seconds: float
    cpu_seconds: float
    peak_mb: float

    def __str__(self) -> str:
        return f"{self.seconds:7,.1f} s, {self.cpu_seconds:7,.1f} s of processor, peak {self.peak_mb:6,.0f} MB"


class Loaded(NamedTuple):
    """What `load_dataset` returns of shards."""

    rows: int
    dimensions: Counter[str]
    media: set[str]  # base names


def run(command: Sequence[str], work: Path) -> Cost:
    """Run a command and measure it; its output goes to a file, as to the log of a batch job."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "SHOTBENCH_CACHE": str(work / "cache")}
    log, begin, peak = work / "command.log", time.perf_counter(), 0.0
    with log.open("w") as stream:
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
        peak = max(peak, int(found[1]) * 1024 / 1e6 if found else 0.0)
        time.sleep(POLL_SECONDS)
    process.returncode = os.waitstatus_to_exitcode(ended[1])
    seconds, cpu = time.perf_counter() - begin, ended[2].ru_utime + ended[2].ru_stime
    return Cost(process.returncode, log.read_text(errors="replace"), seconds, cpu, peak)


def require(holds: bool, message: str) -> None:
    """Report what does not hold, and end with status 1 after the last set."""
    if not holds:
        failures.append(message)
        print(f"FAILED: {message}", flush=True)


def import_set(one: StandIn, shards: Path, work: Path) -> dict[str, float]:
    """Import a set, check the account of its rows, and return the figures."""
    media = [part for folder in one.media for part in ("--media", str(folder))]
    command = [SHOTBENCH, "data", "import-dataset", one.source, str(one.folder), "--out", str(shards), *media]
    if any(DefectKind(kind) not in LEFT_OUT for kind in one.planted):
        refused = run(command, work)
        lines = [line for line in refused.output.splitlines() if " import: " not in line]
        require(refused.status == 1 and not shards.exists(), f"{one.name} is not refused, but has broken rows")
        require(len(lines) <= MOST_LINES, f"{one.name}: the refusal has {len(lines)} lines")
        print(f"{one.name:20} refused without --allow-missing in {len(lines)} lines     {refused}", flush=True)
        command.append("--allow-missing")
    report = work / f"{one.name}.jsonl"
    cost = run([*command, "--report", str(report)], work)
    require(cost.status == 0, f"{one.name} is not imported:\n{cost.output[-2000:]}")
    defects = [json.loads(line) for line in report.read_text().splitlines()]
    drops = Counter(defect["kind"] for defect in defects if defect["loses_row"])
    loaded = load(shards, one.split, work)
    total = f"{one.rows:,} rows in, {loaded.rows:,} out and {drops.total():,} dropped"
    require(one.rows == loaded.rows + drops.total(), f"{one.name}: {total} do not add up")
    for kind, count in one.planted.items():
        exact = drops[kind] == count or (DefectKind(kind) in LEFT_OUT and drops[kind] > count)
        require(exact, f"{one.name}: {drops[kind]:,} rows dropped as {kind}, of {count:,} in the stand-in")
    print(f"{one.name:20} {total:56} {cost}")
    print("".join(f"{'':20} {count:9,} {kind}\n" for kind, count in drops.most_common()), end="", flush=True)
    sizes = {"shards_mb": _megabytes(shards), "release_mb": sum(map(_megabytes, {one.folder, *one.media}))}
    print(f"{'':20} {sizes['release_mb']:9,.0f} MB of release, {sizes['shards_mb']:,.0f} MB of shards", flush=True)
    return {"rows_in": one.rows, "rows_out": loaded.rows, "dropped": drops.total(), **_figures(cost), **sizes}


def load(shards: Path, split: str, work: Path) -> Loaded:
    """Load shards with `datasets`, and decode some of their media."""
    import datasets

    datasets.disable_progress_bars()
    columns = {MEDIA_COLUMNS[kind]: kind for kind in MediaKind}
    rows = datasets.load_dataset(str(shards), split=split, cache_dir=str(work / "datasets"))
    features = {name: type(rows.features[name]).__name__ for name in columns}
    require(features == {"image": "Image", "video": "Video"}, f"{shards.name} has the features {features}")
    texts = rows.remove_columns(list(columns))
    # Stored bytes: decoding a Video column would need torchcodec with its FFmpeg.
    stored = rows.cast_column("image", datasets.Image(decode=False)).cast_column("video", datasets.Video(decode=False))
    for number in range(0, len(rows), max(1, len(rows) // DECODED)):
        row = stored[number]
        for name, kind in columns.items():
            if row[name] is not None:
                require(_is_decoded(kind, row[name]["bytes"]), f"{row['item_id']} of {shards.name} is not decoded")
    return Loaded(len(rows), Counter(texts["dimension"]), {Path(path).name for path in texts["media_path"]})


def _is_decoded(kind: MediaKind, encoded: bytes) -> bool:
    if kind is MediaKind.STILL:
        return min(open_still(encoded).size) > 0
    with Clip(encoded) as clip:
        return sum(len(frames) for frames in clip.read([0, clip.frames - 1])) > 0


def check_leaks(name: str, sets: dict[str, StandIn], work: Path) -> dict[str, float]:
    """Search the other sets for the media of one: those of both must be found, and none that only this one has."""
    ours, others = work / "shards" / name, [other for other in LEAKS_OF[name] if other in sets]
    report, names = work / "leaks.json", load(ours, "test", work).media
    against = [str(work / "shards" / other) for other in others]
    command = [SHOTBENCH, "data", "leaks", str(ours), "--against", *against, "--report", str(report), "--workers", "0"]
    cost = run(command, work)
    require(cost.status in (0, 1), f"the leak check of {name} fails:\n{cost.output[-2000:]}")
    for one in json.loads(report.read_text())["compared"]:
        other = sets[Path(one["name"]).name]
        same = names & load(work / "shards" / other.name, "test", work).media
        by_bytes = {Path(leak["media_path"]).name for leak in one["leaked"] if leak["match"] == "same bytes"}
        # Some look like others that show the same drawn file, though their own rows were dropped from the other set.
        alike = {Path(leak["media_path"]).name for leak in one["leaked"]} - by_bytes
        released = {path.name for folder in other.media for path in folder.rglob("*")}
        require(by_bytes == same, f"{name} has {len(same):,} files of {other.name}, found are {len(by_bytes):,}")
        require(alike <= released, f"{name}: {alike - released} are not in {other.name}, but found")
        counts = f"{len(names & released):,} of the release, {len(same):,} of the shards"
        print(f"leaks                {name} has of {other.name}: {counts}; found: {len(by_bytes):,} by bytes and "
              f"{len(alike):,} more by look")  # fmt: skip
    print(f"leaks                {name} against {', '.join(others)}: {cost}", flush=True)
    return _figures(cost)


def evaluate(one: StandIn, questions: int, work: Path) -> dict[str, float]:
    """Evaluate the packaged tiny model on at most so many questions."""
    shards, out = work / "shards" / one.name, work / "results" / one.name
    dimensions = load(shards, one.split, work).dimensions
    model = subprocess.run([SHOTBENCH, "tiny-model"], check=True, capture_output=True, text=True).stdout.strip()
    command = [SHOTBENCH, "eval", "--tasks", "shotbench", "--data", str(shards), "--split", one.split]
    command += ["--limit", str(max(1, questions // len(dimensions))), "--out", str(out)]
    cost = run([*command, "--model", "shotvl", "--model_args", f"pretrained={model},device=cpu"], work)
    require(cost.status == 0, f"{one.name} is not evaluated:\n{cost.output[-2000:]}")
    scores = json.loads((out / "scores.json").read_text())
    accuracy, corrected = scores["accuracy"]["micro"], scores["chance_corrected"]["micro"]["value"]
    chance = (accuracy["value"] - corrected) / (1 - corrected)
    share, low, high, guessed = (
        f"{100 * value:.1f}" for value in (*map(accuracy.get, ("value", "low", "high")), chance)
    )
    result = f"{scores['n']} of {len(dimensions)} dimensions, {share} % right ({low} to {high}), chance {guessed}"
    print(f"{one.name:20} {result:56} {cost}", flush=True)
    return {"questions": scores["n"], "accuracy": accuracy["value"], "chance": chance, **_figures(cost)}


def _figures(cost: Cost) -> dict[str, float]:
    costs = {"seconds": cost.seconds, "cpu_seconds": cost.cpu_seconds, "peak_mb": cost.peak_mb}
    return {name: round(value, 1) for name, value in costs.items()}


def _megabytes(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 1)


def measure(args: argparse.Namespace, work: Path) -> Figures:
    """Measure all sets, one stage after the other."""
    sets, figures = {}, Figures()
    for one in _made(args, work):
        sets[one.name] = one
        figures[f"{one.name}, import"] = import_set(one, work / "shards" / one.name, work)
    for name, others in LEAKS_OF.items():
        if name in sets and sets.keys() & set(others):
            figures[f"{name}, leaks"] = check_leaks(name, sets, work)
    for one in sets.values() if args.questions else ():
        figures[f"{one.name}, evaluation"] = evaluate(one, args.questions, work)
    return figures


def _made(args: argparse.Namespace, work: Path) -> Iterator[StandIn]:
    begin = time.perf_counter()
    made = list(Maker(work / "releases", args.share).all())
    seconds, size = time.perf_counter() - begin, _megabytes(work / "releases")
    print(f"stand-ins of {size:,.0f} MB are made in {seconds:,.0f} s", flush=True)
    yield from (one for one in made if not args.only or one.name in args.only)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--share", type=float, default=1.0, help="share of the rows of each set (default: 1)")
    parser.add_argument("--questions", type=int, default=500, help="to evaluate of each set (default: 500; 0 for none)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="sets (default: all), of which camreasoner-rl is one")
    parser.add_argument("--work", type=Path, help="folder on whose disk to work (default: the system's temporary one)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="published-sets-", dir=args.work) as work:
        print(machine(), flush=True)
        figures = measure(args, Path(work))
    if args.json:
        print_json(figures)
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
