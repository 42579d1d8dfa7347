"""Make stand-ins for the sets of `shotbench data import-dataset`: their layout, row counts, labels and dirt.

    python benchmarks/stand_in_sets.py --out DIR [--share 0.01]

Owns the files and the faults in them; the rows are in `stand_in_set_rows.py`. 300 small stills and clips are drawn.
Every file is one of them with a unique mark (`stand_in_media.py`), and no two sets show the same one, except that
ACaM-Bench has clips of CameraBench and CineTechBench, and CamReasoner those of CameraBench. Numbers that are not
published are guessed: CineTechBench's stills, ACaM-Bench's clips of CineTechBench, and the clips of CamReasoner's
training file. All stills of types-of-film-shots that models labelled are in the split test, unlike published, so that
the import reads more rows than it will have to.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from stand_in_media import marked
from stand_in_release import Drawing, MediaSettings, draw
from stand_in_set_rows import (
    ACAM_CLASSES,
    Row,
    acam_binary_row,
    acam_choice_row,
    camerabench_rows,
    camreasoner_rows,
    cinetech_clip_row,
    cinetech_still_row,
    has_one_movement,
    training_rows,
)

from data_pipeline.defects import DefectKind
from data_pipeline.releases.published_sets.class_table import published_set
from lmms_eval_shotbench.vocabulary import MediaKind

FILES = 300  # drawn
SETTINGS = MediaSettings((160, 90), clip_seconds=(1.2, 1.6), clip_size=(160, 90), bases=FILES)
FILM_STILLS, CINETECH_STILLS, CINETECH_CLIPS = range(60), range(60, 100), range(100, 120)
CAMERA_CLIPS, ACAM_CLIPS, TRAINING_CLIPS = range(120, 210), range(210, 280), range(280, FILES)
FILM_ROWS, HUMAN_ROWS, AMBIGUOUS_ROWS = 54_263, 863, 4
CINETECH_ROWS = 620  # stills; "more than 600"
REAL, SYNTHETIC, BINARY = 1_464, 1_179, 1_510  # questions of ACaM-Bench
OF_CAMERABENCH, OF_CINETECHBENCH, OF_SHOTBENCH = 454, 120, 318  # clips of ACaM-Bench that it does not redistribute
TRAINING_FILES = 1_000
PAGE = b"<!DOCTYPE html><html><body>Sign in to continue</body></html>\n"


class StandIn(NamedTuple):
    """A set: the arguments of its import, the number of its rows, and how many of them must be left out why."""

    name: str
    source: str
    folder: Path
    media: tuple[Path, ...]
    rows: int
    planted: Counter[str]
    split: str = "test"


class Maker:
    """Makes all sets below a folder, with this share of their rows."""

    def __init__(self, out: Path, share: float = 1.0) -> None:
        self._out, self._share = out, share
        self._camera = out / "Videos4CameraBench"
        self._cinetech = out / "cinetech_media"
        self._camera_clips: list[str] = []  # whole ones, that other sets have as well
        self._cinetech_clips: list[str] = []

    def all(self) -> Iterator[StandIn]:
        """Make one set after the other; ACaM-Bench and CamReasoner have clips of those before them."""
        yield from (self.film_shots(), self.camerabench(), self.cinetechbench(), self.acam_bench())
        yield from (self.camreasoner(), self.camreasoner_training())

    def film_shots(self) -> StandIn:
        """54,263 stills of which people labelled 863, a tenth of these as a path."""
        import pyarrow
        import pyarrow.parquet as parquet

        rng, folder, rows = random.Random(1), self._out / "film_shots", self._scaled(FILM_ROWS)
        human, ambiguous = self._scaled(HUMAN_ROWS), self._scaled(AMBIGUOUS_ROWS)
        chosen = rng.sample(range(rows), human)
        people = dict(zip(chosen, itertools.chain([0] * ambiguous, itertools.cycle(range(1, 8))), strict=False))
        names = ["ambiguous", *(one.name for one in published_set("types-of-film-shots").only_group[0].classes[1:])]
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"},
                    "annotator": {"dtype": "string", "_type": "Value"}}  # fmt: skip
        image = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
        schema = pyarrow.schema({"image": image, "label": pyarrow.int64(), "annotator": pyarrow.string()})
        schema = schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        (folder / "data").mkdir(parents=True)
        (folder / "stills").mkdir()
        with parquet.ParquetWriter(folder / "data/test-00000-of-00001.parquet", schema) as table:
            for first in range(0, rows, 100):  # as `datasets` writes images
                numbers = range(first, min(first + 100, rows))
                group = [self._film_shot(folder, number, people, rng) for number in numbers]
                table.write_table(pyarrow.Table.from_pylist(group, schema))
        drops = Counter({DefectKind.OTHER_ANNOTATOR: rows - human, DefectKind.UNMAPPED_CLASS: ambiguous})
        return StandIn("types-of-film-shots", "types-of-film-shots", folder, (), rows, _counts(drops))

    def _film_shot(self, folder: Path, number: int, people: dict[int, int], rng: random.Random) -> Row:
        name, label = f"film {number}.jpg", people.get(number)
        encoded: bytes | None = _medium(MediaKind.STILL, FILM_STILLS, number, name)
        if label is not None and number % 10 == 0:
            (folder / "stills" / name).write_bytes(encoded or b"")
            encoded = None
        annotator = "human" if label is not None else rng.choice(("dinov2", "dinov2", "claude-opus"))
        label = rng.randrange(1, 8) if label is None else label
        return {"image": {"bytes": encoded, "path": name}, "label": label, "annotator": annotator}

    def camerabench(self) -> StandIn:
        """1,071 clips; some are missing, cut off, empty or there twice, and some rows are broken."""
        rows = self._part(camerabench_rows(random.Random(2)))
        faults = {DefectKind.MISSING_MEDIUM: 12, DefectKind.UNDECODABLE_MEDIUM: 8, DefectKind.EMPTY_FILE: 4,
                  DefectKind.AMBIGUOUS_MEDIUM: 6, DefectKind.BAD_ROW: 5}  # fmt: skip
        faulty = self._faulty(faults, [number for number, row in enumerate(rows) if has_one_movement(row)])
        for number, row in enumerate(rows):
            name, fault = PurePosixPath(row["path"]).name, faulty.get(number)
            self._write(self._camera / name, CAMERA_CLIPS, number, fault)
            if fault is DefectKind.BAD_ROW:
                row["labels"] = ", ".join(row["labels"])
            if fault is None:
                self._camera_clips.append(name)
        _json_lines(self._out / "camerabench" / "test.jsonl", rows)
        return self._stand_in("camerabench", "camerabench", [self._camera], len(rows), faulty)

    def cinetechbench(self) -> StandIn:
        """620 stills and 120 clips; some stills are web pages or missing, and some clips are not cut."""
        groups = {group.title: group.classes for group in published_set("cinetechbench").groups}
        movements = [one.name for one in groups.pop("video")]
        named = itertools.cycle((title, one) for title, classes in groups.items() for one in classes)
        stills = self._part([cinetech_still_row(number, *next(named), groups) for number in range(CINETECH_ROWS)])
        clips = self._part([cinetech_clip_row(number, movements) for number in range(120)])
        asked = [number for number, row in enumerate(stills) if row["Category"] == "Scale"]
        faulty = self._faulty({DefectKind.MISSING_MEDIUM: 10, DefectKind.UNDECODABLE_MEDIUM: 8}, asked)
        for number, row in enumerate(stills):
            self._write(self._cinetech / row["Image_name"], CINETECH_STILLS, number, faulty.get(number), PAGE)
        uncut = self._faulty({DefectKind.BAD_ROW: 5}, [n for n, row in enumerate(clips) if row["type"] == movements[0]])
        for number, row in enumerate(clips):
            self._write(self._cinetech / row["video_name"], CINETECH_CLIPS, number)
            self._cinetech_clips.append(row["video_name"])
            row["end_frame"] = "00:01:01" if number in uncut else row["end_frame"]
        _json(self._out / "cinetechbench" / "image_annotation.json", stills)
        _json(self._out / "cinetechbench" / "video_annotation.json", clips)
        rows, all_faults = len(stills) + len(clips), [*faulty.values(), *uncut.values()]
        return self._stand_in("cinetechbench", "cinetechbench", [self._cinetech], rows, dict(enumerate(all_faults)))

    def acam_bench(self) -> StandIn:
        """Multiple choice on 1,464 real and 1,179 generated clips, 1,510 times Yes or No; real ones are missing."""
        folder, rng = self._out / "acam", random.Random(4)
        own = REAL - OF_CAMERABENCH - OF_CINETECHBENCH - OF_SHOTBENCH
        shared = rng.sample(self._camera_clips, self._scaled(OF_CAMERABENCH))
        shared += self._cinetech_clips[: self._scaled(OF_CINETECHBENCH)]
        missing = [f"shot_{number}_of_shotbench.mp4" for number in range(self._scaled(OF_SHOTBENCH))]
        real = [f"real_videos/acam{number:05d}r.mp4" for number in range(self._scaled(own))]
        generated = [f"syn_videos/{rng.choice(ACAM_CLASSES)}_{n}.mp4".lower() for n in range(self._scaled(SYNTHETIC))]
        _zip(folder / "real_videos.zip", ACAM_CLIPS[:40], real)
        for number, name in enumerate(generated):
            self._write(folder / name, ACAM_CLIPS[40:], number)
        clips = [*shared, *missing, *real]
        rng.shuffle(clips)
        _json(folder / "real.json", [acam_choice_row(clip, rng, as_list=True) for clip in clips])
        _json(folder / "syn.json", [acam_choice_row(clip, rng, as_list=False) for clip in generated])
        binary = [acam_binary_row(rng.choice(generated), number, rng) for number in range(self._scaled(BINARY))]
        _json(folder / "binary.json", binary)
        rows = len(clips) + len(generated) + len(binary)
        faults = dict.fromkeys(range(len(missing)), DefectKind.MISSING_MEDIUM)
        return self._stand_in("acam-bench", "acam", [self._camera, self._cinetech], rows, faults)

    def camreasoner(self) -> StandIn:
        """7,679 questions on 969 of CameraBench's clips."""
        rows = self._part(list(camreasoner_rows(self._camera_clips, random.Random(5))))
        _json(self._out / "camreasoner" / "camerabench_binary.json", rows)
        return self._stand_in("camreasoner", "camreasoner", [self._camera], len(rows), {})

    def camreasoner_training(self) -> StandIn:
        """38,000 questions on 1,000 clips in a zip file, some of which are cut off or missing."""
        folder, names = self._out / "camreasoner_rl", [f"t{n:05d}rain.1.2.mp4" for n in range(TRAINING_FILES)]
        rows = self._part(list(training_rows(names, random.Random(6))))
        _zip(folder / "videos.zip", TRAINING_CLIPS, [f"videos/{name}" for name in names[10:]], cut=10)
        absent, broken = ({f"video/{name}" for name in some} for some in (names[:10], names[10:20]))
        faulty = dict.fromkeys(range(0, len(rows), 1000), DefectKind.OPEN_ENDED)
        for number, row in enumerate(rows):
            if number in faulty:
                row["problem_type"] = "open-ended"
            elif row["videos"][0] in absent:
                faulty[number] = DefectKind.MISSING_MEDIUM
            elif row["videos"][0] in broken:
                faulty[number] = DefectKind.UNDECODABLE_MEDIUM
        _json(folder / "camerabench_rl.json", rows)
        found = self._stand_in("camreasoner", "camreasoner_rl", [], len(rows), faulty)
        return found._replace(name="camreasoner-rl", split="grpo")

    def _stand_in(
        self, source: str, folder: str, media: Sequence[Path], rows: int, faulty: dict[int, DefectKind]
    ) -> StandIn:
        return StandIn(source, source, self._out / folder, tuple(media), rows, _counts(Counter(faulty.values())))

    def _scaled(self, count: int) -> int:
        return max(1, round(count * self._share))

    def _part(self, rows: list[Row]) -> list[Row]:
        """This share of the rows, spread over them."""
        count = self._scaled(len(rows))
        return [rows[number * len(rows) // count] for number in range(count)]

    def _faulty(self, faults: dict[DefectKind, int], among: Sequence[int]) -> dict[int, DefectKind]:
        """Rows with a fault, out of these, as many as they suffice for."""
        wanted = [fault for fault, count in faults.items() for _ in range(self._scaled(count))]
        return dict(zip(among[:: max(1, len(among) // len(wanted))], wanted, strict=False))

    def _write(
        self, path: Path, files: Sequence[int], number: int, fault: DefectKind | None = None, broken: bytes = b""
    ) -> None:
        """Write a still or clip as its fault demands; `broken` are the bytes of one that cannot be decoded."""
        if fault is DefectKind.MISSING_MEDIUM:
            return
        encoded = _medium(MediaKind.CLIP if path.suffix == ".mp4" else MediaKind.STILL, files, number, path.name)
        if fault is DefectKind.UNDECODABLE_MEDIUM:
            encoded = broken or encoded[: len(encoded) // 2]
        copies = [path.parent / "a" / path.name, path.parent / "b" / path.name]
        for copy in copies if fault is DefectKind.AMBIGUOUS_MEDIUM else [path]:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(b"" if fault is DefectKind.EMPTY_FILE else encoded)


def _counts(drops: Counter[DefectKind]) -> Counter[str]:
    return Counter({str(kind): count for kind, count in drops.items() if count})


@lru_cache(maxsize=FILES)
def _drawn(kind: MediaKind, number: int) -> bytes:
    return draw(SETTINGS, Drawing("still.jpg" if kind is MediaKind.STILL else "clip.mp4", kind, number))


def _medium(kind: MediaKind, files: Sequence[int], number: int, name: str) -> bytes:
    return marked(kind, _drawn(kind, files[number % len(files)]), name.encode())


def _zip(path: Path, files: Sequence[int], names: Iterable[str], cut: int = 0) -> None:
    """Pack clips, the first `cut` of them cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            encoded = _medium(MediaKind.CLIP, files, number, name)
            archive.writestr(name, encoded[: len(encoded) // 2] if number < cut else encoded)


def _json(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def _json_lines(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=float, default=1.0, help="share of the rows of each set (default: 1)")
    args = parser.parse_args(arguments)
    for one in Maker(args.out, args.share).all():
        print(f"{one.folder}: {one.rows:,} rows; to be left out: {dict(one.planted)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
