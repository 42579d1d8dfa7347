"""Which recipe stages which term. The vocabulary owns dimensions and terms; this table only points at them."""

from __future__ import annotations

from data_pipeline.studio.composition import COMPOSITIONS
from data_pipeline.studio.framing import CAMERA_ANGLES, LENS_SIZES, SHOT_FRAMINGS, SHOT_SIZES
from data_pipeline.studio.light_conditions import LIGHTING_CONDITIONS
from data_pipeline.studio.lighting import LIGHTING_TYPES
from data_pipeline.studio.moves import CAMERA_MOVEMENTS
from data_pipeline.studio.take import Recipe, Shot, take
from lmms_eval_shotbench import vocabulary
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, Term

RECIPES: dict[Dimension, dict[str, Recipe]] = {
    vocabulary.SHOT_SIZE: SHOT_SIZES,
    vocabulary.SHOT_FRAMING: SHOT_FRAMINGS,
    vocabulary.CAMERA_ANGLE: CAMERA_ANGLES,
    vocabulary.LENS_SIZE: LENS_SIZES,
    vocabulary.LIGHTING_TYPE: LIGHTING_TYPES,
    vocabulary.LIGHTING_CONDITION: LIGHTING_CONDITIONS,
    vocabulary.COMPOSITION: COMPOSITIONS,
    vocabulary.CAMERA_MOVEMENT: CAMERA_MOVEMENTS,
}


def staged_terms(dimension: Dimension) -> tuple[Term, ...]:
    """The terms of a dimension the studio can draw honestly, in the vocabulary's order."""
    recipes = RECIPES.get(dimension, {})
    return tuple(term for term in dimension.terms if term.name in recipes)


def scene_number(dimension: Dimension, variant: int) -> int:
    """Each dimension has its own scenes, and every term is staged in each of them: a scene never tells the term."""
    return variant * len(DIMENSIONS) + DIMENSIONS.index(dimension)


def staged(dimension: Dimension, term: Term, seed: int = 0, variant: int = 0) -> Shot:
    """The stage and the cameras of one shot."""
    return RECIPES[dimension][term.name](take(seed, scene_number(dimension, variant), variant))
