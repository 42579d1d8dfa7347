"""What mlcroissant reads through a `croissant.json`, as JSON: `python croissant_reader.py FILE` in the environment of
`make test-formats`. Media are given by their SHA-256, stills by that of their pixels.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import mlcroissant
from PIL.Image import Image


def plain(value: Any) -> Any:
    if isinstance(value, Image):
        return hashlib.sha256(value.convert("RGB").tobytes()).hexdigest()
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return hashlib.sha256(value).hexdigest()
    return value.item() if hasattr(value, "item") else value


def main(path: str) -> None:
    dataset = mlcroissant.Dataset(jsonld=path)
    issues = dataset.metadata.ctx.issues
    records = [{name: plain(value) for name, value in record.items()} for record in dataset.records("default")]
    sys.stdout.write(
        json.dumps({"errors": sorted(issues.errors), "warnings": sorted(issues.warnings), "records": records})
    )


if __name__ == "__main__":
    main(sys.argv[1])
