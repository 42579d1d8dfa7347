"""Run `shotbench eval` on a tiny random checkpoint of each model family, and record what runs and what the model gets.

    python benchmarks/model_families.py [--families internvl …] [--record docs/model_families.json]

A run is real: lmms-eval's model, the family's architecture and processor from transformers, two stills of 1280x720 and
two clips of 4 seconds (96 frames of 1280x720), drawn. Only the weights, the width and the tokenizer are not those of a
released checkpoint, so a failure here is a failure with released ones, and frame counts are theirs; numbers of tokens
are not. The pictures are counted in the arguments of `generate`, that is behind the processor.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from evaluate_setting import stand_in_shards
from machine import machine
from stand_in_release import MediaSettings

from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import MediaKind

REPOSITORY = Path(__file__).resolve().parents[1]
RECORD = REPOSITORY / "docs" / "model_families.json"
CLIP = MediaSettings(clip_size=(1280, 720), clip_seconds=(4.0, 4.0))
PACKAGES = ("lmms_eval", "transformers", "torch", "qwen-vl-utils")
ON_CPU = "device=cpu,device_map=cpu"


class Run(NamedTuple):
    """A family's checkpoint under one of lmms-eval's models."""

    family: str
    model: str
    model_args: str = ON_CPU


RUNS = (
    Run("qwen2_vl", "qwen2_vl"),
    Run("qwen2_vl", "huggingface"),
    Run("qwen2_5_vl", "qwen2_5_vl"),
    Run("qwen2_5_vl", "huggingface"),
    Run("qwen2_5_vl", "async_hf_model", "device=cpu"),
    Run("qwen3_vl", "qwen3_vl"),
    Run("qwen3_vl", "huggingface"),
    Run("qwen3_vl_moe", "qwen3_vl"),
    Run("qwen3_5", "qwen3_5"),
    Run("qwen3_5", "huggingface"),
    Run("qwen3_5_moe", "qwen3_5"),
    Run("internvl", "internvl_hf"),
    Run("internvl", "huggingface"),
    Run("llava", "llava_hf", "device=cpu"),
    Run("llava", "huggingface"),
    Run("llava_next", "llava_hf", "device=cpu"),
    Run("llava_next_video", "llava_hf", "device=cpu"),
    Run("llava_next_video", "huggingface"),
    Run("llava_onevision", "llava_hf", "device=cpu"),
    Run("llava_onevision", "huggingface"),
)


def tasks_of(data: Path, kind: MediaKind) -> str:
    """The tasks with direct answers on the stills, or on the clips, of these shards."""
    present = {item.dimension for item in ShardFolder(data).items() if item.media_kind is kind}
    return ",".join(f"shotbench_{slug}" for slug in sorted(present))


# --------------------------------------------------------------------------------------------- one run, in a process


@contextlib.contextmanager
def observed_inputs() -> Iterator[list[dict[str, Any]]]:
    """Collect what each call of `generate` gets: shapes of tensors, and grids in full."""
    from unittest.mock import patch

    import transformers
    from transformers import GenerationMixin

    calls: list[dict[str, Any]] = []
    with contextlib.ExitStack() as patches:
        for owner in (
            GenerationMixin,
            transformers.InstructBlipForConditionalGeneration,
            transformers.InstructBlipVideoForConditionalGeneration,
        ):
            patches.enter_context(patch.object(owner, "generate", _observing(owner.generate, calls)))
        yield calls


def _observing(generate: Any, calls: list[dict[str, Any]]) -> Any:
    def observed(self: Any, *args: Any, **kwargs: Any) -> Any:
        tensors = {name: value for name, value in kwargs.items() if hasattr(value, "shape")}
        if any(name.startswith("pixel_values") for name in tensors):
            calls.append(
                {
                    "architecture": type(self).__name__,
                    "inputs": {
                        name: value.tolist() if name.endswith("_grid_thw") else list(value.shape)
                        for name, value in tensors.items()
                        if name.startswith("pixel_values") or name.endswith("_grid_thw")
                    },
                    "prompt_tokens": kwargs["input_ids"].shape[-1],
                    "patch": _patch(self.config),
                }
            )
        return generate(self, *args, **kwargs)

    return observed


def _patch(config: Any) -> list[int]:
    """Frames, height and width of a patch of the vision tower, where a grid counts them."""
    vision = getattr(config, "vision_config", config)
    side = getattr(vision, "patch_size", 0)
    side = side if isinstance(side, int) else side[0]
    return [getattr(vision, "temporal_patch_size", 1), side, side]


def pictures(call: dict[str, Any], kind: MediaKind) -> dict[str, Any]:
    """Number and size of the pictures in one call, as far as the layout of the tensors tells them."""
    inputs = call["inputs"]
    grid = inputs.get("video_grid_thw") or inputs.get("image_grid_thw")
    if grid:
        frames, height, width = (count * side for count, side in zip(grid[0], call["patch"], strict=True))
        return {"pictures": frames if kind is MediaKind.CLIP else len(grid), "size": f"{width}x{height}"}
    shape = inputs.get("pixel_values_videos") or inputs["pixel_values"]
    *counts, _, height, width = shape
    number = 1
    for count in counts:
        number *= count
    return {"pictures": number, "size": f"{width}x{height}"}


def run_one(run: Run, checkpoint: Path, data: Path, out: Path) -> dict[str, Any]:
    """Evaluate on stills, then on clips, in this process."""
    from lmms_eval_shotbench.cli import main

    result: dict[str, Any] = run._asdict()
    for kind, name in ((MediaKind.STILL, "stills"), (MediaKind.CLIP, "clips")):
        where = ["--tasks", tasks_of(data, kind), "--data", str(data), "--out", str(out / name), "--model", run.model]
        settings = ["--model_args", f"pretrained={checkpoint},{run.model_args}", "--gen_kwargs", "max_new_tokens=2"]
        printed = io.StringIO()
        with observed_inputs() as calls, contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            status = main(["eval", *where, *settings, "--verbosity", "WARNING"])
        print(printed.getvalue())
        outcome: dict[str, Any] = {"ok": status == 0 and _all_answered(out / name), "error": ""}
        if not outcome["ok"]:
            outcome["error"] = _error(printed.getvalue())
        if calls:
            result["architecture"] = calls[0]["architecture"]
            outcome |= pictures(calls[0], kind) | {"tokens": calls[0]["prompt_tokens"], "inputs": calls[0]["inputs"]}
        if (out / name / "scores.json").is_file():
            outcome["warnings"] = json.loads((out / name / "scores.json").read_text())["run"]["warnings"]
        result[name] = outcome
    return result


def _all_answered(out: Path) -> bool:
    lines = (out / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return bool(lines) and all(json.loads(line)["response"].strip() for line in lines)


def _error(printed: str) -> str:
    """The line that names the failure: that of the pass, or of lmms-eval where it continues after an exception."""
    for pattern in (r"pass failed: (.+)", r"- Error (.+) in generating", r"^(?:error|Error): (.+)"):
        if found := re.search(pattern, printed, re.MULTILINE):
            return found[1].strip()[:300]
    return next((line.strip() for line in reversed(printed.splitlines()) if line.strip()), "")[:300]


# ---------------------------------------------------------------------------------------------------------- all runs


def measure(run: Run, work: Path, data: Path) -> dict[str, Any]:
    """Run one family under one model in a process of its own."""
    sys.path.insert(0, str(REPOSITORY))
    from tests.support.tiny_families import make_tiny_family

    # A name like those of released checkpoints: lmms-eval recognises mixtures of experts by it.
    checkpoint = work / "models" / (f"{run.family}-8B-A1B" if run.family.endswith("moe") else run.family)
    if not checkpoint.exists():
        make_tiny_family(run.family, checkpoint)
    out = work / "runs" / f"{run.family}-{run.model}"
    result = out / "result.json"
    command = [sys.executable, __file__, "--one", json.dumps(run), str(checkpoint), str(data), str(out)]
    out.mkdir(parents=True, exist_ok=True)
    with (out / "log").open("w") as log:
        status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    if not result.is_file():
        raise SystemExit(f"{run.family} under {run.model} ended with status {status}; its output is in {out}/log")
    measured: dict[str, Any] = json.loads(result.read_text())
    return measured


def write_record(path: Path, runs: Sequence[dict[str, Any]]) -> None:
    """Merge these runs into the record, in the order of `RUNS`."""
    known = (
        {(run["family"], run["model"]): run for run in json.loads(path.read_text())["runs"]} if path.exists() else {}
    )
    known |= {(run["family"], run["model"]): run for run in runs}
    record = {
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "media": {"still": "1280x720", "clip": "96 frames, 24 frames per second, 1280x720"},
        "runs": [known[run.family, run.model] for run in RUNS if (run.family, run.model) in known],
    }
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--families", nargs="*", help="only these")
    parser.add_argument("--models", nargs="*", help="only these models of lmms-eval")
    parser.add_argument("--record", type=Path, default=RECORD, help="file to update")
    parser.add_argument("--work", type=Path, help="folder for media, checkpoints and logs; kept")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        run, checkpoint, data, out = args.one
        result = run_one(Run(*json.loads(run)), Path(checkpoint), Path(data), Path(out))
        (Path(out) / "result.json").write_text(json.dumps(result))
        return 0
    print(machine())
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        data = work / "shards"
        if not data.exists():
            work.mkdir(parents=True, exist_ok=True)
            stand_in_shards(work, {MediaKind.STILL: 2, MediaKind.CLIP: 2}, CLIP)
        for run in RUNS:
            if run.family in (args.families or [run.family]) and run.model in (args.models or [run.model]):
                result = measure(run, work, data)
                write_record(args.record, [result])
                parts = [f"{name} {_summary(result[name])}" for name in ("stills", "clips")]
                print(f"{run.family:18} {run.model:16} {'; '.join(parts)}", flush=True)
    return 0


def _summary(outcome: dict[str, Any]) -> str:
    shown = f"{outcome['pictures']} x {outcome['size']}" if "pictures" in outcome else ""
    return f"{'ok' if outcome['ok'] else 'FAIL'} {shown} {outcome['error']}".strip()


if __name__ == "__main__":
    sys.exit(main())
