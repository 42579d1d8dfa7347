"""Selecting questions for GRPO: middle difficulty, the uniform share, and which runs are counted."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.commands.difficulty import bin_of
from data_pipeline.defects import DefectKind
from data_pipeline.questions.difficulty import (
    PASS_RATES,
    Chosen,
    DifficultySettings,
    NoneChosen,
    choose_items,
    write_difficulty,
)
from data_pipeline.questions.sampled_responses import PassRate, count_correct
from data_pipeline.questions.source_split import SourceSplit
from data_pipeline.shards.dataset_card import read_defects
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import MANIFEST, ShardFolder, file_sha256
from lmms_eval_shotbench.runs.responses import BadResponses
from lmms_eval_shotbench.vocabulary import DIMENSIONS
from tests.support.items import make_item
from tests.support.vision_server import rows, small_shards

RIGHT = {row.item.source_index: row.item.answer for row in rows(12)}


def wrong(index: int) -> str:
    return "A" if RIGHT[index] != "A" else "B"


def answers(index: int, right: int, of: int) -> list[dict[str, Any]]:
    texts = [RIGHT[index]] * right + [wrong(index)] * (of - right)
    return [{"index": index, "response": f"<think>Hm.</think><answer>{text}</answer>"} for text in texts]


def write_jsonl(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def eval_folder(folder: Path, lines: list[dict[str, Any]], **run: Any) -> Path:
    """A folder as written by `shotbench eval`, reduced to what is read."""
    write_jsonl(folder / "samples.jsonl", lines)
    passes = {"stills": {"model_args": "pretrained=base,batch_size=4"}}
    settings = {"model": "shotvl", "prompt_style": "reasoning", "passes": passes, "passed_on": [], "split": "grpo"}
    (folder / "scores.json").write_text(json.dumps({"run": settings | run}))
    return folder


def graded(tmp_path: Path) -> tuple[Path, Path]:
    """Twelve items: 0 always correct, 1 never, 2 with too few responses, 3 with none, the others sometimes correct."""
    shards = small_shards(tmp_path / "in", 12, "grpo")
    lines = answers(0, 4, 4) + answers(1, 0, 4) + answers(2, 1, 3)
    for index in range(4, 12):
        lines += answers(index, 1 + index % 3, 4)
    random.Random(1).shuffle(lines)
    return shards, write_jsonl(tmp_path / "run.jsonl", lines)


def test_the_middle_is_kept_and_every_other_item_has_a_defect(tmp_path: Path) -> None:
    shards, run = graded(tmp_path)
    done = write_difficulty(str(shards), "grpo", [run], tmp_path / "out", DifficultySettings(uniform_share=0))
    written = ShardFolder(tmp_path / "out", "grpo")
    given = [row for row in rows(12, "grpo") if row.item.source_index >= 4]
    assert list(written.items()) == [row.item for row in given]
    assert [written.media(row.item.item_id) for row in given] == [row.read() for row in given]
    defects = {defect.index: (defect.kind, defect.detail) for defect in read_defects(tmp_path / "out")}
    assert defects == {
        "0": (DefectKind.TOO_EASY, "4 of 4 responses are right"),
        "1": (DefectKind.TOO_HARD, "0 of 4 responses are right"),
        "2": (DefectKind.NOT_SAMPLED, "1 of 3 responses are right"),
        "3": (DefectKind.NOT_SAMPLED, "0 of 0 responses are right"),
    }
    assert len(done.items) == len(done.chosen) + sum(done.drops.values())
    lines = [json.loads(line) for line in (tmp_path / "out" / PASS_RATES).read_text().splitlines()]
    assert lines[5] == {
        "item_id": "v-5", "index": 5, "dimension": lines[4]["dimension"], "samples": 4, "right": 3, "chosen": "middle",
    }  # fmt: skip
    assert (len(lines), lines[0]["chosen"]) == (12, None)
    card = (tmp_path / "out/README.md").read_text()
    for words in ("1 runs of sampled responses", "8 questions were sampled", "too easy: 1", "license: cc-by-4.0"):
        assert words in card


def test_runs_with_other_seeds_are_counted_together(tmp_path: Path) -> None:
    shards = small_shards(tmp_path / "in", 6, "grpo")
    sha256 = file_sha256(shards / MANIFEST)
    runs = [
        eval_folder(
            tmp_path / f"run{seed}",
            [answers(index, int(index % 2 == seed), 1)[0] for index in range(6)],
            passed_on=["--gen_kwargs", f"temperature=1.0,seed={seed}"],
            passes={"stills": {"model_args": f"pretrained=base,batch_size={seed + 1}"}},
            data_sha256=sha256,
        )
        for seed in (0, 1)
    ]
    counted = count_correct(SourceSplit(str(shards), "grpo"), runs)
    assert counted.rates == dict.fromkeys(range(6), PassRate(2, 1))
    assert counted.settings["sampling"] == "temperature=1.0"


def test_samples_of_one_run_are_counted_with_those_of_others(tmp_path: Path) -> None:
    source = SourceSplit(str(small_shards(tmp_path / "in", 4, "grpo")), "grpo")
    lines = [
        one | {"sample": number}
        for index in range(4)
        for number, one in enumerate(answers(index, index % 3, 3), start=1)
    ]
    lines[1] = {"index": 0, "sample": 2, "unanswered": "HTTP 500"}
    sampled = eval_folder(tmp_path / "sampled", lines, samples=3, temperature=1.0, seed=5)
    single = eval_folder(tmp_path / "one", answers(2, 1, 1), passed_on=["--gen_kwargs", "temperature=1.0,seed=1"])
    counted = count_correct(source, [sampled, single])
    assert counted.rates == {0: PassRate(2, 0), 1: PassRate(3, 1), 2: PassRate(4, 3), 3: PassRate(3, 0)}
    other = eval_folder(tmp_path / "cold", answers(2, 1, 2), samples=2, temperature=0.2)
    with pytest.raises(BadResponses, match=r"sampling is 'temperature=0.2'"):
        count_correct(source, [sampled, other])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": "other"}, "model is"),
        ({"prompt_style": "direct"}, "prompt style is"),
        ({"passes": {"stills": {"model_args": "pretrained=tuned"}}}, "checkpoint is 'tuned'"),
        ({"passed_on": ["--gen_kwargs=temperature=0.2,seed=3"]}, "sampling is 'temperature=0.2'"),
        ({"split": "test"}, "split is 'test'"),
    ],
)
def test_runs_with_other_settings_are_refused(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    source = SourceSplit(str(small_shards(tmp_path / "in", 3, "grpo")), "grpo")
    first = eval_folder(tmp_path / "first", answers(0, 1, 1))
    second = eval_folder(tmp_path / "second", answers(0, 0, 1), **change)
    with pytest.raises(BadResponses, match=named):
        count_correct(source, [first, second])


def test_a_duplicate_run_or_one_of_other_questions_is_refused(tmp_path: Path) -> None:
    source = SourceSplit(str(small_shards(tmp_path / "in", 3, "grpo")), "grpo")
    lines = answers(0, 1, 1)
    once, again = eval_folder(tmp_path / "a", lines), write_jsonl(tmp_path / "b.jsonl", lines)
    with pytest.raises(BadResponses, match="holds the same responses"):
        count_correct(source, [once, again])
    with pytest.raises(BadResponses, match="was asked other questions"):
        count_correct(source, [eval_folder(tmp_path / "c", lines, data_sha256="0" * 64)])
    with pytest.raises(BadResponses, match="line 1: no question 99"):
        count_correct(source, [write_jsonl(tmp_path / "d.jsonl", [{"index": 99, "response": "A"}])])
    with pytest.raises(BadResponses, match="no responses; give a folder"):
        count_correct(source, [tmp_path / "in"])


def test_blank_responses_and_failed_requests_are_no_samples(tmp_path: Path) -> None:
    source = SourceSplit(str(small_shards(tmp_path / "in", 3, "grpo")), "grpo")
    blank = [{"index": 0, "response": text} for text in ("", " ", "[LMMS_EVAL_REQUEST_FAILED after 3]", None)]
    assert count_correct(source, [write_jsonl(tmp_path / "r.jsonl", blank + answers(0, 1, 2))]).rates[0] == PassRate(
        2, 1
    )


def many(count: int = 400) -> tuple[list[QAItem], dict[int, PassRate]]:
    """Items of all dimensions, most of the first one; a third of each is too easy, a third too hard."""
    items = []
    for index in range(count):
        dimension = DIMENSIONS[index % len(DIMENSIONS) if index % 3 else 0]
        options = tuple(term.name for term in dimension.terms[:4])
        items.append(replace(make_item(options, "A", dimension.slug, index), item_id=f"m-{index}"))
    return items, {index: PassRate(8, (0, 4, 8)[index // 7 % 3]) for index in range(count)}


def test_the_uniform_share_is_even_over_dimensions_and_ignores_difficulty() -> None:
    items, rates = many(2000)
    chosen = choose_items(items, rates, DifficultySettings(size=400, uniform_share=0.4))
    assert len(chosen) == 400
    by_id = {item.item_id: item for item in items}
    uniform = [by_id[item_id] for item_id, why in chosen.items() if why is Chosen.UNIFORM]
    assert Counter(Counter(item.dimension for item in uniform).values()) == {20: 8}
    kinds = Counter(rates[item.source_index].right for item in uniform)
    assert all(30 <= kinds[right] <= 80 for right in (0, 4, 8)), kinds  # a third of 160 each, drawn
    middle = [by_id[item_id] for item_id, why in chosen.items() if why is Chosen.MIDDLE]
    assert {rates[item.source_index].right for item in middle} == {4}


def test_with_a_small_middle_the_uniform_share_keeps_its_proportion() -> None:
    items, rates = many(400)
    middle = sum(rate.right == 4 for rate in rates.values())
    chosen = choose_items(items, rates, DifficultySettings(size=8000, uniform_share=0.2))
    counts = Counter(chosen.values())
    assert counts[Chosen.UNIFORM] == round(middle / 0.8 * 0.2)
    outside_middle = sum(rates[int(item_id[2:])].right != 4 for item_id in chosen)
    assert len(chosen) == middle + outside_middle  # every middle item is selected, for either reason


def test_the_selection_depends_only_on_the_seed() -> None:
    items, rates = many()
    settings = DifficultySettings(size=60)
    chosen = choose_items(items, rates, settings)
    assert choose_items(items[::-1], rates, settings) == chosen
    assert choose_items(items, rates, replace(settings, seed=1)).keys() != chosen.keys()
    fewer = choose_items(items, rates, replace(settings, size=30))
    assert fewer.keys() <= chosen.keys()


def test_the_command_prints_the_pass_rates_by_dimension(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards, run = graded(tmp_path)
    arguments = ["data", "difficulty", str(shards), "--responses", str(run), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--size", "5", "--uniform-share", "0"]) == 0
    output = capsys.readouterr().out
    sizes = next(line for line in output.splitlines() if line.startswith("Shot Size"))
    moves = next(line for line in output.splitlines() if line.startswith("Camera Movement"))
    assert [int(cell) + int(other) for cell, other in zip(sizes.split()[2:], moves.split()[2:], strict=True)] == [
        1, 1, 2, 3 + 1, 3, 0, 1, 5,  # item 2 has one of three
    ]  # fmt: skip
    assert "5 of 12 items" in output and "surplus to the balance: 3 left out" in output
    assert main([*arguments, "--size", "5", "--uniform-share", "0"]) == 0
    assert "was complete already" in capsys.readouterr().out
    assert main([*arguments, "--min-samples", "9"]) == 2
    assert "no item of" in capsys.readouterr().err


def test_bins_match_their_labels() -> None:
    assert [bin_of(PassRate(8, right)) for right in range(9)] == [0, 1, 1, 2, 2, 3, 3, 4, 5]
    assert bin_of(PassRate(0, 0)) == -1


def test_a_set_without_a_middle_and_invalid_settings_are_refused(tmp_path: Path) -> None:
    shards = small_shards(tmp_path / "in", 3, "grpo")
    run = write_jsonl(tmp_path / "r.jsonl", answers(0, 4, 4) + answers(1, 0, 4))
    with pytest.raises(NoneChosen, match="too easy: 1, too hard: 1, too few sampled responses: 1"):
        write_difficulty(str(shards), "grpo", [run], tmp_path / "out", DifficultySettings())
    assert not (tmp_path / "out").exists()
    for wrong_settings in ({"min_samples": 1}, {"size": 0}, {"uniform_share": 1.0}):
        with pytest.raises(ValueError, match="difficulty needs"):
            DifficultySettings(**wrong_settings)  # type: ignore[arg-type]
