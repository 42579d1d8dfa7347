"""A full disk: old shards are kept, the missing space is reported, and the next call resumes. On a real, small disk."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from data_pipeline.shards.full_disk import DiskFull, readable_bytes
from data_pipeline.shards.write_shards import write_shards
from tests.support import REPOSITORY
from tests.support.shard_rows import ABOUT, checksums, rows

# In a separate mount namespace, so that the mount disappears with the process.
ON_A_SMALL_DISK = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
MOUNT = "mount -t tmpfs -o size=3m tmpfs '{disk}' && exec '{python}' -c '{code}' '{disk}'"
FILL_AND_RESUME = """
import json, os, subprocess, sys
from dataclasses import replace
from pathlib import Path
from data_pipeline.shards import split_writer
from data_pipeline.shards.full_disk import DiskFull
from data_pipeline.shards.atomic_folder import bytes_in_draft
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import write_shards
from tests.support.shard_rows import ABOUT, checksums, row
split_writer.FILE_BYTES, split_writer.ROW_GROUP_BYTES = 600_000, 100_000
disk = Path(sys.argv[1])
reads = []
def large(number):
    item = row(number).item
    def read():
        reads.append(number)
        return bytes([number]) * 50_000
    return PendingRow("test", item, read)
def fill(count):
    reads.clear()
    other = replace(ABOUT, fingerprint="large")
    write_shards(map(large, range(count)), disk / "out", other, splits=["test"], overwrite=True)
write_shards([row(1)], disk / "out", ABOUT, splits=["test"])
before = checksums(disk / "out")
try:
    fill(100)
except DiskFull as error:
    first_message = str(error)
untouched = checksums(disk / "out") == before
in_draft = bytes_in_draft(disk / "out")
left = sorted(path.name for path in (disk / ".out.partial/shards/data").iterdir())
try:
    with (disk / "rest").open("wb") as rest:
        while True:
            rest.write(bytes(10_000))
            rest.flush()
except OSError:
    pass
try:
    fill(100)
except DiskFull as error:
    second_message = str(error)
(disk / "rest").unlink()
subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
fill(100)
again = reads[:]
first = checksums(disk / "out")
fill(100)
print(json.dumps({"first_message": first_message, "second_message": second_message, "untouched": untouched,
                  "left": left, "again": again, "in_draft": in_draft, "same": checksums(disk / "out") == first,
                  "names": sorted(os.listdir(disk))}))
"""


def reported_bytes(text: str, pattern: str) -> float:
    found = re.search(pattern, text)
    assert found, text
    return float(found[1]) * {"kB": 1e3, "MB": 1e6}[found[2]]


@pytest.mark.slow
def test_on_a_full_disk_the_old_shards_are_kept_and_the_next_call_resumes(tmp_path: Path) -> None:
    mount = f"mount -t tmpfs tmpfs '{tmp_path}'"
    if not shutil.which("unshare") or subprocess.run([*ON_A_SMALL_DISK, mount], capture_output=True).returncode:
        pytest.skip("no disk of a given size can be mounted here (no unshare, or not allowed)")
    command = MOUNT.format(disk=tmp_path, python=sys.executable, code=FILL_AND_RESUME)
    child = subprocess.run([*ON_A_SMALL_DISK, command], cwd=REPOSITORY, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert "Exception ignored" not in child.stderr
    result = json.loads(child.stdout)
    assert result["untouched"]
    assert result["left"] == [f"test-{number:05d}.parquet" for number in range(4)]  # 4 of 600 kB fit into 3 MB
    assert 2_400_000 < result["in_draft"] < 2_500_000
    assert "are missing" in result["second_message"]  # without a free byte; finished files are still kept
    assert result["again"] == list(range(48, 100))
    assert result["same"] and result["names"] == ["out"]
    assert "No space left on device" in result["first_message"]
    free = reported_bytes(result["first_message"], r"([\d.]+) (kB|MB) are free")
    assert 400e3 < free < 700e3  # the bytes of the unfinished file count as free
    assert 0 < reported_bytes(result["first_message"], r"at least ([\d.]+) (kB|MB) are missing") < 300e3


LIMITED = """
import resource, sys
from pathlib import Path
from data_pipeline.shards.full_disk import DiskFull
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import write_shards
from tests.support.shard_rows import ABOUT, row
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    shown = (PendingRow.of("test", row(n).item, bytes(400_000)) for n in range(9))
    write_shards(shown, Path(sys.argv[1]) / "out", ABOUT, splits=["test"])
except DiskFull as error:
    print(error)
"""


@pytest.mark.slow
def test_a_file_too_large_for_its_file_system_is_reported_in_the_same_way(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", LIMITED, str(tmp_path)]
    child = subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert f"cannot write {tmp_path}/out (File too large)" in child.stdout
    assert "Exception ignored" not in child.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_too_small_is_reported_in_advance(tmp_path: Path) -> None:
    write_shards(rows(), tmp_path / "out", ABOUT, splits=["test"])
    before = checksums(tmp_path / "out")
    with pytest.raises(DiskFull, match=r"needs 1000000\.0 TB, .* are free on its disk: .* TB are missing"):
        write_shards(
            iter([]), tmp_path / "out", ABOUT, splits=["test"], overwrite=True, expected_bytes=1_000_000_000_000_000_000
        )
    assert checksums(tmp_path / "out") == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_byte_counts_are_human_readable() -> None:
    assert [readable_bytes(n) for n in (0, 999, 12_345, 4_100_000_000)] == ["0 bytes", "999 bytes", "12.3 kB", "4.1 GB"]
