"""Time positions of a clip's tokens equal the closed form."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

from lmms_eval_shotbench.media.clip_file import exact_rate
from lmms_eval_shotbench.media.clips import sampled_frames, sampled_rate
from lmms_eval_shotbench.qwen.inputs import Patches, Prompt
from lmms_eval_shotbench.qwen.qwen2_5_vl import Qwen2_5VL
from lmms_eval_shotbench.qwen.rope_positions import Grid, PositionRule, prompt_positions, time_positions
from lmms_eval_shotbench.vocabulary import MediaKind

TEXT, STILL, CLIP = 7, 101, 102
QWEN = PositionRule(frozenset((STILL, CLIP)), merge=2, tokens_per_second=2, frames_a_patch=2)
PROMPTS = Qwen2_5VL({MediaKind.STILL: STILL, MediaKind.CLIP: CLIP}, QWEN)
RATES = [Fraction(2), Fraction(8), Fraction(12), Fraction(24000, 1001)]


CAMERA_RATES = [
    Fraction(text) for text in ("24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001", "1439250/60053")
]


def closed_form(patches: int, fps: Fraction) -> list[int]:
    """floor(t * tokens_per_second * temporal_patch_size / fps), in exact arithmetic."""
    return [math.floor(t * 2 * 2 / fps) for t in range(patches)]


def shown(kind: MediaKind, grid: Grid) -> Patches:
    return Patches(kind, torch.zeros(grid.patches, 1, dtype=torch.uint8), grid)


@pytest.mark.parametrize("fps", RATES, ids=str)
@pytest.mark.parametrize("patches", [1, 24, 360])
def test_times_follow_the_closed_form(fps: Fraction, patches: int) -> None:
    found = time_positions(Grid(patches, 2, 2, fps), QWEN)
    assert found.tolist() == closed_form(patches, fps)


@pytest.mark.parametrize("fps", [1.0, 2.0, 12.0])
def test_times_are_exact_for_clips_of_all_lengths_and_rates(fps: float) -> None:
    """A clip of 198 frames at 30 frames per second has the time 11 at t = 5 if 2 are sampled, and 10 in floats."""
    lengths = [*range(4, 700, 29), 198, 7_200, 172_800]
    for frames, rate in product(lengths, CAMERA_RATES):
        sampled = len(sampled_frames(frames, rate, fps))
        assert exact_rate(float(rate)) == rate
        found = time_positions(Grid(-(-sampled // 2), 2, 2, sampled_rate(sampled, frames, rate)), QWEN)
        assert found.tolist() == [t * 4 * frames // (sampled * rate) for t in range(len(found))]


@pytest.mark.parametrize("fps", RATES, ids=str)
def test_a_clip_keeps_its_times_in_a_padded_batch_with_stills(fps: Fraction) -> None:
    clip, still = Grid(30, 4, 6, fps), Grid(1, 4, 4)
    prompts = [
        Prompt([TEXT, CLIP, TEXT, TEXT], [shown(MediaKind.CLIP, clip)]),
        Prompt([TEXT, TEXT, STILL, TEXT], [shown(MediaKind.STILL, still)]),
        Prompt([TEXT] * 5),
    ]
    batch = PROMPTS.padded(prompts)
    unbatched = [PROMPTS.padded([prompt]) for prompt in prompts]
    for row, single in enumerate(unbatched):
        real = batch["attention_mask"][row].bool()
        assert torch.equal(batch["input_ids"][row, real], single["input_ids"][0])
        assert torch.equal(batch["position_ids"][:, row, real], single["position_ids"][:, 0])
    times = batch["position_ids"][0, 0, batch["input_ids"][0] == CLIP].view(30, 2 * 3)
    assert times.tolist() == [[1 + time] * 6 for time in closed_form(30, fps)]
    rows, columns = (batch["position_ids"][axis, 0, batch["input_ids"][0] == CLIP].view(30, 2, 3) for axis in (1, 2))
    assert rows[17].tolist() == [[1, 1, 1], [2, 2, 2]]
    assert columns[17].tolist() == [[1, 2, 3], [1, 2, 3]]


def test_text_continues_above_the_highest_position_of_a_medium() -> None:
    long_clip = Grid(361, 2, 2, Fraction(12))  # a minute at 12 frames a second: time 0..120, one row, one column
    ids = torch.tensor([TEXT] + [CLIP] * 361 + [TEXT] * 2)
    assert prompt_positions(ids, [long_clip], QWEN)[:, -2:].tolist() == [[122, 123]] * 3
    still = Grid(1, 4, 12)  # two rows, six columns
    ids = torch.tensor([STILL] * 12 + [TEXT])
    assert prompt_positions(ids, [still], QWEN)[:, -1].tolist() == [6, 6, 6]


def test_adjacent_media_are_distinguished() -> None:
    ids = torch.tensor([STILL] * 4 + [CLIP] * 2 + [TEXT])
    positions = prompt_positions(ids, [Grid(1, 4, 4), Grid(2, 2, 2, Fraction(1))], QWEN)
    assert positions.tolist() == [[0, 0, 0, 0, 2, 6, 7], [0, 0, 1, 1, 2, 2, 7], [0, 1, 0, 1, 2, 2, 7]]


def test_padding_repeats_the_rows_first_token_so_that_penalties_do_not_depend_on_the_batch() -> None:
    batch = PROMPTS.padded([Prompt([5, 6]), Prompt([8, 9, 10, 11])])
    assert batch["input_ids"].tolist() == [[5, 5, 5, 6], [8, 9, 10, 11]]
    assert batch["attention_mask"].tolist() == [[0, 0, 1, 1], [1, 1, 1, 1]]


def test_positions_of_stills_equal_those_of_transformers() -> None:
    """Clips are wrong in every version; see test_transformers_versions.py."""
    models = pytest.importorskip("transformers.models.qwen2_5_vl.modeling_qwen2_5_vl")
    grids = [Grid(1, 4, 6), Grid(1, 8, 2)]
    ids = torch.tensor([TEXT] * 3 + [STILL] * 6 + [TEXT] * 2 + [STILL] * 4 + [TEXT] * 4)
    theirs, _delta = _positions_only(models).get_rope_index(
        ids[None],
        mm_token_type_ids=(ids == STILL).int()[None],
        image_grid_thw=torch.tensor([grid[:3] for grid in grids]),
    )
    assert torch.equal(theirs[:, 0], prompt_positions(ids, grids, QWEN))


def _positions_only(models: Any) -> Any:
    """Return the smallest model that computes positions."""
    from transformers import Qwen2_5_VLConfig

    config = Qwen2_5_VLConfig(
        text_config={"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1},
        vision_config={"depth": 1, "hidden_size": 8, "num_heads": 1, "tokens_per_second": 2},
        image_token_id=STILL,
        video_token_id=CLIP,
    )
    with torch.device("meta"):
        return models.Qwen2_5_VLModel(config)
