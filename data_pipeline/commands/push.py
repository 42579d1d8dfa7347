"""`shotbench data push`: push a finished shard folder to the Hub, another folder or a URL."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    step = steps.add_parser("push", help="send shards to the Hub, a folder or a URL, checksums verified")
    step.add_argument("shards", metavar="SHARDS", type=Path, help="finished shard folder")
    step.add_argument("target", metavar="TARGET", help="Hub id ORG/NAME, a folder (./NAME), or a URL (s3://…)")
    step.add_argument("--private", action="store_true", help="on the Hub: into a private repository")
    step.add_argument("--revision", metavar="BRANCH", default="", help="on the Hub: to this branch (default: main)")
    step.add_argument("--overwrite", action="store_true", help="replace other shards that are at TARGET")
    step.add_argument(
        "--i-have-the-rights", action="store_true", help="publish although a licence does not allow that by itself"
    )
    step.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Push and print what was sent."""
    from data_pipeline.shards.full_disk import byte_count
    from data_pipeline.shards.push import push

    done = push(
        args.shards,
        args.target,
        private=args.private,
        revision=args.revision,
        overwrite=args.overwrite,
        have_the_rights=args.i_have_the_rights,
    )
    print(
        f"{done.target}: {done.sent_files} files sent ({byte_count(done.sent_bytes)}), {done.skipped_files} were there"
    )
    return 0
