"""`shotbench label` with the tiny model: files, exit status, and what is printed."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.labelling.deciding.calibration import Calibration, CellCalibration, Logistic
from lmms_eval_shotbench.labelling.shot_sheet import read_sheet
from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL
from tests.support.interrupted_command import interrupted
from tests.support.made_films import MadeFilm, MadeShot

pytestmark = [pytest.mark.slow, pytest.mark.host]
MODEL = ["--model", "shotvl", "--model_args", f"pretrained={TINY_SHOTVL},device=cpu", "--quiet"]


def test_a_film_is_labelled_and_a_broken_one_makes_the_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    MadeFilm().write(tmp_path / "films" / "heat.mp4")
    asked = ["--dimensions", "shot_size,camera_movement", "--out", "labels", "--workers", "0"]
    assert main(["label", "films", *MODEL, *asked]) == 0
    assert "films: 1 of 1; shots: 3; labels: 6 " in capsys.readouterr().out
    sheet = read_sheet(tmp_path / "labels")
    assert [list(row.cells) for row in sheet.shots] == [["shot_size", "camera_movement"]] * 3
    assert all(row.votes for row in sheet.shots)
    assert sheet.run["command"][:3] == ["shotbench", "label", "films"]
    assert {path.suffix for path in (tmp_path / "labels" / "timelines").iterdir()} >= {".otio", ".edl"}
    captions = (tmp_path / "labels" / "captions" / "clips" / "metadata.jsonl").read_text().splitlines()
    assert len(captions) == 3 and json.loads(captions[0])["text"]

    (tmp_path / "films" / "broken.mp4").write_bytes(b"no film")
    assert main(["label", "films", *MODEL, *asked]) == 1
    assert "broken.mp4: cannot be decoded" in capsys.readouterr().err
    assert main(["label", "films/broken.mp4", *MODEL, "--out", "other"]) == 2
    assert "no film has a shot that can be labelled: broken.mp4" in capsys.readouterr().err


def test_a_calibration_of_another_model_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    MadeFilm().write(tmp_path / "heat.mp4")
    Calibration({"shot_size": {"other@1 by letter": CellCalibration(Logistic(0.0))}}).write(tmp_path / "fitted.json")
    rest = ["--out", "labels", "--dimensions", "shot_size", "--no-page", "--no-timelines", "--no-captions"]
    assert main(["label", "heat.mp4", *MODEL, *rest, "--calibration", "fitted.json"]) == 0
    printed = capsys.readouterr().err
    assert "fitted.json does not apply to shot_size: it is of other@1 by letter, and asked were tiny_shotvl@" in printed


def test_listed_shots_are_labelled_in_place_of_detected_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    MadeFilm().write(tmp_path / "heat.mp4")
    (tmp_path / "shots.csv").write_text("media,start,end\nheat.mp4,0.5,1\nheat.mp4,2,3\n")
    rest = ["--out", "labels", "--dimensions", "shot_size", "--no-page", "--no-timelines", "--no-captions"]
    assert main(["label", "heat.mp4", *MODEL, *rest, "--shots", "shots.csv"]) == 0
    shots = [row.shot for row in read_sheet(tmp_path / "labels").shots]
    assert [(shot.start_seconds, shot.end_seconds) for shot in shots] == [(0.5, 1), (2, 3)]
    assert not {"labels.html", "timelines", "captions"} & {path.name for path in (tmp_path / "labels").iterdir()}
    (tmp_path / "shots.csv").write_text("media,start,end\nheat.mp4,0.5,1\nheat.mp4,80,81\n")
    assert main(["label", "heat.mp4", *MODEL, *rest, "--shots", "shots.csv"]) == 1
    assert "line 3 of the list: column start: 80 s, but the film lasts 5.000 s" in capsys.readouterr().err


def test_interrupted_while_cutting_and_while_asking_it_resumes_to_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    MadeFilm(tuple(MadeShot(24, seed) for seed in range(8))).write(tmp_path / "heat.mp4")
    command = ["label", "heat.mp4", *MODEL, "--out", "labels", "--dimensions", "shot_size"]
    kept = "films that are cut and votes so far are kept in labels, and the same command continues from there"
    for begun in ("media/.heat.partial/shards/*", "votes/*.jsonl"):
        ended = interrupted(command, partial(any_file, tmp_path / "labels", begun), tmp_path)
        assert (ended.returncode, ended.stdout) == (130, "")
        assert ended.stderr.splitlines()[-1] == f"shotbench: interrupted; {kept}"
    files = []
    for name in ("resumed", "undisturbed"):
        assert main(command) == 0
        Path("labels").rename(name)
        files.append({path.relative_to(name): path.read_bytes() for path in Path(name).rglob("*") if path.is_file()})
    assert files[0] == files[1]


def any_file(folder: Path, pattern: str) -> bool:
    return any(folder.glob(pattern))
