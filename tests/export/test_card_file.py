"""Updates of a model card change one section and its entries of `model-index`, and nothing else."""

from __future__ import annotations

import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard

from lmms_eval_shotbench.export.card_file import updated_card
from lmms_eval_shotbench.runs.scores_schema import BadRun

KEY, SECTION = "film/shots, direct", "## Results\n\n| a | b |\n|---|---|\n"
OTHER = "model-index:\n- name: Old\n  results:\n  - task: {type: t}\n    dataset: {type: a/b, name: B}\n    metrics:\n"
OTHER += "    - {type: accuracy, value: 3, name: X}\n"
CARDS = {
    "none": "",
    "without metadata": "# A model\n\nIt sees.\n",
    "without a line break at the end": "# A model",
    "metadata": "---\nlicense: mit  # as agreed\ntags: [film,   shots]\n---\n# A model\n",
    "other results at the end": f"---\nlicense: mit\n{OTHER}---\n# A model\n",
    "other results in the middle": f"---\ntags: ['film']\n{OTHER}\n# of the data\ndatasets:\n- a/b\n---\nText\n",
    "unusual text": "---\nlicense: mit\n---\n\n\n<b>\n---\n```yaml\nmodel-index: x\n```\n</b> \U0001f3ac  \n\n",
}
CARDS |= {f"{name}, Windows": card.replace("\n", "\r\n") for name, card in CARDS.items() if "a" in card}


def result(value: float, name: str = "Shot Size") -> EvalResult:
    return EvalResult("image-text-to-text", "film/shots", "shots", "accuracy", value, metric_name=name)


def updated(card: str, *results: EvalResult, key: str = KEY, section: str = SECTION) -> str:
    return updated_card(card, key, section, results or [result(50.0)], "model")


def without_ours(card: str) -> tuple[str, dict[str, object]]:
    """Text without our section, and metadata without our results."""
    read = ModelCard(card) if card else ModelCard("---\n{}\n---\n")
    text, data = read.text, read.data.to_dict()
    text = text.partition("<!-- shotbench export")[0].rstrip() + text.rpartition(f"{KEY} -->")[2].rstrip()
    index = data.pop("model-index", [])
    others = [one for model in index for one in model["results"] if one["dataset"]["type"] != "film/shots"]
    return text if "<!--" in card else read.text.rstrip(), data | {"others": others}


@pytest.mark.parametrize("name", CARDS)
def test_only_the_section_and_the_results_change(name: str) -> None:
    card = CARDS[name]
    after = updated(card)
    assert without_ours(after) == without_ours(card)
    assert result(50.0) in ModelCard(after).data.eval_results
    assert after.replace("\r\n", "\n").count(SECTION.strip()) == 1
    assert ("\r\n" in after) == ("\r\n" in card)
    assert after.count("\n") == after.count("\r\n") or "\r\n" not in card


@pytest.mark.parametrize("name", CARDS)
def test_the_same_update_again_changes_nothing_and_another_replaces_it(name: str) -> None:
    once = updated(CARDS[name])
    assert updated(once) == once
    replaced = updated(once, result(60.0), section="## New")
    assert result(60.0) in ModelCard(replaced).data.eval_results
    assert result(50.0) not in ModelCard(replaced).data.eval_results
    assert ("## New" in replaced, "## Results" in replaced) == (True, False)
    assert updated(replaced) == once


def test_comments_and_spelling_of_other_metadata_stay() -> None:
    for card in (CARDS["metadata"], CARDS["other results in the middle"]):
        lines = {line for line in card.splitlines() if line and "model-index" not in line and line not in OTHER}
        assert lines <= set(updated(card).splitlines())


def test_results_of_another_prompt_have_their_own_section_and_entries() -> None:
    reasoning = result(70.0, "Shot Size, reasoning")
    both = updated(updated("# A model\n"), reasoning, key="film/shots, reasoning", section="## R")
    assert [one.metric_value for one in ModelCard(both).data.eval_results] == [50.0, 70.0]
    assert both.count("<!-- shotbench export") == 2


def test_the_models_name_in_the_card_is_kept() -> None:
    after = yaml.safe_load(updated(CARDS["other results at the end"]).split("---")[1])
    assert [model["name"] for model in after["model-index"]] == ["Old"]


BEGIN, END = f"<!-- shotbench export: {KEY} -->", f"<!-- end of shotbench export: {KEY} -->"


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        (f"text\n{BEGIN}\nold", "not exactly once"),
        (f"text\n{END}\nold", "not exactly once"),
        (f"{END}\n{BEGIN}\n", "not exactly once"),
        (f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n", "not exactly once"),
        ("---\na: [1\n---\n", "no valid YAML"),
        ("---\n- a\n- b\n---\n", "no valid model-index"),
        ("---\nmodel-index: 3\n---\n", "no valid model-index"),
        ("---\nmodel-index:\n- name: x\n  results:\n  - task: {}\n---\n", "no valid model-index"),
        ("---\nmodel-index:\n- name: x\n  results:\n  - {metrics: [{type: a}]}\n---\n", "cannot be read back"),
        ("---\n{license: mit, model-index: []}\n---\n", "cannot be read back"),
    ],
)
def test_cards_that_cannot_be_updated_safely_are_refused(card: str, reason: str) -> None:
    with pytest.raises(BadRun, match=reason):
        updated(card)
