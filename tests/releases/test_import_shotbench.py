"""Import of the release: every bad row is recorded, nothing is lost silently, no temporary files are left."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from data_pipeline.defects import DefectKind
from data_pipeline.releases.checked_rows import RowsLost
from data_pipeline.releases.import_shotbench import import_shotbench
from data_pipeline.releases.release_media import ImportRefused, Release, ReleaseFile
from data_pipeline.shards import split_writer
from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.full_disk import DiskFull
from data_pipeline.shards.split_writer import SplitWriter
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import read_tsv
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.releases import (
    Row,
    clip,
    folders,
    good,
    import_defects,
    line,
    still,
    stills,
    tar_of,
    tars,
    write_tsv,
)
from tests.support.shard_rows import checksums

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("SHOTBENCH_REAL_DATA", ROOT / "../shared/data")) / "shotbench/test.tsv"

BAD_ROWS = {
    "options no JSON": {"options": "A: wide"},
    "options too deep": {"options": "[" * 100_000},
    "gold not offered": {"answer": "E"},
    "way up": {"path": "['image/../../secret.jpg']"},
    "absolute": {"path": "['/etc/passwd']"},
    "nul": {"path": "['image/a\\x00.jpg']"},
    "two media": {"path": "['image/A 1.jpg', 'image/B2.PNG']"},
    "no dimension": {"category": "colour"},
    "half a pair": {"options": '{"A": "Wide", "B": "\\ud800", "C": "Medium", "D": "Close Up"}'},
    "more than a line": {"question": "What's\nthis?"},
    "index no number": {"index": "one"},
    "empty cell": {"question": ""},
}


@pytest.mark.parametrize("changes", BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_is_recorded(tmp_path: Path, changes: Row) -> None:
    rows, media = good()
    release = tars(tmp_path / "release", [*rows, line(88, "image/A 1.jpg") | changes], media)
    assert import_defects(release, tmp_path / "out") == [(DefectKind.BAD_ROW, changes.get("index", "88"), True)]


FEW_CELLS = "9\t[\"image\"]\t['image/A 1.jpg']"
MANY_CELLS = "\t".join([*line(9, "image/B2.PNG").values(), "x"])


@pytest.mark.parametrize("cells", [FEW_CELLS, MANY_CELLS])
def test_a_line_with_too_few_or_too_many_cells_is_recorded(tmp_path: Path, cells: str) -> None:
    release = tars(tmp_path / "release", *good())
    with (release / "test.tsv").open("a") as stream:
        stream.write("\n" + cells + "\n")  # after a blank line, which counts as a line of the file
    with pytest.raises(RowsLost) as refusal:
        import_shotbench(str(release), tmp_path / "out")
    (defect,) = refusal.value.report.defects
    assert (defect.kind, defect.line, defect.index) == (DefectKind.BAD_ROW, 7, "9")


def test_the_second_row_of_an_index_is_lost(tmp_path: Path) -> None:
    rows, media = good()
    release = tars(tmp_path / "release", [*rows, line("02", "image/A 1.jpg")], media)
    assert import_defects(release, tmp_path / "out") == [(DefectKind.DUPLICATE_INDEX, "02", True)]


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (["Wide", "Close Up, Close Up", "Medium", "Extreme Wide"], DefectKind.REPEATED_TERM),
        (["Wide", "Close Up", "Medium", "Cowboy"], DefectKind.UNKNOWN_TERM),
        (["Wide", "Close Up", "Medium", "closeup"], DefectKind.SAME_OPTIONS),
    ],
)
def test_questionable_options_are_recorded_and_kept(tmp_path: Path, options: list[str], kind: DefectKind) -> None:
    rows, media = good()
    odd = line(9, "image/A 1.jpg", options=json.dumps(dict(zip("ABCD", options, strict=True))))
    release = tars(tmp_path / "release", [*rows, odd], media)
    assert import_defects(release, tmp_path / "out") == [(kind, "9", False)]
    assert len(list(ShardFolder(tmp_path / "out").items())) == 5


def test_an_unusable_question_file_is_one_clear_error(tmp_path: Path) -> None:
    release = tars(tmp_path / "release", *good())
    (release / "test.tsv").write_text("id\tquestion\n1\twhat?\n")
    with pytest.raises(ImportRefused, match="lacks the columns index"):
        import_shotbench(str(release), tmp_path / "out")
    (release / "test.tsv").write_bytes(b"\xff\xfe\x00bad")
    with pytest.raises(ImportRefused, match="UTF-8"):
        import_shotbench(str(release), tmp_path / "out")
    (release / "test.tsv").unlink()
    with pytest.raises(ImportRefused, match=r"no test\.tsv"):
        import_shotbench(str(release), tmp_path / "out")
    write_tsv(release, [])
    with pytest.raises(WriteRefused, match="no question"):
        import_shotbench(str(release), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


@pytest.mark.parametrize("error", [DiskFull(), KeyboardInterrupt()])
def test_an_interrupted_import_leaves_nothing_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    release = tars(tmp_path / "release", *good())
    reads: list[str] = []
    read = Release.read

    def fail_at_third(self: Release, medium: ReleaseFile) -> bytes:
        reads.append(medium.name)
        if len(reads) == 3:
            raise error
        return read(self, medium)

    monkeypatch.setattr(Release, "read", fail_at_third)
    with pytest.raises(type(error)):
        import_shotbench(str(release), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["release"]
    assert import_shotbench(str(release), tmp_path / "out").rows_written == 4


def test_a_stopped_import_resumes_and_lost_rows_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_writer, "ROW_GROUP_BYTES", 1)
    monkeypatch.setattr(split_writer, "FILE_BYTES", 1)  # one file per row
    rows, media = good()
    release = tars(tmp_path / "release", rows, media)
    add = SplitWriter.add

    def stop_at_third(self: SplitWriter, item: QAItem, medium: bytes) -> None:
        if self._number == 2:
            raise KeyboardInterrupt
        add(self, item, medium)

    with monkeypatch.context() as patch:
        patch.setattr(SplitWriter, "add", stop_at_third)
        with pytest.raises(KeyboardInterrupt):
            import_shotbench(str(release), tmp_path / "out")
    assert len(list((tmp_path / ".out.partial/shards/data").iterdir())) == 2
    assert import_shotbench(str(release), tmp_path / "out").rows_written == 4
    import_shotbench(str(release), tmp_path / "once")
    assert checksums(tmp_path / "out") == checksums(tmp_path / "once")
    write_tsv(release, [*rows, line(9, "image/gone.jpg")])
    with pytest.raises(RowsLost):
        import_shotbench(str(release), tmp_path / "lost")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["once", "out", "release"]


def test_the_release_is_never_changed_and_never_the_target(tmp_path: Path) -> None:
    release = folders(tmp_path / "release", *good())
    before = {path: path.stat().st_mtime_ns for path in release.rglob("*")}
    for out in (release, release / "image/out", tmp_path):
        with pytest.raises(ImportRefused, match="choose another path"):
            import_shotbench(str(release), out, overwrite=True)
    with pytest.raises(ImportRefused, match="--report"):
        import_shotbench(str(release), tmp_path / "out", report=release / "report.jsonl")
    import_shotbench(str(release), tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in release.rglob("*")} == before


def test_a_second_import_does_nothing_and_still_reports_lost_rows(tmp_path: Path) -> None:
    rows, media = good()
    release = tars(tmp_path / "release", [*rows, line(9, "image/gone.jpg")], media)
    first = import_shotbench(str(release), tmp_path / "out", allow_missing=True)
    again = import_shotbench(str(release), tmp_path / "out", allow_missing=True)
    assert again == first._replace(already_complete=True)
    with pytest.raises(RowsLost):
        import_shotbench(str(release), tmp_path / "out")
    assert len(list(ShardFolder(tmp_path / "out").items())) == 4
    tar_of(release / "images.tar", [*stills(media), ("image/gone.jpg", still(7))])
    with pytest.raises(WriteRefused, match="--overwrite"):
        import_shotbench(str(release), tmp_path / "out")
    assert import_shotbench(str(release), tmp_path / "out", overwrite=True).rows_written == 5


def command(*arguments: object) -> int:
    return main(["data", "import-shotbench", *map(str, arguments)])


def test_the_command_lists_lost_rows_and_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, media = good()
    gone = [line(100 + n, f"image/gone{n}.jpg") for n in range(25)]
    release = tars(tmp_path / "release", rows + gone, media)
    report = tmp_path / "report.jsonl"
    assert command(release, "--out", tmp_path / "out", "--report", report) == 1
    messages = capsys.readouterr().err
    assert "index 100, image/gone0.jpg: missing medium" in messages
    assert "index 119" in messages
    assert "index 120" not in messages
    assert "and 5 more" in messages
    assert "--allow-missing" in messages
    assert len(report.read_text().splitlines()) == 25
    assert sorted(path.name for path in tmp_path.iterdir()) == ["release", "report.jsonl"]
    assert command(release, "--out", tmp_path / "out", "--allow-missing") == 0
    assert "4 of 29 rows, 25 left out" in capsys.readouterr().out
    assert "missing medium: 25 (left out)" in (tmp_path / "out/README.md").read_text()


def test_the_command_exits_with_2_on_an_unusable_release_or_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert command(tmp_path / "empty", "--out", tmp_path / "out") == 2
    assert "no test.tsv" in capsys.readouterr().err
    release = tars(tmp_path / "release", *good())
    (tmp_path / "file").write_text("")
    assert command(release, "--out", tmp_path / "file") == 2
    assert command(release, "--out", tmp_path / "file/below") == 2
    assert "shotbench: " in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_file(), reason=f"no real question file at {REAL}; set SHOTBENCH_REAL_DATA")
def test_all_real_questions_are_imported(tmp_path: Path) -> None:
    release = tmp_path / "release"
    release.mkdir()
    (release / "test.tsv").write_bytes(REAL.read_bytes())
    items = list(read_tsv(REAL))
    samples = {MediaKind.STILL: still(), MediaKind.CLIP: clip()}
    media = {item.media_path: samples[item.media_kind] for item in items}
    for name, start in (("images.tar", "image"), ("videos.tar", "video")):
        tar_of(release / name, [(path, data) for path, data in media.items() if path.startswith(start)])
    report = import_shotbench(str(release), tmp_path / "out")
    assert (report.rows_read, report.rows_written, report.rows_lost) == (3572, 3572, 0)
    assert {defect.kind for defect in report.defects} == {DefectKind.REPEATED_TERM}
    assert len(report.defects) == 7
    assert len(list(ShardFolder(tmp_path / "out").items())) == 3572
