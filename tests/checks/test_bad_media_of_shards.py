"""A bad medium of finished shards costs its own rows in the audit, in chains and when it is written; push sends it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_pipeline.checks.audit import audit_shards
from data_pipeline.defects import Defect, DefectKind
from data_pipeline.questions.chain_requests import Endpoint
from data_pipeline.questions.chains import write_chains
from data_pipeline.shards.dataset_card import read_defects
from data_pipeline.shards.full_disk import DiskFull
from data_pipeline.shards.push import push
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import write_shards
from data_pipeline.workers import Workers
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support import vision_server
from tests.support.injected_faults import FAULTS, fault_named, inject
from tests.support.rendered_clips import Rendering, render
from tests.support.shard_rows import ABOUT, picture, row
from tests.support.vision_server import Vision, small_shards

vision_endpoint = vision_server.vision_endpoint  # a fixture: pytest finds it by this name


def is_of(number: int) -> Callable[..., bool]:
    """Whether the arguments of a call name or contain the medium of a row of `shard_rows`."""
    medium, name = picture(number), f"t-{number}"

    def applies(*arguments: Any, **_: Any) -> bool:
        return any(one in (medium, name) or getattr(one, "item_id", "") == name for one in arguments)

    return applies


@pytest.mark.parametrize(
    ("target", "stage"),
    [
        ("lmms_eval_shotbench.questions.shards.ShardFolder.media", "reading it"),
        ("data_pipeline.checks.media_hashes.picture_hash", "hashing it"),
        ("data_pipeline.checks.media_hashes.check_stored", "checking it"),
    ],
)
def test_the_audit_names_media_that_raise_with_file_stage_and_cause_and_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, stage: str
) -> None:
    clip = PendingRow.of("test", row(2, MediaKind.CLIP).item, render(Rendering(4)))
    numbers = range(10, 10 + len(FAULTS))
    rows = [row(0), clip, *map(row, numbers), row(40)]
    shards = write_shards(rows, tmp_path / "shards", ABOUT, splits=["test"]).folder
    raised = [inject(monkeypatch, target, fault, is_of(number)) for number, fault in zip(numbers, FAULTS, strict=True)]
    report = audit_shards(str(shards), (), None, Workers())
    assert all(raised)
    assert (report.questions, report.unusable) == (len(rows), len(FAULTS))
    assert report.undecodable == [f"t-{number}" for number in numbers]
    for number in numbers:
        assert report.causes[f"t-{number}"].startswith(f"image/{number}.png: {stage} failed: ")
    assert f"{len(FAULTS)} media cannot be decoded, those of: t-10, t-11" in report.failures[0]
    assert f"; image/10.png: {stage}" in report.failures[0]
    assert json.loads(report.to_json())["causes"] == report.causes


def test_the_audit_fails_on_stills_and_clips_that_datasets_or_the_evaluation_cannot_read(tmp_path: Path) -> None:
    broken_exif, rotated = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (40, 30)).save(broken_exif, "PNG", exif=b"Exif\0\0garbage")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(rotated, "JPEG", exif=exif)
    cut = render(Rendering(48, container="matroska"))
    media = [broken_exif.getvalue(), rotated.getvalue(), cut[: len(cut) // 2]]
    given = [row(0), row(1), row(2, MediaKind.CLIP)]
    rows = [PendingRow.of("test", one.item, medium) for one, medium in zip(given, media, strict=True)]
    report = audit_shards(str(write_shards(rows, tmp_path / "o", ABOUT, splits=["test"]).folder), (), None, Workers())
    assert report.undecodable == ["t-0", "t-2"]
    assert report.failures[0].endswith("; 2 of 3 questions are about them")
    assert "datasets" in report.causes["t-0"] and "cut off" in report.causes["t-2"]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_medium_that_cannot_be_read_when_it_is_written_costs_its_row(tmp_path: Path, fault: Exception) -> None:
    def read() -> bytes:
        raise fault

    defects: list[Defect] = []
    rows = [row(0), row(1)._replace(read=read), row(3)]
    done = write_shards(rows, tmp_path / "out", ABOUT, splits=["test"], defects=defects)
    assert sum(done.counts["test"].values()) == len(list(ShardFolder(tmp_path / "out").items())) == 2
    assert [(one.index, one.path, one.loses_row) for one in defects] == [("t-1", "image/1.png", True)]
    assert read_defects(tmp_path / "out") == defects


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DiskFull("no space"), OSError(28, "No space left on device")])
def test_a_full_disk_and_ctrl_c_still_end_the_writing(tmp_path: Path, error: BaseException) -> None:
    def read() -> bytes:
        raise error

    with pytest.raises(type(error)):
        write_shards([row(0), row(1)._replace(read=read)], tmp_path / "out", ABOUT, splits=["test"])


@pytest.mark.parametrize(
    "target", ["data_pipeline.questions.chains.chain_message", "data_pipeline.questions.chains.reply_key"]
)
def test_chains_lose_the_items_of_media_that_raise(
    vision_endpoint: Vision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    source = small_shards(tmp_path / "in", len(FAULTS) + 3)
    bad = list(ShardFolder(source, "sft").items())[1:-2]
    raised = [
        inject(monkeypatch, target, fault, lambda *arguments, item=item, **_: item in arguments)
        for item, fault in zip(bad, FAULTS, strict=True)
    ]
    report = write_chains(str(source), "sft", tmp_path / "out", Endpoint(vision_endpoint.url, "some-model"))
    assert all(raised)
    assert (report.items, report.written, report.drops.total()) == (len(FAULTS) + 3, 3, len(FAULTS))
    lost = read_defects(tmp_path / "out")
    assert [(one.kind, one.index, one.path) for one in lost] == [
        (DefectKind.CHAIN_FAILED, str(item.source_index), item.media_path) for item in bad
    ]
    assert all("failed: " in one.detail for one in lost)


def test_chains_lose_an_item_whose_reply_is_cached_but_whose_medium_can_no_longer_be_read(
    vision_endpoint: Vision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, endpoint = small_shards(tmp_path / "in", 4), Endpoint(vision_endpoint.url, "some-model")
    write_chains(str(source), "sft", tmp_path / "first", endpoint, cache=tmp_path / "replies")
    second = list(ShardFolder(source, "sft").items())[1]
    inject(
        monkeypatch,
        "data_pipeline.questions.source_split.SourceSplit.media",
        fault_named("OSError"),
        lambda *arguments, **_: second.item_id in [getattr(one, "item_id", "") for one in arguments],
    )
    report = write_chains(str(source), "sft", tmp_path / "out", endpoint, cache=tmp_path / "replies")
    assert (report.items, report.written, report.drops.total(), report.asked) == (4, 3, 1, 0)


def test_push_sends_shards_with_a_medium_that_nothing_can_decode(tmp_path: Path) -> None:
    rows = [row(0), PendingRow.of("test", row(1).item, b"no picture")]
    folder = write_shards(rows, tmp_path / "shards", ABOUT, splits=["test"]).folder
    assert push(folder, str(tmp_path / "copy")).sent_files > 0
    assert ShardFolder(tmp_path / "copy").media("t-1") == b"no picture"
