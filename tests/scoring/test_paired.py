"""Paired statistics against worked examples, independent computations and simulation."""

from __future__ import annotations

import itertools
import math
import operator
import random
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmms_eval_shotbench.scoring.paired import Pair, difference, differences, holm, mcnemar, sign_flip, student95
from lmms_eval_shotbench.vocabulary import DIMENSIONS

SLUGS = [dimension.slug for dimension in DIMENSIONS]


def pair(change: int, medium: object, dimension: str = SLUGS[0], right: bool = True) -> Pair:
    """An item gained (1), lost (-1), or unchanged (0), then right or wrong in both runs."""
    return Pair(dimension, str(medium), change < 0 or (change == 0 and right), change > 0 or (change == 0 and right))


def drawn(draw: random.Random, media: int, each: int, gain: float, loss: float, correlated: float = 0.0) -> list[Pair]:
    """Items that B gains and loses at these rates; a share `correlated` of the items of a medium change alike."""
    pairs = []
    for medium in range(media):
        shared = draw.random()
        for _ in range(each):
            value = shared if draw.random() < correlated else draw.random()
            pairs.append(pair(1 if value < gain else -1 if value < gain + loss else 0, medium))
    return pairs


def test_p_is_the_probability_of_outcomes_at_most_as_likely() -> None:
    for gained in range(13):
        for lost in range(13):
            row = [
                Fraction(math.comb(gained + lost, count), 2 ** (gained + lost)) for count in range(gained + lost + 1)
            ]
            expected = sum(chance for chance in row if chance <= row[gained])
            assert mcnemar(gained, lost) == mcnemar(lost, gained) == pytest.approx(float(expected), rel=1e-12)


def test_p_of_thousands_of_items_neither_overflows_nor_underflows() -> None:
    logs = [math.lgamma(1398) - math.lgamma(count + 1) - math.lgamma(1398 - count) for count in range(300)]
    tail = math.fsum(math.exp(log - logs[-1]) for log in logs)
    assert math.log(mcnemar(1098, 299)) == pytest.approx(logs[-1] + math.log(tail) - 1396 * math.log(2), rel=1e-9)
    normal = math.erfc((300 - 1) / math.sqrt(2 * 40_300))  # with continuity correction
    assert mcnemar(20_300, 20_000) == pytest.approx(normal, rel=1e-3)
    assert mcnemar(0, 0) == mcnemar(7, 7) == mcnemar(1, 0) == 1.0


def test_holm_matches_a_worked_example() -> None:
    # Four hypotheses: 4 x 0.005, 3 x 0.01, 2 x 0.03, and 1 x 0.04 raised to the previous value.
    corrected = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert corrected == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert list(corrected) == ["a", "b", "c", "d"]
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (2, 4.303), (5, 2.571), (10, 2.228), (30, 2.042), (120, 1.980)]
)
def test_students_quantile_matches_the_tables(freedom: int, quantile: float) -> None:
    assert student95(freedom) == pytest.approx(quantile, rel=2e-4)


def test_a_difference_computed_by_hand() -> None:
    one = difference([pair(1, 1), pair(1, 2), pair(-1, 3), pair(0, 4), pair(0, 5, right=False)])
    assert (one.n, one.a, one.b, one.gained, one.lost) == (5, 0.4, 0.6, 2, 1)
    assert one.difference == pytest.approx(0.2)
    # With one more item gained and one more lost: mean 1/7, squared residuals 5 - 1/7, on 7 media.
    stderr = math.sqrt(7 / 6 * (5 - 1 / 7)) / 7
    assert one.stderr == pytest.approx(stderr)
    assert (one.high - one.low) / 2 == pytest.approx(2.447 * stderr, rel=1e-3)
    assert (one.high + one.low) / 2 == pytest.approx(1 / 7)
    assert one.detectable == pytest.approx((1.959964 + 0.841621) * stderr)
    assert one.detectable_unrelated == pytest.approx((1.959964 + 0.841621) * math.sqrt((0.24 + 0.24) / 5))
    assert one.p == 1.0 and not one.significant


def test_macro_weighs_dimensions_equally() -> None:
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
    independent = difference([pair(changes[index // 10], index) for index in range(1000)])
    clustered = difference([pair(changes[index // 10], index // 10) for index in range(1000)])
    assert independent.difference == clustered.difference and independent.p == clustered.p
    assert clustered.stderr / independent.stderr == pytest.approx(math.sqrt(10), rel=0.1)


def test_the_interval_contains_the_difference_and_has_a_positive_width() -> None:
    draw = random.Random(1)
    for _ in range(300):
        one = difference(drawn(draw, draw.randint(1, 12), draw.randint(1, 3), draw.random(), draw.random()))
        assert -1 <= one.low <= one.difference <= one.high <= 1 and one.high - one.low > 0.1
    same = differences([pair(0, index, right=index % 3 > 0) for index in range(500)]).overall
    assert same.difference == 0 and same.p == 1.0
    assert -0.01 < same.low < 0 < same.high < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    ("media", "each", "rate", "correlated"),
    [(200, 1, 0.15, 0.0), (100, 2, 0.15, 0.5), (40, 4, 0.2, 0.8)],
    ids=["independent items", "two questions per medium", "few media with four correlated questions"],
)
def test_simulated_nulls_give_5_percent_false_positives(media: int, each: int, rate: float, correlated: float) -> None:
    draw, runs, false_positives, mcnemar_positives = random.Random(2), 2000, 0, 0
    for _ in range(runs):
        one = difference(drawn(draw, media, each, rate, rate, correlated))
        false_positives += one.significant
        mcnemar_positives += one.p < 0.05
    # The standard error of 2,000 runs is 0.5 %.
    assert 0.037 <= false_positives / runs <= 0.063
    if each == 1:
        assert 0.02 <= mcnemar_positives / runs <= 0.05  # exact, hence conservative
    if each == 4:
        assert mcnemar_positives / runs > 0.15  # it assumes independent items, which these are not


def test_holm_bounds_the_family_wise_error_rate_by_5_percent() -> None:
    draw, runs, corrected, plain = random.Random(3), 4000, 0, 0
    for _ in range(runs):
        gained = {slug: draw.getrandbits(60).bit_count() for slug in SLUGS}  # of 60 items that changed
        p = {slug: mcnemar(count, 60 - count) for slug, count in gained.items()}
        plain += min(p.values()) < 0.05
        corrected += min(holm(p).values()) < 0.05
    assert plain / runs > 0.15
    assert corrected / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.slow
@pytest.mark.parametrize(("media", "each", "correlated"), [(150, 1, 0.0), (50, 3, 0.6)])
def test_intervals_cover_the_true_difference_and_the_detectable_one_has_a_power_of_80_percent(
    media: int, each: int, correlated: float
) -> None:
    draw, runs, covered, detected, gain, loss = random.Random(4), 1000, 0, 0, 0.2, 0.1
    detectable = difference(drawn(random.Random(5), 20 * media, each, gain, loss, correlated)).detectable * math.sqrt(
        20
    )
    for _ in range(runs):
        one = difference(drawn(draw, media, each, gain, loss, correlated))
        covered += one.low <= gain - loss <= one.high
        shifted = (gain + loss + detectable) / 2, (gain + loss - detectable) / 2  # with the same disagreement
        detected += difference(drawn(draw, media, each, *shifted, correlated)).significant
    assert 0.93 <= covered / runs <= 0.97
    assert 0.75 <= detected / runs <= 0.85


# ------------------------------------------------------------------------------------------------ several samples


def flipped(changes: Sequence[Fraction]) -> float:
    """Share of all sign patterns whose sum is at least as far from zero."""
    unit = math.lcm(*(change.denominator for change in changes))
    steps = [int(change * unit) for change in changes]
    sums = [abs(sum(map(operator.mul, steps, signs))) for signs in itertools.product((1, -1), repeat=len(steps))]
    return sum(one >= abs(sum(steps)) for one in sums) / len(sums)


@pytest.mark.slow
@given(st.lists(st.fractions(-1, 1, max_denominator=6), max_size=9))
def test_p_of_several_samples_is_the_share_of_all_sign_patterns(changes: list[Fraction]) -> None:
    assert sign_flip(changes) == pytest.approx(flipped(changes), abs=1e-9)
    assert sign_flip([-change for change in changes]) == pytest.approx(sign_flip(changes), abs=1e-9)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5), st.sampled_from([1, 2, 3, 4]))
def test_p_of_items_that_all_change_alike_is_mcnemars(gained: int, lost: int, same: int, samples: int) -> None:
    one = Fraction(1, samples)
    assert sign_flip([one] * gained + [-one] * lost + [Fraction(0)] * same) == mcnemar(gained, lost)


@pytest.mark.slow
def test_p_of_thousands_of_items_of_several_samples_is_near_the_normal_one() -> None:
    draw = random.Random(6)
    changes = [Fraction(draw.randint(-4, 4), 4) - Fraction(draw.randint(-3, 3), 7) for _ in range(2500)]
    spread = math.sqrt(sum(float(change) ** 2 for change in changes))
    for _ in range(3):
        flips = [change * draw.choice((1, -1)) for change in changes]
        normal = math.erfc(abs(float(sum(flips))) / spread / math.sqrt(2))
        assert sign_flip(flips) == pytest.approx(normal, abs=0.01)
    assert 0 <= sign_flip([abs(change) for change in changes]) < 1e-9


@pytest.mark.slow
def test_equal_runs_of_several_samples_give_5_percent_false_positives() -> None:
    draw, runs, n = random.Random(7), 1000, 80

    def share(chance: float, k: int) -> Fraction:
        return Fraction(sum(draw.random() < chance for _ in range(k)), k)

    for a, b in ((4, 4), (8, 1)):
        intervals = tests = 0
        for _ in range(runs):
            chances = [draw.choice((0.1, 0.6, 0.9)) for _ in range(n)]
            one = difference([Pair(SLUGS[0], str(i), share(p, a), share(p, b)) for i, p in enumerate(chances)])
            intervals, tests = intervals + one.significant, tests + (one.p < 0.05)
        # The standard error of 1,000 runs is 0.7 %; the two added items make the interval conservative.
        assert intervals / runs <= 0.064 and 0.03 <= tests / runs <= 0.07, (a, b)


def test_several_samples_are_one_item_by_their_share_and_resolve_smaller_differences() -> None:
    draw, k = random.Random(8), 8
    one, several = [], []
    for index in range(300):
        drawn_a, drawn_b = ([draw.random() < chance for _ in range(k)] for chance in (0.5, 0.6))
        one.append(Pair(SLUGS[0], str(index), drawn_a[0], drawn_b[0]))
        several.append(Pair(SLUGS[0], str(index), Fraction(sum(drawn_a), k), Fraction(sum(drawn_b), k)))
    found = difference(several)
    assert found.n == 300 and found.a == pytest.approx(sum(float(pair.a) for pair in several) / 300)
    assert found.difference == pytest.approx(found.b - found.a)
    assert found.gained == sum(pair.b > pair.a for pair in several)
    assert found.lost == sum(pair.a > pair.b for pair in several)
    assert found.stderr < 0.5 * difference(one).stderr
    assert found.detectable_unrelated < 0.5 * difference(one).detectable_unrelated


def test_nothing_to_compare_is_an_error() -> None:
    for compute in (difference, differences):
        with pytest.raises(ValueError, match="no items"):
            compute([])
