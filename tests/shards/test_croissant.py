"""Croissant metadata of shards: files with their checksums, and columns as they are (read in test_hub_formats.py)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest

from data_pipeline.shards import split_writer
from data_pipeline.shards.manifest import verified_files
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.shards import shard_features
from tests.support.shard_rows import ABOUT, checksums, rows


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(split_writer, "ROW_GROUP_ROWS", 4)
    monkeypatch.setattr(split_writer, "FILE_BYTES", 500)  # several files of a split
    write_shards([*rows(20, "sft"), *rows(5)], tmp_path / "shards", ABOUT, splits=["sft", "dev", "test"])
    return tmp_path / "shards"


def metadata(shards: Path, *options: str) -> dict[str, Any]:
    assert main(["data", "croissant", str(shards), *options]) == 0
    content: dict[str, Any] = json.loads((shards / "croissant.json").read_text(encoding="utf-8"))
    return content


def nodes(value: object) -> Iterator[dict[str, Any]]:
    """All objects of a JSON document."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for one in value if isinstance(value, list) else []:
        yield from nodes(one)


def test_every_data_file_with_rows_is_listed_with_its_checksum(shards: Path) -> None:
    files = {node["contentUrl"]: node for node in metadata(shards)["distribution"] if node["@type"] == "cr:FileObject"}
    paths = [path for path in (shards / "data").iterdir() if not path.name.startswith("dev-")]
    assert len(paths) > 3
    assert files.keys() == {f"data/{path.name}" for path in paths}
    for path in paths:
        node = files[f"data/{path.name}"]
        assert node["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert node["contentSize"] == f"{path.stat().st_size} B"


def test_every_column_is_a_field_of_its_type(shards: Path) -> None:
    (_, records) = metadata(shards)["recordSet"]
    fields = {field["@id"].removeprefix("default/"): field for field in records["field"]}
    assert list(fields) == ["split", *shard_features()]
    types = {"string": "sc:Text", "int64": "cr:Int64", "float64": "cr:Float64"}
    for name, feature in shard_features().items():
        assert fields[name]["source"]["extract"] == {"column": name}
        if isinstance(feature, datasets.Value):
            assert fields[name]["dataType"] == types[feature.dtype]
    assert (fields["options"]["isArray"], fields["options"]["dataType"]) == (True, "sc:Text")
    assert [fields[name]["dataType"] for name in ("image", "video")] == ["sc:ImageObject", "sc:VideoObject"]


def test_splits_with_rows_are_those_of_the_records(shards: Path) -> None:
    splits, _ = metadata(shards)["recordSet"]
    assert splits["data"] == [{"default_splits/split_name": "sft"}, {"default_splits/split_name": "test"}]


def test_every_reference_is_to_something_in_the_file(shards: Path) -> None:
    content = metadata(shards)
    described = [node for node in nodes([content["distribution"], content["recordSet"]]) if "@id" in node]
    ids = [node["@id"] for node in described if "@type" in node]
    assert len(ids) == len(set(ids))
    assert {node["@id"] for node in described} == set(ids)


def test_what_the_card_states_and_the_options_give_is_stated(shards: Path) -> None:
    bare = metadata(shards)
    assert (bare["name"], bare["description"], bare["license"]) == (ABOUT.title, ABOUT.what, ABOUT.licence)
    assert not {"url", "citeAs"} & bare.keys()
    given = metadata(shards, "--url", "https://example.org/shots", "--cite-as", "Doe, 2026")
    assert (given["url"], given["citeAs"]) == ("https://example.org/shots", "Doe, 2026")


def test_the_file_belongs_to_the_shards_and_is_the_same_when_it_is_written_again(shards: Path) -> None:
    before = checksums(shards)
    metadata(shards)
    after = checksums(shards)
    assert {name for name in after if after[name] != before.get(name)} == {"croissant.json", "manifest.json"}
    assert "croissant.json" in {file.name for file in verified_files(shards)}
    metadata(shards)
    assert checksums(shards) == after
