"""Where exported files go: a folder, a model card, a pull request on the Hub, or, for one file of text, the screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lmms_eval_shotbench.atomic_file import NotWritable, write_atomic
from lmms_eval_shotbench.export.exported_run import ExportRequest, read_exported_run
from lmms_eval_shotbench.export.formats import FORMATS, Files, exported_files
from lmms_eval_shotbench.export.model_card import CARD
from lmms_eval_shotbench.grading.reasoning_tags import ReasoningTags

MODEL_CARD = "model-card"  # the format that updates a file instead of writing its own


@dataclass(frozen=True)
class Destination:
    """At most one of a folder, a card and a repository."""

    out: Path | None = None
    card: Path | None = None
    push: str = ""  # ORG/MODEL

    def check(self, format: str) -> None:
        """Raise `ValueError` if the format cannot go there."""
        if sum(map(bool, (self.out, self.card, self.push))) > 1:
            raise ValueError("--out, --card and --push are different destinations; give one of them")
        if self.card and format != MODEL_CARD:
            raise ValueError(f"--card is for --format {MODEL_CARD}, not {format}; leave it out")
        if self.push and not FORMATS[format].in_model_repository:
            known = ", ".join(name for name, one in FORMATS.items() if one.in_model_repository)
            raise ValueError(f"--push is for files of a model's repository ({known}), not {format}; use --out FOLDER")


def export_run(
    arguments: Sequence[str],
    format: str,
    request: ExportRequest,
    destination: Destination,
    data: str | None = None,
    split: str | None = None,
    tags: ReasoningTags = (),
) -> str:
    """Export a run; returns what is printed.

    Args:
        arguments: RUN, or QUESTIONS RESPONSES.
        format: A name of `FORMATS`.
        request: What the run does not record.
        destination: Where the files go; without any, a file of text is returned.
        data: Questions, if those recorded in the run are not on this machine.
        split: Split of the questions, by default the recorded one.
        tags: Further tags of thoughts, for responses that are graded here.

    Raises:
        ValueError: The destination is not valid, or the run is no result that the format can hold (`BadRun`).
        PushRefused: The Hub did not accept the files.
    """
    destination.check(format)
    if destination.push:
        return _push(arguments, format, request, destination.push, data, split, tags)
    if destination.card:
        request = replace(request, card=_card_text(destination.card))
    files = exported_files(read_exported_run(arguments, request, data, split, tags), format)
    if destination.card:
        write_atomic(destination.card, files[CARD])
        return f"{destination.card}: updated"
    if destination.out:
        return _write(files, destination.out)
    content = next(iter(files.values()))
    if len(files) > 1 or isinstance(content, bytes):
        raise ValueError(f"--format {format} cannot be printed; give --out FOLDER")
    return content


def _write(files: Files, out: Path) -> str:
    if CARD in files and (out / CARD).exists():
        raise NotWritable(f"{out / CARD} exists; --card {out / CARD} instead of --out updates it")
    for name, content in files.items():
        write_atomic(out / name, content)
    return "\n".join(f"{out / name}: written" for name in files)


def _push(
    arguments: Sequence[str],
    format: str,
    request: ExportRequest,
    name: str,
    data: str | None,
    split: str | None,
    tags: ReasoningTags,
) -> str:
    from lmms_eval_shotbench.export.pull_request import open_repository, propose

    run = read_exported_run(arguments, replace(request, model=request.model or name), data, split, tags)
    exported_files(run, format)  # before the Hub is asked anything: the run may have to be refused
    repository = open_repository(name, with_card=format == MODEL_CARD)
    files = exported_files(replace(run, request=replace(run.request, card=repository.card)), format)
    found = propose(repository, files, f"Results on {run.dataset_name} ({format})")
    if not found.url:
        return f"{name} has these results already; no pull request was opened"
    return f"{'already open' if found.existed else 'opened'}: {found.url}"


def _card_text(card: Path) -> str:
    try:
        return card.read_bytes().decode()  # not `read_text`, which changes line breaks
    except UnicodeDecodeError as error:
        raise ValueError(f"{card}: not a text in UTF-8 ({error})") from None
