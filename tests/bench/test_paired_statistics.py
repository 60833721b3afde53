"""Sign-test intervals and verdicts: exact against the definition, and unmoved by what must not matter."""

import math
import random
from collections.abc import Callable
from statistics import fmean, median, stdev
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binom

from bench.analysis import paired
from bench.analysis.paired import (
    AMOUNT,
    FAMILY_ERROR,
    HOLDS,
    MIN_EFFECT,
    RATE,
    TIME,
    UNRESOLVED,
    VIOLATED,
    compare,
    count_tail,
    find_interval,
    judge,
    judge_control,
    needed_clusters,
)

ERRORS = st.floats(1e-9, 0.5)
LOGS = st.floats(-3, 3, allow_subnormal=False)
CLUSTERS = st.lists(st.lists(LOGS, min_size=1, max_size=5), min_size=1, max_size=12)


def same(left: Any, right: Any, tolerance: float = 1e-9) -> None:
    """Two estimates are the same but for rounding; NaN is like NaN."""
    pairs = zip((left.ratio, left.low, left.high), (right.ratio, right.low, right.high), strict=True)
    assert all(a == pytest.approx(b, rel=tolerance, nan_ok=True) for a, b in pairs)
    assert left.clusters == right.clusters


# -- how many values may lie beyond the interval -------------------------------------------------------------------


@given(st.integers(0, 80), ERRORS)
def test_the_tail_is_the_longest_that_the_error_allows(size: int, error: float) -> None:
    """The definition: the interval from the (k+1)th to the (n-k)th value misses with probability 2 P(B <= k)."""
    allowed = [k for k in range(size // 2 + 1) if 2 * binom.cdf(k, size, 0.5) <= error]
    # scipy rounds: errors at a probability itself are left to the tests of exact ones below.
    assume(all(abs(2 * binom.cdf(k, size, 0.5) - error) > 1e-12 * error for k in range(size // 2 + 1)))
    assert count_tail(size, error) == (max(allowed) if allowed else None)


@pytest.mark.parametrize("size", range(1, 13))
def test_the_probability_to_miss_is_that_of_all_patterns_of_signs(size: int) -> None:
    """Every pattern of values above and below the median is as likely: those whose interval misses it are counted."""
    for error in (0.4, 0.1, 0.05, 0.01, 0.001):
        beyond = count_tail(size, error)
        if beyond is None:
            assert 2 * 0.5**size > error
            continue
        shares = []
        for k in (beyond, beyond + 1):
            below = [pattern.bit_count() for pattern in range(2**size)]
            shares.append(sum(count <= k or count >= size - k for count in below) / 2**size)
        assert shares[0] <= error < shares[1]


@pytest.mark.parametrize(("size", "tail"), [(5, None), (6, 0), (8, 0), (9, 1), (12, 2), (15, 3), (25, 7), (50, 17)])
def test_the_tails_of_published_tables_at_95_percent(size: int, tail: int | None) -> None:
    """As in tables of confidence intervals for a median, e.g. Conover, section 3.2: n = 15 takes the 4th and 12th."""
    assert count_tail(size, 0.05) == tail


def test_an_error_equal_to_a_probability_is_allowed() -> None:
    assert count_tail(6, 2 * 0.5**6) == 0
    assert count_tail(6, math.nextafter(2 * 0.5**6, 0)) is None


@pytest.mark.parametrize("size", [1_000, 1_100, 3_000])
def test_many_clusters_neither_overflow_nor_vanish(size: int) -> None:
    tail = count_tail(size, 0.05)
    assert tail is not None
    assert 2 * binom.cdf(tail, size, 0.5) <= 0.05 < 2 * binom.cdf(tail + 1, size, 0.5)


@given(st.integers(0, 60), ERRORS, ERRORS)
def test_less_error_never_makes_an_interval_narrower(size: int, one: float, other: float) -> None:
    strict, lax = (count_tail(size, error) for error in sorted((one, other)))
    assert strict is None or (lax is not None and strict <= lax)


@given(st.integers(1, 100_000), st.sampled_from([0.05, 0.01, 0.1, 0.0625, 0.2]))
def test_the_clusters_needed_are_the_fewest_that_give_an_interval(comparisons: int, error: float) -> None:
    needed = needed_clusters(comparisons, error)
    assert count_tail(needed, error / comparisons) is not None
    assert count_tail(needed - 1, error / comparisons) is None


# -- the interval --------------------------------------------------------------------------------------------------


@given(st.lists(LOGS, max_size=40), ERRORS)
def test_the_interval_is_made_of_the_values_next_to_the_tails(values: list[float], error: float) -> None:
    low, high = find_interval(values, error)
    beyond = count_tail(len(values), error)
    if beyond is None:
        assert math.isnan(low)
        assert math.isnan(high)
        return
    assert low in values
    assert high in values
    assert sum(value < low for value in values) <= beyond <= sum(value <= low for value in values) - 1
    assert sum(value > high for value in values) <= beyond <= sum(value >= high for value in values) - 1
    assert low <= median(values) <= high


def test_ties_and_equal_values_make_an_interval_of_no_width() -> None:
    assert find_interval([2.0] * 6) == (2.0, 2.0)
    assert find_interval([1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0]) == (2.0, 2.0)


SAMPLES = 20_000


def covers_exactly(find: Callable[[list[float]], tuple[float, float]], size: int) -> bool:
    """Whether intervals from samples of a skewed distribution with median 0 cover it as often as theory says.

    As often means: within four standard errors.
    """
    chance, covered = random.Random(f"coverage {size}"), 0
    for _ in range(SAMPLES):
        low, high = find([chance.expovariate(1) - math.log(2) for _ in range(size)])
        covered += low <= 0 <= high
    tail = count_tail(size, FAMILY_ERROR)
    assert tail is not None
    exact = 1 - 2 * binom.cdf(tail, size, 0.5)
    assert exact >= 0.95
    return abs(covered / SAMPLES - exact) < 4 * math.sqrt(exact * (1 - exact) / SAMPLES)


@pytest.mark.parametrize("size", [6, 9, 14])
def test_the_interval_covers_as_often_as_it_says(size: int) -> None:
    assert covers_exactly(find_interval, size)


def one_value_too_narrow(values: list[float]) -> tuple[float, float]:
    low, high = find_interval(values)
    ordered = sorted(values)
    return ordered[ordered.index(low) + 1], ordered[ordered.index(high) - 1]


def outliers_dropped(values: list[float]) -> tuple[float, float]:
    return find_interval(sorted(values)[1:-1])


def mean_and_deviation(values: list[float]) -> tuple[float, float]:
    middle, half = fmean(values), 2.16 * stdev(values) / math.sqrt(len(values))
    return middle - half, middle + half


@pytest.mark.parametrize("mutant", [one_value_too_narrow, outliers_dropped, mean_and_deviation])
def test_a_wrong_interval_does_not(mutant: Callable[[list[float]], tuple[float, float]]) -> None:
    assert not covers_exactly(mutant, 14)


# -- comparisons ---------------------------------------------------------------------------------------------------


@given(CLUSTERS, st.integers(1, 300))
def test_a_comparison_is_the_interval_over_the_medians_of_the_clusters(
    clusters: list[list[float]], comparisons: int
) -> None:
    found = compare(clusters, comparisons)
    middles = [median(cluster) for cluster in clusters]
    low, high = find_interval(middles, FAMILY_ERROR / comparisons)
    assert found.ratio == pytest.approx(math.exp(median(middles)))
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)), nan_ok=True)
    assert found.clusters == len(clusters)


@given(CLUSTERS, st.randoms(use_true_random=False))
def test_the_order_of_clusters_and_of_blocks_does_not_matter(
    clusters: list[list[float]], chance: random.Random
) -> None:
    mixed = [chance.sample(cluster, len(cluster)) for cluster in chance.sample(clusters, len(clusters))]
    assert str(compare(mixed)) == str(compare(clusters))


@given(CLUSTERS, st.floats(-2, 2))
def test_a_factor_on_the_variant_is_a_factor_on_ratio_and_interval(clusters: list[list[float]], shift: float) -> None:
    before = compare(clusters)
    after = compare([[value + shift for value in cluster] for cluster in clusters])
    factor = math.exp(shift)
    scaled = paired.Estimate(before.ratio * factor, before.low * factor, before.high * factor, before.clusters, "")
    same(after, scaled)


@given(CLUSTERS)
def test_swapping_base_and_variant_inverts_the_ratio(clusters: list[list[float]]) -> None:
    there, back = compare(clusters), compare([[-value for value in cluster] for cluster in clusters])
    same(back, paired.Estimate(1 / there.ratio, 1 / there.high, 1 / there.low, there.clusters, ""))
    assume(abs(abs(math.log(there.ratio)) - math.log1p(MIN_EFFECT)) > 1e-9)
    assume(min(abs(there.low - 1), abs(there.high - 1)) > 1e-9 or math.isnan(there.low))
    opposite = {"faster": "slower", "slower": "faster", UNRESOLVED: UNRESOLVED}
    assert back.verdict == opposite[there.verdict]


@given(CLUSTERS, st.integers(1, 50), st.integers(0, 50))
def test_more_comparisons_never_narrow_an_interval(clusters: list[list[float]], few: int, more: int) -> None:
    narrow, wide = compare(clusters, few), compare(clusters, few + more)
    assert narrow.ratio == wide.ratio
    assert math.isnan(wide.low) or (wide.low <= narrow.low and narrow.high <= wide.high)


def test_a_process_counts_once_however_many_blocks_it_has() -> None:
    clusters = [[0.0], [0.1], [0.2], [0.3], [0.4], [0.5]]
    crowded = [*clusters[:-1], clusters[-1] * 1_000]
    assert compare(crowded) == compare(clusters)


def test_an_outlier_is_neither_dropped_nor_believed() -> None:
    """Far out or farther makes no difference; taking it away does."""
    usual = [[0.01 * number] for number in range(13)]
    far, farther = compare([*usual, [5.0]]), compare([*usual, [500.0]])
    assert far == farther
    assert far.clusters == 14
    assert far.ratio != compare(usual).ratio


def test_clusters_without_blocks_do_not_count_and_none_at_all_is_an_error() -> None:
    assert compare([[0.5], [], [0.5]]).clusters == 2
    for nothing in ([], [[]], [[], []]):
        with pytest.raises(ValueError, match="expected at least one cluster with a block"):
            compare(nothing)


@pytest.mark.parametrize("is_control", [False, True])
@pytest.mark.parametrize("size", range(1, 6))
def test_too_few_clusters_resolve_nothing(size: int, is_control: bool) -> None:
    found = compare([[2.0, 2.1]] * size, is_control=is_control)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.verdict == UNRESOLVED


def test_what_six_processes_resolve_alone_they_do_not_in_a_large_table() -> None:
    clusters = [[math.log(1.5)]] * 6
    assert compare(clusters, 1).verdict == "slower"
    assert compare(clusters, 2).verdict == UNRESOLVED
    assert compare(clusters * 2, 100).verdict == "slower"


# -- verdicts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "low", "high", "verdict"),
    [
        (1.03, 1.001, 1.05, "slower"),
        (1.03, 1.0, 1.05, UNRESOLVED),
        (1.03, 0.99, 1.05, UNRESOLVED),
        (0.97, 0.95, 0.999, "faster"),
        (0.97, 0.95, 1.0, UNRESOLVED),
        (1.0201, 1.01, 1.03, "slower"),
        (1.0199, 1.01, 1.03, UNRESOLVED),
        (1 / 1.0201, 0.97, 0.99, "faster"),
        (1 / 1.0199, 0.97, 0.99, UNRESOLVED),
        (1.005, 1.0049, 1.0051, UNRESOLVED),
        (5.0, math.nan, math.nan, UNRESOLVED),
        (0.2, math.nan, math.nan, UNRESOLVED),
    ],
)
def test_a_verdict_takes_an_interval_without_1_and_an_effect_of_2_percent(
    ratio: float, low: float, high: float, verdict: str
) -> None:
    assert judge(ratio, low, high) == verdict


WORDS = [(TIME, "faster", "slower"), (RATE, "slower", "faster"), (AMOUNT, "less", "more")]


@pytest.mark.parametrize(("words", "below", "above"), WORDS)
def test_the_words_follow_what_is_compared(words: tuple[str, str], below: str, above: str) -> None:
    assert judge(0.5, 0.4, 0.6, words) == below
    assert judge(2.0, 1.5, 2.5, words) == above
    assert compare([[0.7]] * 6, words=words).verdict == above


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.99, 1.01, HOLDS),
        (1.0, 1.01, HOLDS),
        (0.99, 1.0, HOLDS),
        (1.0001, 1.01, VIOLATED),
        (0.99, 0.9999, VIOLATED),
        (math.nan, math.nan, UNRESOLVED),
    ],
)
def test_a_control_holds_unless_its_interval_excludes_1_however_small_the_effect(
    low: float, high: float, verdict: str
) -> None:
    assert judge_control(low, high) == verdict


def test_columns_bear_the_prefix_of_their_comparison() -> None:
    found = compare([[0.0]] * 6).as_columns("cpu_")
    assert found == {"cpu_ratio": 1.0, "cpu_ratio_low": 1.0, "cpu_ratio_high": 1.0, "cpu_verdict": UNRESOLVED}
