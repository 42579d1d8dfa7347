"""Render the glossary's pictures, one of each term of the vocabulary, with the studio.

    python -m docs_hooks.glossary_pictures

writes docs/glossary/DIMENSION-TERM.jpg: a still, or the first, middle and last frame of a clip. They are committed,
because rendering takes minutes. Pictures that exist are kept; delete those to be rendered again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from data_pipeline.studio.encoding import Picture
from data_pipeline.studio.film_style import film_style
from data_pipeline.studio.films import PlannedShot, film_plan, staged_clip
from data_pipeline.studio.lamp_light import pair
from data_pipeline.studio.lights import Lighting, kelvin, key, lamp
from data_pipeline.studio.render import render
from data_pipeline.studio.solids import Assembly, Material
from data_pipeline.studio.staging import Recipe, Staging, camera_on
from data_pipeline.studio.stills import staged_still, still_terms
from data_pipeline.studio.take import Take, new_take
from docs_hooks.glossary import picture_name
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, DIMENSIONS, Dimension, Term

FOLDER = Path(__file__).parents[1] / "docs" / "glossary"
SEED = 0
STILL_WIDTH, FRAME_WIDTH, GAP, QUALITY = 320, 200, 4, 80
# The studio has no clip with only these labels; a clip with a more specific one shows them.
SHOWN_BY = {"Tracking": re.compile(r"^Tracking, "), "Rack focus": re.compile(r"^Rack focus to background$")}


def main() -> None:
    """Render the pictures that do not exist."""
    FOLDER.mkdir(exist_ok=True)
    terms = [(dimension, term) for dimension in DIMENSIONS for term in dimension.terms]
    for film, (dimension, term) in enumerate(terms):  # a film of its own for each: other people, sets and light
        path = FOLDER / picture_name(dimension, term)
        if not path.exists():
            frames = clip_frames(term, film) if dimension is CAMERA_MOVEMENT else [still(dimension, term, film)]
            write_row(path, list(frames), FRAME_WIDTH if dimension is CAMERA_MOVEMENT else STILL_WIDTH)


def still(dimension: Dimension, term: Term, film: int) -> Picture:
    """Render a still of a term: uint8 RGB (height, width, 3)."""
    style = film_style(SEED, film)
    if term in still_terms(dimension):
        return staged_still(style, dimension, term).frames[0].rgb
    take = new_take(style, DIMENSIONS.index(dimension), dimension.terms.index(term), 0)
    staged = LAMPS[term.name](take)
    return render(staged.stage, staged.camera).rgb


def clip_frames(term: Term, film: int) -> Iterator[Picture]:
    """Render the first, middle and last frame of a clip of a movement: uint8 RGB (height, width, 3)."""
    clip = staged_clip(_plan(term, film))
    for number in np.linspace(0, clip.frames - 1, 3).round().astype(int):
        yield render(*clip.at(int(number))).rgb


def _plan(term: Term, film: int) -> PlannedShot:
    shows = SHOWN_BY.get(term.name, re.compile(f"^{re.escape(term.name)}$"))
    plans = film_plan(SEED, film)
    return next(plan for plan in plans if plan.slug == CAMERA_MOVEMENT.slug and shows.search(plan.label))


def write_row(path: Path, frames: list[Picture], width: int) -> None:
    """Write frames side by side as one JPEG, each of this width in pixels."""
    height = width * 9 // 16
    row = Image.new("RGB", (len(frames) * (width + GAP) - GAP, height), "white")
    for number, frame in enumerate(frames):
        row.paste(Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS), (number * (width + GAP), 0))
    row.save(path, quality=QUALITY, optimize=True)


def _hmi(take: Take) -> Staging:
    """A dark room, lit by one hard beam of daylight colour from high at the side."""
    beam = key(take.side * 62, 30, kelvin(6200), 4.2, size=0.03, distance=3.4)
    lighting = Lighting((beam,), (0.022, 0.026, 0.034), contrast=1.1)
    camera = camera_on((take.side * 0.1, 0, 1.2), 1.6, 36)
    return Staging(take.stage(pair(take), "room", lighting, at_night=True), camera)


def _led(take: Take) -> Staging:
    """Panels of saturated colour at both sides of a dark room."""
    magenta, cyan = (1.0, 0.10, 0.62), (0.06, 0.62, 1.0)
    panels = Assembly()
    for side, tone in ((-1, magenta), (1, cyan)):
        panels.box((side * 1.05, 0.7, 1.35), (0.06, 0.03, 0.75), Material(tone, glow=3.0))
    lighting = Lighting(
        tuple(
            lamp((side * 1.05, 0.3, 1.4), tone, 1.5, size=0.3, samples=7)
            for side, tone in ((-1, magenta), (1, cyan))
        ),
        (0.030, 0.020, 0.045), saturation=1.15, bloom=0.6,
    )  # fmt: skip
    return Staging(
        take.stage(pair(take, 0.3), "room", lighting, (panels,), at_night=True), camera_on((0, 0, 1.2), 1.7, 34)
    )


# Lamps that the studio does not shoot: on a still, neither is certain enough for a question.
LAMPS: dict[str, Recipe] = {"HMI": _hmi, "LED": _led}

if __name__ == "__main__":
    main()
