"""Films at an address become the shards that local films become, and a run that loses its storage resumes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from data_pipeline.films import cut_films
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.remote_path import RemotePath, StorageFailed
from tests.support.annotated_table import write_films
from tests.support.bucket import contents, upload
from tests.support.memory_storage import empty_memory

pytestmark = pytest.mark.slow
ROOT = RemotePath("memory://bucket")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Two films and their table, in a local folder and in memory."""
    write_films(tmp_path, 2)
    upload(tmp_path, ROOT)
    yield tmp_path
    empty_memory()


def run(root: Path | RemotePath) -> int:
    paths = [f"{root}/films", "--table", f"{root}/table.csv", "--out", f"{root}/shards"]
    return main(["data", "films", *paths, "--splits", "test:1", "--unbalanced", "--no-gate", "--workers", "0"])


def test_the_shards_are_those_of_local_films_after_a_failure_of_the_storage(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_one, cut = RemotePath.upload, cut_films.cut_film_file
    cut_again = list[str]()

    def until_the_second(self: RemotePath, source: Path) -> None:
        if self.name.startswith("film-1"):
            raise StorageFailed(f"{self} cannot be written: gone")
        upload_one(self, source)

    with monkeypatch.context() as patch:
        patch.setattr(RemotePath, "upload", until_the_second)
        assert run(ROOT) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("cannot be written: gone")
    assert not (ROOT / "shards").exists()
    monkeypatch.setattr(cut_films, "cut_film_file", lambda path, *rest: (cut_again.append(path.name), cut(path, *rest)))
    assert run(ROOT) == 0
    assert cut_again == ["film-1.mp4"]
    assert run(folder) == 0
    local = {path.relative_to(folder).as_posix() for path in (folder / "shards").rglob("*") if path.is_file()}
    remote = contents(ROOT / "shards")
    assert {f"shards/{name}" for name in remote} == local
    for name in remote.keys() - {"manifest.json"}:  # it has the fingerprint of the source, with times of the films
        assert remote[name] == (folder / "shards" / name).read_bytes()
    assert [path.name for path in ROOT.iterdir()] == ["films", "shards", "table.csv"]


def test_a_table_is_checked_against_films_at_an_address(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = (folder / "table.csv").read_text().replace("film-1.mp4", "film_1.mp4", 1)
    (ROOT / "table.csv").write_bytes(table.encode())
    assert main(["data", "films", f"{ROOT}/films", "--table", f"{ROOT}/table.csv", "--check", "--workers", "0"]) == 1
    shown = capsys.readouterr()
    assert "can be cut: 5; cannot: 1" in shown.out
    assert f"no such file in {ROOT}/films; is it film-1.mp4?" in shown.err
