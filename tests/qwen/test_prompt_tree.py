"""Log-probabilities of a prompt tree equal those of one plain forward pass per prompt and continuation."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.host
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from lmms_eval_shotbench.labelling.asking.naming import NamingQuestions, NamingRule
from lmms_eval_shotbench.qwen.checkpoint import Checkpoint, load_checkpoint
from lmms_eval_shotbench.qwen.inputs import CHANNELS, MediaLimits, Patches, Prompt, grey_medium, patch_seconds, shown_as
from lmms_eval_shotbench.qwen.pixel_values import vision_inputs
from lmms_eval_shotbench.qwen.prompt_tree import TRUNK, Branch, PromptTree
from lmms_eval_shotbench.qwen.rope_positions import Grid
from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, DIMENSIONS, MediaKind, View
from tests.support.tiny_families.trainable import make_trainable


@pytest.fixture(scope="module", params=["terms of several tokens", "terms of one token", "Qwen3-VL"])
def folder(
    request: pytest.FixtureRequest, tiny_model_unconstrained: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    if request.param == "Qwen3-VL":
        return make_trainable("qwen3_vl", tmp_path_factory.mktemp("qwen3_vl"))
    return tiny_model_unconstrained if "several" in request.param else TINY_SHOTVL


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Checkpoint:
    return load_checkpoint(str(folder), device=torch.device("cpu"))


@pytest.fixture(scope="module")
def plain_model(folder: Path) -> Any:
    """The model as transformers loads it, with none of this package's attention."""
    model = transformers.AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    return model.eval()


def random_medium(checkpoint: Checkpoint, kind: MediaKind, grid: Grid, seed: int) -> Patches:
    rule = checkpoint.patch_rule
    width = CHANNELS * rule.side**2 * (rule.frames if kind is MediaKind.CLIP else 1)
    values = torch.randint(0, 256, (grid.patches, width), generator=torch.Generator().manual_seed(seed))
    seconds = patch_seconds(range(grid.time * rule.frames), grid.fps, rule.frames) if grid.fps else ()
    return Patches(kind, values.to(torch.uint8), grid, seconds)


def questions_on(checkpoint: Checkpoint, kind: MediaKind, rule: NamingRule | None = None) -> NamingQuestions:
    asked = [one for one in DIMENSIONS if one.media_kind is kind]
    return NamingQuestions(checkpoint.processor, kind, asked, rule or NamingRule())


MEDIA = {
    MediaKind.STILL: [Grid(1, 4, 4), Grid(1, 4, 6), Grid(1, 4, 4), Grid(1, 6, 2)],
    MediaKind.CLIP: [Grid(6, 4, 4, Fraction(12)), Grid(2, 4, 4, Fraction(12)), Grid(6, 4, 4, Fraction(8))],
}


@pytest.mark.parametrize("kind", MediaKind)
@pytest.mark.parametrize("gap", [0, 10])
def test_they_equal_those_of_plain_forward_passes(
    checkpoint: Checkpoint, plain_model: Any, kind: MediaKind, gap: int
) -> None:
    asked = questions_on(checkpoint, kind)
    media = [random_medium(checkpoint, kind, grid, seed) for seed, grid in enumerate(MEDIA[kind])]
    found = checkpoint.log_probabilities(media, asked.tree, gap)
    medium_token = checkpoint.placeholders[kind]
    for row, medium in zip(found, media, strict=True):
        expected = []
        for slug, prompt in asked.prompts.items():
            prompt_ids = checkpoint.processor.tokenizer(prompt)["input_ids"]
            for term in list(asked.continuations[slug].values())[::3]:
                inputs = checkpoint.padded([Prompt([*prompt_ids, *term], [medium])])
                last = int((inputs["input_ids"][0] == medium_token).nonzero().max())
                inputs["position_ids"][..., last + 1 :] += gap
                pixels = vision_inputs([medium], checkpoint.patch_rule, torch.device("cpu"), torch.float32)
                with torch.inference_mode():
                    logits = plain_model(**inputs, **pixels).logits[0].log_softmax(-1)
                expected.append(sum(float(logits[number - len(term) - 1, token]) for number, token in enumerate(term)))
        some = [number for slug, terms in _numbers(asked).items() for number in terms[::3]]
        torch.testing.assert_close(row[some], torch.tensor(expected), rtol=1e-4, atol=1e-4)


def _numbers(asked: NamingQuestions) -> dict[str, list[int]]:
    numbers = iter(range(len(asked.tree.paths)))
    return {slug: [next(numbers) for _ in terms] for slug, terms in asked.continuations.items()}


def test_they_do_not_depend_on_the_other_media_of_the_batch(checkpoint: Checkpoint) -> None:
    asked = questions_on(checkpoint, MediaKind.CLIP)
    media = [random_medium(checkpoint, MediaKind.CLIP, grid, seed) for seed, grid in enumerate(MEDIA[MediaKind.CLIP])]
    together = checkpoint.log_probabilities(media, asked.tree)
    alone = torch.cat([checkpoint.log_probabilities([one], asked.tree) for one in media])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    assert together.unique(dim=0).shape == together.shape, "identical media would prove nothing"


def test_the_trunk_ends_where_prompts_part_and_before_any_continuation() -> None:
    tree = PromptTree([Branch([1, 2, 3], [[5], [5, 6]]), Branch([1, 2, 4], [[5, 6]])])
    assert tree.trunk == [1, 2]
    assert (tree.tokens, tree.parents, tree.depths) == ([3, 5, 4, 5], [TRUNK, 0, TRUNK, 2], [0, 1, 0, 1])
    assert tree.paths == [[(0, 5)], [(0, 5), (1, 6)], [(2, 5), (3, 6)]]
    assert tree.ancestors.tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    single = PromptTree([Branch([1, 2], [[2], [7]])])
    assert (single.trunk, single.tokens, single.predicting) == ([1, 2], [], [TRUNK])


@pytest.mark.parametrize("views", [(), (View.MIRRORED,), (View.REVERSED,), (View.MIRRORED, View.REVERSED)])
def test_a_view_moves_every_pixel_to_its_place(checkpoint: Checkpoint, views: tuple[View, ...]) -> None:
    from lmms_eval_shotbench.qwen.inputs import _cut

    rule = checkpoint.patch_rule
    size = 4 * rule.side, 6 * rule.side
    frames = torch.randint(0, 256, (6, CHANNELS, *size), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    shown = frames.flip([axis for view, axis in ((View.REVERSED, 0), (View.MIRRORED, 3)) if view in views])
    cut = [torch.empty((3 * 4 * 6, CHANNELS * 2 * rule.side**2), dtype=torch.uint8) for _ in range(2)]
    for pictures, patches in zip((frames, shown), cut, strict=True):
        _cut(pictures, patches, rule, rule.frames)
    assert torch.equal(
        shown_as(Patches(MediaKind.CLIP, cut[0], Grid(3, 4, 6, Fraction(12))), views, rule).values, cut[1]
    )


def test_grey_media_have_the_size_of_a_16_9_medium(checkpoint: Checkpoint) -> None:
    limits = MediaLimits(3136, 7840, clip_max=7840)
    still, clip = (grey_medium(kind, limits, checkpoint.patch_rule) for kind in MediaKind)
    # The processor of the tiny Qwen3-VL limits all frames of a clip to 98,304 pixels together.
    of_still, of_clip = {14: ((4, 8), (4, 8)), 16: ((4, 6), (2, 4))}[checkpoint.patch_rule.side]
    assert still.grid == Grid(1, *of_still)
    assert clip.grid == Grid(12, *of_clip, Fraction(12))
    asked = NamingQuestions(checkpoint.processor, MediaKind.CLIP, [CAMERA_MOVEMENT], NamingRule())
    assert checkpoint.log_probabilities([clip], asked.tree).isfinite().all()
