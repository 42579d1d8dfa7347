"""`shotbench data chains`: reasoning chains for CoT-SFT from an OpenAI-compatible vision endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from data_pipeline.commands.console import print_error
from data_pipeline.commands.options import OUTPUT, SELECTION, Overwrite
from lmms_eval_shotbench.commands.command import About, one_command

ENDPOINT = "Endpoint"  # panel


def replies_kept(params: Mapping[str, Any]) -> str:
    """What an interrupted command leaves behind."""
    from data_pipeline.questions.chains import default_cache

    cache = params["cache"] or default_cache(params["out"])
    return f"the replies so far are in {cache}, and the same command requests only the others"


app, command = one_command(
    "chains",
    About(
        extra="data",
        kept=replies_kept,
        examples=(
            "shotbench data chains shards/mine --split sft --out shards/cot \\",
            "    --base-url http://localhost:8000/v1 --model Qwen/Qwen2.5-VL-72B-Instruct",
        ),
    ),
)


@command
def chains(
    shards: Annotated[
        str, typer.Argument(metavar="SHARDS", help="Shard folder or Hub id with the questions that get chains")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Shard folder to write, with one split, cot_sft; no other split of SHARDS is copied",
            rich_help_panel=OUTPUT,
        ),
    ],
    base_url: Annotated[
        str,
        typer.Option(
            "--base-url",
            metavar="URL",
            help="Address of the OpenAI-compatible API, such as http://127.0.0.1:8000/v1; its key is read from "
            "$OPENAI_API_KEY",
            rich_help_panel=ENDPOINT,
        ),
    ],
    model: Annotated[
        str,
        typer.Option("--model", metavar="NAME", help="Name of the model at that endpoint", rich_help_panel=ENDPOINT),
    ],
    split: Annotated[
        str, typer.Option("--split", metavar="NAME", help="Split of SHARDS to use", rich_help_panel=SELECTION)
    ] = "sft",
    limit: Annotated[
        int,
        typer.Option(
            "--limit",
            metavar="N",
            help="Maximum number of questions, from the start of the split; 0 for all",
            rich_help_panel=SELECTION,
        ),
    ] = 0,
    concurrency: Annotated[
        int,
        typer.Option(
            "--concurrency", metavar="N", help="Maximum number of requests at the same time", rich_help_panel=ENDPOINT
        ),
    ] = 8,
    requests_per_minute: Annotated[
        float,
        typer.Option(
            "--requests-per-minute",
            metavar="N",
            help="Maximum number of requests per minute; 0 for no limit",
            show_default="0",
            rich_help_panel=ENDPOINT,
        ),
    ] = 0.0,
    max_tokens: Annotated[
        int,
        typer.Option("--max-tokens", metavar="N", help="Maximum number of tokens of a reply", rich_help_panel=ENDPOINT),
    ] = 1024,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            metavar="FILE",
            help="JSON lines file that stores every reply, so that no request is repeated",
            show_default="FOLDER.replies.jsonl, where FOLDER is that of --out",
            rich_help_panel=ENDPOINT,
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> int:
    """Ask a vision model at an endpoint for a reasoning chain to each question, and keep the chains that pass checks.

    `shotbench train rows FOLDER --split cot_sft --for sft --style reasoning` makes training rows of the folder --out.
    """
    from data_pipeline.questions.chain_requests import Endpoint
    from data_pipeline.questions.chains import write_chains

    endpoint = Endpoint(base_url, model, concurrency, requests_per_minute, max_tokens)
    done = write_chains(shards, split, out, endpoint, cache=cache, limit=limit, overwrite=overwrite)
    state = "was complete already" if done.already_complete else "is written"
    print(f"{done.folder} {state}: {done.written:,} of {done.items:,} items have a chain, {done.asked:,} asked for now")
    for kind, count in done.drops.items():
        print(f"  {kind}: {count:,} left out")
    if done.without_reply:
        print_error(f"{done.without_reply:,} items got no reply; the same command with --overwrite requests only these")
    return 1 if done.without_reply else 0
