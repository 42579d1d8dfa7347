"""Run the commands of the README, as they are, in a copy of the repository: `pytest -m readme`.

The comment before a block states how it is run here:

    <!-- test: run -->        as it is
    <!-- test: hub -->        as it is; the names on the Hub are folders here: a small release, and the tiny model
    <!-- test: films -->      as it is; a folder of stills and their annotation table are there
    <!-- test: endpoint -->   against a server of this test in place of http://localhost:8000
    <!-- test: dry-run -->    every command with --dry-run, as if this machine had eight GPUs, vLLM and a large disk

Blocks are run in order, since later ones use the results of earlier ones.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL
from lmms_eval_shotbench.vocabulary import DIMENSIONS, SHOT_SIZE, MediaKind
from tests.support import REPOSITORY

BLOCK = re.compile(
    r"(?:<!-- test: (?P<kind>.*?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL
)
SERVER = "http://localhost:8000/v1"
COPIED = shutil.ignore_patterns(".*", "__pycache__", "build", "demo", "dist")
SCRIPT = "set -euo pipefail\n"
DRY = {  # what a dry run adds to a command
    "make": "--dry-run",
    "pip": "--dry-run --no-index --no-build-isolation",
    "shotbench": "--dry-run ++ray_kwargs.ray_init.num_gpus=8 ++ray_kwargs.ray_init.num_cpus=128",
}

GPU_PACKAGES = "gpu_packages"  # an empty vllm, which a machine with GPUs has; nothing in a dry run uses it
LARGE_DISK = "import shutil\nshutil.disk_usage = lambda path: shutil._ntuple_diskusage(2**41, 0, 2**41)\n"  # at start


class Block(NamedTuple):
    """A block of commands in the README."""

    kind: str
    text: str

    def commands(self) -> list[str]:
        """Commands without their comments, continued lines joined."""
        lines = re.sub(r"\s*\\\n\s*", " ", self.text).splitlines()
        return [command for line in lines if (command := re.sub(r"\s+# .*", "", line).strip())]


def blocks() -> list[Block]:
    """All blocks of commands, in order."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    return [Block(found["kind"] or "", found["text"]) for found in BLOCK.finditer(text) if found["language"] == "bash"]


def test_every_block_of_commands_states_how_it_is_tested() -> None:
    assert {block.kind for block in blocks()} == {"run", "hub", "films", "endpoint", "dry-run"}
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(blocks()) == text.count("```") // 2 == text.count("<!-- test:")


@pytest.mark.readme
@pytest.mark.host
@pytest.mark.verl
@pytest.mark.ray
@pytest.mark.timeout(3600)
def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    for package in ("verl", "lmms_eval", "jinja2"):
        pytest.importorskip(package)
    folder = tmp_path / "repository"
    shutil.copytree(REPOSITORY, folder, ignore=COPIED)
    write_release(folder / "Vchitect" / "ShotBench")
    shutil.copytree(TINY_SHOTVL, folder / "Vchitect" / "ShotVL-3B")
    write_films(folder / "FILMS", folder / "annotations.csv")
    (folder / GPU_PACKAGES / "vllm").mkdir(parents=True)
    (folder / GPU_PACKAGES / "vllm" / "__init__.py").touch()
    (folder / GPU_PACKAGES / "sitecustomize.py").write_text(LARGE_DISK)
    for block in blocks():
        with commands_of(block) as commands:
            for command in commands:
                done = run(command, folder)
                assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
                if block.kind == "dry-run" and (out := re.search(r" --out (\S+)", command)):
                    # In place of the run that was not started, the model that it would have trained.
                    shutil.rmtree(folder / out[1], ignore_errors=True)
                    shutil.copytree(TINY_SHOTVL, folder / out[1])
    assert "<html" in (folder / "report" / "report.html").read_text(encoding="utf-8")


@contextmanager
def commands_of(block: Block) -> Iterator[list[str]]:
    """What is run for a block: the block itself, or its commands one by one as dry runs."""
    if block.kind == "dry-run":
        with_packages = f'export PYTHONPATH="$PYTHONPATH:$PWD/{GPU_PACKAGES}"\n'
        yield [f"{with_packages}{command} {DRY[command.split()[0]]}" for command in block.commands()]
    elif block.kind == "endpoint":
        from tests.support.openai_server import Endpoint, serve

        assert SERVER in block.text
        with serve(Endpoint(answer="<think>It shows.</think><answer>B</answer>")) as endpoint:
            yield [block.text.replace(SERVER, endpoint.url)]
            assert endpoint.requests
    else:
        yield [block.text]


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in the folder, with this interpreter's programs and the code in the folder, without the Hub."""
    variables = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "RAY_worker_niceness": "0",
        "OMP_NUM_THREADS": "1",
    }
    script = ["bash", "-c", SCRIPT + command]
    return subprocess.run(script, cwd=folder, env=os.environ | variables, capture_output=True, text=True)


def write_release(folder: Path) -> None:
    """A release in the layout of the official one: two questions about each of several media of each dimension."""
    from tests.support.releases import clip, line, still, tars

    rows, media = [], {}
    for number, dimension in enumerate(DIMENSIONS * 2):
        kind = "video" if dimension.media_kind is MediaKind.CLIP else "image"
        path = f"{kind}/{number}.{'mp4' if kind == 'video' else 'jpg'}"
        media[path] = clip(24) if kind == "video" else still(number, size=(320, 180))
        options = dict(zip("ABCD", [term.name for term in dimension.terms], strict=False))
        labels = {"question": dimension.question, "category": dimension.release_label}
        rows.append(line(number, path, options=json.dumps(options), answer="ABCD"[number % 4], **labels))
    tars(folder, rows, media)


def write_films(folder: Path, table: Path) -> None:
    """Stills of five films, sharp enough for the quality checks, and their annotation table."""
    import numpy
    from PIL import Image

    from tests.support.drawn_shots import drawn_film

    folder.mkdir()
    grain = numpy.random.default_rng(0).integers(-40, 40, (270, 480, 3))
    with table.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(["film_id", "media", SHOT_SIZE.slug])
        for film in range(1, 6):
            for shot in drawn_film(folder, film, 7):
                picture = Image.open(folder / shot.media_path).resize((480, 270))
                sharp = (numpy.asarray(picture) + grain).clip(0, 255).astype("uint8")
                Image.fromarray(sharp).save(folder / shot.media_path)
                writer.writerow([shot.film_id, shot.media_path, shot.labels[SHOT_SIZE.slug]])
