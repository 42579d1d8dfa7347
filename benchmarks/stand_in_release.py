"""Make a stand-in for the official release: the real questions, drawn media, the same layout.

    python benchmarks/stand_in_release.py --out DIR [--limit N] [--still-size 1280x720] [--clip-seconds 2 8]

Owns the drawing and packing: every file decodes, differs from all others and has a realistic size; the same arguments
give the same pictures. The pictures are unrelated to the questions, so scores on them are meaningless.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import random
import shutil
import sys
import tarfile
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from multiprocessing import Pool
from pathlib import Path
from typing import Any, NamedTuple

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import MediaKind

REAL_DATA = Path(__file__).resolve().parents[1] / "../shared/data"
CLIP_FPS = 24
CLIP_QUALITY = {"crf": "30", "threads": "1"}
BASES = 8  # blurred noise pictures that each worker draws once; every medium is one of them, shifted
GRAIN = 6.0  # standard deviation of the noise; gives a JPEG of 1280x720 about 200 KB
JPEG_QUALITY = 88


class Drawing(NamedTuple):
    """A medium to draw."""

    path: str
    kind: MediaKind
    number: int


class MediaSettings(NamedTuple):
    """Size, duration and encoding of drawn media."""

    still_size: tuple[int, int] = (1280, 720)
    clip_seconds: tuple[float, float] = (2.0, 8.0)
    clip_size: tuple[int, int] = (640, 360)
    clip_preset: str = "ultrafast"  # of x264; slower presets also take longer to decode
    bases: int = BASES  # so many media look different even to a perceptual hash


def make_release(
    questions: Path, out: Path, settings: MediaSettings, limit: int | None = None, show: bool = True
) -> int:
    """Write test.tsv, images.tar, videos.tar and README.md to `out`; return the number of media."""
    from tqdm import tqdm

    out.mkdir(parents=True, exist_ok=True)
    kept = _copy_questions(questions, out / "test.tsv", limit)
    drawings = [Drawing(path, kind, n) for n, (path, kind) in enumerate(dict.fromkeys(kept))]
    with Pool(os.cpu_count()) as pool:
        drawn = pool.imap(partial(draw, settings), drawings, chunksize=8)
        bar = tqdm(drawn, "draw", len(drawings), unit="medium", file=sys.stderr, disable=None if show else True)
        _pack(zip(drawings, bar, strict=True), out)
    (out / "README.md").write_text("Stand-in for ShotBench: real questions, drawn media. For speed tests only.\n")
    return len(drawings)


def draw(settings: MediaSettings, drawing: Drawing) -> bytes:
    """Draw and encode one medium."""
    if drawing.kind is MediaKind.CLIP:
        return _draw_clip(drawing, settings)
    suffix = Path(drawing.path).suffix.lower()
    picture, stream = _picture(drawing, settings.still_size, settings.bases), io.BytesIO()
    if suffix == ".png":
        picture.save(stream, "PNG", compress_level=1)
    else:
        picture.save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()


def _copy_questions(source: Path, target: Path, limit: int | None) -> list[tuple[str, MediaKind]]:
    """Copy the question file, or `limit` lines spread evenly over it; return the media they name."""
    head, *lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    if limit is not None and limit < len(lines):
        lines = [lines[number * len(lines) // limit] for number in range(limit)]
    target.write_text("".join([head, *lines]), encoding="utf-8")
    items = map(QAItem.from_release_row, csv.DictReader([head, *lines], delimiter="\t"))
    return [(item.media_path, item.media_kind) for item in items]


def _pack(media: Iterable[tuple[Drawing, bytes]], out: Path) -> None:
    with tarfile.open(out / "images.tar", "w:") as images, tarfile.open(out / "videos.tar", "w:") as videos:
        for drawing, encoded in media:
            member = tarfile.TarInfo(drawing.path)
            member.size = len(encoded)
            (videos if drawing.kind is MediaKind.CLIP else images).addfile(member, io.BytesIO(encoded))


@lru_cache(maxsize=2)  # one size of stills, one of clips
def _bases(size: tuple[int, int], count: int) -> list[Any]:
    """Gradients with film grain, as uint8 arrays (height, width, 3)."""
    import numpy
    from PIL import Image

    noise, bases = numpy.random.default_rng(0), []
    for _ in range(count):
        coarse = Image.fromarray(noise.integers(0, 256, (6, 10, 3), dtype="uint8"))
        soft = numpy.asarray(coarse.resize(size, Image.Resampling.BICUBIC), dtype="float32")
        grain = noise.normal(0, GRAIN, (size[1], size[0], 1))
        bases.append((soft + grain).clip(0, 255).astype("uint8"))
    return bases


def _picture(drawing: Drawing, size: tuple[int, int], bases: int) -> Any:
    """A unique picture: a base, shifted at random, with number and name written on it."""
    import numpy
    from PIL import Image, ImageDraw

    rng = random.Random(drawing.number)
    shift = (rng.randrange(size[1]), rng.randrange(size[0]))
    picture = Image.fromarray(numpy.roll(_bases(size, bases)[drawing.number % bases], shift, axis=(0, 1)))
    ImageDraw.Draw(picture).text((8, 8), f"{drawing.number} {drawing.path}", fill=(255, 255, 255))
    return picture


def _draw_clip(drawing: Drawing, settings: MediaSettings) -> bytes:
    """A clip that pans over a base, as H.264 in MP4."""
    import av
    import numpy

    seconds = random.Random(drawing.number).uniform(*settings.clip_seconds)
    picture = numpy.asarray(_picture(drawing, settings.clip_size, settings.bases))
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as clip:
        track = clip.add_stream("libx264", rate=CLIP_FPS, options={"preset": settings.clip_preset} | CLIP_QUALITY)
        track.width, track.height, track.pix_fmt = *settings.clip_size, "yuv420p"
        for number in range(round(seconds * CLIP_FPS)):
            frame = av.VideoFrame.from_ndarray(numpy.roll(picture, 2 * number, axis=1), format="rgb24")
            clip.mux(track.encode(frame))
        clip.mux(track.encode())
    return stream.getvalue()


def real_questions() -> Path:
    """Path of the real question file."""
    return Path(os.environ.get("SHOTBENCH_REAL_DATA", REAL_DATA)) / "shotbench" / "test.tsv"


def _size(text: str) -> tuple[int, int]:
    width, height = map(int, text.lower().split("x"))
    return width, height


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--questions", type=Path, default=real_questions(), help="the real test.tsv")
    parser.add_argument("--still-size", type=_size, default=MediaSettings().still_size, metavar="WxH")
    parser.add_argument(
        "--clip-seconds", type=float, nargs=2, default=MediaSettings().clip_seconds, metavar=("MIN", "MAX")
    )
    parser.add_argument("--limit", type=int, help="so many questions, spread over the file")
    args = parser.parse_args(arguments)
    settings = MediaSettings(args.still_size, tuple(args.clip_seconds))
    media = make_release(args.questions, args.out, settings, args.limit)
    size = sum(path.stat().st_size for path in args.out.iterdir())
    print(f"{args.out}: {media:,} media, {size / 1e6:,.0f} MB, {shutil.disk_usage(args.out).free / 1e9:,.0f} GB free")
    return 0


if __name__ == "__main__":
    sys.exit(main())
