"""Rows in are rows out and defects, exactly: each label of each row is a question or has a reason why not."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy
import pytest
from PIL import Image

from data_pipeline.checks.media_hashes import shard_splits
from data_pipeline.defects import Defect, DefectKind, require_balance
from data_pipeline.row_account import Outcome, RowAccount, TableRow, WrittenQuestion, rows_csv
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import DIMENSIONS, MediaKind
from tests.support.drawn_shots import drawn_film

STILL_DIMENSIONS = [dimension for dimension in DIMENSIONS if dimension.media_kind is MediaKind.STILL]
SLUGS = [dimension.slug for dimension in STILL_DIMENSIONS]
HEADER = ["film_id", "media", "shot_id", "start", "remark", *SLUGS, "camera_movement"]
COMMAND = ["data", "films", "FILMS", "--table", "table.csv", "--workers", "0", "--out"]
OPTIONS = [
    [],
    ["--unbalanced", "--no-gate", "--splits", "sft:1,test:1"],
    ["--max-per-term", "1", "--trust-ids", "--options", "3", "--fewest-options", "3"],
    ["--aliases", "words.txt", "--unbalanced", "--no-gate", "--difficulty", "hard"],
    ["--against", "benchmark", "--unbalanced", "--no-gate", "--splits", "grpo:3,dev:1"],
    ["--ignore-columns", "lens_size", "remark", "--config", "strict.toml", "--no-gate"],
]


def write_folder(folder: Path, seed: int) -> None:
    """Films of grainy stills, and a table with faults of all kinds that a row can have."""
    random, films = Random(seed), folder / "FILMS"
    films.mkdir()
    grain = numpy.random.default_rng(seed).integers(-40, 40, (180, 320, 3))
    rows: list[list[str]] = []
    for film in range(1, 5):
        for shot in drawn_film(films, film, 6):
            picture = numpy.asarray(Image.open(films / shot.media_path).resize((320, 180))) + grain
            Image.fromarray(picture.clip(0, 255).astype("uint8")).save(films / shot.media_path)
            labels = [shot.labels[slug] for slug in SLUGS]
            rows.append([shot.film_id, shot.media_path, "", "", "", *labels, ""])
    Image.new("RGB", (320, 180)).save(films / "dark.png")
    (films / "torn.jpg").write_bytes((films / rows[0][1]).read_bytes()[:900])
    (films / "again.jpg").write_bytes((films / rows[3][1]).read_bytes() + b"again")
    for row in random.sample(rows, 8):
        position = random.randrange(5, 5 + len(SLUGS))
        row[position] = random.choice(["", "wobbly", "handheld", f"{row[position]}, {row[position]}", "eye level"])
    first = SLUGS.index("shot_size") + 5
    rows += [
        [*rows[0][:2], "same moment", *rows[0][3:]],
        ["film1", "again.jpg", *rows[3][2:]],
        ["film2", "gone.jpg", *rows[4][2:]],
        ["film2", "torn.jpg", *rows[4][2:]],
        ["film3", "dark.png", *rows[4][2:]],
        ["", rows[5][1], "", *rows[5][3:]],
        [*rows[6][:2], "timed", "1.5", *rows[6][4:]],
        [*rows[7][:2], "moving", *rows[7][3:-1], "Pan left"],
        [*rows[8][:5], *[""] * len(SLUGS), ""],
        ["", "", "", "", "end of reel 1", *[""] * len(SLUGS), ""],
        [*rows[9], "one cell", "too many"],
        ["FILM4", "dark.png", *["x" if n == first else "" for n in range(2, len(HEADER))]],
    ]
    random.shuffle(rows)
    with (folder / "table.csv").open("w", newline="") as lines:
        csv.writer(lines).writerows([HEADER, *rows])
    (folder / "words.txt").write_text("handheld = keep\neye level = keep\nwobbly = shot size: ECU\n")
    (folder / "strict.toml").write_text("least_sharpness = 300.0\n")


def assert_books_balance(folder: Path, ignored: Sequence[str] = ()) -> Counter[str]:
    """Compare table, `rows.csv`, `defects.jsonl` and shards, each read on its own; returns rows by outcome."""
    with Path("table.csv").open(newline="") as lines:
        table = list(csv.reader(lines))[1:]
    with (folder / "rows.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [int(row["line"]) for row in rows] == list(range(2, len(table) + 2))
    items = [(split, item) for split in shard_splits(folder) for item in ShardFolder(folder, split).items()]
    assert sum(int(row["questions"]) for row in rows) == len(items) == len({item.item_id for _, item in items})
    by_split = Counter(row["split"] for row in rows for _ in range(int(row["questions"])))
    assert by_split == Counter(split for split, _ in items)
    lost = {int(line) for line in lines_with_losses(folder)}
    for cells, row in zip(table, rows, strict=True):
        named = dict(zip(HEADER, cells, strict=False))
        wanted = [slug for slug in (*SLUGS, "camera_movement") if named.get(slug) and slug not in ignored]
        labels, questions = int(row["labels"]), int(row["questions"])
        assert labels == (len(wanted) if len(cells) == len(HEADER) and any(cells[:4] + wanted) else 0), row
        complete = questions == labels > 0
        assert row["outcome"] == ("complete" if complete else "in part" if questions else "left out"), row
        assert bool(row["reasons"]) == (not complete), row
        assert questions or int(row["line"]) in lost, row
        assert not (complete and int(row["line"]) in lost), row
    return Counter(row["outcome"] for row in rows)


def lines_with_losses(folder: Path) -> list[int]:
    defects = [json.loads(line) for line in (folder / "defects.jsonl").read_text().splitlines()]
    assert all(defect["line"] for defect in defects if defect["loses_row"])
    return [defect["line"] for defect in defects if defect["loses_row"]]


@pytest.fixture(scope="module")
def benchmark_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of the same pictures, against which the others are decontaminated."""
    folder = tmp_path_factory.mktemp("benchmark")
    write_folder(folder, 0)
    lines = (folder / "table.csv").read_text().splitlines()
    (folder / "table.csv").write_text("\n".join([lines[0], *(line for line in lines if line.startswith("film2,"))]))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([*COMMAND, "shards", "--splits", "test:1", "--unbalanced", "--no-gate"]) == 0
    return folder / "shards"


@pytest.mark.parametrize("options", [pytest.param(one, marks=pytest.mark.slow) if one else one for one in OPTIONS])
def test_each_label_of_each_row_is_a_question_or_has_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, options: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path, 0)
    if "--against" in options:
        options = [str(request.getfixturevalue("benchmark_shards")) if one == "benchmark" else one for one in options]
    assert main([*COMMAND, "out", *options]) == 0
    counts = assert_books_balance(Path("out"), ["lens_size"] if "lens_size" in options else [])
    assert counts["left out"] >= 9 and counts.total() - counts["left out"] > 3


@pytest.mark.slow
def test_a_medium_that_is_lost_when_it_is_written_is_lost_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data_pipeline import build_dataset

    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path, 1)
    read = build_dataset._medium_bytes

    def failing(media: Path, item: object) -> bytes:
        if "film1-1002" in str(item):
            raise OSError("Input/output error")
        return read(media, item)  # type: ignore[arg-type]

    monkeypatch.setattr(build_dataset, "_medium_bytes", failing)
    assert main([*COMMAND, "out", "--unbalanced", "--no-gate", "--splits", "sft:1"]) == 0
    assert_books_balance(Path("out"))
    assert "reading it again to write it failed: Input/output error" in Path("out/rows.csv").read_text()


def test_rows_of_questions_that_fail_the_audit_are_listed_with_that_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path, 0)
    lines = [line.split(",") for line in Path("table.csv").read_text().splitlines() if "jpg" in line]
    wide = [",".join([*cells[:2], "Wide" if number % 9 else "Close Up"]) for number, cells in enumerate(lines)]
    Path("table.csv").write_text("\n".join(["film_id,media,shot_size", *wide]))
    assert main([*COMMAND, "out", "--splits", "test:1", "--unbalanced", "--rows", "rows.csv"]) == 1
    with Path("rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["outcome"] for row in rows} == {"left out"} and not Path("out").exists()
    assert Counter(row["reasons"] for row in rows)["the audit failed"] > 10


ROWS = [TableRow(2, "heat", "heat.mp4", "a", 2), TableRow(3, "heat", "heat.mp4", "b", 1)]
LOSS = Defect(DefectKind.TOO_DARK, 3, "b", "heat.mp4", "8", loses_row=True)
ASKED = [WrittenQuestion(2, "sft", MediaKind.STILL), WrittenQuestion(2, "sft", MediaKind.CLIP)]


def test_an_account_that_does_not_add_up_is_an_error() -> None:
    balanced = RowAccount(ROWS, ASKED).balanced_outcomes([LOSS])
    assert [row.outcome for row in balanced] == [Outcome.COMPLETE, Outcome.LEFT_OUT]
    assert (balanced[0].questions, balanced[0].about_still, balanced[0].about_clip) == (2, 1, 1)
    assert rows_csv(balanced).splitlines()[2] == "3,heat,heat.mp4,b,left out,1,0,0,0,,too dark: 8,"
    cases = [
        (ASKED, [], "line 3"),  # a row vanished
        (ASKED[:1], [LOSS], "line 2"),  # a label vanished
        ([*ASKED, WrittenQuestion(3, "sft", MediaKind.STILL)], [LOSS], "line 3"),  # both asked and lost
        ([*ASKED, *ASKED], [LOSS], "line 2"),
        ([*ASKED, WrittenQuestion(9, "sft", MediaKind.STILL)], [LOSS], "no row"),
    ]
    for questions, defects, named in cases:
        with pytest.raises(RuntimeError, match=named):
            RowAccount(ROWS, questions).balanced_outcomes(defects)
    require_balance(3, 2, 1)
    with pytest.raises(RuntimeError, match="3 rows were read, 1 written and 1 lost"):
        require_balance(3, 1, 1)
