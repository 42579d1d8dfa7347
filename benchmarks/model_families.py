"""Run `shotbench eval` on a tiny random checkpoint of each model family, and record what runs and what the model gets.

    python benchmarks/model_families.py [--families internvl …] [--record docs/model_families.json]

A run is real: lmms-eval's model, the family's architecture and processor from transformers, two stills of 1280x720 and
two clips of 4 seconds (96 frames of 1280x720), drawn. Only the weights, the widths and the tokenizer are not those of a
released checkpoint, so a failure here is a failure with released ones, and pictures and their tokens are theirs. They
are counted in the arguments of `generate`, that is behind the processor.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple

from evaluate_setting import stand_in_shards
from machine import machine
from stand_in_release import MediaSettings

from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import MediaKind

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))  # for tests.support
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
    Run("qwen3_5", "qwen3_5", f"{ON_CPU},enable_thinking=False"),
    Run("qwen3_5", "qwen3_vl"),
    Run("qwen3_5", "huggingface"),
    Run("qwen3_5_moe", "qwen3_5", f"{ON_CPU},enable_thinking=False"),
    Run("internvl", "internvl_hf"),
    Run("internvl", "huggingface"),
    Run("llava", "llava_hf", "device=cpu"),
    Run("llava", "huggingface"),
    Run("llava_next", "llava_hf", "device=cpu"),
    Run("llava_next_video", "llava_hf", "device=cpu"),
    Run("llava_next_video", "huggingface"),
    Run("llava_onevision", "llava_hf", "device=cpu"),
    Run("llava_onevision", "huggingface"),
    Run("video_llava", "video_llava", "device=cpu,device_map=auto"),  # "cpu" would mean its first GPU
    Run("video_llava", "huggingface"),
    Run("ovis2", "huggingface"),
    Run("instructblip", "instructblip", "device=cpu"),
    Run("gemma3", "gemma3"),
    Run("gemma3", "huggingface"),
    Run("gemma4", "gemma4"),
    Run("gemma4", "huggingface"),
    Run("glm4v", "glm4v"),
    Run("glm4v", "huggingface"),
    Run("mistral3", "mistral3_vl"),
    Run("mistral3", "huggingface"),
)


class NotRun(NamedTuple):
    """Models of lmms-eval whose code is not in transformers, so that no tiny checkpoint can be made."""

    models: tuple[str, ...]
    released: str  # checkpoints they are for
    reason: str


IN_CHECKPOINT = "the model's code is part of the released checkpoint (trust_remote_code)"
NOT_RUN = (
    NotRun(
        ("llava", "llava_vid", "llava_onevision"),
        "LLaVA 1.5, LLaVA-NeXT(-Video), LLaVA-OneVision in their original format",
        "they need the package llava of github.com/LLaVA-VL/LLaVA-NeXT; checkpoints in the format of transformers "
        "(llava-hf/…) run with llava_hf",
    ),
    NotRun(("vila",), "VILA1.5", "it needs the package llava of github.com/NVlabs/VILA"),
    NotRun(("internvl",), "InternVL 1.5", "it needs the package internvl of github.com/OpenGVLab/InternVL"),
    NotRun(
        ("internvl2", "internvl3", "internvl3_5"),
        "InternVL2, 2.5, 3 and 3.5 in their original format",
        f"{IN_CHECKPOINT}; InternVL3 and 3.5 in the format of transformers (…-hf, …-HF) run with internvl_hf",
    ),
    NotRun(("xcomposer2d5", "xcomposer2_4KHD"), "InternLM-XComposer2.5, -XComposer2-4KHD", IN_CHECKPOINT),
    NotRun(("llava_onevision1_5", "llava_onevision2"), "LLaVA-OneVision 1.5 and 2", IN_CHECKPOINT),
    NotRun(("ovis_u1",), "Ovis-U1", f"{IN_CHECKPOINT}; Ovis2 in the format of transformers runs with huggingface"),
)


def tasks_of(data: Path, kind: MediaKind) -> str:
    """The tasks with direct answers on the stills, or on the clips, of these shards."""
    present = {item.dimension for item in ShardFolder(data).items() if item.media_kind is kind}
    return ",".join(f"shotbench_{slug}" for slug in sorted(present))


# --------------------------------------------------------------------------------------------- one run, in a process


def run_one(run: Run, checkpoint: Path, data: Path, out: Path) -> dict[str, Any]:
    """Evaluate on stills, then on clips, in this process."""
    from lmms_eval_shotbench.cli import main
    from tests.support.observed_inputs import observed_inputs

    result: dict[str, Any] = run._asdict()
    for kind, name in ((MediaKind.STILL, "stills"), (MediaKind.CLIP, "clips")):
        where = ["--tasks", tasks_of(data, kind), "--data", str(data), "--out", str(out / name), "--model", run.model]
        settings = ["--model_args", f"pretrained={checkpoint},{run.model_args}", "--gen_kwargs", "max_new_tokens=2"]
        printed = io.StringIO()
        with observed_inputs() as calls, contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            status = main(["eval", *where, *settings, "--verbosity", "WARNING"])
        print(printed.getvalue())
        outcome: dict[str, Any] = {"ok": status == 0 and bool(calls), "error": ""}
        if status:
            outcome["error"] = _error(out / name / "samples.jsonl", printed.getvalue())
        elif not calls:
            outcome["error"] = "the medium is ignored: the model is given the question only"
        if calls:
            first = calls[0]
            result["architecture"] = first.architecture
            outcome |= {"pictures": first.pictures, "size": first.size, "tokens": first.prompt_tokens}
            outcome["shapes"] = first.shapes
        if (out / name / "scores.json").is_file():
            outcome["warnings"] = json.loads((out / name / "scores.json").read_text())["run"]["warnings"]
        result[name] = outcome
    return result


def _error(samples: Path, printed: str) -> str:
    """Why the first question has no response, or why the run failed."""
    lines = samples.read_text(encoding="utf-8").splitlines() if samples.is_file() else []
    reasons = [reason for line in lines if (reason := json.loads(line).get("unanswered"))]
    failed = re.findall(r"pass failed: (.+)", printed)
    return shorten(str((reasons + failed + printed.splitlines()[-1:])[0]), 160, placeholder=" …")


# ---------------------------------------------------------------------------------------------------------- all runs


def measure(run: Run, work: Path, data: Path) -> dict[str, Any]:
    """Run one family under one model in a process of its own."""
    from tests.support.tiny_families import make_tiny_family

    # lmms-eval recognises mixtures of experts by the names of released checkpoints.
    mark = "-8B-A1B" if run.family.endswith("moe") else "-Flash" if run.family == "glm4v" else ""
    checkpoint = work / "models" / f"{run.family}{mark}"
    if not checkpoint.exists():
        make_tiny_family(run.family, checkpoint)
    out = work / "runs" / f"{run.family}-{run.model}"
    result = out / "result.json"
    command = [sys.executable, __file__, "--one", json.dumps(run), str(checkpoint), str(data), str(out)]
    shutil.rmtree(out, ignore_errors=True)  # otherwise stored responses are used again
    out.mkdir(parents=True)
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
        "not_run": [one._asdict() for one in NOT_RUN],
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
