"""Close the loop from labels to a better model: label films, correct a few shots, train on these, label other films.

    python benchmarks/label_loop.py OUT [--films 6] [--test-films 12] [--shots 100] [KEY=VALUE …]

Films of the studio take the place of a team's films, and their known truth that of a person at the page `labels.html`:
of the least certain shots, every dimension of which something is certain is set. All other steps are public commands,
which are printed as they run, so that the same can be done with other films and a person. Films to correct and films to
test are different ones. Arguments KEY=VALUE are passed on to the trainer in place of `TRAINING`.

The table has the accuracy on the test films before and after, and the paired difference with its 95 % interval,
clustered by film (`lmms_eval_shotbench/scoring/paired.py`): of the dimension that a shot was staged for, and of every
dimension of every shot, where the label may have to be "none". A finished step is not run again: the same command goes
on after an interruption.
"""

from __future__ import annotations

import argparse
import csv
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.labelling.corrections import Correction, corrections_csv
from lmms_eval_shotbench.labelling.label_cell import Status
from lmms_eval_shotbench.labelling.scores.match_truth import MatchedShot, match_truth
from lmms_eval_shotbench.labelling.scores.score import ScoredCell, scored_cells
from lmms_eval_shotbench.labelling.shot_sheet import read_sheet
from lmms_eval_shotbench.labelling.truth import TruthStatus, read_truth
from lmms_eval_shotbench.qwen.revision import folder_digest
from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL
from lmms_eval_shotbench.scoring.paired import Difference, Pair, differences
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension

SEED, TEST_SEED = 31, 9  # of the studio
CUTTING = "least_side = 64\n"  # films of the studio are small
QUESTIONS = ("--unbalanced", "--no-gate")  # all that a person has corrected: it is little
TRAINING = ("trainer.total_epochs=3", "optim.lr=3e-5")
Key = tuple[str, str, float | None, str]  # film, file, start, dimension


class Loop:
    """The steps, in a folder that remembers which of them are finished."""

    def __init__(self, out: Path, model: Path, start: str) -> None:
        """`start` describes everything that the first step depends on."""
        self.out, self.model = out, model
        self._file = out / "finished.txt"
        self._finished = self._file.read_text().splitlines() if self._file.exists() else []
        self._number = 0
        out.mkdir(parents=True, exist_ok=True)
        self._step(start, lambda: None)

    def run(self, *words: str | Path) -> None:
        """Run a command of the package."""
        command = list(map(str, words))
        self._step(shlex.join(["shotbench", *command]), lambda: self._shotbench(command))

    def label(self, films: str, out: str, model: Path) -> None:
        """Label a folder of films by the probability of terms."""
        args = f"pretrained={model.absolute()}"
        self.run(
            "label", self.out / films / "films", "--model", "shotvl", "--model_args", args, "--out", self.out / out
        )

    def correct(self, shots: int) -> None:
        """Write corrections.csv, as the page saves it."""
        labels, file = self.out / "labels", self.out / "corrections.csv"
        truth = self.out / "films" / "truth.csv"
        done = f"# {file}: the {shots} least certain shots of {labels}, corrected by {truth}"
        self._step(done, lambda: write_atomic(file, corrections_csv(corrections(labels, truth, shots))))

    def _step(self, name: str, work: Any) -> None:
        finished = self._finished[self._number : self._number + 1]
        if finished and finished != [name]:
            raise SystemExit(f"{self.out} was made by other settings: {finished[0]}; name another folder")
        print(f"{'finished' if finished else '$'} {name}", flush=True)
        if not finished:
            work()
            self._finished.append(name)
            write_atomic(self._file, "".join(f"{line}\n" for line in self._finished))
        self._number += 1

    @staticmethod
    def _shotbench(command: Sequence[str]) -> None:
        status = subprocess.run([sys.executable, "-m", "lmms_eval_shotbench.cli", *command], check=False).returncode
        if status:
            raise SystemExit(f"the command ended with status {status}; the same benchmark goes on with it")


def close_loop(loop: Loop, films: int, test_films: int, shots: int, width: int, training: Sequence[str]) -> None:
    """Run all steps."""
    out = loop.out
    for folder, number, seed in (("films", films, SEED), ("test-films", test_films, TEST_SEED)):
        size = ("--films", str(number), "--seed", str(seed), "--width", str(width))
        loop.run("data", "studio", "--raw", "--out", out / folder, *size)
    loop.label("films", "labels", loop.model)
    loop.correct(shots)
    loop.run("label", "apply", out / "labels", out / "corrections.csv")
    (out / "cutting.toml").write_text(CUTTING)
    chosen = (
        "--only-source",
        "person",
        "--reasoning",
        "--unbalanced",
        "--no-gate",
        "--splits",
        f"sft:{films - 1},dev:1",
    )
    table = ("--table", out / "labels" / "shots.csv", "--config", out / "cutting.toml")
    loop.run("data", "films", out / "films" / "films", *table, *chosen, "--out", out / "shards")
    data = ("--data", out / "shards", "--model", loop.model, "--out", out / "run")
    loop.run("train", "cot-sft", "--recipe", "tiny", *data, *training)
    loop.run("train", "merge", out / "run", "--out", out / "model")
    loop.label("test-films", "before", loop.model)
    loop.label("test-films", "after", out / "model")


def corrections(labels: Path, truth: Path, shots: int) -> Iterator[Correction]:
    """What a person who knows the truth sets in the shots whose least certain cell is the least certain."""
    matched = match_truth(read_sheet(labels, votes=False), read_truth(truth)).shots
    now = datetime.now(UTC)
    for row, known in sorted(matched, key=_certainty)[:shots]:
        shot = row.shot
        for slug in row.cells:
            one = known.truths[slug]
            if one.status is TruthStatus.UNCERTAIN:
                continue
            status = Status.LABELLED if one.label else Status.NONE
            of_shot = (shot.film_id, shot.start_seconds, shot.end_seconds)
            yield Correction(shot.shot_id, slug, one.label, status, now, *of_shot)


def _certainty(one: MatchedShot) -> float:
    return min(cell.confidence or 0.0 for cell in one.row.cells.values())


def cells_of(labels: Path, truth: Path) -> dict[Key, ScoredCell]:
    """Cells of a shot list beside a truth table."""
    matched = match_truth(read_sheet(labels, votes=False), read_truth(truth)).shots
    return {
        (known.film_id, known.media, known.start, dimension.slug): cell
        for dimension in DIMENSIONS
        for row, known in matched
        for cell in scored_cells([MatchedShot(row, known)], dimension)
    }


def report(out: Path) -> Iterator[str]:
    """The lines of the tables."""
    with (out / "corrections.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    named = sum(bool(row["label"]) for row in rows)
    yield f"{len({row['shot_id'] for row in rows})} shots corrected: {named} labels, {len(rows) - named} cells without"
    for title, table in (("the dimension a shot was staged for", "annotations.csv"), ("every dimension", "truth.csv")):
        before, after = (cells_of(out / name, out / "test-films" / table) for name in ("before", "after"))
        if before.keys() != after.keys():
            raise RuntimeError("the films were cut differently the second time")
        pairs = [Pair(key[3], key[0], cell.is_right, after[key].is_right) for key, cell in before.items()]
        found = differences(pairs)
        yield f"\n{title}, {len({pair.medium for pair in pairs})} test films"
        yield f"{'dimension':22}{'cells':>6}{'before %':>10}{'after %':>10}{'difference, 95 % interval':>30}"
        for slug, one in found.by_dimension.items():
            yield _line(_name(slug), one)
        yield _line("Macro", found.macro)
        yield _line("All cells", found.overall)
        none = [key for key, cell in before.items() if cell.is_none]
        if none:
            shares = [100 * sum(cells[key].has_label for key in none) / len(none) for cells in (before, after)]
            yield f"labels where there is none: {shares[0]:.1f} % before, {shares[1]:.1f} % after ({len(none)} cells)"


def _name(slug: str) -> str:
    named: dict[str, Dimension] = {dimension.slug: dimension for dimension in DIMENSIONS}
    return named[slug].paper_name


def _line(name: str, one: Difference) -> str:
    change = f"{100 * one.difference:+.1f} ({100 * one.low:+.1f} to {100 * one.high:+.1f})"
    return f"{name:22}{one.n:6}{100 * one.a:10.1f}{100 * one.b:10.1f}{change:>30}"


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="folder to write")
    add("training", nargs="*", metavar="KEY=VALUE", help=f"for the trainer (default: {' '.join(TRAINING)})")
    add("--films", type=int, default=6, metavar="N", help="number of films to label and correct (default: 6)")
    add("--test-films", type=int, default=12, metavar="N", help="number of films to test (default: 12)")
    add("--shots", type=int, default=100, metavar="N", help="number of shots to correct (default: 100)")
    add("--width", type=int, default=192, metavar="PIXELS", help="width of the films (default: 192)")
    add("--model", type=Path, default=TINY_SHOTVL, metavar="FOLDER", help="start model (default: the packaged one)")
    given = parser.parse_intermixed_args()
    loop = Loop(given.out, given.model, f"# start: model {folder_digest(given.model)[:12]}")
    training = given.training or TRAINING
    close_loop(loop, given.films, given.test_films, given.shots, given.width, training)
    print()
    for line in report(given.out):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
