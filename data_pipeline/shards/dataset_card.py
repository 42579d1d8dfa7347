"""The dataset card `README.md` of a shard folder, and `defects.jsonl`, the list of defects of its source.

Owns the names and content of both files, and `About`, the text that a caller adds. The card's YAML header is read by
the Hub and `datasets`. Counts and the audit section are in `composition.py`, writing the folder in `write_shards.py`,
the defect record in `defects.py`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_pipeline.defects import Defect, DefectKind
from data_pipeline.shards.composition import Composition, Counts
from data_pipeline.shards.finished_files import FinishedFile
from lmms_eval_shotbench.environment import DATA_VARIABLE
from lmms_eval_shotbench.questions.shards import MANIFEST, shard_features
from lmms_eval_shotbench.remote_path import Location

CARD, DEFECTS = "README.md", "defects.jsonl"
DEFECTS_ON_CARD = 20
STORED_UPRIGHT = "except that a still with an EXIF orientation is stored upright, as PNG with the same pixels"
LOADING = f"""
```python
import datasets

questions = datasets.load_dataset("FOLDER_OR_HUB_ID", split="test")  # streaming=True works as well
```

Stills are in the column `image`, clips in `video`; the other one is null. For lmms-eval, set
`{DATA_VARIABLE}=FOLDER_OR_HUB_ID` and run the ShotBench tasks. `{MANIFEST}` holds the checksum of every file.
"""
TERMS = """
<details><summary>Right answers by term</summary>

An answer that names several terms counts once for each of them.

{}

</details>
"""


@dataclass(frozen=True)
class About:
    """Card text that cannot be derived from the rows, and the fingerprint of their source."""

    title: str
    fingerprint: str  # identifies the source; shards with the same fingerprint are not written again
    what: str
    provenance: str
    how_made: str
    licence: str  # Hub identifier
    tags: tuple[str, ...] = ()
    known_limits: str = ""
    sections: Mapping[str, str] = field(default_factory=dict)  # additional sections by title, e.g. an audit


def write_defects(folder: Path, defects: Sequence[Defect]) -> None:
    """Write the list of defects as JSONL; no file is written if there are none."""
    if defects:
        lines = (json.dumps(defect.to_row(), ensure_ascii=False) + "\n" for defect in defects)
        (folder / DEFECTS).write_text("".join(lines), encoding="utf-8")


def read_defects(folder: Location) -> list[Defect]:
    """Read the list of defects of a finished shard folder."""
    if not (folder / DEFECTS).is_file():
        return []
    rows = map(json.loads, (folder / DEFECTS).read_text(encoding="utf-8").splitlines())
    return [Defect(**{**row, "kind": DefectKind(row["kind"])}) for row in rows]


def write_card(
    folder: Path, composition: Composition, about: About, defects: Sequence[Defect], data: Collection[FinishedFile]
) -> None:
    """Write the card: a YAML header for the Hub and `datasets`, then sections for readers."""
    from huggingface_hub import DatasetCard, DatasetCardData

    # Splits without rows are not declared: `datasets` fails on them and then loads none of the others.
    counts = {split: rows for split, rows in composition.counts.items() if rows}
    header = DatasetCardData(
        language="en",
        license=about.licence,
        pretty_name=about.title,
        task_categories=["visual-question-answering", "multiple-choice"],
        tags=list(about.tags),
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*.parquet"} for split in counts],
            }
        ],
        dataset_info=_dataset_info(data, counts),
    )
    sections = {
        "What it is": about.what,
        "Questions by dimension": f"{composition.dimension_table()}\n\n{TERMS.format(composition.term_table())}",
        "What they give away": composition.audit_markdown,
        **about.sections,
        "Defects": _defects(defects),
        "Where it comes from": about.provenance,
        "How it was made": about.how_made,
        "Known limits": about.known_limits,
        "How to load it": LOADING,
    }
    body = "".join(f"\n## {title}\n\n{text.strip()}\n" for title, text in sections.items() if text.strip())
    card = DatasetCard(f"---\n{header.to_yaml()}\n---\n\n# {about.title}\n{body}")
    (folder / CARD).write_text(str(card), encoding="utf-8")


def _dataset_info(data: Collection[FinishedFile], counts: Counts) -> dict[str, Any]:
    import datasets

    size = {split: sum(file.bytes for file in data if file.split == split) for split in counts}
    rows = {split: sum(by_dimension.values()) for split, by_dimension in counts.items()}
    info = datasets.DatasetInfo(
        features=shard_features(),
        splits=datasets.SplitDict(
            {split: datasets.SplitInfo(split, size[split], rows[split]) for split in counts},
        ),
        download_size=sum(size.values()),
        dataset_size=sum(size.values()),
    )
    card: Any = {}
    datasets.info.DatasetInfosDict({"default": info}).to_dataset_card_data(card)
    return dict(card["dataset_info"])


def _defects(defects: Sequence[Defect]) -> str:
    if not defects:
        return "None were found."
    lost = sum(defect.loses_row for defect in defects)
    kinds = Counter((defect.kind, defect.loses_row) for defect in defects)
    lines = [f"{lost:,} rows of the source are left out; all defects are listed in `{DEFECTS}`.", ""]
    lines += [f"* {kind}: {count:,} ({'left out' if out else 'kept'})" for (kind, out), count in kinds.items()]
    first = sorted(defects, key=lambda defect: not defect.loses_row)[:DEFECTS_ON_CARD]  # dropped rows first
    lines += ["", "The first ones:" if len(defects) > len(first) else "They are:", ""]
    lines += [f"* {defect}".replace("\n", " ") for defect in first]
    return "\n".join(lines)
