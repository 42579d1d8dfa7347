"""The reference of the command line, one page for each group of commands, generated from the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typer._click import Context

PROGRAM = "shotbench"
_LAST = re.compile(r"\s*\[(?:default: (?P<default>.*)|required)\]$")  # of an option's help
_PAGE = re.compile(r"\bdocs/([a-z_]+\.md)")  # named in a help text


def command_pages() -> dict[str, str]:
    """Return the Markdown of each page by its path on the site."""
    pages = {}
    for context in _groups(_root()):
        pages[_page(context)] = "\n\n".join(_group_page(context)) + "\n"
    return pages


def command_paths() -> list[str]:
    """Names of all commands that are no groups, such as "shotbench data films"."""
    return [
        command.command_path for group in _groups(_root()) for command in _children(group) if not _is_group(command)
    ]


def _root() -> Context:
    from lmms_eval_shotbench.commands.root import root_command

    context: Context = root_command().make_context(PROGRAM, ["x"], resilient_parsing=True)
    return context


def _is_group(context: Context) -> bool:
    return hasattr(context.command, "list_commands")


def _children(group: Context) -> Iterator[Context]:
    command: Any = group.command
    for name in command.list_commands(group):
        child = command.get_command(group, name)
        yield child.make_context(name, ["x"], parent=group, resilient_parsing=True)


def _groups(group: Context) -> Iterator[Context]:
    yield group
    for child in _children(group):
        if _is_group(child):
            yield from _groups(child)


def _page(group: Context) -> str:
    return "_".join(["commands", *group.command_path.split()[1:]]) + ".md"


def _anchor(context: Context) -> str:
    return context.command_path.replace(" ", "-")


def _group_page(group: Context) -> Iterator[str]:
    yield f"# {group.command_path}"
    yield from _paragraphs(group.command.help)
    yield _index(group)
    yield from _panels(group)
    for child in _children(group):
        if not _is_group(child):
            yield from _command_section(child)


def _index(group: Context) -> str:
    """A table of the group's commands; a group among them links to its own page."""
    rows = ["| command | purpose |", "|---|---|"]
    for child in _children(group):
        target = _page(child) if _is_group(child) else f"#{_anchor(child)}"
        summary = " ".join((child.command.short_help or child.command.help or "").partition("\n\n")[0].split())
        rows.append(f"| [`{child.command_path}`{{ .option }}]({target}) | {cell(summary)} |")
    return "\n".join(rows)


def _command_section(context: Context) -> Iterator[str]:
    yield f"## {context.command_path} {{#{_anchor(context)}}}"
    yield from _paragraphs(context.command.help)
    usage = " ".join(context.command.collect_usage_pieces(context))
    yield f"```text\n{context.command_path} {usage}\n```"
    yield from _panels(context)
    yield from _examples(context.command.epilog)


def _paragraphs(text: str | None) -> Iterator[str]:
    for paragraph in (text or "").split("\n\n"):
        yield _escaped(" ".join(paragraph.replace("\b", "").split()))


def _panels(context: Context) -> Iterator[str]:
    """A table for each panel of options; those that every command has are on the first page only."""
    panels: dict[str, list[str]] = {}
    for param in context.command.get_params(context):
        record = param.get_help_record(context)
        if record is None:
            continue
        kind = "Arguments" if param.param_type_name == "argument" else "Options"
        panel = getattr(param, "rich_help_panel", None) or kind
        if panel != "General" or context.parent is None:
            panels.setdefault(panel, []).append(_row(*record))
    for title, rows in panels.items():
        yield f"**{title}**"
        yield "\n".join(["| option | meaning | default |", "|---|---|---|", *rows])


def _row(names: str, text: str) -> str:
    default = ""
    if found := _LAST.search(text):
        text = text[: found.start()]
        default = "*required*" if found["default"] is None else cell(found["default"].strip("()"))
    return f"| `{names}`{{ .option }} | {cell(text)} | {default} |"


def _examples(epilog: str | None) -> Iterator[str]:
    title, _, lines = (epilog or "").partition("\b\n")
    if lines:
        yield f"**{title.strip().rstrip(':')}**"
        commands = "\n".join(line.removeprefix("  ") for line in lines.splitlines())
        yield f"```bash\n{commands}\n```"


def cell(text: str) -> str:
    """Text of a cell of a table; the name of a page of the documentation is a link to it."""
    parts = _PAGE.split(text)
    linked = [f"[docs/{part}]({part})" if number % 2 else _escaped(part) for number, part in enumerate(parts)]
    return "".join(linked).replace("|", "\\|")


def _escaped(text: str) -> str:
    """Text in which no character has a meaning for Markdown or HTML, except backquotes."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([\\*_<>\[\]#~])", r"\\\1", part) for part in parts)
