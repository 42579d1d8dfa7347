"""The real question files and responses, read without the package's own readers."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

REAL_DATA_VARIABLE = "SHOTBENCH_REAL_DATA"


def release_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a question TSV."""
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def stored_responses(real_data: Path, name: str) -> list[dict[str, object]]:
    """Rows of a response file, without its suffix `.jsonl.gz`."""
    with gzip.open(real_data / "responses" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
