"""Options that several commands of training share, as annotated types."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DATA, MODEL, RUN = "Data", "Model", "Run"  # panels

Recipe = Annotated[
    str,
    typer.Option(
        "--recipe",
        metavar="NAME",
        help="Configuration for a model size and machine: 3b or qwen3vl_4b (4 GPUs for SFT, 8 for GRPO), 7b or "
        "qwen3vl_8b (8 GPUs), 3b_lora (one GPU), tiny or tiny_lora (CPU); the "
        "files are in verl_recipes/config",
        rich_help_panel=MODEL,
    ),
]
MaxNewTokens = Annotated[
    int | None,
    typer.Option(
        "--max-new-tokens",
        metavar="N",
        help="Maximum number of tokens of a response in the evaluation; a lower number saves time with a model that "
        "does not end its responses",
        show_default="1024",
        rich_help_panel="Evaluation",
    ),
]
RunFolderArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the training run (its --out)")]
