"""Import one release repeatedly, killed at a later point each time, until a run completes.

    python -m tests.support.killed_imports RELEASE SHARDS check|trust KILL_POINT...

A kill point is a number of verdicts in the journal, or of parquet files if media are trusted and there is no journal.
The importing process sends itself SIGKILL at that point. Prints one line of JSON per run: the verdicts and the parquet
files left by the kill. Each run is a fork of this process, so that the libraries are imported once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from data_pipeline.releases import check_on_workers
from data_pipeline.releases.check_on_workers import VerdictJournal
from data_pipeline.releases.import_shotqa import import_shotqa
from data_pipeline.releases.shotqa_questions import ShotQAChoices
from data_pipeline.shards import split_writer
from data_pipeline.shards.shard_file import ShardFile
from lmms_eval_shotbench.questions.shards import shard_features

SMALL_SIZES = (
    (check_on_workers, "BATCH_MEDIA", 8),
    (split_writer, "ROW_GROUP_ROWS", 16),
    (split_writer, "FILE_BYTES", 300_000),
)


def verdicts(shards: Path) -> list[str]:
    """Return the verdicts in the journal, without its first line, which identifies the archive."""
    journal = shards.with_name(f".{shards.name}.work") / "verdicts.jsonl"
    return journal.read_text().splitlines()[1:] if journal.exists() else []


def files(shards: Path) -> list[str]:
    """Return the names of the parquet files of an unfinished run."""
    return [path.name for path in shards.parent.glob(f".{shards.name}.partial/**/*.parquet")]


def killed_run(release: str, shards: Path, choices: ShotQAChoices, kill_point: int) -> bool:
    """Import in a child process killed at this point; returns whether it was killed."""
    child = os.fork()
    if child == 0:
        kill_at(kill_point, shards, choices)
        import_shotqa(release, shards, choices)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def kill_at(kill_point: int, shards: Path, choices: ShotQAChoices) -> None:
    """Patch this process to kill itself after `kill_point` verdicts, at least one of them new, or files begun."""
    known = len(verdicts(shards))
    add, begin = VerdictJournal.add, ShardFile.__init__

    def add_and_kill(self: VerdictJournal, new: Any) -> None:
        add(self, new)
        if len(verdicts(shards)) >= max(kill_point, known + 1):
            os.kill(os.getpid(), signal.SIGKILL)

    def begin_and_kill(self: ShardFile, path: Path) -> None:
        begin(self, path)
        if choices.media == "trust" and len(files(shards)) >= kill_point:
            os.kill(os.getpid(), signal.SIGKILL)

    VerdictJournal.add, ShardFile.__init__ = add_and_kill, begin_and_kill  # type: ignore[method-assign]


def main() -> None:
    """Run from the command line."""
    release, shards, kill_points = sys.argv[1], Path(sys.argv[2]), [int(kill_point) for kill_point in sys.argv[4:]]
    choices = ShotQAChoices(dev_share=0.2, media=sys.argv[3])
    for module, name, size in SMALL_SIZES:
        setattr(module, name, size)
    shard_features()  # imports `datasets` before the first fork
    for kill_point in kill_points:
        left = {"killed": killed_run(release, shards, choices, kill_point)}
        sys.stdout.write(json.dumps(left | {"verdicts": verdicts(shards), "files": files(shards)}) + "\n")
    import_shotqa(release, shards, choices)


if __name__ == "__main__":
    main()
