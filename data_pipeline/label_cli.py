"""`shotbench label …`: label films, and what is done with the labels; one module for each command in `commands/`."""

from __future__ import annotations

from lmms_eval_shotbench.commands.command import text_block
from lmms_eval_shotbench.commands.groups import CommandEntry, lazy_group

EXAMPLES = (
    "shotbench label my_films/ --model shotvl --out labels \\",
    "    --model_args pretrained=$(shotbench tiny-model)",
)
LABELS = (
    "labels.html  the shots with their labels, to look at and to correct",
    "shots.csv    the same as a table, for `shotbench data films --table`",
    "shots.jsonl  all questions, responses and votes",
    "media/       a key still and a clip of every shot",
)

app = lazy_group(
    "Label films with a model: find their shots, ask for the terms of every dimension, and write a shot list. "
    "The word run may be left out: if the first word is none of the commands, it is a film, still or folder.",
    [
        CommandEntry(name, summary, f"data_pipeline.commands.label_{name}")
        for name, summary in (
            ("run", "Label films, stills and folders of them."),
            ("apply", "Merge corrections of a person into labelled films."),
            ("calibrate", "Fit labels and their confidence to films whose truth is known."),
            ("score", "Score a shot list against a table of what is true."),
        )
    ],
    default="run",
    panel="Make data and train",
    epilog="\n\n".join((text_block("Example", EXAMPLES), text_block("Files of a folder of labels", LABELS))),
    subcommand_metavar="[COMMAND] FILM …",
)
