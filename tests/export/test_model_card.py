"""Results in a model card, as `huggingface_hub` reads it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from lmms_eval_shotbench.export.model_card import CARD, card_section, model_card
from lmms_eval_shotbench.grading.grade import PROTOCOLS
from lmms_eval_shotbench.runs.score import SCORES_FILES
from lmms_eval_shotbench.vocabulary import dimension_named
from tests.support.exported_runs import CHECKPOINT, exported, make_run


def test_metadata_has_the_accuracies_of_both_protocols_in_percent(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    read = ModelCard(model_card(exported(run))[CARD]).data
    found = {one.metric_name: one for one in read.eval_results}
    for protocol in PROTOCOLS:
        accuracy = json.loads((run / SCORES_FILES[protocol]).read_text())["accuracy"]
        names = {dimension_named(slug).paper_name: estimate for slug, estimate in accuracy["by_dimension"].items()}
        for name, estimate in (names | {"shots, all questions": accuracy["micro"]}).items():
            one = found.pop(f"{name}, {protocol} grading, direct prompt")
            bounds = one.metric_args["interval_95"]
            assert [one.metric_value, *bounds] == pytest.approx(
                [100 * estimate[name] for name in ("value", "low", "high")], abs=5e-5
            )
            assert one.metric_args["questions"] == estimate["n"]
    assert not found
    assert read.model_name == CHECKPOINT.partition("/")[2]


def test_the_table_has_the_figures_of_the_scores(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    rows = [line.split(" | ") for line in card_section(exported(run)).splitlines() if line.startswith("| ")]
    for column, protocol in enumerate(PROTOCOLS, start=2):
        accuracy = json.loads((run / SCORES_FILES[protocol]).read_text())["accuracy"]
        expected = [*accuracy["by_dimension"].values(), accuracy["micro"], accuracy["macro"]]
        shown = [[float(figure) for figure in re.findall(r"\d+\.\d+", row[column])] for row in rows[1:]]
        assert shown == [
            [round(100 * one["value"], 2), round(100 * one["low"], 1), round(100 * one["high"], 1)] for one in expected
        ]


def test_the_section_says_how_to_reproduce_it(tmp_path: Path) -> None:
    command = "shotbench eval --tasks shotbench_reasoning --data shards --model shotvl --out results"
    run = make_run(tmp_path, command=command, data_sha256="f" * 64, revision="a" * 40)
    section = card_section(exported(run, date="2026-11-30", organization="A Lab"))
    assert f"```bash\n{command}\n```" in section
    for fact in ("temperature 0, at most 1,024 new tokens", "f" * 64, "a" * 40, "2026", "A Lab", "lmms-eval 0.7.3"):
        assert fact.replace("-", "\\-") in section.replace("-", "\\-")


def test_texts_of_others_cannot_change_the_markdown(tmp_path: Path) -> None:
    hostile = "x --> <img src=y> | `a` \n\n# title ```"
    run = make_run(tmp_path, warnings=[hostile], command=f"shotbench eval {hostile}", versions={"torch": hostile})
    section = card_section(exported(run))
    text, _, code = section.partition("Evaluated with")
    assert "<img" not in text
    assert "\n# title" not in section
    assert [code.splitlines()[line] for line in (2, -1)] == ["````bash", "````"]


def test_a_run_without_questions_of_a_dimension_has_no_averages(tmp_path: Path) -> None:
    section = card_section(exported(make_run(tmp_path, slice(0, None, 3))))
    assert "micro" not in section and "macro" not in section
