"""Write question shards as verl's training rows: `messages` for SFT, `prompt` and a rule-based reward for GRPO.

    ROWS/
      media/<sha256>.jpg|.png|.mp4|…   each medium once, with the bytes of the shards
      <split>.parquet                  the rows; written last, so a folder without it is incomplete

The columns are those of verl 0.9's `MultiTurnSFTDataset` and `RLHFDataset`. Films of the test split are refused.

Rows contain the paths of media, not their bytes, because verl's SFT dataset keeps all rows of a file in the memory of
every rank. All nodes of a cluster must see the folder under the same path. A clip's frame rate and pixel limits are
those of the evaluation's protocol, and so is the prompt (`lmms_eval_shotbench/prompts.py`). `extra_info.item` of a GRPO
row is the question as JSON, which the grader needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from lmms_eval_shotbench import prompts
from lmms_eval_shotbench.atomic_file import atomic_path, write_atomic
from lmms_eval_shotbench.media.clips import CLIP_FPS, CLIP_MAX_PIXELS, CLIP_MIN_PIXELS
from lmms_eval_shotbench.progress import with_progress
from lmms_eval_shotbench.prompts import PromptStyle
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import DatasetNotFound, ShardFolder, locate_shards
from lmms_eval_shotbench.vocabulary import MediaKind

Purpose = Literal["sft", "grpo"]
MARKS = {MediaKind.STILL: "<image>", MediaKind.CLIP: "<video>"}  # placeholders that verl replaces with the media


class RowsRefused(ValueError):
    """The shards must not be trained on (test films), or cannot be (no reasoning, a media placeholder in a text)."""


def write_training_rows(
    shards: str, split: str, out: Path, purpose: Purpose, style: PromptStyle = prompts.DIRECT
) -> Path:
    """Write one split of a shard folder or Hub dataset as verl's rows; return the path of the parquet file.

    Args:
        shards: Shard folder or Hub id.
        split: Split to write.
        out: Folder for the parquet file and the media.
        purpose: `sft` for rows that end with the correct answer as the assistant's turn (for all styles but the direct
            one, the item's reasoning, which ends in the answer), `grpo` for prompts with a rule-based reward.
        style: Prompt style.

    Raises:
        DatasetNotFound: There are no such shards or no such split.
        RowsRefused: A film or medium is also in the test split, a question contains a media placeholder of verl, or an
            item has no reasoning and the style needs it.
    """
    import pyarrow
    import pyarrow.parquet as parquet

    folder = locate_shards(shards)
    source = ShardFolder(folder, split)
    items = list(source.items())
    refuse_tested(items, split, folder)
    rows = []
    for item in with_progress(items, f"rows of {split}", len(items), "row"):
        medium = _store_medium(source, item, out / "media")
        rows.append((_sft_row if purpose == "sft" else _grpo_row)(item, split, style) | _media_columns(item, medium))
    path = out / f"{split}.parquet"
    with atomic_path(path) as draft:
        parquet.write_table(pyarrow.Table.from_pylist(rows, schema=_schema(purpose)), draft)
    return path


def refuse_tested(items: Iterable[QAItem], split: str, tested_in: Path) -> None:
    """Raise `RowsRefused` if a film or medium of a split is also in the test split of `tested_in`."""
    try:
        tested = {name for item in ShardFolder(tested_in, "test").items() for name in _origins(item)}
    except DatasetNotFound:
        return  # a folder without a test split
    for item in items:
        if shared := tested.intersection(_origins(item)):
            raise RowsRefused(
                f"{item.item_id} of split {split!r} comes from {min(shared)}, which {tested_in} tests with; "
                "training on it would invalidate every score. Split by film (shotbench data films does) and try again"
            )


def _origins(item: QAItem) -> Iterator[str]:
    """What training and test data must not share: the film, if known, and the medium."""
    if item.film_id:
        yield f"film {item.film_id}"
    yield f"medium {item.medium}"


def _store_medium(source: ShardFolder, item: QAItem, folder: Path) -> Path:
    """Store the medium unless it exists."""
    path = folder.absolute() / medium_name(item)
    if not path.exists():
        write_atomic(path, source.media(item.item_id))
    return path


def medium_name(item: QAItem) -> str:
    """Name of the stored medium of an item: its SHA-256, or the item id if the shards have none."""
    suffix = Path(item.media_path).suffix.lower() or (".mp4" if item.media_kind is MediaKind.CLIP else ".jpg")
    return f"{item.media_sha256 or item.item_id}{suffix}"


def _media_columns(item: QAItem, medium: Path) -> dict[str, Any]:
    if item.media_kind is MediaKind.STILL:
        return {"images": [{"image": str(medium)}], "videos": []}
    limits = {"fps": CLIP_FPS, "min_pixels": CLIP_MIN_PIXELS, "max_pixels": CLIP_MAX_PIXELS}
    return {"images": [], "videos": [{"video": str(medium)} | limits]}


def _prompt(item: QAItem, style: PromptStyle) -> list[dict[str, str]]:
    text = prompts.user_text(item)
    if marks := [mark for mark in (*MARKS.values(), "<audio>") if mark in text]:
        raise RowsRefused(f"{item.item_id}: its text contains {marks[0]}, which verl would take for a medium")
    return [
        {"role": "system", "content": style.system},
        {"role": "user", "content": f"{MARKS[item.media_kind]}{text}"},
    ]


def _sft_row(item: QAItem, split: str, style: PromptStyle) -> dict[str, Any]:
    with_reasoning = style is not prompts.DIRECT
    if with_reasoning and not item.reasoning:
        raise RowsRefused(
            f"{item.item_id} has no reasoning, which the style {style.name} needs; run shotbench data chains first"
        )
    answer = item.reasoning if with_reasoning else style.well_formed(item.answer)
    return {"messages": [*_prompt(item, style), {"role": "assistant", "content": answer}]}


def _grpo_row(item: QAItem, split: str, style: PromptStyle) -> dict[str, Any]:
    return {
        "data_source": f"{item.source or 'shots'}/{item.dimension}",  # verl averages validation metrics by data source
        "prompt": _prompt(item, style),
        "ability": item.dimension,
        "reward_model": {"style": "rule", "ground_truth": item.answer},
        "extra_info": {"index": item.source_index, "split": split, "item": json.dumps(item.to_row())},
    }


def _schema(purpose: Purpose) -> Any:
    """Arrow schema of the rows; it does not depend on which media a split has."""
    import pyarrow

    text, integer = pyarrow.string(), pyarrow.int64()
    chat = pyarrow.list_(pyarrow.struct({"role": text, "content": text}))
    clip = {"video": text, "fps": pyarrow.float64(), "min_pixels": integer, "max_pixels": integer}
    media = {"images": pyarrow.list_(pyarrow.struct({"image": text})), "videos": pyarrow.list_(pyarrow.struct(clip))}
    if purpose == "sft":
        return pyarrow.schema({"messages": chat} | media)
    reward = pyarrow.struct({"style": text, "ground_truth": text})
    extra = pyarrow.struct({"index": integer, "split": text, "item": text})
    return pyarrow.schema(
        {"data_source": text, "prompt": chat, "ability": text, "reward_model": reward, "extra_info": extra} | media
    )
