"""Import of types-of-film-shots: people's labels in the split test, and nothing else, become questions."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest

from data_pipeline.releases.checked_rows import RowsLost
from data_pipeline.releases.import_published_set import import_published_set
from data_pipeline.releases.release_media import ImportRefused
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import SHOT_SIZE
from tests.support.published_sets import SIZES, film_shot, film_shots, imported, losses
from tests.support.releases import still

NAME = "types-of-film-shots"


def test_each_class_becomes_a_question_with_the_words_of_the_set_except_ambiguous_rows(tmp_path: Path) -> None:
    source = film_shots(tmp_path / "set", [film_shot(number, number % 8) for number in range(16)])
    done, items = imported(NAME, source, tmp_path / "out")
    assert (done.rows_read, done.rows_written, done.rows_broken) == (16, 14, 0)
    assert losses(done.defects) == [("class that corresponds to no term", "'ambiguous' of label")] * 2
    assert {len(item.options) for item in items} == {7}
    assert len({item.options for item in items}) > 5  # the order is of its own
    golds = ["Close Up", "Detail", "Extreme Long Shot", "Full Shot", "Long Shot", "Medium Close Up", "Medium Shot"]
    assert [item.gold for item in items] == golds * 2
    assert {item.licence for item in items} == {"cc-by-4.0"}
    assert ShardFolder(tmp_path / "out").media(items[0].item_id) == still(1)
    card = (tmp_path / "out/README.md").read_text()
    assert "| ambiguous | shot_size | none | 0 | 2 |" in card
    assert "| fullShot | shot_size | Wide (approximate) | 2 | 0 |" in card
    assert "class that corresponds to no term: 2 (left out)" in card
    assert datasets.load_dataset(str(tmp_path / "out"), split="test").num_rows == 14


def test_labels_of_models_are_left_out_by_name(tmp_path: Path) -> None:
    rows = [film_shot(1, 1), film_shot(2, 2, "dinov2"), film_shot(3, 3, "claude"), film_shot(4, 4)]
    done, items = imported(NAME, film_shots(tmp_path / "set", rows), tmp_path / "out")
    assert losses(done.defects) == [
        ("label that is not by a person", "labelled by 'dinov2'"),
        ("label that is not by a person", "labelled by 'claude'"),
    ]
    assert [item.source_index for item in items] == [0, 3]


def test_the_first_release_is_read_and_a_train_split_of_models_is_refused(tmp_path: Path) -> None:
    first = [{name: row[name] for name in ("image", "label")} for row in (film_shot(1, 1), film_shot(2, 2))]
    assert imported(NAME, film_shots(tmp_path / "first", first, "train"), tmp_path / "out")[0].rows_written == 2
    later = film_shots(tmp_path / "later", [film_shot(1, 1)], "train")
    with pytest.raises(ImportRefused, match="the split train holds labels by models"):
        import_published_set(NAME, str(later), tmp_path / "none")


def test_broken_rows_stop_the_import_unless_they_are_allowed(tmp_path: Path) -> None:
    rows = [
        film_shot(1, 1),
        film_shot(2, 99),
        film_shot(3, 3) | {"image": {"bytes": None, "path": "far/there.jpg"}},
        film_shot(4, 4) | {"image": {"bytes": None, "path": "far/gone.jpg"}},
        film_shot(5, 5) | {"image": {"bytes": b"no picture", "path": "e.jpg"}},
        film_shot(6, 6) | {"image": None},
        film_shot(7, 0),
    ]
    source = film_shots(tmp_path / "set", rows)
    (source / "there.jpg").write_bytes(still(3))
    with pytest.raises(RowsLost, match="4 of 7 rows") as refusal:
        import_published_set(NAME, str(source), tmp_path / "out")
    assert [defect.line for defect in refusal.value.report.defects] == [2, 4, 5, 6, 7]
    assert not (tmp_path / "out").exists()
    done, items = imported(NAME, source, tmp_path / "out", allow_missing=True)
    assert [item.source_index for item in items] == [0, 2]
    assert imported(NAME, source, tmp_path / "out", allow_missing=True)[0] == done._replace(already_complete=True)
    with pytest.raises(RowsLost):
        import_published_set(NAME, str(source), tmp_path / "out")


def test_a_table_without_labels_is_refused_with_its_columns(tmp_path: Path) -> None:
    source = film_shots(tmp_path / "set", [{"image": film_shot(1, 1)["image"], "size": 1}])
    with pytest.raises(ImportRefused, match="lacks the column label; its columns: image, size"):
        import_published_set(NAME, str(source), tmp_path / "out")
    numbers = film_shots(tmp_path / "numbers", [film_shot(1, 1)], class_names=False)
    with pytest.raises(RowsLost):
        import_published_set(NAME, str(numbers), tmp_path / "out")


def test_the_command_counts_what_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = film_shots(tmp_path / "set", [film_shot(number, number) for number in range(len(SIZES))])
    report, out = tmp_path / "report.jsonl", tmp_path / "out"
    assert main(["data", "import-dataset", NAME, str(source), "--out", str(out), "--report", str(report)]) == 0
    printed = capsys.readouterr()
    assert "7 of 8 rows, 1 left out" in printed.out
    assert "1 left out: class that corresponds to no term" in printed.err
    assert [json.loads(line)["detail"] for line in report.read_text().splitlines()] == ["'ambiguous' of label"]
    assert main(["data", "import-dataset", NAME, str(tmp_path / "gone/x"), "--out", str(out)]) == 2
    assert SHOT_SIZE.slug in (out / "README.md").read_text()
