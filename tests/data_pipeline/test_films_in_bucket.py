"""Films in an S3 bucket become shards in it, on one machine and on a cluster that loses a node."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.films import cut_film
from data_pipeline.films.film_archive import SUFFIX
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.remote_path import _block
from tests.support.annotated_table import write_films
from tests.support.bucket import BUCKET, CREDENTIALS, contents, forget_clients, running_bucket, upload

pytestmark = [pytest.mark.s3, pytest.mark.slow]
FILMS = 8
NODES = 4


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A bucket with the folder `films` and `table.csv`."""
    folder = tmp_path_factory.mktemp("bucket")
    write_films(folder, FILMS)
    with running_bucket(folder / "server.log"):
        upload(folder / "films", BUCKET / "films")
        (BUCKET / "table.csv").upload(folder / "table.csv")
        yield


def arguments(out: str, *more: str) -> list[str]:
    paths = [f"{BUCKET}/films", "--table", f"{BUCKET}/table.csv", "--out", f"{BUCKET}/{out}"]
    return ["data", "films", *paths, "--splits", "dev:1,test:1", "--unbalanced", "--no-gate", *more]


@pytest.fixture(scope="module")
def reference(bucket: None) -> dict[str, bytes]:
    """The files of the shards that one process writes."""
    assert main(arguments("reference", "--workers", "0")) == 0
    return contents(BUCKET / "reference")


def test_one_process_leaves_only_complete_shards(
    reference: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert {"README.md", "manifest.json", "data/test-00000-of-00001.parquet"} < reference.keys()
    assert {path.name for path in BUCKET.iterdir()} == {"films", "table.csv", "reference"}
    assert main(arguments("reference", "--workers", "0")) == 0
    assert "complete already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--table", "s3://films/none.csv"], "there is no s3://films/none.csv"),
        (["--out", "s3://nowhere/shards"], "there is no such bucket"),
        (["--out", "s3://films/films/shards"], "inside the films folder"),
        (["--out", "s3://films"], "give an address with a path"),
    ],
)
def test_wrong_addresses_are_refused_in_one_line(
    bucket: None, capsys: pytest.CaptureFixture[str], wrong: list[str], message: str
) -> None:
    assert main(arguments("wrong", "--workers", "0", *wrong)) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("shotbench:")]
    assert message in line
    assert not (BUCKET / "wrong").exists()


def test_shards_in_the_bucket_are_read_like_a_folder(
    reference: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOTBENCH_CACHE", str(tmp_path / "cache"))
    assert main(["data", "audit", f"{BUCKET}/reference", "--workers", "0", "--no-gate"]) == 0
    assert main(["data", "export-webdataset", f"{BUCKET}/reference", "--out", f"{BUCKET}/tars"]) == 0
    assert {"index.json", "test-000000.tar"} <= (BUCKET / "tars").files().keys()
    (BUCKET / "tars").remove_tree()


def test_without_credentials_the_run_ends_in_one_line(
    bucket: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/none")
    forget_clients()
    try:
        assert main(arguments("wrong", "--workers", "0")) == 2
    finally:
        forget_clients()
    (line,) = capsys.readouterr().err.splitlines()
    assert "Unable to locate credentials; set AWS_ACCESS_KEY_ID" in line


def test_if_the_server_goes_away_the_run_ends_and_no_film_counts_as_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_films(tmp_path, 1)
    scan = cut_film.scan_ranges
    try:
        with running_bucket(tmp_path / "server.log") as server:
            upload(tmp_path / "films", BUCKET / "films")
            (BUCKET / "table.csv").upload(tmp_path / "table.csv")

            def scan_alone(*given: Any) -> Any:
                server.kill()
                _block.cache_clear()
                return scan(*given)

            monkeypatch.setattr(cut_film, "scan_ranges", scan_alone)
            assert main(arguments("shards", "--workers", "0")) == 2
    finally:
        forget_clients()
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("shotbench:")]
    assert "s3://films/films/film-0.mp4 cannot be read: Could not connect" in line
    assert line.endswith("once it is reachable, run the same command again to resume")


@pytest.mark.ray
def test_a_cluster_that_loses_a_node_writes_the_same_bytes(
    reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_health_check_period_ms", "500")  # by default a dead node is noticed after half a minute
    from tests.support.ray_cluster import is_busy, running_cluster

    with running_cluster(NODES) as (cluster, nodes):
        on_cluster = ["--workers", str(NODES), "--ray-address", cluster.address]
        command = [sys.executable, "-m", "lmms_eval_shotbench.cli", *arguments("shards", *on_cluster)]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        killed = None
        while killed is None and run.poll() is None:  # wait for a finished film, and a node that is cutting one
            time.sleep(0.05)
            if finished := finished_films():
                killed = next(filter(is_busy, nodes), None)
        assert killed is not None and len(finished) < FILMS, run.communicate()[0]
        cluster.remove_node(killed, allow_graceful=False)
        output, _ = run.communicate(timeout=400)
    assert run.returncode == 0, output
    assert contents(BUCKET / "shards") == reference
    assert {path.name for path in BUCKET.iterdir()} == {"films", "table.csv", "reference", "shards"}


def finished_films() -> list[str]:
    return [name for name in (BUCKET / ".shards.work").files() if name.endswith(SUFFIX)]
