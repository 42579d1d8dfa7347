"""`shotbench label FILM …`: a first word that is no command is a film; unknown options are passed on."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_pipeline.commands.label_run import split_options
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.labelling.shot_sheet import ShotSheet, write_sheet
from tests.commands.test_command_lines import context_of

REST = ["--model", "shotvl", "--out", "labels"]


@pytest.mark.parametrize(
    ("words", "films"),
    [
        (["a.mp4"], ["a.mp4"]),
        (["run", "a.mp4", "b"], ["a.mp4", "b"]),
        (["--quiet", "a.mp4"], ["a.mp4"]),
        (["./score"], ["./score"]),
        (["--limit", "3", "a.mp4"], ["a.mp4"]),
    ],
)
def test_a_first_word_that_is_no_command_is_a_film(words: list[str], films: list[str]) -> None:
    context = context_of(["label", *words, *REST])
    assert context.info_name == "run"
    assert context.params["films"] == films


@pytest.mark.parametrize("command", ["apply", "calibrate", "score"])
def test_the_other_commands_keep_their_names(command: str) -> None:
    rest = {
        "apply": ["l", "c.csv"],
        "calibrate": ["l", "--truth", "t.csv", "--out", "c.json"],
        "score": ["l", "--truth", "t.csv"],
    }[command]
    assert context_of(["label", command, *rest]).info_name == command


def test_films_end_where_the_options_of_lmms_eval_begin() -> None:
    films = context_of(["label", "a.mp4", "b", "--batch_size", "4", *REST, "--gen_kwargs=x=1"]).params["films"]
    assert split_options(films) == (["a.mp4", "b"], ["--batch_size", "4", "--gen_kwargs=x=1"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.mp4", "--out", "labels"], "--model shotvl --model_args pretrained=$(shotbench tiny-model)"),
        (["--batch_size", "4", *REST], "no film before --batch_size"),
        (["a.mp4", *REST], "there is no film, still or folder "),
        (["scroe", *REST], "did you mean shotbench label score?"),
        (["-a.mp4", *REST], "-a.mp4 is an option; write ./-a.mp4 for the film of this name"),
        (["b.mp4", "-a.mp4", *REST], "-a.mp4 is an option; write ./-a.mp4 for the film of this name"),
        (["./-a.mp4", *REST, "--config", "cutting.toml"], "cutting.toml: No such file or directory"),
        (["./-a.mp4", *REST, "--offer-none"], "no model is asked in rounds; remove them, or add --ask letter"),
        (["a.mp4", *REST, "--dimensions", "size"], "'size' is no dimension"),
        (["a.mp4", *REST, "--min-confidence", "2"], "less than or equal to 1"),
    ],
)
def test_a_command_line_that_cannot_be_run_is_refused_in_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-a.mp4").touch()
    assert main(["label", *words]) == 2
    printed = capsys.readouterr().err
    assert message in printed and len(printed.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["-a.mp4"]


@pytest.mark.parametrize(
    "words",
    [
        ["run", "a.mp4", *REST, "--calibration", "files"],
        ["score", "files", "--truth", "files"],
        ["apply", "files", "files"],
    ],
)
def test_a_folder_in_place_of_a_file_is_refused_with_what_to_do(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp4").touch()
    write_sheet(tmp_path / "files", ShotSheet([], []))
    assert main(["label", *words]) == 2
    assert "files cannot be read: Is a directory; " in capsys.readouterr().err
