"""The views in which a model is shown a shot, and what a term that it names there says about the shot as filmed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from lmms_eval_shotbench.questions.variants import opposite
from lmms_eval_shotbench.vocabulary import Dimension, MediaKind, UnknownTerm, View

ShotView = tuple[View, ...]  # empty: as filmed
AS_FILMED: ShotView = ()
VIEWS: dict[MediaKind, tuple[ShotView, ...]] = {
    MediaKind.STILL: (AS_FILMED, (View.MIRRORED,)),
    MediaKind.CLIP: (AS_FILMED, (View.MIRRORED,), (View.REVERSED,), (View.MIRRORED, View.REVERSED)),
}


def view_name(view: ShotView) -> str:
    """Name of a view, as in `Vote.view`."""
    return " and ".join(view or (View.AS_FILMED,))


def as_filmed(values: Mapping[str, float], dimension: Dimension, view: ShotView) -> dict[str, float]:
    """Return values of terms named in a view, by the terms that are then true of the shot as filmed.

    A term without an opposite stays: also `AMBIGUOUS_REVERSED`, of which nothing better is known. Names that are no
    terms stay, too.
    """
    return {term_as_filmed(name, dimension, view): value for name, value in values.items()}


@lru_cache(maxsize=1024)  # 70 terms in up to four views, asked of every shot
def term_as_filmed(name: str, dimension: Dimension, view: ShotView) -> str:
    """The term that is true of the shot as filmed if `name` is true in the view, and the reverse."""
    text = label_as_filmed(name, dimension, view)
    return text if name == text else dimension.term(text).name


def label_as_filmed(text: str, dimension: Dimension, view: ShotView) -> str:
    """The label that is true of the shot as filmed if `text` is true in the view; steps change their order."""
    changed = text
    for one in view:
        changed = opposite(changed, one)
    try:
        dimension.parse(changed)
    except UnknownTerm:
        return text
    return changed
