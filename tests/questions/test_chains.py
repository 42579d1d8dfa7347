"""Reasoning chains from an endpoint to shards: what is sent, kept and dropped, with reasons."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from data_pipeline.defects import DefectKind
from data_pipeline.questions.chain_prompts import CLIP_FRAMES, CLIP_PIXELS, STILL_PIXELS, offered_terms
from data_pipeline.questions.chain_requests import Endpoint
from data_pipeline.questions.chains import ChainReport, ChainsRefused, default_cache, write_chains
from data_pipeline.questions.knowledge import knowledge_of
from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.dataset_card import read_defects
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.grading.grade import grade
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import SHOT_SIZE
from tests.support import vision_server
from tests.support.items import make_item
from tests.support.judge_server import says
from tests.support.vision_server import ABOUT, KEY, Vision, chain, question, rows, small_shards, still, text_of

vision_endpoint = vision_server.vision_endpoint  # a fixture: pytest finds it by this name


def write(vision: Vision, shards: Path, out: Path, **changes: object) -> ChainReport:
    options = {name: changes.pop(name) for name in ("limit", "overwrite", "cache") if name in changes}
    endpoint = replace(Endpoint(vision.url, "some-model", concurrency=4), **changes)  # type: ignore[arg-type]
    return write_chains(str(shards), "sft", out, endpoint, **options)  # type: ignore[arg-type]


def test_every_item_gets_a_chain_and_is_otherwise_unchanged(vision_endpoint: Vision, tmp_path: Path) -> None:
    given = {row.item.item_id: row for row in rows(6)}
    report = write(vision_endpoint, small_shards(tmp_path / "in", 6), tmp_path / "out")
    assert (report.items, report.written, report.asked, report.without_reply) == (6, 6, 6, 0)
    shards = ShardFolder(tmp_path / "out", "cot_sft")
    items = list(shards.items())
    assert [item.item_id for item in items] == list(given)
    for item in items:
        assert replace(item, reasoning="") == given[item.item_id].item
        assert shards.media(item.item_id) == given[item.item_id].read()
        verdict = grade(item, item.reasoning)
        assert verdict.correct and verdict.well_formed


def test_the_prompt_contains_the_answer_and_the_meanings_of_the_offered_terms(
    vision_endpoint: Vision, tmp_path: Path
) -> None:
    write(vision_endpoint, small_shards(tmp_path / "in", 2), tmp_path / "out", max_tokens=77)
    request, item = vision_endpoint.sent(0), question(0)
    assert request.kinds == ["image_url", "text"]
    assert request.user[0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert (request.body["model"], request.body["max_tokens"]) == ("some-model", 77)
    text = text_of(request.body)
    assert f"the answer is {item.answer}. {item.gold}" in text
    for term in SHOT_SIZE.terms:
        offered = term.name in item.options
        assert (knowledge_of(SHOT_SIZE, term).recognise in text) is offered, term


def test_terms_of_compound_options_are_explained_once_and_yes_and_no_not_at_all() -> None:
    light = make_item(("Backlight, Silhouette", "Silhouette and Soft light"), "A", "lighting_condition")
    assert [term.name for term in offered_terms(light)] == ["Backlight", "Soft light", "Silhouette"]
    assert offered_terms(make_item(("Yes", "No"), "A")) == []


def test_a_clip_is_sent_as_a_few_small_frames_in_temporal_order(vision_endpoint: Vision, tmp_path: Path) -> None:
    write(vision_endpoint, small_shards(tmp_path / "in", 2), tmp_path / "out")
    pictures = vision_endpoint.sent(1).pictures
    assert 4 <= len(pictures) <= CLIP_FRAMES
    assert f"You see {len(pictures)} frames of one shot" in text_of(vision_endpoint.sent(1).body)
    assert all(picture.size[0] * picture.size[1] <= CLIP_PIXELS for picture in pictures)
    assert pictures[0].pixels[0] < 10 and pictures[0].pixels != pictures[-1].pixels  # the first frame is black


def test_a_huge_still_is_downscaled_and_a_rare_format_becomes_jpeg(vision_endpoint: Vision, tmp_path: Path) -> None:
    media = [still(0, (3000, 2000), "JPEG"), still(1, (60, 40), "TIFF")]
    made = [PendingRow.of("sft", question(number), medium) for number, medium in enumerate(media)]
    write_shards(made, tmp_path / "in", ABOUT, splits=["sft"])
    write(vision_endpoint, tmp_path / "in", tmp_path / "out")
    (large,), (odd,) = vision_endpoint.sent(0).pictures, vision_endpoint.sent(1).pictures
    assert STILL_PIXELS * 0.95 < large.size[0] * large.size[1] <= STILL_PIXELS
    assert abs(large.size[0] / large.size[1] - 1.5) < 0.01
    assert (odd.format, odd.size) == ("JPEG", (60, 40))


def test_invalid_chains_are_dropped_counted_and_recorded(vision_endpoint: Vision, tmp_path: Path) -> None:
    vision_endpoint.script = {
        0: [says(chain("B", "Close Up"))],  # right is A
        1: [says("It is a Medium.")],
        2: [says(chain("C", "a Medium", "Too short."))],
    }
    report = write(vision_endpoint, small_shards(tmp_path / "in", 6), tmp_path / "out")
    assert report.drops == {DefectKind.CHAIN_CONTRADICTS: 1, DefectKind.CHAIN_FAILED: 2}
    assert (report.written, report.without_reply) == (3, 0)
    defects = read_defects(tmp_path / "out")
    assert [(defect.index, defect.kind.name, defect.loses_row) for defect in defects] == [
        ("0", "CHAIN_CONTRADICTS", True),
        ("1", "CHAIN_FAILED", True),
        ("2", "CHAIN_FAILED", True),
    ]
    card = (tmp_path / "out/README.md").read_text()
    for words in ("some-model", "license: cc-by-4.0", "prompt version", "reasoning chain contradicts the answer: 1"):
        assert words in card


def test_an_undecodable_medium_loses_only_its_item(vision_endpoint: Vision, tmp_path: Path) -> None:
    made = [PendingRow.of("sft", question(0), b"no picture"), *rows(3)[1:]]
    write_shards(made, tmp_path / "in", ABOUT, splits=["sft"])
    report = write(vision_endpoint, tmp_path / "in", tmp_path / "out")
    assert (report.written, report.drops[DefectKind.CHAIN_FAILED]) == (2, 1)
    assert "still cannot be decoded" in read_defects(tmp_path / "out")[0].detail
    assert vision_endpoint.asked(0) == 0


def test_a_cached_reply_is_never_requested_again(vision_endpoint: Vision, tmp_path: Path) -> None:
    vision_endpoint.script = {0: [says("no chain")]}
    shards = small_shards(tmp_path / "in")
    first = write(vision_endpoint, shards, tmp_path / "out")
    again = write(vision_endpoint, shards, tmp_path / "out")
    assert (again.already_complete, again.asked) == (True, 0)
    write(vision_endpoint, shards, tmp_path / "elsewhere", cache=default_cache(tmp_path / "out"))
    assert len(vision_endpoint.requests) == first.asked == 5
    write(vision_endpoint, shards, tmp_path / "other", cache=default_cache(tmp_path / "out"), model="another-model")
    assert len(vision_endpoint.requests) == 10


def test_a_limit_selects_the_first_items(vision_endpoint: Vision, tmp_path: Path) -> None:
    assert write(vision_endpoint, small_shards(tmp_path / "in"), tmp_path / "out", limit=2).written == 2
    assert {request[0] for request in vision_endpoint.requests} == {0, 1}


def test_nothing_is_requested_if_the_output_could_not_be_written(vision_endpoint: Vision, tmp_path: Path) -> None:
    shards = small_shards(tmp_path / "in")
    small_shards(tmp_path / "used")
    for out, named in ((tmp_path / "used", "--overwrite"), (shards, "is inside the source")):
        with pytest.raises(WriteRefused, match=named):
            write(vision_endpoint, shards, out)
    assert vision_endpoint.requests == []


def test_without_a_valid_chain_no_shards_are_written(vision_endpoint: Vision, tmp_path: Path) -> None:
    vision_endpoint.script = {number: [says("I cannot help with that.")] for number in range(5)}
    with pytest.raises(ChainsRefused, match="none of 5 chains is valid"):
        write(vision_endpoint, small_shards(tmp_path / "in"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_key_is_in_no_file_and_no_message(
    vision_endpoint: Vision, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vision_endpoint.script = {0: [says(chain("A", f"Close Up {KEY}"))]}
    arguments = ["data", "chains", str(small_shards(tmp_path / "in")), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--base-url", vision_endpoint.url, "--model", "some-model"]) == 1  # item 0 has no reply
    output = "".join(capsys.readouterr())
    assert "4 of 5 items have a chain" in output and "1 items got no reply" in output
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
    assert KEY not in output
