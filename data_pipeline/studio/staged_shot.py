"""The studio's product: a shot staged for one term, with its frames and the truth about them."""

from __future__ import annotations

from dataclasses import dataclass, field

from data_pipeline.studio.camera import Camera
from data_pipeline.studio.render import Frame
from lmms_eval_shotbench.vocabulary import Dimension, Term


@dataclass(frozen=True, eq=False)
class StagedShot:
    """A still (one frame) or a clip (many), staged for a term of a dimension.

    `also` holds labels of other dimensions that are certain by construction, slug to label.
    """

    dimension: Dimension
    term: Term
    film_id: str
    name: str  # unique in its film
    frames: tuple[Frame, ...]
    cameras: tuple[Camera, ...]  # one a frame
    figure_heights: tuple[float, ...] = ()  # sole to crown, as a share of the first frame's height
    also: dict[str, str] = field(default_factory=dict)
