"""Generated ShotQA releases: rows in the published layout, the archive, and faults in either."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE, Dimension
from tests.support import REPOSITORY

sys.path.append(str(REPOSITORY / "benchmarks"))  # contains the generator of the large test release

Members = Iterable[tuple[str, bytes]]
OPTIONS = ("Wide", "Close Up", "Medium", "Extreme Wide")
MOVES = ("Pan left", "Boom up", "Arc", "Zoom in")


def prompt(dimension: Dimension = SHOT_SIZE, options: Iterable[str] = OPTIONS) -> str:
    """Return the user's text as published, without the media tag."""
    lines = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCDEFGH", options, strict=False))
    return (
        f"Question: {dimension.question}\nOptions:\n{lines}\n"
        "Please select the most likely answer from the options above."
    )


def still_row(name: str, text: str = "", letter: str = "B", **changes: Any) -> dict[str, Any]:
    """Return a row of grpo.json about a still."""
    messages = [{"role": "user", "content": f"<image>{text or prompt()}"}]
    return {"messages": messages, "images": [f"images/{name}"], "solution": f"<answer>{letter}</answer>"} | changes


def clip_row(name: str, options: Iterable[str] = MOVES, letter: str = "B") -> dict[str, Any]:
    """Return a row of grpo.json about a clip."""
    messages = [{"role": "user", "content": f"<video>{prompt(CAMERA_MOVEMENT, options)}"}]
    return {"messages": messages, "videos": [f"videos/{name}"], "solution": f"<answer>{letter}</answer>"}


def shotqa(
    folder: Path,
    members: Members = (),
    *,
    grpo: Iterable[Any] = (),
    sft: Iterable[Any] = (),
    meta: Iterable[dict[str, Any]] = (),
    special: Iterable[tarfile.TarInfo] = (),
) -> Path:
    """Write a release folder with these rows and files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "grpo.json").write_text(json.dumps(list(grpo)))
    (folder / "sft.json").write_text(json.dumps(list(sft)))
    (folder / "meta.jsonl").write_text("".join(json.dumps(row) + "\n" for row in meta))
    with tarfile.open(folder / "data.tar.gz", "w:gz", compresslevel=1) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in special:
            tar.addfile(member)
    return folder


def link(name: str, target: str) -> tarfile.TarInfo:
    """Return a symbolic link as an archive member."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


def checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a shard folder, by relative path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
