"""The questions of one studio film distributed over four splits, one film each, for runs that need every split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from data_pipeline.shards.dataset_card import CardText
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.prompts import plain_reasoning
from lmms_eval_shotbench.questions.shards import ShardFolder

SHARES = {"sft": 4, "grpo": 2, "dev": 1, "test": 1}  # eighths
ABOUT = CardText("Four films", "four-films", "A test.", "The studio's.", "By a test.", "apache-2.0")


def write_split_shards(studio_shards: Path, out: Path) -> Path:
    """Write the questions of the studio film as splits sft, grpo, dev and test, each with its own film id."""
    folder = ShardFolder(studio_shards, "test")
    cycle = [split for split, share in SHARES.items() for _ in range(share)]
    rows = []
    for index, item in enumerate(folder.items()):
        split = cycle[index % len(cycle)]
        changed = replace(item, film_id=f"film-of-{split}", reasoning=plain_reasoning(item))
        rows.append(PendingRow.of(split, changed, folder.media(item.item_id)))
    write_shards(rows, out, ABOUT, splits=tuple(SHARES))
    return out
