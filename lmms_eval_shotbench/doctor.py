"""Whether the installed packages can work, and what this machine has: the facts behind `shotbench doctor`.

The required versions are those of the installed package's own metadata (setup.cfg), one list for each extra. An extra
is installed if all its packages are; a package outside its range, or one that cannot be imported, is a problem.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from lmms_eval_shotbench.environment import CACHE_VARIABLE, cache_root
from lmms_eval_shotbench.progress import progress_bar

DISTRIBUTION = "lmms-eval-shotbench"
ENABLES = {  # by extra
    "data": "make question shards from releases, your own films or synthetic ones: shotbench data",
    "evaluate": "evaluate models through lmms-eval: shotbench eval",
    "lm-eval": "evaluate language models on the questions without media, through lm-eval",
    "train": "train models with verl: shotbench train",
    "report": "write HTML reports: shotbench report",
    "export": "write results for the Hub, model cards and other formats: shotbench export",
    "label": "label the shots of films with a model: shotbench label",
    "transnetv2": "detect cuts of your own films by TransNetV2: shotbench data films --detector transnetv2",
    "s3": "read films from and write shards to s3:// addresses: shotbench data films",
    "spreadsheets": "read predictions of the official script from spreadsheets (.xlsx)",
    "test": "run the tests",
    "browser": "run the tests of the report in Chromium",
    "check": "run the linter and the type checker",
    "docs": "build the documentation as a site",
}
COLLECTIONS = ("all", "dev", "eval", "xlsx")  # extras that name others together, or by a former name
# What commands import of each package; the modules behind them fail where a library of the system is missing.
IMPORTS = {
    "setuptools": "setuptools",  # torch compiles extensions with it
    "pyarrow": "pyarrow.parquet",
    "scipy": "scipy.stats",
    "av": "av",
    "datasets": "datasets",
    "decord": "decord",
    "numba": "numba",
    "ray": "ray.data",
    "scenedetect": "scenedetect",
    "qwen-vl-utils": "qwen_vl_utils",
    "torch": "torch",
    "torchvision": "torchvision",
    "transformers": "transformers",
    "lmms-eval": "lmms_eval.__main__",
    "lm-eval": "lm_eval.evaluator",
    "verl": "verl.trainer.main_ppo",
    "matplotlib": "matplotlib.pyplot",
}
OTHERS = ("flash-attn", "setuptools", "sglang", "vllm")  # shown if installed
IMPORT_SECONDS = 300


class Extra(NamedTuple):
    """An extra of the package, or its base requirements (name "")."""

    name: str
    required: Sequence[Requirement]

    @property
    def missing(self) -> list[str]:
        """Names of its packages that are not installed."""
        return [one.name for one in self.required if installed_version(one.name) is None]


def installed_version(name: str) -> str | None:
    """Version of a package; None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def extras() -> list[Extra]:
    """Return the base requirements, then every extra but `COLLECTIONS`.

    Raises:
        PackageNotFoundError: This package is run from a folder without being installed.
    """
    metadata = distribution(DISTRIBUTION)
    required = [Requirement(text) for text in metadata.requires or ()]
    names = ["", *(name for name in metadata.metadata.get_all("Provides-Extra", []) if name not in COLLECTIONS)]
    return [Extra(name, [one for one in required if _applies(one, name)]) for name in names]


def _applies(requirement: Requirement, extra: str) -> bool:
    """Whether a requirement belongs to an extra and not to the base, or to the base if `extra` is empty."""
    marker = requirement.marker
    in_base = marker is None or marker.evaluate({"extra": ""})
    return in_base if not extra else bool(not in_base and marker and marker.evaluate({"extra": extra}))


def version_problems(found: Iterable[Extra]) -> Iterator[str]:
    """Name packages outside the range that they must be in, and missing ones of the base requirements."""
    requires_python = distribution(DISTRIBUTION).metadata["Requires-Python"] or ""
    python = ".".join(map(str, sys.version_info[:3]))
    if python not in SpecifierSet(requires_python):
        yield f"Python {python} is not supported; use one that satisfies {requires_python}"
    conflicts: dict[tuple[str, str], list[str]] = {}
    for extra in found:
        if not extra.name and extra.missing:
            yield f"{', '.join(extra.missing)}: required but not installed; pip install {DISTRIBUTION}"
        for one in extra.required:
            installed = installed_version(one.name)
            if installed and not one.specifier.contains(installed, prereleases=True):
                conflicts.setdefault((one.name, str(one.specifier)), []).append(extra.name or "all commands")
    for (name, specifier), needed_by in conflicts.items():
        yield (
            f"{name} {installed_version(name)} is installed, but {specifier} is required ({', '.join(needed_by)}); "
            f"pip install '{name}{specifier}'"
        )


def import_problems(packages: Sequence[str]) -> Iterator[str]:
    """Import what commands import of each package, in processes of their own, and name what fails."""
    modules = [IMPORTS[package] for package in packages]
    with ThreadPoolExecutor(os.cpu_count()) as threads, progress_bar("imports", len(packages), "package") as bar:
        for package, module, error in zip(packages, modules, threads.map(_import_error, modules), strict=True):
            bar.update()
            if error:
                number = installed_version(package)
                advice = f"pip install --upgrade {package}, or the versions of constraints.txt, may repair it"
                yield f"{package} {number} is installed, but import {module} fails: {error}; {advice}"


def _import_error(module: str) -> str:
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", f"import {module}"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=IMPORT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"it takes more than {IMPORT_SECONDS} seconds"
    last = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
    return last[0] if done.returncode else ""


def packages_to_import(found: Iterable[Extra]) -> list[str]:
    """Installed packages of the base and of complete extras, among those that are imported to check them."""
    names = {one.name for extra in found if not extra.missing for one in extra.required} | {"setuptools"}
    return [name for name in IMPORTS if name in names and installed_version(name)]


def machine() -> Iterator[tuple[str, str]]:
    """Yield facts about this machine, by name."""
    yield "CPU cores", str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    yield "memory", _memory()
    free = shutil.disk_usage(Path.cwd()).free
    yield "disk", f"{_gigabytes(free)} free at {Path.cwd()}"
    yield "GPUs", _gpus()
    yield "FFmpeg", _ffmpeg()


def caches() -> Iterator[tuple[str, str]]:
    """Yield the folders of derived and downloaded files, by the variable that sets them."""
    hub = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    for name, folder in ((f"${CACHE_VARIABLE}", cache_root()), ("$HF_HOME", hub)):
        if not folder.is_dir():
            yield name, f"{folder} (does not exist yet)"
            continue
        files = (Path(root, file) for root, _, files in os.walk(folder) for file in files)
        used = sum(file.lstat().st_size for file in files)
        yield name, f"{folder}: {_gigabytes(used)}, {_gigabytes(shutil.disk_usage(folder).free)} free"


def _memory() -> str:
    path = Path("/proc/meminfo")
    if not path.is_file():
        return "unknown"
    rows = dict(line.split(":", 1) for line in path.read_text().splitlines())
    total, available = (int(rows[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    return f"{_gigabytes(total)}, {_gigabytes(available)} available"


def _gpus() -> str:
    if not shutil.which("nvidia-smi"):
        return "none found (no nvidia-smi)"
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True)
    return "; ".join(done.stdout.split("\n")[:-1]) or f"none found ({(done.stderr or done.stdout).strip()})"


def _ffmpeg() -> str:
    """FFmpeg of PyAV, which decodes and encodes everything here; torchcodec alone uses that of the system."""
    own = "none (PyAV is not installed)"
    if installed_version("av"):
        code = "import av; print(av.ffmpeg_version_info)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        own = f"{done.stdout.strip()} in PyAV" if done.returncode == 0 else "PyAV cannot be imported"
    system = shutil.which("ffmpeg")
    return f"{own}; of the system: {system or 'none (not needed)'}"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
