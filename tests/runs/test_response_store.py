"""Stored responses survive an interrupted run and match only identical settings."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.runs import response_store
from lmms_eval_shotbench.runs.response_store import Response, ResponseStore, response_key
from lmms_eval_shotbench.runs.run_time import WallClock

RESPONSE = Response("<think>Wide.</think><answer>B</answer>", 1400, 9, "stop", 0.25)
SETTINGS: dict[str, Any] = {
    "messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Question: …"}]}],
    "media": [["still", "ab12"]],
    "how": {"max_new_tokens": 1024, "stop_strings": []},
    "revision": "c0ffee",
    "shown": {"fps": 12.0},
    "computed": ["torch.float32", "sdpa", "5.9.0"],
}


def kept(store: ResponseStore, key: str) -> Response | None:
    """The response stored under this key, without its share of the wall time."""
    found = store.get(key)
    return found and found._replace(wall_seconds=None)


def test_a_key_covers_every_setting() -> None:
    key = response_key(SETTINGS)
    assert key == response_key(dict(reversed(SETTINGS.items())))
    changed = [SETTINGS | {name: "another"} for name in SETTINGS]
    assert len({key, *map(response_key, changed)}) == 1 + len(SETTINGS)


def test_another_run_finds_the_responses_of_all_ranks(tmp_path: Path) -> None:
    for rank in (0, 1):
        ResponseStore(tmp_path, rank).keep({f"key {rank}": RESPONSE})
    store = ResponseStore(tmp_path, rank=0)
    assert [kept(store, f"key {rank}") for rank in (0, 1, 2)] == [RESPONSE, RESPONSE, None]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_an_incomplete_line_loses_only_its_own_response(
    tmp_path: Path, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    ResponseStore(tmp_path).keep({"first": RESPONSE, "second": RESPONSE})
    path = tmp_path / "rank-0.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    with caplog.at_level(logging.WARNING):
        again = ResponseStore(tmp_path)
    assert (kept(again, "first"), kept(again, "second")) == (RESPONSE, RESPONSE if cut == 1 else None)
    again.keep({"third": RESPONSE})
    last = ResponseStore(tmp_path)
    assert (kept(last, "first"), kept(last, "third")) == (RESPONSE, RESPONSE)
    assert ("incomplete lines" in caplog.text) == (cut > 1)


def test_any_text_is_restored_unchanged(tmp_path: Path) -> None:
    texts = ["", "\n", "\ud83c", "</answer>\u2028\x00", "é" * 5000]
    ResponseStore(tmp_path).keep({str(n): Response(text, 1, 2) for n, text in enumerate(texts)})
    store = ResponseStore(tmp_path)
    assert [kept(store, str(n)) for n in range(len(texts))] == [Response(text, 1, 2) for text in texts]


def test_responses_in_quick_succession_are_written_at_once_and_wait_for_the_disk_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []
    monkeypatch.setattr("os.fsync", waits.append)
    for seconds, expected in ((3600.0, 1), (0.0, 3)):
        monkeypatch.setattr(response_store, "SYNC_SECONDS", seconds)
        waits.clear()
        store = ResponseStore(tmp_path, rank=expected)
        for number in range(3):
            store.keep({f"{seconds} {number}": RESPONSE})
            assert kept(ResponseStore(tmp_path), f"{seconds} {number}") == RESPONSE  # read from the file
        assert len(waits) == expected


def test_lines_of_another_format_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "rank-0.jsonl").write_text(json.dumps({"key": "k", "reply": "B"}) + "\n[1]\n\n")
    assert ResponseStore(tmp_path).get("k") is None


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = ResponseStore(None)
    store.keep({"key": RESPONSE})
    assert kept(store, "key") == RESPONSE
    assert not list(tmp_path.iterdir())


def test_responses_of_an_earlier_version_have_no_times(tmp_path: Path) -> None:
    line = {"key": "k", "text": "B", "input_tokens": 4, "output_tokens": 2, "finish_reason": "stop"}
    (tmp_path / "rank-0.jsonl").write_text(json.dumps(line) + "\n")
    assert ResponseStore(tmp_path).get("k") == Response("B", 4, 2, "stop", None, None)


def test_the_wall_time_of_a_run_is_divided_among_its_stored_responses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 6.0, 7.0, 100.0, 104.0])
    monkeypatch.setattr(response_store, "WALL", WallClock(lambda: next(now)))
    store = ResponseStore(tmp_path)
    store.keep({"a": RESPONSE, "b": RESPONSE, "c": RESPONSE})  # loading the model is a part of these
    assert store.keep({}) == {}
    assert store.keep({"d": RESPONSE}) == {"d": RESPONSE._replace(wall_seconds=1.0)}
    response_store.WALL.restart()  # another run continues this one, much later
    resumed = ResponseStore(tmp_path)
    resumed.keep({"e": RESPONSE})
    found = [ResponseStore(tmp_path).get(key) for key in "abcde"]
    assert [one and one.wall_seconds for one in found] == [2.0, 2.0, 2.0, 1.0, 4.0]


def test_ranks_share_the_wall_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 6.0])
    monkeypatch.setattr(response_store, "WALL", WallClock(lambda: next(now)))
    monkeypatch.setenv("WORLD_SIZE", "2")
    kept = ResponseStore(None, rank=1).keep({"a": RESPONSE})
    assert kept["a"].wall_seconds == 3.0
