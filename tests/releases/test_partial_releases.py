"""Import of a part of the release: without one of its tars, and of some dimensions only."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import pytest
from datasets import load_dataset
from PIL import Image

from data_pipeline.defects import DefectKind
from data_pipeline.releases.import_shotbench import import_shotbench
from data_pipeline.releases.release_media import ImportRefused, trust_medium
from data_pipeline.workers import Workers
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE, MediaKind
from tests.support.real_data import release_rows
from tests.support.releases import CLIP_PATH, Row, clip, good, line, still, tar_of, tars
from tests.support.rotated_stills import rotated
from tests.support.shard_rows import checksums

COMMAND = ["data", "import-shotbench"]
LATER = [line(number, "image/A 1.jpg") for number in range(3_570, 3_610)]  # releases differ in their number of rows


@pytest.mark.parametrize(
    ("tar", "kept", "lost"), [("videos.tar", {"1", "2", "4"}, {"3"}), ("images.tar", {"3"}, {"1", "2", "4"})]
)
def test_a_release_without_a_tar_gives_the_other_media_and_names_each_missing_one(
    tmp_path: Path, tar: str, kept: set[str], lost: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    release = tars(tmp_path / "release", *good())
    (release / tar).unlink()
    with pytest.raises(ImportRefused, match=rf"neither {tar} .* --allow-missing or --dimensions"):
        import_shotbench(str(release), tmp_path / "out")
    command = [*COMMAND, str(release), "--out", str(tmp_path / "out"), "--allow-missing"]
    assert main([*command, "--report", str(tmp_path / "lost.jsonl")]) == 0
    printed = capsys.readouterr()
    assert f"{len(kept)} of 4 rows, {len(lost)} left out" in printed.out
    assert f"{len(lost)} left out: missing medium" in printed.err and f"there is no {tar}" in printed.err
    rows = [json.loads(text) for text in (tmp_path / "lost.jsonl").read_text().splitlines()]
    assert {row["index"] for row in rows} == lost and all(row["loses_row"] for row in rows)
    assert {str(item.source_index) for item in ShardFolder(tmp_path / "out").items()} == kept


def test_a_release_without_any_medium_is_refused(tmp_path: Path) -> None:
    release = tars(tmp_path / "release", *good())
    for tar in ("images.tar", "videos.tar"):
        (release / tar).unlink()
    with pytest.raises(
        ImportRefused, match=r"put images\.tar of the release there|put videos\.tar of the release there"
    ):
        import_shotbench(str(release), tmp_path / "out", allow_missing=True)


def test_only_the_given_dimensions_are_imported_and_only_their_media_are_needed(tmp_path: Path) -> None:
    rows, media = good()
    broken = line(9, "image/gone.jpg", category="lens size", options=json.dumps(dict(zip("ABC", "xyz", strict=True))))
    release = tars(tmp_path / "release", [*rows, *LATER, broken], media)
    (release / "videos.tar").unlink()
    done = import_shotbench(str(release), tmp_path / "out", dimensions=[SHOT_SIZE.slug])
    assert (done.rows_read, done.rows_written, done.rows_lost) == (3 + len(LATER), 3 + len(LATER), 0)
    assert {item.dimension for item in ShardFolder(tmp_path / "out").items()} == {SHOT_SIZE.slug}
    assert "Only the questions about shot_size were imported" in (tmp_path / "out" / "README.md").read_text()
    assert import_shotbench(str(release), tmp_path / "out", dimensions=[SHOT_SIZE.slug]).already_complete


def test_dimensions_are_named_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release = str(tars(tmp_path / "release", *good()))
    command = [*COMMAND, release, "--out", str(tmp_path / "out"), "--dimensions"]
    assert main([*command, "colour"]) == 2
    assert "'colour' is no dimension; use one of shot_size" in capsys.readouterr().err
    assert main([*command, CAMERA_MOVEMENT.slug]) == 0
    assert "1 of 1 rows" in capsys.readouterr().out
    assert main([*command, "camera_movement", "shot size"]) == 2  # another source in the same folder
    assert main([*command, "camera_movement", "shot size", "--overwrite"]) == 0
    assert "4 of 4 rows" in capsys.readouterr().out


def test_a_row_of_no_dimension_is_lost_whatever_dimensions_are_imported(tmp_path: Path) -> None:
    rows, media = good()
    release = tars(tmp_path / "release", [*rows, line(9, "image/A 1.jpg", category="colour")], media)
    done = import_shotbench(str(release), tmp_path / "out", dimensions=[SHOT_SIZE.slug], allow_missing=True)
    assert [(defect.kind, defect.index) for defect in done.defects] == [(DefectKind.BAD_ROW, "9")]


@pytest.mark.ray
def test_workers_give_the_shards_that_threads_give(tmp_path: Path, two_workers: Workers) -> None:
    rows, media = good()
    media |= {"image/turned.jpg": rotated(6), "image/broken.jpg": still(7)[:200]}
    paths = ["image/turned.jpg", "image/broken.jpg", "image/turned.jpg", "image/A 1.jpg", "image/missing.jpg"]
    release = tars(tmp_path / "release", [*rows, *(line(n, path) for n, path in enumerate(paths, 20))], media)
    for out, workers in (("processes", two_workers), ("threads", Workers())):
        done = import_shotbench(str(release), tmp_path / out, allow_missing=True, workers=workers)
        kinds = Counter(defect.kind for defect in done.defects if defect.loses_row)
        assert kinds == {DefectKind.UNDECODABLE_MEDIUM: 1, DefectKind.MISSING_MEDIUM: 1}
        assert (done.rows_read, done.rows_written) == (9, 7)
    assert checksums(tmp_path / "threads") == checksums(tmp_path / "processes")


@pytest.mark.slow
def test_the_published_questions_are_imported_without_the_clips(tmp_path: Path, real_data: Path) -> None:
    rows: list[Row] = release_rows(real_data / "shotbench" / "test.tsv")
    paths = {row["path"].strip("[]'\"") for row in rows if "video" not in row["type"]}
    (tmp_path / "release").mkdir()
    (tmp_path / "release" / "test.tsv").write_bytes((real_data / "shotbench" / "test.tsv").read_bytes())
    picture = still(size=(16, 16))
    tar_of(tmp_path / "release" / "images.tar", [(path, picture) for path in sorted(paths)])
    done = import_shotbench(str(tmp_path / "release"), tmp_path / "out", allow_missing=True)
    clips = [row["index"] for row in rows if "video" in row["type"]]
    missing = [defect for defect in done.defects if defect.kind is DefectKind.MISSING_MEDIUM]
    assert sorted(defect.index for defect in missing) == sorted(clips) and len(clips) > 400
    assert (done.rows_read, done.rows_written) == (len(rows), len(rows) - len(clips))


def test_a_clip_is_not_searched_among_the_stills(tmp_path: Path) -> None:
    rows, media = good()
    release = tars(tmp_path / "release", rows, media)
    (release / "videos.tar").unlink()
    tar_of(release / "images.tar", [*((name, data) for name, data in media.items() if name != CLIP_PATH),
                                    (f"image/{Path(CLIP_PATH).name}", clip())])  # fmt: skip
    done = import_shotbench(str(release), tmp_path / "out", allow_missing=True)
    assert [defect.kind for defect in done.defects] == [DefectKind.MISSING_MEDIUM]


@pytest.mark.parametrize(("form", "options"), [("JPEG2000", {}), ("JPEG2000", {"no_jp2": True}), ("MPO", {})])
def test_rare_formats_of_stills_are_imported_and_broken_ones_are_lost(
    tmp_path: Path, form: str, options: dict[str, bool]
) -> None:
    stream = io.BytesIO()
    Image.open(io.BytesIO(still(5))).save(stream, form, **options)
    encoded = stream.getvalue()
    assert trust_medium(MediaKind.STILL, encoded).flaw is None
    media = {"image/complete.jpf": encoded, "image/broken.jpf": encoded[: len(encoded) // 3]}
    release = tars(tmp_path / "release", [line(n, path) for n, path in enumerate(media, 1)], media)
    done = import_shotbench(str(release), tmp_path / "out", allow_missing=True)
    assert [(defect.kind, defect.index) for defect in done.defects] == [(DefectKind.UNDECODABLE_MEDIUM, "2")]
    (row,) = load_dataset(str(tmp_path / "out"), split="test", cache_dir=str(tmp_path / "cache"))
    assert row["image"].size == (64, 36)
