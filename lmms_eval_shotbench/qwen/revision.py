"""Which weights a model name stands for: the Hub's commit, or a digest of a local folder. Needs no torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lmms_eval_shotbench.model_args import parse_model_args

SMALL_FILE = 16_000_000  # bytes; larger ones hold weights
NAMES = ("pretrained", "model", "model_version", "model_name_or_path")  # what lmms-eval's models call their checkpoint


def revision_in_use(model_args: str) -> str:
    """The revision of the checkpoint that these arguments of lmms-eval name; "" where it is not on this machine.

    A name of the Hub is looked up in its local cache, where loading it has put it; nothing is fetched.
    """
    given = parse_model_args(model_args)
    named = next((given[name] for name in NAMES if given.get(name)), "")
    if not named:
        return ""
    folder = Path(named).expanduser()
    return f"folder {folder_digest(folder)[:16]}" if folder.is_dir() else _cached_commit(named, given.get("revision"))


def _cached_commit(repository: str, revision: str | None) -> str:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(repository, "config.json", revision=revision)
    except HFValidationError:  # the name of an API's model, or of anything else
        return ""
    return Path(config).parent.name if isinstance(config, str) else ""  # …/snapshots/COMMIT/config.json


def folder_digest(folder: Path) -> str:
    """Name a local checkpoint: small files by content, weights by size and time of change.

    Reading 15 GB of weights would cost more than loading them, and a training run that writes anew changes their time.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*")):
        if path.is_file():
            found = path.stat()
            digest.update(f"{path.name} {found.st_size} ".encode())
            small = found.st_size <= SMALL_FILE and path.suffix != ".safetensors"
            digest.update(path.read_bytes() if small else str(found.st_mtime_ns).encode())
    return digest.hexdigest()
