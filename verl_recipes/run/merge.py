"""From a checkpoint's shards to a model that any Qwen2.5-VL loader reads: `RUN/model`, by verl's own merger."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from lmms_eval_shotbench.atomic_file import write_atomic
from verl_recipes.run.checkpoints import chosen_step, engine_folder, step_folder
from verl_recipes.run.run_folder import RunFolder

MERGED = "merged_from.json"  # written last: with it the model is complete
ADAPTER = "lora_adapter"  # where verl's merger puts what LoRA trained, beside a base without it


class MergeFailed(RuntimeError):
    """verl's merger could not do it; the message holds its last lines."""


def merge_run(run: Path, out: Path | None = None, step: int | None = None) -> Path:
    """Merge the newest whole checkpoint of a run, or that of a step; return the model's folder.

    A model that was merged from the same step is kept, one of another step replaced.

    Raises:
        NoCheckpoint: none there, or not that step.
        MergeFailed: the merger ended with an error.
    """
    folder = RunFolder(run)
    step = chosen_step(folder.checkpoints, step)
    target = out or folder.model
    about = {"run": str(run.absolute()), "step": step}
    if target.exists():
        if not (target / MERGED).is_file():
            raise MergeFailed(f"{target} holds something else; choose another --out")
        if json.loads((target / MERGED).read_text(encoding="utf-8")) == about:
            return target
    draft = target.with_name(f".{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    _merge(engine_folder(step_folder(folder.checkpoints, step)), draft)
    if (draft / ADAPTER).is_dir():
        _fold_in(draft)
    write_atomic(draft / MERGED, json.dumps(about))
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    return target


def _merge(shards: Path, target: Path) -> None:
    command = [sys.executable, "-m", "verl.model_merger", "merge", "--backend", "fsdp"]
    command += ["--local_dir", str(shards), "--target_dir", str(target)]
    # Merging needs no accelerator, and must not take one from a run that trains.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode or not list(target.glob("*.safetensors")):
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise MergeFailed(f"verl's merger failed on {shards}:\n{last}")


def _fold_in(model: Path) -> None:
    """Add a LoRA adapter to the weights beside it, which verl leaves as they were before the training."""
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    about = json.loads((model / ADAPTER / "adapter_config.json").read_text(encoding="utf-8"))
    if not about.get("lora_alpha"):
        raise MergeFailed(f"{model}: the checkpoint does not say its lora_alpha, so the adapter's weight is unknown")
    base = AutoModelForImageTextToText.from_pretrained(model, dtype="auto")
    PeftModel.from_pretrained(base, model / ADAPTER).merge_and_unload().save_pretrained(model)
    shutil.rmtree(model / ADAPTER)
