"""Media of one set are found in another: copies, altered copies and excerpts, and nothing else."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy
import pytest
from PIL import Image, ImageOps

from data_pipeline.defects import Defect, DefectKind
from data_pipeline.leaks.check_leaks import check_leaks, write_without_leaks
from data_pipeline.leaks.find_leaks import Match, find_leaks
from data_pipeline.leaks.leak_report import LEAKS, SECTION
from data_pipeline.leaks.media_set import FrameHashes, MediaSet, SetMedium, hash_frames
from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.dataset_card import CARD, read_defects
from data_pipeline.shards.manifest import verified_files
from data_pipeline.shards.push import push
from data_pipeline.shards.write_shards import PendingRow, write_shards
from data_pipeline.workers import Workers
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.shards import MANIFEST, ShardFolder
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.drawn_shots import draw
from tests.support.made_films import MadeFilm, MadeShot
from tests.support.shard_rows import ABOUT, row

ALONE = Workers()
SIZE = (480, 270)
STILL = MediaKind.STILL


def clip(tmp_path: Path, frames: int, seed: int, film: MadeFilm | None = None, **changed: object) -> bytes:
    shots = [MadeShot(frames, seed, drift=1.0, numbered=False)]
    return (film or MadeFilm(size=SIZE)).write(tmp_path / "clip.mp4", shots=shots, **changed).read_bytes()


def cut(encoded: bytes, first: int, frames: int, tmp_path: Path, mirrored: bool = False) -> bytes:
    """Frames of a clip as a clip of their own, at about half the size."""
    width, height = SIZE[0] // 2, SIZE[1] // 4 * 2
    with av.open(io.BytesIO(encoded)) as source, av.open(str(tmp_path / "cut.mp4"), "w") as target:
        stream: Any = target.add_stream("libx264", rate=24, options={"crf": "26", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in list(source.decode(video=0))[first : first + frames]:
            picture = frame.to_ndarray(format="rgb24")[:, :: -1 if mirrored else 1]
            smaller = av.VideoFrame.from_ndarray(numpy.ascontiguousarray(picture), format="rgb24")
            target.mux(stream.encode(smaller.reformat(width, height, "yuv420p")))
        target.mux(stream.encode())
    return (tmp_path / "cut.mp4").read_bytes()


def frame_of(encoded: bytes, number: int) -> bytes:
    """A frame of a clip as a still."""
    with av.open(io.BytesIO(encoded)) as source:
        return as_jpeg(list(source.decode(video=0))[number].to_image())


def still(number: int) -> Image.Image:
    return Image.open(io.BytesIO(draw(number, SIZE))).convert("RGB")


def as_jpeg(picture: Image.Image, quality: int = 60) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def in_bars(picture: Image.Image) -> Image.Image:
    framed = Image.new("RGB", (SIZE[0], SIZE[1] + 90))
    framed.paste(picture, (0, 45))
    return framed


def media_set(name: str, media: Mapping[str, bytes]) -> MediaSet:
    """A set with one question on each medium, named by its path."""
    kinds = [MediaKind.CLIP if path.endswith(".mp4") else STILL for path in media]
    items = [
        replace(row(0, kind).item, item_id=path, media_path=path, film_id="", start_seconds=None)
        for path, kind in zip(media, kinds, strict=True)
    ]
    hashed = [
        SetMedium([item], hash_frames(item.media_kind, content))
        for item, content in zip(items, media.values(), strict=True)
    ]
    return MediaSet(name, Path(name), "0" * 64, [("test", item) for item in items], hashed)


def matches(ours: MediaSet, others: MediaSet) -> dict[str, tuple[str, str]]:
    """Kind of match and the other medium, by ours."""
    return {
        ours.media[leak.medium].items[0].media_path: (str(leak.match), others.media[leak.other].items[0].media_path)
        for leak in find_leaks(ours, others)
    }


def test_copies_of_stills_are_found_and_other_stills_are_not() -> None:
    others = media_set("others", {f"other {n}.jpg": draw(n, SIZE) for n in range(6)})
    ours = media_set(
        "ours",
        {
            "copy.jpg": draw(0, SIZE),
            "smaller.jpg": as_jpeg(still(1).resize((240, 136)), 50),
            "mirrored.jpg": as_jpeg(ImageOps.mirror(still(2))),
            "in bars.jpg": as_jpeg(in_bars(still(3))),
            "smaller and mirrored in bars.jpg": as_jpeg(ImageOps.mirror(in_bars(still(4))).resize((320, 240))),
            "upside down.jpg": as_jpeg(ImageOps.flip(still(5))),
            "black.jpg": as_jpeg(Image.new("RGB", SIZE)),
            **{f"different {n}.jpg": draw(100 + n, SIZE) for n in range(10)},
        },
    )
    assert matches(ours, others) == {
        "copy.jpg": (Match.SAME_BYTES, "other 0.jpg"),
        "smaller.jpg": (Match.LOOKS_ALIKE, "other 1.jpg"),
        "mirrored.jpg": (Match.MIRRORED, "other 2.jpg"),
        "in bars.jpg": (Match.LOOKS_ALIKE, "other 3.jpg"),
        "smaller and mirrored in bars.jpg": (Match.MIRRORED, "other 4.jpg"),
    }
    assert {one: kind for one, (kind, _) in matches(others, ours).items()} == {
        "other 0.jpg": Match.SAME_BYTES,
        "other 1.jpg": Match.LOOKS_ALIKE,
        "other 2.jpg": Match.MIRRORED,
        "other 3.jpg": Match.LOOKS_ALIKE,
        "other 4.jpg": Match.MIRRORED,
    }


@pytest.mark.slow
def test_clips_are_found_as_copies_excerpts_and_frames_and_other_clips_are_not(tmp_path: Path) -> None:
    long = clip(tmp_path, 120, seed=1)
    bars = MadeFilm(size=(SIZE[0], SIZE[1] + 90), bars=45)
    others = media_set("others", {"long.mp4": long, "second.mp4": clip(tmp_path, 48, seed=2)})
    ours = media_set(
        "ours",
        {
            "coarse.mp4": clip(tmp_path, 120, seed=1, options={"crf": "34"}),
            "beginning.mp4": cut(long, 0, 30, tmp_path),
            "middle.mp4": cut(long, 47, 40, tmp_path),
            "mirrored.mp4": cut(long, 31, 50, tmp_path, mirrored=True),
            "in bars.mp4": clip(tmp_path, 48, seed=2, film=bars),
            "frame.jpg": frame_of(long, 77),
            "another.mp4": clip(tmp_path, 48, seed=3),
            "another.jpg": draw(1, SIZE),
        },
    )
    assert matches(ours, others) == {
        "coarse.mp4": (Match.LOOKS_ALIKE, "long.mp4"),
        "beginning.mp4": (Match.PART, "long.mp4"),
        "middle.mp4": (Match.PART, "long.mp4"),
        "mirrored.mp4": (Match.MIRRORED, "long.mp4"),
        "in bars.mp4": (Match.LOOKS_ALIKE, "second.mp4"),
        "frame.jpg": (Match.PART, "long.mp4"),
    }
    assert matches(others, ours) == {
        "long.mp4": (Match.LOOKS_ALIKE, "coarse.mp4"),
        "second.mp4": (Match.LOOKS_ALIKE, "in bars.mp4"),
    }
    only_excerpt = media_set("excerpt", {"middle.mp4": cut(long, 47, 40, tmp_path)})
    assert matches(others, only_excerpt) == {"long.mp4": (Match.PART, "middle.mp4")}


def named(path: str, **facts: Any) -> MediaSet:
    """A set with a medium whose picture cannot be compared."""
    item = replace(row(0, MediaKind.CLIP).item, media_path=path, **{"film_id": "", "start_seconds": None} | facts)
    return MediaSet("named", Path("named"), "0" * 64, [("test", item)], [SetMedium([item], FrameHashes())])


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("videos/-2uIa-XMJC0.5.3.mp4", "real_videos/-2uIa-XMJC0.5.3.MP4", True),
        ("image/NJ8E6FEM.jpg", "stills/nj8e6fem.png", True),
        ("videos/-2uIa-XMJC0.5.3.mp4", "videos/-2uIa-XMJC0.5.4.mp4", False),
        ("a/shot_00000012.mp4", "b/shot_00000012.mp4", False),  # any set may have such a name
        ("a/000000012.mp4", "b/000000012.mp4", False),
        ("a/b1c2.mp4", "b/b1c2.mp4", False),
    ],
)
def test_ids_in_file_names_are_compared_and_numbered_names_are_not(one: str, other: str, found: bool) -> None:
    expected = {one: (Match.FILE_NAME, other)} if found else {}
    assert matches(named(one), named(other)) == expected


def test_file_names_count_if_most_media_that_share_them_look_alike() -> None:
    names = [f"film-001-close_up-{letter}.jpg" for letter in "abc"]
    ours = media_set("ours", {name: draw(number, SIZE) for number, name in enumerate(names)})
    same = media_set("same", {name: draw(number if number < 2 else 9, SIZE) for number, name in enumerate(names)})
    other = media_set("other", {name: draw(number + 20, SIZE) for number, name in enumerate(names)})
    assert [kind for kind, _ in matches(ours, same).values()] == [Match.SAME_BYTES, Match.SAME_BYTES, Match.FILE_NAME]
    assert matches(ours, other) == {}


def test_film_and_time_are_compared() -> None:
    ours = named("a.mp4", film_id="Alien", start_seconds=10.0, end_seconds=12.0)
    assert matches(ours, named("b.mp4", film_id="alien", start_seconds=11.0)) == {
        "a.mp4": (Match.FILM_AND_TIME, "b.mp4")
    }
    assert matches(ours, named("b.mp4", film_id="alien", start_seconds=20.0)) == {}
    assert matches(ours, named("b.mp4", film_id="alien")) == {}


def shards(folder: Path, numbers: Sequence[int], **extra: str) -> Path:
    """Shards with two questions on each picture; a picture without a number is broken."""
    rows = []
    for place, number in enumerate(numbers):
        medium = draw(number, SIZE) if number >= 0 else b"no picture"
        for question in range(2):
            given = row(2 * place + question).item
            item = replace(given, media_path=f"image/{number}.jpg", film_id="", start_seconds=None)
            rows.append(PendingRow.of("dev" if place % 2 else "test", item, medium))
    earlier = [Defect(DefectKind.BAD_ROW, 9, "t-99", "image/99.jpg", "no options", loses_row=True)]
    about = replace(
        ABOUT, fingerprint=str(numbers), sections={"Classes": "Some.", "Audit": "All is well."}, known_limits="Few."
    )
    write_shards(rows, folder, about, splits=["dev", "test"], defects=earlier, extra=extra)
    return folder


def test_the_report_is_in_the_shards_and_its_rows_add_up(tmp_path: Path) -> None:
    ours = shards(tmp_path / "ours", [0, 1, 2, 3, -1], **{"audit.json": '{"questions": 10}'})
    others = [shards(tmp_path / "one", [1, 2, 50]), shards(tmp_path / "two", [2, 60])]
    before = (ours / CARD).read_text()
    for _ in range(2):  # the second report replaces the first
        report = check_leaks(str(ours), list(map(str, others)), ALONE)
        assert report.summary() == {
            "questions": 10,
            "leaked_questions": 4,
            "media": 5,
            "leaked_media": 2,
            "not_comparable": 1,
        }
        assert [one.counts() for one in report.compared] == [
            {"same bytes": {"media": 2, "questions": 4}},
            {"same bytes": {"media": 1, "questions": 2}},
        ]
        assert json.loads((ours / LEAKS).read_text())["compared"][1]["leaked"][0]["media_path"] == "image/2.jpg"
        assert json.loads((ours / "audit.json").read_text()) == {"questions": 10, "leaks": report.summary()}
        card = (ours / CARD).read_text()
        assert card.count(f"## {SECTION}\n") == 1 and "4 of 10 questions" in card
        assert len(verified_files(ours)) == len(list((ours / "data").iterdir())) + 4
    start, end = card.index(f"## {SECTION}"), card.index("## Defects")
    assert card[:start] + card[end:] == before
    assert push(ours, str(tmp_path / "copy")).sent_files


def test_shards_without_leaks_account_for_every_question(tmp_path: Path) -> None:
    of_all = {"audit.json": '{"questions": 8}', "rows.csv": "line,outcome\n"}
    ours, other = shards(tmp_path / "ours", [0, 1, 2, 3], **of_all), shards(tmp_path / "other", [1, 50])
    out, before = tmp_path / "out", (ours / MANIFEST).read_bytes()
    written, report = write_without_leaks(str(ours), [str(other)], out, ALONE)
    assert report and report.summary()["leaked_questions"] == 2 and (ours / MANIFEST).read_bytes() == before
    kept = [item.item_id for split in ("dev", "test") for item in ShardFolder(out, split).items()]
    assert kept == ["t-6", "t-7", "t-0", "t-1", "t-4", "t-5"]
    assert ShardFolder(out).media("t-4") == draw(2, SIZE)
    lost = [defect for defect in read_defects(out) if defect.kind is DefectKind.IN_ANOTHER_SET]
    assert [defect.index for defect in lost] == ["t-2", "t-3"] and len(read_defects(out)) == 3
    card = (out / CARD).read_text()
    assert "## Classes\n\nSome." in card and "Few." in card and "By hand.\n\n`shotbench data leaks` left out 2" in card
    assert card.index(SECTION) < card.index("## Defects")
    assert "## Audit" in (ours / CARD).read_text() and "## Audit" not in card  # it is of all questions
    assert not any((out / name).exists() for name in of_all)
    again, nothing = write_without_leaks(str(ours), [str(other)], out, ALONE)
    assert again.already_complete and again.counts == written.counts and nothing is None


def test_a_set_is_not_compared_with_itself_and_never_replaced_by_its_rest(tmp_path: Path) -> None:
    ours, other = shards(tmp_path / "ours", [0, 1]), shards(tmp_path / "other", [1])
    with pytest.raises(ValueError, match="itself"):
        check_leaks(str(ours), [f"{ours}/"], ALONE)
    for out in (ours, ours / "inside", tmp_path):
        with pytest.raises(WriteRefused, match="inside the source"):
            write_without_leaks(str(ours), [str(other)], out, ALONE)
    with pytest.raises(WriteRefused, match="no question is left"):
        write_without_leaks(str(other), [str(ours)], tmp_path / "out", ALONE)


def test_the_command_fails_on_leaks_unless_they_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, other = shards(tmp_path / "ours", [0, 1, 2]), shards(tmp_path / "other", [1])
    clean, out, file = shards(tmp_path / "clean", [7]), tmp_path / "out", tmp_path / "pairs.json"
    command = ["data", "leaks", str(ours), "--workers", "0", "--against"]
    assert main([*command, str(other), "--out", str(out)]) == 0
    assert "| same bytes | 1 | 2 |" in (printed := capsys.readouterr().out) and "4 of 6 questions" in printed
    assert main([*command, str(other), "--out", str(out)]) == 0 and "complete already" in capsys.readouterr().out
    assert main([*command, str(clean), str(other), "--report", str(file)]) == 1
    assert [row["name"] for row in json.loads(file.read_text())["compared"]] == [str(clean), str(other)]
    assert main([*command, str(clean)]) == 0 and "| none | 0 | 0 |" in capsys.readouterr().out
