"""Calibration on votes from a known process: confidence comes true on films that it was not fitted on."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from lmms_eval_shotbench.labelling.deciding.calibration import (
    BadCalibration,
    Calibration,
    CellCalibration,
    Logistic,
    read_calibration,
)
from lmms_eval_shotbench.labelling.deciding.decide import best_guess
from lmms_eval_shotbench.labelling.deciding.fit_calibration import (
    BadCalibrationData,
    CalibrationSettings,
    fit_calibration,
)
from lmms_eval_shotbench.labelling.deciding.fit_cells import KnownCell, fit_cells
from lmms_eval_shotbench.labelling.deciding.fit_logistic import fit_logistic, group_folds
from lmms_eval_shotbench.labelling.deciding.fit_term_regression import balancing_weights, fit_term_regression
from lmms_eval_shotbench.labelling.deciding.pooled_votes import pool
from lmms_eval_shotbench.labelling.deciding.term_regression import TermRegression
from lmms_eval_shotbench.labelling.scores.match_truth import is_true, match_truth
from lmms_eval_shotbench.labelling.scores.matched_folders import FilmTwice, read_matched_shots
from lmms_eval_shotbench.labelling.scores.score import score_labels
from lmms_eval_shotbench.labelling.scores.score_text import calibration_text
from lmms_eval_shotbench.labelling.shot_sheet import write_sheet
from lmms_eval_shotbench.labelling.truth import ShotTruth, TruthStatus, truth_table
from lmms_eval_shotbench.labelling.vote import NO_TERM, Vote, Way
from lmms_eval_shotbench.vocabulary import CAMERA_ANGLE, CAMERA_MOVEMENT, LIGHTING_TYPE, SHOT_SIZE, Dimension
from tests.support.made_votes import MODEL, VotingModel, made_sheet, made_truths

SOURCE = f"{MODEL} by probability"
ASKED = (CAMERA_ANGLE, LIGHTING_TYPE)
slow = pytest.mark.slow  # fits regressions


@cache
def fitted(films: int = 8, shots: int = 40) -> Calibration:
    truths = made_truths(films, shots, ASKED)
    return fit_calibration(match_truth(made_sheet(truths), truths).shots, CalibrationSettings())


def test_a_logistic_regression_is_plain_arithmetic() -> None:
    regression = Logistic(0.5, {"top": 2.0, "absent": 9.0})
    assert regression.probability({"top": -1.0, "other": 5.0}) == pytest.approx(1 / (1 + math.exp(1.5)))
    assert regression.probability({"top": 1e6}) == 1.0
    assert regression.probability({"top": -1e6}) == 0.0
    assert Logistic.constant(3, 4).probability({}) == pytest.approx(4 / 6)


def test_a_calibration_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    regression = TermRegression({"Wide": 0.5}, {"log Wide": {"Wide": -1.0}})
    cell = CellCalibration(Logistic(1.0, {"top": 0.5}), Logistic(-2.0), regression, None, 0.4, 0.75)
    written = Calibration({SHOT_SIZE.slug: {SOURCE: cell}}, {SHOT_SIZE.slug: {MODEL: Way.TERM}}, {"films": 3})
    written.write(tmp_path / "calibration.json")
    assert read_calibration(tmp_path / "calibration.json") == written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no calibration"),
        ("[]", "is no calibration"),
        ('{"schema": 9}', "has schema 9"),
        ('{"schema": 1, "cells": {"size": {}}, "best_ways": {}, "report": {}}', "'size' is no dimension"),
    ],
)
def test_a_file_that_is_no_calibration_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "calibration.json"
    with pytest.raises(BadCalibration, match="does not exist; write one with `shotbench label calibrate`"):
        read_calibration(path)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadCalibration, match=message):
        read_calibration(path)


def test_folds_keep_films_together_whatever_their_order() -> None:
    groups = [f"film {number % 7}" for number in range(40)]
    folds = group_folds(groups)
    assert sorted(index for _, test in folds for index in test) == list(range(40))
    for train, test in folds:
        assert not {groups[index] for index in train} & {groups[index] for index in test}
    mixed = random.Random(0).sample(groups, len(groups))
    assert [{mixed[n] for n in test} for _, test in group_folds(mixed)] == [
        {groups[n] for n in test} for _, test in folds
    ]
    assert group_folds(["one film"] * 5) == []


@slow
def test_a_known_regression_is_recovered_and_noise_gets_no_weight() -> None:
    chance = random.Random(0)
    truth = Logistic(-0.5, {"signal": 1.5})
    rows = [{"signal": chance.gauss(0, 1), "noise": chance.gauss(0, 1)} for _ in range(4000)]
    hits = [chance.random() < truth.probability(row) for row in rows]
    films = [f"film {number % 10}" for number in range(len(rows))]
    found = fit_logistic(rows, hits, films, [("signal",), ("signal", "noise")])
    assert set(found.weights) == {"signal"}
    assert found.weights["signal"] == pytest.approx(1.5, abs=0.15)
    assert found.intercept == pytest.approx(-0.5, abs=0.1)
    unrelated = fit_logistic(rows, [chance.random() < 0.3 for _ in rows], films, [("noise",), ("signal", "noise")])
    assert unrelated.weights == {}
    assert unrelated.probability({}) == pytest.approx(0.3, abs=0.03)


@slow
def test_few_cells_get_a_constant() -> None:
    rows = [{"top": float(number)} for number in range(12)]
    hits = [number > 8 for number in range(12)]
    films = [f"film {number % 3}" for number in range(12)]
    assert fit_logistic(rows, hits, films, [("top",)]) == Logistic.constant(3, 12)


@slow
def test_confidence_comes_true_on_other_films_where_the_votes_are_far_too_certain() -> None:
    truths = made_truths(20, 40, ASKED, seed=5)
    raw = score_labels(made_sheet(truths, seed=6), truths)
    calibrated = score_labels(made_sheet(truths, calibration=fitted(), seed=6), truths)
    assert raw["reliability"]["error_equal_count"] > 0.2
    # 320 cells determine how often a shot says nothing to about 3 points; this error remains on other films.
    assert calibrated["reliability"]["error_equal_count"] < 0.07
    assert calibrated["reliability"]["brier"] < calibrated["reliability"]["constant"]["brier"] - 0.02
    assert calibrated["reliability"]["certain_half"] > calibrated["reliability"]["other_half"] + 0.2


@slow
def test_shots_that_say_nothing_hardly_ever_get_a_label() -> None:
    truths = made_truths(20, 40, ASKED, seed=5)
    assert score_labels(made_sheet(truths, seed=6), truths)["macro"]["labels_on_none"]["value"] == 1.0
    scores = score_labels(made_sheet(truths, calibration=fitted(), seed=6), truths)
    assert scores["macro"]["labels_on_none"]["value"] < 0.05
    assert scores["macro"]["coverage"]["value"] > 0.4


@slow
def test_the_report_of_cross_validation_predicts_other_films() -> None:
    truths = made_truths(20, 40, ASKED, seed=5)
    scores = score_labels(made_sheet(truths, calibration=fitted(), seed=6), truths)["dimensions"]
    for slug, sources in fitted().report["dimensions"].items():
        # 320 cells of the report and 800 of other films: the difference has a standard error of 0.03.
        assert sources[SOURCE]["accuracy"] == pytest.approx(scores[slug]["whole_accuracy"]["value"], abs=0.08)
        assert sources[SOURCE]["cells"] == 320


@slow
def test_the_threshold_comes_near_the_accuracy_that_it_was_chosen_for() -> None:
    truths = made_truths(20, 40, ASKED, seed=5)
    sheet = made_sheet(truths, calibration=fitted(), min_confidence=None, seed=6)
    for row in score_labels(sheet, truths)["dimensions"].values():
        assert row["kept_accuracy"]["value"] > 0.75  # target 0.9, of 60 cells that it was chosen on
        assert row["kept_accuracy"]["value"] > row["whole_accuracy"]["value"] + 0.1


@slow
def test_the_way_and_the_second_model_that_are_right_more_often_are_found() -> None:
    truths = made_truths(6, 30, [SHOT_SIZE])
    models = [
        VotingModel(way=Way.LETTER, sight=1.0),
        VotingModel(way=Way.TERM, sight=3.0),
        VotingModel("big@2", Way.LETTER, sight=2.0),
    ]
    found = fit_calibration(match_truth(made_sheet(truths, models), truths).shots, CalibrationSettings())
    assert found.best_way(SHOT_SIZE.slug, MODEL) is Way.TERM
    together = f"{MODEL} by term + big@2 by letter"
    assert found.sources == [f"{MODEL} by letter", f"{MODEL} by term", "big@2 by letter", together]
    report = found.report["dimensions"][SHOT_SIZE.slug]
    assert report[together]["accuracy"] >= report["big@2 by letter"]["accuracy"]
    cells = made_sheet(truths, models, found).shots[0].cells
    assert cells[SHOT_SIZE.slug].source == together
    assert "most accurate way of asking tiny@1: Shot Size by term" in calibration_text(found)


@slow
def test_the_order_of_films_and_shots_does_not_change_the_fit() -> None:
    truths = made_truths(5, 20, [CAMERA_ANGLE])
    shots = match_truth(made_sheet(truths), truths).shots
    mixed = random.Random(3).sample(shots, len(shots))
    one, other = (fit_calibration(some, CalibrationSettings()) for some in (shots, mixed))
    first, second = (found.cells[CAMERA_ANGLE.slug][SOURCE] for found in (one, other))
    assert second.right.weights == pytest.approx(first.right.weights, rel=1e-3, abs=1e-3)
    assert second.max_none == pytest.approx(first.max_none, rel=1e-3)


@slow
def test_one_film_is_divided_and_the_report_says_so() -> None:
    truths = made_truths(1, 40, [SHOT_SIZE])
    found = fit_calibration(match_truth(made_sheet(truths), truths).shots, CalibrationSettings())
    assert found.report["dimensions"][SHOT_SIZE.slug][SOURCE]["grouped_by"] == "parts of one film"
    assert "parts of one film" in calibration_text(found)


@slow
def test_a_truth_without_none_leaves_none_to_the_votes() -> None:
    truths = made_truths(4, 20, [SHOT_SIZE], none_share=0.0)
    found = fit_calibration(match_truth(made_sheet(truths), truths).shots, CalibrationSettings())
    cell = found.cells[SHOT_SIZE.slug][SOURCE]
    assert (cell.none, cell.max_none) == (None, 1.0)


def test_shots_without_votes_are_refused() -> None:
    truths = made_truths(2, 3, [SHOT_SIZE])
    shots = match_truth(made_sheet(truths), truths).shots
    without = [one._replace(row=replace(one.row, votes=[])) for one in shots]
    with pytest.raises(BadCalibrationData, match="no shot has votes"):
        fit_calibration(without, CalibrationSettings())


@slow
def test_the_command_pools_several_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from data_pipeline.commands.label_calibrate import calibrate

    folders, tables = [], []
    for number in range(2):
        truths = made_truths(2, 15, [SHOT_SIZE], seed=number)
        folders.append(tmp_path / f"labels-{number}")
        tables.append(tmp_path / f"truth-{number}.csv")
        write_sheet(folders[-1], made_sheet(truths, seed=number))
        tables[-1].write_text(truth_table(truths), encoding="utf-8")
    out = tmp_path / "calibration.json"
    assert calibrate(folders, tables, out) == 0
    printed = capsys.readouterr().out
    assert "Shot Size     60      4" in printed
    assert json.loads(out.read_text(encoding="utf-8"))["kind"] == "calibration of shot labels"
    assert read_calibration(out).of(SHOT_SIZE.slug, SOURCE)
    with pytest.raises(ValueError, match="3 truth tables for 2 folders"):
        calibrate(folders, [*tables, tables[0]], out)


def test_a_film_and_stills_of_it_in_one_folder_are_one_film(tmp_path: Path) -> None:
    truths = [replace(row, film_id="film") for row in made_truths(3, 2, [SHOT_SIZE])]  # one film in three files
    (tmp_path / "truth.csv").write_text(truth_table(truths), encoding="utf-8")
    write_sheet(tmp_path / "labels", made_sheet(made_truths(3, 2, [SHOT_SIZE])))
    shots = read_matched_shots([tmp_path / "labels"], [tmp_path / "truth.csv"])
    assert len(shots) == 6 and {one.truth.film_id for one in shots} == {"film"}


@pytest.mark.parametrize("tables", [1, 2])
def test_a_film_in_two_folders_counts_once_per_model(tmp_path: Path, tables: int) -> None:
    truths = made_truths(2, 4, [SHOT_SIZE])
    for name, rows in (("one", truths), ("two", [replace(row, film_id=f"x-{row.film_id}") for row in truths])):
        (tmp_path / f"{name}.csv").write_text(truth_table(rows), encoding="utf-8")
    given = [tmp_path / "one.csv", tmp_path / "two.csv"][:tables]
    write_sheet(tmp_path / "first", made_sheet(truths))
    write_sheet(tmp_path / "again", made_sheet(truths, seed=2))
    with pytest.raises(FilmTwice, match=r"film-0.mp4 is in .*/first and in .*/again, both with votes of tiny@1"):
        read_matched_shots([tmp_path / "first", tmp_path / "again"], given)
    with pytest.raises(FilmTwice):
        read_matched_shots([tmp_path / "first", tmp_path / "first"], given)
    write_sheet(tmp_path / "other", made_sheet(truths, [VotingModel("other@2")]))
    shots = read_matched_shots([tmp_path / "first", tmp_path / "other"], given)
    assert len(shots) == 16 and len({one.truth.film_id for one in shots}) == 2


def test_a_term_regression_without_weights_changes_nothing() -> None:
    votes = VotingModel().votes(random.Random(0), CAMERA_ANGLE, frozenset(["Aerial"]))
    pooled = pool(CAMERA_ANGLE, votes)
    unchanged = TermRegression(dict.fromkeys(pooled.terms, 0.0), {}).applied(pooled)
    assert unchanged.terms == pytest.approx(pooled.terms, abs=1e-3)  # but for the smallest probability
    assert unchanged.none == pooled.none


def test_a_term_regression_moves_terms_and_none() -> None:
    pooled = pool(CAMERA_ANGLE, [vote_of(CAMERA_ANGLE, {"Dutch angle": 0.9, "Aerial": 0.1})])
    found = TermRegression({"Dutch angle": 0.0, "Aerial": math.log(9), NO_TERM: math.log(1e4)}, {}).applied(pooled)
    assert found.terms == pytest.approx({"Dutch angle": 0.5, "Aerial": 0.5})
    assert found.none == pytest.approx(1 / 2.8)


def vote_of(dimension: Dimension, shares: dict[str, float]) -> Vote:
    return Vote(dimension.slug, MODEL, Way.PROBABILITY, "still.jpg", "as filmed", shares)


@slow
def test_a_term_regression_finds_that_two_terms_are_taken_for_each_other() -> None:
    chance = random.Random(1)
    confused = {"Low angle": "High angle", "High angle": "Low angle"}  # what the model says, by what is true
    true = [chance.choice(CAMERA_ANGLE.terms).name for _ in range(200)]
    others = [term.name for term in CAMERA_ANGLE.terms]
    pooled = [
        pool(
            CAMERA_ANGLE,
            [vote_of(CAMERA_ANGLE, {term: 0.8 if term == confused.get(one, one) else 0.05 for term in others})],
        )
        for one in true
    ]
    films = [f"film {number % 5}" for number in range(200)]
    found = fit_term_regression(pooled, [frozenset([one]) for one in true], films)
    assert found.regression is not None
    assert [found.regression.applied(one).ranked[0] for one in pooled] == true
    assert [one.ranked[0] for one in found.held_out] == true


@slow
def test_a_rare_light_that_the_votes_favour_is_named_beside_the_frequent_one_that_is_true_too() -> None:
    chance = random.Random(6)
    cells = []
    for number in range(240):
        tungsten = number % 12 == 0
        seen = chance.uniform(0.4, 0.8) if tungsten else chance.uniform(0.0, 0.02)
        shares = {term.name: 0.001 for term in LIGHTING_TYPE.terms} | {"Tungsten": seen, "Artificial light": 1 - seen}
        label = "Artificial light, Tungsten" if tungsten else chance.choice(("Artificial light", "Daylight"))
        shares |= {"Daylight": 0.9, "Artificial light": 0.05} if label == "Daylight" else {}
        truth = ShotTruth(TruthStatus.LABELLED, label)
        cells.append(KnownCell(f"film {number % 6}", pool(LIGHTING_TYPE, [vote_of(LIGHTING_TYPE, shares)]), truth))
    fitted_cells = fit_cells(LIGHTING_TYPE, cells, CalibrationSettings().balance)
    guesses = [best_guess(LIGHTING_TYPE, cell.pooled, fitted_cells).label for cell in cells]
    assert all(is_true(LIGHTING_TYPE, cell.truth, guess) for guess, cell in zip(guesses, cells, strict=True))
    named = [("Tungsten" in guess, "Tungsten" in cell.truth.label) for guess, cell in zip(guesses, cells, strict=True)]
    assert all(guess == truth for guess, truth in named)


@slow
def test_votes_that_are_right_already_stay_as_they_are() -> None:
    chance = random.Random(2)
    model = VotingModel(sight=3.0, bias=0.0, sharpness=1.0)  # neither biased nor too certain
    true = [chance.choice(CAMERA_ANGLE.terms).name for _ in range(200)]
    pooled = [pool(CAMERA_ANGLE, model.votes(chance, CAMERA_ANGLE, frozenset([one]))) for one in true]
    found = fit_term_regression(pooled, [frozenset([one]) for one in true], [f"film {n % 8}" for n in range(200)])
    kept = [one.ranked[0] == name for one, name in zip(found.held_out, true, strict=True)]
    assert sum(kept) >= sum(one.ranked[0] == name for one, name in zip(pooled, true, strict=True)) - 4


def test_balanced_weights_count_answers_alike() -> None:
    answers = [frozenset(["Wide"])] * 9 + [frozenset(["Medium"])]
    assert balancing_weights(answers, 0.0) == [1.0] * 10
    balanced = balancing_weights(answers, 1.0)
    assert sum(balanced[:9]) == pytest.approx(balanced[9])
    assert sum(balanced) == pytest.approx(10)


@slow
def test_how_far_a_vote_on_a_second_movement_can_be_trusted_is_learnt() -> None:
    chance = random.Random(4)
    cells = []
    for number in range(120):
        is_compound = chance.random() < 0.5
        truth = ShotTruth(TruthStatus.LABELLED, "Pan left, Tilt up" if is_compound else "Pan left")
        share = 0.4 if is_compound else 0.1  # never more probable than that there is no second movement
        votes = [
            vote_of(CAMERA_MOVEMENT, {"Pan left": 0.9, "Tilt up": 0.1}),
            replace(vote_of(CAMERA_MOVEMENT, {"Tilt up": share, NO_TERM: 1 - share}), second=True),
        ]
        cells.append(KnownCell(f"film {number % 4}", pool(CAMERA_MOVEMENT, votes), truth))
    fitted_cells = fit_cells(CAMERA_MOVEMENT, cells, 0.0)
    labels = {cell.truth.label: best_guess(CAMERA_MOVEMENT, cell.pooled, fitted_cells).label for cell in cells}
    assert labels == {"Pan left, Tilt up": "Pan left, Tilt up", "Pan left": "Pan left"}


def test_labelling_with_a_calibration_and_scoring_need_no_numerical_library() -> None:
    modules = "deciding.decide", "deciding.calibration", "deciding.contradictions", "scores.score_text", "truth"
    imports = "".join(f"import lmms_eval_shotbench.labelling.{name}\n" for name in modules)
    code = f"{imports}import sys\nprint(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "scipy", "sklearn", "torch"} & set(printed.stdout.split())
