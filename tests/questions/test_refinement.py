"""RefineShot's questions: rebuilt ones against the published file, and the balance of yes and no."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from lmms_eval_shotbench.qa_item import BadRow, QAItem
from lmms_eval_shotbench.questions.refinement import NO, YES, facet_of, gold_term, published, refined
from lmms_eval_shotbench.scoring.option_prior import blind_letters, chance
from lmms_eval_shotbench.vocabulary import SHOT_FRAMING
from tests.support.items import make_item
from tests.support.published_refinement import as_published

FRAMED = ("Insert", "Establishing shot", "Single", "Group shot")


def framing(answer: str, index: int, options: tuple[str, ...] = FRAMED) -> QAItem:
    return make_item(options, answer, SHOT_FRAMING.slug, index)


def asks_yes_or_no(item: QAItem) -> bool:
    return set(item.options) == {YES, NO}


def asked(item: QAItem) -> tuple[str, tuple[str, ...], str]:
    return item.question, item.options, item.answer


def test_the_rebuilt_questions_are_identical_to_the_published_ones(
    real_items: dict[int, QAItem], refined_items: dict[int, QAItem]
) -> None:
    rebuilt = as_published(list(real_items.values()))
    assert [asked(item) for item in rebuilt] == [asked(item) for item in refined_items.values()]
    changed = [item for item in rebuilt if asked(item) != asked(real_items[item.source_index])]
    assert len(changed) == 961
    assert Counter(item.dimension for item in changed) == {
        "shot_framing": 391,
        "lighting_type": 330,
        "lighting_condition": 240,
    }
    yes_no = [item for item in changed if asks_yes_or_no(item)]
    assert Counter(item.dimension for item in yes_no) == {
        "shot_framing": 159,
        "lighting_type": 21,
        "lighting_condition": 69,
    }
    assert {item.gold for item in yes_no} == {YES}


def test_every_term_has_as_many_yes_as_no_questions(real_items: dict[int, QAItem]) -> None:
    yes_no = [item for item in refined(list(real_items.values())) if asks_yes_or_no(item)]
    golds = Counter((item.question, item.gold) for item in yes_no)
    questions = {item.question for item in yes_no}
    assert len(questions) == 6 and len(yes_no) == 310
    assert all(golds[question, YES] == golds[question, NO] for question in questions)


def test_a_term_answered_no_is_a_wrong_option_of_the_original_question(real_items: dict[int, QAItem]) -> None:
    for item in refined(list(real_items.values())):
        if asks_yes_or_no(item):
            original = real_items[item.source_index]
            term = item.question.removesuffix("?").partition(" of this shot ")[2]
            assert (term == original.gold) == (item.gold == YES)
            assert term in original.options


def test_only_the_questions_changed_in_the_published_file_are_changed(
    real_items: dict[int, QAItem], refined_items: dict[int, QAItem]
) -> None:
    items = list(real_items.values())
    for original, item in zip(items, refined(items), strict=True):
        if asked(refined_items[original.source_index]) == asked(original):
            assert item == original
        else:
            term = gold_term(original)
            assert term and (asks_yes_or_no(item) or sorted(item.options) == sorted(map(str, facet_of(item, term))))
        assert replace(item, question=original.question, options=original.options, answer=original.answer) == original


def test_the_option_prior_cannot_predict_yes_or_no(
    real_items: dict[int, QAItem], refined_items: dict[int, QAItem]
) -> None:
    def option_prior_accuracy(items: list[QAItem]) -> float:
        letters = zip(blind_letters(items), items, strict=True)
        yes_no = [letter == item.answer for letter, item in letters if asks_yes_or_no(item)]
        return sum(yes_no) / len(yes_no)

    assert option_prior_accuracy(list(refined_items.values())) == 1.0
    assert option_prior_accuracy(refined(list(real_items.values()))) < 0.5


def test_chance_level_before_and_after_refinement(
    real_items: dict[int, QAItem], refined_items: dict[int, QAItem]
) -> None:
    items = list(real_items.values())
    levels = [100 * chance(list(set_)) for set_ in (items, refined_items.values(), refined(items))]
    assert [round(level, 2) for level in levels] == [25.0, 27.55, 27.79]


@pytest.mark.slow
def test_refinement_is_independent_of_order_and_idempotent(real_items: dict[int, QAItem]) -> None:
    items = list(real_items.values())
    shuffled = random.Random(1).sample(items, len(items))
    once = {item.source_index: item for item in refined(items)}
    assert {item.source_index: item for item in refined(shuffled)} == once
    assert refined(list(once.values())) == list(once.values())
    assert {item.source_index: item for item in as_published(shuffled)} == {
        item.source_index: item for item in as_published(items)
    }


def test_refining_one_dimension_gives_the_same_questions_as_refining_all(real_items: dict[int, QAItem]) -> None:
    items = list(real_items.values())
    framings = [item for item in items if item.dimension == SHOT_FRAMING.slug]
    assert refined(framings) == [item for item in refined(items) if item.dimension == SHOT_FRAMING.slug]


def test_the_options_become_the_terms_of_the_gold_facet() -> None:
    (item,) = refined([framing("D", 1)])
    assert set(item.options) == {"Single", "2 shot", "3 shot", "Group shot"} and item.gold == "Group shot"


def test_the_only_term_of_a_facet_becomes_a_yes_or_no_question() -> None:
    (item,) = refined([framing("A", 1)])
    assert item.question == "Is the shot framing of this shot Insert?"
    assert set(item.options) == {YES, NO} and item.gold == YES


def test_yes_and_no_questions_about_a_term_alternate() -> None:
    items = [framing("AB"[index % 2], index) for index in range(40)]
    golds = Counter((item.question, item.gold) for item in refined(items))
    assert sum(golds.values()) == 40 and len({question for question, _ in golds}) == 2
    assert all(abs(golds[question, YES] - golds[question, NO]) <= 1 for question, _ in golds)


@pytest.mark.parametrize(
    "item",
    [
        framing("A", 1, ("Insert, Single", "Insert, 2 shot")),  # a compound answer
        framing("A", 2, ("yes", "no")),  # no term at all
        make_item(("Wide", "Medium"), "A"),  # another dimension
    ],
)
def test_other_questions_are_unchanged(item: QAItem) -> None:
    assert refined([item]) == as_published([item]) == [item]


def test_published_questions_keep_the_media_columns_of_the_items(
    real_items: dict[int, QAItem], refined_items: dict[int, QAItem]
) -> None:
    shards = [replace(item, media_sha256="0" * 64, film_id="tt1", licence="apache-2.0") for item in real_items.values()]
    for shard, item in zip(shards, published(shards, refined_items), strict=True):
        assert asked(item) == asked(refined_items[item.source_index])
        assert replace(item, question=shard.question, options=shard.options, answer=shard.answer) == shard


def test_published_questions_of_a_subset(real_items: dict[int, QAItem], refined_items: dict[int, QAItem]) -> None:
    some = [real_items[index] for index in (1, 487)]
    assert [asked(item) for item in published(some, refined_items)] == [asked(refined_items[i]) for i in (1, 487)]


def test_published_questions_of_other_items_are_rejected() -> None:
    item, row = framing("A", 7), framing("B", 7, ("no", "yes"))
    with pytest.raises(BadRow, match=r"item test-7: index is 7.*is it their file"):
        published([item], {8: row})
    with pytest.raises(BadRow, match=r"dimension and medium is .*a\.jpg"):
        published([item], {7: replace(row, media_path="image/b.jpg")})
    with pytest.raises(BadRow, match="dimension and medium"):
        published([item], {7: replace(row, dimension="shot_size")})
