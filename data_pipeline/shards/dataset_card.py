"""The dataset card `README.md` of a shard folder, and `defects.jsonl`, the list of defects of its source.

Owns the names and content of both files, also how a card is read back and gets another section, and `CardText`, the
text that a caller adds. The card's YAML header is read by the Hub and `datasets`. Counts and the audit section are in
`composition.py`, writing the folder in `write_shards.py`, the defect record in `defects.py`.
"""

from __future__ import annotations

import json
import re
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
ABOUT_SECTIONS = {  # titles of the sections with texts of `CardText`, by its field
    "what": "What it is",
    "provenance": "Where it comes from",
    "how_made": "How it was made",
    "known_limits": "Known limits",
}
BENCHMARK_SECTION = "Evaluate with Inspect"  # see `hub_benchmark.py`
AUDIT_SECTION = "Audit"
COMPUTED_SECTIONS = ("Questions by dimension", "What they give away", "Defects", "How to load it")
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
class CardText:
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
    folder: Path, composition: Composition, about: CardText, defects: Sequence[Defect], data: Collection[FinishedFile]
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
    dimensions, guessed, defect_list, loading = COMPUTED_SECTIONS
    sections = {
        ABOUT_SECTIONS["what"]: about.what,
        dimensions: f"{composition.dimension_table()}\n\n{TERMS.format(composition.term_table())}",
        guessed: composition.audit_markdown,
        **about.sections,
        defect_list: _defects(defects),
        ABOUT_SECTIONS["provenance"]: about.provenance,
        ABOUT_SECTIONS["how_made"]: about.how_made,
        ABOUT_SECTIONS["known_limits"]: about.known_limits,
        loading: LOADING,
    }
    body = "".join(f"\n## {title}\n\n{text.strip()}\n" for title, text in sections.items() if text.strip())
    card = DatasetCard(f"---\n{header.to_yaml()}\n---\n\n# {about.title}\n{body}")
    (folder / CARD).write_text(str(card), encoding="utf-8")


def read_about(folder: Path) -> CardText:
    """Read what `write_card` was given from the card of a finished shard folder; its fingerprint is not in it."""
    from huggingface_hub import DatasetCard

    data = DatasetCard.load(folder / CARD).data.to_dict()
    _, sections = _parts((folder / CARD).read_text(encoding="utf-8"))
    texts = {name: sections.pop(title, "").strip() for name, title in ABOUT_SECTIONS.items()}
    computed = (*COMPUTED_SECTIONS, BENCHMARK_SECTION)
    own = {title: text.strip() for title, text in sections.items() if title not in computed}
    title, licence = str(data.get("pretty_name") or folder.name), str(data.get("license") or "other")
    return CardText(title, "", licence=licence, tags=tuple(data.get("tags") or ()), sections=own, **texts)


def with_section(card: str, title: str, text: str) -> str:
    """Return the content of a card with a section added before its defects, or replaced."""
    head, sections = _parts(card)
    if title not in sections:
        before = list(sections).index(COMPUTED_SECTIONS[2]) if COMPUTED_SECTIONS[2] in sections else len(sections)
        entries = list(sections.items())
        sections = dict([*entries[:before], (title, ""), *entries[before:]])
    sections[title] = f"\n{text.strip()}\n\n"
    return head + "".join(f"## {name}\n{content}" for name, content in sections.items()).rstrip() + "\n"


def with_configs(card: str, configs: Sequence[Mapping[str, Any]], folder: str) -> str:
    """Return the content of a card that also declares these configs, in place of those whose files are in `folder`."""
    from huggingface_hub import DatasetCard

    parsed = DatasetCard(card)
    kept = [
        config
        for config in parsed.data.configs or []
        if not all(file["path"].startswith(f"{folder}/") for file in config["data_files"])
    ]
    parsed.data.configs = [*kept, *configs]
    return str(parsed)


def _parts(card: str) -> tuple[str, dict[str, str]]:
    """Return what precedes the first section of a card, and the text of each section by title."""
    head, *rest = re.split(r"(?m)^## (.+)\n", card)
    return head, dict(zip(rest[::2], rest[1::2], strict=True))


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
