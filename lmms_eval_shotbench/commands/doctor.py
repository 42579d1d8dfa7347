"""`shotbench doctor`: check the installation and this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from lmms_eval_shotbench.commands.command import About, one_command

if TYPE_CHECKING:
    from lmms_eval_shotbench.doctor import Extra

app, command = one_command("doctor", About(examples=("shotbench doctor", "shotbench doctor --skip-imports")))


@command
def doctor(
    skip_imports: Annotated[
        bool,
        typer.Option(
            "--skip-imports",
            help="Do not import the libraries, which takes up to a minute and finds those that are broken; only check "
            "their versions",
        ),
    ] = False,
) -> int:
    """Check the installation and this machine: versions, FFmpeg, GPUs, memory, disk, caches, missing extras.

    Exits with status 1 if the installed packages cannot work together.
    """
    from lmms_eval_shotbench import __version__, doctor

    print(f"shotbench {__version__}, Python {sys.version.split()[0]} ({sys.executable})\n")
    found = doctor.extras()
    names = dict.fromkeys([one.name for extra in found for one in extra.required] + list(doctor.OTHERS))
    _print_section("Versions", ((name, number) for name in names if (number := doctor.installed_version(name))))
    _print_section("Machine", doctor.machine())
    _print_section("Caches", doctor.caches())
    _print_section("Extras", (_extra_row(extra) for extra in found if extra.name))
    problems = list(doctor.version_problems(found))
    if not skip_imports:
        problems += doctor.import_problems(doctor.packages_to_import(found))
    print("Problems" if problems else "No problems found.")
    for problem in problems:
        print(f"  {problem}")
    return 1 if problems else 0


def _extra_row(extra: Extra) -> tuple[str, str]:
    from lmms_eval_shotbench.doctor import DISTRIBUTION, ENABLES

    enables = ENABLES.get(extra.name, "")
    if not extra.missing:
        return extra.name, f"installed: {enables}"
    return extra.name, (
        f"not installed: {enables}; pip install '{DISTRIBUTION}[{extra.name}]' (missing: {', '.join(extra.missing)})"
    )


def _print_section(title: str, rows: Iterable[tuple[str, str]]) -> None:
    listed = list(rows)
    width = max((len(name) for name, _ in listed), default=0)
    print(title)
    for name, text in listed:
        print(f"  {name:{width}}  {text}")
    print()
