"""Import of ShotQA: every row is written or dropped with a reason, the archive is read once and never trusted."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import resource
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.defects import DefectKind
from data_pipeline.releases import import_shotqa as importer
from data_pipeline.releases import shotqa_archive
from data_pipeline.releases.check_on_workers import VerdictJournal
from data_pipeline.releases.import_shotqa import ShotQAReport, import_shotqa
from data_pipeline.releases.shotqa_archive import ArchiveDamaged
from data_pipeline.releases.shotqa_questions import ShotQAChoices
from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.full_disk import DiskFull, write_output
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.shards import ShardFolder
from tests.releases.test_import_from_hub import fake_hub
from tests.support import REPOSITORY
from tests.support.releases import clip, still
from tests.support.shotqa_releases import checksums, clip_row, link, shotqa, still_row

ALL = ShotQAChoices(dev_share=0)


def run(tmp_path: Path, *arguments: Any, choices: ShotQAChoices = ALL, **files: Any) -> ShotQAReport:
    """Import a release with these files; checks that all rows are accounted for and no temporary files are left."""
    done = import_shotqa(str(shotqa(tmp_path / "release", *arguments, **files)), tmp_path / "shards", choices)
    assert done.rows_read == sum(done.rows_written.values()) + done.drops.total()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    return done


def kinds(done: ShotQAReport) -> list[tuple[DefectKind, str, bool]]:
    return [(defect.kind, defect.index, defect.loses_row) for defect in done.defects]


def test_questions_of_both_files_are_in_archive_order_with_their_media(tmp_path: Path) -> None:
    media = [("v.mp4", clip()), ("b.jpg", still(2)), ("./sub/a.jpg", still(1)), ("unasked.jpg", still(3))]
    second = still_row("a.jpg", messages=[{"role": "user", "content": "How is it framed?\nA. Single\nB. Insert"}])
    done = run(tmp_path, media, grpo=[still_row("a.jpg"), clip_row("v.mp4")], sft=[still_row("b.jpg"), second])
    assert done.rows_written == {"sft": 2, "grpo": 2, "dev": 0}
    assert done.drops == Counter()
    assert kinds(done) == [(DefectKind.NO_QUESTION, "", False)]
    for split, expected in {
        "grpo": [("v.mp4", clip()), ("a.jpg", still(1))],
        "sft": [*media[1:2], ("a.jpg", still(1))],
    }.items():
        shards = ShardFolder(tmp_path / "shards", split)
        items = list(shards.items())
        assert [item.media_path.split("/")[1] for item in items] == [name for name, _ in expected]
        assert [shards.media(item.item_id) for item in items] == [content for _, content in expected]
        assert [item.media_sha256 for item in items] == [hashlib.sha256(content).hexdigest() for _, content in expected]


def test_missing_repeated_and_linked_media_are_recorded(tmp_path: Path) -> None:
    media = [("a.jpg", still(1)), ("a.jpg", still(2)), ("x/same.jpg", still(4)), ("y/same.jpg", still(5))]
    named = ("a.jpg", "gone.jpg", "linked.jpg")
    rows = [*map(still_row, named), *(still_row("", images=[f"{folder}/same.jpg"]) for folder in ("x", "z"))]
    done = run(tmp_path, media, grpo=rows, special=[link("linked.jpg", "/etc/passwd")])
    assert kinds(done) == [
        (DefectKind.NOT_A_REGULAR_FILE, "shotqa-grpo-000002", True),
        (DefectKind.MISSING_MEDIUM, "shotqa-grpo-000001", True),
        (DefectKind.AMBIGUOUS_MEDIUM, "shotqa-grpo-000004", True),
        (DefectKind.DUPLICATE_MEMBER, "shotqa-grpo-000000", False),
        (DefectKind.NO_QUESTION, "", False),
    ]
    shards = ShardFolder(tmp_path / "shards", "grpo")
    assert [shards.media(item.item_id) for item in shards.items()] == [still(1), still(4)]


def test_folders_in_questions_are_ignored_for_a_flat_archive(tmp_path: Path) -> None:
    rows = [still_row("a.jpg"), still_row("a.jpg", images=["/mnt/data/a.jpg"]), still_row("", images=["train/a.jpg"])]
    done = run(tmp_path, [("a.jpg", still(1))], grpo=rows)
    assert (done.rows_written["grpo"], done.defects) == (3, [])


@pytest.mark.slow
def test_every_kind_of_broken_medium_loses_only_its_rows(tmp_path: Path) -> None:
    from stand_in_media import BREAKAGES
    from stand_in_shotqa import make_shotqa

    expected = make_shotqa(tmp_path / "release", items=400, broken_share=0.2, clip_share=0.2)
    done = import_shotqa(str(tmp_path / "release"), tmp_path / "shards", ShotQAChoices(dev_share=0.2))
    assert done.drops == expected.drops
    assert {str(breakage.defect) for breakage in BREAKAGES} < set(done.drops)  # every kind occurred
    assert (done.rows_read, sum(done.rows_written.values())) == (expected.rows, expected.good)
    assert min(done.rows_written.values()) > 0
    films = {
        split: {item.film_id for item in ShardFolder(tmp_path / "shards", split).items()} for split in done.rows_written
    }
    assert not films["dev"] & (films["sft"] | films["grpo"])


def test_trusted_media_are_not_decoded_but_must_look_like_media(tmp_path: Path) -> None:
    names = ("sound.jpg", "cut.jpg", "page.jpg", "empty.jpg")
    content = (still(1), still(2)[:300], b"<html>not found</html>", b"")
    rows = [*map(still_row, names), clip_row("v.mp4"), clip_row("still.mp4")]
    media = [*zip(names, content, strict=True), ("v.mp4", clip()), ("still.mp4", still(3))]
    checked = run(tmp_path / "checked", media, grpo=rows)
    trusted = run(tmp_path / "trusted", media, grpo=rows, choices=ShotQAChoices(dev_share=0, media="trust"))
    assert checked.drops == {DefectKind.UNDECODABLE_MEDIUM: 3, DefectKind.EMPTY_FILE: 1}
    assert trusted.drops == {DefectKind.UNDECODABLE_MEDIUM: 2, DefectKind.EMPTY_FILE: 1}
    assert "not decoded" in (tmp_path / "trusted/shards/README.md").read_text()


@pytest.mark.parametrize("reader", ["isal", "gzip"])
@pytest.mark.parametrize("damage", ["cut", "cut before a header", "broken header", "one bit", "no gzip", "no tar"])
def test_a_damaged_archive_is_refused_and_nothing_is_left(
    damage: str, reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reader == "gzip":
        monkeypatch.setitem(sys.modules, "isal", None)
    monkeypatch.setattr(
        shotqa_archive, "BLOCK_BYTES", tarfile.RECORDSIZE
    )  # otherwise everything is read before the first file
    names = [f"{number}.jpg" for number in range(20)]
    release = shotqa(tmp_path / "release", [(name, still(1)) for name in names], grpo=map(still_row, names))
    path = release / "data.tar.gz"
    complete = path.read_bytes()
    tar = gzip.decompress(complete)
    with tarfile.open(path) as archive:
        header = archive.getmember("10.jpg").offset
    path.write_bytes(
        {
            "cut": complete[: len(complete) // 2],
            "cut before a header": gzip.compress(tar[:header]),
            "broken header": gzip.compress(tar[:header] + b"?" * 512 + tar[header + 512 :]),
            "one bit": complete[:-8] + bytes([complete[-8] ^ 1]) + complete[-7:],  # in the checksum
            "no gzip": b"PK\3\4" + complete,
            "no tar": gzip.compress(b"x" * 5000),
        }[damage]
    )
    with pytest.raises(ArchiveDamaged, match=r"data\.tar\.gz is cut off or damaged.*download it again"):
        import_shotqa(str(release), tmp_path / "shards", ALL)
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


def test_an_uncompressed_archive_gives_the_same_shards(tmp_path: Path) -> None:
    release = shotqa(tmp_path / "release", [("a.jpg", still(1))], grpo=[still_row("a.jpg")])
    import_shotqa(str(release), tmp_path / "packed", ALL)
    (release / "data.tar").write_bytes(gzip.decompress((release / "data.tar.gz").read_bytes()))
    (release / "data.tar.gz").unlink()
    import_shotqa(str(release), tmp_path / "plain", ALL)
    assert [checksums(tmp_path / name)["data/grpo-00000-of-00001.parquet"] for name in ("packed", "plain")] == [
        checksums(tmp_path / "packed")["data/grpo-00000-of-00001.parquet"]
    ] * 2


def test_the_command_accounts_for_every_row_and_is_idempotent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [still_row("a.jpg"), still_row("gone.jpg"), still_row("a.jpg", "Why?")]
    release = shotqa(tmp_path / "release", [("a.jpg", still(1))], grpo=rows)
    command = ["data", "import-shotqa", str(release), "--out", str(tmp_path / "shards"), "--workers", "0"]
    outputs = []
    for _ in range(2):
        assert main([*command, "--dev-share", "0"]) == 0
        outputs.append(capsys.readouterr().out.splitlines())
    assert [line.split() for line in outputs[0][1:]] == [
        ["rows", "read", "3"], ["rows", "in", "sft", "0"], ["rows", "in", "grpo", "1"], ["rows", "in", "dev", "0"],
        ["left", "out:", "missing", "medium", "1"], ["left", "out:", "open-ended", "question", "1"],
    ]  # fmt: skip
    assert "is written" in outputs[0][0]
    assert "complete already" in outputs[1][0]
    assert outputs[0][1:] == outputs[1][1:]
    assert main([*command, "--dev-share", "0.5"]) == 2  # other shards are there
    assert main([*command, "--dev-share", "0.5", "--overwrite"]) == 0
    assert main([*command[:4], str(release / "inside"), "--workers", "0"]) == 2
    assert main([*command, "--dev-share", "1"]) == 2


def test_without_a_valid_medium_the_reasons_are_reported_and_nothing_is_left(tmp_path: Path) -> None:
    rows = [still_row("a.jpg"), still_row("gone.jpg")]
    with pytest.raises(WriteRefused, match=r"undecodable medium: 1, missing medium: 1; the first .* index shotqa-grpo"):
        run(tmp_path, [("a.jpg", b"no picture")], grpo=rows)
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


def test_a_disk_that_is_full_before_the_first_shard_is_reported(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(DiskFull, match=r"cannot write .*verdicts\.jsonl \(File too large\): .* are missing"):
            VerdictJournal(tmp_path / "verdicts.jsonl", "a source")
        with pytest.raises(DiskFull, match=r"cannot write .*report\.json"):
            write_output(tmp_path / "report.json", "a report" * 9)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_probably_too_small_is_reported_in_advance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    media, rows = [("a.jpg", still(1))], [still_row("a.jpg")]
    run(tmp_path / "large", media, grpo=rows)
    assert not caplog.text
    monkeypatch.setattr(importer, "free_bytes", lambda _path: 100)
    done = run(tmp_path / "small", media, grpo=rows)
    assert done.rows_written["grpo"] == 1
    assert re.search(r"has 2\.\d kB, .* only \d{3} bytes are free .* run the same command again", caplog.text)


@pytest.mark.slow
def test_a_hub_id_is_downloaded_without_unneeded_files(tmp_path: Path) -> None:
    release = shotqa(tmp_path / "release", [("a.jpg", still(1))], grpo=[still_row("a.jpg")])
    files = {path.name: path.read_bytes() for path in release.iterdir()} | {"huge.bin": b"unwanted"}
    with fake_hub(files) as endpoint:
        environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "127.0.0.1"}
        environment |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
        command = ["-m", "lmms_eval_shotbench.cli", "data", "import-shotqa", "film/ShotBench", "--workers", "0"]
        run = subprocess.run(
            [sys.executable, *command, "--out", str(tmp_path / "shards"), "--dev-share", "0"],
            env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert len(list(ShardFolder(tmp_path / "shards", "grpo").items())) == 1
    assert not list((tmp_path / "hf").rglob("huge.bin"))
