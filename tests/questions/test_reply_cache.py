"""The cache of replies: entries survive a kill at any byte, and no other file is accepted as a cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_pipeline.questions.reply_cache import CacheRefused, ReplyCache


def filled(path: Path) -> bytes:
    with ReplyCache(path) as cache:
        cache.add("a", "item-1", "first\nreply")
        cache.add("b", "item-2", "zweite Antwort: “ja”")
    return path.read_bytes()


def test_replies_are_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    filled(tmp_path / "new/replies.jsonl")
    with ReplyCache(tmp_path / "new/replies.jsonl") as cache:
        assert (len(cache), cache.reply("a"), cache.reply("c")) == (2, "first\nreply", None)
        assert cache.reply("b") == "zweite Antwort: “ja”"


def test_a_file_truncated_at_any_byte_loses_only_its_last_reply(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    complete = filled(path)
    first = complete.index(b"\n") + 1
    for length in range(len(complete)):
        path.write_bytes(complete[:length])
        with ReplyCache(path) as cache:
            assert len(cache) == (length >= first)
            cache.add("c", "item-3", "third")
        with ReplyCache(path) as cache:
            assert len(cache) == 1 + (length >= first)


@pytest.mark.parametrize("content", [b"id,shot\n1,a\n", b"{}\n", b"diary", b'{"key": 1, "reply": "x"}\n', b"\xff\n"])
def test_another_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine").write_bytes(content)
    with pytest.raises(CacheRefused, match="line 1 is no cached reply; move the file away"):
        ReplyCache(tmp_path / "mine")
    assert (tmp_path / "mine").read_bytes() == content


def test_two_runs_do_not_share_a_cache(tmp_path: Path) -> None:
    with ReplyCache(tmp_path / "replies.jsonl"), pytest.raises(CacheRefused, match="in use by another run"):
        ReplyCache(tmp_path / "replies.jsonl")
    filled(tmp_path / "replies.jsonl")


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CacheRefused, match="Is a directory"):
        ReplyCache(tmp_path)
