"""Checksums of a run's data and start model, so that a run recognizes them under another path."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from lmms_eval_shotbench.model_args import format_model_args
from lmms_eval_shotbench.questions.shards import MANIFEST, locate_shards
from lmms_eval_shotbench.qwen.revision import revision_in_use

BLOCK, BLOCKS = 4096, 1024  # of a file larger than 4 MB, this many blocks of this many bytes, evenly distributed
NOT_OF_THE_MODEL = ("merged_from.json", "README.md")  # the first contains the path of a run


def data_checksum(data: str) -> str:
    """Checksum of the questions and media of a shard folder or Hub id, from its manifest.

    Raises:
        DatasetNotFound: There are no such shards.
    """
    files = json.loads((locate_shards(data) / MANIFEST).read_text(encoding="utf-8"))["files"]
    data_files = {name: listed for name, listed in files.items() if name.startswith("data/")}
    return hashlib.sha256(json.dumps(data_files, sort_keys=True).encode()).hexdigest()


def model_checksum(model: str) -> str | None:
    """Checksum of a model folder, or the commit of a Hub id in the local cache; None if it is not cached.

    The weights are sampled: reading them completely would take longer than loading them. Training changes all values of
    a tensor, and a tensor of a model of billions of parameters is longer than the distance of two samples.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return revision_in_use(format_model_args({"pretrained": model})) or None
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name not in NOT_OF_THE_MODEL and not path.name.startswith("."):
            digest.update(f"{path.name} {path.stat().st_size} ".encode())
            digest.update(_sampled(path))
    return digest.hexdigest()


def _sampled(path: Path) -> bytes:
    size = path.stat().st_size
    if size <= BLOCK * BLOCKS:
        return path.read_bytes()
    with path.open("rb") as file:
        blocks = []
        for number in range(BLOCKS):
            file.seek((size - BLOCK) * number // (BLOCKS - 1))
            blocks.append(file.read(BLOCK))
    return b"".join(blocks)
