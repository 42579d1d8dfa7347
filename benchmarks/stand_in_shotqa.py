"""Make a stand-in for the ShotQA release: its layout and size, drawn media, 1.5 % of them broken in twelve ways.

    python benchmarks/stand_in_shotqa.py --out DIR [--items 61000] [--broken 0.015]

Owns the questions, the faults in them and the packing. The media are in `stand_in_media.py`. The same arguments give
the same release. `Expected` says what an import must come to, counted while the release is made. The labels are drawn
by lot: nothing can be learned from them.
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

from stand_in_media import BREAKAGES, LOOK, odd_medium, sound_medium
from stand_in_release import Look

from data_pipeline.defects import DefectKind
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, DIMENSIONS, Dimension, MediaKind

ITEMS = 61_000
CLIP_SHARE = 1_058 / 60_992  # as published
GRPO_SHARE = 8 / 61  # of the stills' questions; clips are in grpo.json alone
ASKED_TWICE = 0.046  # media with a second question: 58,343 files for 61,000 items
MEDIA_A_FILM = 82
ODD_SHARE = 0.01
BROKEN_SHARE = 0.015
STRANGERS = 25  # files that no question asks about
STILL_DIMENSIONS = [dimension for dimension in DIMENSIONS if dimension.media_kind is MediaKind.STILL]
AT_ONCE, IN_TURN = ("{0}", "{0} and {1}", "{0}, {1}."), ("Firstly {0}, then {1}", "Firstly {0}; secondly {1}")


class Medium(NamedTuple):
    """One file of the archive, with the questions about it."""

    number: int
    kind: MediaKind
    name: str
    film: str
    questions: int


class Expected(NamedTuple):
    """What an import must come to."""

    rows: int
    good: int
    drops: Counter[str]


def make_shotqa(
    out: Path,
    items: int = ITEMS,
    *,
    broken_share: float = BROKEN_SHARE,
    clip_share: float = CLIP_SHARE,
    look: Look = LOOK,
    least_bytes: int = 0,
) -> Expected:
    """Write data.tar.gz, sft.json, sft_v1.1.json, grpo.json and meta.jsonl to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    chance, drops = random.Random(0), Counter[str]()
    media = list(_media(items, clip_share, chance))
    files: dict[str, list[dict[str, Any]]] = {"sft.json": [], "grpo.json": []}
    with ExitStack() as opened:
        tar = opened.enter_context(_archive(out / "data.tar.gz", opened))
        for medium in media:
            rows = [_row(medium, part, chance) for part in range(medium.questions)]
            in_grpo = medium.kind is MediaKind.CLIP or chance.random() < GRPO_SHARE
            files["grpo.json" if in_grpo else "sft.json"] += rows
            encoded, defect = _encoded(
                medium, sound_medium(medium.kind, medium.number, look, least_bytes), broken_share, chance
            )
            drops.update({str(defect): len(rows)} if defect else {})
            if defect is not DefectKind.MISSING_MEDIUM:
                _add(tar, medium.name, encoded)
        for number in range(STRANGERS):
            _add(tar, f"unasked_{number}.jpg", sound_medium(MediaKind.STILL, number))
        _add(tar, media[0].name, b"a second file of that name")
    _spoil(files, drops, chance)
    for name, rows in files.items():
        (out / name).write_text(json.dumps(rows, indent=1))
    _write_open_ended(out / "sft_v1.1.json", media)
    _write_meta(out / "meta.jsonl", media)
    total = sum(map(len, files.values()))
    return Expected(total, total - drops.total(), drops)


def _media(items: int, clip_share: float, chance: random.Random) -> Iterator[Medium]:
    made = 0
    while made < items:
        kind = MediaKind.CLIP if chance.random() < clip_share else MediaKind.STILL
        questions = 2 if kind is MediaKind.STILL and chance.random() < ASKED_TWICE and made + 1 < items else 1
        number = made
        key = hashlib.sha256(str(number).encode()).hexdigest()[:8].upper()
        film = f"Film {number // MEDIA_A_FILM}" + (f"/season/1/episode/{number % 3}" if number % 5 == 0 else "")
        name = f"{key}.jpg" if kind is MediaKind.STILL else f"-vid{number // MEDIA_A_FILM}.webm_{number}.mp4"
        yield Medium(number, kind, name, film, questions)
        made += questions


def _row(medium: Medium, part: int, chance: random.Random) -> dict[str, Any]:
    """A question in the layout of the release: sft with an assistant's message, grpo with a solution; here both."""
    still = medium.kind is MediaKind.STILL
    dimension = STILL_DIMENSIONS[(medium.number + 3 * part) % len(STILL_DIMENSIONS)] if still else CAMERA_MOVEMENT
    options = _options(dimension, medium.number, chance)
    letter = chance.choice("ABCD")
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


def _options(dimension: Dimension, number: int, chance: random.Random) -> list[str]:
    """Four labels that say different things, in one of the spellings that the release mixes."""
    terms = chance.sample([term.name for term in dimension.terms], 4)
    spellings = AT_ONCE + IN_TURN if dimension.media_kind is MediaKind.CLIP else AT_ONCE
    spelling = spellings[number % len(spellings)]
    pairs = [(0, 1), (0, 2), (2, 3), (1, 3)]
    return [spelling.format(terms[a if "{1}" in spelling else n], terms[b]) for n, (a, b) in enumerate(pairs)]


def _encoded(
    medium: Medium, sound: bytes, broken_share: float, chance: random.Random
) -> tuple[bytes, DefectKind | None]:
    """A medium's bytes, and what is wrong with them; every way in turn."""
    if chance.random() < broken_share:
        ways = [breakage for breakage in BREAKAGES if breakage.kind is medium.kind]
        way = chance.randrange(len(ways) + 1)
        if way == len(ways):
            return b"", DefectKind.MISSING_MEDIUM
        return ways[way].encode(sound, chance), ways[way].defect
    if medium.kind is MediaKind.STILL and chance.random() < ODD_SHARE:
        return odd_medium(medium.number), None
    return sound, None


def _spoil(files: dict[str, list[dict[str, Any]]], drops: Counter[str], chance: random.Random) -> None:
    """Add rows that are no questions, and questions that stand twice, as they turn up in such files."""
    sft, grpo = files["sft.json"], files["grpo.json"]
    again = chance.sample(grpo, min(20, len(grpo)))
    broken: list[Any] = [{"messages": [], "images": []}, {**sft[0], "solution": "<answer>K</answer>"}, None]
    open_ended = [_asked_openly(sft[0]), _asked_openly(sft[1])]
    sft += [*again, *broken, *open_ended]
    drops[DefectKind.DUPLICATE_QUESTION] += len(again)
    drops[DefectKind.BAD_ROW] += len(broken)
    drops[DefectKind.OPEN_ENDED] += len(open_ended)
    chance.shuffle(sft)


def _asked_openly(row: dict[str, Any]) -> dict[str, Any]:
    said = [
        {"role": "user", "content": "<image>Describe the light of this shot."},
        {"role": "assistant", "content": "It is soft."},
    ]
    return {"messages": said, "images": row["images"]}


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
    """Media hardly compress, so gzip leaves them as they are; level 0 does so at once."""
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
