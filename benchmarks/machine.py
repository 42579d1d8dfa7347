"""The common output of all benchmarks: the machine, and the figures in one format.

    python benchmarks/machine.py

A figure compares our cost with theirs, lower is better; a ratio above 1 is in our favour.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

PACKAGES = ("lmms-eval-shotbench", "lmms-eval", "torch", "transformers", "datasets", "pyarrow", "pandas", "numpy")
Figures = dict[str, dict[str, float]]


def machine() -> str:
    """Processor, memory, load, Python and versions of the relevant packages, on three lines."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"machine: {_processor()}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()} {platform.release()}\n"
        f"load before the run (1, 5, 15 minutes): {load}\n"
        f"Python {platform.python_version()}, {', '.join(_versions())}"
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _versions() -> list[str]:
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            versions.append(f"no {name}")
    return versions


def bytecode_in(folder: Path) -> dict[str, str]:
    """Environment in which Python writes its bytecode cache to `folder`, even if the machine disables it."""
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder)}


def figure(ours: float, theirs: float) -> dict[str, float]:
    """A figure of two costs and their ratio, with at least four significant digits."""
    return {"ours": _rounded(ours), "theirs": _rounded(theirs), "ratio": round(theirs / ours, 3)}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}") if abs(value) < 1000 else round(value, 1)


def print_figure(name: str, values: Mapping[str, float], remark: str = "") -> None:
    """Print one line of the table."""
    print(
        f"{name:34} ours {values['ours']:10,.2f}   theirs {values['theirs']:10,.2f}   ratio {values['ratio']:6.2f}"
        f"{f'   {remark}' if remark else ''}",
        flush=True,
    )


def print_json(figures: Figures) -> None:
    """Print the last line of --json."""
    print(json.dumps(figures), flush=True)


def main() -> int:
    """Run from the command line."""
    print(machine())
    return 0


if __name__ == "__main__":
    sys.exit(main())
