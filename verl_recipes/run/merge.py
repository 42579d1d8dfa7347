"""Merge the shards of a checkpoint into a Hugging Face model folder, `RUN/model`, with verl's own model merger."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import sys
from pathlib import Path

from lmms_eval_shotbench.atomic_file import write_atomic
from verl_recipes.inside_verl.checkpoint_rotation import step_folder
from verl_recipes.run.checkpoints import chosen_step, engine_folder
from verl_recipes.run.preloaded_process import run_preloaded
from verl_recipes.run.run_folder import RunFolder

MERGED = "merged_from.json"  # written last: a model folder with it is complete
ADAPTER = "lora_adapter"  # written by verl's merger next to unchanged base weights


class MergeFailed(RuntimeError):
    """verl's merger failed; the message contains its last lines of output."""


def merge_run(run: Path, out: Path | None = None, step: int | None = None) -> Path:
    """Merge the newest complete checkpoint of a run, or that of `step`; return the model folder.

    A model that was merged from the same run and step before is returned unchanged; one from another step is replaced.

    Args:
        run: Run folder.
        out: Model folder to write; by default `RUN/model`.
        step: Step of the checkpoint; by default the newest complete one.

    Raises:
        NoCheckpoint: There is no complete checkpoint, or none of that step.
        MergeFailed: The merger failed, or `out` exists and is not a merged model.
    """
    folder = RunFolder(run)
    step = chosen_step(folder.checkpoints, step)
    target = out or folder.model
    source = {"run": str(run.absolute()), "step": step}
    if target.exists():
        if not (target / MERGED).is_file():
            raise MergeFailed(f"{target} is not a merged model; choose another --out")
        if json.loads((target / MERGED).read_text(encoding="utf-8")) == source:
            return target
    draft = target.with_name(f".{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    merge_shards(engine_folder(step_folder(folder.checkpoints, step)), draft)
    if (draft / ADAPTER).is_dir():
        _merge_adapter(draft)
    write_atomic(draft / MERGED, json.dumps(source))
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    return target


def merge_shards(shards: Path, target: Path) -> None:
    """Merge the weights of all workers in `shards`, a folder that verl wrote, into a model folder.

    Raises:
        MergeFailed: verl's merger failed.
    """
    arguments = ["merge", "--backend", "fsdp", "--local_dir", str(shards), "--target_dir", str(target)]
    # Merging needs no accelerator and must not occupy one that a training run uses.
    status, output = run_preloaded(_run_merger, arguments, {**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    if status or not list(target.glob("*.safetensors")):
        last = "\n".join(output.strip().splitlines()[-8:])
        raise MergeFailed(f"verl's merger failed on {shards}:\n{last}")


def _run_merger(arguments: list[str]) -> None:
    sys.argv[1:] = arguments
    runpy.run_module("verl.model_merger", run_name="__main__", alter_sys=True)


def _merge_adapter(model: Path) -> None:
    """Merge a LoRA adapter into the base weights; verl's merger only writes it next to them."""
    from peft import PeftModel
    from safetensors import safe_open
    from transformers import AutoModelForImageTextToText

    settings = model / ADAPTER / "adapter_config.json"
    adapter_config = json.loads(settings.read_text(encoding="utf-8"))
    if not adapter_config.get("lora_alpha"):
        raise MergeFailed(f"{model}: the checkpoint does not record lora_alpha, so the scale of the adapter is unknown")
    # verl's merger names them by their last part, which modules of the vision tower share.
    with safe_open(model / ADAPTER / "adapter_model.safetensors", "pt") as weights:
        names = {name.removeprefix("base_model.model.").partition(".lora_")[0] for name in weights.keys()}  # noqa: SIM118
    settings.write_text(json.dumps(adapter_config | {"target_modules": sorted(names)}), encoding="utf-8")
    base = AutoModelForImageTextToText.from_pretrained(model, dtype="auto")
    PeftModel.from_pretrained(base, model / ADAPTER).merge_and_unload().save_pretrained(model)
    shutil.rmtree(model / ADAPTER)
