"""A small painter of film shots, stills and clips, whose ground truth is known by construction."""

from __future__ import annotations

from data_pipeline.studio.shots import PaintedShot, painted_shots

__all__ = ["PaintedShot", "painted_shots"]
