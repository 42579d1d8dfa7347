"""Workers whose micro-batches hold different media train and evaluate as one worker does."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = [pytest.mark.verl, pytest.mark.slow, pytest.mark.timeout(1500)]
pytest.importorskip("verl")

from tests.support.tiny_families import make_tiny_family
from tests.support.training_ranks import CLIP, STILL, TEXT, Outcome, Plan, outcomes, training_row
from verl_recipes.inside_verl import vision_tower
from verl_recipes.inside_verl.patch_on_import import unpatched

# Two micro-batches of two rows on each worker; in each, at least two workers have other kinds of media.
TWO = ((STILL, STILL, STILL, CLIP), (CLIP, CLIP, TEXT, TEXT))
THREE = ((STILL, STILL, TEXT, TEXT), (STILL, CLIP, CLIP, TEXT), (TEXT, TEXT, CLIP, STILL))
ADAPTERS = ("model.lora_rank=4", "model.target_modules=all-linear", "model.exclude_modules=.*visual.*")
PLANS = {
    "two workers": Plan(TWO),
    "three workers": Plan(THREE),
    "two workers with adapters on a frozen tower": Plan(TWO, (*ADAPTERS, "model.enable_gradient_checkpointing=true")),
}
FAMILIES = tuple(vision_tower.MODULES)


@pytest.mark.parametrize("module", vision_tower.MODULES.values())
def test_the_patch_is_still_needed(module: str) -> None:
    reason = "verl now runs the vision tower equally often for all media: remove inside_verl/vision_tower.py"
    assert vision_tower.still_needed(module), f"{module}: {reason}"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kinds", [(STILL, STILL), (CLIP,), (CLIP, STILL, CLIP, STILL), (TEXT,)], ids="-".join)
def test_embeddings_are_those_of_verls_own_function(tmp_path: Path, family: str, kinds: tuple[str, ...]) -> None:
    import torch
    from transformers import AutoModelForImageTextToText
    from verl.utils.model import extract_multi_modal_inputs

    model = AutoModelForImageTextToText.from_pretrained(make_tiny_family(family, tmp_path / "model")).model
    rows = [training_row(model.config, kind, number) for number, kind in enumerate(kinds)]
    ids = torch.cat([row["input_ids"] for row in rows])[None]
    media = extract_multi_modal_inputs([row["multi_modal_inputs"] for row in rows])
    verls = getattr(unpatched(vision_tower.MODULES[family]), vision_tower.FUNCTION)
    found = vision_tower.with_one_vision_pass(verls)(model, ids, **media)
    if kinds == (TEXT,):  # verl's own fails for Qwen2.5-VL
        expected = model.get_input_embeddings()(ids)
        assert torch.equal(found[0] if family == "qwen2_5_vl" else found["inputs_embeds"], expected)
    else:
        torch.testing.assert_close(found, verls(model, ids, **media))


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
