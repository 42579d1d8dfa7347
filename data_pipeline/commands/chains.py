"""`shotbench data chains`: reasoning chains for CoT-SFT from an OpenAI-compatible vision endpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

from data_pipeline.commands.console import print_error


def add(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    step = steps.add_parser("chains", help="ask a vision model for reasoning chains (key: $OPENAI_API_KEY)")
    step.add_argument("shards", metavar="SHARDS", help="shard folder or Hub id whose items get chains")
    step.add_argument("--split", default="sft", help="split of SHARDS (default: sft)")
    step.add_argument("--out", metavar="SHARDS2", type=Path, required=True, help="shard folder to write")
    step.add_argument("--base-url", metavar="URL", required=True, help="of the API, as in http://127.0.0.1:8000/v1")
    step.add_argument("--model", metavar="NAME", required=True, help="model name at that endpoint")
    step.add_argument("--concurrency", metavar="N", type=int, default=8, help="requests under way at once (default: 8)")
    step.add_argument("--requests-per-minute", metavar="N", type=float, default=0.0, help="default: no limit")
    step.add_argument("--max-tokens", metavar="N", type=int, default=1024, help="of a reply (default: 1024)")
    step.add_argument("--cache", metavar="FILE", type=Path, help="replies, kept (default: SHARDS2.replies.jsonl)")
    step.add_argument("--limit", metavar="N", type=int, default=0, help="the first N items only (default: all)")
    step.add_argument("--overwrite", action="store_true", help="replace shards that are at SHARDS2")
    step.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Request, write, and print the number of dropped items; returns 1 if items are still without a reply."""
    from data_pipeline.questions.chain_requests import Endpoint
    from data_pipeline.questions.chains import write_chains

    endpoint = Endpoint(args.base_url, args.model, args.concurrency, args.requests_per_minute, args.max_tokens)
    done = write_chains(
        args.shards, args.split, args.out, endpoint, cache=args.cache, limit=args.limit, overwrite=args.overwrite
    )
    state = "was complete already" if done.already_complete else "is written"
    print(f"{done.folder} {state}: {done.written:,} of {done.items:,} items have a chain, {done.asked:,} asked for now")
    for kind, count in done.drops.items():
        print(f"  {kind}: {count:,} left out")
    if done.without_reply:
        print_error(f"{done.without_reply:,} items got no reply; the same command with --overwrite requests only these")
    return 1 if done.without_reply else 0
