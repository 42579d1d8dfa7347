"""Correct time positions in the oldest and the newest transformers, each installed into a separate folder.

Each release runs `findings` of this file in a process whose path puts it before the installed one.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.package, pytest.mark.timeout(600)]
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from lmms_eval_shotbench.qwen.checkpoint import Checkpoint, load_checkpoint
from lmms_eval_shotbench.qwen.inputs import Patches, Prompt
from lmms_eval_shotbench.qwen.rope_positions import Grid, tokens_of
from lmms_eval_shotbench.qwen.tiny_qwen import make_tiny_qwen
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support import REPOSITORY
from tests.support.separate_packages import install_into

LAST_WRONG_STEP = "5.10.4"
RELEASES = ("5.5.0", LAST_WRONG_STEP, "5.23.0")  # the minimum in setup.cfg, and the newest at the time of writing
SHARED = ("numpy", "torch")  # used from the environment instead of those installed with a release
RATES = {"2": Fraction(2), "8": Fraction(8), "12": Fraction(12), "23.976": Fraction(24000, 1001)}
PATCHES = 61  # temporal patches: ten seconds at 12 frames a second
NEW_TOKENS = 12


def closed_form(fps: Fraction) -> list[int]:
    """floor(t * tokens_per_second * temporal_patch_size / fps) of the tiny model, in exact arithmetic."""
    return [math.floor(t * 2 * 2 / fps) for t in range(PATCHES)]


@pytest.fixture(scope="module", params=RELEASES)
def release_findings(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Run `findings` with a release in a separate process and return its output."""
    with tempfile.TemporaryDirectory() as folder:
        install(request.param, Path(folder))
        script = f"from {__name__} import findings; findings()"
        environment = {**os.environ, "PYTHONPATH": folder, "HF_HUB_OFFLINE": "1"}
        finished = subprocess.run(
            [sys.executable, "-c", script], cwd=REPOSITORY, env=environment, capture_output=True, text=True
        )
    assert finished.returncode == 0, finished.stderr[-3000:]
    found: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    assert found["version"] == request.param
    yield found


def install(release: str, folder: Path) -> None:
    """Install a release with its dependencies into a folder, without those that are shared."""
    install_into(folder, f"transformers=={release}")
    for path in folder.iterdir():
        if path.name.lower().startswith(SHARED):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


# ------------------------------------------------------------------------------------------------------------ checks


def test_clips_have_correct_times_unbatched_and_in_a_padded_batch(release_findings: dict[str, Any]) -> None:
    for name, fps in RATES.items():
        assert release_findings["unbatched"][name] == closed_form(fps)
        assert release_findings["batched"][name] == closed_form(fps)


def test_answers_are_the_same_batched_and_unbatched(release_findings: dict[str, Any]) -> None:
    batched, unbatched = release_findings["answers_batched"], release_findings["answers_unbatched"]
    assert batched == unbatched
    assert len({tuple(answer) for answer in unbatched}) == len(unbatched) == len(RATES) + 3, "all answers should differ"


def test_positions_of_transformers_itself_are_still_wrong(release_findings: dict[str, Any]) -> None:
    """If this fails, transformers has fixed its positions and `qwen/rope_positions.py` may no longer be needed."""
    right = closed_form(RATES["12"])
    release = tuple(map(int, release_findings["version"].split(".")))
    if release <= tuple(map(int, LAST_WRONG_STEP.split("."))):
        assert release_findings["their_times"] == [0] * PATCHES, "a step of 1/6 second is truncated to an integer"
    else:
        assert release_findings["their_times"] == right
    assert release_findings["their_next"] != right[-1] + 1, "positions after a clip ignore its duration"


# --------------------------------------------------------------------------------------- in the process of a release


def findings() -> None:
    """Print the model's time positions and answers as JSON."""
    import transformers

    with tempfile.TemporaryDirectory() as folder:
        loaded = load_checkpoint(str(unconstrained_qwen(Path(folder) / "tiny")), device=torch.device("cpu"))
    prompts = {name: prompt_with(loaded, clip(float(fps))) for name, fps in RATES.items()}
    others = [prompt_with(loaded, still(10, 4)), prompt_with(loaded, still(4, 6)), prompt_with(loaded)]
    all_prompts = [others[0], *prompts.values(), *others[1:]]
    batched, answers_batched = run_and_record(loaded, all_prompts)
    unbatched = [run_and_record(loaded, [prompt]) for prompt in all_prompts]
    indices = {name: index for index, name in enumerate(RATES, start=1)}
    found = {
        "version": transformers.__version__,
        "batched": {name: batched[index] for name, index in indices.items()},
        "unbatched": {name: unbatched[index][0][0] for name, index in indices.items()},
        "answers_batched": answers_batched,
        "answers_unbatched": [answers[0] for _times, answers in unbatched],
    }
    print(json.dumps(found | positions_of_transformers(loaded)))  # noqa: T201


def unconstrained_qwen(folder: Path) -> Path:
    """Create a tiny checkpoint with this release, without suppressed tokens."""
    settings = make_tiny_qwen(folder) / "generation_config.json"
    given = json.loads(settings.read_text())
    kept = {name: value for name, value in given.items() if "suppress" not in name}
    settings.write_text(json.dumps(kept | {"repetition_penalty": 1.2}))
    return folder


def clip(fps: float) -> Patches:
    return noise(MediaKind.CLIP, Grid(PATCHES, 4, 2, fps), seed=round(fps))


def still(height: int, width: int) -> Patches:
    return noise(MediaKind.STILL, Grid(1, height, width), seed=height)


def noise(kind: MediaKind, grid: Grid, seed: int) -> Patches:
    frames = 2 if kind is MediaKind.CLIP else 1
    values = torch.randint(256, (grid.patches, 3 * frames * 14**2), generator=torch.Generator().manual_seed(seed))
    return Patches(kind, values.to(torch.uint8), grid)


def prompt_with(loaded: Checkpoint, medium: Patches | None = None) -> Prompt:
    """Return a prompt with a medium between words."""
    tokenizer = loaded.processor.tokenizer
    before, after = tokenizer("Look at this.")["input_ids"], tokenizer("What moves, and how?")["input_ids"]
    if medium is None:
        return Prompt([*before, *after])
    start = loaded.model.config.vision_start_token_id
    return Prompt([*before, start, loaded.placeholders[medium.kind], *after], [medium])


def run_and_record(loaded: Checkpoint, prompts: Sequence[Prompt]) -> tuple[list[list[int]], list[list[int]]]:
    """Return each clip's times in the rotary embedding, relative to its first, and the answers."""
    positions: list[Any] = []
    rotary = next(part for name, part in loaded.model.named_modules() if name.endswith("language_model.rotary_emb"))
    hook = rotary.register_forward_pre_hook(
        lambda _module, given, named: positions.append(named.get("position_ids", given[-1])), with_kwargs=True
    )
    try:
        answers = replace(loaded, prefill_tokens=100_000).answer(prompts, NEW_TOKENS)
    finally:
        hook.remove()
    times = []
    for row, ids in enumerate(loaded.padded(prompts)["input_ids"]):
        of_clip = positions[0][0, row, ids == loaded.placeholders[MediaKind.CLIP]].tolist()
        times.append([time - of_clip[0] for time in of_clip[:: tokens_of(Grid(1, 4, 2), 2)]])
    return times, answers


def positions_of_transformers(loaded: Checkpoint) -> dict[str, Any]:
    """Return the positions this release itself computes for a clip of 12 frames a second and the text after it."""
    prompt = Prompt(prompt_with(loaded, clip(12.0)).ids, [clip(12.0)])
    inputs = loaded.padded([prompt])
    of_clip = inputs["input_ids"] == loaded.placeholders[MediaKind.CLIP]
    positions, _delta = loaded.model.model.get_rope_index(
        inputs["input_ids"],
        mm_token_type_ids=of_clip.int() * 2,
        video_grid_thw=torch.tensor([prompt.media[0].grid[:3]]),
        second_per_grid_ts=torch.tensor([2 / 12]),
    )
    times = positions[0, 0]
    first, last = of_clip[0].nonzero()[[0, -1], 0].tolist()
    a_frame = tokens_of(Grid(1, 4, 2), 2)
    return {
        "their_times": [int(time - times[first]) for time in times[first : last + 1 : a_frame]],
        "their_next": int(times[last + 1] - times[first]),
    }
