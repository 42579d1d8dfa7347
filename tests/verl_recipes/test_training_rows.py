"""The training rows, read back by verl's own dataset classes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

pytestmark = pytest.mark.verl
pytest.importorskip("verl")
pytest.importorskip("torch")

from omegaconf import OmegaConf
from PIL import Image

from data_pipeline.shards.dataset_card import CardText
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.prompts import DIRECT, REASONING, user_text
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE
from tests.support.rendered_clips import Rendering, render
from verl_recipes.training_rows import RowsRefused, write_training_rows

ABOUT = CardText("Small", "print-1", "A test.", "Nowhere.", "By hand.", "apache-2.0")
SPLITS = ("sft", "grpo", "test")
THOUGHT = "<think>The head fills the frame.</think><answer>{}</answer>"


def shard_rows(split: str, film: str) -> list[PendingRow]:
    """Two stills and a clip of one film."""
    rows = []
    for number, dimension in enumerate((SHOT_SIZE, SHOT_SIZE, CAMERA_MOVEMENT)):
        if dimension is CAMERA_MOVEMENT:
            medium, name = render(Rendering(frames=12, size=(64, 36))), f"{film}/{number}.mp4"
        else:
            stream = io.BytesIO()
            Image.new("RGB", (64, 48), (number * 90, 40, len(film))).save(stream, "PNG")
            medium, name = stream.getvalue(), f"{film}/{number}.png"
        options, letter = tuple(term.name for term in dimension.terms[:4]), "BCD"[number]
        item = QAItem(
            f"{film}-{number}", dimension.slug, dimension.question, options, letter, dimension.media_kind, name,
            source="small", source_index=number, film_id=film, reasoning=THOUGHT.format(letter),
        )  # fmt: skip
        rows.append(PendingRow.of(split, replace(item, media_sha256=f"{film}{number}"), medium))
    return rows


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "shards"
    rows = [row for split in SPLITS for row in shard_rows(split, f"film-{split}")]
    write_shards(rows, folder, ABOUT, splits=SPLITS)
    return folder


@pytest.fixture(scope="module")
def processor(tiny_model: Path) -> Any:
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(tiny_model)


@pytest.fixture
def frames_by_decord(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_QWENVL_VIDEO_READER", "decord")


@pytest.mark.parametrize("style", [DIRECT, REASONING], ids=lambda style: style.name)
def test_in_verls_sft_dataset_only_the_answer_is_in_the_loss(
    shards: Path, processor: Any, tmp_path: Path, frames_by_decord: None, style: Any
) -> None:
    from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset

    path = write_training_rows(str(shards), "sft", tmp_path / "rows", "sft", style)
    config = OmegaConf.create({"max_length": 8192, "pad_mode": "no_padding", "truncation": "error"})
    dataset = MultiTurnSFTDataset(str(path), processor.tokenizer, config, processor)
    items = list(ShardFolder(shards, "sft").items())
    assert len(dataset) == len(items) == 3
    for row, item in zip(dataset, items, strict=True):
        shown, learnt = row["input_ids"], row["input_ids"][row["loss_mask"] == 1]
        answer = item.reasoning if style is REASONING else item.answer
        assert processor.tokenizer.decode(learnt, skip_special_tokens=True).strip() == answer
        text = processor.tokenizer.decode(shown, skip_special_tokens=True)
        assert user_text(item) in text
        assert style.system in text
        grid = row["multi_modal_inputs"]["video_grid_thw" if item.media_path.endswith("mp4") else "image_grid_thw"]
        assert grid[0, 0] == (6 // 2 if item.media_path.endswith("mp4") else 1)  # 12 frames at 24 fps are 6 at 12 fps


def test_verls_rl_dataset_has_the_medium_and_the_question_for_the_grader(
    shards: Path, processor: Any, tmp_path: Path, frames_by_decord: None
) -> None:
    from verl.utils.dataset.rl_dataset import RLHFDataset

    path = write_training_rows(str(shards), "grpo", tmp_path / "rows", "grpo", REASONING)
    config = OmegaConf.create(
        {"max_prompt_length": 8192, "cache_dir": str(tmp_path), "filter_overlong_prompts_workers": None}  # no fork here
    )
    dataset = RLHFDataset(str(path), processor.tokenizer, config, processor)
    items = list(ShardFolder(shards, "grpo").items())
    assert len(dataset) == 3, "no prompt is too long and none fails"
    for row, item in zip((dataset[index] for index in range(3)), items, strict=True):
        system, user = row["raw_prompt"]
        assert system["content"] == REASONING.system or system["content"][0]["text"] == REASONING.system
        medium, text = user["content"]
        assert text["text"] == user_text(item)
        assert Path(medium[medium["type"]]).read_bytes() == ShardFolder(shards, "grpo").media(item.item_id)
        assert row["data_source"] == f"small/{item.dimension}"
        assert row["reward_model"] == {"style": "rule", "ground_truth": item.answer}
        assert QAItem.from_row(json.loads(row["extra_info"]["item"])) == item
        assert row["index"] == item.source_index
    assert dataset[2]["raw_prompt"][1]["content"][0]["fps"] == 12


def modified(rows: list[PendingRow], **changes: Any) -> list[PendingRow]:
    return [row._replace(item=replace(row.item, **changes)) for row in rows]


@pytest.mark.parametrize(
    ("change", "style", "words"),
    [
        (lambda rows: modified(rows, film_id="film-test"), DIRECT, "film film-test"),
        (lambda rows: modified(rows, film_id="", media_sha256="film-test0"), DIRECT, "medium film-test0"),
        (lambda rows: modified(rows, reasoning=""), REASONING, "no reasoning"),
        (lambda rows: modified(rows, question="Is <image> a shot?"), DIRECT, "contains <image>"),
    ],
    ids=["film of the test", "medium of the test", "no reasoning", "a placeholder in the text"],
)
def test_shards_that_must_not_be_trained_on_are_refused(
    tmp_path: Path, change: Callable[[list[PendingRow]], list[PendingRow]], style: Any, words: str
) -> None:
    rows = [*change(shard_rows("sft", "film-sft")), *shard_rows("test", "film-test")]
    write_shards(rows, tmp_path / "shards", ABOUT, splits=("sft", "test"))
    with pytest.raises(RowsRefused, match=words):
        write_training_rows(str(tmp_path / "shards"), "sft", tmp_path / "rows", "sft", style)
    assert not (tmp_path / "rows" / "sft.parquet").exists()


def test_a_medium_is_stored_once_and_rows_have_paths_only(shards: Path, tmp_path: Path) -> None:
    for style in (DIRECT, REASONING):
        path = write_training_rows(str(shards), "sft", tmp_path / "rows", "sft", style)
    assert len(list((tmp_path / "rows" / "media").iterdir())) == 3
    assert parquet.read_table(path).nbytes < 10_000
