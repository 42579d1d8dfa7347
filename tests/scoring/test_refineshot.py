"""RefineShot's scores: published figures from stored responses, examples of the rules, the command and the judge."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.grading.judge import Judge, judge_texts
from lmms_eval_shotbench.prompts import REASONING, STEP_BY_STEP
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.scoring.metrics import score
from lmms_eval_shotbench.scoring.refineshot import (
    STEPS,
    PromptVariant,
    check_reasoning,
    extract_thought,
    fail_unless,
    grade_setting,
    ias,
    ias_by_check,
    pass_rate,
    thoughts_to_judge,
)
from tests.support import judge_server
from tests.support.items import make_item
from tests.support.judge_server import Endpoint, error, question, says
from tests.support.real_data import stored_responses

endpoint, judge = judge_server.endpoint, judge_server.judge  # fixtures: pytest finds them by these names

QWEN, SHOTVL = "qwen2.5-vl-3b", "shotvl-3b"
DIMENSION_ORDER = (
    "lens_size",
    "lighting_type",
    "lighting_condition",
    "shot_framing",
    "shot_size",
    "camera_angle",
    "composition",
    "camera_movement",
)
PUBLISHED = {  # overall, then in the order above, as published
    (QWEN, "direct"): (47.5, 35.8, 52.6, 57.7, 78.7, 49.7, 40.7, 40.1, 29.7),
    (SHOTVL, "direct"): (67.8, 60.5, 64.0, 67.4, 91.0, 79.4, 68.1, 60.8, 51.3),
    (QWEN, "reasoning"): (43.0, 34.0, 51.1, 54.6, 56.9, 42.5, 42.5, 36.1, 30.6),
    (SHOTVL, "reasoning"): (62.2, 57.3, 51.1, 57.2, 86.7, 72.2, 62.6, 56.8, 51.7),
    (QWEN, "step_by_step"): (44.0, 39.1, 50.1, 48.3, 67.4, 39.4, 38.9, 36.3, 36.2),
    (SHOTVL, "step_by_step"): (15.8, 4.5, 27.7, 20.0, 29.2, 12.0, 10.8, 4.0, 22.4),
}
# Two published cells (42.5 and 38.9) differ from what the published responses give by the rules that give all others.
DIFFERENT = {(QWEN, "reasoning", "camera_angle"): 43.1, (QWEN, "step_by_step", "camera_angle"): 38.7}


@pytest.fixture(scope="module")
def setting_of(real_data: Path, refined_items: dict[int, QAItem]) -> Any:
    """A function that grades a model's stored responses to a setting by the official protocol."""

    @cache
    def setting(model: str, name: str) -> PromptVariant:
        rows = stored_responses(real_data, f"refineshot.{model}.{name}")
        items = [refined_items[int(str(row["index"]))] for row in rows]
        return grade_setting(items, [str(row["response"]) for row in rows], "official")

    return setting


@pytest.mark.slow
@pytest.mark.parametrize(("model", "name"), list(PUBLISHED))
def test_accuracies_match_the_published_ones(setting_of: Any, model: str, name: str) -> None:
    scores = setting_of(model, name).accuracy
    overall, *by_dimension = PUBLISHED[model, name]
    assert 100 * scores.micro.value == pytest.approx(overall, abs=0.1)
    for slug, value in zip(DIMENSION_ORDER, by_dimension, strict=True):
        expected = DIFFERENT.get((model, name, slug), value)
        assert 100 * scores.by_dimension[slug].value == pytest.approx(expected, abs=0.1), slug


@pytest.mark.slow
def test_the_published_verdicts_give_the_published_scores(setting_of: Any, real_data: Path) -> None:
    direct = setting_of(SHOTVL, "direct")
    verdicts = [bool(row["reference_consistent"]) for row in stored_responses(real_data, f"refineshot.{SHOTVL}.direct")]
    assert 100 * pass_rate(direct.graded, verdicts).value == pytest.approx(83.2, abs=0.05)
    assert score(fail_unless(direct.graded, verdicts)).correct == 2106
    for model, published in ((QWEN, 87.8), (SHOTVL, 16.4)):
        rows = stored_responses(real_data, f"refineshot.{model}.step_by_step")
        adherent = sum(bool(row["reference_hit"]) for row in rows) / len(rows)
        assert 100 * (ias(adherent, setting_of(model, "direct").accuracy.micro.value) or 0) == pytest.approx(
            published, abs=0.15
        )


@pytest.mark.slow
def test_rules_approximate_the_published_frs_of_shotvl(setting_of: Any, real_data: Path) -> None:
    checks = setting_of(SHOTVL, "direct").checks
    judged = [bool(row["reference_consistent"]) for row in stored_responses(real_data, f"refineshot.{SHOTVL}.direct")]
    verdict = [("same" if check.consistent else "other") if check.decided else "undecided" for check in checks]
    assert Counter(zip(verdict, judged, strict=True)) == {
        ("same", True): 2662,
        ("same", False): 3,
        ("other", True): 54,
        ("other", False): 547,
        ("undecided", True): 257,
        ("undecided", False): 49,
    }
    assert 100 * setting_of(SHOTVL, "direct").frs.value == pytest.approx(83.17, abs=0.005)  # published: 83.2
    assert 100 * setting_of(SHOTVL, "direct").after_check.micro.value == pytest.approx(59.0, abs=0.05)  # 58.9


@pytest.mark.slow
def test_direct_responses_of_qwen_hardly_contain_a_thought(setting_of: Any) -> None:
    direct = setting_of(QWEN, "direct")
    assert sum(check.thinks for check in direct.checks) == 14
    assert 100 * direct.frs.value == 100  # published: 98.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "consistent", "steps", "named"), [(QWEN, 92.69, 0.35, 10), (SHOTVL, 23.31, 0.0, 210)]
)
def test_ias_by_rules(setting_of: Any, model: str, consistent: float, steps: float, named: int) -> None:
    both = {name: setting_of(model, name) for name in ("direct", "step_by_step")}
    found = {check: 100 * (value or 0) for check, value in ias_by_check(both).items()}
    assert found == pytest.approx({"consistent": consistent, "steps": steps}, abs=0.005)  # published: 87.8, 16.4
    assert sum(check.names_steps for check in both["step_by_step"].checks) == named


@pytest.mark.parametrize(
    ("response", "concluded", "answered"),
    [
        ("<think>It is far away. Therefore, the correct answer is A.</think> <answer>A</answer>", "A", "A"),
        ("<think>It is far away. Therefore, the correct answer is A.</think> <answer>B</answer>", "A", "B"),
        ("<think>A medium shot? No. This suggests a close up.</think><answer>C. Close up</answer>", "C", "C"),
        ("<think>The answer is A. On second thought, the answer is C.</think><answer>C</answer>", "C", "C"),
        ("<think>A close up is near. One cannot say.</think><answer>A</answer>", None, "A"),  # named in passing
        ("<think>It is either wide or medium.</think><answer>A</answer>", None, "A"),
        ("<think>The answer is A.</think><think>The answer is B.</think>", "B", None),
        ("<think>The answer is A.", "A", None),
        ("The answer is A.</think><answer>A</answer>", "A", "A"),  # the chat template opened the thought
        ("<think>The answer is B.<answer>A</answer>", "B", "A"),
        ("<think> </think><answer>A</answer>", None, "A"),
        ("B. Medium", None, "B"),
        ("", None, None),
    ],
)
def test_conclusion_and_answer_are_extracted(response: str, concluded: str | None, answered: str | None) -> None:
    check = check_reasoning(make_item(), response)
    assert (check.concluded, check.answered) == (concluded, answered)
    assert check.consistent == (concluded is None or answered is None or concluded == answered)


def test_a_thought_is_the_text_inside_its_tags() -> None:
    assert extract_thought("<think> one </think> two <answer>A</answer>") == "one"
    assert extract_thought("<think>one</think><think>two") == "one\ntwo"
    assert extract_thought("one</think>two") == "one"
    assert extract_thought("one") == extract_thought("<answer>one</answer>") == extract_thought("</answer>") == ""


def test_the_steps_are_those_of_the_prompt() -> None:
    assert STEPS == ("1", "2", "3", "4")
    right = check_reasoning(make_item(), STEP_BY_STEP.well_formed("C"))
    assert right.names_steps and right.keeps_to_steps
    assert not check_reasoning(make_item(), REASONING.well_formed("C")).names_steps


@pytest.mark.parametrize(
    ("response", "keeps"),
    [
        ("<think>Step 1: x. Step 2: y. Step 3: z. Step 4: the answer is A.</think><answer>A</answer>", True),
        ("<think>**step 1** x\nSTEP 2 y\nstep3 z, as in step 1\nStep 4: A.</think>\n<answer>A</answer>", True),
        ("<think>Step 1: x. Step 2: y. Step 3: z. Step 4: the answer is A.</think><answer>B</answer>", False),
        ("<think>Step 1: x. Step 2: y. Step 3: z. Step 4: the answer is A.</think>", False),
        ("<think>Step 1: x. Step 3: y. Step 2: z. Step 4: A.</think><answer>A</answer>", False),
        ("<think>Step 1: x. Step 2: y. Step 4: A.</think><answer>A</answer>", False),
        ("Step 1: x. Step 2: y. Step 3: z. Step 4: A. <answer>A</answer>", False),
    ],
)
def test_keeping_to_the_steps_requires_all_in_order_and_a_consistent_answer(response: str, keeps: bool) -> None:
    assert check_reasoning(make_item(), response).keeps_to_steps == keeps


def test_an_inconsistent_response_counts_as_wrong_after_the_check() -> None:
    items = [make_item(index=index, media=f"{index}.jpg") for index in range(4)]
    responses = [
        f"<think>The answer is {thought}.</think><answer>{answer}</answer>"
        for thought, answer in ("CC", "AC", "AA", "CA")
    ]
    setting = grade_setting(items, responses)
    assert (setting.accuracy.correct, setting.after_check.correct, setting.frs.value) == (2, 1, 0.5)


def test_ias_is_one_for_equal_accuracies() -> None:
    items = [make_item(index=index, media=f"{index}.jpg") for index in range(4)]
    direct = grade_setting(items, ["C", "C", "A", "A"])
    stepwise = grade_setting(items, [STEP_BY_STEP.well_formed(letter) for letter in "CCAA"])
    assert ias_by_check({"direct": direct, "step_by_step": stepwise}) == {"consistent": 1.0, "steps": 1.0}
    assert ias_by_check({"direct": direct}) == {}
    nothing = grade_setting(items, ["A"] * 4)
    assert ias_by_check({"direct": nothing, "step_by_step": stepwise}) == {"consistent": None, "steps": None}


OPEN = "<think>It is far off.</think><answer>A</answer>"


def test_the_judge_gets_answered_responses_without_a_conclusion(
    endpoint: Endpoint,
    judge: Judge,
) -> None:
    endpoint.script = {0: [says("B")], 1: [says("Z")]}
    items = [question(index) for index in range(5)]
    responses = [OPEN, OPEN, "<think>The answer is A.</think><answer>A</answer>", "A", "<think>It is far off."]
    texts = thoughts_to_judge(items, responses)
    assert [(item.source_index, text) for item, text in texts] == [(0, "It is far off."), (1, "It is far off.")]
    report = judge_texts(judge, texts)
    assert report.letters == {0: "B"} and report.undecided == 1
    checks = grade_setting(items, responses, judged=report.letters).checks
    assert [check.consistent for check in checks] == [False, True, True, True, True]


def files(folder: Path, questions: int = 4) -> list[str]:
    """Write a question file, and responses of which one contradicts its thought; return the arguments."""
    header = "index\ttype\tpath\tquestion\toptions\tanswer\tcategory\n"
    options = json.dumps({"A": "Wide", "B": "Medium", "C": "Close Up"}).replace('"', '""')
    rows = [f'{i}\t"[""image""]"\t[\'{i}.jpg\']\titem {i}?\t"{options}"\tC\tshot size\n' for i in range(questions)]
    (folder / "test.tsv").write_text(header + "".join(rows), encoding="utf-8")
    steps = "<think>Step 1. Step 2. Step 3. Step 4. The answer is C.</think><answer>C</answer>"
    responses = {0: steps, 1: "<think>The answer is A.</think><answer>C</answer>", 2: OPEN, 3: "C"}
    lines = (json.dumps({"index": index, "response": text}) for index, text in responses.items())
    (folder / "responses.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return [str(folder / "test.tsv"), "--direct", str(folder / "responses.jsonl")]


def test_the_command_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = files(tmp_path)
    assert main(["refineshot", *arguments, "--step-by-step", arguments[2]]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["direct", "checked", "step_by_step", "checked"]
    assert table[1].split() == ["Shot", "Size", "75.00", "50.00", "75.00", "50.00"]
    assert (
        "direct: FRS 75.00" in table[5]
        and "1 of 4 contradict their thought; undecided: 1 without a thought" in table[5]
    )
    assert table[7:9] == [
        "IAS 66.67, adherent: what is consistent",
        "IAS 33.33, adherent: what names the steps in order and answers accordingly",
    ]
    assert table[9] == "protocol strict"


def test_the_command_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "scores.json"
    assert main(["refineshot", *files(tmp_path), "--format", "json", "--protocol", "official", "--out", str(out)]) == 0
    assert capsys.readouterr().out == ""
    scores = json.loads(out.read_text(encoding="utf-8"))
    assert (scores["schema"], scores["protocol"], scores["ias"]) == (1, "official", {})
    assert list(scores["settings"]) == ["direct"]
    direct = scores["settings"]["direct"]
    assert direct["accuracy"]["micro"]["value"] == 0.75 and direct["after_check"]["macro"]["value"] == 0.5
    assert direct["frs"]["value"] == 0.75 and 0 < direct["frs"]["low"] < 0.75
    counted = ("consistent", "inconsistent", "no_thought", "no_conclusion", "no_answer")
    assert [direct[name] for name in counted] == [1, 1, 1, 1, 0] and sum(direct[name] for name in counted) == direct[
        "n"
    ]


def test_the_command_asks_a_judge_and_caches_its_verdicts(
    endpoint: Endpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    endpoint.script = {2: [says("B")]}
    arguments = [*files(tmp_path), "--judge-url", endpoint.url, "--judge-cache", str(tmp_path / "verdicts.sqlite")]
    assert main(["refineshot", *arguments]) == 2
    assert "--judge-url needs --judge-model" in capsys.readouterr().err
    for _ in range(2):
        assert main(["refineshot", *arguments, "--judge-model", "some-judge"]) == 0
        printed = capsys.readouterr()
        assert "FRS 50.00" in printed.out and "judge named 1 letters" in printed.err
    assert endpoint.asked(2) == 1 == len(endpoint.requests)


def test_failed_requests_to_the_judge_set_the_exit_status_and_the_scores_are_printed(
    endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judging = ["--judge-model", "some-judge", "--judge-cache", str(tmp_path / "verdicts.sqlite")]
    asking = ["refineshot", *files(tmp_path), *judging]
    assert main(asking) == 2
    assert "need --judge-url" in capsys.readouterr().err
    asking += ["--judge-url", endpoint.url]
    endpoint.script = {2: [error(400), says("Z")]}
    assert main(asking) == 1
    printed = capsys.readouterr()
    assert "FRS 75.00" in printed.out and "1 verdicts are missing from the scores because requests" in printed.err
    assert main(asking) == 0
    assert "missing from the scores" not in capsys.readouterr().err


def test_missing_responses_are_reported_and_set_the_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = files(tmp_path, questions=6)
    assert main(["refineshot", *arguments]) == 1
    assert "no response for 2 of 6 items in direct (index 4, 5); they count as wrong" in capsys.readouterr().err
    assert main(["refineshot", *arguments, "--allow-missing"]) == 0


def test_missing_arguments_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["refineshot", files(tmp_path)[0]]) == 2
    assert "give --direct, --reasoning or --step-by-step" in capsys.readouterr().err
