"""The checksum of a shard folder's files: BLAKE3, cryptographic like SHA-256 and two to three times as fast to compute.

Anybody can compare it: `b3sum data/*.parquet` prints what the manifest lists.
"""

from __future__ import annotations

import hashlib
from pathlib import Path


def file_blake3(path: Path) -> str:
    """Checksum of a file, read in pieces, in hexadecimal."""
    from blake3 import blake3

    with path.open("rb", 0) as stream:
        return hashlib.file_digest(stream, blake3).hexdigest()  # type: ignore[arg-type]  # asks for more than it uses
