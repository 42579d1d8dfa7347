"""A table and its films are checked without cutting, and every row is either usable or has one reason why not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from data_pipeline.annotations.annotation_table import PLAIN, TableOptions
from data_pipeline.defects import Defect, DefectKind
from data_pipeline.films.check_films import CheckedTable, check_films
from data_pipeline.films.cut_films import cut_films
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.workers import Workers
from lmms_eval_shotbench.cli import main
from tests.support.made_films import MadeFilm, MadeShot

TABLE = """sep=;
# shot list
film_id;media;TC In;TC Out;duration;shot_size;camera_movement;remark
heat;heat.mp4;00:00:01:00;00:00:03:00;;MCU;Push out;fine
heat;heat.mp4;00:00:03:00;;1,25;WS;;
heat;heat.mp4;00:00:04:00;00:00:09:00;;WS;;ends late
heat;heat.mp4;00:00:04:30;00:00:05:00;;WS;;no such frame
heat;heat.mp4;soon;00:00:05:00;;WS;;
heat;gone.mp4;00:00:01:00;00:00:02:00;;WS;;
heat;note.mp4;00:00:01:00;00:00:02:00;;WS;;no film
heat;pier.jpg;;;;WS;;
heat;torn.jpg;;;;WS;;
heat;heat.mp4;00:00:01:12;00:00:02:00;;;wobbly;
"""
LOST = {
    6: DefectKind.OUTSIDE_FILM,
    7: DefectKind.BAD_ROW,
    8: DefectKind.BAD_ROW,
    9: DefectKind.MISSING_MEDIUM,
    10: DefectKind.UNREADABLE_FILM,
    12: DefectKind.UNDECODABLE_MEDIUM,
    13: DefectKind.BAD_ROW,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    films = tmp_path / "FILMS"
    MadeFilm(shots=(MadeShot(130, 1),)).write(films / "heat.mp4")
    (films / "note.mp4").write_text("no film")
    Image.effect_noise((320, 180), 90).convert("RGB").save(films / "pier.jpg")
    (films / "torn.jpg").write_bytes((films / "pier.jpg").read_bytes()[:900])
    (tmp_path / "table.csv").write_text(TABLE, encoding="utf-8-sig")
    return tmp_path


def checked(folder: Path, options: TableOptions = PLAIN) -> tuple[CheckedTable, list[Defect]]:
    defects: list[Defect] = []
    found = check_films(folder / "table.csv", folder / "FILMS", CutSettings(), Workers(), defects, options)
    return found, defects


def losses(defects: Sequence[Defect]) -> dict[int, DefectKind]:
    lost = [(defect.line, defect.kind) for defect in defects if defect.loses_row]
    assert len(dict(lost)) == len(lost)  # one for each row
    return dict(lost)


def test_each_row_is_usable_or_has_one_reason_and_nothing_is_written(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    found, defects = checked(folder)
    assert found == (10, 3, 7) and found.lost == 7
    assert losses(defects) == LOST
    assert sorted(folder.rglob("*")) == before
    assert [defect.detail for defect in defects if defect.kind is DefectKind.UNREAD_COLUMN] == ["'remark'"]


def test_cutting_loses_the_rows_that_the_check_names(folder: Path) -> None:
    defects: list[Defect] = []
    cut = cut_films(
        folder / "table.csv", folder / "FILMS", folder / "work", CutSettings(least_change=0), Workers(), defects
    )
    shots = [shot.shot_id for shot in cut]
    assert losses(defects) == LOST
    assert len(shots) == 4  # a row of both gives two


def test_the_command_reports_every_row_and_says_by_its_status_whether_all_are_usable(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    command = ["data", "films", "FILMS", "--table", "table.csv", "--check", "--workers", "0"]
    assert main([*command, "--report", "found.jsonl"]) == 1
    captured = capsys.readouterr()
    assert "table.csv: rows: 10; can be cut: 3; cannot: 7" in captured.out
    for line in LOST:
        assert f"line {line}, " in captured.err
    assert "column TC In: 00:00:04:30 has frame 30" in captured.err and "write frames from 00 to 23" in captured.err
    assert "table.csv line 3: column that is not read: 'remark'" in captured.err
    assert "table.csv: unknown term: 'wobbly' in camera_movement: 1; the nearest: " in captured.err
    assert len(Path("found.jsonl").read_text().splitlines()) == len(LOST) + 3  # and two notes, and the unknown label
    kept = [text for line, text in enumerate(TABLE.splitlines(), start=1) if line not in LOST]
    Path("table.csv").write_text("\n".join(kept))
    assert main([*command, "--ignore-columns", "remark"]) == 0
    assert "rows: 3; can be cut: 3; cannot: 0" in capsys.readouterr().out


def test_rows_that_nobody_has_labelled_yet_are_counted_and_no_fault(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    header, row = "film_id,media,start,end,shot_size,camera_movement", "heat,heat.mp4,{0},{0}.9,{1},"
    filled = [row.format(1, "WS"), *(row.format(second, "") for second in (2, 3, 4))]
    Path("table.csv").write_text("\n".join([header, *filled]))
    command = ["data", "films", "FILMS", "--table", "table.csv", "--check", "--workers", "0"]
    assert main([*command, "--report", "found.jsonl"]) == 0
    printed = capsys.readouterr()
    assert "rows: 4; can be cut: 1; cannot: 3" in printed.out
    assert printed.err.count("not labelled yet") == 1 and "3 left out: not labelled yet\n" in printed.err
    assert len(Path("found.jsonl").read_text().splitlines()) == 3
    Path("table.csv").write_text("\n".join([header, *filled, row.format(9, "")]))  # outside the film
    assert main(command) == 0
    Path("table.csv").write_text("\n".join([header, *filled, row.format("soon", "")]))
    assert main(command) == 1 and "bad row" in capsys.readouterr().err


def test_the_command_reads_own_words_and_passes_over_columns(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    Path("table.csv").write_text(
        "film_id,media,in,out,shot_size,camera_movement,timecode\nheat,heat.mp4,1,2,boot shot,shaky,00:00:01\n"
    )
    Path("words.txt").write_text("boot shot = shot size: Extreme Close Up\nshaky = keep\n")
    command = ["data", "films", "FILMS", "--table", "table.csv", "--workers", "0", "--check", "--aliases", "words.txt"]
    assert main(command) == 2
    assert "has a column 'timecode', which looks like a time ('00:00:01')" in capsys.readouterr().err
    assert main([*command, "--ignore-columns", "timecode", "remark"]) == 2
    assert "no column 'remark' to ignore" in capsys.readouterr().err
    assert main([*command, "--ignore-columns", "timecode"]) == 0
    assert "words that nothing is asked about" in capsys.readouterr().err
    Path("words.txt").write_text("boot shot = shot size: Boots\n")
    assert main(command) == 2
    assert "words.txt line 1: 'Boots' is no term of shot_size; use one of" in capsys.readouterr().err


def test_shards_need_a_folder_unless_the_table_is_only_checked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert main(["data", "films", "FILMS", "--table", "table.csv", "--workers", "0"]) == 2
    assert "--out is missing" in capsys.readouterr().err


# Tables whose rows depend on columns, times and labels alone.
REAL = {"delayed.csv": 1, "fade_in.csv": 1, "flash.csv": 1, "no_decoder.csv": 3, "start_time.csv": 3}


@pytest.mark.parametrize("name", REAL)
def test_the_tables_of_the_real_films_are_read(real_data: Path, name: str) -> None:
    media = real_data / "failing_media"
    if not media.is_dir():
        pytest.skip(f"needs the films of {media}")
    defects: list[Defect] = []
    found = check_films(media / name, media, CutSettings(), Workers(), defects)
    assert found.rows == REAL[name] == found.usable + len(losses(defects))
    assert not [defect for defect in defects if defect.kind is DefectKind.UNREAD_COLUMN]
    assert losses(defects) == ({3: DefectKind.UNREADABLE_FILM} if name == "no_decoder.csv" else {})


@pytest.mark.slow
def test_start_time_and_end_time_of_the_real_film_cut_its_shots(real_data: Path, tmp_path: Path) -> None:
    media = real_data / "failing_media"
    if not media.is_dir():
        pytest.skip(f"needs the films of {media}")
    defects: list[Defect] = []
    shots = list(cut_films(media / "start_time.csv", media, tmp_path, CutSettings(), Workers(), defects))
    clips = [(shot.shot_id, shot.start_seconds, shot.end_seconds) for shot in shots if shot.end_seconds]
    assert clips == [("ch-1-clip", 0.2, 3.6), ("ch-2-clip", 4.0, 6.52), ("ch-3-clip", 6.92, 9.0)]
    assert not defects


def test_a_column_of_times_of_the_real_film_under_another_name_is_refused(
    real_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    media = real_data / "failing_media"
    if not media.is_dir():
        pytest.skip(f"needs the films of {media}")
    assert main(["data", "films", str(media), "--table", str(media / "timecode_columns.csv"), "--check"]) == 2
    message = capsys.readouterr().err
    assert "'timecode', which looks like a time ('00:00:13')" in message and "call it start" in message
