"""Complete runs of `shotbench eval` with `shotvl` on a server, which is down at the start or ends in mid-run."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.host, pytest.mark.slow, pytest.mark.timeout(600)]
pytest.importorskip("lmms_eval")
pytest.importorskip("torch")

from lmms_eval_shotbench.models.server_requests import IN_EFFECT
from lmms_eval_shotbench.qwen.input_rules import read_input_rules
from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE
from tests.harness.test_lmms_eval import isolated_caches, read_scores  # noqa: F401
from tests.support import openai_server
from tests.support.openai_server import ANSWER, Request
from tests.support.ports import refusing_port
from tests.support.qwen_server import MODEL, QwenEndpoint
from tests.support.small_shards import write_small_shards
from tests.support.warm_runs import warm

QUESTIONS = {SHOT_SIZE.slug: 9, CAMERA_MOVEMENT.slug: 3}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_shards(tmp_path_factory.mktemp("small") / "shards", QUESTIONS)


@pytest.fixture
def endpoint() -> Iterator[QwenEndpoint]:
    with openai_server.serve(QwenEndpoint(rules=read_input_rules(str(TINY_SHOTVL)))) as served:
        yield served


def run(shards: Path, out: Path, url: str) -> tuple[int | None, str]:
    """Exit status and output of an evaluation."""
    model_args = f"pretrained={TINY_SHOTVL},device=cpu,engine=server,base_url={url},model={MODEL},concurrency=2"
    arguments = ["eval", "--model", "shotvl", "--model_args", model_args]
    log = out.with_suffix(".log")
    process = warm([*arguments, "--tasks", "shotbench", "--data", str(shards), "--out", str(out)], log)
    process.join()
    return process.exitcode, log.read_text()


def number_of(request: Request) -> str:
    return re.findall(r"Number (\d+)", request.text)[0]


@pytest.mark.usefixtures("isolated_caches")
def test_a_server_that_ends_loses_nothing_and_the_same_command_asks_the_rest(
    shards: Path, tmp_path: Path, endpoint: QwenEndpoint
) -> None:
    listed = dict(endpoint.listed)

    def script(_: Request) -> int:
        if len(endpoint.questions) <= 5:
            return ANSWER
        endpoint.listed.clear()
        return 503

    endpoint.script = script
    status, printed = run(shards, tmp_path / "out", endpoint.url)
    assert status == 1
    assert f"the server at {endpoint.url} no longer answers: HTTP 404" in printed
    assert "the same command asks only the rest" in printed
    assert not (tmp_path / "out" / "scores.json").exists()
    answered = sum(len(path.read_text().splitlines()) for path in (tmp_path / "out" / "responses").iterdir())
    assert answered == 5

    endpoint.listed |= listed
    endpoint.script = [ANSWER]
    endpoint.requests.clear()
    status, printed = run(shards, tmp_path / "out", endpoint.url)
    assert status == 0, printed
    asked = Counter(map(number_of, endpoint.questions))
    assert asked.total() == len(asked) == sum(QUESTIONS.values()) - 5
    recorded: Any = json.loads((tmp_path / "out" / "scores.json").read_text())["run"]["engines"]
    (engine,) = recorded.values()
    assert engine["engine"] == "server"
    assert engine["server"] == "vllm 0.24.0"
    assert engine["model"] == MODEL
    assert engine["time_positions"] == IN_EFFECT


@pytest.mark.usefixtures("isolated_caches")
def test_a_server_that_is_down_is_one_line_and_nothing_is_written(shards: Path, tmp_path: Path) -> None:
    with refusing_port() as port:
        status, printed = run(shards, tmp_path / "out", f"http://127.0.0.1:{port}/v1")
    assert status == 1
    (line,) = (line for line in printed.splitlines() if str(port) in line)
    assert "does not answer: connection failed" in line
    assert "Traceback" not in printed
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
