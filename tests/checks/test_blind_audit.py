"""The audit of finished questions: it reports every failure, and it passes valid sets."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from data_pipeline.checks.audit import AuditReport, audit, is_gradable
from data_pipeline.checks.blind_audit import MARGIN, audit_blind
from data_pipeline.checks.decontaminate import BenchmarkMedium
from data_pipeline.checks.media_hashes import HashedItem
from data_pipeline.questions.write_questions import QuestionPolicy, questions_of_shots
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE
from tests.support.drawn_shots import shot
from tests.support.items import make_item


def questions(number: int, balance: bool = True, first: int = 0) -> list[QAItem]:
    """Questions on shot sizes with a skewed distribution."""
    draw = random.Random(number)
    weights = [0.6**rank for rank in range(len(SHOT_SIZE.terms))]
    shots = [
        shot(first + index, {SHOT_SIZE.slug: str(draw.choices(SHOT_SIZE.terms, weights)[0])}) for index in range(number)
    ]
    return questions_of_shots(shots, QuestionPolicy(balance=balance, fewest_options=4), [], first_index=first)


def audited(items: list[QAItem], split: str = "test", **checks: object) -> AuditReport:
    return audit([HashedItem(split, item, f"{item.source_index:0400x}") for item in items], **checks)  # type: ignore[arg-type]


@pytest.mark.slow
def test_balanced_questions_pass_the_gate() -> None:
    report = audited(questions(400))
    assert report.failures == ()
    [blind] = report.blind
    assert blind.accuracy.value <= blind.chance == 0.25


@pytest.mark.slow
def test_questions_that_can_be_answered_blind_fail_with_their_figures() -> None:
    report = audited(questions(400, balance=False))
    [failure] = report.failures
    [blind] = report.blind
    assert blind.accuracy.value > 0.35
    assert SHOT_SIZE.slug in failure and f"{blind.accuracy.value:.1%}" in failure and "chance is 25.0%" in failure


@pytest.mark.slow
def test_without_a_gate_blind_accuracy_is_only_reported() -> None:
    report = audited(questions(400, balance=False), margin=None)
    assert report.failures == ()
    assert "no gate" in report.to_markdown()


def test_the_real_benchmark_fails_by_its_camera_movement(real_items: dict[int, QAItem]) -> None:
    rows = audit_blind({"test": list(real_items.values())})
    failed = {row.dimension for row in rows if not row.passes(MARGIN)}
    assert CAMERA_MOVEMENT.slug in failed
    assert SHOT_SIZE.slug not in failed


def test_each_split_is_also_measured_separately() -> None:
    rows = audit_blind({"sft": questions(200), "test": questions(200, balance=False, first=1000)})
    assert [row.split for row in rows] == ["all", "sft", "test"]
    assert [row.passes(MARGIN) for row in rows][1:] == [True, False]


def test_a_small_set_is_not_failed_by_luck() -> None:
    lucky = [make_item(answer="A", index=n, media=f"{n}.jpg") for n in range(5)]
    assert all(row.passes(MARGIN) for row in audit_blind({"test": lucky}))
    same = [make_item(answer="A", index=n, media=f"{n}.jpg") for n in range(20)]
    assert not any(row.passes(MARGIN) for row in audit_blind({"test": same}))


def test_films_and_pictures_in_two_splits_fail() -> None:
    one, other, third = (replace(item, film_id=f"f{n}") for n, item in enumerate(questions(30)[:3]))
    rows = [HashedItem("sft", one, "ab" * 200), HashedItem("test", other, "ab" * 200)]
    rows += [HashedItem("dev", replace(third, film_id="f0"), "cd" * 200)]
    report = audit(rows)
    assert report.across_splits == [(one.item_id, other.item_id)]
    assert report.films_in_two == ["f0"]
    assert len(report.failures) == 2


def test_spellings_of_one_film_id_in_two_splits_are_named_without_failing() -> None:
    ids = ["Kid", "KID (1921)", "Gold Rush", "gold rush", "M"]
    items = [replace(item, film_id=film_id) for item, film_id in zip(questions(30), ids, strict=False)]
    splits = ("sft", "test", "sft", "sft", "test")
    report = audit([HashedItem(split, item, "") for split, item in zip(splits, items, strict=True)])
    assert report.similar_ids_in_two == [("KID (1921)", "Kid")] and not report.films_in_two
    assert "'KID (1921)' and 'Kid'" in report.checks_markdown()
    assert not any("film" in failure for failure in report.failures)


def test_a_picture_twice_in_one_split_is_reported_where_its_labels_agree() -> None:
    same = [make_item(index=n, media=f"{n}.jpg") for n in range(2)]
    hashed = [HashedItem("sft", item, "ab" * 200) for item in [*same, make_item(answer="A", index=3, media="3.jpg")]]
    report = audit(hashed)
    assert report.twice_in_a_split == [("test-0", "test-1")]
    assert report.failures == ()


def test_pictures_of_the_benchmark_fail() -> None:
    items = questions(60)
    benchmark = [BenchmarkMedium(replace(items[0], item_id="theirs"), "")]
    report = audited(items, benchmark=benchmark)
    assert report.in_benchmark == [(items[0].item_id, "theirs")]
    assert "theirs" in report.failures[0]
    assert report.benchmark == 1
    assert (
        "* Questions on media of a benchmark: 1 of 1; only `shotbench data leaks` finds copies" in report.to_markdown()
    )


def test_an_answer_that_the_grader_cannot_distinguish_from_another_fails() -> None:
    assert all(is_gradable(item) for item in questions(60))
    report = audited([make_item(("Wide", "Medium", "Close up", "close-up."))])
    assert report.ungraded == ["test-1"]
    assert "grader" in report.failures[0]


def test_letters_and_terms_are_counted() -> None:
    items = questions(200)
    report = audited(items)
    letters = report.letters[SHOT_SIZE.slug]
    assert sum(letters.values()) == report.questions == len(items)
    assert max(letters.values()) - min(letters.values()) <= 1
    assert all(4 * right == offered for right, offered in report.terms[SHOT_SIZE.slug].values())


def test_the_report_is_json_and_a_table() -> None:
    report = audited(questions(100), benchmark=[])
    row = json.loads(report.to_json())
    assert row["questions"] == report.questions
    assert row["blind"][0]["chance"] == 0.25
    assert "| Shot Size |" in report.to_markdown()
    assert "not compared with any" in report.to_markdown() and "data leaks" not in report.to_markdown()
