"""A file under two film ids is refused before anything is cut."""

from __future__ import annotations

import os
import shutil
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image

from data_pipeline.annotations.columns import TableRefused
from data_pipeline.checks.same_films import look_alikes
from data_pipeline.films.film_frames import film_frame_hashes
from data_pipeline.films.film_probe import probe_film
from data_pipeline.films.media_ids import BEGINNING
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.question_files import read_questions
from tests.support.film_cuts import Cut, row
from tests.support.made_films import MadeFilm, MadeShot

COMMAND = ["data", "films", "--unbalanced", "--no-gate", "--workers", "0", "--out"]


def refusal(folder: Path, *media_and_ids: tuple[str, str]) -> str:
    rows = [row(size="CU", film_id=film_id, media=media) for media, film_id in media_and_ids]
    with pytest.raises(TableRefused) as refused:
        Cut(folder, rows)
    assert not list((folder / "work").rglob("*.jpg"))
    return str(refused.value)


def test_one_path_under_two_ids_is_refused_with_file_ids_and_lines(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"any")
    message = refusal(tmp_path, ("a.png", "Chaplin"), ("./a.png", "chaplin (1915)"))
    assert "a.png under 'Chaplin' (line 2), 'chaplin (1915)' (line 3)" in message and "--trust-ids" in message


@pytest.mark.parametrize("make", [shutil.copy, os.symlink, os.link])
def test_a_copy_and_a_link_are_the_same_file(tmp_path: Path, make: object) -> None:
    (tmp_path / "a.png").write_bytes(b"any")
    make(tmp_path / "a.png", tmp_path / "b.png")  # type: ignore[operator]
    assert "a.png (the same file as b.png) under 'x' (line 2), 'y' (line 3)" in refusal(
        tmp_path, ("a.png", "x"), ("b.png", "y")
    )


def test_files_of_one_size_and_beginning_are_different_if_their_ends_are(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(bytes(BEGINNING) + name.encode())
    (tmp_path / "empty.png").touch()
    (tmp_path / "nothing.png").touch()
    cut = Cut(tmp_path, [row(size="CU", film_id=n, media=f"{n}.png") for n in ("a", "b", "empty", "nothing")])
    assert [line for _, line in cut.losses] == [2, 3, 4, 5]  # they are no pictures


def test_many_files_under_two_ids_are_counted(tmp_path: Path) -> None:
    pairs = []
    for number in range(8):
        (tmp_path / f"{number}.png").write_bytes(f"{number}".encode())
        pairs += [(f"{number}.png", "x"), (f"{number}.png", "y")]
    message = refusal(tmp_path, *pairs)
    assert "4.png" in message and "5.png" not in message and "and 3 more" in message


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three films, a copy of the first in another size and quality under another id, and `table.csv`."""
    monkeypatch.chdir(tmp_path)
    lines = ["film_id,media,start,end,shot_size,camera_movement"]
    for number, name in enumerate(("one", "two", "three")):
        shots = [MadeShot(48, 10 * number + seed, numbered=False) for seed in range(1, 5)]
        MadeFilm(shots).write(tmp_path / "films" / f"{name}.mp4")
        lines += [f"{name},{name}.mp4,0,1.9,CU,Arc", f"{name},{name}.mp4,4.1,5.9,WS,Pan left"]
        if not number:
            MadeFilm(shots).write(tmp_path / "films" / "again.mp4", options={"crf": "30"})
            lines += ["again,again.mp4,2.1,3.9,CU,Arc", "again,again.mp4,6.1,7.9,WS,Pan left"]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def splits_of_films(out: str) -> dict[str, set[str]]:
    splits: dict[str, set[str]] = {}
    for split in ("sft", "test"):
        for item in read_questions(out, split):
            splits.setdefault(item.film_id, set()).add(split)
    return splits


@pytest.mark.slow
def test_a_copy_under_another_id_is_in_the_split_of_its_film(copies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(4):  # by chance they would share a split in half of the cases
        command = [*COMMAND, f"out{seed}", "films", "--table", "table.csv", "--splits", "sft:1,test:1"]
        assert main([*command, "--seed", f"{seed}"]) == 0
        assert "'one' and 'again' look alike in 12 of 12 frames" in capsys.readouterr().err
        splits = splits_of_films(f"out{seed}")
        assert splits["one"] == splits["again"] and {len(found) for found in splits.values()} == {1}
        assert {"sft", "test"} == set().union(*splits.values())


@pytest.mark.slow
def test_trusted_ids_are_films_of_their_own(copies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = copies / "table.csv"
    table.write_text(table.read_text() + "reel,one.mp4,2.1,3.9,CU,Arc\n")
    command = [*COMMAND, "out", "films", "--table", "table.csv", "--splits", "test:1"]
    assert main(command) == 2
    assert "one.mp4 under 'one' (line 2), 'reel' (line 10)" in capsys.readouterr().err
    assert main([*command, "--trust-ids"]) == 0
    assert "look alike" not in capsys.readouterr().err
    assert "--trust-ids" in (copies / "out" / "README.md").read_text()


def test_names_without_a_letter_still_give_shots_their_ids(tmp_path: Path) -> None:
    pictures = MadeFilm((MadeShot(2, 1), MadeShot(2, 5))).pictures()
    for name, picture in zip(("!!!", "???"), list(pictures)[1:3], strict=True):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    rows = [row(size="CU", film_id=name, media=f"{name}.png", shot_id="") for name in ("!!!", "???")]
    cut = Cut(tmp_path, rows)
    assert not cut.losses
    ids = [shot.shot_id for shot in cut.shots]
    assert len(set(ids)) == 2 and all(shot_id.removesuffix("-still") for shot_id in ids)


def test_the_films_of_the_failing_media_are_refused_under_several_ids(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = real_data / "failing_media"
    command = [*COMMAND, str(tmp_path / "out"), str(folder), "--table", str(folder / "two_ids.csv")]
    assert main([*command, "--splits", "sft:1,test:1"]) == 2
    refused = capsys.readouterr().err
    assert "chaplin.mp4 under 'Chaplin' (line 2), 'chaplin' (line 3), 'CHAPLIN' (line 4), 'Chaplin (1915)'" in refused
    assert "im-cockatoo.mp4 under 'cockatoo' (line 6), 'Cockatoo' (line 7)" in refused
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_other_encodings_of_a_real_film_look_like_it(real_data: Path) -> None:
    folder = real_data / "failing_media"
    names = ("chaplin.mp4", "vp8_altref.webm", "flash.mp4", "video_starts_at_2s.mp4")
    others = ("im-cockatoo.mp4", "ax-roadtrip-vp92-10bit.webm", "ax-sample.avi", "ax-sample_rotate_and_reflect.mp4")
    hashes = {name: film_frame_hashes(probe_film(folder / name)) for name in (*names, *others)}
    found = {frozenset((one, other)) for one, other, *_ in look_alikes(hashes)}
    assert found == {frozenset(pair) for pair in combinations(names, 2)}
