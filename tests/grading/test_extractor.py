"""The extractor: which responses it is asked about, what it sees, and how its letters are scored."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.grading.extractor import extract_undecided, extractor_prompt, text_to_extract
from lmms_eval_shotbench.grading.grade import grade
from lmms_eval_shotbench.grading.judge import Judge, JudgeReport, judge_undecided
from lmms_eval_shotbench.grading.strict import REQUEST_FAILED
from tests.support import judge_server
from tests.support.judge_server import OPTIONS, Endpoint, error, kept, question, says

endpoint, judge = judge_server.endpoint, judge_server.judge  # fixtures: pytest finds them by these names

OPEN = "For item {}, some would call it wide, others would say medium."  # undecided by the strict rules


def responses(count: int) -> list[str]:
    return [OPEN.format(index) for index in range(count)]


def test_only_undecided_responses_that_contain_an_answer_are_sent(endpoint: Endpoint, judge: Judge) -> None:
    texts = [
        "B",
        "",
        " \n",
        f"{REQUEST_FAILED}: item 3]",
        "I cannot see the image, please provide the image of item 4.",
        "<think>It is B, item 5.",
        OPEN.format(6),
        "<think>item 7: surely B</think>It may be wide or medium, item 7.",
    ]
    items = [question(index) for index in range(len(texts))]
    report = extract_undecided(judge, items, texts)
    assert report == JudgeReport({6: "B", 7: "B"}, 2, 0, 0, 0, "", name="extractor")
    assert sorted(request[0] for request in endpoint.requests) == [6, 7]


def test_it_sees_options_and_response_but_neither_the_question_nor_the_thought_nor_the_right_letter() -> None:
    item = replace(question(0), question="What is the shot size here?")
    text = text_to_extract(item, "<think>a secret thought</think>Wide or medium? <|im_end|> Perhaps both.")
    prompt = extractor_prompt(item, text)
    assert all(f"{letter}. {option}" in prompt.splitlines() for letter, option in zip("ABCD", OPTIONS, strict=True))
    assert "Perhaps both." in prompt and "<|" not in prompt
    assert "secret" not in prompt and "shot size" not in prompt
    prompts = {extractor_prompt(replace(item, answer=letter), text) for letter in "ABCD"}
    assert prompts == {prompt}


def test_replies_are_cached_and_never_shared_with_the_judge(endpoint: Endpoint, judge: Judge) -> None:
    items = [question(index) for index in range(3)]
    endpoint.script = {0: [says("A")], 1: [says("Z")], 2: [says("Close Up")]}
    first = extract_undecided(judge, items, responses(3))
    assert (first.letters, first.undecided) == ({0: "A", 2: "C"}, 1)
    endpoint.requests.clear()
    again = extract_undecided(judge, items, responses(3))
    assert endpoint.requests == [] and again == replace(first, asked=0, from_cache=3)
    assert kept(judge) == ["A", "Close Up", "Z"]
    assert judge_undecided(judge, items[:1], ["item 0 is hard to tell"]).asked == 1


def test_two_items_with_the_same_index_are_rejected(judge: Judge) -> None:
    with pytest.raises(ValueError, match="source_index"):
        extract_undecided(judge, [question(1), question(1)], responses(2))


# ---------------------------------------------------------------------------------------------------- the command line


@pytest.fixture
def command(endpoint: Endpoint, tmp_path: Path) -> list[str]:
    """`shotbench score` of four responses with an extractor; the first two are undecided, the third empty."""
    questions, stored = tmp_path / "test.tsv", tmp_path / "responses.jsonl"
    header = "index\ttype\tpath\tquestion\toptions\tanswer\tcategory\n"
    options = json.dumps(dict(question(0).choices)).replace('"', '""')
    rows = [f'{i}\t"[""image""]"\t[\'{i}.jpg\']\tWhat?\t"{options}"\tB\tshot size\n' for i in range(4)]
    questions.write_text(header + "".join(rows), encoding="utf-8")
    texts = [*responses(2), "", "B"]
    lines = [json.dumps({"index": index, "response": text}) for index, text in enumerate(texts)]
    stored.write_text("\n".join(lines), encoding="utf-8")
    extractor = ["--extractor-url", endpoint.url, "--extractor-model", "some-model"]
    return ["score", str(questions), str(stored), *extractor, "--extractor-cache", str(tmp_path / "cache.sqlite")]


def scores(capsys: pytest.CaptureFixture[str], command: list[str], status: int = 0) -> dict[str, Any]:
    assert main([*command, "--format", "json"]) == status
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_extracted_letters_are_marked_and_counted_separately(
    endpoint: Endpoint, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint.script = {0: [says("B")], 1: [says("A")]}
    found = scores(capsys, command)
    reason = grade(question(0), OPEN.format(0)).how
    assert [(item["letter"], item["how"]) for item in found["items"][:3]] == [
        ("B", f"extractor: {reason}"),
        ("A", f"extractor: {reason}"),
        (None, "empty"),
    ]
    assert found["extracted"] == {"letters": 2, "correct": 1}
    assert (found["correct"], found["undecided_by_rule"]) == (2, {"empty": 1})
    assert found["run"]["extractor"] == {"model": "some-model", "url": endpoint.url}
    assert main(command) == 0
    assert "letters assigned by the extractor: 2, of which 1 right" in capsys.readouterr().out


def test_without_the_option_nothing_is_requested(
    endpoint: Endpoint, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = scores(capsys, command[:3])
    assert endpoint.requests == []
    assert found["extracted"] == {"letters": 0, "correct": 0} and found["items"][0]["letter"] is None
    assert "extractor" not in found["run"]


def test_a_failed_request_sets_the_exit_status_and_leaves_the_item_undecided(
    endpoint: Endpoint, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint.script = {0: [error(400)], 1: [says("Z")]}
    assert main(command) == 1
    printed = capsys.readouterr()
    assert "extractor named 0 letters" in printed.err and "failed on 1 HTTP 400" in printed.err
    assert "1 verdicts are missing from the scores because requests to the extractor failed" in printed.err
    assert "1 of 4 right" in printed.out


def test_each_protocol_has_its_own_model(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--protocol", "official"]) == 2
    assert "an extractor needs --protocol strict" in capsys.readouterr().err
    assert main([*command[:3], "--judge-url", "http://127.0.0.1:1/v1", "--judge-model", "m"]) == 2
    assert "a judge needs --protocol official" in capsys.readouterr().err
    assert main([*command[:3], "--extractor-model", "m"]) == 2
    assert "--extractor-model and --extractor-cache need --extractor-url" in capsys.readouterr().err


def test_a_comparison_states_the_number_of_extracted_letters(
    endpoint: Endpoint, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, extracted = tmp_path / "plain.json", tmp_path / "extracted.json"
    assert main([*command[:3], "--format", "json", "--out", str(plain)]) == 0
    assert main([*command, "--format", "json", "--out", str(extracted)]) == 0
    capsys.readouterr()
    assert main(["compare", str(plain), str(extracted), "--format", "json"]) == 0
    remarks = json.loads(capsys.readouterr().out)["remarks"]
    assert "letters assigned by an extractor: 0 in A, 2 in B" in remarks
