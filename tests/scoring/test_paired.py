"""The statistics of two runs on the same items, against worked examples, other computations and simulation."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest

from lmms_eval_shotbench.scoring.paired import Pair, difference, differences, holm, mcnemar, student95
from lmms_eval_shotbench.vocabulary import DIMENSIONS

SLUGS = [dimension.slug for dimension in DIMENSIONS]


def pair(change: int, medium: object, dimension: str = SLUGS[0], right: bool = True) -> Pair:
    """An item gained (1), lost (-1), or the same in both, right or wrong."""
    return Pair(dimension, str(medium), change < 0 or (change == 0 and right), change > 0 or (change == 0 and right))


def drawn(draw: random.Random, media: int, each: int, gain: float, loss: float, together: float = 0.0) -> list[Pair]:
    """Items that B gains and loses at these rates; the `each` of one medium change alike as often as `together`."""
    pairs = []
    for medium in range(media):
        shared = draw.random()
        for _ in range(each):
            place = shared if draw.random() < together else draw.random()
            pairs.append(pair(1 if place < gain else -1 if place < gain + loss else 0, medium))
    return pairs


def test_p_is_the_sum_of_all_outcomes_that_are_no_likelier() -> None:
    for gained in range(13):
        for lost in range(13):
            row = [
                Fraction(math.comb(gained + lost, count), 2 ** (gained + lost)) for count in range(gained + lost + 1)
            ]
            expected = sum(chance for chance in row if chance <= row[gained])
            assert mcnemar(gained, lost) == mcnemar(lost, gained) == pytest.approx(float(expected), rel=1e-12)


def test_p_of_thousands_of_items_neither_overflows_nor_vanishes() -> None:
    logs = [math.lgamma(1398) - math.lgamma(count + 1) - math.lgamma(1398 - count) for count in range(300)]
    tail = math.fsum(math.exp(log - logs[-1]) for log in logs)
    assert math.log(mcnemar(1098, 299)) == pytest.approx(logs[-1] + math.log(tail) - 1396 * math.log(2), rel=1e-9)
    normal = math.erfc((300 - 1) / math.sqrt(2 * 40_300))  # with the correction for continuity
    assert mcnemar(20_300, 20_000) == pytest.approx(normal, rel=1e-3)
    assert mcnemar(0, 0) == mcnemar(7, 7) == mcnemar(1, 0) == 1.0


def test_holm_gives_the_worked_example() -> None:
    # Four hypotheses: 4 x 0.005, 3 x 0.01, 2 x 0.03, and 1 x 0.04 raised to the one before it.
    corrected = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert corrected == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert list(corrected) == ["a", "b", "c", "d"]
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (2, 4.303), (5, 2.571), (10, 2.228), (30, 2.042), (120, 1.980)]
)
def test_students_quantile_is_the_printed_one(freedom: int, quantile: float) -> None:
    assert student95(freedom) == pytest.approx(quantile, rel=2e-4)


def test_a_difference_worked_out_by_hand() -> None:
    one = difference([pair(1, 1), pair(1, 2), pair(-1, 3), pair(0, 4), pair(0, 5, right=False)])
    assert (one.n, one.a, one.b, one.gained, one.lost) == (5, 0.4, 0.6, 2, 1)
    assert one.difference == pytest.approx(0.2)
    # With an item gained and one lost besides: mean 1/7, squared residuals 5 - 1/7, on 7 media.
    stderr = math.sqrt(7 / 6 * (5 - 1 / 7)) / 7
    assert one.stderr == pytest.approx(stderr)
    assert (one.high - one.low) / 2 == pytest.approx(2.447 * stderr, rel=1e-3)
    assert (one.high + one.low) / 2 == pytest.approx(1 / 7)
    assert one.detectable == pytest.approx((1.959964 + 0.841621) * stderr)
    assert one.detectable_unrelated == pytest.approx((1.959964 + 0.841621) * math.sqrt((0.24 + 0.24) / 5))
    assert one.p == 1.0 and not one.told_apart


def test_macro_weighs_dimensions_alike() -> None:
    pairs = [pair(1, index) for index in range(10)] + [pair(0, 10 + index) for index in range(80)]
    pairs += [pair(-1, 90 + index, SLUGS[1]) for index in range(5)] + [
        pair(0, 95 + index, SLUGS[1]) for index in range(5)
    ]
    found = differences(pairs)
    assert found.overall.difference == pytest.approx(5 / 100)
    assert found.macro.difference == pytest.approx((10 / 90 - 5 / 10) / 2)
    assert found.macro.low < found.macro.difference < found.macro.high
    assert list(found.by_dimension) == list(found.p_holm) == SLUGS[:2]
    assert found.by_dimension[SLUGS[1]].p == mcnemar(0, 5) and found.p_holm[SLUGS[1]] == mcnemar(0, 5)


def test_items_that_change_together_do_not_count_as_independent() -> None:
    draw = random.Random(0)
    changes = [draw.choice((1, -1, 0)) for _ in range(100)]
    apart = difference([pair(changes[index // 10], index) for index in range(1000)])
    together = difference([pair(changes[index // 10], index // 10) for index in range(1000)])
    assert apart.difference == together.difference and apart.p == together.p
    assert together.stderr / apart.stderr == pytest.approx(math.sqrt(10), rel=0.1)


def test_the_interval_holds_the_difference_and_never_vanishes() -> None:
    draw = random.Random(1)
    for _ in range(300):
        one = difference(drawn(draw, draw.randint(1, 12), draw.randint(1, 3), draw.random(), draw.random()))
        assert -1 <= one.low <= one.difference <= one.high <= 1 and one.high - one.low > 0.1
    same = differences([pair(0, index, right=index % 3 > 0) for index in range(500)]).overall
    assert same.difference == 0 and same.p == 1.0
    assert -0.01 < same.low < 0 < same.high < 0.01


@pytest.mark.parametrize(
    ("media", "each", "rate", "together"),
    [(200, 1, 0.15, 0.0), (100, 2, 0.15, 0.5), (40, 4, 0.2, 0.8)],
    ids=["independent items", "two questions a medium", "few media of four questions that change together"],
)
def test_simulated_nulls_give_5_percent_false_alarms(media: int, each: int, rate: float, together: float) -> None:
    draw, runs, alarms, mcnemar_alarms = random.Random(2), 2000, 0, 0
    for _ in range(runs):
        one = difference(drawn(draw, media, each, rate, rate, together))
        alarms += one.told_apart
        mcnemar_alarms += one.p < 0.05
    # Of 2,000 the standard error is 0.5 %.
    assert 0.037 <= alarms / runs <= 0.063
    if each == 1:
        assert 0.02 <= mcnemar_alarms / runs <= 0.05  # exact, so on the safe side
    if each == 4:
        assert mcnemar_alarms / runs > 0.15  # it takes items for independent, which these are not


def test_holm_keeps_false_alarms_of_all_dimensions_together_at_5_percent() -> None:
    draw, runs, corrected, plain = random.Random(3), 4000, 0, 0
    for _ in range(runs):
        gained = {slug: draw.getrandbits(60).bit_count() for slug in SLUGS}  # of 60 items that changed
        p = {slug: mcnemar(count, 60 - count) for slug, count in gained.items()}
        plain += min(p.values()) < 0.05
        corrected += min(holm(p).values()) < 0.05
    assert plain / runs > 0.15
    assert corrected / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize(("media", "each", "together"), [(150, 1, 0.0), (50, 3, 0.6)])
def test_intervals_cover_the_true_difference_and_detectable_is_found_four_times_in_five(
    media: int, each: int, together: float
) -> None:
    draw, runs, covered, found, gain, loss = random.Random(4), 1000, 0, 0, 0.2, 0.1
    promised = difference(drawn(random.Random(5), 20 * media, each, gain, loss, together)).detectable * math.sqrt(20)
    for _ in range(runs):
        one = difference(drawn(draw, media, each, gain, loss, together))
        covered += one.low <= gain - loss <= one.high
        shifted = (gain + loss + promised) / 2, (gain + loss - promised) / 2  # that difference, as much disagreement
        found += difference(drawn(draw, media, each, *shifted, together)).told_apart
    assert 0.93 <= covered / runs <= 0.97
    assert 0.75 <= found / runs <= 0.85


def test_nothing_to_compare_is_an_error() -> None:
    for compute in (difference, differences):
        with pytest.raises(ValueError, match="no items"):
            compute([])
