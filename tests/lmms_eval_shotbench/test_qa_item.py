"""A row becomes a question or raises a `BadRow` that names the problem."""

from __future__ import annotations

import dataclasses
import json
import pickle

import pytest

from lmms_eval_shotbench.qa_item import BadRow, QAItem
from tests.support.items import make_item

ROW = {
    "index": "7",
    "type": '["image"]',
    "path": "['image/YWE9AAUK.jpg']",
    "question": "What's the shot size of this shot?",
    "options": json.dumps({"A": "Wide", "B": "Medium", "C": "Close Up", "D": "Medium Wide"}),
    "answer": "D",
    "category": "shot size",
}


def test_a_release_row_becomes_an_item() -> None:
    item = QAItem.from_release_row(ROW)
    assert (item.item_id, item.source_index, item.dimension) == ("shotbench-00007", 7, "shot_size")
    assert (item.gold, item.letters, item.media_path) == ("Medium Wide", ("A", "B", "C", "D"), "image/YWE9AAUK.jpg")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("options", "A: Wide, B: Medium", "item 7: options is 'A: Wide, B: Medium', expected a JSON object"),
        ("options", '{"A": "Wide", "C": "Medium"}', "letters A, B, C, … in order"),
        ("options", '["Wide", "Medium"]', "expected a JSON object"),
        ("options", '{"A": "Wide", "B": ""}', "a non-empty text for every letter"),
        ("options", '{"A": "Wide", "B": 3}', "a non-empty text for every letter"),
        ("options", '{"A": "Wide", "B": ["Medium"]}', "a non-empty text for every letter"),
        ("options", '{"A": "Wide"}', "2 to 26 options"),
        ("answer", "E", "answer is 'E', expected one of the letters A, B, C, D"),
        ("path", "['../../etc/passwd']", "a relative path that stays inside the release"),
        ("path", "['/etc/passwd']", "a relative path that stays inside the release"),
        ("path", "image/a.jpg", "path is 'image/a.jpg', expected a list with one string"),
        ("path", "__import__('os').abort()", "expected a list with one string"),
        ("path", "[" * 5000, "expected a list with one string"),
        ("type", '["audio"]', "type is 'audio', expected image or video"),
        ("category", "colour", "'colour' is no dimension"),
        ("index", "seven", "index is 'seven', expected a whole number"),
        ("question", None, "question is None, expected a value (is the line broken?)"),
    ],
)
def test_an_invalid_cell_is_named_in_the_error(field: str, value: str, message: str) -> None:
    with pytest.raises(BadRow) as caught:
        QAItem.from_release_row({**ROW, field: value})
    assert message in str(caught.value)


def test_an_item_converts_to_a_row_and_back() -> None:
    item = dataclasses.replace(make_item(), start_seconds=1.5, film_id="tt1", reasoning="It is near. So: C")
    assert QAItem.from_row(item.to_row()) == item


def test_a_row_with_a_missing_column_is_rejected() -> None:
    row = make_item().to_row()
    del row["film_id"]
    with pytest.raises(BadRow, match="also film_id"):
        QAItem.from_row(row)


def test_a_bad_row_can_be_pickled() -> None:
    error = BadRow("x", "answer", "E", "a letter")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
