"""Silence verl's warnings about training engines that are not installed.

Every process that imports verl's engines warns of torchtitan, veomni, automodel, mindspeed and megatron, which the
recipes do not use. The warning is kept for an engine that is installed but cannot be imported. An engine that a run
requests but that is not installed is reported by `preflight/ignored_settings.py`.
"""

from __future__ import annotations

import warnings

PATTERN = r"\w+ engine is not available: ModuleNotFoundError\("  # of an ImportError, verl prints another name


def silence() -> None:
    """Ignore these warnings in this process."""
    warnings.filterwarnings("ignore", PATTERN, UserWarning)
