"""The judge: letters from replies, retries, the content of the prompt, and the cache."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.grading import judge as judge_module
from lmms_eval_shotbench.grading.judge import Judge, JudgeReport, judge_prompt, judge_undecided, needs_judge
from lmms_eval_shotbench.grading.official import extract_official
from lmms_eval_shotbench.grading.strict import REQUEST_FAILED
from lmms_eval_shotbench.runs.score import score_responses
from tests.support import judge_server
from tests.support.judge_server import OPEN, Endpoint, ask, error, kept, question, says

endpoint, judge = judge_server.endpoint, judge_server.judge  # fixtures: pytest finds them by these names


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("A", "A"),
        ("(B)", "B"),
        ("C.", "C"),
        ("Medium", "B"),
        ("The reply means option D.", "D"),
        ("<answer>C</answer>", "C"),
        ("\ud83d B", "B"),  # unpaired surrogate
    ],
)
def test_a_reply_that_names_an_option_gives_its_letter_with_one_request(
    endpoint: Endpoint, judge: Judge, reply: str, letter: str
) -> None:
    endpoint.script[0] = [says(reply)]
    assert ask(judge) == JudgeReport({0: letter}, asked=1, from_cache=0, undecided=0, failed=0, first_error="")
    assert len(endpoint.requests) == 1


def test_z_leaves_the_item_undecided_without_a_retry(endpoint: Endpoint, judge: Judge) -> None:
    endpoint.script[0] = [says("Z")]
    assert ask(judge) == JudgeReport({}, 1, 0, undecided=1, failed=0, first_error="")
    assert len(endpoint.requests) == 1


def test_a_letter_that_is_not_an_option_is_ignored(endpoint: Endpoint, judge: Judge) -> None:
    endpoint.script[0] = [says("F")]
    assert ask(judge) == JudgeReport({}, 1, 0, 1, 0, "")


def test_an_unusable_reply_is_requested_three_times_and_stays_undecided(endpoint: Endpoint, judge: Judge) -> None:
    endpoint.script[0] = [says("A or B, who knows")]
    assert ask(judge) == JudgeReport({}, 1, 0, 1, 0, "")
    assert len(endpoint.requests) == 3


def test_a_letter_in_a_later_reply_counts(endpoint: Endpoint, judge: Judge) -> None:
    endpoint.script[0] = [says("hm"), says("hm"), says("D")]
    assert ask(judge).letters == {0: "D"}
    assert kept(judge) == ["D"]


def test_the_report_does_not_depend_on_the_order_of_completion(endpoint: Endpoint, judge: Judge) -> None:
    acts = [says("A"), error(400), says("Z"), says("D"), error(401), says("hm")]
    slow = {index: [replace(act, seconds=0.2 - 0.03 * index)] for index, act in enumerate(acts)}
    fast = {index: [act] for index, act in enumerate(acts)}
    reports = []
    for number, (script, workers) in enumerate([(slow, 6), (fast, 6), (fast, 1)]):
        endpoint.script = script
        fresh = replace(judge, workers=workers, cache=judge.cache.with_name(f"{number}.sqlite"))
        reports.append(ask(fresh, count=len(acts)))
    assert reports[0] == reports[1] == reports[2]
    assert reports[0].first_error.startswith("HTTP 400")
    assert (reports[0].letters, reports[0].undecided, reports[0].failed) == ({0: "A", 3: "D"}, 2, 2)


def test_repeated_inputs_are_answered_from_the_cache(endpoint: Endpoint, judge: Judge) -> None:
    endpoint.script = {0: [says("A")], 1: [says("Z")], 2: [says("nonsense")]}
    first = ask(judge, count=4)
    endpoint.requests.clear()
    again = ask(judge, count=4)
    assert endpoint.requests == []
    assert again == replace(first, asked=0, from_cache=4)


def test_another_model_or_endpoint_is_asked_again(endpoint: Endpoint, judge: Judge) -> None:
    ask(judge)
    assert ask(replace(judge, model="other")).asked == 1
    assert ask(replace(judge, base_url=endpoint.url + "/beta")).asked == 1


def test_another_response_or_prompt_version_is_asked_again(
    endpoint: Endpoint, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(judge)
    assert ask(judge, response="Rather something else.").asked == 1
    monkeypatch.setattr(judge_module, "PROMPT_VERSION", 99)
    assert ask(judge).asked == 1


def test_timeout_retries_key_and_trailing_slash_do_not_change_the_cache_key(endpoint: Endpoint, judge: Judge) -> None:
    ask(judge)
    other = replace(judge, base_url=endpoint.url + "/", api_key="else", tries=1, workers=1, timeout_seconds=1)
    assert ask(other).from_cache == 1


def test_equal_prompts_are_sent_once_and_count_for_each_item(endpoint: Endpoint, judge: Judge) -> None:
    twins = [replace(question(0), source_index=index) for index in (7, 8)]
    assert judge_undecided(judge, twins, [OPEN, OPEN]) == JudgeReport({7: "B", 8: "B"}, 2, 0, 0, 0, "")
    assert len(endpoint.requests) == 1


def test_only_responses_that_the_official_rules_leave_undecided_are_sent(endpoint: Endpoint, judge: Judge) -> None:
    responses = ["B", "It is Medium.", "", "  \n", f"{REQUEST_FAILED}: timeout]", "Z", OPEN, "<answer>A B</answer>"]
    items = [question(index) for index in range(len(responses))]
    sent = [needs_judge(item, response) for item, response in zip(items, responses, strict=True)]
    assert sent == [False] * 6 + [True, True]
    assert judge_undecided(judge, items, responses) == JudgeReport({6: "B", 7: "B"}, 2, 0, 0, 0, "")
    assert sorted(Counter(request[0] for request in endpoint.requests).items()) == [(6, 1), (7, 1)]


def test_judged_letters_are_scored(endpoint: Endpoint, judge: Judge) -> None:
    items, responses = [question(0), question(1)], [OPEN, "A"]
    letters = judge_undecided(judge, items, responses).letters
    scored = score_responses(items, responses, "official", judged=letters)
    assert [(entry.grade.letter, entry.grade.how) for entry in scored.graded] == [
        ("B", "judge"),
        ("A", "one lone letter"),
    ]
    assert scored.scores.correct == 1


def test_failed_requests_set_the_exit_status_of_score_and_replies_without_a_letter_do_not(
    endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions, responses = tmp_path / "test.tsv", tmp_path / "responses.jsonl"
    header = "index\ttype\tpath\tquestion\toptions\tanswer\tcategory\n"
    options = json.dumps(dict(question(0).choices)).replace('"', '""')
    rows = [f'{i}\t"[""image""]"\t[\'{i}.jpg\']\titem {i}?\t"{options}"\tB\tshot size\n' for i in (0, 1)]
    questions.write_text(header + "".join(rows), encoding="utf-8")
    lines = [json.dumps({"index": index, "response": text}) for index, text in enumerate((OPEN, "B"))]
    responses.write_text("\n".join(lines), encoding="utf-8")
    command = ["score", str(questions), str(responses), "--protocol", "official", "--judge-model", "some-judge"]
    command += ["--judge-url", endpoint.url, "--judge-cache", str(tmp_path / "verdicts.sqlite")]
    endpoint.script = {0: [error(400), says("Z")]}
    assert main(command) == 1
    printed = capsys.readouterr()
    assert "1 verdicts are missing from the scores because requests to the judge failed" in printed.err
    assert "protocol official: 1 of 2 right" in printed.out
    assert main(command) == 0
    assert "left 1 undecided, failed on 0" in capsys.readouterr().err


def test_the_prompt_contains_the_question_the_options_and_only_the_graded_part() -> None:
    prompt = judge_prompt(question(3), "<think>secret</think><answer>could be <|im_end|> anything</answer>")
    assert "item 3: what is the shot size?" in prompt
    assert all(line in prompt.splitlines() for line in ("A. Wide", "D. Extreme Close Up"))
    assert '"could be < |im_end|> anything"' in prompt
    assert "secret" not in prompt


@given(st.text(st.characters(exclude_categories=()), max_size=200), st.sampled_from([1, 100]))
def test_any_response_is_quoted_on_one_line_and_truncated(text: str, times: int) -> None:
    prompt = judge_prompt(question(0), text * times)
    prompt.encode()
    assert len(prompt) < 1500 + 6 * judge_module.RESPONSE_CHARACTERS
    lines = prompt.split("\n")
    assert lines[7] == "D. Extreme Close Up" and lines[8].startswith("Reply, as one JSON string")
    assert len(json.loads(lines[9])) <= 2 * judge_module.RESPONSE_CHARACTERS
    assert len(lines) == len(judge_prompt(question(0), OPEN).split("\n"))


def test_an_unpaired_surrogate_in_a_question_is_accepted(endpoint: Endpoint, judge: Judge) -> None:
    items = [replace(question(0), question="item 0: \ud83d?")]
    assert judge_undecided(judge, items, [OPEN + "\ud83d"]).letters == {0: "B"}


def test_only_the_end_of_a_huge_response_is_sent() -> None:
    prompt = judge_prompt(question(0), "x" * 1_000_000 + " the end")
    assert ' the end"' in prompt and len(prompt) < 6000


@pytest.mark.parametrize(
    "broken",
    [
        {"tries": 0},
        {"workers": 0},
        {"timeout_seconds": 0},
        {"timeout_seconds": float("nan")},
        {"model": " "},
        {"base_url": ""},
        {"base_url": "localhost:8000/v1"},
        {"base_url": "ftp://localhost/v1"},
        {"base_url": "http:///v1"},
        {"base_url": "http://user:pass@localhost/v1"},
        {"base_url": "http://localhost:port/v1"},
    ],
    ids=str,
)
def test_invalid_settings_are_rejected_on_construction(tmp_path: Path, broken: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"base_url": "http://localhost/v1", "model": "m", "cache": tmp_path / "c.sqlite"}
    with pytest.raises(ValueError) as caught:
        Judge(**settings | broken)
    assert "pass@" not in str(caught.value)


def test_two_items_with_the_same_index_are_rejected(judge: Judge) -> None:
    with pytest.raises(ValueError, match="source_index"):
        judge_undecided(judge, [question(1), question(1)], [OPEN, OPEN])


def test_the_numbers_of_responses_and_items_must_match(judge: Judge) -> None:
    with pytest.raises(ValueError):
        judge_undecided(judge, [question(1)], [])


def test_a_corrupt_cache_is_reported_with_the_next_step_and_not_changed(endpoint: Endpoint, judge: Judge) -> None:
    judge.cache.parent.mkdir()
    judge.cache.write_bytes(b"no database " * 500)
    with pytest.raises(ValueError, match=re.escape(str(judge.cache)) + ".*move it away"):
        ask(judge)
    assert endpoint.requests == []
    assert judge.cache.read_bytes().startswith(b"no database ")


def test_an_impossible_cache_path_is_reported(judge: Judge, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "judge.sqlite", tmp_path / "file" / "deeper" / "judge.sqlite"):
        with pytest.raises(ValueError, match=re.escape(str(path))):
            ask(replace(judge, cache=path))


@pytest.mark.slow
def test_threads_share_one_cache(endpoint: Endpoint, judge: Judge) -> None:
    with ThreadPoolExecutor(4) as pool:
        reports = [future.result() for future in [pool.submit(ask, judge, 40) for _ in range(4)]]
    assert all(report.letters == dict.fromkeys(range(40), "B") for report in reports)
    assert ask(judge, count=40).from_cache == 40


def test_a_lock_of_another_process_on_the_cache_is_waited_for(endpoint: Endpoint, judge: Judge) -> None:
    ask(judge)
    program = (
        "import sqlite3, sys; cache = sqlite3.connect(sys.argv[1]); cache.execute('BEGIN EXCLUSIVE')\n"
        "sys.stdout.write('locked\\n'); sys.stdout.flush(); sys.stdin.readline(); cache.commit()"
    )
    command = [sys.executable, "-c", program, str(judge.cache)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other, ThreadPoolExecutor(1) as thread:
        assert other.stdin and other.stdout and other.stdout.readline() == "locked\n"
        pending = thread.submit(ask, judge, 5)
        with pytest.raises(TimeoutError):  # blocked until the other process commits
            pending.result(timeout=0.5)
        print(file=other.stdin, flush=True)
        report = pending.result()
    assert (report.from_cache, report.asked, report.failed) == (1, 4, 0)


def test_the_letter_z_has_the_reason_that_the_judge_expects() -> None:
    assert extract_official(question(0).choices, "Z").how == "the letter Z"
