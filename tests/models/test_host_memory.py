"""How many tokens of media an engine keeps in host memory."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")

from lmms_eval_shotbench.models import host_memory
from lmms_eval_shotbench.models.host_memory import available_memory, tokens_in_host_memory
from lmms_eval_shotbench.qwen.inputs import PatchRule

GIB = 2**30
RULE = PatchRule(side=14, merge=2, frames=2, mean=(0.5,) * 3, std=(0.5,) * 3)
BYTES_A_TOKEN = 2 * 2 * 3 * 2 * 14 * 14


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 64 GiB available; returns the file with the limit of its container, which is not there."""
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(free=1024, available=64 * GIB))
    monkeypatch.setattr(host_memory, "CONTAINER_LIMIT", tmp_path / "memory.max")
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    return tmp_path / "memory.max"


@pytest.mark.parametrize(("limit", "gibibytes"), [("", 64), ("max\n", 64), (f"{8 * GIB}\n", 8), (f"{99 * GIB}\n", 64)])
def test_a_container_has_at_most_its_limit(machine: Path, limit: str, gibibytes: int) -> None:
    if limit:
        machine.write_text(limit)
    assert available_memory() == gibibytes * GIB


def test_the_ranks_of_a_machine_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tokens_in_host_memory(RULE, 4, 99 * GIB) == 16 * GIB // (4 * BYTES_A_TOKEN)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert tokens_in_host_memory(RULE, 4, 99 * GIB) == 2 * GIB // (4 * BYTES_A_TOKEN)
    assert tokens_in_host_memory(RULE, 4, GIB) == GIB // (4 * BYTES_A_TOKEN)


def test_some_media_are_kept_however_little_memory_there_is(machine: Path) -> None:
    machine.write_text("1000\n")
    assert tokens_in_host_memory(RULE, 4, GIB) == host_memory.MIN_TOKENS
