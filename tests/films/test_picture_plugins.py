"""The optional image filters load real Transformers models, here tiny ones, and refuse unsuitable ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_pipeline.defects import Defect, DefectKind
from data_pipeline.films.cut_films import cut_films
from data_pipeline.films.cut_settings import BadSettings, CutSettings
from data_pipeline.films.picture_plugins import (
    PluginUnusable,
    aesthetic_score,
    check_picture,
    check_plugins,
    unsafe_probability,
)
from data_pipeline.workers import Workers
from tests.support.made_films import MadeFilm, MadeShot

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.slow  # transformers creates and loads models
WIDTH = 8  # features of the tiny models
RED, BLUE = Image.new("RGB", (64, 48), "red"), Image.new("RGB", (64, 48), "blue")


@pytest.fixture(scope="module")
def judge_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `clip`, `head.pth` and `vit`, which classifies red pictures as nsfw."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    small: dict[str, Any] = {
        "hidden_size": WIDTH,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    vision = {**small, "image_size": 16, "patch_size": 8}
    text = {**small, "vocab_size": 99, "max_position_embeddings": 8}
    clip = transformers.CLIPConfig(vision_config=vision, text_config=text, projection_dim=WIDTH)
    transformers.CLIPModel(clip).save_pretrained(folder / "clip")
    square = {"height": 16, "width": 16}
    transformers.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=square).save_pretrained(folder / "clip")
    layers = {
        "layers.0": torch.nn.Linear(WIDTH, 4),
        "layers.10": torch.nn.Linear(3, 1),
        "layers.2": torch.nn.Linear(4, 3),
    }
    torch.save(
        {f"{name}.{key}": value for name, layer in layers.items() for key, value in layer.state_dict().items()},
        folder / "head.pth",
    )
    labels = {"id2label": {0: "normal", 1: "nsfw"}, "label2id": {"normal": 0, "nsfw": 1}}
    vit = transformers.ViTForImageClassification(transformers.ViTConfig(**vision, **labels))
    red, blue = (
        vit(pixel_values=torch.tensor(colour).view(1, 3, 1, 1).expand(1, 3, 16, 16)).logits
        for colour in ((1.0, -1.0, -1.0), (-1.0, -1.0, 1.0))
    )
    gap = (red - blue)[0, 1] - (red - blue)[0, 0]
    middle = (red + blue)[0] / 2
    scale = 20 * gap.sign() / gap.abs()
    with torch.no_grad():  # rescale the random last layer so that it separates red from blue
        vit.classifier.weight *= scale
        vit.classifier.bias.copy_(scale * (vit.classifier.bias - middle))
    vit.save_pretrained(folder / "vit")
    transformers.ViTImageProcessor(size=square).save_pretrained(folder / "vit")
    return folder


@pytest.fixture
def judge_settings(judge_models: Path) -> CutSettings:
    return CutSettings(
        aesthetic_model=str(judge_models / "clip"),
        aesthetic_head=str(judge_models / "head.pth"),
        least_aesthetic=0.0,
        nsfw_model=str(judge_models / "vit"),
        most_nsfw=0.5,
    )


def test_no_model_is_loaded_by_default() -> None:
    check_plugins(CutSettings())
    assert check_picture(RED, CutSettings()) is None


def test_the_aesthetic_score_is_the_head_applied_to_the_normalised_embedding(judge_models: Path) -> None:
    score = aesthetic_score(RED, str(judge_models / "clip"), str(judge_models / "head.pth"))
    clip = transformers.CLIPModel.from_pretrained(judge_models / "clip")
    pixels = transformers.CLIPImageProcessor.from_pretrained(judge_models / "clip")(images=RED, return_tensors="pt")[
        "pixel_values"
    ]
    with torch.no_grad():
        embedding = clip.visual_projection(clip.vision_model(pixel_values=pixels).pooler_output)
        features = embedding / embedding.norm()
        state = torch.load(judge_models / "head.pth", weights_only=True)
        for layer in (0, 2, 10):
            features = features @ state[f"layers.{layer}.weight"].T + state[f"layers.{layer}.bias"]
    assert score == pytest.approx(float(features), abs=1e-5)


def test_pictures_are_dropped_by_score_and_by_class(judge_models: Path, judge_settings: CutSettings) -> None:
    score = aesthetic_score(RED, judge_settings.aesthetic_model, judge_settings.aesthetic_head)
    flaw = check_picture(RED, replace(judge_settings, least_aesthetic=max(score, 0) + 1))
    assert flaw is not None and flaw.kind is DefectKind.UNAESTHETIC and f"{score:.2f}" in flaw.detail
    only_class = replace(judge_settings, aesthetic_model="", aesthetic_head="")
    red, blue = (unsafe_probability(picture, judge_settings.nsfw_model, "NSFW") for picture in (RED, BLUE))
    assert red > 0.9 > 0.1 > blue
    flaw = check_picture(RED, only_class)
    assert flaw is not None and flaw.kind is DefectKind.UNSAFE
    assert check_picture(BLUE, only_class) is None


def test_cutting_filters_stills_and_clips(tmp_path: Path, judge_settings: CutSettings) -> None:
    MadeFilm(shots=(MadeShot(24, 1),)).write(tmp_path / "heat.mp4")
    (tmp_path / "t.csv").write_text("film_id,media,shot_size,camera_movement\nheat,heat.mp4,CU,Arc\n")
    (tmp_path / "work").mkdir()
    defects: list[Defect] = []
    strict = replace(judge_settings, least_aesthetic=99.0)
    assert not list(cut_films(tmp_path / "t.csv", tmp_path, tmp_path / "work", strict, Workers(), defects))
    assert [defect.kind for defect in defects] == [DefectKind.UNAESTHETIC] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nsfw_model": "{models}/nowhere"}, "nowhere cannot be loaded"),
        ({"nsfw_label": "porn"}, "normal, nsfw"),
        ({"nsfw_model": "{models}/clip"}, "clip"),
        ({"aesthetic_head": "{models}/nowhere.pth"}, "nowhere.pth cannot be loaded"),
        ({"aesthetic_head": "{models}/vit/config.json"}, "config.json cannot be loaded"),
        ({"aesthetic_model": "{models}/vit"}, "vit"),
    ],
)
def test_an_unusable_model_stops_the_run_at_the_start(
    judge_models: Path, judge_settings: CutSettings, change: dict[str, str], message: str
) -> None:
    with pytest.raises(PluginUnusable, match=message):
        check_plugins(
            replace(judge_settings, **{name: value.format(models=judge_models) for name, value in change.items()})
        )


def test_an_aesthetic_model_without_its_head_is_refused() -> None:
    with pytest.raises(BadSettings, match="go together"):
        CutSettings(aesthetic_model="clip")
