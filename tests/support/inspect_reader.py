"""What Inspect reads in the logs of a folder, as JSON: `python inspect_reader.py FOLDER`, see `make test-formats`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from inspect_ai.log import (
    EvalLog,
    list_eval_logs,
    read_eval_log,
    read_eval_log_sample,
    read_eval_log_sample_summaries,
    recompute_metrics,
)


def metrics(log: EvalLog) -> dict[str, dict[str, float]]:
    """Metrics by scorer."""
    return {score.name: {key: one.value for key, one in score.metrics.items()} for score in log.results.scores}


def contents(path: str) -> dict[str, Any]:
    """The metrics as stored and as Inspect computes them from the samples, and the samples."""
    log = read_eval_log(path)
    first = read_eval_log_sample(path, id=log.samples[0].id, epoch=log.samples[0].epoch)
    found = {
        "status": log.status,
        "model": log.eval.model,
        "stored": metrics(log),
        "summaries": len(read_eval_log_sample_summaries(path)),
        "read_alone": first.model_dump(mode="json") == log.samples[0].model_dump(mode="json"),
        "samples": [
            {
                "id": one.id,
                "epoch": one.epoch,
                "target": one.target,
                "choices": one.choices,
                "completion": one.output.completion,
                "answers": {name: score.answer for name, score in one.scores.items()},
            }
            for one in log.samples
        ],
    }
    recompute_metrics(log)
    return found | {"recomputed": metrics(log)}


if __name__ == "__main__":
    paths = [Path(log.name.removeprefix("file://")) for log in list_eval_logs(sys.argv[1])]
    json.dump({path.name: contents(str(path)) for path in paths}, sys.stdout)
