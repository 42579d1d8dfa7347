"""`shotbench score` from the command line: real responses, every stored format, invalid input."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.shards import file_sha256
from tests.support import REPOSITORY
from tests.support.real_data import stored_responses

HEADER = "index\ttype\tpath\tquestion\toptions\tanswer\tcategory\n"


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Four questions in the release's layout."""
    path = tmp_path / "test.tsv"
    options = json.dumps({"A": "Wide", "B": "Medium", "C": "Close Up", "D": "Medium Wide"}).replace('"', '""')
    rows = [
        f'{index}\t"[""image""]"\t[\'image/{index}.jpg\']\tWhat?\t"{options}"\t{answer}\tshot size\n'
        for index, answer in zip((1, 2, 3, 4), "ABCD", strict=True)
    ]
    path.write_text(HEADER + "".join(rows), encoding="utf-8")
    return path


def write_responses(path: Path, responses: dict[int, str]) -> Path:
    lines = "".join(json.dumps({"index": index, "response": text}) + "\n" for index, text in responses.items())
    path.write_text(lines, encoding="utf-8")
    return path


def scored(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["score", *map(str, arguments), "--format", "json"]) == 0
    loaded: dict[str, Any] = json.loads(capsys.readouterr().out)
    return loaded


@pytest.mark.slow
def test_real_responses_give_the_published_score(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tsv = real_data / "shotbench" / "test.tsv"
    responses = real_data / "responses" / "shotbench.shotvl-3b.reasoning.jsonl.gz"
    official = scored(capsys, tsv, responses, "--protocol", "official")
    assert (official["correct"], official["n"], official["answered_rate"]) == (2357, 3572, 1.0)
    assert official["accuracy"]["micro"]["value"] == pytest.approx(2357 / 3572)
    assert official["accuracy"]["by_dimension"]["shot_size"]["value"] == pytest.approx(383 / 485)
    letters = {item["index"]: item["letter"] for item in official["items"]}
    stored = stored_responses(real_data, "shotbench.shotvl-3b.reasoning")
    assert letters == {row["index"]: row["reference_letter"] for row in stored}
    for estimate in (official["accuracy"]["micro"], official["accuracy"]["macro"]):
        assert 0 < estimate["low"] < estimate["value"] < estimate["high"] < 1


@pytest.mark.slow
def test_undecided_rows_are_reported_as_such(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tsv = real_data / "shotbench" / "test.tsv"
    responses = real_data / "responses" / "shotbench.shotvl-3b.reasoning.run0.jsonl.gz"
    official = scored(capsys, tsv, responses, "--protocol", "official")
    assert official["correct"] == 2310
    assert sum(item["letter"] is None for item in official["items"]) == 31


def test_every_stored_format_gives_the_same_letters(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {1: "A", 2: "<think>x</think><answer>B</answer>", 3: "C. Close Up", 4: "A\tB"}
    plain = write_responses(tmp_path / "r.jsonl", texts)
    packed = tmp_path / "r.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    table = tmp_path / "r.tsv"
    with table.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines, delimiter="\t")
        writer.writerows([("index", "prediction"), *texts.items()])
    sheet = tmp_path / "r.xlsx"
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [("index", "prediction"), *texts.items()]:
        book.active.append(row)
    book.save(sheet)
    results = [scored(capsys, questions, path)["items"] for path in (plain, packed, table, sheet)]
    assert [item["letter"] for item in results[0]] == ["A", "B", "C", None]
    assert all(result == results[0] for result in results)


def test_table_and_csv_and_file(questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    responses = write_responses(tmp_path / "r.jsonl", {1: "A", 2: "B", 3: "A", 4: "A"})
    assert main(["score", str(questions), str(responses)]) == 0
    table = capsys.readouterr().out
    assert "Shot Size" in table and "50.00" in table and "protocol strict: 2 of 4 right, 100.00 % decided" in table
    out = tmp_path / "deep" / "scores.csv"
    assert main(["score", str(questions), str(responses), "--format", "csv", "--out", str(out)]) == 0
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert [row["name"] for row in rows] == ["shot_size", "micro", "macro"]
    assert [row["accuracy"] for row in rows] == ["0.500000"] * 3
    assert [path.name for path in out.parent.iterdir()] == ["scores.csv"]


def test_a_missing_response_counts_as_wrong_and_shows_in_the_exit_status(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    responses = write_responses(tmp_path / "r.jsonl", {1: "A", 2: " ", 4: "D"})
    assert main(["score", str(questions), str(responses), "--format", "json"]) == 1
    captured = capsys.readouterr()
    assert "no response for 1 of 4 items (index 3)" in captured.err
    result = json.loads(captured.out)
    assert (result["correct"], result["n"], result["unanswered"]) == (2, 4, [3])
    assert main(["score", str(questions), str(responses), "--allow-missing"]) == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.jsonl", '{"index": 1, "response": "A"}\n{"index"', "line 2: invalid JSON"),
        ("r.jsonl", '["A"]', "entry 1: expected an object with index and response"),
        ("r.jsonl", '{"response": "A"}', "line 1: no integer in column `index`"),
        ("r.jsonl", '{"index": 1.5, "response": "A"}', "line 1: no integer in column `index`"),
        ("r.jsonl", '{"index": 1}', "line 1: no column `response`"),
        ("r.jsonl", '{"index": 9, "response": "A"}', "1 responses match none of these questions (index 9)"),
        ("r.jsonl", '{"index": 1, "response": "A"}\n' * 2, "question 1 is answered twice"),
        ("r.jsonl", "", "contains no responses"),
        ("r.json", '[{"index": 1, "response": "A"}, {"index"', "invalid JSON"),
        ("r.json", '{"1": "A", "1": "B"}', "1 occurs twice in one object"),
        ("r.json", '{"1": "A", "two": "B"}', "an object with 1, two holds no responses"),
        ("r.json", '[{"index": true, "response": "A"}]', "entry 1: no integer in column `index`"),
        ("r.json", '[{"index": 1, "response": ["A"]}]', "entry 1: the response is a JSON list, expected a text"),
        ("r.csv", "index,prediction\n1,A\n2", "row 3: 1 of 2 cells (index, prediction); was the file truncated?"),
        ("r.csv", "index,prediction\n1,B, I think\n", "row 2: 3 cells, but 2 columns; put texts that contain ','"),
        ("r.csv", 'index,prediction\n1,A\n2,"B is ri', "row 3: unexpected end of data"),
        ("r.csv", "id,prediction\n1,A\n", "row 2: no integer in column `index` (columns: id, prediction)"),
        ("r.csv", "index,output,pred\n1,A,B\n", "row 2: several columns may be the response (output, pred)"),
        ("r.csv", "index,prediction\n", "contains no responses"),
        ("r.jsonl.gz", "no gzip", "broken gzip"),
        ("r.xlsx", "no sheet", "not a readable xlsx"),
        ("r.pdf", "A", "unknown format; give .jsonl"),
        ("r.tsv", "index\tanswer\n1\tA\n", "row 2: no column `response`"),
        ("r.tsv", "index\tprediction\n1\t\udcff\n", "line 2: not a text in UTF-8"),
    ],
)
def test_a_broken_file_of_responses_is_named_with_the_position(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8", errors="surrogateescape")
    assert main(["score", str(questions), str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error and str(path) in error and "Traceback" not in error


def test_absent_files_are_named(questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(questions), str(tmp_path / "absent.jsonl")]) == 2
    assert "absent.jsonl: no such file of responses" in capsys.readouterr().err


def test_a_broken_question_is_named(questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    responses = write_responses(tmp_path / "r.jsonl", {1: "A"})
    questions.write_text(questions.read_text(encoding="utf-8") + "5\tbroken\n", encoding="utf-8")
    assert main(["score", str(questions), str(responses)]) == 2
    assert "item 5: path is None, expected a value (is the line broken?)" in capsys.readouterr().err


def test_a_question_with_too_many_cells_is_named(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions.write_text(questions.read_text(encoding="utf-8").rstrip("\n") + "\tadditional\n", encoding="utf-8")
    assert main(["score", str(questions), str(write_responses(tmp_path / "r.jsonl", {1: "A"}))]) == 2
    assert "item 4: line is" in capsys.readouterr().err


def test_a_duplicate_question_is_named(questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = questions.read_text(encoding="utf-8")
    questions.write_text(text + text.splitlines(keepends=True)[-1], encoding="utf-8")
    assert main(["score", str(questions), str(write_responses(tmp_path / "r.jsonl", {1: "A"}))]) == 2
    assert "index is 4, expected an index that occurs once" in capsys.readouterr().err


def test_a_judge_needs_the_official_protocol(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    responses = write_responses(tmp_path / "r.jsonl", {1: "A"})
    judge = ["--judge-url", "http://localhost:1/v1", "--judge-model", "some-judge"]
    assert main(["score", str(questions), str(responses), *judge]) == 2
    assert "a judge needs --protocol official" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--judge-url", "http://localhost:1/v1"], "--judge-url needs --judge-model"),
        (["--judge-model", "some-judge"], "--judge-model and --judge-cache need --judge-url"),
        (["--judge-cache", "verdicts.sqlite"], "--judge-model and --judge-cache need --judge-url"),
        (["--judge-url", "", "--judge-model", "some-judge"], "--judge-model and --judge-cache need --judge-url"),
    ],
)
def test_incomplete_judge_options_are_refused(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    responses = write_responses(tmp_path / "r.jsonl", {1: "A"})
    assert main(["score", str(questions), str(responses), "--protocol", "official", *arguments]) == 2
    assert message in capsys.readouterr().err


COMMANDS = (["score", "q", "r"], ["compare", "a", "b"], ["audit", "q"], ["refineshot", "q", "--direct", "r"])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_an_unwritable_out_is_refused_before_anything_is_read(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    beneath_a_file = tmp_path / "file" / "deep" / "scores.json"
    for out, message in ((tmp_path, "is a folder"), ("", "is a folder"), (beneath_a_file, "file is no folder")):
        assert main([*command, "--out", str(out)]) == 2
        assert message in capsys.readouterr().err


def test_a_tsv_has_no_other_split_than_test(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    responses = str(write_responses(tmp_path / "r.jsonl", {1: "A", 2: "B", 3: "C", 4: "D"}))
    for command in (["score", str(questions), responses], ["audit", str(questions)]):
        assert main([*command, "--split", "nosuch"]) == 2
        assert f"{questions}: a TSV has no split 'nosuch', only 'test'" in capsys.readouterr().err
        assert main([*command, "--split", "test"]) == 0
    assert main(["compare", str(questions), responses, responses, "--split", "nosuch"]) == 2
    assert main(["refineshot", str(questions), "--direct", responses, "--split", "nosuch"]) == 2


def test_the_scores_of_a_variant_record_it_and_what_it_left_out(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header, first, *others = questions.read_text(encoding="utf-8").splitlines(keepends=True)
    unknown = first.replace("Medium Wide", "Enormous")  # not a term, so its mirror image is unknown
    questions.write_text("".join([header, unknown, *others]), encoding="utf-8")
    responses = write_responses(tmp_path / "r.jsonl", {2: "B", 3: "C", 4: "D"})
    mirrored = scored(capsys, questions, responses, "--variant", "mirrored")
    assert mirrored["run"] == {"variant": "mirrored", "left_out": [1], "refined": None}
    assert scored(capsys, questions, responses, "--allow-missing")["run"] == {}


def test_published_refined_questions_need_the_refined_variant(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["score", str(questions), str(write_responses(tmp_path / "r.jsonl", {1: "A"})), "--refined"]
    for variant in ([], ["--variant", "mirrored"]):
        assert main([*command, str(questions), *variant]) == 2
        assert "--refined is only valid with --variant refined" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "absent.tsv"), "--variant", "refined"]) == 2
    assert "absent.tsv: no such file of refined questions" in capsys.readouterr().err


@pytest.mark.slow
def test_responses_to_published_refined_questions_are_graded_by_them_and_robust_recreates_them(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHOTBENCH_REFINED", raising=False)
    tsv, published = real_data / "shotbench" / "test.tsv", real_data / "refineshot" / "test.tsv"
    direct = real_data / "responses" / "refineshot.shotvl-3b.direct.jsonl.gz"
    refined = [str(tsv), str(direct), "--variant", "refined"]
    assert main(["score", *refined]) == 0
    printed = capsys.readouterr()
    assert "2028 of 3572 right" in printed.out and "use --refined for the published ones" in printed.err
    files = [tmp_path / "plain.json", tmp_path / "refined.json"]
    plain = [str(tsv), str(real_data / "responses" / "shotbench.shotvl-3b.reasoning.jsonl.gz")]
    for arguments, file in ((plain, files[0]), ([*refined, "--refined", str(published)], files[1])):
        assert main(["score", *arguments, "--format", "json", "--out", str(file)]) == 0
    scores = json.loads(files[1].read_text(encoding="utf-8"))
    assert (scores["correct"], scores["run"]["variant"], scores["run"]["left_out"]) == (2418, "refined", [])
    assert scores["run"]["refined"] == {"file": str(published), "sha256": file_sha256(published)}
    assert main(["robust", *map(str, files), "--data", str(tsv)]) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["data", "studio", "--out", "out"], "data"),
        (["tiny-model", "--random", "--out", "out"], "evaluate"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(arguments: list[str], extra: str, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('numpy', 'transformers', 'tokenizers'): sys.modules[name] = None  # cannot be imported\n"
        "from lmms_eval_shotbench.cli import main\n"
        f"sys.exit(main({arguments!r}))"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert finished.returncode == 2
    assert re.search(rf"is not installed; pip install 'lmms-eval-shotbench\[{extra}\]'", finished.stderr)
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_scoring_imports_no_numerical_library(questions: Path, tmp_path: Path) -> None:
    responses = write_responses(tmp_path / "r.jsonl", {1: "A", 2: "B", 3: "C", 4: "D"})
    code = (
        "import sys; from lmms_eval_shotbench.cli import main\n"
        "for protocol in ('strict', 'official'):\n"
        "    assert main(['score', *sys.argv[1:], '--protocol', protocol, '--out', 'scores']) == 0\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", code, str(questions), str(responses)]
    finished = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert not {"scipy", "numpy", "pandas", "torch"} & set(finished.stdout.split())


def test_only_questions_that_the_classes_of_a_classifier_distinguish_are_scored(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    responses = write_responses(tmp_path / "responses.jsonl", {1: "A", 2: "B", 3: "A", 4: "D", 5: "C", 6: "C"})
    options = '"{""A"": ""Medium Close Up"", ""B"": ""Medium"", ""C"": ""Close Up""}"'
    with questions.open("a", encoding="utf-8") as rows:
        rows.write(f'5\t"[""image""]"\t[\'image/5.jpg\']\tWhat?\t{options}\tC\tshot size\n')
        rows.write(f'6\t"[""image""]"\t[\'image/6.jpg\']\tWhat?\t{options.replace("Close Up", "Wide")}\tC\tlens size\n')
    labels = tmp_path / "labels.toml"
    labels.write_text(
        '[shot_size]\nCS = ["Close Up", "MCU"]\nMS = "Medium"\nFS = "Medium Wide"\nLS = ["Wide", "Extreme Wide"]\n',
        encoding="utf-8",
    )
    scores = scored(capsys, questions, responses, "--classes", labels)
    assert [item["index"] for item in scores["items"]] == [1, 2, 3, 4]
    assert (scores["correct"], scores["run"]["classes"]) == (3, str(labels))
    assert main(["score", str(questions), str(responses), "--classes", str(labels)]) == 0
    assert "2 of 6 questions are left out" in capsys.readouterr().err
    labels.write_text('[lens_size]\nlong = "Long Lens"\n', encoding="utf-8")
    assert main(["score", str(questions), str(responses), "--classes", str(labels)]) != 0
    assert "none of 6 questions" in capsys.readouterr().err
