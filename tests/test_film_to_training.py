"""The whole way in one piece: films of the studio and their table, shards, evaluation, and verl's own data classes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.workers import Workers
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.prompts import plain_reasoning
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import DIMENSIONS, MediaKind

pytestmark = [pytest.mark.verl, pytest.mark.ray, pytest.mark.host, pytest.mark.timeout(900)]
SPLITS = ("sft", "grpo", "dev", "test")
SIZE = "64"  # pixels across: most of the time goes into pixels, and 320, the studio's usual, would show no more


@pytest.fixture(scope="module")
def raw_films(tmp_path_factory: pytest.TempPathFactory, two_workers: Workers) -> Path:
    """Four films as mp4 with their annotation table: one for each split."""
    folder = tmp_path_factory.mktemp("raw") / "studio"
    command = ["data", "studio", "--raw", "--films", "4", "--width", SIZE, "--out", str(folder)]
    command += ["--workers", str(two_workers.count)]
    assert main(command) == 0
    assert len(list((folder / "films").glob("*.mp4"))) == 4
    return folder


@pytest.fixture(scope="module")
def shards(raw_films: Path, two_workers: Workers) -> Path:
    """From films to shards by one command."""
    out, settings = raw_films.parent / "shards", raw_films.parent / "small.toml"
    settings.write_text("least_side = 32\n")  # of such small films
    command = ["data", "films", str(raw_films / "films"), "--table", str(raw_films / "annotations.csv")]
    command += ["--out", str(out)]
    command += ["--splits", "sft:1,grpo:1,dev:1,test:1", "--config", str(settings), "--workers", str(two_workers.count)]
    command += ["--reasoning"]
    assert main(command) == 0
    return out


def test_every_split_has_its_own_film_and_every_dimension_its_questions(shards: Path) -> None:
    films = {}
    for split in SPLITS:
        items = list(ShardFolder(shards, split).items())
        films[split] = {item.film_id for item in items}
        counts = Counter(item.dimension for item in items)
        assert len(counts) == len(DIMENSIONS), counts
        assert {item.media_kind for item in items} == set(MediaKind)
    assert sorted(len(names) for names in films.values()) == [1, 1, 1, 1]
    assert len(set.union(*films.values())) == 4


def test_every_question_has_a_sentence_of_reasoning_if_it_is_asked_for(shards: Path) -> None:
    items = list(ShardFolder(shards, "sft").items())
    assert [item.reasoning for item in items] == [plain_reasoning(item) for item in items]
    assert "--reasoning" in (shards / "README.md").read_text()


def test_card_audit_and_defects_say_what_became_of_the_films(shards: Path) -> None:
    card = (shards / "README.md").read_text()
    assert "## Audit" in card
    assert all(dimension.paper_name in card for dimension in DIMENSIONS)
    audit = json.loads((shards / "audit.json").read_text())
    assert audit["failures"] == []


def test_datasets_loads_all_splits_with_their_pictures(shards: Path) -> None:
    import datasets

    loaded = datasets.load_dataset(str(shards), cache_dir=str(shards.parent / "cache"))
    assert set(loaded) == set(SPLITS)
    stills = loaded["dev"].filter(lambda kind: kind == str(MediaKind.STILL), input_columns="media_kind")
    assert stills[0]["image"].size[0] >= 64


def test_lmms_eval_evaluates_the_test_split(shards: Path, tiny_model: Path, tmp_path: Path) -> None:
    command = ["eval", "--tasks", "shotbench", "--data", str(shards), "--out", str(tmp_path / "run")]
    command += ["--model", "shotvl", "--model_args", f"pretrained={tiny_model},device=cpu"]
    command += ["--gen_kwargs", "max_new_tokens=1", "--verbosity", "ERROR"]
    assert main(command) == 0
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert len(scores["items"]) == len(list(ShardFolder(shards, "test").items()))


def test_responses_sampled_on_another_split_go_into_its_difficulty(
    shards: Path, tiny_model: Path, tmp_path: Path
) -> None:
    runs = []
    for seed in ("1", "2"):
        runs.append(str(tmp_path / f"run-{seed}"))
        command = [
            "eval",
            "--tasks",
            "shotbench_reasoning",
            "--split",
            "grpo",
            "--data",
            str(shards),
            "--out",
            runs[-1],
        ]
        command += ["--model", "shotvl", "--model_args", f"pretrained={tiny_model},device=cpu", "--verbosity", "ERROR"]
        command += ["--gen_kwargs", f"max_new_tokens=1,temperature=1.0,seed={seed}"]
        assert main(command) == 0
    chosen = tmp_path / "chosen"
    command = ["data", "difficulty", str(shards), "--split", "grpo", "--responses", *runs, "--out", str(chosen)]
    assert main([*command, "--min-samples", "2"]) == 0
    kept = {item.item_id for item in ShardFolder(chosen, "grpo").items()}
    assert 0 < len(kept) < len(list(ShardFolder(shards, "grpo").items()))


def test_verls_own_classes_read_the_training_splits(
    shards: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from omegaconf import OmegaConf
    from transformers import AutoProcessor
    from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset
    from verl.utils.dataset.rl_dataset import RLHFDataset

    monkeypatch.setenv("FORCE_QWENVL_VIDEO_READER", "decord")
    for split in ("sft", "grpo"):
        command = ["train", "rows", str(shards), "--split", split, "--for", split, "--out", str(tmp_path / "rows")]
        assert main(command) == 0
    processor: Any = AutoProcessor.from_pretrained(tiny_model)
    config = OmegaConf.create({"max_length": 8192, "pad_mode": "no_padding", "truncation": "error"})
    taught = MultiTurnSFTDataset(str(tmp_path / "rows/sft.parquet"), processor.tokenizer, config, processor)
    for number, item in enumerate(ShardFolder(shards, "sft").items()):
        row = taught[number]
        assert processor.tokenizer.decode(row["input_ids"][row["loss_mask"] == 1]).startswith(item.answer)
    config = OmegaConf.create(
        {"max_prompt_length": 8192, "cache_dir": str(tmp_path), "filter_overlong_prompts_workers": None}
    )
    asked = RLHFDataset(str(tmp_path / "rows/grpo.parquet"), processor.tokenizer, config, processor)
    items = list(ShardFolder(shards, "grpo").items())
    assert len(asked) == len(items)
    assert [asked[number]["reward_model"]["ground_truth"] for number in range(len(asked))] == [
        item.answer for item in items
    ]
