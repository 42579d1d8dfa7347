"""Write questions and their media as a shard folder (layout: `lmms_eval_shotbench/shards.py`), whole or not at all.

Owns the writing: bounded row groups and files, dataset card, manifest, and the swap into place. Everything goes into a
sibling folder `.NAME.partial-PID`, which becomes OUT by one rename, or is removed if anything fails. What the items
and media are is the caller's affair; they are taken one at a time and never held beyond a row group.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from data_pipeline.check_media import Defect
from lmms_eval_shotbench.qa_item import COLUMNS, QAItem
from lmms_eval_shotbench.shards import DATA_VARIABLE, MANIFEST, MEDIA_COLUMNS, file_sha256, shard_features
from lmms_eval_shotbench.vocabulary import DIMENSIONS

if TYPE_CHECKING:
    import pyarrow.parquet as parquet

FORMAT_VERSION = 1
ROW_GROUP_ROWS = 64
ROW_GROUP_BYTES = 8_000_000  # of media; what a reader must take to get at one of them
FILE_BYTES = 400_000_000  # of media; the Hub shows and resumes files of this size well
CARD, DEFECTS = "README.md", "defects.jsonl"
DEFECTS_ON_CARD = 20
Counts = dict[str, dict[str, int]]  # split -> dimension -> rows


class WriteRefused(ValueError):
    """The shards cannot be written there: what is in the way and what to do next."""


@dataclass(frozen=True)
class About:
    """What a card says of its questions beyond what the rows themselves show."""

    title: str
    fingerprint: str  # identifies the source: the same one is not written twice
    what: str
    provenance: str
    how_made: str
    licence: str  # Hub identifier
    tags: tuple[str, ...] = ()


class WrittenShards(NamedTuple):
    """Outcome of `write_shards`."""

    folder: Path
    counts: Counts
    already_complete: bool


def write_shards(
    splits: Mapping[str, Iterable[tuple[QAItem, bytes]]],
    out: Path,
    about: About,
    *,
    overwrite: bool = False,
    defects: Sequence[Defect] = (),
) -> WrittenShards:
    """Write every split's questions and media to `out`.

    Args:
        splits: For each split, its questions with their encoded media; read once, in order.
        overwrite: Replace other shards at `out`, once the new ones are complete.
        defects: What was found wrong; looked at after the last row, so the rows' source may still add to it.

    Raises:
        WriteRefused: something else is at `out`, or there is no row. Nothing is left behind.
    """
    out = Path(os.path.realpath(out.expanduser()))
    _clear_abandoned(out)
    if (finished := finished_manifest(out, about.fingerprint)) and not overwrite:
        return WrittenShards(out, finished["counts"], already_complete=True)
    with _folder_in_progress(out, overwrite) as folder:
        counts = {split: _write_split(folder / "data", split, rows) for split, rows in splits.items()}
        if not any(counts.values()):
            raise WriteRefused(f"no question is left to write to {out}; look at the defects of the source")
        if defects:
            lines = (json.dumps(defect.to_row(), ensure_ascii=False) + "\n" for defect in defects)
            (folder / DEFECTS).write_text("".join(lines), encoding="utf-8")
        (folder / CARD).write_text(_card(folder, counts, about, defects), encoding="utf-8")
        _write_manifest(folder, counts, about.fingerprint)
    return WrittenShards(out, counts, already_complete=False)


def finished_manifest(out: Path, fingerprint: str) -> dict[str, Any] | None:
    """The manifest at `out`, if these are complete shards of this source: same version, every file of its size."""
    try:
        manifest: dict[str, Any] = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        same = (manifest["format_version"], manifest["source_fingerprint"]) == (FORMAT_VERSION, fingerprint)
        whole = same and all((out / name).stat().st_size == file["bytes"] for name, file in manifest["files"].items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return manifest if whole else None


@contextmanager
def _folder_in_progress(out: Path, overwrite: bool) -> Iterator[Path]:
    """Lend a fresh folder beside `out`; move it there if all goes well, else leave things as they were."""
    _check_place(out, overwrite)
    created = [parent for parent in out.parents if not parent.exists()]  # nearest first
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.with_name(f".{out.name}.partial-{os.getpid()}")
    try:
        (folder / "data").mkdir(parents=True)
        yield folder
        _move_into_place(folder, out, overwrite)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            for parent in created:
                parent.rmdir()
        raise


def _check_place(out: Path, overwrite: bool) -> None:
    """Refuse a place that holds anything but shards: not even `overwrite` may delete what no import has written."""
    if not out.name or (out.exists() and not out.is_dir()):
        raise WriteRefused(f"{out} is no folder; choose another --out")
    if not out.exists() or not any(out.iterdir()):
        return
    strangers = sorted({path.name for path in out.iterdir()} - {CARD, DEFECTS, MANIFEST, "data"})
    strangers += sorted(path.name for path in (out / "data").glob("*") if path.suffix != ".parquet")
    if strangers:
        raise WriteRefused(f"{out} holds {strangers[0]!r}, which is no part of a shard folder; choose another --out")
    if not overwrite:
        raise WriteRefused(f"{out} holds shards of another source, or broken ones; choose another --out or --overwrite")


def _clear_abandoned(out: Path) -> None:
    """Remove what a killed process left beside `out`; put shards back that it had only half replaced."""
    for path in out.parent.glob(f".{_literal(out.name)}.*-*"):
        state, _, pid = path.name.removeprefix(f".{out.name}.").partition("-")
        if state not in ("partial", "replaced") or not pid.isdecimal() or _is_other_process(int(pid)):
            continue
        if state == "replaced" and not out.exists():
            path.rename(out)
        else:
            shutil.rmtree(path)


def _literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _is_other_process(pid: int) -> bool:
    """Whether another living process has this id; our own can only be left over, from before a restart."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()


def _move_into_place(folder: Path, out: Path, overwrite: bool) -> None:
    old = out.with_name(f".{out.name}.replaced-{os.getpid()}")
    if overwrite and out.exists():
        out.rename(old)
    try:
        folder.rename(out)  # also over an empty folder
    except OSError as error:
        if old.exists():
            old.rename(out)
        raise WriteRefused(f"{out} came into use meanwhile ({error.strerror}); choose another --out") from error
    shutil.rmtree(old, ignore_errors=True)


def _write_split(folder: Path, split: str, rows: Iterable[tuple[QAItem, bytes]]) -> dict[str, int]:
    """Write one split's files and return its rows by dimension."""
    counts: Counter[str] = Counter()
    writer = _SplitWriter(folder, split)
    try:
        for item, media in rows:
            writer.add(item, media)
            counts[item.dimension] += 1
    finally:
        writer.close()
    for number, path in enumerate(writer.paths):
        path.rename(folder / f"{split}-{number:05d}-of-{len(writer.paths):05d}.parquet")
    return {dimension.slug: counts[dimension.slug] for dimension in DIMENSIONS if counts[dimension.slug]}


class _SplitWriter:
    """Parquet files of one split. Media are left as they are: they are compressed already."""

    def __init__(self, folder: Path, split: str) -> None:
        self.paths: list[Path] = []
        self._folder, self._split, self._schema = folder, split, shard_features().arrow_schema
        self._file: parquet.ParquetWriter | None = None
        self._rows: list[dict[str, Any]] = []
        self._group_bytes = self._file_bytes = 0

    def add(self, item: QAItem, media: bytes) -> None:
        """Take one row; write the row group it fills, and begin a new file where one is full."""
        self._rows.append(item.to_row() | {MEDIA_COLUMNS[item.media_kind]: {"bytes": media, "path": item.media_path}})
        self._group_bytes += len(media)
        if len(self._rows) >= ROW_GROUP_ROWS or self._group_bytes >= ROW_GROUP_BYTES:
            self._write_group()

    def close(self) -> None:
        """Write what is left; a split without rows still gets its file, so that it can be read as empty."""
        if self._rows or not self.paths:
            self._write_group()
        self._close_file()

    def _write_group(self) -> None:
        import pyarrow

        if self._file is None:
            self._file = self._open_file()
        table = pyarrow.Table.from_pylist(self._rows, schema=self._schema)
        self._file.write_table(table, row_group_size=ROW_GROUP_ROWS)
        self._file_bytes += self._group_bytes
        self._rows, self._group_bytes = [], 0
        if self._file_bytes >= FILE_BYTES:
            self._close_file()

    def _open_file(self) -> parquet.ParquetWriter:
        import pyarrow.parquet as parquet

        self.paths.append(self._folder / f"{self._split}-{len(self.paths):05d}.parquet")
        small = [*COLUMNS, "options.list.element"]
        return parquet.ParquetWriter(
            self.paths[-1],
            self._schema,
            compression=dict.fromkeys(small, "zstd"),  # columns that are not named stay uncompressed
            use_dictionary=small,
            write_statistics=list(COLUMNS),
        )

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._file_bytes = None, 0


def _write_manifest(folder: Path, counts: Counts, fingerprint: str) -> None:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = {
        "format_version": FORMAT_VERSION,
        "source_fingerprint": fingerprint,
        "counts": counts,
        "files": {
            path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
            for path in paths
        },
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


# ---- the dataset card ------------------------------------------------------------------------------------------


def _card(folder: Path, counts: Counts, about: About, defects: Sequence[Defect]) -> str:
    """The card: YAML that the Hub and `datasets` read, then what a person wants to know."""
    from huggingface_hub import DatasetCard, DatasetCardData

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
        dataset_info=_dataset_info(folder, counts),
    )
    sections = {
        "What it is": about.what,
        "Questions by dimension": _composition(counts),
        "Defects": _defects(defects),
        "Where it comes from": about.provenance,
        "How it was made": about.how_made,
        "How to load it": LOADING,
    }
    body = "".join(f"\n## {title}\n\n{text.strip()}\n" for title, text in sections.items())
    return str(DatasetCard(f"---\n{header.to_yaml()}\n---\n\n# {about.title}\n{body}"))


LOADING = f"""
```python
import datasets

questions = datasets.load_dataset("FOLDER_OR_HUB_ID", split="test")  # streaming=True works as well
```

Stills are in the column `image`, clips in `video`; the other one is null. For lmms-eval, set
`{DATA_VARIABLE}=FOLDER_OR_HUB_ID` and run the ShotBench tasks. `{MANIFEST}` holds the checksum of every file.
"""


def _dataset_info(folder: Path, counts: Counts) -> dict[str, Any]:
    import datasets

    size = {split: sum(path.stat().st_size for path in (folder / "data").glob(f"{split}-*")) for split in counts}
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


def _composition(counts: Counts) -> str:
    head = ["dimension", "media", *counts]
    lines = [head, ["---"] * 2 + ["---:"] * len(counts)]
    for dimension in DIMENSIONS:
        shares = [by_dimension.get(dimension.slug, 0) for by_dimension in counts.values()]
        if any(shares):
            lines.append([dimension.paper_name, f"{dimension.media_kind}s", *(f"{share:,}" for share in shares)])
    lines.append(["**all**", "", *(f"{sum(by_dimension.values()):,}" for by_dimension in counts.values())])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _defects(defects: Sequence[Defect]) -> str:
    if not defects:
        return "None were found."
    lost = sum(defect.loses_row for defect in defects)
    kinds = Counter((defect.kind, defect.loses_row) for defect in defects)
    lines = [f"{lost:,} rows of the source are left out; all defects are listed in `{DEFECTS}`.", ""]
    lines += [f"* {kind}: {count:,} ({'left out' if out else 'kept'})" for (kind, out), count in kinds.items()]
    first = sorted(defects, key=lambda defect: not defect.loses_row)[:DEFECTS_ON_CARD]  # lost rows come first
    lines += ["", "The first ones:" if len(defects) > len(first) else "They are:", ""]
    lines += [f"* {defect}".replace("\n", " ") for defect in first]
    return "\n".join(lines)
