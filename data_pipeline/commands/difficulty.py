"""`shotbench data difficulty`: select questions for GRPO that the base model answers correctly only sometimes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data_pipeline.commands.options import OUTPUT, SELECTION, Overwrite
from lmms_eval_shotbench.commands.command import About, one_command
from lmms_eval_shotbench.vocabulary import DIMENSIONS

if TYPE_CHECKING:
    from data_pipeline.questions.difficulty import DifficultyReport
    from data_pipeline.questions.sampled_responses import PassRate

BINS = ("none", "to 25 %", "to 50 %", "to 75 %", "more", "all")  # pass rate: share of right responses to an item


app, command = one_command(
    "difficulty",
    About(
        extra="data",
        several=("--responses",),
        examples=(
            "for seed in 1 2 3 4; do",
            "  shotbench eval --data shards/mine --split grpo --out runs/$seed \\",
            "    --tasks shotbench_reasoning --model shotvl --model_args pretrained=ID \\",
            "    --gen_kwargs temperature=1.0,seed=$seed; done",
            "shotbench data difficulty shards/mine --out shards/grpo \\",
            "    --responses runs/1 runs/2 runs/3 runs/4",
        ),
    ),
)


@command
def difficulty(
    shards: Annotated[str, typer.Argument(metavar="SHARDS", help="Shard folder or Hub id to select questions from")],
    responses: Annotated[
        list[Path],
        typer.Option(
            "--responses",
            metavar="RUN …",
            help="Sampled responses of the base model: folders written by `shotbench eval` (see the example), or "
            ".jsonl files with the fields index and response; one or more",
            rich_help_panel=SELECTION,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Shard folder to write, with one split, grpo; no other split of SHARDS is copied",
            rich_help_panel=OUTPUT,
        ),
    ],
    split: Annotated[
        str, typer.Option("--split", metavar="NAME", help="Split of SHARDS to use", rich_help_panel=SELECTION)
    ] = "grpo",
    min_samples: Annotated[
        int,
        typer.Option(
            "--min-samples",
            metavar="N",
            help="Minimum number of responses to a question; questions with fewer are dropped",
            rich_help_panel=SELECTION,
        ),
    ] = 4,
    size: Annotated[
        int,
        typer.Option("--size", metavar="N", help="Maximum number of questions to select", rich_help_panel=SELECTION),
    ] = 8000,
    uniform_share: Annotated[
        float,
        typer.Option(
            "--uniform-share",
            metavar="SHARE",
            help="Share of the selected questions, from 0 to 1, that is drawn from questions of any difficulty, with "
            "the same number from every dimension; the others are of medium difficulty",
            rich_help_panel=SELECTION,
        ),
    ] = 0.2,
    seed: Annotated[
        int,
        typer.Option("--seed", metavar="N", help="Seed of the random draw of questions", rich_help_panel=SELECTION),
    ] = 0,
    overwrite: Overwrite = False,
) -> int:
    """Select questions of medium difficulty for GRPO: those that the base model answers correctly only sometimes."""
    from data_pipeline.questions.difficulty import DifficultySettings, write_difficulty

    settings = DifficultySettings(min_samples, size, uniform_share, seed)
    done = write_difficulty(shards, split, responses, out, settings, overwrite=overwrite)
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
