"""Films: the shots of a studio film, and staging, rendering and encoding each of them.

A film has one style (cast, sets, times of day), a still or clip for every term the studio supports, and some compound
movements. `PlannedShot` is all that a worker needs to render a shot; the same plan gives the same bytes in any process.
Questions are made in `studio_set.py`, films as files with an annotation table in `film_reels.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from random import Random

from data_pipeline.studio.camera import Camera, Size
from data_pipeline.studio.clips import FRAME_RATE, Scene, StagedClip, stage_clip
from data_pipeline.studio.encoding import Picture, encode_clip, encode_still
from data_pipeline.studio.film_style import FilmStyle, film_style
from data_pipeline.studio.moves import TERMS, WALK_DIRECTIONS
from data_pipeline.studio.render import SIZE, Frame
from data_pipeline.studio.stage import Stage
from data_pipeline.studio.stills import staged_still, still_terms
from data_pipeline.studio.take import new_take
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, DIMENSIONS, MediaKind, dimension_named

SOURCE = "studio"
LICENCE = "apache-2.0"
CLIP_SETS = ("street", "city", "field", "room", "office")  # with space for camera movements and visible parallax
SIMULTANEOUS = (
    ("Push in", "Tilt up"), ("Push in", "Pan right"), ("Pull out", "Boom up"), ("Camera roll", "Push in"),
    ("Pan left", "Tilt up"), ("Pan right", "Tilt down"),
)  # fmt: skip
SEQUENTIAL = (
    ("Pan left", "Tilt up"), ("Push in", "Pull out"), ("Static shot", "Pan left"), ("Pan right", "Pan left"),
    ("Tilt up", "Push in"), ("Pull out", "Pan right"),
)  # fmt: skip


@dataclass(frozen=True)
class PlannedShot:
    """One shot of a film before staging."""

    seed: int
    film: int
    slug: str  # dimension the shot is staged for
    label: str
    variant: int
    width: int = SIZE[0]

    @property
    def film_id(self) -> str:
        return f"film-{self.film:03d}"

    @cached_property
    def shot_id(self) -> str:
        """Unique among the films of a seed."""
        return f"{self.film_id}-{_slug_of(self.slug)}-{_slug_of(self.label)}-{self.variant}"

    @property
    def media_kind(self) -> MediaKind:
        return dimension_named(self.slug).media_kind

    @property
    def file_name(self) -> str:
        return f"{self.film_id}/{self.shot_id}.{'jpg' if self.media_kind is MediaKind.STILL else 'mp4'}"

    @property
    def size(self) -> Size:
        return self.width, self.width * SIZE[1] // SIZE[0]

    @property
    def style(self) -> FilmStyle:
        return _cached_film_style(self.seed, self.film)

    @property
    def draw(self) -> Random:
        """Random generator of this shot, with a fixed seed."""
        return Random(f"{self.seed} {self.shot_id}")


@dataclass(frozen=True)
class FilmedShot:
    """A rendered shot with its ground truth; a still has one frame."""

    plan: PlannedShot
    labels: dict[str, str]  # dimension slug to label: the staged one and other certain ones
    frames: tuple[Frame, ...]
    cameras: tuple[Camera, ...]
    clip: StagedClip | None = None
    still_stage: Stage | None = None  # of a still

    def stage(self, number: int) -> Stage:
        """Return the stage of a frame."""
        if self.still_stage is not None:
            return self.still_stage
        assert self.clip is not None  # a shot is a clip or a still
        return self.clip.at(number)[0]

    @property
    def pictures(self) -> list[Picture]:
        return [frame.rgb for frame in self.frames]

    def encoded(self) -> bytes:
        """Return the encoded medium: JPEG for stills, MP4 for clips."""
        if self.plan.media_kind is MediaKind.STILL:
            return encode_still(self.frames[0].rgb)
        return encode_clip(self.pictures, FRAME_RATE)


def film_plan(seed: int, film: int, per_term: int = 1, width: int = SIZE[0]) -> list[PlannedShot]:
    """Return the shots of a film in the vocabulary's order, without rendering anything."""
    plans = []
    for dimension in DIMENSIONS:
        labels = _movements(seed, film) if dimension is CAMERA_MOVEMENT else [str(t) for t in still_terms(dimension)]
        plans += [
            PlannedShot(seed, film, dimension.slug, label, variant, width)
            for label in labels
            for variant in range(per_term)
        ]
    return plans


def film_shot(plan: PlannedShot, size: Size | None = None) -> FilmedShot:
    """Stage and render a shot; `size` (width, height) overrides the planned frame size."""
    size = size or plan.size
    if plan.media_kind is MediaKind.CLIP:
        clip = staged_clip(plan)
        cameras = tuple(clip.at(number)[1] for number in range(clip.frames))
        return FilmedShot(plan, {plan.slug: plan.label}, tuple(clip.filmed(size)), cameras, clip)
    dimension = dimension_named(plan.slug)
    still = staged_still(plan.style, dimension, dimension.term(plan.label), plan.variant, size)
    return FilmedShot(plan, {plan.slug: plan.label, **still.also}, still.frames, still.cameras, None, still.stage)


def staged_clip(plan: PlannedShot) -> StagedClip:
    """Return the staged clip of a plan, not yet rendered."""
    return stage_clip(_scene(plan), _steps(plan.label), plan.draw)


def _movements(seed: int, film: int) -> list[str]:
    """Return the labels of a film's clips: every term and three compounds (tracking, simultaneous, sequential)."""
    draw = Random(f"{seed} {film} movements")
    followed = f"Tracking, {draw.choice(sorted(WALK_DIRECTIONS))}"
    simultaneous, (first, then) = draw.choice(SIMULTANEOUS), draw.choice(SEQUENTIAL)
    singles = [term.name for term in CAMERA_MOVEMENT.terms if term.name in TERMS]
    return [*singles, followed, ", ".join(simultaneous), f"Firstly {first}, then {then}"]


def _steps(label: str) -> list[list[str]]:
    return [[term.name for term in step] for step in CAMERA_MOVEMENT.parse(label).steps]


def _scene(plan: PlannedShot) -> Scene:
    """Return a random set of the film, lit, with the cast in random order."""
    take = new_take(plan.style, plan.draw.getrandbits(32))
    where = take.one_of([name for name in (*plan.style.outdoors, *plan.style.indoors) if name in CLIP_SETS])
    return Scene(plan.style.scenery(where), take.graded(take.lighting(where)), take.cast)


@lru_cache(maxsize=8)
def _cached_film_style(seed: int, film: int) -> FilmStyle:
    return film_style(seed, film)


def _slug_of(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
