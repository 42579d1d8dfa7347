"""The judge against a real HTTP server on this machine that behaves, item by item, as a script says.

No request leaves the machine; pauses and timeouts are short, so the file takes seconds.
"""

from __future__ import annotations

import json
import re
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmms_eval_shotbench import judge as judge_module
from lmms_eval_shotbench import judge_requests
from lmms_eval_shotbench.grading import read_official
from lmms_eval_shotbench.judge import Judge, JudgeReport, judge_prompt, judge_undecided, needs_judge
from lmms_eval_shotbench.judge_requests import pause_seconds
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.score import score_responses
from lmms_eval_shotbench.strict_reading import REQUEST_FAILED
from lmms_eval_shotbench.vocabulary import MediaKind

pytest.importorskip("openai")  # imported here once: it takes longer than the timeouts below

TLS = ssl.create_default_context()  # every client loads all certificates anew, which is most of its cost
KEY = "sk-test-0123456789-never-shown"
OPEN = "It could be read in many ways."  # undecided by the official rules
OPTIONS = ("Wide", "Medium", "Close Up", "Extreme Close Up")
TIMEOUT = 0.2


@dataclass(frozen=True)
class Act:
    """What the server does with one request."""

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0  # before it says anything
    trickle: bool = False  # one byte at a time
    hang_up: bool = False


def says(content: object) -> Act:
    return Act(json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode())


def error(status: int, **headers: str) -> Act:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Act(b'{"error": {"message": "no"}}', status, named)


HANGS, HANGS_UP = Act(seconds=30), Act(hang_up=True)


@dataclass
class Endpoint:
    """A scripted chat endpoint; the last act of an item's script repeats."""

    script: dict[int, list[Act]] = field(default_factory=dict)
    otherwise: Act = field(default_factory=lambda: says("B"))
    url: str = ""
    requests: list[tuple[int, str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def act(self, path: str, headers: dict[str, str], sent: dict[str, Any]) -> Act:
        found = re.search(r"Question: item (-?\d+)", sent["messages"][0]["content"])
        assert found, sent
        index = int(found[1])
        with self.lock:
            before = self.asked(index)
            self.requests.append((index, path, headers, sent))
        acts = self.script.get(index, [self.otherwise])
        return acts[min(before, len(acts) - 1)]

    def asked(self, index: int) -> int:
        return sum(request[0] == index for request in self.requests)


def handler(endpoint: Endpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept, as real endpoints do
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            act = endpoint.act(self.path, {name.lower(): value for name, value in self.headers.items()}, sent)
            endpoint.closing.wait(act.seconds)
            if act.hang_up or endpoint.closing.is_set():
                self.close_connection = True
                return
            self.send_response(act.status)
            for name, value in act.headers:
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(act.body)))
            self.end_headers()
            self.send_body(act)

        def send_body(self, act: Act) -> None:
            try:
                for place in range(len(act.body)) if act.trickle else ():
                    self.wfile.write(act.body[place : place + 1])
                    if endpoint.closing.wait(0.02):
                        return
                self.wfile.write(b"" if act.trickle else act.body)
            except OSError:  # the client had enough
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(ssl, "create_default_context", lambda *_, **__: TLS)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(judge_requests, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(judge_requests, "LONGEST_PAUSE", 0.3)
    endpoint = Endpoint()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(endpoint))
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield endpoint
    endpoint.closing.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def judge(endpoint: Endpoint, tmp_path: Path) -> Judge:
    return Judge(endpoint.url, "some-judge", tmp_path / "cache" / "judge.sqlite", KEY, timeout_seconds=5.0)


def question(index: int) -> QAItem:
    return QAItem(
        item_id=f"q-{index}",
        dimension="shot_size",
        question=f"item {index}: what is the shot size?",
        options=OPTIONS,
        answer="B",
        media_kind=MediaKind.STILL,
        media_path=f"{index}.jpg",
        source_index=index,
    )


def ask(judge: Judge, count: int = 1, response: str = OPEN) -> JudgeReport:
    return judge_undecided(judge, [question(index) for index in range(count)], [response] * count)


def kept(judge: Judge) -> list[str]:
    with sqlite3.connect(judge.cache) as cache:
        return [reply for (reply,) in cache.execute("SELECT reply FROM replies ORDER BY reply")]


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("A", "A"),
        ("(B)", "B"),
        ("C.", "C"),
        ("Medium", "B"),
        ("The reply means option D.", "D"),
        ("<answer>C</answer>", "C"),
        ("\ud83d B", "B"),  # half an emoji
    ],
)
def test_a_reply_that_names_an_option_gives_its_letter_with_one_request(
    endpoint: Endpoint, judge: Judge, reply: str, letter: str
) -> None:
    endpoint.script[0] = [says(reply)]
    assert ask(judge) == JudgeReport({0: letter}, asked=1, from_cache=0, undecided=0, failed=0, first_error="")
    assert len(endpoint.requests) == 1


def test_z_leaves_the_item_undecided_and_is_not_asked_again(endpoint: Endpoint, judge: Judge) -> None:
    endpoint.script[0] = [says("Z")]
    assert ask(judge) == JudgeReport({}, 1, 0, undecided=1, failed=0, first_error="")
    assert len(endpoint.requests) == 1


def test_a_letter_that_is_not_on_offer_is_no_letter(endpoint: Endpoint, judge: Judge) -> None:
    endpoint.script[0] = [says("F")]
    assert ask(judge) == JudgeReport({}, 1, 0, 1, 0, "")


def test_nonsense_is_asked_three_times_in_all_and_stays_undecided(endpoint: Endpoint, judge: Judge) -> None:
    endpoint.script[0] = [says("A or B, who knows")]
    assert ask(judge) == JudgeReport({}, 1, 0, 1, 0, "")
    assert len(endpoint.requests) == 3


def test_nonsense_followed_by_a_letter_counts_as_the_letter(endpoint: Endpoint, judge: Judge) -> None:
    endpoint.script[0] = [says("hm"), says("hm"), says("D")]
    assert ask(judge).letters == {0: "D"}
    assert kept(judge) == ["D"]


@pytest.mark.parametrize(
    "trouble",
    [
        error(500),
        error(503),
        error(408),
        error(409),
        error(429, Retry_After="0"),
        HANGS_UP,
        Act(b"{not json"),
        Act(b"[]"),
        Act(b"null"),
        Act(b'{"choices": []}'),
        Act(b'{"error": "overloaded"}'),
        Act(b"\xff\xfe"),
        Act(b"[" * 100_000),
        says(None),
        says("  "),
        says(["B"]),
        says("B" * 1_000_000),
        Act(b"B", headers=(("Content-Encoding", "gzip"),)),
        replace(error(500), body=b"\xff" * 1000),
        replace(error(502, Content_Encoding="gzip"), body=b"no gzip"),
    ],
    ids=lambda act: f"{act.status}-{act.body[:12]!r}",
)
def test_passing_trouble_is_asked_again_and_forgotten(endpoint: Endpoint, judge: Judge, trouble: Act) -> None:
    endpoint.script[0] = [trouble, trouble, says("C")]
    assert ask(judge) == JudgeReport({0: "C"}, 1, 0, 0, 0, "")
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize(
    ("trouble", "named"),
    [
        (error(500), "HTTP 500"),
        (error(429), "HTTP 429"),
        (HANGS_UP, "connection failed"),
        (Act(b"{not json"), "no chat completion: {not json"),
        (Act(b'{"choices": []}'), "no chat completion"),
        (says(None), "without text"),
        (says("B" * 1_000_000), "more than 262144 bytes"),
    ],
)
def test_lasting_trouble_is_counted_after_three_requests_and_never_kept(
    endpoint: Endpoint, judge: Judge, trouble: Act, named: str
) -> None:
    endpoint.script[0] = [trouble]
    report = ask(judge)
    assert named in report.first_error and len(report.first_error) < 250
    assert replace(report, first_error="") == JudgeReport({}, 1, 0, 0, failed=1, first_error="")
    assert len(endpoint.requests) == 3
    assert kept(judge) == []
    endpoint.script[0] = [says("A")]
    assert ask(judge).letters == {0: "A"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_not_asked_again(endpoint: Endpoint, judge: Judge, status: int) -> None:
    endpoint.script[0] = [error(status)]
    report = ask(judge)
    assert (report.failed, report.letters) == (1, {})
    assert report.first_error.startswith(f"HTTP {status}: ")
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("silent", [HANGS, replace(says("B"), trickle=True, body=b" " * 500)], ids=["hung", "trickle"])
def test_a_hung_server_costs_at_most_the_timeout_of_every_try(endpoint: Endpoint, judge: Judge, silent: Act) -> None:
    endpoint.script[0] = [silent]
    started = time.monotonic()
    report = ask(replace(judge, timeout_seconds=TIMEOUT))
    assert time.monotonic() - started < 3 * TIMEOUT + 1.5  # a slow machine starts its client late
    assert (report.failed, report.first_error) == (1, "no reply within 0.2 s")
    assert len(endpoint.requests) == 3


def test_retry_after_is_honoured_up_to_the_longest_pause(endpoint: Endpoint, judge: Judge) -> None:
    endpoint.script[0] = [error(429, Retry_After="3600"), says("B")]
    started = time.monotonic()
    assert ask(judge).letters == {0: "B"}
    assert 0.3 <= time.monotonic() - started < 3


def test_pauses_double_up_to_the_cap_and_any_header_is_survived() -> None:
    pauses = [pause_seconds(attempt, "") for attempt in (1, 2, 3, 4, 5, 6, 10**6)]
    assert pauses == [0.5, 1, 2, 4, 8, 8, 8]
    assert pause_seconds(1, "2.5") == 2.5
    assert pause_seconds(1, "inf") == 8
    for odd in ("nan", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "soon"):
        assert pause_seconds(1, odd) == 0.5


def test_nobody_listening_is_counted_quickly(judge: Judge) -> None:
    started = time.monotonic()
    report = ask(replace(judge, base_url="http://127.0.0.1:9/v1"), count=60)
    assert (report.failed, report.asked, report.letters) == (60, 20, {})
    assert report.first_error.startswith("connection failed")
    assert time.monotonic() - started < 5


def test_a_dead_endpoint_is_given_up_after_twenty_items(endpoint: Endpoint, judge: Judge) -> None:
    endpoint.otherwise = error(500)
    report = ask(replace(judge, tries=2), count=200)
    assert (report.asked, report.failed, report.undecided) == (20, 200, 0)
    assert len(endpoint.requests) == 40


def test_an_endpoint_that_dies_midway_is_given_up_and_a_second_run_goes_on(endpoint: Endpoint, judge: Judge) -> None:
    endpoint.otherwise = error(400)
    endpoint.script = {index: [says("A")] for index in range(30)}
    report = ask(judge, count=200)
    assert (len(report.letters), report.asked, report.failed) == (30, 60, 170)
    endpoint.otherwise, endpoint.requests = says("B"), []
    assert ask(judge, count=200).from_cache == 30
    assert len(endpoint.requests) == 170


def test_single_failures_do_not_stop_the_rest(endpoint: Endpoint, judge: Judge) -> None:
    endpoint.script = {index: [error(400)] for index in range(0, 100, 2)}
    report = ask(judge, count=100)
    assert (report.letters, report.failed) == (dict.fromkeys(range(1, 100, 2), "B"), 50)


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


def test_requests_run_side_by_side(endpoint: Endpoint, judge: Judge) -> None:
    endpoint.otherwise = replace(says("B"), seconds=0.1)
    started = time.monotonic()
    ask(replace(judge, workers=16), count=32)
    assert time.monotonic() - started < 32 * 0.1


def test_the_same_inputs_again_send_nothing(endpoint: Endpoint, judge: Judge) -> None:
    endpoint.script = {0: [says("A")], 1: [says("Z")], 2: [says("nonsense")]}
    first = ask(judge, count=4)
    endpoint.requests.clear()
    again = ask(judge, count=4)
    assert endpoint.requests == []
    assert again == replace(first, asked=0, from_cache=4)


def test_another_model_or_endpoint_is_asked_anew(endpoint: Endpoint, judge: Judge) -> None:
    ask(judge)
    assert ask(replace(judge, model="other")).asked == 1
    assert ask(replace(judge, base_url=endpoint.url + "/beta")).asked == 1


def test_another_response_or_prompt_version_is_asked_anew(
    endpoint: Endpoint, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(judge)
    assert ask(judge, response="Rather something else.").asked == 1
    monkeypatch.setattr(judge_module, "PROMPT_VERSION", 99)
    assert ask(judge).asked == 1


def test_other_patience_key_or_slash_reads_the_same_replies(endpoint: Endpoint, judge: Judge) -> None:
    ask(judge)
    other = replace(judge, base_url=endpoint.url + "/", api_key="else", tries=1, workers=1, timeout_seconds=1)
    assert ask(other).from_cache == 1


def test_equal_prompts_travel_once_and_count_for_each_item(endpoint: Endpoint, judge: Judge) -> None:
    twins = [replace(question(0), source_index=index) for index in (7, 8)]
    assert judge_undecided(judge, twins, [OPEN, OPEN]) == JudgeReport({7: "B", 8: "B"}, 2, 0, 0, 0, "")
    assert len(endpoint.requests) == 1


def test_only_what_the_official_rules_leave_open_is_sent(endpoint: Endpoint, judge: Judge) -> None:
    responses = ["B", "It is Medium.", "", "  \n", f"{REQUEST_FAILED}: timeout]", "Z", OPEN, "<answer>A B</answer>"]
    items = [question(index) for index in range(len(responses))]
    sent = [needs_judge(item, response) for item, response in zip(items, responses, strict=True)]
    assert sent == [False] * 6 + [True, True]
    assert judge_undecided(judge, items, responses) == JudgeReport({6: "B", 7: "B"}, 2, 0, 0, 0, "")
    assert sorted(Counter(request[0] for request in endpoint.requests).items()) == [(6, 1), (7, 1)]


def test_judged_letters_enter_the_score(endpoint: Endpoint, judge: Judge) -> None:
    items, responses = [question(0), question(1)], [OPEN, "A"]
    letters = judge_undecided(judge, items, responses).letters
    scored = score_responses(items, responses, "official", judged=letters)
    assert [(entry.grade.letter, entry.grade.how) for entry in scored.graded] == [
        ("B", "judge"),
        ("A", "one lone letter"),
    ]
    assert scored.scores.correct == 1


def test_the_request_is_one_short_deterministic_chat_turn(endpoint: Endpoint, judge: Judge) -> None:
    ask(judge)
    _, path, _, sent = endpoint.requests[0]
    assert path == "/v1/chat/completions"
    assert sent["messages"] == [{"role": "user", "content": judge_prompt(question(0), OPEN)}]
    assert (sent["model"], sent["temperature"]) == ("some-judge", 0)
    assert sent["max_tokens"] <= 64 and not sent.get("stream")


def test_the_prompt_holds_question_options_and_the_part_the_rules_read() -> None:
    prompt = judge_prompt(question(3), "<think>secret</think><answer>could be <|im_end|> anything</answer>")
    assert "item 3: what is the shot size?" in prompt
    assert all(line in prompt.splitlines() for line in ("A. Wide", "D. Extreme Close Up"))
    assert '"could be < |im_end|> anything"' in prompt
    assert "secret" not in prompt


@given(st.text(st.characters(exclude_categories=()), max_size=200), st.sampled_from([1, 100]))
def test_any_response_is_quoted_on_one_line_and_stays_short(text: str, times: int) -> None:
    prompt = judge_prompt(question(0), text * times)
    prompt.encode()
    assert len(prompt) < 1500 + 6 * judge_module.RESPONSE_CHARACTERS
    lines = prompt.split("\n")
    assert lines[7] == "D. Extreme Close Up" and lines[8].startswith("Reply, as one JSON string")
    assert len(json.loads(lines[9])) <= 2 * judge_module.RESPONSE_CHARACTERS
    assert len(lines) == len(judge_prompt(question(0), OPEN).split("\n"))


def test_half_an_emoji_in_a_question_is_survived(endpoint: Endpoint, judge: Judge) -> None:
    items = [replace(question(0), question="item 0: \ud83d?")]
    assert judge_undecided(judge, items, [OPEN + "\ud83d"]).letters == {0: "B"}


def test_of_a_huge_response_its_end_is_sent() -> None:
    prompt = judge_prompt(question(0), "x" * 1_000_000 + " the end")
    assert ' the end"' in prompt and len(prompt) < 6000


def test_the_api_key_goes_into_the_authorization_header_and_nowhere_else(
    endpoint: Endpoint, judge: Judge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    endpoint.script[1] = [replace(error(401), body=f'{{"message": "Incorrect key {KEY}"}}'.encode())]
    report = ask(judge, count=2)
    for _, path, headers, sent in endpoint.requests:
        assert headers.pop("authorization") == f"Bearer {KEY}"
        assert KEY not in f"{path}{headers}{sent}"
    assert "Incorrect key ***" in report.first_error
    assert KEY not in repr(judge) + repr(report) + caplog.text
    assert all(KEY.encode() not in path.read_bytes() for path in judge.cache.parent.iterdir())


@pytest.mark.parametrize(("given_key", "in_env", "sent"), [("", "from-env", "from-env"), ("", "", "none")])
def test_without_a_key_the_environment_is_asked_at_call_time(
    endpoint: Endpoint, judge: Judge, monkeypatch: pytest.MonkeyPatch, given_key: str, in_env: str, sent: str
) -> None:
    keyless = replace(judge, api_key=given_key)
    monkeypatch.setenv("OPENAI_API_KEY", in_env)
    ask(keyless)
    assert endpoint.requests[0][2]["authorization"] == f"Bearer {sent}"


@pytest.mark.parametrize("key", ["sk-ключ", "sk-two\nlines"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(judge: Judge, key: str) -> None:
    with pytest.raises(ValueError, match="API key") as caught:
        ask(replace(judge, api_key=key))
    assert key not in str(caught.value)


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
def test_unusable_arguments_are_refused_at_once(tmp_path: Path, broken: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"base_url": "http://localhost/v1", "model": "m", "cache": tmp_path / "c.sqlite"}
    with pytest.raises(ValueError) as caught:
        Judge(**settings | broken)
    assert "pass@" not in str(caught.value)


def test_two_items_of_one_index_are_refused(judge: Judge) -> None:
    with pytest.raises(ValueError, match="source_index"):
        judge_undecided(judge, [question(1), question(1)], [OPEN, OPEN])


def test_as_many_responses_as_items_are_needed(judge: Judge) -> None:
    with pytest.raises(ValueError):
        judge_undecided(judge, [question(1)], [])


def test_a_corrupt_cache_is_named_with_a_way_out_and_left_alone(endpoint: Endpoint, judge: Judge) -> None:
    judge.cache.parent.mkdir()
    judge.cache.write_bytes(b"no database " * 500)
    with pytest.raises(ValueError, match=re.escape(str(judge.cache)) + ".*move it away"):
        ask(judge)
    assert endpoint.requests == []
    assert judge.cache.read_bytes().startswith(b"no database ")


def test_a_cache_that_is_a_folder_or_lies_under_a_file_is_named(judge: Judge, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "judge.sqlite", tmp_path / "file" / "deeper" / "judge.sqlite"):
        with pytest.raises(ValueError, match=re.escape(str(path))):
            ask(replace(judge, cache=path))


def test_threads_share_one_cache(endpoint: Endpoint, judge: Judge) -> None:
    with ThreadPoolExecutor(4) as pool:
        reports = [future.result() for future in [pool.submit(ask, judge, 40) for _ in range(4)]]
    assert all(report.letters == dict.fromkeys(range(40), "B") for report in reports)
    assert ask(judge, count=40).from_cache == 40


def test_another_process_that_writes_to_the_cache_is_waited_for(endpoint: Endpoint, judge: Judge) -> None:
    ask(judge)
    program = (
        "import sqlite3, sys, time; cache = sqlite3.connect(sys.argv[1]); cache.execute('BEGIN EXCLUSIVE')\n"
        "sys.stdout.write('locked\\n'); sys.stdout.flush(); time.sleep(0.5); cache.commit()"
    )
    command = [sys.executable, "-c", program, str(judge.cache)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout and other.stdout.readline() == "locked\n"
        report = ask(judge, count=5)
    assert (report.from_cache, report.asked, report.failed) == (1, 4, 0)


def test_importing_the_judge_imports_no_client() -> None:
    program = (
        "import sys, lmms_eval_shotbench.judge; assert not {'openai', 'tqdm', 'httpx', 'httpx2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_nothing_to_ask_needs_no_client(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    assert ask(judge, response="B") == JudgeReport({}, 0, 0, 0, 0, "")
    with pytest.raises(RuntimeError, match="pip install openai"):
        ask(judge)


def test_no_progress_is_written_where_stderr_is_no_terminal(
    endpoint: Endpoint, judge: Judge, capfd: pytest.CaptureFixture[str]
) -> None:
    ask(judge, count=3)
    assert capfd.readouterr() == ("", "")


def test_the_mark_for_the_letter_z_is_the_one_grading_gives() -> None:
    assert read_official(question(0).choices, "Z").how == "the letter Z"
