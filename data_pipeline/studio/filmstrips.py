"""Filmstrips: a few frames of a clip per camera movement, side by side with a caption."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_pipeline.studio.contact_sheet import encode_sheet
from data_pipeline.studio.encoding import Picture
from data_pipeline.studio.films import film_plan, staged_clip
from data_pipeline.studio.render import render
from lmms_eval_shotbench.vocabulary import MediaKind

FRAMES = 6  # per clip, including the first and last one


def write_filmstrips(path: Path, seed: int = 0, width: int = 148) -> None:
    """Write a sheet of all movements as JPEG; each clip is from a different film."""
    pictures: list[Picture] = []
    captions: list[str] = []
    labels = [plan for plan in film_plan(seed, 0) if plan.media_kind is MediaKind.CLIP]
    for film in range(len(labels)):
        plan = [plan for plan in film_plan(seed, film) if plan.media_kind is MediaKind.CLIP][film]
        clip = staged_clip(plan)
        for number in np.linspace(0, clip.frames - 1, FRAMES).round().astype(int):
            pictures.append(render(*clip.at(int(number))).rgb)
        captions += [plan.label] + [""] * (FRAMES - 1)
    path.write_bytes(encode_sheet(pictures, captions, width, FRAMES))
