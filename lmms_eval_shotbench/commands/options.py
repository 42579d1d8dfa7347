"""Options and arguments that several commands share, as annotated types."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lmms_eval_shotbench.atomic_file import NotWritable, require_writable

if TYPE_CHECKING:
    from lmms_eval_shotbench.runs.cost import Prices

# The same values as `PROTOCOLS` and the `FORMATS` of each command, which are not imported to print help.
Protocol = Literal["strict", "official"]
TableOrJson = Literal["table", "json"]

QUESTIONS_HELP = "Questions that were asked: test.tsv, shard folder or Hub id of shards"
RUN_HELP = (
    "folder written by `shotbench eval`, a JSON file written by `shotbench score --format json`, or two arguments "
    "QUESTIONS RESPONSES as for `shotbench score`"
)
MODEL, JUDGE = "Model", "Judge"  # panels
INPUT = "Input"
OUTPUT, COST = "Output", "Cost"


def output_file(path: Path | None) -> Path | None:
    """Return the path of an output file; refused during parsing, before any work, if it cannot be written."""
    if path is not None:
        try:
            require_writable(path)
        except NotWritable as error:
            raise typer.BadParameter(str(error)) from None
    return path


def prices_of(price_in: float | None, price_out: float | None, currency: str | None) -> Prices | None:
    """Return the prices given by `--price-in` and `--price-out`, None without them.

    Raises:
        ValueError: One of them is missing, or both are but a currency is given.
    """
    from lmms_eval_shotbench.runs.cost import Prices

    if price_in is None and price_out is None and currency is None:
        return None
    if price_in is None or price_out is None:
        raise ValueError("give both --price-in and --price-out; 0 for tokens that cost nothing")
    return Prices(price_in, price_out, currency or "USD")


def _price(value: float | None) -> float | None:
    if value is not None and not 0 <= value < math.inf:
        raise typer.BadParameter(f"{value} is not a price; give 0 or more")
    return value


ModelType = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Model type as named by lmms-eval: shotvl (ours), qwen2_5_vl, openai, vllm, …",
        show_default="that of --preset, otherwise required",
        rich_help_panel=MODEL,
    ),
]
ModelArgs = Annotated[
    str,
    typer.Option(
        "--model_args",
        metavar="KEY=VALUE,…",
        help="Arguments of the model, such as pretrained=ID,device=cpu. For clips, ShotBench's 12 frames per second of "
        "at most 360x640 pixels are added; a frame rate, number of frames or smaller size given here is kept",
        show_default="those of --preset, if it is given",
        rich_help_panel=MODEL,
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="Known model with its arguments, token limit and batch size, as listed by `shotbench presets`, or a YAML "
        "file of this form. Values on the command line win, key by key for --model_args",
        show_default="no preset",
        rich_help_panel=MODEL,
    ),
]
TestSplit = Annotated[str, typer.Option("--split", metavar="NAME", help="Split of the shards", rich_help_panel=INPUT)]
RunSplit = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="NAME",
        help="Split of the shards with the questions",
        show_default="the split recorded in the run",
        rich_help_panel=INPUT,
    ),
]
ProtocolOption = Annotated[
    Protocol,
    typer.Option(
        "--protocol",
        help="Rules that find the chosen option in a response: strict uses only what is declared outside the model's "
        "thought, official follows the script of the ShotBench paper; both count an unclear response as wrong",
        rich_help_panel="Grading",
    ),
]
FormatOption = Annotated[TableOrJson, typer.Option("--format", help="Format of the output", rich_help_panel=OUTPUT)]
StoredProtocol = Annotated[
    Protocol,
    typer.Option(
        "--protocol",
        help="Protocol of the scores to use. Scores of a run are used as they are stored (the folder of an evaluation "
        "has both); a JSON file must be of this protocol",
        rich_help_panel="Grading",
    ),
]
OutFile = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Write the output to this file",
        show_default="print it",
        callback=output_file,
        rich_help_panel=OUTPUT,
    ),
]
AllowMissing = Annotated[
    bool,
    typer.Option(
        "--allow-missing",
        help="Exit with status 0, not 1, if questions have no response; they still count as wrong",
        rich_help_panel="Grading",
    ),
]
JudgeUrl = Annotated[
    str | None,
    typer.Option(
        "--judge-url",
        metavar="URL",
        help="OpenAI-compatible endpoint of the judge, such as http://localhost:8000/v1; its API key is read from "
        "$OPENAI_API_KEY",
        show_default="no judge",
        rich_help_panel=JUDGE,
    ),
]
JudgeModel = Annotated[
    str | None,
    typer.Option(
        "--judge-model",
        metavar="NAME",
        help="Name of the judge's model at that endpoint; required with --judge-url",
        rich_help_panel=JUDGE,
    ),
]
JudgeCache = Annotated[
    Path | None,
    typer.Option(
        "--judge-cache",
        metavar="FILE",
        help="SQLite file that stores the judge's replies, so that no request is repeated",
        show_default="judge/verdicts.sqlite in $SHOTBENCH_CACHE or ~/.cache/shotbench",
        rich_help_panel=JUDGE,
    ),
]
ReasoningTags = Annotated[
    str,
    typer.Option(
        "--reasoning_tags",
        metavar="PAIRS",
        help="Tags that enclose a model's thought, which strict grading ignores, in addition to <think> and the other "
        'built-in ones; a JSON list such as \'[["<plan>", "</plan>"]]\'',
        show_default="only the built-in ones",
        rich_help_panel="Grading",
    ),
]
Runs = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN",
        help=f"One or more runs. Each is a {RUN_HELP}",
    ),
]
RunData = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="QUESTIONS",
        help="Original questions of the runs: test.tsv, shard folder or Hub id of shards",
        show_default="those recorded in the runs, if they are on this machine",
        rich_help_panel=INPUT,
    ),
]
Published = Annotated[
    bool | None,
    typer.Option(
        "--published/--no-published",
        help="Also show the figures of published models, or show only the runs",
        show_default="--published if all of ShotBench was asked",
        rich_help_panel="Content",
    ),
]
ThirdParty = Annotated[
    Path | None,
    typer.Option(
        "--third-party",
        metavar="FILE",
        help="CSV table of further accuracies measured by others, each with a public address and a date, shown apart "
        "from published models (docs/report.md)",
        show_default="those of this package on the questions that were asked",
        rich_help_panel="Content",
    ),
]
PriceIn = Annotated[
    float | None,
    typer.Option(
        "--price-in",
        metavar="PRICE",
        help="Price of a million input tokens, media included, for the cost of the responses; with --price-out",
        show_default="no cost in money",
        callback=_price,
        rich_help_panel=COST,
    ),
]
PriceOut = Annotated[
    float | None,
    typer.Option(
        "--price-out",
        metavar="PRICE",
        help="Price of a million output tokens",
        show_default="no cost in money",
        callback=_price,
        rich_help_panel=COST,
    ),
]
Currency = Annotated[
    str | None,
    typer.Option("--currency", metavar="NAME", help="Currency of the prices", show_default="USD", rich_help_panel=COST),
]
