"""`shotbench report` from the command line: the page equals scores.json, loads nothing and runs no external script."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.vocabulary import DIMENSIONS
from tests.support.parsed_page import Element, parsed
from tests.support.report_runs import SIZES, always_b, always_right, write_questions, write_run

MEGABYTE = 1_000_000
# Number formats of the page, duplicated here so that a change of the page fails a test.
WRITTEN: dict[str, Callable[[Any], str]] = {
    "percent": lambda share: format(100 * share, ".2f"),
    "short": lambda share: format(100 * share, ".1f"),
    "points": lambda share: format(100 * share, "+.2f"),
    "printed": lambda percent: format(percent, ".1f"),
    "count": lambda count: format(count, ",.0f"),
    "length": lambda listed: format(len(listed), ","),
    "value": lambda value: format(value, ".4g"),
    "p": lambda p: "<0.001" if p < 0.001 else format(p, ".3f"),
}


class Report(NamedTuple):
    """The files of a report."""

    html: str
    page: Element
    numbers: dict[str, Any]
    card: str


def report(out: Path, *arguments: object) -> Report:
    assert main(["report", *map(str, arguments), "--out", str(out / "report.html")]) == 0
    html = (out / "report.html").read_text(encoding="utf-8")
    numbers = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    return Report(html, parsed(html), numbers, (out / "report.md").read_text(encoding="utf-8"))


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([*map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert not captured.out and "Traceback" not in captured.err
    return captured.err


@pytest.fixture(scope="module")
def real_report_arguments(real_data: Path) -> list[Path]:
    responses = [real_data / "responses" / f"shotbench.{name}.jsonl.gz" for name in REAL]
    return [real_data / "shotbench" / "test.tsv", *responses]


REAL = ("shotvl-3b.reasoning", "qwen2.5-vl-3b.direct")
REAL_REPORT = pytest.param("real_report", marks=pytest.mark.slow)  # seconds to grade 7,144 responses


@pytest.fixture(scope="module")
def real_report(real_report_arguments: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Report:
    """ShotVL-3B and Qwen2.5-VL-3B, from their real responses."""
    return report(tmp_path_factory.mktemp("real"), *real_report_arguments)


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_questions(tmp_path_factory.mktemp("questions") / "test.tsv")


@pytest.fixture(scope="module")
def items(questions: Path) -> list[QAItem]:
    return read_questions(questions)


@pytest.fixture(scope="module")
def synthetic_report(questions: Path, items: list[QAItem], tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A run that is always correct, with all variants, a run that always answers B, and a training run."""
    folder = tmp_path_factory.mktemp("made")
    runs = [
        write_run(folder / "right", items, always_right, questions),
        write_run(folder / "b", items, always_b, questions),
    ]
    for variant in ("blind", "circular", "mirrored", "reversed"):
        runs.append(write_run(folder / variant, items, always_right, questions, variant, model="made"))
    (folder / "b" / "scores.json").write_text(_of_model(folder / "b" / "scores.json", "other"))
    return report(folder / "page", *runs, "--training", write_training(folder / "grpo"), "--published")


def _of_model(scores: Path, model: str) -> str:
    kept = json.loads(scores.read_text())
    return json.dumps(kept | {"run": kept["run"] | {"model": model}})


def write_training(run: Path) -> Path:
    """Write an attempt that crashed at step 3, and one resumed from step 1 with an incomplete last line."""
    slug = DIMENSIONS[0].slug
    row = '{{"step":{},"data":{{"critic/rewards/mean":{},"val-core/studio/{}/acc/mean@1":{},"x":NaN}}}}\n'
    (run / "metrics").mkdir(parents=True)
    first = row.format(1, 0.5, slug, 0.25) + row.format(2, 9.0, slug, 0.5) + row.format(3, 9.0, slug, 0.5)
    (run / "metrics" / "0001.jsonl").write_text(first)
    (run / "metrics" / "0002.jsonl").write_text(row.format(2, 1.5, slug, 0.75) + '{"step":3,"da')
    return run


def at(numbers: Any, pointer: str) -> Any:
    """Return the value at a JSON pointer (RFC 6901)."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        numbers = numbers[int(name)] if isinstance(numbers, list) else numbers[name]
    return numbers


@pytest.mark.slow
@pytest.mark.parametrize("name", ["real_report", "synthetic_report"])
def test_every_number_on_the_page_equals_scores_json(name: str, request: pytest.FixtureRequest) -> None:
    written: Report = request.getfixturevalue(name)
    figures = list(written.page.all("data"))
    assert len(figures) > 300
    for figure in figures:
        value = at(written.numbers, figure.attributes["data-pointer"])
        assert figure.text == WRITTEN[figure.attributes["data-form"]](value), figure.attributes
        if not isinstance(value, list):
            assert float(figure.attributes["value"]) == value


@pytest.mark.slow
@pytest.mark.parametrize("name", ["real_report", "synthetic_report"])
def test_no_cell_has_a_number_without_a_pointer(name: str, request: pytest.FixtureRequest) -> None:
    for cell in request.getfixturevalue(name).page.all("td"):
        own_text = [child for child in cell.children if isinstance(child, str)]
        assert cell.attributes.get("class") == "text" or not re.search(r"\d", "".join(own_text)), cell.text


def row(page: Element, section: str, name: str, table: int = 0) -> list[str]:
    """Return the cells of a table's row."""
    body = list(page.by_id(section).all("table"))[table]
    return next(
        [cell.text for cell in line.all("td")] for line in body.all("tr") if name in [h.text for h in line.all("th")]
    )


@pytest.mark.slow
def test_the_headline_equals_shotbench_score(
    real_report: Report, real_report_arguments: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for number, responses in enumerate(real_report_arguments[1:]):
        assert main(["score", str(real_report_arguments[0]), str(responses), "--format", "json"]) == 0
        scores = json.loads(capsys.readouterr().out)
        expected = {name: value for name, value in scores.items() if name != "items"}
        assert real_report.numbers["runs"][number]["strict"] == expected
        assert (
            row(real_report.page, "headline", f"shotbench.{REAL[number]}")[0]
            == f"{100 * scores['accuracy']['micro']['value']:.2f}"
        )
    assert row(real_report.page, "headline", "shotbench.shotvl-3b.reasoning") == [
        "65.96", "64.4 – 67.5", "65.68", "64.1 – 67.2", "54.24", "2,356", "3,572",
    ]  # fmt: skip


@pytest.mark.slow
def test_the_comparison_equals_shotbench_compare(
    real_report: Report, real_report_arguments: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *map(str, real_report_arguments), "--format", "json"]) == 0
    theirs = json.loads(capsys.readouterr().out)
    ours = real_report.numbers["comparisons"][0]
    assert {name: ours[name] for name in theirs if name not in "ab"} == {n: theirs[n] for n in theirs if n not in "ab"}
    assert [ours["a"]["name"], ours["b"]["name"]] == [f"shotbench.{name}" for name in REAL]


@pytest.mark.slow
def test_all_27_published_rows_are_shown_as_printed(real_report: Report, real_data: Path) -> None:
    with (real_data / "leaderboard.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == len(real_report.numbers["published"]) == 27
    table = next(real_report.page.by_id("published").all("table"))
    shown_lines = [[cell.text for cell in line.all("th", "td")] for line in table.all("tr")]
    for published in rows:
        figures = [published[d.abbreviation] for d in DIMENSIONS] + [published["avg_printed"]]
        matching = [line for line in shown_lines if line[0] == published["model"] and line[-1] == published["source"]]
        assert [[cell.split("▲")[0].split("▼")[0].strip() for cell in line[1:10]] for line in matching] == [figures]
        marks = "".join(matching[0][1:9])
        assert matching[0][10:12] == [str(marks.count("▲")), str(marks.count("▼"))]


@pytest.mark.slow
def test_published_figures_are_tested_by_two_proportions_and_holm(real_report: Report) -> None:
    index = next(i for i, one in enumerate(real_report.numbers["published"]) if one["model"] == "GPT-4o")
    theirs, found = (
        real_report.numbers["published"][index]["by_dimension"],
        real_report.numbers["runs"][0]["published"][index],
    )
    p = {}
    for slug, estimate in real_report.numbers["runs"][0]["strict"]["accuracy"]["by_dimension"].items():
        mine, other, n = estimate["value"], theirs[slug] / 100, estimate["n"]
        pooled = (mine + other) / 2
        z = abs(mine - other) / math.sqrt(pooled * (1 - pooled) * 2 / n)
        p[slug] = 2 * (1 - 0.5 * (1 + math.erf(z / math.sqrt(2))))
    for rank, slug in enumerate(sorted(p, key=lambda slug: p[slug])):
        one = found["by_dimension"][slug]
        assert one["p"] == pytest.approx(p[slug], abs=1e-9)
        assert one["p_holm"] >= min(1.0, (8 - rank) * p[slug]) - 1e-9
        assert one["differs"] == (one["p_holm"] < 0.05)
    assert (found["above"], found["below"]) == (3, 0)  # the run above GPT-4o in shot size, camera angle and lens size


@pytest.mark.slow
def test_published_rows_are_shown_for_shotbench_only_unless_requested(
    questions: Path, items: list[QAItem], synthetic_report: Report, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "run", items, always_right, questions)
    plain = report(tmp_path / "plain", run)
    assert not plain.numbers["published"] and "published-title" not in plain.html
    assert "These are not the same questions" in synthetic_report.page.by_id("published").text


def test_variants_are_assigned_to_the_run_of_their_model(synthetic_report: Report) -> None:
    right, other = synthetic_report.numbers["runs"]
    assert set(right["variants"]) == {"blind", "circular", "mirrored", "reversed"} and not other["variants"]
    assert right["variants"]["mirrored"]["overall"]["robust"]["value"] == 1.0
    assert [run["name"] for run in synthetic_report.numbers["runs"]] == ["right", "b"]
    assert "made" in synthetic_report.page.by_id("how").text


def test_a_variant_without_a_main_run_is_refused(
    questions: Path, items: list[QAItem], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blind = write_run(tmp_path / "blind", items, always_right, questions, "blind")
    assert "give the run on the original questions" in refused(capsys, "report", blind, "--out", tmp_path / "r.html")
    mains = [write_run(tmp_path / name, items, always_right, questions, model=name) for name in ("one", "two")]
    printed = refused(capsys, "report", *mains, blind, "--out", tmp_path / "r.html")
    assert str(blind) in printed and "0 of the runs" in printed
    assert not (tmp_path / "r.html").exists()


def test_a_variant_given_twice_is_refused(
    questions: Path, items: list[QAItem], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", items, always_right, questions)
    blind = [write_run(tmp_path / name, items, always_b, questions, "blind") for name in ("one", "two")]
    assert "blind is given twice" in refused(capsys, "report", run, *blind, "--out", tmp_path / "r.html")


@pytest.mark.slow
def test_the_accuracy_where_the_prior_is_wrong_is_shown(real_report: Report) -> None:
    moves = DIMENSIONS[-1]
    prior = real_report.numbers["runs"][0]["strict"]["prior"]["by_dimension"][moves.slug]
    cells = row(real_report.page, "prior", moves.paper_name)
    assert cells[:2] == [f"{100 * prior['accuracy']['value']:.2f}", f"{100 * prior['where_right']['value']:.2f}"]
    assert cells[4] == f"{100 * prior['where_wrong']['value']:.2f}"


@pytest.mark.slow
def test_confusion_matrices_contain_every_item(real_report: Report) -> None:
    for run in real_report.numbers["runs"]:
        assert sum(sum(map(sum, matrix["counts"])) for matrix in run["matrices"].values()) == 3572
        for matrix in run["matrices"].values():
            assert all(len(counts) == len(matrix["answered"]) for counts in matrix["counts"])
            assert len(matrix["right"]) <= 13


@pytest.mark.slow
def test_the_protocols_differences_are_counted(real_report: Report) -> None:
    protocols = real_report.numbers["runs"][0]["protocols"]
    assert protocols["official_only"] - protocols["strict_only"] == 2357 - 2356
    assert protocols["both_right"] + protocols["strict_only"] == 2356
    for one in protocols["other_letter"]:
        links = [link.attributes["href"] for link in real_report.page.by_id("protocols").all("a")]
        assert f"#item={one['item_id']}" in links


@pytest.mark.slow
def test_truncated_responses_are_counted(questions: Path, items: list[QAItem], tmp_path: Path) -> None:
    texts = ["<think>On and on", "<think>a</think><answer>B", "<answer>B</answer>", "B", ""]

    def response(item: QAItem) -> str:
        return texts[min(item.source_index, 4)]

    statistics = report(tmp_path / "page", write_run(tmp_path / "run", items, response, questions)).numbers["runs"][0][
        "responses"
    ]
    assert (statistics["n"], statistics["left_open_items"], statistics["blank"]) == (12, 2, 8)
    assert sum(statistics["histogram"]["counts"]) == 12
    assert statistics["characters"]["longest"] == len(texts[1])


def test_steps_discarded_by_a_resumed_training_run_are_ignored(synthetic_report: Report) -> None:
    curves = synthetic_report.numbers["training"][0]
    assert curves["reward"] == [[1, 0.5], [2, 1.5]]
    assert curves["accuracy"]["validation"] == {DIMENSIONS[0].slug: [[1, 0.25], [2, 0.75]]}
    assert row(synthetic_report.page, "training", "reward") == ["1", "0.5", "2", "1.5"]


def test_a_folder_without_training_metrics_is_refused(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    responses = tmp_path / "responses.jsonl"
    responses.write_text('{"index": 1, "response": "B"}\n')
    arguments = ("report", questions, responses, "--training", tmp_path, "--out", tmp_path / "r.html")
    assert "has logged" in refused(capsys, *arguments)


HOSTILE = (
    "<script>alert(1)</script>", "</textarea></pre></style></title>", "<img src=x onerror=alert(1)>",
    "\x1b[31mred\x1b[0m", "\u202egnp.exe\u2066", "{{ 7 * 7 }}", "$\\frac{x$", "]]>", "\ud800",
)  # fmt: skip


@pytest.mark.slow
def test_external_text_is_shown_as_text_and_not_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions = write_questions(tmp_path / "test.tsv", (HOSTILE[0], HOSTILE[2], HOSTILE[5], SIZES[2]))
    items = read_questions(questions)
    responses = {item.source_index: HOSTILE[item.source_index % len(HOSTILE)] for item in items}
    name = "run" + "".join(HOSTILE[:-1]).replace("/", "∕")
    how = {"model": HOSTILE[0] + HOSTILE[3], "warnings": list(HOSTILE), HOSTILE[2]: {"x": HOSTILE[4]}}
    run = write_run(tmp_path / name, items, lambda item: responses[item.source_index], questions, **how)
    other = write_run(tmp_path / "other", items, always_b, questions)
    written = report(tmp_path / "page", run, other, "--published")
    scripts = [one for one in written.page.all("script") if one.attributes.get("type") != "application/json"]
    assert len(scripts) == 1 and "alert(1)" not in scripts[0].text
    assert not [one for one in written.page.all() if any(key.startswith("on") for key in one.attributes)]
    assert not [
        one for one in written.page.all("img", "textarea", "iframe", "object") if one.attributes.get("src") == "x"
    ]
    assert "<script>alert(1)</script>" in written.page.by_id("how").text
    assert "{{ 7 * 7 }}" in written.page.by_id("how").text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", written.page.by_id("headline").text)
    assert "<script" not in written.card and "\x1b" not in written.card
    capsys.readouterr()
    assert main(["leaderboard", str(run), str(other), "--published"]) == 0
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", capsys.readouterr().out)


@pytest.mark.slow
def test_a_response_of_a_megabyte_leaves_the_page_small(questions: Path, items: list[QAItem], tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", items, lambda item: "" if item.source_index else "<b>B\n" * 200_000, questions)
    written = report(tmp_path / "page", run)
    assert written.numbers["runs"][0]["responses"]["characters"]["longest"] == MEGABYTE
    assert len(written.html.encode()) < 5 * MEGABYTE and not list(written.page.all("b"))


@pytest.mark.parametrize("name", [REAL_REPORT, "synthetic_report"])
def test_the_page_loads_nothing(name: str, request: pytest.FixtureRequest) -> None:
    written: Report = request.getfixturevalue(name)
    for element in written.page.all():
        for key in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
            assert element.attributes.get(key, "#").startswith(("#", "data:")), (element.tag, key)
    styles = "".join(one.text for one in written.page.all("style"))
    assert "@import" not in styles and "http" not in styles
    policy = next(one for one in written.page.all("meta") if one.attributes.get("http-equiv"))
    assert "default-src 'none'" in policy.attributes["content"]
    assert len(written.html.encode()) < 15 * MEGABYTE


@pytest.mark.parametrize("name", [REAL_REPORT, "synthetic_report"])
def test_the_page_is_accessible_to_screen_readers(name: str, request: pytest.FixtureRequest) -> None:
    page: Element = request.getfixturevalue(name).page
    levels = [int(one.tag[1]) for one in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for table in page.all("table"):
        assert next(table.all("caption")).text
        assert all(head.attributes.get("scope") for head in table.all("th"))
    charts = [one for one in page.all("svg") if one.attributes.get("class") == "chart"]
    assert len(charts) >= 3
    assert all(one.attributes["role"] == "img" and one.attributes["aria-label"] for one in charts)
    ids = [one.attributes["id"] for one in page.all() if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    inner = [one.attributes["href"][1:] for one in page.all("a") if "href" in one.attributes]
    assert all(link in ids or link.startswith("item=") for link in inner)
    assert {"header", "nav", "main", "footer"} <= {one.tag for one in page.all()}


@pytest.mark.slow
def test_the_same_runs_give_the_same_bytes(questions: Path, items: list[QAItem], tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", items, always_b, questions)
    first, second = (report(tmp_path / name, run) for name in ("first", "second"))
    assert (first.html, first.numbers, first.card) == (second.html, second.numbers, second.card)


@pytest.mark.slow
def test_a_run_s_own_scores_are_never_overwritten(
    questions: Path, items: list[QAItem], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", items, always_b, questions)
    before = (run / "scores.json").read_bytes()
    assert "would be lost" in refused(capsys, "report", run, "--out", run / "report.html")
    assert (run / "scores.json").read_bytes() == before and not (run / "report.html").exists()
    report(tmp_path / "page", run)
    report(tmp_path / "page", run)  # a report may be overwritten


@pytest.mark.slow
def test_scores_of_an_earlier_version_are_regraded_or_refused(
    questions: Path, items: list[QAItem], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", items, always_b, questions)
    fewer = {name: value for name, value in json.loads((run / "scores.json").read_text()).items() if name != "prior"}
    (run / "scores.json").write_text(json.dumps(fewer))
    assert report(tmp_path / "page", run).numbers["runs"][0]["strict"]["prior"]["accuracy"]["n"] == 12
    (run / "samples.jsonl").unlink()
    capsys.readouterr()
    assert "earlier version" in refused(capsys, "report", run, "--out", tmp_path / "r.html")


@pytest.mark.slow
def test_an_unwritable_page_is_one_line(
    questions: Path, items: list[QAItem], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", items, always_right, questions)
    (tmp_path / "file").write_text("kept")
    assert "is a folder" in refused(capsys, "report", run, "--out", tmp_path)
    for out in ("file/report.html", "file/deep/report.html"):
        line = refused(capsys, "report", run, "--out", tmp_path / out)
        assert "cannot be written" in line and line.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "run"]


BROKEN: dict[str, tuple[tuple[str | int, ...], object]] = {
    "accuracy.micro.value": (("accuracy", "micro", "value"), "high"),
    "accuracy.macro": (("accuracy", "macro"), {}),
    "accuracy.by_dimension.shot_size.n": (("accuracy", "by_dimension", "shot_size", "n"), 0),
    "chance_corrected.macro.value": (("chance_corrected", "macro", "value"), 65.9),
    "accuracy.micro.low is nan": (("accuracy", "micro", "low"), math.nan),
    "accuracy.micro.n is True": (("accuracy", "micro", "n"), True),
    "compound is 'none'": (("compound",), "none"),
    "prior.by_dimension has the key 'sound'": (("prior", "by_dimension"), {"sound": {}}),
    "prior.where_right.n is absent": (("prior", "where_right"), {"value": 0.5, "low": 0.1, "high": 0.9}),
    "confusion.shot_size[0]": (("confusion", "shot_size", 0), ["Wide", "Wide"]),
    "unanswered": (("unanswered",), 3),
    "run.passes": (("run", "passes"), "all"),
    "not scores": (("items",), 3),
    "letter of an item (index 0)": (("items", 0, "letter"), 2),
    "dimension of an item": (("items", 0, "dimension"), "sound"),
}


@pytest.mark.parametrize("message", BROKEN)
def test_broken_scores_are_refused_with_the_field(
    questions: Path, items: list[QAItem], tmp_path: Path, capsys: pytest.CaptureFixture[str], message: str
) -> None:
    run = write_run(tmp_path / "run", items, always_right, questions)
    (*path, last), value = BROKEN[message]
    scores = inside = json.loads((run / "scores.json").read_text())
    for step in path:
        inside = inside[step]
    inside[last] = value
    (run / "scores.json").write_text(json.dumps(scores))
    for asked in (("report", run, "--out", tmp_path / "r.html"), ("leaderboard", run)):
        line = refused(capsys, *asked)
        assert message in line and str(run / "scores.json") in line and line.count("\n") == 1
    assert not (tmp_path / "r.html").exists()


@pytest.mark.slow
def test_a_run_without_its_questions_is_still_reported(items: list[QAItem], tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", items, always_right, tmp_path / "nowhere.tsv")
    assert report(tmp_path / "page", run).numbers["runs"][0]["strict"]["correct"] == 12


def test_questions_of_another_run_are_refused(
    questions: Path, items: list[QAItem], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", items, always_right, questions)
    others = write_questions(tmp_path / "others.tsv", ("Wide", "Medium", "Close Up", "Extreme Wide"))
    assert "other questions" in refused(capsys, "report", run, "--data", others, "--out", tmp_path / "r.html")


@pytest.mark.slow
def test_runs_on_different_questions_are_shown_with_the_reason(
    questions: Path, items: list[QAItem], tmp_path: Path
) -> None:
    runs = [write_run(tmp_path / "all", items, always_right, questions)]
    runs.append(write_run(tmp_path / "few", items[:6], always_right, questions))
    written = report(tmp_path / "page", *runs)
    assert not written.numbers["comparisons"]
    assert "different questions" in written.page.by_id("comparison").text


@pytest.mark.slow
def test_runs_of_the_same_name_get_unique_names(questions: Path, items: list[QAItem], tmp_path: Path) -> None:
    runs = [write_run(tmp_path / folder / "run", items, always_b, questions) for folder in ("one", "two")]
    assert [run["name"] for run in report(tmp_path / "page", *runs).numbers["runs"]] == ["one/run", "two/run"]


@pytest.mark.slow
def test_the_card_contains_the_same_numbers(real_report: Report) -> None:
    rows = {
        cells[1].strip(): cells[2:-1] for line in real_report.card.splitlines() if len(cells := line.split("|")) > 3
    }
    for number, run in enumerate(real_report.numbers["runs"]):
        for dimension in DIMENSIONS:
            estimate = run["strict"]["accuracy"]["by_dimension"][dimension.slug]
            assert rows[dimension.paper_name][number].split()[0] == f"{100 * estimate['value']:.2f}"
        assert (
            rows["**over items (micro)**"][number].split()[0]
            == f"{100 * run['strict']['accuracy']['micro']['value']:.2f}"
        )


@pytest.mark.slow
def test_the_leaderboard_ranks_runs_among_the_published(
    real_report_arguments: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["leaderboard", *map(str, real_report_arguments)]) == 0
    ranked = capsys.readouterr().out.partition("\nmeasured by others")[0]
    lines = [line for line in ranked.splitlines() if re.search(r"\d\d\.\d", line)]
    assert len(lines) == 29
    assert lines[2].startswith("* shotbench.shotvl-3b.reasoning") and lines[2].split()[2:] == [
        "79.0", "87.0", "68.6", "60.9", "64.7", "54.3", "59.9", "51.1", "65.7", "66.0",
    ]  # fmt: skip


def test_the_leaderboard_needs_neither_jinja2_nor_matplotlib(
    questions: Path,
    items: list[QAItem],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = write_run(tmp_path / "run", items, always_b, questions)
    for name in ("jinja2", "markupsafe", "matplotlib"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["leaderboard", str(run)]) == 0
    capsys.readouterr()
    printed = refused(capsys, "report", run, "--out", tmp_path / "page" / "report.html")
    assert "lmms-eval-shotbench[report]" in printed and not (tmp_path / "page").exists()


@pytest.mark.slow
def test_a_closed_output_pipe_gives_no_traceback(questions: Path, items: list[QAItem], tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", items, always_b, questions)
    reading, writing = os.pipe()
    os.close(reading)  # as by `| head`
    command = [sys.executable, "-m", "lmms_eval_shotbench.cli", "leaderboard", str(run), "--no-published"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, "Traceback" in done.stderr, "Broken" in done.stderr) == (141, False, False)


def test_a_broken_pipe_other_than_the_output_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def upload() -> int:
        raise BrokenPipeError("the server has closed the connection")

    app = typer.Typer()
    app.command()(upload)
    monkeypatch.setattr("lmms_eval_shotbench.commands.root.app", app)
    with Path(os.devnull).open("w") as open_output, pytest.raises(BrokenPipeError):
        monkeypatch.setattr(sys, "stdout", open_output)
        main([])


@pytest.mark.slow
def test_runs_on_several_sets_are_compared_across_them(tmp_path: Path) -> None:
    runs = []
    for name, options in (("first", SIZES), ("second", SIZES[::-1])):
        items = read_questions(write_questions(tmp_path / f"{name}.tsv", options, 24))
        for model, says in (("sees", always_right), ("guesses", always_b)):
            runs.append(write_run(tmp_path / name / model, items, says, tmp_path / f"{name}.tsv", model=model))
    written = report(tmp_path / "report", *runs)
    (pair,) = written.numbers["transfer"]["pairs"]
    (lead,) = pair["macro"]["leads"]
    assert (lead["a"], lead["b"], lead["verdict"]) == ("sees", "guesses", "survives")
    figures = list(written.page.by_id("transfer").all("data"))
    pointers = {one.attributes["data-pointer"] for one in figures}
    assert "/transfer/pairs/0/macro/leads/0/above_chance/value" in pointers
    for one in figures:
        value = at(written.numbers, one.attributes["data-pointer"])
        assert one.text == WRITTEN[one.attributes["data-form"]](value), one.attributes
