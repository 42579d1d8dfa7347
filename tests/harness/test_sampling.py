"""`shotbench eval --samples K`: which options contradict each other, what models are asked, and what is scored."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.harness.eval_plan import EvaluationError
from lmms_eval_shotbench.harness.recorder import SamplePlan
from lmms_eval_shotbench.harness.sampling import (
    SAMPLES_TEMPERATURE,
    first_seed,
    given_generation_settings,
    sampling_temperature,
)
from tests.support.openai_server import Endpoint, serve


def test_one_response_is_generated_by_the_tasks_settings_and_several_are_sampled() -> None:
    assert sampling_temperature(1, None, ["--gen_kwargs", "temperature=1,seed=3"]) is None
    assert sampling_temperature(4, None) == SAMPLES_TEMPERATURE > 0
    assert sampling_temperature(4, 1.2, ["--gen_kwargs=max_new_tokens=64", "--seed", "3"]) == 1.2
    assert (sampling_temperature(1, 0.7), sampling_temperature(1, 0)) == (0.7, 0)


@pytest.mark.parametrize(
    ("samples", "temperature", "passed_on", "model", "message"),
    [
        (4, 0.0, [], "shotvl", "--samples 4 with --temperature 0: greedy decoding gives 4 equal responses"),
        (4, None, ["--gen_kwargs", "temperature=1"], "shotvl", "--gen_kwargs sets temperature"),
        (1, 0.5, ["--gen_kwargs=top_p=1,seed=3,temperature=0"], "shotvl", "--gen_kwargs sets temperature, seed"),
        (1, -0.5, [], "shotvl", "--temperature -0.5: give 0 (greedy) or more"),
        (1, float("nan"), [], "shotvl", "--temperature nan"),
        (2, None, [], "replay", "stored responses are not sampled"),
    ],
)
def test_contradicting_options_are_refused(
    samples: int, temperature: float | None, passed_on: list[str], model: str, message: str
) -> None:
    with pytest.raises(EvaluationError) as refused:
        sampling_temperature(samples, temperature, passed_on, model=model)
    assert message in str(refused.value)


def test_a_configuration_file_may_not_set_generation_settings_of_samples(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("gen_kwargs: max_new_tokens=64\n")
    with pytest.raises(EvaluationError, match="sets gen_kwargs"):
        sampling_temperature(2, None, config=config)
    config.write_text("batch_size: 4\n")
    assert sampling_temperature(2, None, config=config) == SAMPLES_TEMPERATURE


def test_the_first_seed_is_that_of_lmms_eval() -> None:
    assert first_seed([]) == 0 and first_seed(["--seed", "7"]) == first_seed(["--seed=7", "-b", "4"]) == 7
    with pytest.raises(EvaluationError, match="1,2,3"):
        first_seed(["--seed", "1,2,3"])
    assert given_generation_settings(["--gen_kwargs", "a=1", "--limit", "3", "--gen_kwargs=b=2"]) == {"b": "2"}


def test_questions_and_samples_have_seeds_of_their_own_that_repeat_with_the_first() -> None:
    """One seed for all questions would let a model make the same random choices in each."""

    def seeds(first: int) -> list[int]:
        sampling = SamplePlan(4, 0.6, first)
        return [
            sampling.settings({"max_new_tokens": 9}, sample, f"task {question}")["seed"]
            for question in range(50)
            for sample in range(1, 5)
        ]

    assert len(set(seeds(1))) == 200 and seeds(1) == seeds(1) and not set(seeds(1)) & set(seeds(5))
    assert all(0 <= seed < 2**31 for seed in seeds(1))
    assert SamplePlan(4, 0.6, 10).settings({}, 3) == {"temperature": 0.6, "do_sample": True, "seed": 12}
    assert SamplePlan().settings({"temperature": 0}, 1) == {"temperature": 0}


# ---------------------------------------------------------------------------------------------------- inside lmms-eval


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    with serve(Endpoint()) as endpoint:
        yield endpoint


def run_eval(out: Path, data: Path, *more: str) -> int:
    return main(["eval", "--data", str(data), "--out", str(out), "--verbosity", "WARNING", *more])


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "samples.jsonl").read_text(encoding="utf-8").splitlines()]


def read_scores(out: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    return loaded


@pytest.mark.host
def test_a_server_is_asked_each_question_k_times_with_seeds_of_their_own(
    endpoint: Endpoint, studio_shards: Path, tmp_path: Path
) -> None:
    pytest.importorskip("lmms_eval")
    model = ("--model", "openai", "--model_args", f"model=m,base_url={endpoint.url},max_retries=1")
    asked = ("--tasks", "shotbench_shot_size", "--limit", "3", *model, "--samples", "4", "--seed", "5")
    assert run_eval(tmp_path / "run", studio_shards, *asked) == 0
    bodies = [request.body for request in endpoint.requests]
    assert len(bodies) == len({body["seed"] for body in bodies}) == 12
    assert {body["temperature"] for body in bodies} == {SAMPLES_TEMPERATURE}
    rows = lines(tmp_path / "run")
    assert Counter(row["sample"] for row in rows) == dict.fromkeys((1, 2, 3, 4), 3)
    assert [row["sample"] for row in rows[:5]] == [1, 2, 3, 4, 1]
    scores = read_scores(tmp_path / "run")
    assert (scores["n"], scores["samples"]["k"], scores["samples"]["temperature"]) == (3, 4, SAMPLES_TEMPERATURE)
    assert {name: scores["run"][name] for name in ("samples", "temperature", "seed")} == {
        "samples": 4, "temperature": SAMPLES_TEMPERATURE, "seed": 5
    }  # fmt: skip
    assert run_eval(tmp_path / "run", studio_shards, *asked) == 0 and len(endpoint.requests) == 12
    assert run_eval(tmp_path / "run", studio_shards, *asked, "--temperature", "0") == 2


@pytest.mark.host
@pytest.mark.slow
def test_the_scores_are_those_of_runs_with_each_seed(
    studio_shards: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lmms_eval")
    model = ("--model", "shotvl", "--model_args", f"pretrained={tiny_model},device=cpu", "--limit", "4")
    asked = ("--tasks", "shotbench_reasoning_shot_size,shotbench_reasoning_composition", *model)
    sampled = ("--samples", "2", "--temperature", "2", "--seed", "10")
    assert run_eval(tmp_path / "sampled", studio_shards, *asked, *sampled) == 0
    runs = [tmp_path / f"seed{seed}" for seed in (10, 11)]
    for seed, out in zip((10, 11), runs, strict=True):
        assert run_eval(out, studio_shards, *asked, "--gen_kwargs", f"temperature=2,seed={seed}") == 0
    texts = {(row["index"], row["sample"]): row["response"] for row in lines(tmp_path / "sampled")}
    assert texts == {
        (row["index"], number): row["response"] for number, out in enumerate(runs, start=1) for row in lines(out)
    }
    assert len(set(texts.values())) > len(texts) // 3  # the samples differ
    scores = read_scores(tmp_path / "sampled")
    for responses in ([tmp_path / "sampled" / "samples.jsonl"], [out / "samples.jsonl" for out in runs]):
        capsys.readouterr()
        assert main(["score", str(studio_shards), *map(str, responses), "--format", "json"]) == 1  # others not asked
        again = {item["index"]: item for item in json.loads(capsys.readouterr().out)["items"]}
        assert [again[item["index"]] for item in scores["items"]] == scores["items"]
