"""Import one release again and again, each time killed at a later moment, until a run comes through.

    python -m tests.support.killed_imports RELEASE SHARDS check|trust MOMENT...

A moment is a number of verdicts in the journal, of parquet files where media are trusted and there is none; whoever
watches it kills the importing process from outside, by SIGKILL, at that moment. Prints one line of JSON a run: the
verdicts and the parquet files that the kill has left. Each run is a fork of this process, so that the libraries are
imported once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from data_pipeline.releases import check_on_workers
from data_pipeline.releases.import_shotqa import import_shotqa
from data_pipeline.releases.shotqa_questions import ShotQAChoices
from data_pipeline.shards import split_writer
from lmms_eval_shotbench.questions.shards import shard_features

SMALL_SIZES = (
    (check_on_workers, "BATCH_MEDIA", 8),
    (split_writer, "ROW_GROUP_ROWS", 16),
    (split_writer, "FILE_BYTES", 300_000),
)
DEADLINE_SECONDS = 60.0


def verdicts(shards: Path) -> list[str]:
    """The lines of the journal, the first one says what archive it is about."""
    journal = shards.with_name(f".{shards.name}.work") / "verdicts.jsonl"
    return journal.read_text().splitlines()[1:] if journal.exists() else []


def files(shards: Path) -> list[str]:
    """The parquet files of an unfinished run."""
    return [path.name for path in shards.parent.glob(f".{shards.name}.partial/**/*.parquet")]


def killed_run(release: str, shards: Path, choices: ShotQAChoices, moment: int) -> bool:
    """Import in a child and kill it at this moment; False if it was done before."""
    come_to = verdicts if choices.media == "check" else files
    child = os.fork()
    if child == 0:
        import_shotqa(release, shards, choices)
        os._exit(0)
    until = time.monotonic() + DEADLINE_SECONDS
    while len(come_to(shards)) < moment and time.monotonic() < until:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def main() -> None:
    """Run from the command line."""
    release, shards, moments = sys.argv[1], Path(sys.argv[2]), [int(moment) for moment in sys.argv[4:]]
    choices = ShotQAChoices(dev_share=0.2, media=sys.argv[3])
    for module, name, size in SMALL_SIZES:
        setattr(module, name, size)
    shard_features()  # imports `datasets` before the first fork
    for moment in moments:
        left = {"killed": killed_run(release, shards, choices, moment)}
        sys.stdout.write(json.dumps(left | {"verdicts": verdicts(shards), "files": files(shards)}) + "\n")
    import_shotqa(release, shards, choices)


if __name__ == "__main__":
    main()
