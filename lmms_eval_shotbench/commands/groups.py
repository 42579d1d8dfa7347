"""Groups of commands that import a command only when it is used: `shotbench`, `shotbench data`, `shotbench train`.

Their help needs names and summaries alone. Other packages add commands through the entry-point group
`shotbench.commands`: the name is that of the command, the object a Typer app.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from lmms_eval_shotbench.commands.command import (
    GeneralHelp,
    format_panels,
    general_options,
    markup_mode,
    print_message,
)

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from typer._click import Command as AnyCommand
    from typer._click import Context, HelpFormatter

ENTRY_POINTS = "shotbench.commands"
MOUNTED = "Commands of other packages"  # panel of those that name no other


class CommandEntry(NamedTuple):
    """A command of a group, described without importing it."""

    name: str
    summary: str
    module: str  # has the Typer app `app`
    panel: str = "Commands"  # heading in the help of the group

    def load(self) -> AnyCommand:
        """Import the command."""
        return _loaded(self)


@cache  # building a command from its signature takes longer than parsing a command line
def _loaded(entry: CommandEntry) -> AnyCommand:
    return _command_of(import_module(entry.module).app, entry)


def _command_of(app: object, entry: CommandEntry) -> AnyCommand:
    if not isinstance(app, typer.Typer):
        raise TypeError(f"it is {type(app).__name__!r} where a typer.Typer is expected")
    command = typer.main.get_command(app)
    command.name = entry.name
    panel = app.info.rich_help_panel
    if isinstance(command, TyperGroup) and isinstance(panel, str):
        command.rich_help_panel = panel  # Typer copies it only from `add_typer`
    command.short_help = entry.summary or command.short_help
    command.params += [param for param in general_options() if param not in command.params]
    return command


def lazy_group(
    help: str,
    commands: Sequence[CommandEntry],
    *,
    options: Callable[..., None] = lambda: None,
    mounts: bool = False,
    default: str = "",
    panel: str = MOUNTED,
    **settings: Any,
) -> typer.Typer:
    """Return a Typer app with these commands.

    Args:
        help: Purpose of the group.
        commands: In the order of the help.
        options: Function whose parameters are the group's own options.
        mounts: Whether other packages add commands, by entry point.
        default: Name of the command that runs if the first word names none, and may be left out; "" for none.
        panel: Heading in the help of the group to which this one is added.
        settings: Other arguments of `typer.Typer`.
    """
    group = type("Group", (LazyGroup,), {"entries": tuple(commands), "mounts": mounts, "default": default})
    app = typer.Typer(cls=group, help=help, add_completion=mounts, **settings)
    app.callback()(options)
    app.info.rich_help_panel = panel
    return app


class LazyGroup(GeneralHelp, TyperGroup):
    """A group whose commands are imported when they are looked up."""

    entries: ClassVar[Sequence[CommandEntry]] = ()
    mounts: ClassVar[bool] = False
    default: ClassVar[str] = ""

    def list_commands(self, ctx: Context) -> list[str]:
        """Names of all commands, in the order of the help."""
        mounted = [one.name for one in _mounted()] if self.mounts else []
        return list(dict.fromkeys([*(entry.name for entry in self.entries), *mounted]))

    def get_command(self, ctx: Context, cmd_name: str) -> AnyCommand | None:
        """Import a command; None if there is none of that name."""
        for entry in self.entries:
            if entry.name == cmd_name:
                return entry.load()
        for point in _mounted() if self.mounts else ():
            if point.name == cmd_name:
                try:
                    return _load_mounted(point)
                except CannotBeLoaded as error:
                    if not ctx.resilient_parsing:
                        ctx.fail(str(error))
        return None

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, AnyCommand | None, list[str]]:
        """Return name and command of the first argument, and the other arguments."""
        name, *rest = args
        command = self.get_command(ctx, name)
        if command is None and not ctx.resilient_parsing:
            from difflib import get_close_matches

            similar = get_close_matches(name, self.list_commands(ctx))
            ctx.fail(f"no command {name!r}" + (f"; did you mean {' or '.join(similar)}?" if similar else ""))
        return name if command else None, command, rest

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse the group's own options; without any argument, print the help."""
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help())
            raise typer.Exit(2)
        return super().parse_args(ctx, self._with_default(ctx, args) if self.default else args)

    def _with_default(self, ctx: Context, args: list[str]) -> list[str]:
        """Insert the name of the default command before the first word that is neither a command nor our option."""
        own = {name for param in self.get_params(ctx) for name in param.opts}
        first = next((index for index, word in enumerate(args) if word not in own), None)
        if first is None or args[first] in self.list_commands(ctx):
            return args
        return [*args[:first], self.default, *args[first:]]

    def format_help(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the help, with the commands as listed instead of imported."""
        listed = {command.name or "": command for command in self._summaries()}
        settings: dict[str, Any] = {
            "params": self.params,
            "help": self.help,
            "epilog": self.epilog,
            "subcommand_metavar": self.subcommand_metavar,
        }
        listing = PanelledGroup(name=self.name, commands=listed, rich_markup_mode=markup_mode(), **settings)
        listing.format_help(ctx, formatter)

    def _summaries(self) -> Iterator[AnyCommand]:
        for entry in self.entries:
            yield TyperCommand(entry.name, help=entry.summary, rich_help_panel=entry.panel)
        for point in _mounted() if self.mounts else ():
            try:
                command = _load_mounted(point)
            except CannotBeLoaded as error:  # another package's fault must not disable the other commands
                print_message(str(error))
            else:
                panel = getattr(command, "rich_help_panel", None) or MOUNTED
                yield TyperCommand(point.name, help=_summary(command), rich_help_panel=panel)


def _summary(command: AnyCommand) -> str:
    """First paragraph of a command's help, in one line."""
    return " ".join((command.short_help or command.help or "").partition("\n\n")[0].split())


class PanelledGroup(GeneralHelp, TyperGroup):
    """A group whose plain help has the panels of its help in a terminal."""

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write options, then commands, in their groups."""
        format_panels(self.get_params(ctx), ctx, formatter)
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            panel = getattr(command, "rich_help_panel", None) or "Commands"
            panels.setdefault(panel, []).append((name, _summary(command)))
        for title, rows in panels.items():
            with formatter.section(title):
                formatter.write_dl(rows)


class CannotBeLoaded(RuntimeError):
    """The commands of another package cannot be imported; the message names it."""


def _mounted() -> Sequence[EntryPoint]:
    return _entry_points(tuple(sys.path))


@cache
def _entry_points(_: tuple[str, ...]) -> Sequence[EntryPoint]:
    """The commands of the packages on `sys.path`, found by reading the metadata of all of them."""
    from importlib.metadata import entry_points  # slow to import, and not necessary to run a command of ours

    return sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)


def _load_mounted(point: EntryPoint) -> AnyCommand:
    try:
        return _command_of(point.load(), CommandEntry(point.name, "", point.value))
    except Exception as error:  # of any type: it is another package's
        message = f"the commands of {point.name!r} ({point.value}) cannot be loaded: {error}"
        raise CannotBeLoaded(message) from error
