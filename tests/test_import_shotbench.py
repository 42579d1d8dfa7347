"""Import of the release: every kind of defect is named, nothing is lost silently, nothing is left behind."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import struct
import subprocess
import sys
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from data_pipeline.check_media import DefectKind, check_medium
from data_pipeline.cli import add_commands
from data_pipeline.import_shotbench import RowsLost, import_shotbench
from data_pipeline.release_media import ImportRefused, Medium, Release
from data_pipeline.whole_folder import WriteRefused
from lmms_eval_shotbench.qa_item import RELEASE_COLUMNS
from lmms_eval_shotbench.shards import ShardFolder, read_tsv
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE, MediaKind

ROOT = Path(__file__).resolve().parents[1]
REAL = Path(os.environ.get("SHOTBENCH_REAL_DATA", ROOT / "../shared/data")) / "shotbench/test.tsv"
CLIP_PATH = "video/videoplayback (27).mp4_scene_7_1.mp4"
Media = dict[str, bytes]
Row = dict[str, str]


def still(number: int = 0, form: str = "JPEG", size: tuple[int, int] = (64, 36)) -> bytes:
    stream = io.BytesIO()
    pixels = numpy.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype="uint8")
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def clip(frames: int = 3) -> bytes:
    stream = io.BytesIO()
    options = {} if frames else {"movflags": "empty_moov"}
    with av.open(stream, "w", format="mp4", options=options) as container:
        track = container.add_stream("libx264", rate=24)
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
        for number in range(frames):
            picture: Any = numpy.full((48, 64, 3), 40 * number % 256, dtype="uint8")
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(track.encode())
    return stream.getvalue()


def bomb(width: int = 50_000, height: int = 50_000) -> bytes:
    """A PNG whose header claims a huge picture."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def line(index: int | str, path: str, **changes: str) -> Row:
    dimension = CAMERA_MOVEMENT if path.startswith("video") else SHOT_SIZE
    options = dict(zip("ABCD", [term.name for term in dimension.terms], strict=False))
    row = {
        "index": str(index),
        "type": json.dumps(["video" if path.startswith("video") else "image"]),
        "path": repr([path]),
        "question": dimension.question,
        "options": json.dumps(options),
        "answer": "B",
        "category": dimension.release_label,
    }
    return row | changes


def good() -> tuple[list[Row], Media]:
    media = {"image/A 1.jpg": still(1), "image/B2.PNG": still(2, "PNG"), CLIP_PATH: clip()}
    return [line(n, path) for n, path in enumerate([*media, "image/A 1.jpg"], 1)], media


def write_tsv(folder: Path, rows: list[Row]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "test.tsv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, RELEASE_COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def stills(media: Media) -> list[tuple[str, bytes]]:
    return [(path, data) for path, data in media.items() if path.startswith("image")]


def tar_of(path: Path, members: list[tuple[str, bytes]], special: tuple[tarfile.TarInfo, ...] = ()) -> None:
    with tarfile.open(path, "w:") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for member in special:
            tar.addfile(member)


def tars(folder: Path, rows: list[Row], media: Media, prefix: str = "") -> Path:
    write_tsv(folder, rows)
    for name, start in (("images.tar", "image"), ("videos.tar", "video")):
        tar_of(folder / name, [(prefix + path, data) for path, data in media.items() if path.startswith(start)])
    return folder


def folders(folder: Path, rows: list[Row], media: Media, outer: bool = False) -> Path:
    write_tsv(folder, rows)
    for path, data in media.items():
        target = folder / f"{path.split('/')[0]}s" / path if outer else folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return folder


def outer_folders(folder: Path, rows: list[Row], media: Media) -> Path:
    return folders(folder, rows, media, outer=True)


def dotted_tars(folder: Path, rows: list[Row], media: Media) -> Path:
    return tars(folder, rows, media, prefix="./")


def deep_tars(folder: Path, rows: list[Row], media: Media) -> Path:
    return tars(folder, rows, media, prefix="ShotBench/release/")


def flat_tars(folder: Path, rows: list[Row], media: Media) -> Path:
    write_tsv(folder, rows)
    for name, start in (("images.tar", "image"), ("videos.tar", "video")):
        tar_of(folder / name, [(path.split("/")[1], data) for path, data in media.items() if path.startswith(start)])
    return folder


LAYOUTS: list[Callable[[Path, list[Row], Media], Path]] = [
    tars, dotted_tars, deep_tars, flat_tars, folders, outer_folders,
]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_questions_and_media_come_through_unchanged(tmp_path: Path, layout: Callable[..., Path]) -> None:
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


def import_defects(release: Path, out: Path) -> list[tuple[DefectKind, str, bool]]:
    """Check that the import is refused, or goes through where no row is lost; then import what there is."""
    try:
        defects = import_shotbench(str(release), out).defects
    except RowsLost as refusal:
        defects = refusal.report.defects
        assert refusal.report.rows_written == 0
        assert [path.name for path in out.parent.iterdir()] == ["release"]
        allowed = import_shotbench(str(release), out, allow_missing=True)
        assert allowed.defects == defects
        assert allowed.rows_written == allowed.rows_read - allowed.rows_lost == len(list(ShardFolder(out).items()))
    stored = [json.loads(text) for text in (out / "defects.jsonl").read_text().splitlines()]
    assert stored == [defect.to_row() for defect in defects]
    return [(defect.kind, defect.index, defect.loses_row) for defect in defects]


@pytest.mark.parametrize("layout", [tars, folders])
@pytest.mark.parametrize(
    ("path", "data", "kind"),
    [
        ("image/gone.jpg", None, DefectKind.MISSING_MEDIUM),
        ("image/zero.jpg", b"", DefectKind.EMPTY_FILE),
        ("image/text.jpg", b"<html>404</html>", DefectKind.UNDECODABLE_MEDIUM),
        ("image/cut.jpg", still(5, "JPEG", (640, 360))[:-3000], DefectKind.UNDECODABLE_MEDIUM),
        ("image/cut.png", still(5, "PNG", (640, 360))[:-3000], DefectKind.UNDECODABLE_MEDIUM),
        ("image/bomb.png", bomb(), DefectKind.TOO_LARGE),
        ("image/big.png", bomb(10_001, 10_000), DefectKind.TOO_LARGE),
        ("image/script.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", DefectKind.UNDECODABLE_MEDIUM),
        ("video/text.mp4", b"404 not found", DefectKind.UNDECODABLE_MEDIUM),
        ("video/cut.mp4", clip(30)[:200], DefectKind.UNDECODABLE_MEDIUM),
        ("video/list.mp4", b"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/x.ts\n", DefectKind.UNDECODABLE_MEDIUM),
        ("video/no frames.mp4", clip(0), DefectKind.CLIP_WITHOUT_FRAMES),
        ("video/zero.mp4", b"", DefectKind.EMPTY_FILE),
    ],
)
def test_a_broken_medium_is_named(
    tmp_path: Path, layout: Callable[..., Path], path: str, data: bytes | None, kind: DefectKind
) -> None:
    rows, media = good()
    release = layout(tmp_path / "release", [*rows, line(77, path)], media | ({} if data is None else {path: data}))
    assert import_defects(release, tmp_path / "out") == [(kind, "77", True)]


BAD_ROWS = {
    "options no JSON": {"options": "A: wide"},
    "options too deep": {"options": "[" * 100_000},
    "gold not offered": {"answer": "E"},
    "way up": {"path": "['image/../../secret.jpg']"},
    "absolute": {"path": "['/etc/passwd']"},
    "nul": {"path": "['image/a\\x00.jpg']"},
    "two media": {"path": "['image/A 1.jpg', 'image/B2.PNG']"},
    "no dimension": {"category": "colour"},
    "half a pair": {"options": '{"A": "Wide", "B": "\\ud800", "C": "Medium", "D": "Close Up"}'},
    "more than a line": {"question": "What's\nthis?"},
    "index no number": {"index": "one"},
    "empty cell": {"question": ""},
}


@pytest.mark.parametrize("changes", BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_is_named(tmp_path: Path, changes: Row) -> None:
    rows, media = good()
    release = tars(tmp_path / "release", [*rows, line(88, "image/A 1.jpg") | changes], media)
    assert import_defects(release, tmp_path / "out") == [(DefectKind.BAD_ROW, changes.get("index", "88"), True)]


FEW_CELLS = "9\t[\"image\"]\t['image/A 1.jpg']"
MANY_CELLS = "\t".join([*line(9, "image/B2.PNG").values(), "x"])


@pytest.mark.parametrize("cells", [FEW_CELLS, MANY_CELLS])
def test_a_line_with_too_few_or_too_many_cells_is_named(tmp_path: Path, cells: str) -> None:
    release = tars(tmp_path / "release", *good())
    with (release / "test.tsv").open("a") as stream:
        stream.write("\n" + cells + "\n")  # after a blank line, which counts as a line of the file
    with pytest.raises(RowsLost) as refusal:
        import_shotbench(str(release), tmp_path / "out")
    (defect,) = refusal.value.report.defects
    assert (defect.kind, defect.line, defect.index) == (DefectKind.BAD_ROW, 7, "9")


def test_the_second_row_of_an_index_is_lost(tmp_path: Path) -> None:
    rows, media = good()
    release = tars(tmp_path / "release", [*rows, line("02", "image/A 1.jpg")], media)
    assert import_defects(release, tmp_path / "out") == [(DefectKind.DUPLICATE_INDEX, "02", True)]


def test_a_name_that_fits_two_files_is_ambiguous(tmp_path: Path) -> None:
    rows, media = good()
    release = tars(tmp_path / "release", [*rows, line(9, "image/C.jpg")], media)
    tar_of(release / "images.tar", [*stills(media), ("a/image/C.jpg", still(3)), ("b/image/C.jpg", still(4))])
    assert import_defects(release, tmp_path / "out") == [(DefectKind.AMBIGUOUS_MEDIUM, "9", True)]


def test_an_exact_name_wins_over_others_that_end_alike(tmp_path: Path) -> None:
    rows, media = good()
    release = tars(tmp_path / "release", rows, media)
    tar_of(release / "images.tar", [*stills(media), ("old/image/A 1.jpg", still(9))])
    import_shotbench(str(release), tmp_path / "out")
    assert ShardFolder(tmp_path / "out").media("shotbench-00001") == media["image/A 1.jpg"]


def test_of_a_tar_member_that_stands_twice_the_last_counts_and_it_is_said(tmp_path: Path) -> None:
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


def test_a_file_of_more_than_a_gibibyte_is_not_read(tmp_path: Path) -> None:
    rows, media = good()
    release = folders(tmp_path / "release", [*rows, line(9, "video/long.mp4")], media)
    with (release / "video/long.mp4").open("wb") as stream:
        stream.truncate((1 << 30) + 1)  # sparse: takes no room
    assert import_defects(release, tmp_path / "out") == [(DefectKind.TOO_LARGE, "9", True)]


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (["Wide", "Close Up, Close Up", "Medium", "Extreme Wide"], DefectKind.REPEATED_TERM),
        (["Wide", "Close Up", "Medium", "Cowboy"], DefectKind.UNKNOWN_TERM),
        (["Wide", "Close Up", "Medium", "closeup"], DefectKind.SAME_OPTIONS),
    ],
)
def test_questionable_options_are_named_and_kept(tmp_path: Path, options: list[str], kind: DefectKind) -> None:
    rows, media = good()
    odd = line(9, "image/A 1.jpg", options=json.dumps(dict(zip("ABCD", options, strict=True))))
    release = tars(tmp_path / "release", [*rows, odd], media)
    assert import_defects(release, tmp_path / "out") == [(kind, "9", False)]
    assert len(list(ShardFolder(tmp_path / "out").items())) == 5


def test_rows_that_share_a_broken_medium_are_all_named(tmp_path: Path) -> None:
    rows, media = good()
    release = tars(tmp_path / "release", rows, media | {"image/A 1.jpg": b"no picture"})
    broken = DefectKind.UNDECODABLE_MEDIUM
    assert import_defects(release, tmp_path / "out") == [(broken, "1", True), (broken, "4", True)]


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2_000])


def cut_at_a_member(path: Path) -> None:
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


def page(path: Path) -> None:
    path.write_bytes(b"<html>" * 1000)


@pytest.mark.parametrize("harm", [cut_short, cut_at_a_member, broken_header, compressed, emptied, page, Path.unlink])
def test_a_damaged_or_absent_tar_is_one_clear_error(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    release = tars(tmp_path / "release", *good())
    whole = (release / "images.tar").read_bytes()
    harm(release / "images.tar")
    with pytest.raises(ImportRefused, match=r"images\.tar"):
        import_shotbench(str(release), tmp_path / "out", allow_missing=True)
    assert [path.name for path in tmp_path.iterdir()] == ["release"]
    (release / "images.tar").write_bytes(whole)
    assert import_shotbench(str(release), tmp_path / "out").rows_written == 4


def test_an_unusable_question_file_is_one_clear_error(tmp_path: Path) -> None:
    release = tars(tmp_path / "release", *good())
    (release / "test.tsv").write_text("id\tquestion\n1\twhat?\n")
    with pytest.raises(ImportRefused, match="lacks the columns index"):
        import_shotbench(str(release), tmp_path / "out")
    (release / "test.tsv").write_bytes(b"\xff\xfe\x00bad")
    with pytest.raises(ImportRefused, match="UTF-8"):
        import_shotbench(str(release), tmp_path / "out")
    (release / "test.tsv").unlink()
    with pytest.raises(ImportRefused, match=r"no test\.tsv"):
        import_shotbench(str(release), tmp_path / "out")
    write_tsv(release, [])
    with pytest.raises(WriteRefused, match="no question"):
        import_shotbench(str(release), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


@pytest.mark.parametrize("error", [RuntimeError(), KeyboardInterrupt()])
def test_a_break_in_the_middle_leaves_nothing_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    release = tars(tmp_path / "release", *good())
    reads: list[str] = []
    read = Release.read

    def breaks_at_the_third(self: Release, medium: Medium) -> bytes:
        reads.append(medium.name)
        if len(reads) == 3:
            raise error
        return read(self, medium)

    monkeypatch.setattr(Release, "read", breaks_at_the_third)
    with pytest.raises(type(error)):
        import_shotbench(str(release), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["release"]
    assert import_shotbench(str(release), tmp_path / "out").rows_written == 4


def test_the_release_is_never_changed_and_never_the_target(tmp_path: Path) -> None:
    release = folders(tmp_path / "release", *good())
    before = {path: path.stat().st_mtime_ns for path in release.rglob("*")}
    for place in (release, release / "image/out", tmp_path):
        with pytest.raises(ImportRefused, match="choose another place"):
            import_shotbench(str(release), place, overwrite=True)
    with pytest.raises(ImportRefused, match="--report"):
        import_shotbench(str(release), tmp_path / "out", report=release / "report.jsonl")
    import_shotbench(str(release), tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in release.rglob("*")} == before


def test_a_second_import_does_nothing_and_still_tells_of_lost_rows(tmp_path: Path) -> None:
    rows, media = good()
    release = tars(tmp_path / "release", [*rows, line(9, "image/gone.jpg")], media)
    first = import_shotbench(str(release), tmp_path / "out", allow_missing=True)
    again = import_shotbench(str(release), tmp_path / "out", allow_missing=True)
    assert again == first._replace(already_complete=True)
    with pytest.raises(RowsLost):
        import_shotbench(str(release), tmp_path / "out")
    assert len(list(ShardFolder(tmp_path / "out").items())) == 4
    tar_of(release / "images.tar", [*stills(media), ("image/gone.jpg", still(7))])
    with pytest.raises(WriteRefused, match="--overwrite"):
        import_shotbench(str(release), tmp_path / "out")
    assert import_shotbench(str(release), tmp_path / "out", overwrite=True).rows_written == 5


def command(*arguments: object) -> int:
    parser = argparse.ArgumentParser(prog="shotbench")
    add_commands(parser.add_subparsers(required=True))
    args = parser.parse_args(["data", "import-shotbench", *map(str, arguments)])
    status = args.run(args)
    assert isinstance(status, int)
    return status


def test_the_command_names_lost_rows_and_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, media = good()
    gone = [line(100 + n, f"image/gone{n}.jpg") for n in range(25)]
    release = tars(tmp_path / "release", rows + gone, media)
    report = tmp_path / "report.jsonl"
    assert command(release, "--out", tmp_path / "out", "--report", report) == 1
    said = capsys.readouterr().err
    assert "index 100, image/gone0.jpg: missing medium" in said
    assert "index 119" in said
    assert "index 120" not in said
    assert "and 5 more" in said
    assert "--allow-missing" in said
    assert len(report.read_text().splitlines()) == 25
    assert sorted(path.name for path in tmp_path.iterdir()) == ["release", "report.jsonl"]
    assert command(release, "--out", tmp_path / "out", "--allow-missing") == 0
    assert "4 of 29 rows, 25 left out" in capsys.readouterr().out
    assert "missing medium: 25 (left out)" in (tmp_path / "out/README.md").read_text()


def test_the_command_exits_with_2_where_nothing_can_be_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert command(tmp_path / "empty", "--out", tmp_path / "out") == 2
    assert "no test.tsv" in capsys.readouterr().err
    release = tars(tmp_path / "release", *good())
    (tmp_path / "file").write_text("")
    assert command(release, "--out", tmp_path / "file") == 2
    assert command(release, "--out", tmp_path / "file/below") == 2
    assert "error: " in capsys.readouterr().err


def test_a_list_of_files_that_calls_itself_a_clip_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.mp4").write_bytes(clip())
    monkeypatch.chdir(tmp_path)
    flaw = check_medium(MediaKind.CLIP, b"ffconcat version 1.0\nfile other.mp4\n")
    assert flaw is not None
    assert flaw.kind is DefectKind.UNDECODABLE_MEDIUM


SAMPLES = {"JPEG": still(1), "PNG": still(1, "PNG"), "WEBP": still(1, "WEBP"), "TIFF": still(1, "TIFF"), "clip": clip()}


@pytest.mark.parametrize("sample", SAMPLES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_medium_however_broken_raises(sample: str, data: st.DataObject) -> None:
    encoded = bytearray(SAMPLES[sample])
    for _ in range(data.draw(st.integers(0, 8))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(encoded[: data.draw(st.integers(0, len(encoded)))])
    check_medium(MediaKind.CLIP if sample == "clip" else MediaKind.STILL, cut)


@contextmanager
def fake_hub(files: dict[str, bytes]) -> Iterator[str]:
    """A real HTTP server that answers as the Hub does for one dataset."""
    sha = "0123456789abcdef0123456789abcdef01234567"

    def oid(data: bytes) -> str:
        return f"{zlib.crc32(data):040x}"

    class Hub(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            body, headers, status = self.answer()
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def answer(self) -> tuple[bytes, dict[str, str], int]:
            path = self.path.split("?")[0]
            if path.startswith("/api/datasets/film/ShotBench/revision/"):
                siblings = [{"rfilename": name} for name in files]
                return json.dumps({"id": "film/ShotBench", "sha": sha, "siblings": siblings}).encode(), {}, 200
            if path.startswith("/api/datasets/film/ShotBench/tree/"):
                tree = [{"type": "file", "path": n, "size": len(d), "oid": oid(d)} for n, d in files.items()]
                return json.dumps(tree).encode(), {}, 200
            name = path.removeprefix(f"/datasets/film/ShotBench/resolve/{sha}/")
            if name in files:
                headers = {"ETag": f'"{oid(files[name])}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
                return files[name], headers, 200
            return b"{}", {"X-Error-Code": "RepoNotFound"}, 404

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


IMPORT_IN_CHILD = """
import sys
from pathlib import Path
from data_pipeline.import_shotbench import ImportRefused, import_shotbench
try:
    print(import_shotbench(sys.argv[1], Path(sys.argv[2])).rows_written)
except ImportRefused as error:
    print(error)
"""


def test_a_hub_id_is_downloaded_and_imported(tmp_path: Path) -> None:
    release = tars(tmp_path / "release", *good())
    files = {path.name: path.read_bytes() for path in release.iterdir()} | {"huge.bin": b"unwanted"}

    def child(endpoint: str, name: str) -> str:
        environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "127.0.0.1"}
        environment |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0", "PYTHONPATH": str(ROOT)}
        arguments = [sys.executable, "-c", IMPORT_IN_CHILD, name, str(tmp_path / "out")]
        return subprocess.run(arguments, env=environment, check=True, capture_output=True, text=True).stdout.strip()

    with fake_hub(files) as endpoint:
        assert child(endpoint, "film/ShotBench") == "4"
        assert "no release at 'film/Other'" in child(endpoint, "film/Other")
    assert len(list(ShardFolder(tmp_path / "out").items())) == 4
    assert not list((tmp_path / "hf").rglob("huge.bin"))


def test_unpacked_media_in_the_hub_cache_are_links_and_still_count(tmp_path: Path) -> None:
    rows, media = good()
    storage = tmp_path / "datasets--film--ShotBench"
    release = folders(storage / "snapshots/0123", rows, media)
    (storage / "blobs").mkdir()
    for number, path in enumerate(sorted(path for path in release.rglob("*") if path.is_file())):
        blob = path.rename(storage / f"blobs/{number}")
        path.symlink_to(os.path.relpath(blob, path.parent))
    assert import_shotbench(str(release), tmp_path / "out").rows_written == 4


@pytest.mark.skipif(not REAL.is_file(), reason=f"no real question file at {REAL}; set SHOTBENCH_REAL_DATA")
def test_all_real_questions_come_through(tmp_path: Path) -> None:
    release = tmp_path / "release"
    release.mkdir()
    (release / "test.tsv").write_bytes(REAL.read_bytes())
    items = list(read_tsv(REAL))
    samples = {MediaKind.STILL: still(), MediaKind.CLIP: clip()}
    media = {item.media_path: samples[item.media_kind] for item in items}
    for name, start in (("images.tar", "image"), ("videos.tar", "video")):
        tar_of(release / name, [(path, data) for path, data in media.items() if path.startswith(start)])
    report = import_shotbench(str(release), tmp_path / "out")
    assert (report.rows_read, report.rows_written, report.rows_lost) == (3572, 3572, 0)
    assert {defect.kind for defect in report.defects} == {DefectKind.REPEATED_TERM}
    assert len(report.defects) == 7
    assert len(list(ShardFolder(tmp_path / "out").items())) == 3572
