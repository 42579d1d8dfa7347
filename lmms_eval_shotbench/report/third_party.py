"""Accuracies measured by others: neither printed by the authors of ShotBench nor measured by the user.

`third_party.csv` has those that come with this package, a file of the same form the user's. Each row has a public
address and a date, which are shown with it. The rows are never ranked, averaged or tested with published figures
(`published.py`) or runs: prompts, frames, options and grading differ.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

from lmms_eval_shotbench.qa_item import SHOTBENCH, is_of_source
from lmms_eval_shotbench.questions.variants import variant_named_in
from lmms_eval_shotbench.report.published import COMPLETE
from lmms_eval_shotbench.runs.stored_runs import AnsweredItem, StoredRun
from lmms_eval_shotbench.vocabulary import DIMENSIONS, slugs

REFINESHOT = "refineshot"  # name of a test set; those of others are the `source` of their questions
TEXTS = ("model", "test_set", "protocol", "measured_by")  # columns that must not be empty
FIGURES = (*(dimension.abbreviation for dimension in DIMENSIONS), "overall")
COLUMNS = ("model", "test_set", "questions", "options", *FIGURES, "protocol", "measured_by", "address", "date")
PUBLIC_HOST = re.compile(r"(?:[a-z\d](?:[a-z\d-]*[a-z\d])?\.)+(?:[a-z]{2,}|xn--[a-z\d-]+)")  # no IP address
PRIVATE_DOMAINS = ("local", "localhost", "localdomain", "internal", "lan", "home", "corp", "test", "example", "invalid")


class BadThirdPartyRow(ValueError):
    """A row has no public address or date, or an invalid cell; the message has file, line and reason."""


@dataclass(frozen=True)
class ThirdPartyRow:
    """One model on one test set, as others printed it; figures in percent."""

    model: str
    test_set: str  # `source` of its questions: shotbench, types-of-film-shots, …; or refineshot
    questions: int  # on which the figures rest
    options: int  # of a question; the most if they differ
    by_dimension: Mapping[str, float]  # by slug, of the dimensions with a figure
    overall: float | None  # as printed, over items or over dimensions
    protocol: str  # prompt, media, grading: what the source says
    measured_by: str
    address: str  # https
    date: str  # of the measurement or of its publication, YYYY-MM-DD

    @property
    def setting(self) -> tuple[str, ...]:
        """What must not be the same in two rows."""
        return self.model, self.test_set, str(self.options), self.protocol, self.measured_by


@cache
def shipped_rows() -> tuple[ThirdPartyRow, ...]:
    """Return the rows of this package, in file order."""
    name = "third_party.csv"
    return tuple(parse_rows(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"), name))


def read_rows(file: Path) -> list[ThirdPartyRow]:
    """Read a CSV file with the columns `COLUMNS`, UTF-8.

    Raises:
        BadThirdPartyRow: A row is invalid, or the file is not such a table.
        OSError: The file cannot be read.
    """
    try:
        return parse_rows(file.read_text(encoding="utf-8-sig"), str(file))
    except UnicodeDecodeError:
        raise BadThirdPartyRow(f"{file}: not UTF-8 text; save the table as CSV in UTF-8") from None


def parse_rows(text: str, name: str) -> list[ThirdPartyRow]:
    """Parse a table; `name` is that of its file, for messages. Raises `BadThirdPartyRow`."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    found: dict[tuple[str, ...], int] = {}
    rows = []
    try:
        if sorted(reader.fieldnames or ()) != sorted(COLUMNS):
            raise ValueError(_wrong_columns(reader.fieldnames or ()))
        for cells in reader:
            row = _parsed_row(cells)
            if row.setting in found:
                raise ValueError(f"same model, test set, options, protocol and source as in line {found[row.setting]}")
            found[row.setting] = reader.line_num
            rows.append(row)
    except (ValueError, csv.Error) as error:
        raise BadThirdPartyRow(f"{name}, line {max(reader.line_num, 1)}: {error}") from None
    return rows


def _wrong_columns(names: Sequence[str]) -> str:
    missing = ", ".join(name for name in COLUMNS if name not in names)
    others = ", ".join(name for name in dict.fromkeys(names) if name not in COLUMNS or names.count(name) > 1)
    problems = [f"no column {missing}"] * bool(missing) + [f"unknown or repeated {others}"] * bool(others)
    return f"{'; '.join(problems)}; the columns are {','.join(COLUMNS)}"


def _parsed_row(cells: Mapping[str | None, str | None]) -> ThirdPartyRow:
    if None in cells or None in cells.values():
        raise ValueError(f"not {len(COLUMNS)} cells; quote cells that contain commas")
    row = {str(name): str(cell).strip() for name, cell in cells.items()}
    for name in TEXTS:
        if not row[name] or not row[name].isprintable():
            raise ValueError(f"{name} is {row[name]!r}; give a text of one line")
    figures = {name: _figure(name, row[name]) for name in FIGURES if row[name]}
    if not figures:
        raise ValueError(f"no figure; give at least one of {', '.join(FIGURES)}")
    return ThirdPartyRow(
        row["model"],
        row["test_set"],
        _whole_number("questions", row["questions"], 1),
        _whole_number("options", row["options"], 2),
        {one.slug: figures[one.abbreviation] for one in DIMENSIONS if one.abbreviation in figures},
        figures.get("overall"),
        row["protocol"],
        row["measured_by"],
        _public_address(row["address"]),
        _iso_date(row["date"]),
    )


def _figure(name: str, text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text) or float(text) > 100:
        raise ValueError(f"{name} is {text!r}; give percent from 0 to 100, such as 66.8, or leave it empty")
    return float(text)


def _whole_number(name: str, text: str, least: int) -> int:
    if not re.fullmatch(r"\d{1,9}", text) or int(text) < least:
        raise ValueError(f"{name} is {text!r}; give a whole number of at least {least}")
    return int(text)


def _public_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        login = parts.username is not None
    except ValueError:
        host, login = "", False
    is_public = PUBLIC_HOST.fullmatch(host) and host.rpartition(".")[2] not in PRIVATE_DOMAINS
    if not text.startswith("https://") or not text.isprintable() or " " in text or login or not is_public:
        raise ValueError(f"address is {text!r}; give the public https:// address of the page with the figure")
    return text


def _iso_date(text: str) -> str:
    try:
        given = date.fromisoformat(text)
    except ValueError:
        given = None
    if given is None or given.isoformat() != text:
        raise ValueError(f"date is {text!r}; give the date of the figure as YYYY-MM-DD")
    if given > date.today():
        raise ValueError(f"date {text} is in the future")
    return text


def rows_beside(runs: Iterable[StoredRun], with_shotbench: bool) -> list[ThirdPartyRow]:
    """Return the shipped rows on questions that a run was asked (99 % of them), and ShotBench's if requested."""
    runs = list(runs)
    return [
        row
        for row in shipped_rows()
        if (with_shotbench and row.test_set == SHOTBENCH) or any(_is_asked(row, run) for run in runs)
    ]


def _is_asked(row: ThirdPartyRow, run: StoredRun) -> bool:
    dimensions = set(slugs()) if row.overall is not None else set(row.by_dimension)
    asked = sum(item.dimension in dimensions and _is_of_set(item, row.test_set) for item in run.items)
    return asked >= COMPLETE * row.questions


def _is_of_set(item: AnsweredItem, test_set: str) -> bool:
    variant = variant_named_in(item.item_id)
    if variant and variant.name == "refined" and test_set == REFINESHOT:
        return is_of_source(item.item_id, SHOTBENCH)
    return not variant and is_of_source(item.item_id, test_set)
