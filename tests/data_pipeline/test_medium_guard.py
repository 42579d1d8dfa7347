"""The guard of one medium: every exception becomes a flaw with stage and cause, except those of the run as a whole."""

from __future__ import annotations

import errno

import pytest

from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.films.film_probe import BrokenFilm
from data_pipeline.films.picture_plugins import PluginUnusable
from data_pipeline.medium_guard import MediumGuard
from data_pipeline.releases.shotqa_archive import ArchiveDamaged
from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.full_disk import DiskFull
from lmms_eval_shotbench.media.broken_medium import BrokenMedium, TooLarge, WithoutFrames
from tests.support.injected_faults import FAULTS


def guarded(error: BaseException) -> list[Flaw]:
    flaws: list[Flaw] = []
    with MediumGuard(flaws.append, "opening it") as guard:
        guard.stage = "encoding it"
        raise error
    return flaws


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_an_exception_of_any_type_becomes_a_flaw_that_names_stage_and_cause(fault: Exception) -> None:
    (flaw,) = guarded(fault)
    assert flaw.kind is DefectKind.UNDECODABLE_MEDIUM
    assert flaw.detail.startswith("encoding it failed: ")
    cause = flaw.detail.removeprefix("encoding it failed: ")
    assert cause and " at 0x" not in cause and "\n" not in cause
    expected = "no known picture format" if "identify" in str(fault) else str(fault.args[-1] if fault.args else "")
    assert expected in cause or type(fault).__name__ in cause


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        SystemExit(),
        DiskFull("no space"),
        WriteRefused("in use"),
        PluginUnusable("no such model"),
        ArchiveDamaged("cut off"),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_the_run_as_a_whole_are_not_taken_for_a_flaw(error: BaseException) -> None:
    with pytest.raises(type(error)):
        guarded(error)


def test_messages_about_broken_media_are_kept_as_they_are() -> None:
    assert guarded(BrokenFilm("no video stream")) == [Flaw(DefectKind.UNDECODABLE_MEDIUM, "no video stream")]
    kinds = {BrokenMedium: DefectKind.UNDECODABLE_MEDIUM, TooLarge: DefectKind.TOO_LARGE}
    for error, kind in (kinds | {WithoutFrames: DefectKind.CLIP_WITHOUT_FRAMES}).items():
        assert guarded(error("why")) == [Flaw(kind, "why")]
