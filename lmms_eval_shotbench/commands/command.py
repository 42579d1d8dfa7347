"""The class of all commands: Typer's, with the parsing rules, messages and help of this command line.

A command is a typed function in a module of its own, decorated with `one_command`; groups of them are in `groups.py`.
What follows from the request as a whole (`--debug`, `--quiet`) is in `Invocation`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO, TypeVar

import typer
from typer.core import TyperCommand, TyperOption

from lmms_eval_shotbench.progress import set_quiet

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter, Parameter

Function = TypeVar("Function", bound=Callable[..., int])
Kept = str | Callable[[Mapping[str, Any]], str]
NOTHING_KEPT = "nothing was written"
GENERAL = "General"  # panel of the options that every command has
NEGATIVE_NUMBER = re.compile(r"-\d+$|-\d*\.\d+$")


@dataclass
class Invocation:
    """One call of the command line; the object of Typer's context."""

    arguments: Sequence[str] = ()
    debug: bool = False
    extra: str = "evaluate"  # the extra that installs a library that the command misses


@dataclass(frozen=True)
class About:
    """What a command declares in addition to its parameters."""

    extra: str = "evaluate"  # the extra that installs a library that it misses
    kept: Kept = NOTHING_KEPT  # by an interruption; a text with {parameters}, or a function of the parameters
    several: Sequence[str] = ()  # options that take all values up to the next option: --responses A B C
    examples: Sequence[str] = field(default=())  # lines of commands; those of a continued command are indented
    samples: Mapping[str, Sequence[str]] = field(default_factory=dict)  # lines of input files, by title


def one_command(
    name: str, about: About, *, pass_on: str = "", **settings: Any
) -> tuple[typer.Typer, Callable[[Function], Function]]:
    """Return a Typer app of one command, and the decorator of its function.

    Args:
        name: Name of the command.
        about: What else it declares.
        pass_on: What happens to other arguments, which are in `context.args`: "unknown" passes on all of them,
            "words" those that are not options; by default they are errors.
        settings: Other arguments of `typer.Typer.command`.
    """
    context = {"allow_extra_args": bool(pass_on), "ignore_unknown_options": pass_on == "unknown"}
    app = typer.Typer(add_completion=False)

    def decorate(function: Function) -> Function:
        function.about = about  # type: ignore[attr-defined]  # Typer copies the attributes to the command's callback
        register = app.command(name, cls=Command, context_settings=context, epilog=_epilog(about), **settings)
        return register(function)

    return app, decorate


def _epilog(about: About) -> str | None:
    title = "Example" if sum(not line.startswith(" ") for line in about.examples) == 1 else "Examples"
    sections = {**about.samples, title: about.examples}
    return "\n\n".join(text_block(title, lines) for title, lines in sections.items() if lines) or None


def text_block(title: str, lines: Sequence[str]) -> str:
    """Return lines of an epilog that are printed as they are, under a title."""
    return f"{title}:\n\n\b\n" + "\n".join(f"  {line}" for line in lines)


class GeneralHelp:
    """Lists `--help` with the other options that every command has."""

    def get_help_option(self, ctx: Context) -> TyperOption | None:
        """Return the option `--help`."""
        option: TyperOption | None = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.rich_help_panel, option.help, option.metavar = GENERAL, "Show this help", ""
        return option


class Command(GeneralHelp, TyperCommand):
    """A command whose options are written in full, with values that do not look like options."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params = without_types([*self.params, *general_options()])
        self.help = "\n\n".join(" ".join(part.split()) for part in (self.help or "").split("\n\n"))

    @property
    def about(self) -> About:
        """What the function declares in addition to its parameters."""
        about: About = getattr(self.callback, "about", About())
        return about

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse the arguments after `_checked`."""
        return super().parse_args(ctx, args if ctx.resilient_parsing else self._checked(ctx, args))

    def _checked(self, ctx: Context, arguments: Sequence[str]) -> list[str]:
        """Return the arguments with one option for each of several values; refuse what Typer would misunderstand."""
        options = {name: param for param in self.get_params(ctx) for name in (*param.opts, *param.secondary_opts)}
        checked, rest = list[str](), list(arguments)
        while rest:
            word = rest.pop(0)
            if word == "--":
                return [*checked, word, *rest]
            name, equals, _ = word.partition("=")
            if not (word.startswith("--") and name in options):
                self._refuse_abbreviation(ctx, name, options)
                checked.append(word)
            elif equals or getattr(options[name], "is_flag", False):
                checked.append(word)
            else:
                values = list[str]()
                while rest and not _is_option(rest[0]) and (not values or name in self.about.several):
                    values.append(rest.pop(0))
                if not values:
                    ctx.fail(
                        f"{name} needs a value" + (f"; if it is {rest[0]}, write {name}={rest[0]}" if rest else "")
                    )
                checked += [part for value in values for part in (name, value)]
        return checked

    def _refuse_abbreviation(self, ctx: Context, name: str, options: Mapping[str, Parameter]) -> None:
        full = sorted(option for option in options if name.startswith("--") and option.startswith(name))
        if full and not ctx.ignore_unknown_options:
            ctx.fail(f"no option {name}; write it in full: {' or '.join(full)}")

    def invoke(self, ctx: Context) -> Any:
        """Run the command; an interruption ends it with one line of what was kept, and status 130."""
        if invocation := ctx.find_object(Invocation):
            invocation.extra = self.about.extra
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print_message(interruption_message(self.about.kept, ctx.params))
            raise typer.Exit(130) from None

    def format_help(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the help: with Rich in a terminal, otherwise plain."""
        self.rich_markup_mode = markup_mode()
        super().format_help(ctx, formatter)

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the options in their groups."""
        format_panels(self.get_params(ctx), ctx, formatter)


def interruption_message(kept: Kept, params: Mapping[str, Any]) -> str:
    """The line printed when a command with these parameters is interrupted."""
    return f"interrupted; {kept.format(**params) if isinstance(kept, str) else kept(params)}"


def without_types(params: list[Parameter]) -> list[Parameter]:
    """Return the parameters, with our form of help.

    It shows no Python type of flags, which take no value, and of arguments; required arguments have no braces in the
    usage line, and defaults that are described in words no parentheses.
    """
    for param in params:
        if isinstance(described := getattr(param, "show_default", None), str):
            param._get_default_string = lambda text=described, **_: text  # type: ignore[attr-defined]
        if getattr(param, "is_flag", False):
            param.metavar = ""
        elif param.param_type_name == "argument":
            param.display_type_rich = lambda ctx: ""  # type: ignore[attr-defined]
            piece = _usage_piece(param)
            param.get_usage_pieces = lambda ctx, piece=piece: [piece]  # type: ignore[method-assign, misc]
    return params


def _usage_piece(argument: Parameter) -> str:
    name = argument.metavar or (argument.name or "").upper()
    shown = name if argument.required else f"[{name}]"
    return shown if argument.nargs == 1 else f"{shown} …"


def _is_option(word: str) -> bool:
    return word.startswith("-") and word != "-" and " " not in word and not NEGATIVE_NUMBER.match(word)


def format_panels(params: Sequence[Parameter], ctx: Context, formatter: HelpFormatter) -> None:
    """Write arguments and options under the titles of their panels, as Rich does."""
    panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for param in params:
        record = param.get_help_record(ctx)
        default = "Arguments" if param.param_type_name == "argument" else "Options"
        if record is not None:
            panels.setdefault(getattr(param, "rich_help_panel", None) or default, []).append(record)
    for title, records in panels.items():
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def _set_debug(context: typer.Context, value: bool) -> None:
    if value and (invocation := context.find_object(Invocation)):
        invocation.debug = True


def _set_quiet(value: bool) -> None:
    if value:
        set_quiet(True)


EVERYWHERE: dict[str, Any] = {"is_eager": True, "expose_value": False, "rich_help_panel": GENERAL}


def _general(
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show the full Python traceback of an error", callback=_set_debug, **EVERYWHERE),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Hide progress bars", callback=_set_quiet, **EVERYWHERE)
    ] = False,
) -> None:
    pass


@cache
def general_options() -> tuple[Parameter, ...]:
    """The options that every command has, after its name as well as before it."""
    app = typer.Typer(add_completion=False)
    app.command()(_general)
    return tuple(without_types(typer.main.get_command(app).params))


def is_styled(file: TextIO) -> bool:
    """Whether text written there may have colours: a terminal, unless `NO_COLOR` is set."""
    return file.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def markup_mode() -> Literal["rich"] | None:
    """How help is written: with Rich in a terminal, plain elsewhere."""
    return "rich" if is_styled(sys.stdout) else None


def print_message(text: str) -> None:
    """Print one line to stderr, after the name of the program."""
    name = "\033[1;31mshotbench:\033[0m" if is_styled(sys.stderr) else "shotbench:"
    print(f"{name} {text}", file=sys.stderr)
