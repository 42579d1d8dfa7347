"""Pull requests on the Hub, against a local server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard, constants, parse_eval_result_entries

from lmms_eval_shotbench.cli import main
from tests.support.exported_runs import DATASET, make_run
from tests.support.hub_models import COMMIT, ModelRepository, model_server
from tests.support.ports import free_port

NAME = "our-lab/our-model"
CARD = "---\nlicense: mit\n---\n# Our model\n"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelRepository]:
    repository = ModelRepository(NAME, {"README.md": CARD.encode()})
    with model_server(repository) as endpoint:
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        address = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield repository


def push(run: Path, format: str, *options: str, name: str = NAME) -> int:
    return main(["export", str(run), "--format", format, "--dataset", DATASET, "--push", name, *options])


def test_results_are_proposed_at_the_head_of_the_model(
    hub: ModelRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(make_run(tmp_path), "hub") == 0
    (proposed,) = hub.pull_requests
    assert proposed["parent"] == COMMIT
    (text,) = proposed["files"].values()
    assert list(proposed["files"]) == [".eval_results/shots.yaml"]
    assert [one.task_id for one in parse_eval_result_entries(yaml.safe_load(text))][-1] == "shotbench"
    assert capsys.readouterr().out.startswith(f"opened: {constants.ENDPOINT}/{NAME}/discussions/1")


def test_the_models_own_card_is_updated(hub: ModelRepository, tmp_path: Path) -> None:
    assert push(make_run(tmp_path), "model-card") == 0
    card = hub.pull_requests[0]["files"]["README.md"].decode()
    assert card.endswith("direct -->\n") and "# Our model\n" in card
    assert ModelCard(card).data.license == "mit"
    assert ModelCard(card).data.model_name == "our-model"


def test_a_model_without_a_card_gets_one(hub: ModelRepository, tmp_path: Path) -> None:
    hub.files.clear()
    assert push(make_run(tmp_path), "model-card") == 0
    assert ModelCard(hub.pull_requests[0]["files"]["README.md"].decode()).data.eval_results


def test_a_card_that_cannot_be_read_is_not_replaced(
    hub: ModelRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.unreadable = True
    assert "--push our-lab/our-model: " in refused(make_run(tmp_path), capsys, "model-card")
    assert hub.pull_requests == []


@pytest.mark.parametrize("format", ["hub", "model-card"])
def test_the_same_results_are_proposed_once(
    hub: ModelRepository, tmp_path: Path, format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    assert [push(run, format), push(run, format)] == [0, 0]
    assert len(hub.pull_requests) == 1
    assert capsys.readouterr().out.splitlines()[1].startswith("already open: ")
    hub.files |= hub.pull_requests[0]["files"]
    hub.pull_requests[0]["status"] = "merged"
    assert push(run, format) == 0
    assert len(hub.pull_requests) == 1
    assert "has these results already" in capsys.readouterr().out


def test_other_results_are_proposed_beside_an_open_pull_request(hub: ModelRepository, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert [push(run, "hub"), push(run, "hub", "--protocol", "official", "--date", "2026-11-30")] == [0, 0]
    assert len({one["title"] for one in hub.pull_requests}) == 2


def refused(run: Path, capsys: pytest.CaptureFixture[str], format: str = "hub", name: str = NAME) -> str:
    assert push(run, format, name=name) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_without_a_token_the_hub_is_not_asked(
    hub: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "absent"))
    assert "log in with `hf auth login`" in refused(make_run(tmp_path), capsys)
    assert hub.requests == []


def test_a_run_that_is_no_result_is_refused_before_the_hub_is_asked(
    hub: ModelRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--allow-deviations" in refused(make_run(tmp_path, slice(0, 6)), capsys)
    assert hub.requests == []


def test_an_unknown_model_is_named(hub: ModelRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(make_run(tmp_path), capsys, name="our-lab/other")
    assert "--push our-lab/other: the Hub has no such model" in line


@pytest.mark.parametrize(("status", "advice"), [(403, "may not open pull requests"), (500, "try again later")])
def test_a_refused_commit_is_explained(
    hub: ModelRepository, tmp_path: Path, status: int, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.refused_with = status
    assert advice in refused(make_run(tmp_path), capsys)
    assert hub.pull_requests == []


def test_metadata_that_the_hub_refuses_is_quoted(
    hub: ModelRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.invalid_card = '"license" must be a string'
    assert '"license" must be a string' in refused(make_run(tmp_path), capsys, "model-card")
    assert hub.pull_requests == []


def test_a_hub_that_does_not_answer_is_no_traceback(
    hub: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free_port()}")
    assert "the Hub cannot be reached" in refused(make_run(tmp_path), capsys)
