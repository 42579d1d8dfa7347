"""The real media that showed faults, together in one table of films, in both releases, and in the audit of the result.

Single files are tested where their fault was: cuts and pictures in `tests/films/`, tables in `tests/annotations/` and
`tests/films/test_check_films.py`, clips in `tests/media/test_bad_media.py`.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from data_pipeline.checks.audit import audit_shards
from data_pipeline.releases.import_shotbench import import_shotbench
from data_pipeline.releases.import_shotqa import import_shotqa
from data_pipeline.releases.shotqa_questions import ShotQAChoices
from data_pipeline.workers import Workers
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.shards import MEDIA_COLUMNS, ShardFolder
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.releases import line, tars
from tests.support.shotqa_releases import clip_row, shotqa, still_row

pytestmark = pytest.mark.slow  # all media are decoded
RAW = "ax-video_dovi_3840x2160_30fps_dav1_10.mp4"
FILMS = {  # a range inside one shot
    "chaplin.mp4": (0.2, 3.4),
    "im-cockatoo.mp4": (1.0, 3.0),
    "ax-sample.avi": (1.0, 2.5),
    "ax-roadtrip-vp92-10bit.webm": (0.1, 0.8),
    "vp8_altref.webm": (0.2, 1.2),
    "ax-sample_rotate_and_reflect.mp4": (0.1, 0.9),
    RAW: (0.1, 1.0),
}
STILLS = (
    "im-coffee.png",
    "paris.png",
    "pl-16bit.cropped.tif",
    "av-seine_hdr_rec2020.avif",
    "av-seine_sdr_gainmap_srgb.avif",
)
CLIPS = (*FILMS, "flash.mp4", "video_starts_at_2s.mp4")


@pytest.fixture(scope="module")
def media(real_data: Path) -> Path:
    folder = real_data / "failing_media"
    if not folder.is_dir():
        pytest.skip(f"needs the films of {folder}")
    return folder


def stills_that_datasets_decodes(shards: Path, split: str, cache: Path) -> int:
    import datasets

    rows = datasets.load_dataset(str(shards), split=split, cache_dir=str(cache))
    rows = rows.cast_column(MEDIA_COLUMNS[MediaKind.CLIP], datasets.Video(decode=False))
    assert len(rows) == len(list(ShardFolder(shards, split).items()))
    return sum(row[MEDIA_COLUMNS[MediaKind.STILL]] is not None for row in rows)


def test_of_all_films_and_stills_in_one_table_only_camera_raw_is_lost(media: Path, tmp_path: Path) -> None:
    table = tmp_path / "shots.csv"
    with table.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["film_id", "media", "start", "end", "shot_size", "camera_movement"])
        writer.writerows([name, name, *times, "WS", "Pan left"] for name, times in FILMS.items())
        writer.writerows([name, name, "", "", "CU", ""] for name in STILLS)
    settings = tmp_path / "settings.toml"
    settings.write_text("least_side = 32\nleast_sharpness = 0.0\nleast_brightness = 0\nleast_change = 0.0\n")
    out = tmp_path / "out"
    command = ["data", "films", str(media), "--table", str(table), "--out", str(out), "--config", str(settings)]
    assert main([*command, "--splits", "sft:1", "--unbalanced", "--no-gate", "--trust-ids", "--workers", "0"]) == 0
    with (out / "rows.csv").open(newline="") as lines:
        rows = {row["media"]: row for row in csv.DictReader(lines)}
    assert list(rows) == [*FILMS, *STILLS]
    lost = {name: row["reasons"] for name, row in rows.items() if row["questions"] == "0"}
    # The two encodings of one photograph look alike.
    assert lost.pop("av-seine_sdr_gainmap_srgb.avif", "duplicate picture").startswith("duplicate picture")
    assert lost == {RAW: "unreadable film: cannot be decoded: no decoder for 'dav1'"}
    assert rows["paris.png"]["warnings"].startswith("unreadable EXIF")
    assert stills_that_datasets_decodes(out, "sft", tmp_path / "cache") >= len(STILLS) - 1


def test_imports_keep_all_of_them_but_camera_raw_and_the_audit_accepts_what_they_keep(
    media: Path, tmp_path: Path
) -> None:
    encoded = {f"image/{name}": (media / name).read_bytes() for name in STILLS}
    encoded |= {f"video/{name}": (media / name).read_bytes() for name in CLIPS}
    rows = [line(number, path) for number, path in enumerate(encoded, 1)]
    done = import_shotbench(str(tars(tmp_path / "a", rows, encoded)), tmp_path / "bench", allow_missing=True)
    members = [(path.split("/")[1], content) for path, content in encoded.items()]
    grpo = [*map(still_row, STILLS), *map(clip_row, CLIPS)]
    others = import_shotqa(str(shotqa(tmp_path / "b", members, grpo=grpo)), tmp_path / "qa", ShotQAChoices(dev_share=0))
    for shards, defects, split in ((done.folder, done.defects, "test"), (others.folder, others.defects, "grpo")):
        lost = {Path(defect.path).name: defect.detail for defect in defects if defect.loses_row}
        assert list(lost) == [RAW] and "no decoder for 'dav1'" in lost[RAW]
        assert len(list(ShardFolder(shards, split).items())) == len(encoded) - 1
        assert stills_that_datasets_decodes(shards, split, tmp_path / "cache") == len(STILLS)
        report = audit_shards(str(shards), (), None, Workers())
        assert (report.questions, report.undecodable, report.unusable) == (len(encoded) - 1, [], 0)
    assert done.rows_read == done.rows_written + 1 == len(rows)
