"""Ways of asking by name: what a model can do, what a calibration prefers, and clear errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytestmark = pytest.mark.host
pytest.importorskip("lmms_eval")

from lmms_eval_shotbench.harness.presets import PresetError
from lmms_eval_shotbench.labelling.asking.askers import AskedModel, PartialAsker, UnknownWay, make_askers
from lmms_eval_shotbench.labelling.asking.model_name import model_name
from lmms_eval_shotbench.labelling.vote import Way
from lmms_eval_shotbench.prompts import DIRECT, REASONING
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, DIMENSIONS

SERVER = AskedModel("openai", "model=gpt-x,base_url=http://localhost:9/v1")


class Best:
    """What a calibration found best, for one model."""

    def __init__(self, model: str, **ways: Way) -> None:
        self.model, self.ways = model, ways

    def best_way(self, slug: str, model: str) -> Way | None:
        return self.ways.get(slug) if model == self.model else None


def test_a_model_that_only_generates_is_asked_by_letter_unless_a_calibration_knows_better() -> None:
    (asker,) = make_askers([SERVER])
    assert (asker.model, asker.way) == ("gpt-x", Way.LETTER)
    askers = make_askers([SERVER], calibration=Best("gpt-x", **{CAMERA_MOVEMENT.slug: Way.TERM}))
    assert [one.way for one in askers] == [Way.LETTER, Way.TERM]
    assert isinstance(askers[1], PartialAsker)
    assert askers[1].slugs == {CAMERA_MOVEMENT.slug}
    assert isinstance(askers[0], PartialAsker)
    assert askers[0].slugs == {one.slug for one in DIMENSIONS} - {CAMERA_MOVEMENT.slug}
    (unknown,) = make_askers([SERVER], calibration=Best("another", **{CAMERA_MOVEMENT.slug: Way.TERM}))
    assert unknown.way is Way.LETTER


def test_a_checkpoint_that_gives_probabilities_is_asked_for_them_and_loaded_when_it_is_asked(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")  # no checkpoint: loading it would fail
    (asker,) = make_askers([AskedModel("shotvl", f"pretrained={tmp_path},device=cpu")])
    assert asker.way is Way.PROBABILITY
    assert asker.model.startswith(f"{tmp_path.name}@")


def test_several_ways_and_two_models_give_an_asker_each() -> None:
    askers = make_askers([SERVER, replace(SERVER, model_args="model=gpt-y")], "letter, term,letter")
    assert [(one.model, one.way) for one in askers] == [
        ("gpt-x", Way.LETTER),
        ("gpt-x", Way.TERM),
        ("gpt-y", Way.LETTER),
        ("gpt-y", Way.TERM),
    ]


@pytest.mark.parametrize(
    ("model", "ask", "expected"),
    [
        (SERVER, "guess", "no way of asking 'guess'; use auto, or some of probability, letter, term"),
        (SERVER, " ,", "no way of asking is given"),
        (SERVER, "letter,auto", "no way of asking 'auto'"),
        (SERVER, "letter,probability", "--model openai only generates"),
    ],
)
def test_a_way_that_does_not_exist_is_named_with_those_that_do(model: AskedModel, ask: str, expected: str) -> None:
    with pytest.raises(UnknownWay, match=expected):
        make_askers([model], ask)


def test_unknown_models_and_presets_are_named_at_once() -> None:
    with pytest.raises(ValueError, match="qwen_99"):
        make_askers([AskedModel("qwen_99")])
    with pytest.raises(PresetError, match="no-such-preset"):
        make_askers([AskedModel(preset="no-such-preset")])


def test_a_preset_gives_the_model_and_its_arguments() -> None:
    request = AskedModel(preset="internvl3-8b").request(DIRECT)
    assert (request.model, request.tasks) == ("internvl_hf", "shotbench")
    assert "InternVL3-8B" in model_name(request)


def test_a_checkpoint_is_named_by_its_folder_and_a_digest_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "my model"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    request = AskedModel("qwen2_5_vl", f"pretrained={folder},device=cpu").request(REASONING)
    name, _, revision = model_name(request).partition("@")
    assert name == "my model"
    assert len(revision) == 12
    (folder / "config.json").write_text("{ }", encoding="utf-8")
    assert model_name(request) != f"{name}@{revision}"


def test_a_model_without_arguments_is_named_by_its_default_checkpoint() -> None:
    assert model_name(AskedModel("qwen2_5_vl").request(REASONING)).startswith("Qwen/Qwen2.5-VL-3B-Instruct")
