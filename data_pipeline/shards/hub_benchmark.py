"""What makes a finished shard folder a benchmark on the Hub: `eval.yaml`, and the stills as its framework reads them.

The Hub's frameworks for `eval.yaml` do not include lmms-eval, so the tasks are Inspect's: `inspect eval
hf/ORG/NAME/TASK`. Inspect takes a picture from a text column with a data URL; it fails on an `Image` column, and where
the column is null it asks without the picture. So the stills of the test split are written again, as data URLs, to
`inspect/DIMENSION.parquet`. Each file is a config of the card and a task; clips cannot be given to Inspect this way.
The rules that `eval.yaml` has to follow are in `eval_yaml.py`, the layout of the other files in
`lmms_eval_shotbench/questions/shards.py`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data_pipeline.shards.dataset_card import BENCHMARK_SECTION, CARD, read_about, with_configs, with_section
from data_pipeline.shards.eval_yaml import EVAL_YAML, INSPECT, eval_yaml
from data_pipeline.shards.folder_lock import only_writer
from data_pipeline.shards.full_disk import disk_full_reported
from data_pipeline.shards.manifest import replace_files, verified_files
from data_pipeline.shards.split_writer import ROW_GROUP_BYTES, ROW_GROUP_ROWS
from lmms_eval_shotbench.atomic_file import atomic_path
from lmms_eval_shotbench.media.data_urls import WEB_FORMATS, data_url
from lmms_eval_shotbench.progress import with_progress
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import DatasetNotFound, ShardFolder
from lmms_eval_shotbench.vocabulary import DIMENSIONS, MediaKind, dimension_named

SPLIT = "test"
STILLS = "stills"  # config and task of the stills of all dimensions
TEXT_COLUMNS = ("item_id", "question", "answer")
SECTION = """\
`{eval_yaml}` declares {declared} questions about stills as tasks of [Inspect](https://inspect.aisi.org.uk):

```bash
inspect eval hf/ORG/NAME/{task} --model MODEL
```

The task `{stills}` has the stills of all dimensions. {left_out}The prompt and the grading are Inspect's,
so its scores are not comparable with those of lmms-eval-shotbench, which asks all questions of the split. The configs
other than `default` hold the same stills as data URLs, as Inspect reads them.
"""
CLIPS_LEFT_OUT = (
    "Left out are {count} questions about clips ({dimensions}), since a task of `eval.yaml` cannot show a video. "
)


class NoStills(ValueError):
    """The test split has no question about a still; the message says what to do."""


class Benchmark(NamedTuple):
    """Result of `add_benchmark`."""

    questions: dict[str, int]  # about stills, by dimension
    left_out: int  # questions about clips


def add_benchmark(shards: Path) -> Benchmark:
    """Add `eval.yaml` and its configs to a finished shard folder, in place of older ones; its questions are unchanged.

    Raises:
        NoStills: the folder has no split `test`, or one without stills.
        data_pipeline.shards.manifest.Damaged: the folder is incomplete or does not match its manifest.
    """
    verified_files(shards)
    with only_writer(shards):
        try:
            folder = ShardFolder(shards, SPLIT)
        except DatasetNotFound as error:
            raise NoStills(f"{error}; only a split of that name is a benchmark") from None
        items = list(folder.items())
        stills = _by_dimension(item for item in items if item.media_kind is MediaKind.STILL)
        clips = _by_dimension(item for item in items if item.media_kind is MediaKind.CLIP)
        if not stills:
            raise NoStills(f"the split {SPLIT!r} of {shards} has no stills, and a task of eval.yaml cannot show clips")
        added = [_write_config(shards, slug, questions, folder) for slug, questions in stills.items()]
        done = Benchmark({slug: len(of) for slug, of in stills.items()}, sum(map(len, clips.values())))
        card = with_configs((shards / CARD).read_text(encoding="utf-8"), _configs(list(stills)), INSPECT)
        card = with_section(card, BENCHMARK_SECTION, _section(done, list(clips)))
        content = eval_yaml(read_about(shards).title, _comment(done, list(clips)), [STILLS, *stills])
        replace_files(shards, {EVAL_YAML: content, CARD: card}, added)
    return done


def _by_dimension(items: Iterable[QAItem]) -> dict[str, list[QAItem]]:
    """Questions by dimension, in the vocabulary's order."""
    found: dict[str, list[QAItem]] = {dimension.slug: [] for dimension in DIMENSIONS}
    for item in items:
        found[dimension_named(item.dimension).slug].append(item)
    return {slug: questions for slug, questions in found.items() if questions}


def _configs(slugs: Sequence[str]) -> list[dict[str, Any]]:
    paths = {STILLS: f"{INSPECT}/*.parquet"} | {slug: f"{INSPECT}/{slug}.parquet" for slug in slugs}
    return [{"config_name": name, "data_files": [{"split": SPLIT, "path": path}]} for name, path in paths.items()]


def _write_config(shards: Path, slug: str, questions: Sequence[QAItem], folder: ShardFolder) -> str:
    """Write the questions of a dimension; returns the name of the file."""
    import pyarrow
    import pyarrow.parquet as parquet

    text = pyarrow.string()
    columns = [(name, text) for name in TEXT_COLUMNS] + [("options", pyarrow.list_(text)), ("image", text)]
    schema = pyarrow.schema(columns)
    name = f"{INSPECT}/{slug}.parquet"
    with disk_full_reported(shards / name), atomic_path(shards / name) as draft:
        # zstd undoes base64's growth by a third; distinct long texts need neither a dictionary nor statistics
        writer = parquet.ParquetWriter(
            draft, schema, compression="zstd", use_dictionary=["options.list.element"], write_statistics=False
        )
        with writer:
            for rows in _row_groups(with_progress(questions, slug, len(questions), "still"), folder):
                writer.write_table(pyarrow.Table.from_pylist(rows, schema), row_group_size=len(rows))
    return name


def _row_groups(questions: Iterable[QAItem], folder: ShardFolder) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for item in questions:
        texts = {name: getattr(item, name) for name in TEXT_COLUMNS}
        rows.append({**texts, "options": list(item.options), "image": still_data_url(folder.media(item.item_id))})
        if len(rows) == ROW_GROUP_ROWS or sum(len(row["image"]) for row in rows) >= ROW_GROUP_BYTES:
            yield rows
            rows = []
    if rows:
        yield rows


def still_data_url(encoded: bytes) -> str:
    """Return a still as a data URL: unchanged in a format that every endpoint reads, else as a PNG of the same pixels.

    Raises:
        BrokenMedium: it must be decoded and cannot be.
    """
    from lmms_eval_shotbench.media.stills import open_still, opened_still

    with opened_still(encoded) as picture:
        mime_type = WEB_FORMATS.get(picture.format or "")
    if mime_type:
        return data_url(mime_type, encoded)
    stream = io.BytesIO()
    open_still(encoded).save(stream, "PNG")
    return data_url("image/png", stream.getvalue())


def _comment(done: Benchmark, clips: Sequence[str]) -> str:
    lines = ["Stills of the split test, for: inspect eval hf/ORG/NAME/TASK"]
    if done.left_out:
        lines.append(f"Not declared: {done.left_out} questions about clips ({', '.join(clips)});")
        lines.append("a task cannot show a video.")
    lines.append("Prompt and grading are Inspect's. For those of the paper and all questions, use lmms-eval-shotbench.")
    return "".join(f"# {line}\n" for line in lines)


def _section(done: Benchmark, clips: Sequence[str]) -> str:
    left_out = CLIPS_LEFT_OUT.format(count=f"{done.left_out:,}", dimensions=", ".join(clips)) if clips else ""
    declared = f"{sum(done.questions.values()):,}"
    task = next(iter(done.questions))
    return SECTION.format(eval_yaml=EVAL_YAML, declared=declared, task=task, stills=STILLS, left_out=left_out)
