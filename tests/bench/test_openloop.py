"""Schedules of an open loop: arrivals at a constant rate, and those of a Poisson process."""

import statistics
from itertools import islice, pairwise, takewhile

import pytest

from bench.measure.openloop import constant, poisson
from ehrcore.types import SECOND


def test_arrivals_are_those_of_a_poisson_process_and_the_same_for_a_seed() -> None:
    first, again, other = (list(islice(poisson(seed, 100), 4_000)) for seed in ("a", "a", "b"))
    assert first == again != other
    gaps = [b - a for a, b in pairwise([0, *first])]
    assert min(gaps) > 0
    assert statistics.fmean(gaps) == pytest.approx(SECOND / 100, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(SECOND / 100, rel=0.08)


def test_arrivals_never_stand_still_however_fast_they_come() -> None:
    instants = list(takewhile(lambda at: at < 1_000, poisson("a", 1e9)))
    assert len(instants) == len(set(instants))


def test_a_constant_rate_does_not_drift() -> None:
    assert list(islice(constant(3), 4)) == [333_333_333, 666_666_667, SECOND, 1_333_333_333]
    assert next(islice(constant(7), 7 * 10**4 - 1, None)) == 10_000 * SECOND
