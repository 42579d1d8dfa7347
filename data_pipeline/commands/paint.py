"""`shotbench data paint`: a small synthetic set, with no film and no download."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    step = steps.add_parser("paint", help="paint a small synthetic set: no film, no download")
    step.add_argument("--out", metavar="SHARDS", type=Path, required=True, help="shard folder to write")
    step.add_argument("--per-term", type=int, default=2, help="shots a term (default: 2)")
    step.add_argument("--seed", type=int, default=0, help="another seed paints other shots (default: 0)")
    step.add_argument("--overwrite", action="store_true", help="replace shards that are at SHARDS")
    step.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Paint a set and say how large it is."""
    from data_pipeline.paint_set import paint_set

    questions = paint_set(args.out, per_term=args.per_term, seed=args.seed, overwrite=args.overwrite)
    print(f"{args.out}: {questions} questions on painted shots")
    return 0
