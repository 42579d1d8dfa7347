"""`shotvl` on vLLM's server, as its CPU build serves a checkpoint: greedy responses are those of transformers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytestmark = pytest.mark.vllm
pytest.importorskip("vllm")
pytest.importorskip("torch")
import torch

from lmms_eval_shotbench import prompts
from lmms_eval_shotbench.media.stored_medium import StoredMedium
from lmms_eval_shotbench.models.chats import Chat, read_chat
from lmms_eval_shotbench.models.engines import EngineSettings, open_engine
from lmms_eval_shotbench.models.planning import Planner
from lmms_eval_shotbench.models.server_requests import CHECKED, IN_EFFECT
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.qwen.inputs import MediaLimits
from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL
from lmms_eval_shotbench.runs.response_store import Answer
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support import REPOSITORY
from tests.support.engine_answers import engine_answers
from tests.support.ports import free_port
from tests.support.tiny_families.trainable import make_trainable

SMALL = MediaLimits(still_min=3136, still_max=30_000, clip_min=784, clip_max=8_000)
RATES = (2.0, 8.0, 12.0, 23.976)
TIME_POSITIONS = {"qwen2_5_vl": IN_EFFECT, "qwen3_vl": CHECKED}
NAMES = {MediaKind.STILL: "image", MediaKind.CLIP: "video"}
OPTIONS = ("--dtype", "float32", "--enforce-eager", "--max-num-seqs", "8", "--served-model-name", "tiny")
VARIABLES = {"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
START_SECONDS = 900  # at most, on a busy machine


class Served(NamedTuple):
    """A checkpoint, and the address of its server."""

    family: str
    folder: Path
    url: str


@pytest.fixture(scope="module", params=TIME_POSITIONS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    family, folder = request.param, tmp_path_factory.mktemp(request.param)
    checkpoint = TINY_SHOTVL if family == "qwen2_5_vl" else make_trainable(family, folder / "model")
    address, log = f"127.0.0.1:{(port := free_port())}", folder / "log"
    command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(checkpoint), *OPTIONS]
    paths = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    with log.open("wb") as stream:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=os.environ | VARIABLES | {"PYTHONPATH": paths},
        )
    try:
        _wait_until_healthy(server, f"http://{address}/health", log)
        yield Served(family, checkpoint, f"http://{address}/v1")
    finally:
        server.terminate()
        server.wait()


def _wait_until_healthy(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    for _ in range(START_SECONDS):
        try:
            urllib.request.urlopen(url).close()
        except (urllib.error.URLError, ConnectionError):
            assert server.poll() is None, log.read_text()[-3000:]
            time.sleep(1)
        else:
            return
    pytest.fail(f"vLLM's server did not start: {log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def chats(studio_shards: Path) -> list[Chat]:
    """Eight questions on stills, and four on clips."""
    shards = ShardFolder(studio_shards)
    found = list(shards.items())
    stills, clips = ([item for item in found if item.media_kind is kind] for kind in MediaKind)
    asked = []
    for item in [*stills[:: len(stills) // 8][:8], *clips[:: len(clips) // 4][:4]]:
        medium = StoredMedium.of(item.media_kind, "", partial(shards.media, item.item_id))
        messages = prompts.messages(item, prompts.REASONING, [{"type": NAMES[item.media_kind], "url": medium}])
        asked.append(read_chat(messages, {"max_new_tokens": 24}))
    return asked


def answers(served: Served, engine: str, chats: Sequence[Chat], limits: MediaLimits) -> tuple[list[Answer], Any]:
    """Answers of an engine, and the engine."""
    further = {"base_url": served.url, "model": "tiny"} if engine == "server" else {}
    settings = EngineSettings(str(served.folder), None, torch.device("cpu"), "auto", {"batch_tokens": None}, further)
    opened, planner = open_engine(engine, settings, lambda rules: Planner(rules, limits, workers=1))
    return engine_answers(opened, planner, chats), opened


@pytest.mark.parametrize("fps", RATES)
def test_greedy_responses_are_those_of_transformers(served: Served, chats: list[Chat], fps: float) -> None:
    asked = chats if fps == RATES[0] else chats[-4:]
    limits = SMALL._replace(fps=fps)
    ours, engine = answers(served, "server", asked, limits)
    assert ours == answers(served, "transformers", asked, limits)[0]
    assert len(set(ours)) > len(ours) / 2, "identical responses to all prompts would prove nothing"
    assert engine.provenance["time_positions"] == TIME_POSITIONS[served.family]
    assert engine.provenance["server"].startswith("vllm ")
