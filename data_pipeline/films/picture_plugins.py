"""Optional image filters that use models: aesthetic score and NSFW classification. Off by default.

Owns loading and inference of both models, each given in the settings as a path or Hub id. The aesthetic score is
LAION's: a head of linear layers on the normalized CLIP image embedding, about 1 to 10. The NSFW filter is any image
classifier in Transformers with a class that means unsafe. If a requested model cannot be loaded, the run stops: a
filter that silently does nothing would be worse. The filters see stills as cut, and the middle frame of clips.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.medium_guard import RunEnds
from lmms_eval_shotbench.error_text import first_line

if TYPE_CHECKING:
    from PIL.Image import Image

INSTALL = "pip install 'lmms-eval-shotbench[evaluate]'"


class PluginUnusable(RunEnds, ValueError):
    """A model named in the settings cannot be used; the message says which, why and what to do."""


def check_picture(picture: Image, settings: CutSettings) -> Flaw | None:
    """Apply the filters enabled in the settings.

    Raises:
        PluginUnusable: a model cannot be loaded.
    """
    if settings.aesthetic_model:
        score = aesthetic_score(picture, settings.aesthetic_model, settings.aesthetic_head)
        if score < settings.least_aesthetic:
            return Flaw(DefectKind.UNAESTHETIC, f"scores {score:.2f}, it must {settings.least_aesthetic:g}")
    if settings.nsfw_model:
        probability = unsafe_probability(picture, settings.nsfw_model, settings.nsfw_label)
        if probability > settings.most_nsfw:
            return Flaw(DefectKind.UNSAFE, f"{settings.nsfw_label} with {probability:.2f}")
    return None


def check_plugins(settings: CutSettings) -> None:
    """Load the models enabled in the settings, so that errors appear before films are cut.

    Raises:
        PluginUnusable: a model cannot be loaded.
    """
    if settings.aesthetic_model:
        _aesthetic(settings.aesthetic_model, settings.aesthetic_head)
    if settings.nsfw_model:
        _classifier(settings.nsfw_model, settings.nsfw_label)


def aesthetic_score(picture: Image, model: str, head: str) -> float:
    """LAION's aesthetic score of a picture, about 1 to 10."""
    import torch

    clip, processor, layers = _aesthetic(model, head)
    with torch.inference_mode():
        output = clip.get_image_features(**processor(images=picture, return_tensors="pt").to(clip.device))
        features = output if isinstance(output, torch.Tensor) else output.pooler_output  # since transformers 5
        features = torch.nn.functional.normalize(features.float(), dim=-1)
        for weight, bias in layers:
            features = torch.nn.functional.linear(features, weight, bias)
    return float(features)


def unsafe_probability(picture: Image, model: str, label: str) -> float:
    """Probability of the unsafe class `label`, from 0 to 1."""
    import torch

    classifier, processor, index = _classifier(model, label)
    with torch.inference_mode():
        logits = classifier(**processor(images=picture, return_tensors="pt").to(classifier.device)).logits
    return float(logits.float().softmax(dim=-1)[0, index])


@lru_cache(maxsize=1)
def _aesthetic(model: str, head: str) -> tuple[Any, Any, list[tuple[Any, Any]]]:
    clip, processor = _loaded("CLIPModel", model)
    return clip, processor, _head_layers(head, clip.config.projection_dim, clip.device)


def _head_layers(head: str, width: int, device: Any) -> list[tuple[Any, Any]]:
    """Weights and biases of LAION's head, which has no activations; older heads are a single layer."""
    import torch

    try:
        state = torch.load(Path(head), map_location=device, weights_only=True)
        names = [name.removesuffix("weight") for name in state if name.endswith("weight")]
        names.sort(key=lambda name: [int(part) for part in name.split(".") if part.isdecimal()])
        layers = [(state[f"{name}weight"].float(), state[f"{name}bias"].float()) for name in names]
    except Exception as error:  # pickle, zipfile and torch raise no closed set of errors
        raise PluginUnusable(f"aesthetic_head {head} cannot be loaded: {first_line(error)}") from error
    sizes = [width, *(weight.shape[0] for weight, _ in layers)]
    if not layers or sizes[-1] != 1 or any(w.shape[1] != size for (w, _), size in zip(layers, sizes, strict=False)):
        raise PluginUnusable(f"aesthetic_head {head} does not fit: it must lead from {width} features to one score")
    return layers


@lru_cache(maxsize=1)
def _classifier(model: str, label: str) -> tuple[Any, Any, int]:
    classifier, processor = _loaded("AutoModelForImageClassification", model)
    classes = {name.casefold(): int(index) for index, name in classifier.config.id2label.items()}
    if label.casefold() not in classes:
        raise PluginUnusable(
            f"nsfw_model {model} has no class {label!r}; set nsfw_label to one of {', '.join(classes)}"
        )
    return classifier, processor, classes[label.casefold()]


def _loaded(kind: str, model: str) -> tuple[Any, Any]:
    """A Transformers model and its image processor, on the GPU if there is one."""
    try:
        import torch
        import transformers
    except ImportError as error:
        raise PluginUnusable(f"{model} needs torch and transformers: {INSTALL}") from error
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(model)
        network, report = getattr(transformers, kind).from_pretrained(model, output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise PluginUnusable(f"{model} cannot be loaded as {kind}: {first_line(error)}") from error
    if missing := sorted(report["missing_keys"]):  # Transformers would initialize them randomly
        raise PluginUnusable(f"{model} is no {kind}: it lacks {len(missing)} weights, e.g. {missing[0]}")
    return network.eval().to("cuda" if torch.cuda.is_available() else "cpu"), processor
