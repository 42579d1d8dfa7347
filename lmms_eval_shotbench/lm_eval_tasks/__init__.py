"""Tasks of lm-eval: what its `--include_path` takes. `harness/lm_eval_task_files.py` writes the YAML files."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
