"""`shotbench presets`: the models that `shotbench eval --preset` knows."""

from __future__ import annotations

from typing import Annotated

import typer

from lmms_eval_shotbench.commands.command import About, one_command

app, command = one_command(
    "presets",
    About(examples=("shotbench presets", "shotbench presets internvl3-8b > mine.yaml")),
)


@command
def presets(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Print the file of this preset, to copy and change",
            show_default="a table of all presets",
        ),
    ] = None,
) -> int:
    """Print the models that --preset of `shotbench eval` knows: one line each, or the file of one.

    The table shows the model's name in lmms-eval, the limit of new tokens, what a clip is shown as, and the published
    average. docs/backends.md has more, such as the packages that a model requires.
    """
    from lmms_eval_shotbench.harness.presets import preset_names, preset_text, read_preset
    from lmms_eval_shotbench.report.published import published_averages

    if name:
        print(preset_text(name), end="")
        return 0
    rows = [("preset", "--model", "tokens", "stills", "clips", "published")]
    for known in map(read_preset, preset_names()):
        shown = known.stills.in_short(), known.clips.in_short()
        rows.append((known.name, known.model, f"{known.max_new_tokens:,}", *shown, published_averages(known.paper)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0
