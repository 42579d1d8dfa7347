"""An image or video classifier of transformers: loading, the inputs of a medium, and the probabilities of its classes.

An image classifier sees a still, or the middle frame of a clip. A video classifier sees the number of frames it was
trained on, spread evenly from the first to the last frame of a clip, or a still repeated that often.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lmms_eval_shotbench.harness.recorder import RunStopped
from lmms_eval_shotbench.media.clips import FRAMES_PER_BATCH, Clip
from lmms_eval_shotbench.media.stills import open_still
from lmms_eval_shotbench.media.stored_medium import StoredMedium
from lmms_eval_shotbench.qwen.revision import folder_digest
from lmms_eval_shotbench.vocabulary import MediaKind, View

if TYPE_CHECKING:
    from PIL.Image import Image

Inputs = Mapping[str, torch.Tensor]  # of one medium, with a first dimension of 1
FRAME_SETTINGS = ("num_frames", "frames_per_clip")  # where the configuration of a video classifier states its frames
DTYPES = ("float32", "bfloat16", "float16")


class UnsupportedClassifier(RunStopped, ValueError):
    """A checkpoint that cannot be used as a classifier; the message states why."""


@dataclass(frozen=True)
class Classifier:
    """A loaded checkpoint. `inputs` may be called in several threads."""

    model: Any
    processor: Any
    revision: str
    frames: int | None  # that a video classifier sees of a clip; None: an image classifier

    @property
    def classes(self) -> list[str]:
        """Names of the classes, by index."""
        return [str(self.model.config.id2label[index]) for index in range(self.model.config.num_labels)]

    def inputs(self, medium: StoredMedium) -> Inputs:
        """Decode a medium and preprocess it, a few frames at a time; raises `BrokenMedium`."""
        parts = [self._processed(frames) for frames in _frames_shown(medium, self.frames or 1)]
        if self.frames is None:
            return parts[0]
        joined = {name: torch.cat([part[name] for part in parts], dim=1) for name in parts[0]}
        if medium.view is View.REVERSED:
            return {name: frames.flip(1) for name, frames in joined.items()}
        return joined

    def _processed(self, frames: list[Image]) -> Inputs:
        return dict(self.processor(frames[0] if self.frames is None else frames, return_tensors="pt"))

    def probabilities(self, batch: Sequence[Inputs]) -> list[list[float]]:
        """Return the probability of each class for each medium; a batch that does not fit in memory is halved."""
        try:
            return self._forward(batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
        half = len(batch) // 2
        return self.probabilities(batch[:half]) + self.probabilities(batch[half:])

    def _forward(self, batch: Sequence[Inputs]) -> list[list[float]]:
        shapes = [{name: tensor.shape for name, tensor in inputs.items()} for inputs in batch]
        if any(shape != shapes[0] for shape in shapes):  # of a processor that keeps the aspect ratio
            return [row for inputs in batch for row in self._forward([inputs])]
        joined = {name: torch.cat([inputs[name] for inputs in batch]).to(self.model.device) for name in batch[0]}
        floating = {name: one.to(self.model.dtype) for name, one in joined.items() if one.is_floating_point()}
        with torch.inference_mode():
            logits = self.model(**joined | floating).logits.float()
        independent = self.model.config.problem_type == "multi_label_classification"
        rows: list[list[float]] = (logits.sigmoid() if independent else logits.softmax(-1)).tolist()
        return rows


def _frames_shown(medium: StoredMedium, count: int) -> Iterator[list[Image]]:
    """Decode `count` frames of a clip in the order of the file, or a still repeated that often, a few at a time.

    One frame is that in the middle. Raises `BrokenMedium`.
    """
    from PIL import Image, ImageOps

    if medium.kind is MediaKind.STILL:
        still = open_still(medium.read(), medium.view)
        yield from ([still] * min(FRAMES_PER_BATCH, count - start) for start in range(0, count, FRAMES_PER_BATCH))
        return
    with Clip(medium.read()) as clip:
        step = (clip.frames - 1) / max(count - 1, 1)
        indices = [round(number * step) for number in range(count)] if count > 1 else [(clip.frames - 1) // 2]
        for batch in clip.read(indices):
            frames = [Image.fromarray(frame) for frame in batch]
            yield [ImageOps.mirror(frame) for frame in frames] if medium.view is View.MIRRORED else frames


def load_classifier(
    pretrained: str, revision: str | None, device: torch.device, dtype: str, frames: int | None
) -> Classifier:
    """Load a checkpoint and classify a grey picture with it, so that a defect stops the run at its start.

    Args:
        pretrained: Folder or Hub id.
        revision: Revision of the Hub repository.
        device: Device of the model.
        dtype: One of `DTYPES`.
        frames: Frames of a clip that a video classifier sees (default: as its configuration states).

    Raises:
        UnsupportedClassifier: It is not an image or video classifier of transformers, or it cannot be run.
    """
    from PIL import Image
    from transformers import AutoConfig, AutoModelForImageClassification, AutoModelForVideoClassification
    from transformers.models.auto.modeling_auto import MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING

    if dtype not in DTYPES:
        raise UnsupportedClassifier(f"dtype={dtype}: use one of {', '.join(DTYPES)}")
    folder = Path(pretrained).expanduser()
    name = str(folder) if folder.is_dir() else pretrained
    try:
        config = AutoConfig.from_pretrained(name, revision=revision)
        is_video = type(config) in MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING
        model_class = AutoModelForVideoClassification if is_video else AutoModelForImageClassification
        processor = _load_processor(name, revision)
        model, loading = model_class.from_pretrained(
            name, revision=revision, dtype=getattr(torch, dtype), output_loading_info=True
        )
    except (OSError, ValueError, ImportError, RuntimeError) as error:  # RuntimeError: shapes of weights
        raise UnsupportedClassifier(f"pretrained={pretrained} cannot be loaded as a classifier: {error}") from error
    if loading["missing_keys"]:
        raise UnsupportedClassifier(
            f"pretrained={pretrained} has no trained {', '.join(sorted(loading['missing_keys'])[:3])}: "
            "is it a backbone that was not trained as a classifier?"
        )
    digest = f"folder {folder_digest(folder)}" if folder.is_dir() else str(config._commit_hash or revision or "")
    classifier = Classifier(model.to(device).eval(), processor, digest, _frames(config, frames) if is_video else None)
    if frames and not is_video:
        raise UnsupportedClassifier(f"frames={frames}: pretrained={pretrained} is an image classifier; it sees one")
    grey = Image.new("RGB", (320, 180), "grey")
    try:
        classifier.probabilities([classifier._processed([grey] * (classifier.frames or 1))])
    except Exception as error:  # of any type: the checkpoint's own code fails
        seen = f" with frames={classifier.frames}" if is_video else ""
        raise UnsupportedClassifier(f"pretrained={pretrained} cannot classify a grey picture{seen}: {error}") from error
    return classifier


def _load_processor(name: str, revision: str | None) -> Any:
    """Load the image processor, which older video classifiers have, too, or else the video processor."""
    from transformers import AutoImageProcessor, AutoVideoProcessor

    try:
        return AutoImageProcessor.from_pretrained(name, revision=revision)
    except (OSError, ValueError) as error:
        try:
            return AutoVideoProcessor.from_pretrained(name, revision=revision)
        except (OSError, ValueError):
            raise error from None


def _frames(config: Any, given: int | None) -> int:
    stated = next((getattr(config, name) for name in FRAME_SETTINGS if getattr(config, name, None)), None)
    frames = given or stated
    if not frames:
        raise UnsupportedClassifier("the configuration states no number of frames; give it: frames=N")
    return int(frames)
