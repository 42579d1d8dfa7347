"""Cost of a prompt's media in GRPO: decoded, processed and sent once per prompt (ours) or per response (verl's own).

    python benchmarks/media_per_prompt.py [--case NAME …] [--responses 4 12] [--json]

Each side is a rollout stage of one step in a Ray of its own: verl's agent loop worker with the processor at the pixel
limits of the released checkpoints, TransferQueue, and a rollout server that returns fixed tokens (`rollout_stage.py`).
Ours is the manager of the recipes, theirs the same configuration with
`actor_rollout_ref.rollout.agent.agent_loop_manager_class=null`.

Reported for each case, per step, of the agent loop worker: processor time for decoding and processing media, its whole
processor time, the growth of its peak memory, and the megabytes that it sends to TransferQueue. The benchmark fails if
a row of the queue differs between both sides in a tensor that the actor uses, if the servers were sent different media,
or if ours still holds media after the rows were removed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from machine import Figures, figure, machine, print_figure, print_json
from stand_in_release import Drawing, MediaSettings, draw

from lmms_eval_shotbench.media.clips import CLIP_FPS, CLIP_MAX_PIXELS
from lmms_eval_shotbench.vocabulary import MediaKind

HERE = Path(__file__).parent
MODEL = HERE.parent / "verl_recipes" / "tiny_base" / "model"
COSTS = ("media_cpu_s", "cpu_s", "peak_mb", "queue_mb")
LIMITS = {"shortest_edge": 3136, "longest_edge": 12845056}  # pixels, of the released checkpoints


class Case(NamedTuple):
    """Media of one step."""

    kind: MediaKind
    size: tuple[int, int]
    seconds: float = 0.0
    prompts: int = 1


CASES = {
    "stills of 1080p": Case(MediaKind.STILL, (1920, 1080), prompts=2),
    "clip of 360p, 3 s": Case(MediaKind.CLIP, (640, 360), 3),
    "clip of 360p, 9 s": Case(MediaKind.CLIP, (640, 360), 9),
    "clip of 1080p, 9 s": Case(MediaKind.CLIP, (1920, 1080), 9),
    "small": Case(MediaKind.CLIP, (160, 90), 0.5),  # for the test of this benchmark
}


def write_model(folder: Path) -> Path:
    """The tiny model with the pixel limits of the released ones."""
    shutil.copytree(MODEL, folder)
    path = folder / "processor_config.json"
    settings = json.loads(path.read_text())
    for part in ("image_processor", "video_processor"):
        settings[part]["size"] = LIMITS
    path.write_text(json.dumps(settings))
    return folder


def chats(case: Case, folder: Path, name: str) -> list[list[dict[str, Any]]]:
    """The messages of one step, with drawn media in files of this name."""
    parts = [_part(case, folder / f"{name}{number}", number) for number in range(case.prompts)]
    return [[{"role": "user", "content": [part, _QUESTION]}] for part in parts]


_QUESTION = {"type": "text", "text": "Which camera movement or composition is it?"}


def _part(case: Case, stem: Path, number: int) -> dict[str, Any]:
    settings = MediaSettings(case.size, (case.seconds, case.seconds), case.size, clip_preset="medium")
    path = stem.with_suffix(".mp4" if case.kind is MediaKind.CLIP else ".jpg")
    path.write_bytes(draw(settings, Drawing(path.name, case.kind, number)))
    if case.kind is MediaKind.STILL:
        limits = {"min_pixels": LIMITS["shortest_edge"], "max_pixels": LIMITS["longest_edge"]}
        return {"type": "image", "image": str(path), **limits}
    limits = {"min_pixels": LIMITS["shortest_edge"], "max_pixels": CLIP_MAX_PIXELS}
    return {"type": "video", "video": str(path), "fps": CLIP_FPS, **limits}


def measured(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Costs of one side, in a process of its own."""
    path = folder / f"request-{request['shared']}.json"
    path.write_text(json.dumps(request))
    command = [sys.executable, str(HERE / "rollout_stage.py"), str(path)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    costs: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return costs


def compared(case: Case, responses: int, *, validation: bool = False) -> Figures:
    """Measure both sides of a case and check that they agree."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        request = {"model": str(write_model(folder / "model")), "n": responses, "validation": validation}
        request |= {"messages": chats(case, folder, "medium")}
        request |= {"warm_up": chats(case._replace(size=(160, 90), seconds=0.5), folder, "warm")}
        ours, theirs = (measured(request | {"shared": shared}, folder) for shared in (True, False))
    for name in ("rows", "sent"):
        if ours[name] != theirs[name]:
            raise RuntimeError(f"both sides differ in {name}: {ours[name]} and {theirs[name]}")
    if ours["held_after"]:
        raise RuntimeError(f"media of {ours['held_after']} prompts are held after their rows were removed")
    return {name: figure(ours[name], theirs[name]) for name in COSTS}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=CASES, default=[name for name in CASES if name != "small"])
    parser.add_argument(
        "--responses", nargs="+", type=int, default=[4, 12], help="responses per prompt (default: 4 12)"
    )
    parser.add_argument("--validation", action="store_true", help="measure a validation instead of a training step")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON in the last line")
    args = parser.parse_args(arguments)
    print(machine(), flush=True)
    figures: Figures = {}
    for name in args.case:
        for responses in args.responses:
            for cost, values in compared(CASES[name], responses, validation=args.validation).items():
                label = f"{name}, n {responses}, {cost}"
                figures[label] = values
                print_figure(label, values)
    if args.json:
        print_json(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
