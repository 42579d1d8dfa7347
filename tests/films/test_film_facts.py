"""The digest that tells a film from another of its name."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from data_pipeline.films.film_facts import DIGESTED_BYTES, content_digest
from lmms_eval_shotbench.remote_path import RemotePath
from tests.support.memory_storage import empty_memory

LENGTHS = (0, 1, DIGESTED_BYTES, DIGESTED_BYTES + 1, 3 * DIGESTED_BYTES)


@pytest.mark.parametrize("length", LENGTHS)
def test_another_size_start_or_end_gives_another_digest(length: int, tmp_path: Path) -> None:
    content = bytes(index % 251 for index in range(1000)) * (length // 1000 + 1)
    contents = {content[:length], content[:length] + b"\0"}
    if length:
        contents |= {b"\xff" + content[1:length], content[: length - 1] + b"\xff"}
    digests = set()
    for number, one in enumerate(contents):
        for name in (f"{number}.mov", f"{number}-copy.mov"):  # the name does not count
            (tmp_path / name).write_bytes(one)
        digests.add(content_digest(tmp_path / f"{number}.mov"))
        assert content_digest(tmp_path / f"{number}-copy.mov") in digests
    assert len(digests) == len(contents)


def test_the_middle_of_a_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "film.mov"
    with path.open("wb") as file:
        file.truncate(1 << 36)  # 64 GiB, without blocks on the disk
    assert len(content_digest(path)) == 32


def test_a_film_in_remote_storage_has_the_digest_of_its_local_copy(tmp_path: Path) -> None:
    empty_memory()
    content = bytes(range(256)) * (DIGESTED_BYTES // 100)
    (tmp_path / "film.mov").write_bytes(content)
    fsspec.filesystem("memory").pipe("/films/film.mov", content)
    assert content_digest(RemotePath("memory://films/film.mov")) == content_digest(tmp_path / "film.mov")
