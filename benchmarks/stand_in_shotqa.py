"""Make a stand-in for the ShotQA release: its layout and size, drawn media, 1.5 % of them broken in twelve ways.

    python benchmarks/stand_in_shotqa.py --out DIR [--items 61000] [--broken 0.015]

Owns the questions, the faults in them and the packing. The media are in `stand_in_media.py`. The same arguments give
the same release. `Expected` is the correct outcome of an import, counted while the release is created. The labels are
random: nothing can be learned from them.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import random
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from stand_in_media import BREAKAGES, SMALL_MEDIA, odd_medium, valid_medium
from stand_in_release import MediaSettings

from data_pipeline.defects import DefectKind
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, DIMENSIONS, Dimension, MediaKind

ITEMS = 61_000
CLIP_SHARE = 1_058 / 60_992  # as published
GRPO_SHARE = 8 / 61  # share of the questions on stills; clips are only in grpo.json
ASKED_TWICE = 0.046  # share of media with a second question: 58,343 files for 61,000 items
MEDIA_A_FILM = 82
ODD_SHARE = 0.01
BROKEN_SHARE = 0.015
UNUSED_FILES = 25  # files without a question
STILL_DIMENSIONS = [dimension for dimension in DIMENSIONS if dimension.media_kind is MediaKind.STILL]
AT_ONCE, IN_TURN = ("{0}", "{0} and {1}", "{0}, {1}."), ("Firstly {0}, then {1}", "Firstly {0}; secondly {1}")


class Medium(NamedTuple):
    """One file of the archive, with the number of its questions."""

    number: int
    kind: MediaKind
    name: str
    film: str
    questions: int


class Expected(NamedTuple):
    """The correct outcome of an import."""

    rows: int
    good: int
    drops: Counter[str]


def make_shotqa(
    out: Path,
    items: int = ITEMS,
    *,
    broken_share: float = BROKEN_SHARE,
    clip_share: float = CLIP_SHARE,
    settings: MediaSettings = SMALL_MEDIA,
    least_bytes: int = 0,
) -> Expected:
    """Write data.tar.gz, sft.json, sft_v1.1.json, grpo.json and meta.jsonl to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    rng, drops = random.Random(0), Counter[str]()
    media = list(_media(items, clip_share, rng))
    files: dict[str, list[dict[str, Any]]] = {"sft.json": [], "grpo.json": []}
    with ExitStack() as opened:
        tar = opened.enter_context(_archive(out / "data.tar.gz", opened))
        for medium in media:
            rows = [_row(medium, part, rng) for part in range(medium.questions)]
            in_grpo = medium.kind is MediaKind.CLIP or rng.random() < GRPO_SHARE
            files["grpo.json" if in_grpo else "sft.json"] += rows
            encoded, defect = _encoded(
                medium, valid_medium(medium.kind, medium.number, settings, least_bytes), broken_share, rng
            )
            drops.update({str(defect): len(rows)} if defect else {})
            if defect is not DefectKind.MISSING_MEDIUM:
                _add(tar, medium.name, encoded)
        for number in range(UNUSED_FILES):
            _add(tar, f"unasked_{number}.jpg", valid_medium(MediaKind.STILL, number))
        _add(tar, media[0].name, b"a second file of that name")
    _add_defects(files, drops, rng)
    for name, rows in files.items():
        (out / name).write_text(json.dumps(rows, indent=1))
    _write_open_ended(out / "sft_v1.1.json", media)
    _write_meta(out / "meta.jsonl", media)
    total = sum(map(len, files.values()))
    return Expected(total, total - drops.total(), drops)


def _media(items: int, clip_share: float, rng: random.Random) -> Iterator[Medium]:
    created = 0
    while created < items:
        kind = MediaKind.CLIP if rng.random() < clip_share else MediaKind.STILL
        questions = 2 if kind is MediaKind.STILL and rng.random() < ASKED_TWICE and created + 1 < items else 1
        number = created
        key = hashlib.sha256(str(number).encode()).hexdigest()[:8].upper()
        film = f"Film {number // MEDIA_A_FILM}" + (f"/season/1/episode/{number % 3}" if number % 5 == 0 else "")
        name = f"{key}.jpg" if kind is MediaKind.STILL else f"-vid{number // MEDIA_A_FILM}.webm_{number}.mp4"
        yield Medium(number, kind, name, film, questions)
        created += questions


def _row(medium: Medium, part: int, rng: random.Random) -> dict[str, Any]:
    """A question in the release's format: sft has an assistant message, grpo a solution; here rows have both."""
    still = medium.kind is MediaKind.STILL
    dimension = STILL_DIMENSIONS[(medium.number + 3 * part) % len(STILL_DIMENSIONS)] if still else CAMERA_MOVEMENT
    options = _options(dimension, medium.number, rng)
    letter = rng.choice("ABCD")
    lines = [f"{name}. {text}" for name, text in zip("ABCD", options, strict=True)]
    text = "\n".join(
        [
            f"Question: {dimension.question}",
            "Options:",
            *lines,
            "Please select the most likely answer from the options above.",
        ]
    )
    mark, column, folder = ("<image>", "images", "images") if still else ("<video>", "videos", "videos")
    return {
        "messages": [{"role": "user", "content": mark + text}, {"role": "assistant", "content": letter}],
        column: [f"{folder}/{medium.name}"],
        "solution": f"<answer>{letter}</answer>",
    }


def _options(dimension: Dimension, number: int, rng: random.Random) -> list[str]:
    """Four distinct labels, in one of the spellings that occur in the release."""
    terms = rng.sample([term.name for term in dimension.terms], 4)
    spellings = AT_ONCE + IN_TURN if dimension.media_kind is MediaKind.CLIP else AT_ONCE
    spelling = spellings[number % len(spellings)]
    pairs = [(0, 1), (0, 2), (2, 3), (1, 3)]
    return [spelling.format(terms[a if "{1}" in spelling else n], terms[b]) for n, (a, b) in enumerate(pairs)]


def _encoded(medium: Medium, valid: bytes, broken_share: float, rng: random.Random) -> tuple[bytes, DefectKind | None]:
    """The bytes of a medium and its defect, if any, drawn from all kinds of breakage."""
    if rng.random() < broken_share:
        ways = [breakage for breakage in BREAKAGES if breakage.kind is medium.kind]
        way = rng.randrange(len(ways) + 1)
        if way == len(ways):
            return b"", DefectKind.MISSING_MEDIUM
        return ways[way].encode(valid, rng), ways[way].defect
    if medium.kind is MediaKind.STILL and rng.random() < ODD_SHARE:
        return odd_medium(medium.number), None
    return valid, None


def _add_defects(files: dict[str, list[dict[str, Any]]], drops: Counter[str], rng: random.Random) -> None:
    """Add rows that are not questions, and duplicate questions, as they occur in such files."""
    sft, grpo = files["sft.json"], files["grpo.json"]
    duplicates = rng.sample(grpo, min(20, len(grpo)))
    broken: list[Any] = [{"messages": [], "images": []}, {**sft[0], "solution": "<answer>K</answer>"}, None]
    open_ended = [_asked_openly(sft[0]), _asked_openly(sft[1])]
    sft += [*duplicates, *broken, *open_ended]
    drops[DefectKind.DUPLICATE_QUESTION] += len(duplicates)
    drops[DefectKind.BAD_ROW] += len(broken)
    drops[DefectKind.OPEN_ENDED] += len(open_ended)
    rng.shuffle(sft)


def _asked_openly(row: dict[str, Any]) -> dict[str, Any]:
    messages = [
        {"role": "user", "content": "<image>Describe the light of this shot."},
        {"role": "assistant", "content": "It is soft."},
    ]
    return {"messages": messages, "images": row["images"]}


def _write_open_ended(path: Path, media: Sequence[Medium]) -> None:
    path.write_text(json.dumps([_asked_openly({"images": [f"images/{medium.name}"]}) for medium in media[:1000]]))


def _write_meta(path: Path, media: Sequence[Medium]) -> None:
    with path.open("w") as stream:
        for medium in media:
            if medium.kind is MediaKind.STILL:
                row = {
                    "img_id": medium.name,
                    "title": medium.film,
                    "Time": f"0:{medium.number % 60:02d}:07",
                    "Lens": "x" * 900,
                }
                stream.write(json.dumps(row) + "\n")


def _archive(path: Path, opened: ExitStack) -> tarfile.TarFile:
    """A tar.gz archive with compression level 0, as media hardly compress."""
    stream: Any = opened.enter_context(gzip.GzipFile(path, "wb", compresslevel=0))
    return tarfile.open(fileobj=stream, mode="w|")


def _add(tar: tarfile.TarFile, name: str, encoded: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(encoded)
    tar.addfile(member, io.BytesIO(encoded))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--broken", type=float, default=BROKEN_SHARE, help="share of the media (default: 0.015)")
    args = parser.parse_args(arguments)
    expected = make_shotqa(args.out, args.items, broken_share=args.broken)
    print(f"{args.out}: {expected.rows:,} rows, {expected.good:,} of them good; {dict(expected.drops)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
