"""`shotbench data films` on a folder of stills: from table to shards in one command."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy
import pytest
from PIL import Image

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.vocabulary import SHOT_SIZE
from tests.support.drawn_shots import drawn_film

FILMS, SHOTS = 5, 7
COMMAND = ["data", "films", "FILMS", "--table", "table.csv", "--out", "shards", "--workers", "0"]


@pytest.fixture
def film_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of grainy stills (smooth ones count as blurred) and `table.csv` beside it."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "FILMS"
    folder.mkdir()
    grain = numpy.random.default_rng(0).integers(-40, 40, (270, 480, 3))
    with (tmp_path / "table.csv").open("w", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(["film_id", "media", SHOT_SIZE.slug])
        for film in range(1, FILMS + 1):
            for shot in drawn_film(folder, film, SHOTS):
                picture = Image.open(folder / shot.media_path).resize((480, 270))
                Image.fromarray((numpy.asarray(picture) + grain).clip(0, 255).astype("uint8")).save(
                    folder / shot.media_path
                )
                table.writerow([shot.film_id, shot.media_path, shot.labels[SHOT_SIZE.slug]])
    return folder


@pytest.mark.slow
def test_one_command_makes_shards_of_films_and_cleans_up(film_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(COMMAND) == 0
    captured = capsys.readouterr()
    counts = [len(read_questions("shards", split)) for split in ("sft", "grpo", "dev", "test")]
    assert f"{sum(counts)} questions" in captured.out
    assert min(counts) > 0 and sum(counts) + captured.err.count("surplus") >= 4 * FILMS
    assert sorted(path.name for path in film_folder.parent.iterdir()) == ["FILMS", "shards", "table.csv"]
    assert main(COMMAND) == 0
    assert "complete already" in capsys.readouterr().out
    card = (film_folder.parent / "shards" / "README.md").read_text()
    assert "`shotbench data films --splits sft:6,grpo:2,dev:1,test:1 --seed 0 --options 4 " in card
    assert "All thresholds were the defaults" in card


@pytest.mark.slow
def test_a_second_call_reports_the_same_defects(film_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [*COMMAND, "--max-per-term", "1", "--report", "lost.jsonl"]
    outputs = []
    for _ in range(2):
        assert main(command) == 0
        outputs.append((capsys.readouterr().err, Path("lost.jsonl").read_text()))
    assert outputs[0][1] == outputs[1][1]
    assert [line for line in outputs[0][0].splitlines() if "surplus" in line] == outputs[1][0].splitlines() != []


@pytest.mark.slow
def test_another_seed_is_another_source(film_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(COMMAND) == 0
    assert main([*COMMAND, "--seed", "1"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*COMMAND, "--seed", "1", "--overwrite", "--keep-work"]) == 0
    assert (film_folder.parent / ".shards.work").is_dir()


def test_if_no_question_is_left_the_reasons_are_reported(film_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("strict.toml").write_text("least_sharpness = 1e9\n")
    assert main([*COMMAND, "--config", "strict.toml", "--report", "lost.jsonl"]) == 2
    errors = capsys.readouterr().err
    assert f"{FILMS * SHOTS} left out: too blurred" in errors
    message = f"no question is left to write to {Path('shards').absolute()} (too blurred: {FILMS * SHOTS}; the first"
    assert message in errors
    lost = [json.loads(line) for line in Path("lost.jsonl").read_text().splitlines()]
    assert {row["kind"] for row in lost} == {"too blurred"}
    assert not Path("shards").exists()


@pytest.mark.slow
def test_questions_that_can_be_answered_blind_are_not_written(
    film_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("table.csv").read_text().splitlines()
    wide = [",".join([*line.split(",")[:2], "Wide" if n % 9 else "Close Up"]) for n, line in enumerate(text[1:])]
    Path("table.csv").write_text("\n".join([text[0], *wide]))
    assert main([*COMMAND, "--splits", "test:1", "--unbalanced"]) == 1
    assert "without looking" in capsys.readouterr().err
    assert not Path("shards").exists()
    assert main([*COMMAND, "--splits", "test:1", "--unbalanced", "--no-gate"]) == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--max-per-term", "-1"], "--max-per-term is -1"),
        (["--gate", "nan"], "--gate is nan"),
        (["--splits", "sft:inf"], "shares must be 0 or more"),
        (["--workers", "-3"], "number of workers is -3"),
        (["--out", "FILMS/shards"], "inside the films folder"),
        (["--table", "FILMS"], "Is a directory"),
        (["--config", "FILMS"], "Is a directory"),
        (["--report", "FILMS"], "FILMS is a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_invalid_options_are_refused_before_a_film_is_cut(
    film_folder: Path, capsys: pytest.CaptureFixture[str], wrong: list[str], message: str
) -> None:
    assert main([*COMMAND, *wrong]) == 2
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in film_folder.parent.iterdir()) == ["FILMS", "table.csv"]


def test_a_target_in_use_is_refused_before_a_film_is_cut(film_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("shards").mkdir()
    Path("shards/mine.txt").touch()
    for out, message in (("shards", "mine.txt"), ("table.csv", "is not a folder")):
        assert main([*COMMAND, "--out", out]) == 2
        assert message in capsys.readouterr().err
    assert sorted(path.name for path in film_folder.parent.iterdir()) == ["FILMS", "shards", "table.csv"]


@pytest.mark.slow
def test_how_the_table_is_read_is_part_of_the_source_and_on_the_card(film_folder: Path) -> None:
    Path("words.txt").write_text("boot shot = shot size: ECU\n")
    lines = Path("table.csv").read_text().splitlines()
    Path("table.csv").write_text("\n".join([f"{lines[0]},cue", *(f"{line},0:05:00" for line in lines[1:])]))
    command = [*COMMAND, "--ignore-columns", "cue"]
    assert main(COMMAND) == 2
    assert main(command) == 0
    assert main([*command, "--aliases", "words.txt"]) == 2  # another source
    assert main([*command, "--aliases", "words.txt", "--overwrite"]) == 0
    assert "--gate 5 --ignore-columns 'cue' --aliases <1 own words>`" in Path("shards/README.md").read_text()
