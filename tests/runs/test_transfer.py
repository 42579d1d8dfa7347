"""`shotbench transfer`: leads across sets against a computation of its own, sets and models that belong together."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from scipy.stats import t

from data_pipeline.shards.write_shards import PendingRow, write_shards
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.questions.variants import original_id
from lmms_eval_shotbench.runs.transfer import LeadOnBoth
from lmms_eval_shotbench.scoring.transfer import Contrast, Lead, difference_of_leads
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.report_runs import write_run
from tests.support.small_shards import ABOUT

SIZES = ("Wide", "Medium", "Close Up", "Medium Wide", "Full", "Extreme Close Up", "Extreme Wide")
MOVES = ("Pan left", "Pan right", "Tilt up", "Static shot")


def questions(
    source: str,
    n: int,
    options: Sequence[str] = SIZES[:4],
    dimension: str = "shot_size",
    answer: Callable[[int], int] = lambda number: number,
    film: Callable[[int], str] = lambda _: "",
    start: int = 0,
) -> list[QAItem]:
    """Questions with the correct options 0, 1, 2, … in turn, or as given."""
    kind = MediaKind.CLIP if dimension == "camera_movement" else MediaKind.STILL
    return [
        QAItem(
            f"{source}-{number}", dimension, "What is it?", tuple(options),
            "ABCDEFG"[answer(number) % len(options)], kind, f"{source}/{number}.bin",
            source=source, source_index=number, film_id=film(number), media_sha256=f"{source}{number}",
        )
        for number in range(start, start + n)
    ]  # fmt: skip


def right_on(numbers: Callable[[int], bool]) -> Callable[[QAItem], str]:
    """Answer correctly on these question numbers, otherwise with the next letter."""

    def says(item: QAItem) -> str:
        if numbers(item.source_index):
            return item.answer
        return item.letters[(item.letters.index(item.answer) + 1) % len(item.letters)]

    return says


class Runs:
    """Sets of questions, and runs on them, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: list[str] = []

    def add(
        self, items: Sequence[QAItem], name: str, model: str, says: Callable[[QAItem], str], variant: str = ""
    ) -> None:
        data = self.folder / "data" / name
        if not data.exists():
            rows = [PendingRow.of("test", item, item.media_sha256.encode()) for item in items]
            write_shards(rows, data, ABOUT, splits=["test"])
        asked = {item.item_id for item in items}
        items = [item for item in read_questions(data) if item.item_id in asked]
        run = self.folder / f"{name}.{model}{variant}"
        passes = {"stills": {"model_args": f"pretrained=org/{model},blank={model == 'c' and name == 'stills'}"}}
        write_run(run, items, says, data, variant, model="shotvl", passes=passes)
        self.written.append(str(run))


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def found(capsys: pytest.CaptureFixture[str], runs: Sequence[str], *options: str) -> dict[str, Any]:
    assert main(["transfer", *runs, *options, "--format", "json"]) == 0, capsys.readouterr().err
    loaded: dict[str, Any] = json.loads(capsys.readouterr().out)
    return loaded


def table(capsys: pytest.CaptureFixture[str], runs: Sequence[str], *options: str) -> str:
    assert main(["transfer", *runs, *options]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], runs: Sequence[str], *options: str) -> str:
    assert main(["transfer", *runs, *options]) == 2
    return capsys.readouterr().err


def plain_lead(differences: Sequence[int]) -> tuple[float, float, int]:
    """Centre, standard error and degrees of freedom of a lead over independent items, with one gained and one lost."""
    values = [*differences, 1, -1]
    mean, n = fmean(values), len(values)
    return mean, sqrt(sum((value - mean) ** 2 for value in values) / (n * (n - 1))), len(differences) - 1


@pytest.mark.slow
def test_a_lead_of_12_7_points_that_becomes_minus_0_6_is_13_3_points_smaller(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    right = {"shotbench": {"a": range(627), "b": range(200, 700)}, "stills": {"a": range(494), "b": range(200, 700)}}
    for name, by_model in right.items():
        for model, numbers in by_model.items():
            runs.add(questions(name, 1000), name, model, right_on(numbers.__contains__))
    result = found(capsys, runs.written)
    (pair,) = result["pairs"]
    row = pair["by_dimension"]["shot_size"]
    assert row == pair["macro"] and result["reference"] == "shotbench" and result["models"] == ["a", "b"]
    (lead,) = row["leads"]
    values = [lead["reference"]["accuracy"]["value"], lead["other"]["accuracy"]["value"], lead["accuracy"]["value"]]
    assert values == pytest.approx([0.127, -0.006, 0.133])
    assert lead["above_chance"]["value"] == pytest.approx(0.133 / 0.75)
    one = plain_lead([1] * 200 + [-1] * 73 + [0] * 727)
    other = plain_lead([1] * 200 + [-1] * 206 + [0] * 594)
    freedom = (one[1] ** 2 + other[1] ** 2) ** 2 / (one[1] ** 4 / one[2] + other[1] ** 4 / other[2])
    half = t.ppf(0.975, freedom) * sqrt(one[1] ** 2 + other[1] ** 2)
    expected = [one[0] - other[0] - half, one[0] - other[0] + half]
    assert [lead["accuracy"]["low"], lead["accuracy"]["high"]] == pytest.approx(expected)
    assert lead["verdict"] == "lost"
    score = row["scores"]["shotbench"]["a"]
    assert score["accuracy"]["value"] == pytest.approx(0.627) and score["chance"] == 0.25
    assert score["above_chance"]["value"] == pytest.approx((0.627 - 0.25) / 0.75)
    text = table(capsys, runs.written)
    assert "+12.70" in text and "-0.60" in text and "+13.30" in text
    assert "a leads b by 16.93 on shotbench and trails by 0.80 on stills" in text


def test_sets_with_other_option_counts_are_compared_above_chance(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, options, correct in (("shotbench", 4, (70, 40)), ("stills", 7, (74, 40))):
        for model, n in zip(("a", "b"), correct, strict=True):
            items = questions(name, 140, SIZES[:options])
            runs.add(items, name, model, right_on(lambda number, n=n: number < n))  # type: ignore[misc]
    (lead,) = found(capsys, runs.written)["pairs"][0]["macro"]["leads"]
    assert lead["reference"]["above_chance"]["value"] == pytest.approx(30 / 140 / (3 / 4))
    assert lead["other"]["above_chance"]["value"] == pytest.approx(34 / 140 / (6 / 7))
    assert lead["accuracy"]["value"] < 0 < lead["above_chance"]["value"]  # more points, but worth less
    assert lead["verdict"] == "survives"


def test_only_dimensions_that_both_sets_have_count_and_each_counts_the_same(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    shotbench = [
        *questions("shotbench", 80),
        *questions("shotbench", 20, MOVES, "camera_movement", start=80),
        *questions("shotbench", 30, ("Eye level", "High angle", "Low angle"), "camera_angle", start=100),
    ]
    other = [*questions("films", 20), *questions("films", 60, MOVES, "camera_movement", start=20)]
    runs.add(shotbench, "shotbench", "a", right_on(lambda number: number < 80))
    runs.add(other, "films", "a", right_on(lambda number: number < 20))
    (pair,) = found(capsys, runs.written)["pairs"]
    assert pair["dimensions"] == ["shot_size", "camera_movement"] and not pair["macro"]["leads"]
    scores = pair["macro"]["scores"]
    assert [scores[name]["a"]["accuracy"]["value"] for name in ("shotbench", "films")] == pytest.approx([0.5, 0.5])


def test_a_one_sided_set_is_scored_by_balanced_accuracy(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    def binary(name: str, yes: int) -> list[QAItem]:
        return questions(name, 100, ("No", "Yes"), "camera_movement", answer=lambda number: number < yes)

    for name, yes in (("one-sided", 12), ("even", 50)):
        runs.add(binary(name, yes), name, "says-no", lambda _: "A")
        runs.add(binary(name, yes), name, "sees", right_on(lambda number: number % 4 > 0))
    result = found(capsys, runs.written)
    assert result["sets"]["one-sided"]["balanced"] == ["camera_movement"] and not result["sets"]["even"]["balanced"]
    scores = result["pairs"][0]["macro"]["scores"]["one-sided"]
    assert scores["says-no"]["accuracy"]["value"] == 0.5 and scores["says-no"]["above_chance"]["value"] == 0
    assert scores["sees"]["accuracy"]["value"] == pytest.approx((9 / 12 + 66 / 88) / 2)
    (lead,) = result["pairs"][0]["macro"]["leads"]
    assert lead["reference"]["accuracy"]["value"] == pytest.approx(0.5 - (9 / 12 + 66 / 88) / 2)
    # "says-no" gains 22 of 88 items whose answer is no, and loses 9 of 12 whose answer is yes.
    classes = [plain_lead([1] * 22 + [0] * 66), plain_lead([-1] * 9 + [0] * 3)]
    independent = sum(stderr**2 * (freedom + 2) / (freedom + 3) for _, stderr, freedom in classes) / 4
    assert lead["reference"]["accuracy"]["stderr"] == pytest.approx(sqrt(independent * 104 / 103))
    centre = (lead["reference"]["accuracy"]["low"] + lead["reference"]["accuracy"]["high"]) / 2
    assert centre == pytest.approx(fmean(mean for mean, _, _ in classes))


@pytest.mark.parametrize(
    ("reference", "other", "verdict"),
    [
        ((1, 1), (9, 1), "no lead"),
        ((9, 1), (8, 1), "survives"),
        ((9, 1), (4, 1), "smaller"),
        ((9, 1), (0, 1), "lost"),
        ((9, 1), (-4, 1), "reversed"),
        ((9, 4), (5, 4), "undecided"),
        ((-9, 1), (-8, 1), "survives"),
        ((-9, 1), (0, 1), "lost"),
    ],
)
def test_what_became_of_a_lead_follows_from_the_intervals(
    reference: tuple[float, float], other: tuple[float, float], verdict: str
) -> None:
    def lead(value: float, stderr: float) -> Lead:
        half = 1.96 * stderr
        contrast = Contrast(value / 100, (value - half) / 100, (value + half) / 100, stderr / 100, 1e6)
        return Lead(1000, contrast, contrast)

    one, two = lead(*reference), lead(*other)
    difference = difference_of_leads(one.above_chance, two.above_chance)
    assert LeadOnBoth("a", "b", one, two, difference, difference).verdict == verdict


def test_intervals_are_clustered_by_film(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    def half(model: str) -> Callable[[QAItem], str]:
        return right_on(lambda number: (number // 10) % 2 == (model == "b"))  # whole films are right or wrong

    films = questions("shotbench", 100, film=lambda number: f"film {number // 10}")
    for items, name in ((films, "shotbench"), (questions("stills", 100), "stills")):
        for model in ("a", "b"):
            runs.add(items, name, model, half(model))
    row = found(capsys, runs.written)["pairs"][0]["macro"]
    width = {name: of["a"]["accuracy"]["stderr"] for name, of in row["scores"].items()}
    assert width["shotbench"] == pytest.approx(sqrt(10 / 9 * 10 * (10 * 0.5 / 100) ** 2))
    assert width["stills"] == pytest.approx(sqrt(100 / 99 * 100 * (0.5 / 100) ** 2))
    (lead,) = row["leads"]
    assert lead["reference"]["accuracy"]["stderr"] > 2.5 * lead["other"]["accuracy"]["stderr"]


def test_blind_and_robust_accuracies_stand_beside_the_run_of_their_model(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("shotbench", "films"):
        items = questions(name, 40, MOVES, "camera_movement")
        answers = {item.item_id: item.answer for item in items}
        runs.add(items, name, "a", lambda item: item.answer)
        runs.add(items, name, "a", lambda item: "A", "blind")
        # Repeats its answers: right in the original, wrong wherever the mirrored answer is another.
        runs.add(items, name, "a", lambda item, known=answers: known[original_id(item.item_id)], "mirrored")  # type: ignore[misc]
    scores = found(capsys, runs.written)["pairs"][0]["macro"]["scores"]
    for columns in (scores["shotbench"]["a"], scores["films"]["a"]):
        assert columns["accuracy"]["value"] == 1 and columns["blind"]["accuracy"]["value"] == 0.25
        assert columns["robust"]["mirrored"]["accuracy"]["value"] == 0
        assert columns["robust"]["mirrored"]["accuracy"]["n"] == 20
    assert "mirrored" in table(capsys, runs.written)


def test_two_folders_of_one_source_are_two_sets_and_a_part_of_a_folder_is_the_same_set(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    night = [replace(item, media_sha256=f"night{item.source_index}") for item in questions("studio", 40)]
    runs.add(questions("studio", 40), "day", "a", right_on(lambda number: number < 30))
    runs.add(night, "night", "a", right_on(lambda number: number < 20))
    runs.add(questions("studio", 20), "part", "b", right_on(lambda number: number < 10))
    result = found(capsys, runs.written)
    assert list(result["sets"]) == ["studio day", "studio night"]
    assert set(result["pairs"][0]["macro"]["scores"]["studio day"]) == {"a", "b"}
    assert result["remarks"] == ["studio night: no run of b"]
    data = [part for name in ("night", "day") for part in ("--data", str(runs.folder / "data" / name))]
    assert set(found(capsys, runs.written, *data)["sets"]) == {"studio day", "studio night"}


def test_a_folder_with_two_sources_is_two_sets(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    mixed = [*questions("shotbench", 20), *questions("stills", 20, start=20)]
    runs.add(mixed, "mixed", "a", right_on(lambda number: number < 30))
    scores = found(capsys, runs.written)["pairs"][0]["macro"]["scores"]
    assert scores["shotbench"]["a"]["accuracy"]["value"] == 1 and scores["stills"]["a"]["accuracy"]["value"] == 0.5


def test_responses_without_a_record_are_of_the_model_that_is_named(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("shotbench", "stills"):
        items = questions(name, 8)
        runs.add(items, name, "unused", lambda item: item.answer)
        for model, letter in (("a", "A"), ("b", "B")):
            rows = (json.dumps({"index": item.source_index, "response": letter}) for item in items)
            (tmp_path / f"{name}.{model}.jsonl").write_text("\n".join(rows))
    data = {name: str(tmp_path / "data" / name) for name in ("shotbench", "stills")}
    pairs = [
        part
        for name, shards in data.items()
        for model in ("a", "b")
        for part in (f"{model.upper()}={shards}", str(tmp_path / f"{name}.{model}.jsonl"))
    ]
    result = found(capsys, pairs)
    assert result["models"] == ["A", "B"] and len(result["pairs"][0]["macro"]["leads"]) == 1
    assert "a name stands before a run" in refused(capsys, [data["shotbench"], f"A={tmp_path / 'shotbench.a.jsonl'}"])


def test_runs_that_cannot_be_compared_are_refused(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.add(questions("shotbench", 20), "shotbench", "a", lambda item: item.answer)
    runs.add(questions("shotbench", 20)[:12], "shotbench", "b", lambda item: item.answer)
    assert "all runs are on one set (shotbench)" in refused(capsys, runs.written)
    for model in ("a", "b"):
        runs.add(questions("stills", 20), "stills", model, lambda item: item.answer)
    assert "a (A) and b (B) on shotbench" in refused(capsys, runs.written)
    result = found(capsys, runs.written, "--common")
    assert result["pairs"][0]["macro"]["leads"][0]["reference"]["n"] == 12
    assert any("8 only in A" in remark for remark in result["remarks"])
    assert "two runs of a on shotbench" in refused(capsys, [*runs.written, runs.written[0]])
    runs.add(questions("stills", 20), "stills", "c", lambda item: "A", "blind")
    assert "also give the run on the original questions" in refused(capsys, runs.written)
    (tmp_path / "data" / "stills").rename(tmp_path / "moved")
    assert "give them with --data" in refused(capsys, runs.written[:-1], "--common")
    found(capsys, runs.written[:-1], "--common", "--data", str(tmp_path / "moved"))


def test_other_arguments_of_one_model_are_remarked_upon(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("shotbench", "stills"):
        for model in ("b", "c"):
            runs.add(questions(name, 8), name, model, lambda item: item.answer)
    assert found(capsys, runs.written)["remarks"] == ["the runs of c differ in their model arguments: blank"]


def test_media_that_are_in_both_sets_are_counted(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    leaked = [replace(item, media_sha256=f"shotbench{item.source_index}") for item in questions("stills", 5)]
    runs.add(questions("shotbench", 20), "shotbench", "a", lambda item: item.answer)
    runs.add([*leaked, *questions("stills", 15, start=5)], "stills", "a", lambda item: item.answer)
    assert found(capsys, runs.written)["pairs"][0]["shared_media"] == 5
    assert "5 media of stills are also in shotbench" in table(capsys, runs.written)
