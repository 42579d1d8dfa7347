"""ShotQA's `meta.jsonl` gives films and tags: questions that disagree with the tags are named."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from data_pipeline.defects import DefectKind
from data_pipeline.releases.import_shotqa import import_shotqa
from data_pipeline.releases.release_media import ImportRefused
from data_pipeline.releases.shotqa_files import read_origins
from data_pipeline.releases.shotqa_questions import ShotQAChoices
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import (
    CAMERA_ANGLE,
    LENS_SIZE,
    LIGHTING_CONDITION,
    SHOT_FRAMING,
    SHOT_SIZE,
    Dimension,
)
from tests.support.releases import still
from tests.support.shotqa_releases import prompt, shotqa, still_row

SHOTDECK = {  # one row of the published file, shortened
    "img_id": "NJ8E6FEM.jpg",
    "title": "The Fall",
    "Frame Size": "Extreme Wide, Wide",
    "Shot Type": "Clean single, High angle, Overhead",
    "Lens Size": "Telephoto",
    "Composition": None,
    "Lighting": "Soft light, Top light, Side light",
    "Lighting Type": "Daylight, Unheard-of light",
    "Director": "Tarsem Singh",
    "Camera": "Arricam LT",
    "Lens": "Wide",  # an instrument, not a size
}


def flaws(folder: Path, dimension: Dimension, options: tuple[str, ...], letter: str) -> list[tuple[DefectKind, str]]:
    rows = [still_row("NJ8E6FEM.jpg", prompt(dimension, options), letter)]
    done = import_shotqa(
        str(shotqa(folder / "qa", [("NJ8E6FEM.jpg", still())], grpo=rows, meta=[SHOTDECK])), folder / "out"
    )
    assert sum(done.rows_written.values()) == done.rows_read == 1
    return [(defect.kind, defect.detail.partition(":")[0]) for defect in done.defects]


ANSWER, OPTION = DefectKind.ANSWER_NOT_TAGGED, DefectKind.OPTION_TAGGED


@pytest.mark.parametrize(
    ("dimension", "options", "letter", "expected"),
    [
        (SHOT_SIZE, ("Wide", "Close Up", "Medium"), "A", []),
        (SHOT_SIZE, ("Wide", "Close Up", "Extreme Wide"), "A", [(OPTION, "C")]),
        (SHOT_SIZE, ("Wide", "Close Up", "Medium"), "C", [(OPTION, "A"), (ANSWER, "C")]),
        (SHOT_FRAMING, ("Clean single", "2 shot"), "A", []),
        (CAMERA_ANGLE, ("Low angle", "High angle", "Overhead"), "C", [(OPTION, "B")]),
        (LENS_SIZE, ("Wide", "Long Lens"), "B", []),
        (LIGHTING_CONDITION, ("Soft light, Top light", "Hard light"), "A", []),
    ],
)
def test_options_are_compared_with_the_tags_of_their_dimension(
    tmp_path: Path, dimension: Dimension, options: tuple[str, ...], letter: str, expected: list[tuple[DefectKind, str]]
) -> None:
    found = flaws(tmp_path, dimension, options, letter)
    assert [flaw for flaw in found if flaw[0] in (ANSWER, OPTION)] == expected


def test_a_question_without_tags_in_its_dimension_is_not_compared(tmp_path: Path) -> None:
    (tmp_path / "meta.jsonl").write_text(json.dumps(SHOTDECK) + "\n")
    tags = dict(read_origins(tmp_path / "meta.jsonl")["NJ8E6FEM.jpg"].tags)
    assert tags["shot_framing"] == {"Single"} and tags["camera_angle"] == {"High angle", "Overhead"}
    assert tags["lens_size"] == {"Long Lens"} and tags["lighting_type"] == {"Daylight"}
    assert "composition" not in tags


def test_a_meta_file_without_films_is_refused_with_the_columns_it_has(tmp_path: Path) -> None:
    rows = [still_row("a.jpg")]
    release = shotqa(tmp_path / "qa", [("a.jpg", still())], grpo=rows, meta=[{"picture": "a.jpg", "name": "The Fall"}])
    with pytest.raises(ImportRefused, match=r"names no film .* columns picture, name; .*img_id"):
        import_shotqa(str(release), tmp_path / "out")


def test_spellings_of_one_title_are_in_one_split(tmp_path: Path) -> None:
    titles = [f"Film {number}" for number in range(30)]
    rows, meta, members = [], [], []
    for number, title in enumerate(titles):
        for copy, spelling in enumerate((title, title.upper(), f"{title} (1999)")):
            name = f"{number}-{copy}.jpg"
            rows.append(still_row(name))
            meta.append({"img_id": name, "title": spelling})
            members.append((name, still(10 * number + copy, size=(16, 16))))
    release = shotqa(tmp_path / "qa", members, grpo=rows, meta=meta)
    done = import_shotqa(str(release), tmp_path / "out", ShotQAChoices(dev_share=0.3))
    dev = Counter(item.film_id.upper()[:7].strip(" (") for item in ShardFolder(tmp_path / "out", "dev").items())
    assert set(dev.values()) == {3} and 0 < len(dev) < len(titles)
    assert done.rows_written["dev"] == dev.total()


def test_the_report_lists_every_lost_row_and_every_remark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("good.jpg", "broken.jpg", "missing.jpg")
    rows = [*(still_row(name) for name in names), still_row("good.jpg", letter="Z")]
    members = [("good.jpg", still()), ("broken.jpg", still()[:99])]
    release = shotqa(tmp_path / "qa", members, grpo=rows, meta=[{**SHOTDECK, "img_id": "good.jpg"}])
    command = ["data", "import-shotqa", str(release), "--out", str(tmp_path / "out"), "--workers", "0", "--report"]
    for _ in range(2):  # the second time from finished shards
        assert main([*command, str(tmp_path / "lost.jsonl")]) == 0
        lines = [json.loads(text) for text in (tmp_path / "lost.jsonl").read_text().splitlines()]
        assert Counter(line["kind"] for line in lines if line["loses_row"]) == {
            "bad row": 1, "undecodable medium": 1, "missing medium": 1
        }  # fmt: skip
        assert {line["kind"] for line in lines if not line["loses_row"]} == {str(ANSWER), str(OPTION)}
    assert main([*command, str(release / "sft.json")]) == 2
    assert "--report" in capsys.readouterr().err


def test_the_report_is_written_if_the_archive_is_damaged(tmp_path: Path) -> None:
    release = shotqa(tmp_path / "qa", [("a.jpg", still())], grpo=[still_row("a.jpg"), still_row("a.jpg", letter="Z")])
    archive = release / "data.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(ImportRefused, match="cut off"):
        import_shotqa(str(release), tmp_path / "out", report=tmp_path / "lost.jsonl")
    assert "bad row" in (tmp_path / "lost.jsonl").read_text()
