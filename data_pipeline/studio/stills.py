"""The recipe of each term, and the stills of a film. Terms are defined in the vocabulary; tables only refer to them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from data_pipeline.studio.camera import Camera, Size
from data_pipeline.studio.camera_angles import CAMERA_ANGLES
from data_pipeline.studio.compositions import COMPOSITIONS
from data_pipeline.studio.film_style import FilmStyle
from data_pipeline.studio.lens_sizes import LENS_SIZES
from data_pipeline.studio.lighting_conditions import LIGHTING_CONDITIONS
from data_pipeline.studio.lighting_types import LIGHTING_TYPES
from data_pipeline.studio.render import SIZE, Frame, render
from data_pipeline.studio.shot_framings import SHOT_FRAMINGS
from data_pipeline.studio.shot_sizes import SHOT_SIZES
from data_pipeline.studio.stage import Stage
from data_pipeline.studio.staging import Recipe, Staging
from data_pipeline.studio.take import new_take
from lmms_eval_shotbench import vocabulary
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, Term


@dataclass(frozen=True, eq=False)
class StagedShot:
    """A rendered still (one frame) or clip (several) for a term of a dimension.

    `also` holds labels of other dimensions that are certain by construction, slug to label.
    """

    dimension: Dimension
    term: Term
    film_id: str
    name: str  # unique within its film
    frames: tuple[Frame, ...]
    cameras: tuple[Camera, ...]  # one per frame
    stage: Stage
    figure_heights: tuple[float, ...] = ()  # sole to crown, as a share of the first frame's height
    also: dict[str, str] = field(default_factory=dict)


STILL_RECIPES: dict[Dimension, dict[str, Recipe]] = {
    vocabulary.SHOT_SIZE: SHOT_SIZES,
    vocabulary.SHOT_FRAMING: SHOT_FRAMINGS,
    vocabulary.CAMERA_ANGLE: CAMERA_ANGLES,
    vocabulary.LENS_SIZE: LENS_SIZES,
    vocabulary.LIGHTING_TYPE: LIGHTING_TYPES,
    vocabulary.LIGHTING_CONDITION: LIGHTING_CONDITIONS,
    vocabulary.COMPOSITION: COMPOSITIONS,
}


def still_terms(dimension: Dimension) -> tuple[Term, ...]:
    """Return the terms of a dimension that the studio supports as stills, in the vocabulary's order."""
    recipes = STILL_RECIPES.get(dimension, {})
    return tuple(term for term in dimension.terms if term.name in recipes)


def staging(style: FilmStyle, dimension: Dimension, term: Term, number: int = 0) -> Staging:
    """Stage a film's n-th still of a term, without rendering it."""
    take = new_take(style, DIMENSIONS.index(dimension), dimension.terms.index(term), number)
    return STILL_RECIPES[dimension][term.name](take)


def staged_still(style: FilmStyle, dimension: Dimension, term: Term, number: int = 0, size: Size = SIZE) -> StagedShot:
    """Render a film's n-th still of a term; `size` is (width, height) in pixels."""
    staged = staging(style, dimension, term, number)
    stem = re.sub(r"[^a-z0-9]+", "_", term.name.lower()).strip("_")
    return StagedShot(
        dimension=dimension,
        term=term,
        film_id=style.film_id,
        name=f"{dimension.slug}-{stem}-{number}",
        frames=(render(staged.stage, staged.camera, size),),
        cameras=(staged.camera,),
        stage=staged.stage,
        figure_heights=tuple(figure.height_in_frame(staged.camera, size) for figure in staged.stage.figures),
        also=staged.also,
    )
