"""What an evaluation cost, for each way in which a backend is asked; a resumed run has the cost of all of its parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.host, pytest.mark.timeout(900)]
pytest.importorskip("lmms_eval")
pytest.importorskip("openai")

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL
from tests.harness.test_lmms_eval import isolated_caches, read_scores  # noqa: F401
from tests.support.killed_evaluations import answered
from tests.support.openai_server import ANSWER, NULL, Endpoint, serve
from tests.support.small_shards import write_small_shards

NUMBERS = {"shot_size": 3, "camera_movement": 2}  # stills and clips, in two passes
ITEMS = sum(NUMBERS.values())
PROMPT, REPLY = 10, 1  # tokens that the server reports
PRICES = ("--price-in", "2", "--price-out", "8", "--currency", "EUR")


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve(Endpoint(answer=lambda request: answered(request.text))) as endpoint:
        yield endpoint


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return write_small_shards(tmp_path / "shards", NUMBERS)


def run(data: Path, out: Path, model: str, arguments: str, *more: str, tasks: str = "shotbench") -> int:
    words = ["--model", model, "--model_args", arguments, "--data", str(data), "--out", str(out)]
    return main(["eval", *words, "--tasks", tasks, "--verbosity", "CRITICAL", *more])


def served(endpoint: Endpoint, more: str = "num_concurrent=4,num_cpus=4") -> str:
    return f"model=m,base_url={endpoint.url},api_key=none,retry_backoff_s=0,max_retries=3,{more}"


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "samples.jsonl").read_text(encoding="utf-8").splitlines()]


def known(cost: dict[str, Any]) -> dict[str, int]:
    return {name: cost[name]["known"] for name in ("input_tokens", "output_tokens", "seconds", "wall_seconds")}


def check_sums(out: Path, cost: dict[str, Any]) -> None:
    """The numbers of a cost are the sums over samples.jsonl, and the model is busy for no longer than the run takes."""
    for name in ("input_tokens", "output_tokens", "seconds", "wall_seconds"):
        values = [row[name] for row in rows(out) if name in row]
        assert cost[name]["total"] == (pytest.approx(sum(values)) if values else None)
        assert cost[name]["known"] == len(values)
    assert 0 < cost["seconds"]["total"] <= cost["wall_seconds"]["total"]


@pytest.mark.parametrize("model", ["openai", "async_openai"])
def test_a_resumed_run_has_the_tokens_and_the_time_of_all_of_its_parts(
    endpoint: Endpoint, shards: Path, tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, arguments = tmp_path / "out", served(endpoint)
    assert run(shards, out, model, arguments, "--limit", "1") == 0
    part = {row["index"]: row for row in rows(out)}
    assert len(part) == 2 and read_scores(out)["cost"]["input_tokens"]["total"] == 2 * PROMPT

    # Each new request has a reply with null content first, and is asked again by the client.
    asked: set[str] = set()

    def null_first(request: Any) -> int:
        again = request.text in asked
        asked.add(request.text)
        return ANSWER if again else NULL

    endpoint.script = null_first
    assert run(shards, out, model, arguments, *PRICES) == 0
    cost, found = read_scores(out)["cost"], rows(out)
    assert [row for row in found if row["index"] in part] == list(part.values()), "stored ones keep what they took then"
    assert known(cost) == dict.fromkeys(known(cost), ITEMS)
    assert (cost["input_tokens"]["total"], cost["output_tokens"]["total"]) == (ITEMS * PROMPT, ITEMS * REPLY)
    assert cost["tokens_counted"] == 0
    check_sums(out, cost)
    assert cost["money"]["total"] == pytest.approx(ITEMS * (PROMPT * 2 + REPLY * 8) / 1e6)
    assert f"{PROMPT} in and {REPLY} out tokens a response; " in capsys.readouterr().out

    before = len(endpoint.requests)
    assert run(shards, tmp_path / "again", model, arguments, "--use_cache", str(out / "responses")) == 0
    assert len(endpoint.requests) == before
    again = read_scores(tmp_path / "again")["cost"]
    assert again == {name: value for name, value in cost.items() if name != "money"}, "of the responses, whoever asked"
    capsys.readouterr()
    assert main(["score", str(shards), str(tmp_path / "again" / "lmms_eval"), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["cost"] == again, "lmms-eval's own samples have the same"


def test_a_server_that_reports_no_usage_has_times_and_no_tokens(
    endpoint: Endpoint, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint.reports_usage = False
    for model in ("openai", "async_openai"):
        out = tmp_path / model
        assert run(shards, out, model, served(endpoint), *PRICES, tasks="shotbench_shot_size") == 0
        cost = read_scores(out)["cost"]
        assert known(cost) == {"input_tokens": 0, "output_tokens": 0, "seconds": 3, "wall_seconds": 3}
        assert cost["money"]["total"] is None
        check_sums(out, cost)
        printed = capsys.readouterr().out
        assert "cost: tokens unknown; " in printed and "price unknown, as tokens are" in printed


def test_samples_of_a_question_are_counted_each_and_an_identical_question_once(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.answer = "B"
    shards = write_small_shards(tmp_path / "shards", {"shot_size": 3})
    model = ("openai", served(endpoint), "--samples", "2")
    assert run(shards, tmp_path / "out", *model, tasks="shotbench_shot_size") == 0
    cost = read_scores(tmp_path / "out")["cost"]
    assert len(endpoint.requests) == cost["responses"] == 6 and cost["input_tokens"]["total"] == 6 * PROMPT
    check_sums(tmp_path / "out", cost)

    table = tmp_path / "twice.tsv"  # blind: two questions that differ in their medium only are one request
    header = "index\ttype\tpath\tquestion\toptions\tanswer\tcategory\n"
    cells = '"[""image""]"\t"[\'a{0}.png\']"\tWhat is it?\t"{{""A"": ""Wide"", ""B"": ""Medium""}}"\tB\tshot size\n'
    table.write_text(header + "".join(f"{number}\t{cells.format(number)}" for number in range(3)))
    before = len(endpoint.requests)
    assert run(table, tmp_path / "blind", "openai", served(endpoint), tasks="shotbench_blind_shot_size") == 0
    assert len(endpoint.requests) == before + 1
    cost = read_scores(tmp_path / "blind")["cost"]
    assert cost["input_tokens"] == {"total": PROMPT, "mean": pytest.approx(PROMPT / 3), "known": 3}
    assert sorted(row["seconds"] > 0 for row in rows(tmp_path / "blind")) == [False, False, True]
    assert [row["output_tokens"] for row in rows(tmp_path / "blind")] == [REPLY, 0, 0]


def test_models_in_this_process_have_the_same_tokens_whether_they_are_reported_or_counted(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = ("--gen_kwargs", "max_new_tokens=8")
    tiny = f"pretrained={TINY_SHOTVL},device=cpu"
    assert run(shards, tmp_path / "ours", "shotvl", tiny, *limit) == 0
    ours = read_scores(tmp_path / "ours")["cost"]
    assert known(ours) == dict.fromkeys(known(ours), ITEMS) and ours["tokens_counted"] == 0
    check_sums(tmp_path / "ours", ours)
    theirs = f"{tiny},device_map=cpu,min_pixels=3136"
    assert run(shards, tmp_path / "theirs", "qwen2_5_vl", theirs, *limit) == 0
    counted = read_scores(tmp_path / "theirs")["cost"]
    assert known(counted) == dict.fromkeys(known(counted), ITEMS) and counted["tokens_counted"] == ITEMS
    check_sums(tmp_path / "theirs", counted)
    stills = [
        [(row["input_tokens"], row["output_tokens"], row["response"]) for row in rows(tmp_path / name)[:3]]
        for name in ("ours", "theirs")
    ]
    assert stills[0] == stills[1]
    clip = min(row["input_tokens"] for row in rows(tmp_path / "theirs")[3:])  # which lmms-eval scales otherwise
    assert clip > max(tokens for tokens, _, _ in stills[1])
    assert "out tokens a response (counted); " in capsys.readouterr().out

    # Which row of a batch is whose is unknown, and its time is divided equally.
    assert run(shards, tmp_path / "batch", "qwen2_5_vl", theirs, *limit, "--batch_size", "3") == 0
    cost = read_scores(tmp_path / "batch")["cost"]
    assert (cost["input_tokens"]["known"], cost["output_tokens"]["known"], cost["seconds"]["known"]) == (0, 0, ITEMS)
    assert len({row["seconds"] for row in rows(tmp_path / "batch")}) == len(NUMBERS)

    replayed = f"responses={tmp_path}/ours/samples.jsonl"
    assert run(shards, tmp_path / "replay", "replay", replayed) == 0
    assert read_scores(tmp_path / "replay")["cost"] == ours, "of the stored responses, not of the replay"
