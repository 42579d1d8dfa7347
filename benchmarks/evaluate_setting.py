"""What both sides of `evaluate.py` are given: items, their media as shards and as files, and a checkpoint.

Without shards, media are drawn: stills of 1280x720, clips of 1280x720, 24 frames per second and 2 to 8 seconds, which
take about as long to decode as film. The checkpoint is the tiny random Qwen2.5-VL with the pixel limits of the released
ones, or the given ones, without suppressed tokens, and with sharper attention: responses then depend on the medium and
on the positions of its tokens.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from stand_in_release import MediaSettings, make_release, real_questions

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import MediaKind

MIN_PIXELS, MAX_PIXELS = 3136, 12_845_056  # of the released checkpoints
SHARPER = 6.0  # factor on queries and keys; the attention of the random model is otherwise nearly uniform
Value = TypeVar("Value")


class Setting(NamedTuple):
    """Inputs of every side."""

    shards: Path
    files: dict[str, Path]  # the same media as files, by item
    checkpoint: Path
    items: list[QAItem]
    new_tokens: int
    workers: int
    max_pixels: int  # of a still, and of a frame if the protocol's limit is higher
    device: str = "cpu"

    def of_kind(self, kind: MediaKind) -> list[QAItem]:
        """Items on stills, or on clips."""
        return [item for item in self.items if item.media_kind is kind]


def prepare(work: Path, shards: Path | None, counts: dict[MediaKind, int], new_tokens: int, max_pixels: int) -> Setting:
    """Draw media unless shards are given, select items evenly, and write their media as files, as in a release."""
    shards = shards or stand_in_shards(work, counts, MediaSettings(clip_size=(1280, 720), clip_preset="fast"))
    folder = ShardFolder(shards)
    by_kind = {kind: [item for item in folder.items() if item.media_kind is kind] for kind in counts}
    items = [item for kind, count in counts.items() for item in spread(by_kind[kind], count)]
    files = {item.item_id: work / f"{n}{Path(item.media_path).suffix}" for n, item in enumerate(items)}
    for key, path in files.items():
        path.write_bytes(folder.media(key))
    _make_checkpoint(work / "checkpoint", max_pixels)
    return Setting(shards, files, work / "checkpoint", items, new_tokens, len(os.sched_getaffinity(0)), max_pixels)


def stand_in_shards(work: Path, counts: dict[MediaKind, int], media: MediaSettings) -> Path:
    """Write shards with so many real questions of each kind on drawn media, and return their folder."""
    head, *lines = real_questions().read_text(encoding="utf-8").splitlines(keepends=True)
    items = list(map(QAItem.from_release_row, csv.DictReader([head, *lines], delimiter="\t")))
    chosen = []
    for kind, count in counts.items():
        chosen += spread([line for item, line in zip(items, lines, strict=True) if item.media_kind is kind], count)
    questions, release, shards = work / "questions.tsv", work / "release", work / "shards"
    questions.write_text("".join([head, *chosen]), encoding="utf-8")
    make_release(questions, release, media, show=False)
    command = [
        sys.executable,
        "-m",
        "lmms_eval_shotbench.cli",
        "data",
        "import-shotbench",
        str(release),
        "--out",
        str(shards),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return shards


def spread(values: Sequence[Value], count: int) -> list[Value]:
    count = min(count, len(values))
    return [values[number * len(values) // count] for number in range(count)]


def _make_checkpoint(folder: Path, max_pixels: int) -> None:
    from safetensors.torch import load_file, save_file

    from lmms_eval_shotbench.qwen.tiny_qwen import make_tiny_qwen

    make_tiny_qwen(folder)
    path = folder / "generation_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({name: settings[name] for name in settings if not name.endswith("suppress_tokens")}))
    path = folder / "processor_config.json"
    settings = json.loads(path.read_text())
    for part in ("image_processor", "video_processor"):
        settings[part]["size"] = {"shortest_edge": MIN_PIXELS, "longest_edge": max_pixels}
    path.write_text(json.dumps(settings))
    path = folder / "config.json"
    settings = json.loads(path.read_text())
    text = settings["text_config"]  # half as many heads of twice the size, since vLLM on a CPU has none of 16
    for name in ("num_attention_heads", "num_key_value_heads"):
        text[name] //= 2
    text["rope_parameters"]["mrope_section"] = [2 * pairs for pairs in text["rope_parameters"]["mrope_section"]]
    path.write_text(json.dumps(settings))
    weights = load_file(folder / "model.safetensors")
    sharper = {name: SHARPER * values for name, values in weights.items() if "q_proj" in name or "k_proj" in name}
    save_file(weights | sharper, folder / "model.safetensors", metadata={"format": "pt"})
