"""Options of `shotbench label` that set how models are asked, as annotated types."""

from __future__ import annotations

from typing import Annotated

import typer

from lmms_eval_shotbench.commands.options import MODEL

ROUNDS = "Rounds of options (--ask letter, term)"  # panel

Ask = Annotated[
    str,
    typer.Option(
        "--ask",
        metavar="WAYS",
        help="Form of the questions: probability of each term without options; or rounds of four options, in which "
        "the letter or the term named in the thought counts (letter, term). Several are separated by commas. auto: "
        "probability if the model gives it, otherwise letter",
        rich_help_panel=MODEL,
    ),
]
SecondModel = Annotated[
    str,
    typer.Option(
        "--second-model",
        metavar="NAME",
        help="Another model that is asked the same; a label's agreement counts the votes of both",
        show_default="one model is asked",
        rich_help_panel=MODEL,
    ),
]
SecondModelArgs = Annotated[
    str,
    typer.Option(
        "--second-model_args",
        metavar="KEY=VALUE,…",
        help="Arguments of the second model",
        show_default="no arguments",
        rich_help_panel=MODEL,
    ),
]
Repeats = Annotated[
    int | None,
    typer.Option(
        "--repeats",
        metavar="N",
        min=1,
        help="Number of contests about each dimension of a shot, each with a draw of its own. Contests that disagree "
        "lower the confidence; a single one never disagrees",
        show_default="2",
        rich_help_panel=ROUNDS,
    ),
]
OfferNone = Annotated[
    bool,
    typer.Option(
        "--offer-none",
        help='Offer "None of these" in every question, so that the model can answer that a shot has no term',
        rich_help_panel=ROUNDS,
    ),
]
SecondMovement = Annotated[
    bool,
    typer.Option(
        "--second-movement",
        help="Ask for a second camera movement once the first is known. By probability, checkpoints that can name two "
        "movements are asked without this option",
        rich_help_panel=ROUNDS,
    ),
]
