"""Workers whose micro-batches hold different media train and evaluate as one worker does."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.verl, pytest.mark.slow]
pytest.importorskip("verl")

from tests.support.tiny_families import make_tiny_family
from tests.support.training_ranks import CLIP, STILL, TEXT, Outcome, Plan, outcomes
from verl_recipes.inside_verl import vision_tower

# Two micro-batches of two rows on each worker; in each, at least two workers have other kinds of media.
TWO = ((STILL, STILL, STILL, CLIP), (CLIP, CLIP, TEXT, TEXT))
THREE = ((STILL, STILL, TEXT, TEXT), (STILL, CLIP, CLIP, TEXT), (TEXT, TEXT, CLIP, STILL))
ADAPTERS = ("model.lora_rank=4", "model.target_modules=all-linear", "model.exclude_modules=.*visual.*")
PLANS = {
    "two workers": Plan(TWO),
    "three workers": Plan(THREE),
    "two workers with adapters on a frozen tower": Plan(TWO, (*ADAPTERS, "model.enable_gradient_checkpointing=true")),
}
FAMILIES = ("qwen2_5_vl", "qwen3_vl")


@pytest.mark.parametrize("module", vision_tower.MODULES)
def test_the_patch_is_still_needed(module: str) -> None:
    reason = "verl now runs the vision tower equally often for all media: remove inside_verl/vision_tower.py"
    assert vision_tower.still_needed(module), f"{module}: {reason}"


@pytest.fixture(scope="module", params=FAMILIES)
def computed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Outcome of each plan, and of its micro-batches on one worker."""
    folder = tmp_path_factory.mktemp(request.param)
    model = make_tiny_family(request.param, folder / "model")
    alone = {f"{name}, as one": plan.on_one_worker() for name, plan in PLANS.items()}
    return outcomes(model, PLANS | alone, folder)


@pytest.mark.parametrize("name", PLANS)
def test_workers_with_different_media_compute_what_one_worker_does(computed: dict[str, Outcome], name: str) -> None:
    several, one = computed[name], computed[f"{name}, as one"]
    assert several.losses == pytest.approx(one.losses, rel=1e-5)
    assert several.losses[0] != several.losses[1]  # the step changed the weights
    assert several.gradients.keys() == one.gradients.keys()
    for parameter, gradient in one.gradients.items():
        assert several.gradients[parameter] == pytest.approx(gradient, rel=1e-4, abs=1e-6), parameter
    trained = {parameter for parameter, gradient in one.gradients.items() if any(gradient)}
    assert any("visual" in parameter for parameter in trained) == ("adapters" not in name)
    assert several.log_probs == pytest.approx(one.log_probs, rel=1e-5)
