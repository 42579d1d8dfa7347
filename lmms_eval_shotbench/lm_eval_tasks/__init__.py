"""Tasks of lm-eval: this folder is what its `--include_path` takes. `write.py` makes the YAML files."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
