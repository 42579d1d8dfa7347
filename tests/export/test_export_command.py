"""`shotbench export`: where files go, and requests that are refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.commands.export import ExportFormat
from lmms_eval_shotbench.export.formats import FORMATS
from tests.support.exported_runs import DATASET, make_run


def export(run: Path, *options: object, format: str = "hub") -> int:
    return main(["export", str(run), "--format", format, "--dataset", DATASET, *map(str, options)])


def test_the_command_offers_every_format() -> None:
    assert set(ExportFormat.__args__) == set(FORMATS)  # type: ignore[attr-defined]


def test_a_single_file_of_text_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(make_run(tmp_path)) == 0
    assert parse_eval_result_entries(yaml.safe_load(capsys.readouterr().out))[0].dataset_id == DATASET


def test_files_are_written_below_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = make_run(tmp_path), tmp_path / "repository"
    assert export(run, "--out", out) == 0
    assert capsys.readouterr().out == f"{out}/.eval_results/shots.yaml: written\n"
    before = (out / ".eval_results/shots.yaml").read_bytes()
    assert export(run, "--out", out) == 0
    assert (out / ".eval_results/shots.yaml").read_bytes() == before


def test_a_card_is_updated_in_place_and_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, card = make_run(tmp_path), tmp_path / "README.md"
    assert export(run, "--out", tmp_path, format="model-card") == 0
    new = card.read_text()
    card.write_text(f"{new}\nMore.\n")
    assert export(run, "--out", tmp_path, format="model-card") == 2
    assert f"--card {card} instead of --out updates it" in capsys.readouterr().err
    assert export(run, "--card", card, format="model-card") == 0
    assert card.read_text() == f"{new}\nMore.\n"


@pytest.mark.parametrize("format", FORMATS)
def test_no_folder_of_the_machine_that_evaluated_is_exported(tmp_path: Path, format: str) -> None:
    command = "shotbench eval --data /home/anna/shards --out ~/runs/x --model_args pretrained=/home/anna/grpo/merged"
    warnings = ["3 clips are shorter than in /home/anna/shards/clips.parquet"]
    how = {"checkpoint": "/home/anna/grpo/merged", "revision": "folder 0123456789abcdef", "warnings": warnings}
    run, out = make_run(tmp_path, command=command, date="2026-11-30T12:00:00+00:00", **how), tmp_path / "exported"
    stated = ["--model", "our/model", "--organization", "Our lab", "--relationship", "first_party"]
    assert export(run, "--out", out, *stated, format=format) == 0
    written = b"".join(content for file in out.rglob("*") if file.is_file() for content in contents(file))
    assert b"our/model" in written or format == "hub"
    assert b"/home" not in written and b"anna" not in written and str(tmp_path).encode() not in written


def contents(file: Path) -> list[bytes]:
    """The content of a file, or of those in an archive."""
    if not zipfile.is_zipfile(file):
        return [file.read_bytes()]
    with zipfile.ZipFile(file) as archive:
        return [archive.read(name) for name in archive.namelist()]


@pytest.mark.parametrize(
    ("format", "options", "reason"),
    [
        ("hub", ["--card", "README.md"], "--card is for --format model-card, not hub"),
        ("model-card", ["--card", "README.md", "--out", "folder"], "give one of them"),
        ("hub", ["--push", "a/b", "--out", "folder"], "give one of them"),
        ("hub", ["--push", "a"], "a is no id of the Hub; give ORG/NAME"),
        ("hub", ["--date", "yesterday"], "yesterday is no date"),
        ("hub", ["--source-url", "file:///x"], "is no address"),
        ("hub", ["--source-name", "Logs"], "--source-url"),
        ("model-card", ["--card", "absent.md"], "absent.md: No such file"),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    tmp_path: Path, format: str, options: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(make_run(tmp_path), *options, format=format) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line


def test_a_card_that_is_no_text_is_refused_and_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = tmp_path / "README.md"
    card.write_bytes(b"\xff\xfe")
    assert export(make_run(tmp_path), "--card", card, format="model-card") == 2
    assert "not a text in UTF-8" in capsys.readouterr().err
    assert card.read_bytes() == b"\xff\xfe"
