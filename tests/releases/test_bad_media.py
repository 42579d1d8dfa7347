"""One bad medium costs its own rows in both imports, whatever reading, checking or hashing it raises."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.checks.check_media import CheckedMedium, check_medium
from data_pipeline.releases import import_shotqa as importer
from data_pipeline.releases.checked_rows import ImportReport
from data_pipeline.releases.import_shotbench import import_shotbench
from data_pipeline.releases.import_shotqa import ShotQAReport, import_shotqa
from data_pipeline.releases.shotqa_questions import ShotQAChoices
from data_pipeline.workers import WORKER_DIED, Workers
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.injected_faults import FAULTS, inject
from tests.support.releases import Media, Row, clip, folders, good, line, still, tars
from tests.support.shotqa_releases import clip_row, shotqa, still_row

BAD = still(2, "PNG")
NAMES = ("a.jpg", "b.jpg", "bad.jpg", "c.jpg")


def concerning(medium: bytes, name: str) -> Callable[..., bool]:
    """Whether a medium, or its file in the release, is among the arguments of a call."""

    def applies(*arguments: Any, **_: Any) -> bool:
        return any(one == medium or getattr(one, "name", "").endswith(name) for one in arguments)

    return applies


def shotbench(folder: Path, layout: Any, rows: list[Row], media: Media) -> ImportReport:
    done = import_shotbench(str(layout(folder / "release", rows, media)), folder / "shards", allow_missing=True)
    assert done.rows_read == done.rows_written + done.rows_lost
    assert done.rows_written == len(list(ShardFolder(folder / "shards").items()))
    return done


def from_archive(folder: Path, workers: Workers | None = None) -> ShotQAReport:
    media = [*((name, BAD if name == "bad.jpg" else still(n)) for n, name in enumerate(NAMES, 10)), ("v.mp4", clip())]
    rows = [*map(still_row, NAMES), still_row("bad.jpg", letter="C"), clip_row("v.mp4")]
    release = shotqa(folder / "release", media, grpo=rows)
    choices = ShotQAChoices(dev_share=0)
    done = import_shotqa(str(release), folder / "shards", choices, workers=workers or Workers())
    assert done.rows_read == sum(done.rows_written.values()) + done.drops.total() == 6
    return done


@pytest.mark.parametrize("layout", [folders, tars])
@pytest.mark.parametrize(
    ("target", "stage"),
    [
        ("data_pipeline.releases.release_media.Release.read", "reading it"),
        ("data_pipeline.releases.checked_rows.check_medium", "checking it"),
        ("data_pipeline.checks.check_media._check_still", "checking it"),
        ("data_pipeline.releases.check_on_workers.Verdict.of", "checking it"),
        ("data_pipeline.checks.check_media.opened_still", "checking it"),
    ],
)
def test_shotbench_loses_the_rows_of_each_bad_medium(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: Any, target: str, stage: str
) -> None:
    rows, media = good()
    raised = []
    for number, fault in enumerate(FAULTS, 10):  # each has a medium of its own
        path = f"image/B{number}.PNG"
        media[path] = still(number, "PNG")
        rows.append(line(number, path))
        raised.append(inject(monkeypatch, target, fault, concerning(media[path], Path(path).name)))
    done = shotbench(tmp_path, layout, rows, media)
    assert all(raised)
    assert [(lost.index, lost.path, lost.loses_row) for lost in done.defects] == [
        (str(number), f"image/B{number}.PNG", True) for number in range(10, 10 + len(FAULTS))
    ]
    assert all(stage in lost.detail for lost in done.defects)
    assert done.rows_written == 4


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_shotqa_loses_the_rows_of_one_bad_medium(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    raised = inject(monkeypatch, "data_pipeline.checks.check_media._check_still", fault, concerning(BAD, "bad.jpg"))
    done = from_archive(tmp_path)
    assert raised
    assert sum(done.rows_written.values()) == 4
    assert {defect.path.rpartition("/")[2] for defect in done.defects} == {"bad.jpg"} and len(done.defects) == 2


def killing(kind: MediaKind, encoded: bytes) -> CheckedMedium:
    """Check a medium; the bad one kills the worker, as a crash of its decoder would."""
    if encoded == BAD:
        os.kill(os.getpid(), signal.SIGKILL)
    return check_medium(kind, encoded)


@pytest.mark.verl
@pytest.mark.ray
def test_on_ray_a_medium_that_kills_its_worker_loses_only_its_rows(
    tmp_path: Path, two_workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(importer.JUDGES, "check", killing)
    done = from_archive(tmp_path, two_workers)
    assert sum(done.rows_written.values()) == 4
    assert [defect.detail for defect in done.defects] == [WORKER_DIED] * 2
