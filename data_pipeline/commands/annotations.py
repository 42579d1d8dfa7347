"""`shotbench data annotations`: files of annotation tools to an annotation table."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data_pipeline.commands.console import print_error
from data_pipeline.commands.options import OUTPUT, ReportFile
from data_pipeline.defects import DefectKind
from lmms_eval_shotbench.commands.command import About, one_command
from lmms_eval_shotbench.commands.options import output_file

if TYPE_CHECKING:
    from data_pipeline.import_annotations import ImportedAnnotations

READING = "Reading"  # panel
MOST_VALUES, MOST_LINES = 10, 40  # values of a name, and other losses, that are printed; all are in the report

app, command = one_command(
    "annotations",
    About(
        extra="data",
        examples=(
            "shotbench data annotations harbour.eaf --films my_films/ --out table.csv",
            "shotbench data annotations export.json --fps 24 --films my_films/ \\",
            "    --out table.csv --map-template map.toml",
            "shotbench data annotations *.eaf cut.otio --films my_films/ \\",
            "    --out table.csv --map map.toml",
        ),
        samples={
            "Entries of a file for --map": (
                "[names]",
                '"Plan" = "Shot size"',
                '[values."Plan"]',
                '"GP" = "Close Up"',
            )
        },
    ),
)


@command
def convert_annotations(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Files of ELAN (.eaf), CVAT for video or images (.xml, .zip), Label Studio or VIA 3 (.json), "
            "PySceneDetect (-Scenes.csv), or timelines: .otio, EDL, FCPXML, Final Cut 7 XML",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Annotation table to write, as CSV for `shotbench data films --table`",
            callback=output_file,
            rich_help_panel=OUTPUT,
        ),
    ],
    films: Annotated[
        Path | None,
        typer.Option(
            "--films",
            metavar="FOLDER",
            help="Films that the annotations are of: a folder, or one film. Their frames give the times; without "
            "them, the table has the times as the tools write them",
            show_default="times are as the tools write them",
            rich_help_panel=READING,
        ),
    ] = None,
    fps: Annotated[
        str,
        typer.Option(
            "--fps",
            metavar="RATE",
            help="Frames per second, such as 24, 23.976 or 24000/1001, at which a format counts that does not state "
            "it: Label Studio's labelling configuration and, without --films, CVAT and EDL",
            show_default="required where a format does not state it",
            rich_help_panel=READING,
        ),
    ] = "",
    label_map: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="FILE",
            help="TOML file from your tiers, attributes and labels to dimensions and terms",
            show_default="exact terms count",
            rich_help_panel=READING,
        ),
    ] = None,
    map_template: Annotated[
        Path | None,
        typer.Option(
            "--map-template",
            metavar="FILE",
            help="File to write for --map, with everything that names no term, to be filled",
            show_default="not written",
            callback=output_file,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    report: ReportFile = None,
) -> int:
    """Read the annotations of other tools into an annotation table, one row per annotated range.

    Everything that is in no row is named with the reason. The exit status is 1 if no row has a label or a shot.
    """
    from data_pipeline.annotations.frame_rate import parse_rate
    from data_pipeline.annotations.label_map import NO_MAP, read_map
    from data_pipeline.annotations.map_template import map_template as template
    from data_pipeline.films.film_sources import find_films
    from data_pipeline.import_annotations import import_annotations
    from lmms_eval_shotbench.atomic_file import write_atomic

    done = import_annotations(
        files,
        read_map(label_map) if label_map else NO_MAP,
        find_films([films], films if films.is_dir() else None) if films else None,
        parse_rate(fps) if fps else None,
    )
    for remark in done.remarks:
        print_error(remark)
    print_lost(done)
    if report:
        write_atomic(report, "".join(json.dumps(defect.to_row()) + "\n" for defect in done.defects))
    if map_template:
        write_atomic(map_template, template(done.unmapped))
        print(f"{map_template}: fill it and pass it with --map")
    lost = done.annotations - done.used - done.skipped
    skipped = f", {done.skipped:,} skipped by the map" if done.skipped else ""
    print(f"annotations: {done.annotations:,}; in the table: {done.used:,}; not: {lost:,}{skipped}")
    if not done.rows:
        print_error(f"{out} is not written: no row is left. If names are no terms, --map-template FILE begins a map")
        return 1
    write_atomic(out, done.table)
    print(f"{out} is written: {len(done.rows):,} rows")
    return 0


def print_lost(done: ImportedAnnotations) -> None:
    """Print what is in no row: values without a term by name and count, then each other loss."""
    by_name: dict[str, Counter[tuple[str, str]]] = {}
    for one, reason in done.unmapped:
        by_name.setdefault(one.name, Counter())[one.value, reason] += 1
    for name, values in by_name.items():
        for (value, reason), count in values.most_common(MOST_VALUES):
            print_error(f"no term: {name} {value!r}: {count:,}; {reason}")
        if (others := len(values) - MOST_VALUES) > 0:
            rest = values.total() - sum(count for _, count in values.most_common(MOST_VALUES))
            print_error(f"no term: {name}: {others:,} other values, {rest:,} annotations; --report lists them")
    lines = [
        f"{'left out' if defect.loses_row else 'noted'}: {defect.path}, {defect.index}: {defect.detail}"
        for defect in done.defects
        if defect.kind is not DefectKind.UNKNOWN_LABEL
    ]
    for line in lines[:MOST_LINES]:
        print_error(line)
    if len(lines) > MOST_LINES:
        print_error(f"and {len(lines) - MOST_LINES:,} more; --report FILE lists them")
