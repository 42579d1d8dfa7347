"""The recipes of docs/film_sets.md, run as they are written, on stand-ins of published labels and generated films."""

from __future__ import annotations

import csv
import json
import re
import runpy
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.vocabulary import DIMENSIONS
from tests.support import REPOSITORY
from tests.support.made_films import MadeFilm, MadeShot

PAGE = (REPOSITORY / "docs" / "film_sets.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"<!-- recipe: (\w+) -->\n```bash\n(.*?)```", PAGE, re.DOTALL))
make_table = runpy.run_path(str(REPOSITORY / "docs" / "examples" / "film_set_tables.py"))["main"]
RATE = 24  # frames a second of the films

# What the labels of each set mean; "" if nothing may be asked about them.
STYLES = {
    "shot_size": {"ECS": "Extreme Close Up", "CS": "Close Up", "MS": "Medium", "FS": "Wide", "LS": ""},
    "camera_movement": {"Static": "Static shot", "Motion": "", "Push": "", "Pull": "", "Multi_movement": ""},
}
MEANINGS: dict[str, dict[str, dict[str, str]]] = {
    "movieshots": STYLES,
    "movienet": STYLES,
    "ave": {
        "shot_size": {
            "extreme-wide": "Extreme Wide",
            "wide": "Wide",
            "medium": "Medium",
            "close-up": "Close Up",
            "extreme-close-up": "Extreme Close Up",
        },
        "camera_angle": {
            "aerial": "Aerial",
            "overhead": "Overhead",
            "high-angle": "High angle",
            "low-angle": "Low angle",
            "eye-level": "",
        },
        "shot_framing": {
            "single-shot": "Single",
            "two-shot": "2 shot",
            "three-shot": "3 shot",
            "group-shot": "Group shot",
            "insert-shot": "Insert",
            "over-the-shoulder-shot": "Over the shoulder",
        },
        "camera_movement": {
            "locked": "Static shot",
            "handheld": "",
            "pan/truck": "",
            "tilt/pedestal": "",
            "zoom/dolly": "",
        },
    },
    "cinescale": {
        "shot_size": {
            "ECU": "Extreme Close Up",
            "CU": "Close Up",
            "MCU": "Medium Close Up",
            "MS": "Medium",
            "MLS": "Medium Wide",
            "LS": "Wide",
            "ELS": "Extreme Wide",
            "FS": "",
        },
        "shot_framing": {"Insert": "Insert"},
    },
}


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(file: Path | str) -> list[dict[str, str]]:
    with Path(file).open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def write_film(path: Path, seeds: Sequence[int], frames: int = 36) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    MadeFilm([MadeShot(frames, seed) for seed in seeds], size=(320, 180)).write(path)


def follow(name: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, dict[str, dict[str, str]]]:
    """Run the two commands of a recipe; return what the first prints, and the lines of rows.csv by shot id.

    Every row of the table is in rows.csv, every label of it a question or a reason, and every question means its label.
    """
    shutil.copytree(REPOSITORY / "docs" / "examples", "docs/examples")
    script, films = (shlex.split(line) for line in RECIPES[name].splitlines())
    assert (script[:2], films[0]) == (["python", "docs/examples/film_set_tables.py"], "shotbench")
    assert make_table(script[2:]) == 0
    printed = capsys.readouterr().out
    assert main([*films[1:], "--workers", "0"]) == 0
    table, rows = written(f"{name}.csv"), written(f"shards/{name}/rows.csv")
    assert [(row["film_id"], row["media"]) for row in rows] == [(row["film_id"], row["media"]) for row in table]
    outcomes = {cells["shot_id"]: row for cells, row in zip(table, rows, strict=True)}
    asked: dict[str, int] = dict.fromkeys(outcomes, 0)
    for item in read_questions(f"shards/{name}", "test"):
        [cells] = [cells for cells in table if cells["shot_id"].lower() in item.item_id]
        asked[cells["shot_id"]] += 1
        assert item.options["ABCD".index(item.answer)] == MEANINGS[name][item.dimension][cells[item.dimension]]
        assert set(item.options) <= set(MEANINGS[name][item.dimension].values())
    for cells in table:
        row = outcomes[cells["shot_id"]]
        labels = {slug: word for slug in (one.slug for one in DIMENSIONS) if (word := cells.get(slug, ""))}
        assert (int(row["labels"]), int(row["questions"])) == (len(labels), asked[cells["shot_id"]])
        assert len(labels) == asked[cells["shot_id"]] or row["reasons"]
        assert all(word in row["reasons"] for slug, word in labels.items() if not MEANINGS[name][slug][word])
    return printed, outcomes


def styled(scale: str = "", movement: str = "") -> dict[str, Any]:
    """Labels of one shot, as far as given; `value` is another class's, as some readers have it."""
    return {name: {"label": label, "value": 0} for name, label in (("scale", scale), ("movement", movement)) if label}


STYLED = {
    "tt0000001": {
        "0001": styled("ECS", "Static"),
        "0002": styled("CS"),
        "0003": styled("MS", "Push"),
        "0004": styled("FS", "Motion"),
        "0005": styled(movement="Pull"),
        "0006": {},
        "0007": styled("LS", "Multi_movement"),
    },
    "tt0000002": {"0000": styled("FS"), "0001": styled("MS"), "0002": styled("CS"), "0003": styled("ECS")},
}


@pytest.mark.slow
def test_movieshots_become_questions(capsys: pytest.CaptureFixture[str]) -> None:
    Path("v1_full_trailer.json").write_text(json.dumps(STYLED))
    for number, (film, shot) in enumerate((film, shot) for film, shots in STYLED.items() for shot in shots):
        write_film(Path("trailer", film, f"shot_{shot}.mp4"), [number])
    printed, rows = follow("movieshots", capsys)
    assert "11 labelled: 10 in rows, 1 left out" in printed and "1 without a label" in printed
    assert sum(int(row["questions"]) for row in rows.values()) == 8


@pytest.mark.slow
def test_shots_of_movienet_become_questions(capsys: pytest.CaptureFixture[str]) -> None:
    trailers = {"tt0000009": {"0001": styled("CS")}}
    Path("v3_full.json").write_text(json.dumps({"full": {"movie": STYLED, "trailer": trailers}}))
    Path("shots").mkdir()
    for film, seeds in (("tt0000001", range(7)), ("tt0000002", range(10, 14))):
        write_film(Path("films", f"{film}.mkv"), list(seeds))
        lines = [f"{36 * number} {36 * number + 35} {36 * number + 9}" for number in range(len(seeds))]
        Path("shots", f"{film}.txt").write_text("\n".join(lines) + "\n")
    printed, rows = follow("movienet", capsys)
    assert "12 labelled: 9 in rows, 3 left out" in printed
    assert all(
        f"1 {reason}\n" in printed for reason in ("without a label", "of a trailer", "not in the shot list of its film")
    )
    assert {row["media"] for row in rows.values()} == {"tt0000001.mkv", "tt0000002.mkv"}
    assert sum(int(row["questions"]) for row in rows.values()) == 8


def ave_shot(second: float, **values: str) -> dict[str, list[Any]]:
    found = {f"shot-{name}": [value] for name, value in values.items()}
    return {"clip-type": ["shot"], "start-time": [second], "end-time": [second + 1.5], "num-people": [2]} | found


AVE = {
    "-xBr1UV3kWqA": {
        "a0": ave_shot(0, size="medium", angle="low-angle", type="two-shot", motion="handheld"),
        "a1": ave_shot(1.5, size="extreme-wide", angle="eye-level", type="single-shot", motion="pan/truck"),
        "a2": ave_shot(3, size="close-up", angle="high-angle", type="over-the-shoulder-shot", motion="tilt/pedestal"),
        "a3": ave_shot(4.5, size="wide", angle="overhead", type="group-shot", motion="zoom/dolly"),
        "a4": ave_shot(3.9, size="wide"),  # across a cut
        "a5": ave_shot(0) | {"shot-size": []},
    },
    "02a91bd7fed": {
        "b0": ave_shot(0, size="extreme-close-up", angle="aerial", type="insert-shot", motion="locked"),
        "b1": ave_shot(1.5, size="close-up", angle="low-angle", type="three-shot", motion="locked"),
    },
}


@pytest.mark.slow
def test_shots_of_ave_become_questions(capsys: pytest.CaptureFixture[str]) -> None:
    Path("ave.json").write_text(json.dumps(AVE))
    write_film(Path("scenes", "-xBr1UV3kWqA.mp4"), range(4))
    write_film(Path("scenes", "02a91bd7fed.webm"), range(10, 12))
    printed, rows = follow("ave", capsys)
    assert "8 labelled: 7 in rows, 1 left out" in printed and "1 without a label" in printed
    assert rows["b1"]["media"] == "02a91bd7fed.webm"
    assert rows["a4"]["outcome"] == "left out" and "cut" in rows["a4"]["reasons"]
    assert int(rows["a0"]["questions"]) == 3 and "handheld" in rows["a0"]["reasons"]


@pytest.mark.slow
def test_seconds_of_cinescale_become_questions(capsys: pytest.CaptureFixture[str]) -> None:
    films = {
        "1960_Jane_Doe_-_First": ["ECU"] * 4 + ["LS"] * 3 + ["FS"] * 3 + ["CU"] * 2 + ["MS"] * 3,
        "1971_John_Doe_-_Second": ["MCU"] * 3 + ["IS"] * 4 + ["ELS"] * 3 + ["MLS"] * 3,
    }
    Path("labels").mkdir()
    for number, (name, cells) in enumerate(films.items()):
        Path("labels", f"{name}.csv").write_text(
            "second;shot_scale\n" + "".join(f"{i};{c}\n" for i, c in enumerate(cells))
        )
        runs = [cells.count(scale) for scale in dict.fromkeys(cells)]
        shots = [MadeShot(seconds * RATE, 20 * number + seed, drift=0.5) for seed, seconds in enumerate(runs)]
        Path("films").mkdir(exist_ok=True)
        MadeFilm(shots, size=(320, 180)).write(Path("films", f"{name}.mkv"))
    printed, rows = follow("cinescale", capsys)
    assert "28 labelled: 8 in rows, 20 left out" in printed and "2 in runs shorter than 3 seconds" in printed
    assert [row["still"] for row in written("cinescale.csv")[:3]] == ["2.0", "5.5", "8.5"]
    assert sum(int(row["questions"]) for row in rows.values()) >= 4


VERSIONS: dict[str, Any] = {
    "all": STYLED,
    "in splits": {"train": {"tt0000001": STYLED["tt0000001"]}, "val": {}, "test": {"tt0000002": STYLED["tt0000002"]}},
    "by medium": {"full": {"movie": {}, "trailer": STYLED}},
    "with films": {"full": {"movie": {"tt0000005": {"0001": styled("CS")}}, "trailer": STYLED}},
    "all and in splits": {"full": {"trailer": STYLED}, "test": {"trailer": STYLED}},
}


@pytest.mark.parametrize("labels", VERSIONS.values(), ids=VERSIONS)
def test_every_version_of_movieshots_gives_the_same_table(labels: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Path("labels.json").write_text(json.dumps(labels))
    assert make_table(["movieshots", "labels.json", "--out", "table.csv"]) == 0
    rows = written("table.csv")
    assert len(rows) == 10 and len({row["shot_id"] for row in rows}) == 10
    assert {(row["media"], row["shot_size"], row["camera_movement"]) for row in rows} == {
        (
            f"{film}/shot_{shot}.mp4",
            found.get("scale", {}).get("label", ""),
            found.get("movement", {}).get("label", ""),
        )
        for film, shots in STYLED.items()
        for shot, found in shots.items()
        if found
    }
    assert "1 without a label" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["CU\nCU\nCU\nIS\nIS\nIS\n", "\ufeffscale\nCU\nCU\nCU\nIS\nIS\nIS\n",
    "frame,time,label\n1,0:00,CU\n2,0:01,CU\n3,0:02,CU\n4,0:03,IS\n5,0:04,IS\n6,0:05,IS\n",
    "CU\t0\nCU\t1\n CU\t2\nIS\t3\nIS\t4\nIS\t5\n\n"])  # fmt: skip
def test_the_column_of_scales_is_found_whatever_its_name(text: str) -> None:
    Path("labels").mkdir()
    Path("labels", "a.csv").write_text(text, encoding="utf-8")
    assert make_table(["cinescale", "labels", "--out", "table.csv"]) == 0
    assert [(row["still"], row["shot_size"], row["shot_framing"]) for row in written("table.csv")] == [
        ("1.5", "CU", ""),
        ("4.5", "", "Insert"),
    ]


@pytest.mark.parametrize(
    ("name", "labels", "reason"),
    [
        ("movieshots", [1], "no JSON object"),
        ("movieshots", {"tt1": {"0001": "CS"}}, "tt1/0001 is no object"),
        ("movieshots", {"tt1": {"0001": {"scale": "CS"}}}, 'scale is "CS", no object'),
        ("movieshots", {"tt1": {"0001": {"scale": {"label": 3}}}}, "no object with a label in words"),
        ("movienet", {"movie": {"tt1": {"0001": styled("CS")}}}, "a line of tt1.txt does not begin"),
        ("movieshots", {split: {"tt1": {"0001": styled(split)}} for split in ("CS", "MS")}, "different labels"),
        ("movieshots", {"full": {"movie": STYLED}}, "no row: 11 of a film"),
        ("movienet", STYLED, "no row: 11 of a trailer"),
        ("ave", {"scene": ["a"]}, "scene is no object of shots"),
        ("ave", {"scene": {"a": {"start-time": 1.0}}}, "no row: 1 without a label"),
        ("cinescale", {"a.csv": "second,code\n0,3\n1,3\n"}, "a.csv has no column of CU, ECU"),
        ("cinescale", {}, "no .csv files"),
    ],
)  # fmt: skip
def test_labels_in_another_form_are_refused_in_one_line(
    name: str, labels: Any, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "cinescale":
        Path("labels").mkdir()
        for file, text in labels.items():
            Path("labels", file).write_text(text)
    else:
        Path("labels").write_text(json.dumps(labels))
    Path("shots").mkdir()
    Path("shots", "tt1.txt").write_text("0 35 9\n\n36\n")
    assert make_table([name, "labels", "--shots", "shots", "--out", "table.csv"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("labels: ") and reason in printed and len(printed.splitlines()) == 1
    assert not Path("table.csv").exists()
