"""`shotbench compare` from the command line: real runs, every stored format, and runs that cannot be compared."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.grading.judge import judge_prompt, needs_judge
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.runs.stored_runs import read_run, score_pair
from lmms_eval_shotbench.vocabulary import DIMENSIONS
from tests.support import judge_server
from tests.support.judge_server import Act, Endpoint, says
from tests.support.real_data import stored_responses

endpoint = judge_server.endpoint  # a fixture: pytest finds it by this name

REASONING, RUN0, QWEN = (
    "shotbench.shotvl-3b.reasoning",
    "shotbench.shotvl-3b.reasoning.run0",
    "shotbench.qwen2.5-vl-3b.direct",
)
HEADER = "index\ttype\tpath\tquestion\toptions\tanswer\tcategory\n"


def write_questions(path: Path, answers: str = "ABCDA", medium: Callable[[int], int] = lambda index: index) -> Path:
    """Write questions 1, 2, … in the release's layout, with these correct letters."""
    options = json.dumps({"A": "Wide", "B": "Medium", "C": "Close Up", "D": "Medium Wide"}).replace('"', '""')
    rows = [
        f'{index}\t"[""image""]"\t[\'image/{medium(index)}.jpg\']\tWhat?\t"{options}"\t{answer}\tshot size\n'
        for index, answer in enumerate(answers, start=1)
    ]
    path.write_text(HEADER + "".join(rows), encoding="utf-8")
    return path


def write_responses(path: Path, responses: Sequence[str]) -> Path:
    rows = ({"index": index, "response": response} for index, response in enumerate(responses, start=1))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    return write_questions(tmp_path / "test.tsv")


@pytest.fixture
def responses_a(tmp_path: Path) -> Path:
    """Correct on 1, 2, 3."""
    return write_responses(tmp_path / "a.jsonl", "ABCAB")


@pytest.fixture
def responses_b(tmp_path: Path) -> Path:
    """Correct on 1, 3, 4, 5."""
    return write_responses(tmp_path / "b.jsonl", "AACDA")


def scored(out: Path, questions: Path, responses: Path, protocol: str = "strict", **changed: object) -> Path:
    """Write a scores file with `shotbench score`, with some fields replaced."""
    arguments = ["--protocol", protocol, "--format", "json", "--allow-missing", "--out", str(out)]
    assert main(["score", str(questions), str(responses), *arguments]) == 0
    if changed:
        out.write_text(json.dumps(json.loads(out.read_text()) | changed))
    return out


def compared(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["compare", *map(str, arguments), "--format", "json"]) == 0, capsys.readouterr().err
    loaded: dict[str, Any] = json.loads(capsys.readouterr().out)
    return loaded


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["compare", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert not captured.out and "Traceback" not in captured.err
    return captured.err


def contains_zero(estimate: Mapping[str, float]) -> bool:
    return estimate["low"] <= 0 <= estimate["high"]


def real(real_data: Path, name: str) -> Path:
    return real_data / "responses" / f"{name}.jsonl.gz"


@pytest.mark.slow
def test_two_runs_of_one_model_do_not_differ_as_published(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = []
    for name in (REASONING, RUN0):  # letters from the reference's rules, judge and random choice
        files.append(tmp_path / f"{name}.tsv")
        rows = (f"{row['index']}\t{row['reference_letter']}\n" for row in stored_responses(real_data, name))
        files[-1].write_text("index\tprediction\n" + "".join(rows))
    result = compared(capsys, real_data / "shotbench" / "test.tsv", *files)
    assert round(result["overall"]["a"] * 3572) == 2357 and round(result["overall"]["b"] * 3572) == 2322
    assert contains_zero(result["overall"]) and result["overall"]["p"] == pytest.approx(0.134, abs=5e-4)
    assert contains_zero(result["macro"])
    assert all(one["p_holm"] > 0.05 for one in result["by_dimension"].values())


@pytest.mark.slow
def test_nor_do_they_under_the_complete_official_protocol_with_its_judge(
    real_data: Path,
    real_items: dict[int, QAItem],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    questions, verdicts, files = real_data / "shotbench" / "test.tsv", dict[str, str](), list[Path]()
    for name in (REASONING, RUN0):
        for row in stored_responses(real_data, name):
            item, response = real_items[int(row["index"])], str(row["response"])
            if needs_judge(item, response):
                verdicts[judge_prompt(item, response)] = str(row["reference_letter"])

    def recorded(_path: str, _headers: dict[str, str], sent: dict[str, Any]) -> Act:
        """Replay the published judgements; nothing else in this test is replayed."""
        return says(verdicts[sent["messages"][0]["content"]])

    monkeypatch.setattr(endpoint, "act", recorded)
    judge = ("--judge-url", endpoint.url, "--judge-model", "recorded", "--judge-cache", str(tmp_path / "verdicts"))
    for name in (REASONING, RUN0):
        files.append(tmp_path / f"{name}.json")
        scoring = ("score", str(questions), str(real(real_data, name)), "--protocol", "official", *judge)
        assert main([*scoring, "--format", "json", "--out", str(files[-1])]) == 0
    result = compared(capsys, *files, "--protocol", "official")
    assert round(result["overall"]["a"] * 3572) == 2357 and round(result["overall"]["b"] * 3572) == 2322
    assert contains_zero(result["overall"]) and result["overall"]["p"] == pytest.approx(0.134, abs=5e-4)
    assert "letters assigned by a judge: 0 in A, 24 in B" in result["remarks"]


@pytest.mark.slow
@pytest.mark.parametrize(("protocol", "p", "p_decided"), [("strict", 0.0483, 0.324), ("official", 0.0438, 0.245)])
def test_without_a_judge_they_differ_by_undecided_responses(
    real_data: Path, capsys: pytest.CaptureFixture[str], protocol: str, p: float, p_decided: float
) -> None:
    pair = real_data / "shotbench" / "test.tsv", real(real_data, REASONING), real(real_data, RUN0)
    result = compared(capsys, *pair, "--protocol", protocol)
    assert not contains_zero(result["overall"]) and result["overall"]["p"] == pytest.approx(p, abs=5e-5)
    assert contains_zero(result["decided_by_both"])
    assert result["decided_by_both"]["p"] == pytest.approx(p_decided, abs=5e-4)
    assert contains_zero(result["macro"])
    assert all(one["p_holm"] > 0.05 for one in result["by_dimension"].values())


@pytest.mark.slow
def test_another_model_differs_in_every_dimension(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = compared(capsys, real_data / "shotbench" / "test.tsv", real(real_data, QWEN), real(real_data, REASONING))
    overall = result["overall"]
    assert overall["difference"] == pytest.approx((2356 - 1558) / 3572)
    assert 0.2 < overall["low"] < overall["high"] < 0.25 and overall["p"] < 1e-100
    assert list(result["by_dimension"]) == [dimension.slug for dimension in DIMENSIONS]
    for one in result["by_dimension"].values():
        assert one["low"] > 0 and one["p"] <= one["p_holm"] < 0.05
        assert one["gained"] - one["lost"] == pytest.approx(one["difference"] * one["n"])
    assert (len(result["items"]["gained"]), len(result["items"]["lost"])) == (overall["gained"], overall["lost"])
    assert 0.02 < overall["detectable"] < overall["detectable_unrelated"] < 0.035


@pytest.mark.slow
def test_questions_unchanged_by_refineshot_are_answered_the_same(
    real_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = real_data / "shotbench" / "test.tsv", real(real_data, REASONING)
    theirs = real_data / "refineshot" / "test.tsv", real(real_data, "refineshot.shotvl-3b.direct")
    printed = refused(capsys, *ours, *theirs)
    assert (
        "961 asked otherwise in B (index 487, 488, " in printed and "--common compares the 2611 they share" in printed
    )
    result = compared(capsys, *ours, *theirs, "--common")
    assert (result["overall"]["n"], result["overall"]["difference"], result["overall"]["p"]) == (2611, 0.0, 1.0)
    assert len(result["left_out"]["asked_otherwise"]) == 961


@pytest.mark.slow
def test_a_run_does_not_differ_from_itself(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    responses = real(real_data, REASONING)
    result = compared(capsys, real_data / "shotbench" / "test.tsv", responses, responses)
    for one in (result["overall"], *result["by_dimension"].values()):
        assert (one["difference"], one["p"], one["gained"], one["lost"]) == (0.0, 1.0, 0, 0)
        assert one["low"] < 0 < one["high"]
    assert result["items"] == {"gained": [], "lost": []}


def test_the_table_shows_who_is_right_where_the_runs_agree_and_where_they_do_not(
    questions: Path, responses_a: Path, responses_b: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = compared(capsys, questions, responses_a, responses_b)  # answers ABCDA; A: ABCAB, B: AACDA
    counts = {name: result["agreement"][name] for name in ("n", "same", "differ", "only_a", "only_b", "neither")}
    assert counts == {"n": 5, "same": 2, "differ": 3, "only_a": 1, "only_b": 2, "neither": 0}
    assert result["agreement"]["right"]["value"] == 1 and result["agreement"]["p"] == result["overall"]["p"]
    assert main(["compare", *map(str, (questions, responses_a, responses_b))]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"same letter +2 +40\.00 % +right 100\.00 %", printed)
    assert "only A right 1 (33.3 %), only B right 2 (66.7 %), neither 0 (0.0 %)" in printed


def test_everything_is_b_minus_a(
    questions: Path, responses_a: Path, responses_b: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there, back = (
        compared(capsys, questions, responses_a, responses_b),
        compared(capsys, questions, responses_b, responses_a),
    )
    assert there["items"] == {"gained": [4, 5], "lost": [2]} and back["items"] == {"gained": [2], "lost": [4, 5]}
    for where in ("overall", "macro"):
        assert there[where]["difference"] == -back[where]["difference"] == pytest.approx(0.2)
        assert there[where]["low"] == pytest.approx(-back[where]["high"])
    assert there["overall"]["p"] == back["overall"]["p"] == 1.0
    assert main(["compare", str(questions), str(responses_a), str(responses_b), "--items"]) == 0
    table = capsys.readouterr().out
    assert f"A  {responses_a}\nB  {responses_b}\n" in table and "B - A" in table and "+20.00" in table
    assert "gained (2): 4, 5" in table and "lost (1): 2" in table
    assert "protocol strict: no significant difference over items; 0 of 1 dimensions differ (Holm, 5 %)" in table


def test_every_stored_format_gives_the_same(
    questions: Path, responses_a: Path, responses_b: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, file = tmp_path / "run", scored(tmp_path / "b.scores.json", questions, responses_b)
    scored(run / "scores.json", questions, responses_a)
    scored(run / "scores.official.json", questions, responses_a, "official")
    expected = compared(capsys, questions, responses_a, responses_b)
    for arguments in (
        (run, file),
        (run, questions, responses_b),
        (questions, responses_a, file),
        (questions, responses_a, questions, responses_b),
    ):
        result = compared(capsys, *arguments)
        assert {name: result[name] for name in expected if name not in ("a", "b")} == {
            name: expected[name] for name in expected if name not in ("a", "b")
        }
    assert compared(capsys, run, questions, responses_b, "--protocol", "official")["protocol"] == "official"
    out = tmp_path / "deep" / "compared.json"
    assert main(["compare", str(run), str(file), "--format", "json", "--out", str(out)]) == 0
    assert json.loads(out.read_text())["overall"] == expected["overall"]
    assert [item.letter for item in read_run(run).items] == [
        item.letter for item in score_pair(questions, responses_a).items
    ]


def test_a_partial_run_is_compared_only_with_the_common_option(
    questions: Path, responses_a: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = write_responses(tmp_path / "part.jsonl", "ABA")
    printed = refused(capsys, questions, responses_a, part)
    assert "different questions: 2 only in A (index 4, 5); --common compares the 3 they share" in printed
    assert "2 only in B (index 4, 5)" in refused(capsys, questions, part, responses_a)
    result = compared(capsys, questions, responses_a, part, "--common")
    assert (result["overall"]["n"], result["items"]["lost"]) == (3, [3])
    assert result["left_out"] == {"only_a": [4, 5], "only_b": [], "asked_otherwise": []}
    assert result["remarks"][0] == "left out: 2 only in A (index 4, 5)"


def test_runs_of_different_questions_are_refused(
    questions: Path, responses_a: Path, responses_b: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    otherwise = write_questions(tmp_path / "otherwise.tsv", "ABDDA")
    assert "1 asked otherwise in B (index 3)" in refused(capsys, questions, responses_a, otherwise, responses_b)
    elsewhere = write_questions(tmp_path / "elsewhere.tsv", medium=lambda index: index + (index == 2))
    assert "1 asked otherwise in B (index 2)" in refused(capsys, questions, responses_a, elsewhere, responses_b)
    nothing = write_questions(tmp_path / "nothing.tsv", "BCDAB")
    assert "5 asked otherwise in B" in refused(capsys, questions, responses_a, nothing, responses_b, "--common")
    assert "they share none" in refused(capsys, questions, responses_a, nothing, responses_b, "--common")


def test_a_path_and_a_checksum_may_be_the_same_medium(
    questions: Path, responses_a: Path, responses_b: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = scored(tmp_path / "b.scores.json", questions, responses_b)
    scores = json.loads(file.read_text())
    for item in scores["items"]:
        item["medium"] = f"{item['index']:064x}"
    file.write_text(json.dumps(scores))
    assert compared(capsys, questions, responses_a, file)["overall"]["n"] == 5


def test_runs_of_different_protocols_or_variants_are_refused(
    questions: Path, responses_a: Path, responses_b: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    official = scored(tmp_path / "official.json", questions, responses_b, "official")
    printed = refused(capsys, questions, responses_a, official)
    assert "official.json: graded by the protocol official, not strict; give --protocol" in printed
    mirrored = scored(tmp_path / "mirrored.json", questions, responses_b)
    scores = json.loads(mirrored.read_text())
    for item in scores["items"]:
        item["item_id"] += "@mirrored"
    mirrored.write_text(json.dumps(scores))
    printed = refused(capsys, questions, responses_a, mirrored)
    assert "differ in the view of the media: original in A, mirrored in B" in printed


def test_remarks_state_what_affects_the_numbers(
    questions: Path, responses_a: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    direct = scored(tmp_path / "direct.json", questions, responses_a, run={"prompt_style": "direct"})
    silent = write_responses(tmp_path / "silent.jsonl", ["A", "[LMMS_EVAL_REQUEST_FAILED after 5]", "C", " ", "B"])
    reasoning = scored(tmp_path / "reasoning.json", questions, silent, run={"prompt_style": "reasoning"})
    result = compared(capsys, direct, reasoning)
    assert result["remarks"] == [
        "the prompt styles differ: direct in A, reasoning in B",
        "undecided, which counts as wrong: 0 in A, 2 in B",
        "without any response, which counts as wrong: 0 in A, 1 in B",
    ]
    assert result["a"] == {"name": str(direct), "run": {"prompt_style": "direct"}}
    assert result["overall"]["n"] == 5 and result["decided_by_both"]["n"] == 3
    paired = write_questions(tmp_path / "paired.tsv", medium=lambda index: index // 2)
    assert (
        "5 items on 3 media: p assumes independence" in compared(capsys, paired, responses_a, responses_a)["remarks"][0]
    )
    judged = json.loads(direct.read_text())
    judged["items"][0]["how"] = "judge"
    direct.write_text(json.dumps(judged))
    assert "letters assigned by a judge: 1 in A, 0 in B" in compared(capsys, direct, questions, responses_a)["remarks"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"protocol": "strict"', "invalid JSON"),
        ('{"accuracy": 1}', "not scores of `shotbench eval`"),
        ('{"protocol": "strict", "items": []}', "not scores of `shotbench eval`"),
        (
            '{"protocol": "strict", "items": [{"index": 1, "item_id": "x", "dimension": "", "correct": 1}]}',
            "no medium, answer, letter, asked: written by an earlier version. Score the run again: shotbench score",
        ),
    ],
)
def test_a_file_without_scores_is_named_with_what_to_do(
    questions: Path, responses_a: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    file = tmp_path / "scores.json"
    file.write_text(content)
    printed = refused(capsys, questions, responses_a, file)
    assert message in printed and str(file) in printed


@pytest.mark.parametrize(
    ("way", "value", "message"),
    [
        (("unanswered",), 5, "unanswered is 5, which docs/scores.md does not allow"),
        (("unanswered",), [1, "2"], "unanswered[1] is '2',"),
        (("items", 0, "letter"), "b", "letter of an item (index 1) is 'b',"),
        (("items", 0, "letter"), "AB", "letter of an item (index 1) is 'AB',"),
        (("items", 0, "answer"), "", "answer of an item (index 1) is '',"),
        (("items", 0, "index"), [1], "index of an item (index [1]) is [1],"),
        (("items", 0, "correct"), 1, "correct of an item (index 1) is 1,"),
        (("run",), 4, "run is 4,"),
        (("run", "data"), 4, "run.data is 4,"),
        (("run", "prompt_style"), ["direct"], "run.prompt_style is ['direct'],"),
        (("run", "refined"), {"file": 4}, "run.refined.file is 4,"),
        (("run", "passes"), {"stills": 4}, "run.passes.stills is 4,"),
        (("schema",), 2, "schema is 2, this version reads 1; install the version that wrote it"),
    ],
    ids=str,
)
def test_an_invalid_field_is_named(
    questions: Path,
    responses_a: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    way: tuple[str | int, ...],
    value: object,
    message: str,
) -> None:
    file = scored(tmp_path / "damaged.json", questions, responses_a)
    scores = inside = json.loads(file.read_text())
    for step in way[:-1]:
        inside = inside[step]
    inside[way[-1]] = value
    file.write_text(json.dumps(scores))
    printed = refused(capsys, questions, responses_a, file)
    assert f"{file}: {message}" in printed


def test_a_duplicate_index_is_refused(
    questions: Path, responses_a: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = scored(tmp_path / "twice.json", questions, responses_a)
    scores = json.loads(file.read_text())
    file.write_text(json.dumps(scores | {"items": scores["items"] + scores["items"][:1]}))
    assert "an index occurs twice" in refused(capsys, file, questions, responses_a)


def test_other_than_two_runs_are_refused(
    questions: Path, responses_a: Path, responses_b: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = scored(tmp_path / "a.json", questions, responses_a)
    assert f"two runs are compared, got 1: {questions} {responses_a}" in refused(capsys, questions, responses_a)
    assert "got 3" in refused(capsys, file, file, questions, responses_b)
    assert f"{responses_b}: neither a folder with scores nor a .json file" in refused(capsys, file, responses_b)
    assert "absent.json: no such file" in refused(capsys, file, tmp_path / "absent.json")
    (tmp_path / "killed").mkdir()
    write_responses(tmp_path / "killed" / "samples.jsonl", "A")
    assert "killed/scores.json: no such file; `shotbench eval` writes it when" in refused(
        capsys, tmp_path / "killed", file
    )
    run = scored(tmp_path / "run" / "scores.json", questions, responses_a).parent
    assert "scores.official.json: no such file" in refused(capsys, run, file, "--protocol", "official")
