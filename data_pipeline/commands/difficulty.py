"""`shotbench data difficulty`: select questions for GRPO that the base model answers correctly only sometimes."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lmms_eval_shotbench.vocabulary import DIMENSIONS

if TYPE_CHECKING:
    from data_pipeline.questions.difficulty import DifficultyReport
    from data_pipeline.questions.sampled_responses import PassRate

BINS = ("none", "to 25 %", "to 50 %", "to 75 %", "more", "all")  # pass rate: share of right responses to an item


def add(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    step = steps.add_parser("difficulty", help="choose questions for GRPO by sampled responses of the base model")
    step.add_argument("shards", metavar="SHARDS", help="shard folder or Hub id to choose from")
    step.add_argument("--split", default="grpo", help="split of SHARDS (default: grpo)")
    step.add_argument(
        "--responses", metavar="RUN", nargs="+", type=Path, required=True,
        help="folders of `shotbench eval`, or .jsonl of index and response",
    )  # fmt: skip
    step.add_argument("--out", metavar="SHARDS2", type=Path, required=True, help="shard folder to write")
    step.add_argument("--min-samples", metavar="N", type=int, default=4, help="responses an item needs (default: 4)")
    step.add_argument("--size", metavar="N", type=int, default=8000, help="items at most (default: 8000)")
    step.add_argument("--uniform-share", metavar="SHARE", type=float, default=0.2, help="from all items (default: 0.2)")
    step.add_argument("--seed", type=int, default=0, help="another seed draws other items (default: 0)")
    step.add_argument("--overwrite", action="store_true", help="replace shards that are at SHARDS2")
    step.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Select, write, and print the pass rates by dimension."""
    from data_pipeline.questions.difficulty import DifficultySettings, write_difficulty

    settings = DifficultySettings(args.min_samples, args.size, args.uniform_share, args.seed)
    done = write_difficulty(args.shards, args.split, args.responses, args.out, settings, overwrite=args.overwrite)
    print("\n".join(histogram(done)))
    state = "was complete already" if done.already_complete else "is written"
    print(f"\n{done.folder} {state}: {len(done.chosen):,} of {len(done.items):,} items")
    for kind, count in done.drops.items():
        print(f"  {kind}: {count:,} left out")
    return 0


def histogram(done: DifficultyReport) -> Iterator[str]:
    """Number of items in each bin of the pass rate, one line per dimension."""
    yield f"{'right responses':20}" + "".join(f"{name:>9}" for name in ("unasked", *BINS, "chosen"))
    for dimension in DIMENSIONS:
        items = [item for item in done.items if item.dimension == dimension.slug]
        if items:
            counts = Counter(bin_of(done.rates[item.source_index]) for item in items)
            chosen = sum(item.item_id in done.chosen for item in items)
            numbers = [*(counts[index] for index in range(-1, len(BINS))), chosen]
            yield f"{dimension.paper_name:20}" + "".join(f"{number:>9,}" for number in numbers)


def bin_of(rate: PassRate) -> int:
    """Index in `BINS`, or -1 if there was no response."""
    if not rate.samples:
        return -1
    if rate.right in (0, rate.samples):
        return 0 if rate.right == 0 else len(BINS) - 1
    return 1 + sum(4 * rate.right > quarter * rate.samples for quarter in (1, 2, 3))
