"""A GRPO run's folder with metrics and completions, made without training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from PIL import Image

from lmms_eval_shotbench.runs.completions import FOLDER, MEDIA, Completion, Kind

MEDIUM = "0123abcd.png"
COMPLETION = Completion(
    step=1,
    item_id="film-0",
    dimension="shot_size",
    data_source="studio/shot_size",
    question="What is the shot size?",
    options=["Wide", "Close Up"],
    ground_truth="A",
    media_kind="still",
    media_sha256="0123abcd",
    medium=MEDIUM,
    sample=0,
    response="<think>It shows.</think><answer>A</answer>",
    tokens=9,
    finished=True,
    rewards={"score": 1.5, "acc": 1.0, "format": 1.0},
    score=1.5,
)
WRONG = replace(COMPLETION, sample=1, response="<think>It shows.</think><answer>B</answer>",
                rewards={"score": 0.5, "acc": 0.0, "format": 1.0}, score=0.5)  # fmt: skip


def write_completions(run: Path, kind: Kind, attempt: int, completions: Sequence[Completion]) -> Path:
    """Write the completions of one attempt."""
    path = run / FOLDER / kind / f"{attempt:04}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(one.to_line() for one in completions))
    return path


def write_grpo_run(run: Path, steps: int = 3) -> Path:
    """Write a run whose first attempt was started and logged these steps, with both responses to a question in each."""
    (run / "metrics").mkdir(parents=True)
    (run / "logs").mkdir()
    (run / "order.json").write_text(json.dumps({"method": "grpo", "recipe": "tiny"}))
    (run / "logs" / "0001.log").write_text("training\n")
    rows = [
        {
            "step": step,
            "data": {
                "critic/rewards/mean": 1.0,
                "train/format": 0.75,
                "train/acc/shot_size": 0.5,
                "actor/grad_norm": 0.25,
                "train/responses_lost": 2.0 if step == 1 else 0.0,
                "train/nonfinite_steps": 1.0,
                "timing_s/step": 30.0,
            },
        }
        for step in range(1, steps + 1)
    ]
    (run / "metrics" / "0001.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    kept = [replace(one, step=step) for step in range(1, steps + 1) for one in (COMPLETION, WRONG)]
    write_completions(run, "rollouts", 1, kept)
    picture = BytesIO()
    Image.new("RGB", (64, 36), "teal").save(picture, "PNG")
    (run / MEDIA).mkdir(parents=True)
    (run / MEDIA / MEDIUM).write_bytes(picture.getvalue())
    return run
