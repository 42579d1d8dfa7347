"""The formats of `shotbench export`.

A format is a function from a run to its files: contents by path, relative to the output folder or the repository. It is
deterministic (the same run gives the same bytes), and raises `BadRun` if something that it needs is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lmms_eval_shotbench.export.deviations import require_result
from lmms_eval_shotbench.export.every_eval_ever import every_eval_ever
from lmms_eval_shotbench.export.exported_run import ExportedRun
from lmms_eval_shotbench.export.hub_results import hub_results
from lmms_eval_shotbench.export.inspect_log import inspect_log
from lmms_eval_shotbench.export.model_card import model_card

Files = Mapping[str, str | bytes]


@dataclass(frozen=True)
class Format:
    """One format."""

    files: Callable[[ExportedRun], Files]
    publishes: bool = True  # whether only results of the complete benchmark belong into it
    in_model_repository: bool = False  # whether its files have their place in the model's repository (--push)


FORMATS: dict[str, Format] = {
    "hub": Format(hub_results, in_model_repository=True),
    "every-eval-ever": Format(every_eval_ever),
    "inspect": Format(inspect_log, publishes=False),
    "model-card": Format(model_card, in_model_repository=True),
}


def exported_files(run: ExportedRun, name: str) -> Files:
    """Return the files of a format.

    Raises:
        BadRun: The run is not a result of the complete benchmark, or something that the format needs is not known.
    """
    chosen = FORMATS[name]
    if chosen.publishes:
        require_result(run)
    return chosen.files(run)
