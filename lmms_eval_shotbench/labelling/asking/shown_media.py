"""The stills and clips of shots, decoded once and cut into a model's patches in every view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lmms_eval_shotbench.labelling.asking.shot_views import ShotView
from lmms_eval_shotbench.media.broken_medium import BrokenMedium
from lmms_eval_shotbench.media.stills import open_still
from lmms_eval_shotbench.media.stored_medium import StoredMedium
from lmms_eval_shotbench.qwen.inputs import (
    MediaLimits,
    Patches,
    PatchRule,
    blanked,
    clip_patches,
    grid_from_header,
    shown_as,
    still_patches,
)
from lmms_eval_shotbench.qwen.rope_positions import Grid
from lmms_eval_shotbench.vocabulary import MediaKind

UNREADABLE = (BrokenMedium, OSError)


@dataclass(frozen=True)
class ShownMedia:
    """How media are shown to a model. Safe to share between threads."""

    limits: MediaLimits
    rule: PatchRule
    views: Mapping[MediaKind, Sequence[ShotView]]

    def opened(self, kind: MediaKind, path: Path) -> tuple[StoredMedium, Grid] | str:
        """Return a medium and its patch grid, from its header, or why it cannot be read."""
        try:
            medium = StoredMedium.of(kind, "", path.read_bytes)
            return medium, grid_from_header(kind, medium.read(), self.limits, self.rule)
        except UNREADABLE as error:
            return str(error)

    def in_all_views(self, medium: StoredMedium) -> dict[ShotView, Patches]:
        """Decode a medium, once; raises one of `UNREADABLE`."""
        if medium.kind is MediaKind.CLIP:
            patches = clip_patches(medium.read(), self.limits, self.rule)
        else:
            patches = still_patches(open_still(medium.read()), self.limits, self.rule)
        patches = blanked(patches) if self.limits.blank else patches
        return {view: shown_as(patches, view, self.rule) for view in self.views[medium.kind]}
