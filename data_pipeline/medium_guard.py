"""One bad film, clip or still costs its own rows only: whatever it raises becomes a flaw with the stage and the cause.

Owns the guard of all stages, and which exceptions end the run all the same: those of the run as a whole (`RunEnds`), of
remote storage, a full disk, and everything that is no `Exception`, such as Ctrl-C. A worker that dies is handled in
`workers.py`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from types import TracebackType
from typing import Self

from data_pipeline.defects import DefectKind, Flaw
from lmms_eval_shotbench.media.broken_medium import BrokenMedium, TooLarge, WithoutFrames, cause_of
from lmms_eval_shotbench.remote_path import StorageFailed

DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class RunEnds(Exception):
    """An error of the run as a whole; subclass it together with a built-in exception."""


class MediumGuard:
    """Context in which one medium is worked on; an exception ends the context and is passed on as a `Flaw`.

    Args:
        lose: Called with the flaw.
        stage: What is being done, for the detail of the flaw; can be reassigned within the context.
        kind: Kind of the flaw.
    """

    def __init__(
        self, lose: Callable[[Flaw], object], stage: str, kind: DefectKind = DefectKind.UNDECODABLE_MEDIUM
    ) -> None:
        self._lose, self._kind = lose, kind
        self.stage = stage

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> bool:
        disk_is_full = isinstance(error, OSError) and error.errno in DISK_FULL_ERRORS
        if not isinstance(error, Exception) or isinstance(error, (RunEnds, StorageFailed)) or disk_is_full:
            return False
        self._lose(flaw_of(error, self.stage, self._kind))
        return True


def flaw_of(error: Exception, stage: str, kind: DefectKind = DefectKind.UNDECODABLE_MEDIUM) -> Flaw:
    """The flaw of a medium that raised an exception; the message of a `BrokenMedium` is clear without the stage."""
    if isinstance(error, BrokenMedium):
        kinds = {TooLarge: DefectKind.TOO_LARGE, WithoutFrames: DefectKind.CLIP_WITHOUT_FRAMES}
        return Flaw(kinds.get(type(error), kind), str(error))
    return Flaw(kind, f"{stage} failed: {cause_of(error)}")
