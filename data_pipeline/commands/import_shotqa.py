"""`shotbench data import-shotqa`: convert the ShotQA release to shards for training."""

from __future__ import annotations

import argparse
from pathlib import Path

from data_pipeline.workers import Workers


def add(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    step = steps.add_parser("import-shotqa", help="import the ShotQA release, splits sft, grpo and dev")
    step.add_argument("release", metavar="RELEASE", help="folder with ShotQA's files as published; or a Hub id")
    step.add_argument("--out", metavar="SHARDS", type=Path, required=True, help="shard folder to write")
    step.add_argument("--dev-share", type=float, default=0.02, help="share of the films for dev (default: 0.02)")
    step.add_argument(
        "--media", choices=("check", "trust"), default="check", help="decode all media, or trust them (default: check)"
    )
    step.add_argument("--with-open-ended", action="store_true", help="read sft_v1.1.json for the multiple choice in it")
    step.add_argument("--overwrite", action="store_true", help="replace shards that are at SHARDS")
    Workers.add_arguments(step)
    step.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the import and print where every row went."""
    from data_pipeline.releases.import_shotqa import import_shotqa
    from data_pipeline.releases.shotqa_questions import ShotQAChoices

    choices = ShotQAChoices(args.dev_share, args.media, args.with_open_ended)
    done = import_shotqa(args.release, args.out, choices, workers=Workers.of(args), overwrite=args.overwrite)
    lines = [("rows read", done.rows_read)]
    lines += [(f"rows in {split}", rows) for split, rows in done.rows_written.items()]
    lines += [(f"left out: {reason}", rows) for reason, rows in sorted(done.drops.items())]
    print(f"{done.folder} {'was complete already' if done.already_complete else 'is written'}")
    print("\n".join(f"{name:<40}{rows:>10,}" for name, rows in lines))
    return 0
