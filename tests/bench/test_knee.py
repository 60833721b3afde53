"""Crossings against their naive definition, and what several ladders say together."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.knee import SHORTFALL, find_crossing, find_knee, middle_of, middle_of_networks

LEVEL = 10.0
VALUES = st.integers(0, 20).map(float)
POINTS = st.dictionaries(st.integers(1, 12).map(float), VALUES, max_size=8).map(lambda held: list(held.items()))


def naive(points: list[tuple[float, float]], step: float = 0.02) -> float:
    """Walk along the polygon in small steps until it is above the level."""
    ascending = sorted(points)
    if not ascending:
        return math.nan
    x = ascending[0][0]
    while x <= ascending[-1][0]:
        below = max(item for item in ascending if item[0] <= x + 1e-12)
        above = next((item for item in ascending if item[0] > below[0]), below)
        share = max(0.0, x - below[0]) / (above[0] - below[0]) if above != below else 0.0
        if below[1] + share * (above[1] - below[1]) > LEVEL:
            return x if x > ascending[0][0] else -math.inf
        x += step
    return math.inf if ascending[-1][1] <= LEVEL else ascending[-1][0]


@given(POINTS)
def test_the_crossing_is_where_the_polygon_is_first_above_the_level(points: list[tuple[float, float]]) -> None:
    found, expected = find_crossing(points, LEVEL), naive(points)
    assert found == pytest.approx(expected, abs=0.03, nan_ok=True)


@given(POINTS, st.randoms())
def test_the_order_of_the_points_does_not_matter(points: list[tuple[float, float]], chance) -> None:
    shuffled = points[:]
    chance.shuffle(shuffled)
    assert repr(find_crossing(shuffled, LEVEL)) == repr(find_crossing(points, LEVEL))


@given(st.floats(50, 5_000), st.lists(st.floats(0.1, 3), min_size=2, max_size=9, unique=True))
def test_a_network_that_commits_all_up_to_its_capacity_has_its_knee_just_above(
    capacity: float, shares: list[float]
) -> None:
    ladder = [(share * capacity, min(share * capacity, capacity)) for share in shares]
    knee = find_knee(ladder)
    below = [offered for offered, committed in ladder if offered <= capacity]
    above = [offered for offered, committed in ladder if 1 - committed / offered > SHORTFALL]
    if not above:
        assert knee == math.inf
    elif not [offered for offered, _ in ladder if offered < min(above)]:
        assert knee == -math.inf
    else:
        assert max(below, default=0) * (1 - 1e-9) <= knee <= min(above) * (1 + 1e-9)


def test_on_a_fine_ladder_the_knee_is_where_a_twentieth_is_lost() -> None:
    ladder = [(float(offered), min(float(offered), 400.0)) for offered in range(10, 1_000, 1)]
    assert find_knee(ladder) == pytest.approx(400 / (1 - SHORTFALL), rel=1e-3)


def test_nothing_committed_is_all_lost() -> None:
    assert find_knee([(10.0, 10.0), (20.0, None)]) == pytest.approx(10 + 10 * SHORTFALL)
    assert find_knee([(10.0, None)]) == -math.inf
    assert math.isnan(find_knee([]))


def test_repeats_have_an_interval_from_six_on() -> None:
    assert middle_of([3.0, 1.0, 2.0, 5.0, 4.0, 6.0]) == (3.5, 1.0, 6.0)
    centre, low, high = middle_of([3.0, 1.0, 2.0, 5.0, 4.0])
    assert centre == 3.0
    assert math.isnan(low)
    assert math.isnan(high)


def test_parts_serve_where_there_are_too_few_networks() -> None:
    assert middle_of_networks([5.0], [[4.0, 6.0, None], [3.0, 5.0, 7.0, 8.0]]) == (5.0, 3.0, 8.0)
    many = [float(value) for value in range(6)]
    assert middle_of_networks(many, [[100.0] * 9]) == (2.5, 0.0, 5.0)
    assert math.isnan(middle_of_networks([5.0], [[4.0]])[1])


def test_a_knee_beyond_the_ladder_counts_and_a_missing_one_does_not() -> None:
    assert middle_of([math.inf, math.nan, 1.0, math.inf])[0] == math.inf
    assert middle_of([math.inf] * 5 + [2.0]) == (math.inf, 2.0, math.inf)
    assert all(map(math.isnan, middle_of([math.nan])))
    assert all(map(math.isnan, middle_of([])))
