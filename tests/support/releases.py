"""Generated releases: media, question rows, and all layouts on disk."""

from __future__ import annotations

import csv
import io
import json
import struct
import tarfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy
from PIL import Image

from data_pipeline.defects import DefectKind
from data_pipeline.releases.checked_rows import RowsLost
from data_pipeline.releases.import_shotbench import import_shotbench
from lmms_eval_shotbench.qa_item import RELEASE_COLUMNS
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE

CLIP_PATH = "video/videoplayback (27).mp4_scene_7_1.mp4"
Media = dict[str, bytes]
Row = dict[str, str]


def still(number: int = 0, form: str = "JPEG", size: tuple[int, int] = (64, 36)) -> bytes:
    stream = io.BytesIO()
    pixels = numpy.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype="uint8")
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


@lru_cache  # x264 does not always encode pictures of this size to the same bytes again
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
    """A PNG whose header declares a huge image."""

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


def import_defects(release: Path, out: Path) -> list[tuple[DefectKind, str, bool]]:
    """Import a release, check that it is refused exactly if rows are lost, and return its defects."""
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
