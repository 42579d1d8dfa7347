"""Accuracies measured by others: only with a public address and a date, beside the published ones, never among them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.report.third_party import (
    COLUMNS,
    BadThirdPartyRow,
    parse_rows,
    rows_beside,
    shipped_rows,
)
from lmms_eval_shotbench.runs.stored_runs import AnsweredItem, StoredRun
from lmms_eval_shotbench.vocabulary import DIMENSIONS, slugs
from tests.support.kept_completions import write_grpo_run
from tests.support.parsed_page import parsed
from tests.support.report_runs import always_b, write_questions, write_run

GOOD = {
    "model": "Some-VL-8B",
    "test_set": "some set",
    "questions": "485",
    "options": "4",
    "SS": "71.3",
    "protocol": "direct, letters only",
    "measured_by": "Some Lab",
    "address": "https://some-lab.org/shots#table-2",
    "date": "2026-09-13",
}
BAD = [
    ("model", "", "give a text of one line"),
    ("test_set", "", "give a text of one line"),
    ("protocol", " ", "give a text of one line"),
    ("measured_by", "a\x1b[31mb", "give a text of one line"),
    ("measured_by", "a\nb", "give a text of one line"),
    ("questions", "0", "at least 1"),
    ("questions", "3,572", "whole number"),
    ("options", "1", "at least 2"),
    ("SS", "", "no figure"),
    ("SS", "101", "percent from 0 to 100"),
    ("SS", "-1", "percent"),
    ("SS", "nan", "percent"),
    ("SS", "71,3", "percent"),
    ("SS", "71.3%", "percent"),
    ("address", "", "public https:// address"),
    ("address", "67373501865", "public https:// address"),
    ("address", "http://some-lab.org/shots", "public https:// address"),
    ("address", "some-lab.org/shots", "public https:// address"),
    ("address", "https://localhost/shots", "public https:// address"),
    ("address", "https://wiki.some-lab.internal/shots", "public https:// address"),
    ("address", "https://192.168.1.4/shots", "public https:// address"),
    ("address", "https://[::1]/shots", "public https:// address"),
    ("address", "https://[half", "public https:// address"),
    ("address", "https://me:secret@some-lab.org/", "public https:// address"),
    ("address", "https://some-lab.org/a b", "public https:// address"),
    ("address", "javascript:alert(1)//https://a.org", "public https:// address"),
    ("date", "", "YYYY-MM-DD"),
    ("date", "13.09.2026", "YYYY-MM-DD"),
    ("date", "20260913", "YYYY-MM-DD"),
    ("date", "2026-02-30", "YYYY-MM-DD"),
    ("date", (date.today() + timedelta(days=2)).isoformat(), "in the future"),
]


def table(*rows: dict[str, str], columns: Sequence[str] = COLUMNS) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def test_a_row_is_read_as_it_is_written_in_any_order_of_columns() -> None:
    [row] = parse_rows(table(GOOD, columns=COLUMNS[::-1]), "rows.csv")
    assert (row.model, row.questions, row.options) == ("Some-VL-8B", 485, 4)
    assert (row.by_dimension, row.overall) == ({DIMENSIONS[0].slug: 71.3}, None)
    assert (row.address, row.date) == (GOOD["address"], GOOD["date"])


@pytest.mark.parametrize(("column", "cell", "reason"), BAD)
def test_an_invalid_cell_is_refused_with_file_line_and_reason(column: str, cell: str, reason: str) -> None:
    rows = [GOOD | {"model": "another"}, GOOD | {column: cell}]
    with pytest.raises(BadThirdPartyRow, match=rf"^rows\.csv, line {3 + cell.count(chr(10))}: .*{re.escape(reason)}"):
        parse_rows(table(*rows), "rows.csv")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1: no column model"),
        (table(GOOD).replace("address", "link", 1), "line 1: no column address; unknown or repeated link"),
        (table(GOOD).replace("date", "date,date", 1), "line 1: unknown or repeated date"),
        (table(GOOD).rstrip("\n") + ",more\n", "line 2: not 17 cells"),
        (table(GOOD).rpartition(",")[0] + "\n", "line 2: not 17 cells"),
        (table(GOOD, GOOD), "line 3: same model, test set, options, protocol and source as in line 2"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(text: str, reason: str) -> None:
    with pytest.raises(BadThirdPartyRow, match=re.escape(f"rows.csv, {reason}")):
        parse_rows(text, "rows.csv")


def test_the_rows_of_the_package_are_of_permanent_pages() -> None:
    rows = shipped_rows()
    assert len(rows) == 34
    assert all(re.search(r"/blob/[0-9a-f]{40}/|arxiv\.org/abs/\d{4}\.\d{5}v\d", row.address) for row in rows)


def run(source: str, n: int, dimensions: Sequence[str] = slugs(), suffix: str = "") -> StoredRun:
    items = [
        AnsweredItem(i, f"{source}-{i:05d}{suffix}", dimensions[i % len(dimensions)], "m", "A", "A", True, "")
        for i in range(n)
    ]
    return StoredRun("run", "strict", items)


@pytest.mark.parametrize(
    ("asked", "sets"),
    [
        (run("shotbench", 3572), {"shotbench"}),
        (run("shotbench", 3540), {"shotbench"}),  # a few rows were broken
        (run("shotbench", 3000), set()),
        (run("shotbench", 3572, suffix="@blind"), set()),
        (run("shotbench", 3572, suffix="@refined"), {"refineshot"}),
        (run("types-of-film-shots", 859, slugs()[:1]), {"types-of-film-shots"}),
        (run("types-of-film-shots", 859), set()),  # an eighth of them about shot size
        (run("camerabench", 3572), set()),
    ],
)
def test_rows_are_shown_beside_runs_on_the_same_questions(asked: StoredRun, sets: set[str]) -> None:
    assert {row.test_set for row in rows_beside([asked], with_shotbench=False)} == sets
    assert {row.test_set for row in rows_beside([asked], with_shotbench=True)} == sets | {"shotbench"}


@pytest.fixture(scope="module")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    questions = write_questions(tmp_path_factory.mktemp("questions") / "test.tsv")
    return write_run(tmp_path_factory.mktemp("runs") / "ours", read_questions(questions), always_b, questions)


@pytest.fixture
def own_rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.csv"
    rows = (GOOD, GOOD | {"model": "<b>*x*</b>", "SS": "99.9", "CM": "12", "overall": "100"})
    file.write_text(table(*rows), encoding="utf-8")
    return file


def leaderboard(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["leaderboard", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_the_leaderboard_has_them_below_what_is_ranked(
    made_run: Path, own_rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = leaderboard(capsys, made_run, "--published", "--third-party", own_rows)
    ranked, others = printed.split("measured by others")
    assert "* ours" in ranked and "GPT-4o" in ranked and "Some-VL" not in ranked
    assert ranked.split("measured")[0].count("ShotVL-3B") == 1  # the paper's
    assert others.count("shotbench, 3,572 of 4 options") == 6
    assert re.search(r"Some-VL-8B +71\.3 +– +– +some set, 485 of 4 options, direct, letters only \[2\]", others)
    assert f"[2] Some Lab, 2026-09-13, {GOOD['address']}" in others


def test_ranks_and_averages_do_not_depend_on_them(
    made_run: Path, own_rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = leaderboard(capsys, made_run, "--no-published")
    assert "measured by others" not in alone
    assert leaderboard(capsys, made_run, "--no-published", "--third-party", own_rows).startswith(alone.rstrip())


def test_every_format_marks_them_with_source_and_date(
    made_run: Path, own_rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (made_run, "--published", "--third-party", own_rows, "--format")
    as_json: list[dict[str, Any]] = json.loads(leaderboard(capsys, *arguments, "json"))
    as_csv = list(csv.DictReader(io.StringIO(leaderboard(capsys, *arguments, "csv"))))
    assert [{name: "" if cell is None else str(cell) for name, cell in row.items()} for row in as_json] == as_csv
    assert [row["kind"] for row in as_csv].index("third party") == 28 and as_csv[-1]["kind"] == "third party"
    others = [row for row in as_json if row["kind"] == "third party"]
    assert len(others) == 8 and all(row["source"] and row["address"] and row["date"] for row in others)
    assert not any(row["date"] for row in as_json if row["kind"] != "third party")
    ranked, markdown = leaderboard(capsys, *arguments, "markdown").split("Measured by others")
    assert "Some-VL-8B" not in ranked and "| **ours** |" in ranked
    assert f"| [Some Lab]({GOOD['address']}) | 2026-09-13 |" in markdown and "<b>" not in markdown


def test_the_report_has_them_in_a_section_of_their_own(made_run: Path, own_rows: Path, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    out = tmp_path / "page" / "report.html"
    assert main(["report", str(made_run), "--third-party", str(own_rows), "--out", str(out)]) == 0
    page = parsed(out.read_text(encoding="utf-8"))
    rows = [[cell.text.strip() for cell in line.all("th", "td")] for line in page.by_id("third-party").all("tr")]
    assert rows[1] == [
        "Some-VL-8B",
        "some set",
        "485",
        "4",
        "71.3",
        "–",
        "–",
        "direct, letters only",
        "Some Lab",
        GOOD["date"],
    ]
    assert rows[2][0] == "<b>*x*</b>" and rows[2][4:7] == ["99.9", "12.0", "100.0"]
    assert [source.text for source in page.by_id("third-party").all("li")] == [f"Some Lab: {GOOD['address']}"]
    numbers = json.loads((out.parent / "scores.json").read_text(encoding="utf-8"))
    assert not numbers["published"] and [row["measured_by"] for row in numbers["third_party"]] == ["Some Lab"] * 2


def test_a_report_on_training_runs_alone_has_them_too(own_rows: Path, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    out, run = tmp_path / "report.html", write_grpo_run(tmp_path / "grpo")
    assert main(["report", str(run), "--third-party", str(own_rows), "--out", str(out)]) == 0
    assert len(list(parsed(out.read_text(encoding="utf-8")).by_id("third-party").all("tr"))) == 3


def test_a_bad_file_is_refused_before_anything_is_written(
    made_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "rows.csv", tmp_path / "page" / "report.html"
    for content in (table(GOOD | {"address": ""}).encode(), table(GOOD).encode("utf-16")):
        file.write_bytes(content)
        assert main(["report", str(made_run), "--third-party", str(file), "--out", str(out)]) == 2
        printed = capsys.readouterr().err
        assert len(printed.splitlines()) == 1 and str(file) in printed and not out.parent.exists()
    assert main(["leaderboard", str(made_run), "--third-party", str(tmp_path / "none.csv")]) == 2


def test_a_row_is_the_same_measurement_only_if_its_setting_is() -> None:
    [row] = parse_rows(table(GOOD), "rows.csv")
    assert row.setting == replace(row, overall=1.0, date="2026-01-01", address="https://a.org").setting
    assert row.setting != replace(row, options=7).setting
