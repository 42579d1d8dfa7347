"""Scores of a shot sheet against a truth table: known sheets have known scores."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from lmms_eval_shotbench.labelling.deciding.reliability import (
    JudgedCell,
    accuracy_at,
    constant_confidence,
    equal_count_bins,
    equal_width_bins,
    reliability,
    threshold_for,
)
from lmms_eval_shotbench.labelling.label_cell import PERSON, LabelCell, Status
from lmms_eval_shotbench.labelling.scores.match_truth import NoCommonFilms, is_true, match_truth
from lmms_eval_shotbench.labelling.scores.score import score_labels
from lmms_eval_shotbench.labelling.scores.score_text import scores_text
from lmms_eval_shotbench.labelling.shot import FilmFacts, FilmShot
from lmms_eval_shotbench.labelling.shot_sheet import SheetRow, ShotSheet, write_sheet
from lmms_eval_shotbench.labelling.truth import NOTHING, ShotTruth, Transition, TruthRow, TruthStatus, truth_table
from lmms_eval_shotbench.vocabulary import CAMERA_ANGLE, CAMERA_MOVEMENT, DIMENSIONS, LIGHTING_TYPE, SHOT_SIZE
from tests.support.made_votes import RATE, made_sheet, made_truths, perfect_sheet

TRUTHS = made_truths(3, 12)
FRAME = 1 / 24


def true_label(label: str, *possible: str) -> ShotTruth:
    return ShotTruth(TruthStatus.LABELLED, label, frozenset(possible))


def with_cells(sheet: ShotSheet, slug: str, cell: LabelCell) -> ShotSheet:
    return replace(sheet, shots=[replace(row, cells={**row.cells, slug: cell}) for row in sheet.shots])


def with_starts(truths: Sequence[TruthRow], *starts: float) -> ShotSheet:
    """The film of these truths, cut at other times."""
    last = truths[-1].end or 0.0
    film = FilmFacts("film-0", truths[0].media, "/film.mp4", RATE, round(last * RATE), 320, 180)
    shots = [
        SheetRow(FilmShot(str(start), "film-0", number, start_seconds=start, end_seconds=end), {})
        for number, (start, end) in enumerate(zip(starts, [*starts[1:], last], strict=True), start=1)
    ]
    return ShotSheet([film], shots)


def test_a_perfect_sheet_has_perfect_scores() -> None:
    scores = score_labels(perfect_sheet(TRUTHS), TRUTHS)
    assert scores["shots"] == {"labels": 36, "truth": 36, "matched": 36}
    assert (scores["cuts"]["f1"], scores["cuts"]["true"], scores["cuts"]["false"]) == (1.0, 33, 0)
    perfect = {"accuracy", "term_accuracy", "whole_accuracy", "coverage", "kept_accuracy"}
    for row in (scores["macro"], *scores["dimensions"].values()):
        assert {row[name]["value"] for name in perfect} == {1.0}
        assert row["labels_on_none"]["value"] == 0.0
    for row in scores["dimensions"].values():
        assert (row["set_precision"], row["set_recall"]) == (1.0, 1.0)
        assert all(term["recall"] in (None, 1.0) and term["precision"] in (None, 1.0) for term in row["terms"].values())
        assert all(label in given and len(given) == 1 for label, given in row["confusion"].items())


def test_a_label_where_there_is_none_counts_against_the_sheet() -> None:
    truths = [replace(truth, truths={CAMERA_ANGLE.slug: NOTHING}) for truth in TRUTHS]
    sheet = with_cells(perfect_sheet(truths), CAMERA_ANGLE.slug, LabelCell(Status.LABELLED, "Dutch angle", 0.9))
    row = score_labels(sheet, truths)["dimensions"][CAMERA_ANGLE.slug]
    assert row["labels_on_none"]["value"] == 1.0
    assert (row["accuracy"], row["whole_accuracy"]["value"]) == (None, 0.0)
    assert row["terms"]["Dutch angle"] == {"true": 0, "named": 36, "precision": 0.0, "recall": None}
    assert row["confusion"] == {"none": {"Dutch angle": 36}}


def test_unsure_cells_count_by_their_best_guess_and_lower_the_coverage() -> None:
    truths = [replace(truth, truths={SHOT_SIZE.slug: true_label("Wide")}) for truth in TRUTHS]
    sheet = with_cells(perfect_sheet(truths), SHOT_SIZE.slug, LabelCell(Status.UNSURE, "Wide", 0.4))
    row = score_labels(sheet, truths)["dimensions"][SHOT_SIZE.slug]
    assert (row["accuracy"]["value"], row["coverage"]["value"], row["kept_accuracy"]) == (1.0, 0.0, None)
    assert row["terms"]["Wide"]["recall"] == 0.0
    empty = with_cells(sheet, SHOT_SIZE.slug, LabelCell(Status.UNSURE))
    assert score_labels(empty, truths)["dimensions"][SHOT_SIZE.slug]["accuracy"]["value"] == 0.0


def test_the_term_accuracy_forgives_a_wrong_none() -> None:
    truths = [replace(truth, truths={SHOT_SIZE.slug: true_label("Wide")}) for truth in TRUTHS]
    none = LabelCell(Status.NONE, "", 0.6, alternatives=(("Wide", 0.3), ("Medium", 0.1)))
    row = score_labels(with_cells(perfect_sheet(truths), SHOT_SIZE.slug, none), truths)["dimensions"][SHOT_SIZE.slug]
    assert (row["accuracy"]["value"], row["term_accuracy"]["value"]) == (0.0, 1.0)


def test_uncertain_truths_and_dimensions_that_were_not_asked_do_not_count() -> None:
    unknown = ShotTruth(TruthStatus.UNCERTAIN)
    truths = [replace(one, truths={SHOT_SIZE.slug: true_label("Wide"), CAMERA_ANGLE.slug: unknown}) for one in TRUTHS]
    sheet = with_cells(perfect_sheet(truths), CAMERA_ANGLE.slug, LabelCell(Status.LABELLED, "Aerial", 0.9))
    assert set(score_labels(sheet, truths)["dimensions"]) == {SHOT_SIZE.slug}


@pytest.mark.parametrize(
    ("truth", "label", "right"),
    [
        (true_label("Daylight, Sunny"), "Daylight", True),
        (true_label("Daylight, Sunny"), "Daylight, Sunny", True),
        (true_label("Daylight", "Sunny"), "Daylight, Sunny", True),
        (true_label("Daylight", "Sunny"), "Sunny", False),  # possible is not true
        (true_label("Daylight"), "Daylight, LED", False),
        (true_label("Daylight"), "", False),
        (NOTHING, "", True),
        (NOTHING, "Daylight", False),
    ],
)
def test_a_label_of_light_is_right_if_a_term_is_true_and_none_is_wrong(
    truth: ShotTruth, label: str, right: bool
) -> None:
    assert is_true(LIGHTING_TYPE, truth, label) is right


def test_the_order_of_movements_matters_only_if_both_have_one() -> None:
    truth = true_label("Firstly Pan left, then Tilt up")
    assert is_true(CAMERA_MOVEMENT, truth, "Firstly Pan left, then Tilt up")
    assert not is_true(CAMERA_MOVEMENT, truth, "Firstly Tilt up, then Pan left")
    assert is_true(CAMERA_MOVEMENT, truth, "Pan left, Tilt up")
    assert is_true(CAMERA_MOVEMENT, truth, "Tilt up")


@pytest.mark.slow
@settings(max_examples=5)
@given(some.randoms(use_true_random=False))
def test_the_order_of_films_and_shots_changes_nothing(chance: random.Random) -> None:
    truths = made_truths(3, 6, [CAMERA_ANGLE, LIGHTING_TYPE])
    sheet = made_sheet(truths)
    mixed = replace(
        sheet, films=chance.sample(sheet.films, len(sheet.films)), shots=chance.sample(sheet.shots, len(sheet.shots))
    )
    assert_same(score_labels(mixed, chance.sample(truths, len(truths))), score_labels(sheet, truths))


def assert_same(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_same(one[name], other[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_same(left, right)
    else:
        assert one == (pytest.approx(other) if isinstance(one, float) else other)


def test_a_cut_may_be_one_frame_off_and_is_found_once() -> None:
    truths = made_truths(1, 4, [SHOT_SIZE])
    near = score_labels(with_starts(truths, 0.0, 2.0 + FRAME, 4.0 - FRAME, 6.0), truths)["cuts"]
    assert (near["found"], near["false"], near["f1"]) == (3, 0, 1.0)
    off = score_labels(with_starts(truths, 0.0, 2.0 + 2 * FRAME, 4.0, 6.0), truths)["cuts"]
    assert (off["found"], off["false"]) == (2, 1)
    assert off["f1"] == pytest.approx(2 / 3)
    twice = score_labels(with_starts(truths, 0.0, 2.0, 2.0 + FRAME, 4.0, 6.0), truths)["cuts"]
    assert (twice["found"], twice["false"]) == (3, 1)
    strict = score_labels(with_starts(truths, 0.0, 2.0 + FRAME, 4.0, 6.0), truths, tolerance=0)["cuts"]
    assert (strict["found"], strict["false"]) == (2, 1)


def test_the_cuts_of_one_frame_shots_are_all_there() -> None:
    starts = [0.0, 2.0, 2.0 + FRAME, 4.0]
    truths = [
        TruthRow("film-0", "films/film-0.mp4", start, end, f"0-{number}", truths={})
        for number, (start, end) in enumerate(zip(starts, [*starts[1:], 6.0], strict=True))
    ]
    cuts = score_labels(with_starts(truths, *starts), truths)["cuts"]
    assert (cuts["true"], cuts["found"], cuts["false"]) == (3, 3, 0)


def test_gradual_transitions_are_counted_apart() -> None:
    first, second, third = made_truths(1, 3, [SHOT_SIZE])
    truths = [first, replace(second, transition=Transition.DISSOLVE, transition_range=(1.75, 2.25)), third]
    cuts = score_labels(with_starts(truths, 0.0, 2.2, 4.0), truths)["cuts"]
    assert (cuts["true"], cuts["found"], cuts["false"]) == (1, 1, 0)
    assert (cuts["gradual"], cuts["gradual_found"]) == (1, 1)
    missed = score_labels(with_starts(truths, 0.0, 4.0), truths)["cuts"]
    assert (missed["f1"], missed["gradual_recall"]) == (1.0, 0.0)


def test_cuts_where_nobody_annotated_are_not_scored() -> None:
    truths = made_truths(1, 6, [SHOT_SIZE])
    sheet = with_starts(truths, 0.0, 2.0, 4.0, 5.0, 6.0, 8.0, 10.0)
    cuts = score_labels(sheet, [truths[0], truths[1], truths[4]])["cuts"]
    assert (cuts["true"], cuts["found"], cuts["false"]) == (4, 4, 0)  # 2, 4, 8 and 10; 5 and 6 are in the gap


def test_shots_match_by_their_overlap_once_each() -> None:
    truths = made_truths(1, 3, [SHOT_SIZE])
    match = match_truth(with_starts(truths, 0.0, 2.4, 2.9, 4.0), truths)
    assert [(row.shot.shot_id, truth.shot_id) for row, truth in match.shots] == [
        ("0.0", "0-0"),
        ("2.9", "0-1"),
        ("4.0", "0-2"),
    ]
    assert match_truth(with_starts(truths, 0.0), truths).unmatched == truths


def test_films_are_found_by_file_name_and_still_files_without_times() -> None:
    truths = [TruthRow("f", "raw/a.jpg", truths={SHOT_SIZE.slug: true_label("Wide")})]
    film = FilmFacts("a", "a.jpg", "/elsewhere/a.jpg")
    cell = LabelCell(Status.LABELLED, "Wide", 0.9)
    sheet = ShotSheet([film], [SheetRow(FilmShot("a-0001", "a", 1, "media/a.jpg"), {SHOT_SIZE.slug: cell})])
    assert score_labels(sheet, truths)["macro"]["accuracy"]["value"] == 1.0
    with pytest.raises(NoCommonFilms, match=r"raw/b\.jpg: no film is in both"):
        score_labels(sheet, [replace(truths[0], media="raw/b.jpg", film_id="b")])


def test_calibration_errors_are_those_computed_by_hand() -> None:
    cells = [JudgedCell(0.95, right, "f") for right in [True] * 9 + [False]]
    cells += [JudgedCell(0.35, right, "g") for right in [True] * 1 + [False] * 9]
    row = reliability(cells)
    assert row["error_equal_width"] == pytest.approx((0.05 + 0.25) / 2)
    assert row["error_equal_count"] == pytest.approx((0.05 + 0.25) / 2)
    assert (row["certain_half"], row["other_half"]) == (0.9, pytest.approx(0.1))
    assert [one.cells for one in equal_width_bins(cells)] == [10, 10]
    assert [one.cells for one in equal_count_bins(cells)] == [10, 10]  # cells of one confidence stay together
    assert {cell.confidence for cell in constant_confidence(cells)} == {0.1, 0.9}  # of the other film
    assert threshold_for(cells, 0.8) == (0.95, 0.5)
    assert threshold_for(cells, 0.9) is None  # 9 of 10 may be luck
    assert accuracy_at(cells, 0.75) == pytest.approx((9 + 5 * 0.1) / 15)
    assert reliability([]) == {}


def test_a_persons_cells_are_right_or_wrong_but_say_nothing_about_confidence() -> None:
    truths = [replace(truth, truths={SHOT_SIZE.slug: true_label("Wide")}) for truth in TRUTHS]
    cell = LabelCell(Status.LABELLED, "Wide", 1.0, source=PERSON)
    row = score_labels(with_cells(perfect_sheet(truths), SHOT_SIZE.slug, cell), truths)["dimensions"][SHOT_SIZE.slug]
    assert (row["by_person"], row["accuracy"]["value"], row["reliability"]) == (36, 1.0, {})


def test_the_text_and_the_json_have_every_dimension() -> None:
    scores = score_labels(made_sheet(TRUTHS), TRUTHS)
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    text = scores_text(scores)
    assert all(dimension.paper_name in text for dimension in DIMENSIONS)
    assert "F1 1.000 (33 of 33 found, 0 false)" in text


def test_the_command_prints_a_table_or_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from data_pipeline.commands.label_score import score

    write_sheet(tmp_path / "labels", perfect_sheet(TRUTHS))
    table = tmp_path / "truth.csv"
    table.write_text(truth_table(TRUTHS), encoding="utf-8")
    assert score(tmp_path / "labels", table) == 0
    assert "36 of 36 true shots found" in capsys.readouterr().out
    out = tmp_path / "scores.json"
    assert score(tmp_path / "labels", table, format="json", out=out) == 0
    assert json.loads(out.read_text(encoding="utf-8"))["macro"]["accuracy"]["value"] == 1.0
