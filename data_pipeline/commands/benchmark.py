"""`shotbench data benchmark`: add `eval.yaml` and what its tasks need to a shard folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lmms_eval_shotbench.commands.command import About, one_command

app, command = one_command(
    "benchmark",
    About(
        extra="data",
        kept="the shards in {shards} are complete, and the same command adds what is missing",
        examples=("shotbench data benchmark shards/mine", "shotbench data push shards/mine ORG/NAME"),
    ),
)


@command
def add_benchmark_files(
    shards: Annotated[Path, typer.Argument(metavar="SHARDS", help="Local shard folder with a split test")],
) -> int:
    """Add to a shard folder what makes it a benchmark on the Hub: eval.yaml and the stills of its tasks.

    The tasks are those of Inspect, an evaluation framework (inspect.aisi.org.uk). Questions about clips are not
    declared, since eval.yaml cannot show a video. The stills of the test split are stored a second time, as Inspect
    reads them.
    """
    from data_pipeline.shards.hub_benchmark import add_benchmark

    done = add_benchmark(shards)
    by_dimension = ", ".join(f"{slug} {count:,}" for slug, count in done.questions.items())
    print(f"{shards / 'eval.yaml'} declares {sum(done.questions.values()):,} questions about stills ({by_dimension})")
    if done.left_out:
        print(f"{done.left_out:,} questions about clips are not declared: a task of eval.yaml cannot show a video")
    return 0
