"""An import that is killed, or whose workers are killed, gives the same shards and checks no medium twice."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from data_pipeline.checks.check_media import CheckedMedium, check_medium
from data_pipeline.releases import check_on_workers
from data_pipeline.releases import import_shotqa as step
from data_pipeline.releases.check_on_workers import VerdictJournal
from data_pipeline.releases.import_shotqa import import_shotqa
from data_pipeline.releases.shotqa_files import FINGERPRINT_VERSION, find_shotqa
from data_pipeline.releases.shotqa_questions import ShotQAChoices
from data_pipeline.workers import Workers
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support import REPOSITORY
from tests.support.killed_imports import SMALL_SIZES
from tests.support.releases import still
from tests.support.shotqa_releases import checksums, shotqa, still_row

ITEMS = 400
KILL_POINTS = (0, 1, 90, 200, 300, 370)


@pytest.fixture(scope="module")
def shotqa_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated release with every kind of broken medium."""
    from stand_in_shotqa import make_shotqa

    folder = tmp_path_factory.mktemp("shotqa") / "release"
    make_shotqa(folder, ITEMS, broken_share=0.1, clip_share=0.1)
    return folder


def imported(release: Path, shards: Path, media: str, *kill_points: int) -> list[dict[str, object]]:
    """Return the verdicts and files left after each kill; the last run is not killed."""
    command = [
        sys.executable,
        "-m",
        "tests.support.killed_imports",
        str(release),
        str(shards),
        media,
        *map(str, kill_points),
    ]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


@pytest.mark.slow
def test_an_import_killed_repeatedly_gives_the_same_files_and_checks_nothing_twice(
    shotqa_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, size in SMALL_SIZES:
        monkeypatch.setattr(module, name, size)
    import_shotqa(str(shotqa_release), tmp_path / "at once", ShotQAChoices(dev_share=0.2))
    left = imported(shotqa_release, tmp_path / "killed", "check", *KILL_POINTS)
    assert [run["killed"] for run in left] == [True] * len(KILL_POINTS)
    assert checksums(tmp_path / "killed") == checksums(tmp_path / "at once")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["at once", "killed"]
    assert any(run["files"] for run in left), "no kill came after the first finished file"
    for before, after in pairwise(left):
        known, now = before["verdicts"], after["verdicts"]
        assert isinstance(known, list)
        assert isinstance(now, list)
        assert now[: len(known)] == known
        assert len(now) > len(known)
        assert len({json.loads(line)["name"] for line in now}) == len(now)


@pytest.mark.slow
def test_a_killed_import_of_trusted_media_has_no_journal_and_gives_the_same_files(
    shotqa_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, size in SMALL_SIZES:
        monkeypatch.setattr(module, name, size)
    import_shotqa(str(shotqa_release), tmp_path / "at once", ShotQAChoices(dev_share=0.2, media="trust"))
    left = imported(shotqa_release, tmp_path / "killed", "trust", 1, 4, 7)
    assert [run["killed"] for run in left] == [True] * 3 and not any(run["verdicts"] for run in left)
    assert checksums(tmp_path / "killed") == checksums(tmp_path / "at once")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["at once", "killed"]


@pytest.mark.parametrize("of_this_archive", [True, False])
def test_a_journal_is_used_for_its_own_archive_up_to_a_truncated_line(of_this_archive: bool, tmp_path: Path) -> None:
    release = shotqa(tmp_path / "release", [("a.jpg", still(1)), ("b.jpg", still(2))],
                     grpo=[still_row("a.jpg"), still_row("b.jpg")])  # fmt: skip
    source = (
        f"{find_shotqa(str(release)).archive_fingerprint()} check {FINGERPRINT_VERSION}"
        if of_this_archive
        else "another"
    )
    entries = [
        {"source": source},
        *({"name": f"{n}.jpg", "kind": "still", "sha256": f"of {n}", "flaw": None, "warnings": []} for n in "ab"),
    ]
    (tmp_path / ".shards.work").mkdir()
    (tmp_path / ".shards.work/verdicts.jsonl").write_text("\n".join(map(json.dumps, entries))[:-9])
    import_shotqa(str(release), tmp_path / "shards", ShotQAChoices(dev_share=0))
    found = [item.media_sha256 for item in ShardFolder(tmp_path / "shards", "grpo").items()]
    expected = [hashlib.sha256(still(number)).hexdigest() for number in (1, 2)]
    assert found == (["of a", expected[1]] if of_this_archive else expected)


def test_a_truncated_line_is_removed_before_others_are_added(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    complete_lines = (
        '{"source": "a"}\n{"name": "a.jpg", "kind": "still", "sha256": "1", "flaw": null, "warnings": []}\n'
    )
    path.write_text(complete_lines + '{"name": "b.j')
    with VerdictJournal(path, "a") as journal:
        assert len(journal) == 1
    assert path.read_text() == complete_lines


@pytest.mark.verl
@pytest.mark.ray
@pytest.mark.timeout(600)  # Ray starts slowly on a busy machine
def test_a_killed_ray_worker_loses_and_repeats_nothing(
    shotqa_release: Path, tmp_path: Path, two_workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_on_workers, "BATCH_MEDIA", 8)
    media: list[bytes] = []

    def recording_check(kind: MediaKind, encoded: bytes) -> CheckedMedium:
        media.append(encoded)
        return check_medium(kind, encoded)

    monkeypatch.setitem(step.JUDGES, "check", recording_check)
    import_shotqa(str(shotqa_release), tmp_path / "no ray", ShotQAChoices(dev_share=0.2))
    fatal, died = media[len(media) // 2], tmp_path / "died"

    def check_or_die_once(kind: MediaKind, encoded: bytes) -> CheckedMedium:
        if encoded == fatal:
            with suppress(FileExistsError), died.open("x") as mark:
                mark.write(str(os.getpid()))
                mark.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        return check_medium(kind, encoded)

    monkeypatch.setitem(step.JUDGES, "check", check_or_die_once)
    import_shotqa(str(shotqa_release), tmp_path / "ray", ShotQAChoices(dev_share=0.2), workers=two_workers)
    assert int(died.read_text()) != os.getpid()
    assert checksums(tmp_path / "ray") == checksums(tmp_path / "no ray")
