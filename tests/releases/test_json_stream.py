"""JSON files are read entry by entry with any buffer size, and a truncated file is never taken for a complete one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.releases import json_stream
from data_pipeline.releases.json_stream import BrokenJson, json_entries

ENTRIES: list[Any] = [{"a": "ü]},[{", "b": [1, 2.5]}, [], 12345, "text", None, {"long": "x" * 300}]
FORMS = {
    "array": json.dumps(ENTRIES),
    "indented": json.dumps(ENTRIES, indent=2, ensure_ascii=False),
    "lines": "\n".join(map(json.dumps, ENTRIES)),
    "lines with an end": "\n".join(map(json.dumps, ENTRIES)) + "\n",
    "byte order mark": "\ufeff" + json.dumps(ENTRIES),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("buffer", [1, 7, 1 << 20])
def test_entries_are_the_same_in_every_form_and_buffer(
    form: str, buffer: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "BUFFER_CHARACTERS", buffer)
    path = tmp_path / "rows.json"
    path.write_text(FORMS[form].replace("[]", "{}", 1) if form.startswith("lines") else FORMS[form], encoding="utf-8")
    entries = list(json_entries(path))
    assert entries == ([{} if entry == [] else entry for entry in ENTRIES] if form.startswith("lines") else ENTRIES)


def test_an_empty_file_and_an_empty_array_have_no_entries(tmp_path: Path) -> None:
    for text in ("", " \n", "[]", " [ ] "):
        (tmp_path / "rows.json").write_text(text)
        assert list(json_entries(tmp_path / "rows.json")) == []


@pytest.mark.parametrize("share", [10, 30, 50, 70, 99])
def test_a_truncated_array_is_refused(share: int, tmp_path: Path) -> None:
    path, text = tmp_path / "rows.json", FORMS["array"]
    path.write_text(text[: len(text) * share // 100])
    with pytest.raises(BrokenJson, match=r"rows\.json is cut off or broken.*download it again"):
        list(json_entries(path))


def test_a_broken_entry_is_reported_before_the_complete_file_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "BUFFER_CHARACTERS", 100)
    monkeypatch.setattr(json_stream, "ENTRY_CHARACTERS", 1000)
    (tmp_path / "rows.json").write_text('[{"a": oops, ' + '"b": 1},' * 10_000 + "{}]")
    with pytest.raises(BrokenJson, match="Expecting value"):
        list(json_entries(tmp_path / "rows.json"))
    (tmp_path / "rows.json").write_bytes(b'["\xff"]')
    with pytest.raises(BrokenJson, match="UTF-8"):
        list(json_entries(tmp_path / "rows.json"))
