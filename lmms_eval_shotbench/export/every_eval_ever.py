"""Every Eval Ever, schema 0.3.0: one JSON file of results and one JSONL file of samples, as its data set stores them.

The schema is https://github.com/evaleval/every_eval_ever, package `every-eval-ever` (Python 3.12 or later), whose
command `validate` checks the files; nothing of it is needed to write them. This module names the files and joins them;
`every_eval_ever_results.py` and `every_eval_ever_samples.py` write their contents.

The same run gives the same files. For this, `retrieved_timestamp` is the time of the evaluation, and the name of the
files is no random UUID: it has the form of version 4, which the data set requires, and the bits of `run_digest`.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid

from lmms_eval_shotbench.export.every_eval_ever_results import SCHEMA_VERSION, evaluation_id, result_ids, results_file
from lmms_eval_shotbench.export.every_eval_ever_samples import sample_rows
from lmms_eval_shotbench.export.exported_run import ExportedRun
from lmms_eval_shotbench.export.graded_questions import run_digest
from lmms_eval_shotbench.runs.scores_schema import BadRun

# Names of folders on every system; the data set reserves "data".
PORTABLE = re.compile(r"(?!(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)|data$|\.)[\w.+-]*[\w+-]", re.ASCII | re.IGNORECASE)
PATH_RULES = "letters, digits and . _ + - without a dot at either end, and no reserved name such as data or con"


def every_eval_ever(run: ExportedRun) -> dict[str, str]:
    """Return both files by their paths in the data set, `data/<collection>/<developer>/<model>/<uuid>…`.

    Raises:
        BadRun: The model, the date, the evaluating organization, its relationship to the model, the questions or the
            responses are not known.
    """
    path = "/".join(("data", *_path_parts(run), str(_stable_uuid(run))))
    header = {"schema_version": SCHEMA_VERSION, "evaluation_id": evaluation_id(run), "model_id": run.model}
    # In ASCII, since readers split lines also at U+2028 and the like.
    lines = [json.dumps(header | row) + "\n" for row in sample_rows(run, result_ids(run))]
    samples = "".join(lines)
    results = results_file(run) | {
        "detailed_evaluation_results": {
            "format": "jsonl",
            "file_path": f"{path}_samples.jsonl",
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(samples.encode()).hexdigest(),
            "total_rows": len(lines),
        }
    }
    return {  # in the order of writing: results without their samples would be invalid
        f"{path}_samples.jsonl": samples,
        f"{path}.json": json.dumps(results, indent=2, ensure_ascii=False) + "\n",
    }


def _path_parts(run: ExportedRun) -> tuple[str, str, str]:
    """Return collection, developer and model as names of folders."""
    developer, slash, model = run.model.partition("/")
    if not slash:
        raise BadRun(f"{run.model}: Every Eval Ever names a model with its developer; give --model DEVELOPER/MODEL")
    parts = run.dataset_name.lower(), developer, model.replace("/", "_").replace(":", "_")
    for part in parts:
        if not PORTABLE.fullmatch(part):
            raise BadRun(
                f"{part!r} cannot be a folder of the data set: {PATH_RULES}; give another --model or --dataset"
            )
    return parts


def _stable_uuid(run: ExportedRun) -> uuid.UUID:
    return uuid.UUID(bytes=bytes.fromhex(run_digest(run))[:16], version=4)
