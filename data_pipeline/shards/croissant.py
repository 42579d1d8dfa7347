"""`croissant.json` of a shard folder: its metadata in Croissant 1.1 (https://docs.mlcommons.org/croissant), as JSON-LD.

The Hub writes it itself for public datasets that its viewer shows. This one is for a folder, an object store or a
private repository. Paths are relative to the folder, and each data file has its SHA-256. The fields are the columns of
`QAItem` and the media; a record's split is the start of its file's name.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from data_pipeline.shards.dataset_card import read_about
from data_pipeline.shards.finished_files import DATA
from data_pipeline.shards.folder_lock import only_writer
from data_pipeline.shards.manifest import replace_files, verified_files
from lmms_eval_shotbench.progress import with_progress
from lmms_eval_shotbench.questions.shards import file_sha256, shard_features

CROISSANT = "croissant.json"
PARQUET = "application/x-parquet"
FILES, RECORDS, SPLITS = "parquet-files", "default", "default_splits"  # ids
TYPES = {"string": "sc:Text", "int64": "cr:Int64", "float64": "cr:Float64"}  # of columns
# The context that the specification prescribes; readers warn if a part of it is missing.
CROISSANT_TERMS = (
    "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileObject",
    "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
    "parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator",
    "source", "subField", "transform",
)  # fmt: skip
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
} | {term: f"cr:{term}" for term in CROISSANT_TERMS}


def add_croissant(shards: Path, url: str = "", cite_as: str = "") -> Path:
    """Write `croissant.json` into a finished shard folder and list it in the manifest; returns its path.

    Args:
        url: Address at which the data set is described or published; omitted if empty.
        cite_as: The citation, BibTeX or text; omitted if empty.

    Raises:
        data_pipeline.shards.manifest.Damaged: the folder is incomplete or does not match its manifest.
    """
    verified_files(shards)
    with only_writer(shards):
        content = json.dumps(croissant(shards, url, cite_as), indent=2, ensure_ascii=False) + "\n"
        replace_files(shards, {CROISSANT: content})
    return shards / CROISSANT


def croissant(shards: Path, url: str = "", cite_as: str = "") -> dict[str, Any]:
    """Return the metadata of a shard folder; the arguments are those of `add_croissant`."""
    import pyarrow.parquet as parquet

    about = read_about(shards)
    paths = [path for path in sorted((shards / DATA).glob("*.parquet")) if parquet.read_metadata(path).num_rows]
    splits = list(dict.fromkeys(path.name.rsplit("-", 3)[0] for path in paths))
    optional = {"url": url, "citeAs": cite_as, "keywords": list(about.tags)}
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": about.title,
        "description": about.what,
        "license": about.licence,
        **{name: value for name, value in optional.items() if value},
        "distribution": [
            *(_file_object(shards, path) for path in with_progress(paths, "checksum", len(paths), "file")),
            {
                "@type": "cr:FileSet",
                "@id": FILES,
                "encodingFormat": PARQUET,
                "includes": [f"{DATA}/{split}-*.parquet" for split in splits],
            },
        ],
        "recordSet": [_split_records(splits), {"@type": "cr:RecordSet", "@id": RECORDS, "field": _fields(splits)}],
    }


def _file_object(shards: Path, path: Path) -> dict[str, Any]:
    name = path.relative_to(shards).as_posix()
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": path.name,
        "contentUrl": name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": PARQUET,
        "sha256": file_sha256(path),
    }


def _split_records(splits: list[str]) -> dict[str, Any]:
    """The splits, as records that those of the data set refer to."""
    name = f"{SPLITS}/split_name"
    return {
        "@type": "cr:RecordSet",
        "@id": SPLITS,
        "dataType": "cr:Split",
        "key": {"@id": name},
        "field": [{"@type": "cr:Field", "@id": name, "dataType": "sc:Text"}],
        "data": [{name: split} for split in splits],
    }


def _fields(splits: list[str]) -> list[dict[str, Any]]:
    names = "|".join(map(re.escape, splits))
    path = {
        "fileSet": {"@id": FILES},
        "extract": {"fileProperty": "fullpath"},
        # Matches also its own result, since mlcroissant applies it again when it joins the records of the splits.
        "transform": {"regex": f"(?:{DATA}/)?({names})(?:-.+\\.parquet)?$"},
    }
    split = {"@type": "cr:Field", "@id": f"{RECORDS}/split", "dataType": "sc:Text", "source": path}
    split["references"] = {"field": {"@id": f"{SPLITS}/split_name"}}
    return [split, *(_field(name, feature) for name, feature in shard_features().items())]


def _field(name: str, feature: Any) -> dict[str, Any]:
    """A column; of a medium its bytes."""
    import datasets

    source: dict[str, Any] = {"fileSet": {"@id": FILES}, "extract": {"column": name}}
    field: dict[str, Any] = {"@type": "cr:Field", "@id": f"{RECORDS}/{name}", "source": source}
    if isinstance(feature, (datasets.Image, datasets.Video)):
        source["transform"] = {"jsonPath": "bytes"}
        return field | {"dataType": "sc:ImageObject" if isinstance(feature, datasets.Image) else "sc:VideoObject"}
    if isinstance(feature, datasets.List):
        return field | {"dataType": TYPES[feature.feature.dtype], "isArray": True, "arrayShape": "-1"}
    return field | {"dataType": TYPES[feature.dtype]}
