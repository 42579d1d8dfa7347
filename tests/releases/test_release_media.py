"""Locating media in a release: every layout is read, links out of it are refused, and so are damaged tars."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from data_pipeline.defects import DefectKind
from data_pipeline.releases.import_shotbench import import_shotbench
from data_pipeline.releases.release_media import ImportRefused
from lmms_eval_shotbench.questions.shards import ShardFolder
from tests.support.releases import CLIP_PATH, LAYOUTS, folders, good, import_defects, line, still, stills, tar_of, tars


@pytest.mark.parametrize("layout", LAYOUTS)
def test_questions_and_media_are_imported_unchanged(tmp_path: Path, layout: Callable[..., Path]) -> None:
    rows, media = good()
    release = layout(tmp_path / "release", rows, media)
    report = import_shotbench(str(release), tmp_path / "out")
    assert (report.rows_read, report.rows_written, report.rows_lost, report.defects) == (4, 4, 0, ())
    shards = ShardFolder(tmp_path / "out")
    items = list(shards.items())
    assert [item.source_index for item in items] == [1, 2, 3, 4]
    assert [shards.media(item.item_id) for item in items] == [media[item.media_path] for item in items]
    assert items[0].media_sha256 == items[3].media_sha256 != items[1].media_sha256
    assert {(item.source, item.licence) for item in items} == {("shotbench", "apache-2.0")}


def test_a_name_that_matches_two_files_is_ambiguous(tmp_path: Path) -> None:
    rows, media = good()
    release = tars(tmp_path / "release", [*rows, line(9, "image/C.jpg")], media)
    tar_of(release / "images.tar", [*stills(media), ("a/image/C.jpg", still(3)), ("b/image/C.jpg", still(4))])
    assert import_defects(release, tmp_path / "out") == [(DefectKind.AMBIGUOUS_MEDIUM, "9", True)]


def test_an_exact_name_takes_precedence_over_names_with_the_same_ending(tmp_path: Path) -> None:
    rows, media = good()
    release = tars(tmp_path / "release", rows, media)
    tar_of(release / "images.tar", [*stills(media), ("old/image/A 1.jpg", still(9))])
    import_shotbench(str(release), tmp_path / "out")
    assert ShardFolder(tmp_path / "out").media("shotbench-00001") == media["image/A 1.jpg"]


def test_the_last_of_duplicate_tar_members_is_used_and_recorded(tmp_path: Path) -> None:
    rows, media = good()
    release = tars(tmp_path / "release", rows, media)
    tar_of(release / "images.tar", [("image/B2.PNG", still(8, "PNG")), *stills(media)])
    assert import_defects(release, tmp_path / "out") == [(DefectKind.DUPLICATE_MEMBER, "2", False)]
    assert ShardFolder(tmp_path / "out").media("shotbench-00002") == media["image/B2.PNG"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_never_followed(tmp_path: Path, kind: bytes) -> None:
    rows, media = good()
    release = tars(tmp_path / "release", [*rows, line(9, "image/C.jpg")], media)
    special = tarfile.TarInfo("image/C.jpg")
    special.type, special.linkname = kind, "image/A 1.jpg" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    tar_of(release / "images.tar", stills(media), (special,))
    assert import_defects(release, tmp_path / "out") == [(DefectKind.NOT_A_REGULAR_FILE, "9", True)]


def test_links_in_a_folder_may_not_leave_the_release(tmp_path: Path) -> None:
    rows, media = good()
    wanted = ["inside", "outside", "circle", "nowhere", "pipe"]
    rows += [line(10 + number, f"image/{name}.jpg") for number, name in enumerate(wanted)]
    release = folders(tmp_path / "release", rows, media)
    image = release / "image"
    secret = tmp_path.parent / f"{tmp_path.name}-secret.jpg"
    secret.write_bytes(still(6))
    (image / "inside.jpg").symlink_to("A 1.jpg")
    (image / "outside.jpg").symlink_to(secret)
    (image / "circle.jpg").symlink_to("circle.jpg")
    (image / "nowhere.jpg").symlink_to("gone.jpg")
    os.mkfifo(image / "pipe.jpg")
    lost = [(DefectKind.NOT_A_REGULAR_FILE, str(index), True) for index in (11, 12, 13, 14)]
    assert import_defects(release, tmp_path / "out") == lost


def test_a_media_folder_that_is_a_link_out_of_the_release_is_refused(tmp_path: Path) -> None:
    rows, media = good()
    elsewhere = folders(tmp_path / "elsewhere", rows, media)
    release = folders(tmp_path / "release", rows, {CLIP_PATH: media[CLIP_PATH]})
    (release / "image").symlink_to(elsewhere / "image")
    with pytest.raises(ImportRefused, match="link out of the release"):
        import_shotbench(str(release), tmp_path / "out")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2_000])


def truncated_at_a_member(path: Path) -> None:
    with tarfile.open(path) as tar:
        end = tar.getmembers()[-1].offset
    path.write_bytes(path.read_bytes()[:end])


def broken_header(path: Path) -> None:
    with tarfile.open(path) as tar:
        start = tar.getmembers()[-1].offset
    data = bytearray(path.read_bytes())
    data[start + 150] ^= 0xFF
    path.write_bytes(data)


def compressed(path: Path) -> None:
    import gzip

    path.write_bytes(gzip.compress(path.read_bytes()))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def html_page(path: Path) -> None:
    path.write_bytes(b"<html>" * 1000)


@pytest.mark.parametrize("damage", [truncated, truncated_at_a_member, broken_header, compressed, emptied, html_page])
def test_a_damaged_tar_is_one_clear_error(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    release = tars(tmp_path / "release", *good())
    complete = (release / "images.tar").read_bytes()
    damage(release / "images.tar")
    with pytest.raises(ImportRefused, match=r"images\.tar"):
        import_shotbench(str(release), tmp_path / "out", allow_missing=True)
    assert [path.name for path in tmp_path.iterdir()] == ["release"]
    (release / "images.tar").write_bytes(complete)
    assert import_shotbench(str(release), tmp_path / "out").rows_written == 4
