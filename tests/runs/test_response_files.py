"""The formats of files of responses, each with the same responses."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lmms_eval_shotbench.runs.responses import BadResponses, StoredResponse, read_responses, read_samples

# As long texts of models have them: lines, quotes, delimiters, other scripts
TEXTS = {3: "A", 10: 'It is "B",\nI think;\tor C', 11: "<think>é 低角度</think>\r\n<answer>D</answer>", 12: ""}
ROWS = [{"index": index, "response": text} for index, text in TEXTS.items()]


def table(delimiter: str, names: tuple[str, str] = ("index", "prediction"), line_end: str = "\r\n") -> str:
    lines = io.StringIO(newline="")
    csv.writer(lines, delimiter=delimiter, lineterminator=line_end).writerows([names, *TEXTS.items()])
    return lines.getvalue()


LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
CONTENTS = {
    "lines": (LINES, ".jsonl", ".json", ".txt"),
    "array": (json.dumps(ROWS, ensure_ascii=False, indent=1), ".json", ".jsonl"),
    "array in one line": (json.dumps(ROWS), ".json", ".jsonl"),
    "by index": (json.dumps(TEXTS, indent=2), ".json"),
    "objects by index": (json.dumps({index: {"response": text} for index, text in TEXTS.items()}), ".json"),
    "commas": (table(","), ".csv", ".txt"),
    "semicolons": (table(";"), ".csv"),
    "tabs": (table("\t"), ".tsv", ".csv", ".txt"),
    "names in capitals": (table(",", (" Index", "Response "), "\n"), ".csv"),
    "another name": (table(",", ("index", "generated_text")), ".csv"),
}
FILES = [(content, suffix) for content, (_, *suffixes) in CONTENTS.items() for suffix in suffixes]
ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "utf-8": str.encode,
    "utf-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "utf-16": lambda text: text.encode("utf-16"),
    "gzip": lambda text: gzip.compress(text.encode("utf-8-sig")),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("content", "suffix"), FILES)
def test_a_format_is_recognised_by_the_contents_of_the_file(
    tmp_path: Path, content: str, suffix: str, encoding: str
) -> None:
    path = tmp_path / f"responses{suffix}{'.gz' if encoding == 'gzip' else ''}"
    path.write_bytes(ENCODINGS[encoding](CONTENTS[content][0]))
    assert read_responses(path) == TEXTS


def test_an_empty_cell_of_a_workbook_is_an_empty_response_and_words_are_texts(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [("Index", "prediction"), (1, "nan"), (2.0, None), (None, None), (3, "None"), (4, 7)]:
        book.active.append(row)
    book.save(tmp_path / "r.xlsx")
    texts = {1: "nan", 2: "", 3: "None", 4: "7"}
    assert read_samples(tmp_path / "r.xlsx") == {index: StoredResponse(text) for index, text in texts.items()}


def test_nan_and_null_are_no_response_in_every_form_of_json(tmp_path: Path) -> None:
    for content in ('[{"index": 1, "response": NaN}, {"index": 2, "response": null}]', '{"1": NaN, "2": null}'):
        (tmp_path / "r.json").write_text(content)
        assert all(stored.unanswered for stored in read_samples(tmp_path / "r.json").values())


def test_a_table_records_unanswered_items_and_samples_like_lines_do(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("index,response,unanswered,sample\n1,A,,\n2,,HTTP 500,2\n")
    assert read_samples(tmp_path / "r.csv") == {1: StoredResponse("A"), 2: StoredResponse.absent("HTTP 500")}


def test_a_truncated_gzip_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress(LINES.encode())[:-9])
    with pytest.raises(BadResponses, match="broken gzip"):
        read_samples(tmp_path / "r.jsonl.gz")
