"""Where a network stops keeping up: crossings of a ladder of loads, and what several ladders say together."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median
from typing import Final

from bench.analysis.paired import find_interval

#: A network keeps up while it commits all but so small a share of what is offered.
SHORTFALL: Final = 0.05


def find_crossing(points: Iterable[tuple[float, float]], level: float) -> float:
    """The least x at which y, straight between its points, exceeds ``level`` (or is about to: the infimum).

    Minus infinity if it does at the least x already, infinity if it never does, NaN without points.  Where several
    points have the same x, their order is that of y.
    """
    ascending = sorted(points)
    if not ascending or ascending[0][1] > level:
        return -math.inf if ascending else math.nan
    for (low, before), (high, after) in pairwise(ascending):
        if after > level:
            return low + (high - low) * (level - before) / (after - before)
    return math.inf


def find_knee(rungs: Iterable[tuple[float, float | None]]) -> float:
    """The offered load (per second) from which on less is committed than offered; see `find_crossing`.

    ``rungs`` are pairs of what was offered and what was committed, None for nothing.
    """
    return find_crossing(((offered, 1 - (committed or 0.0) / offered) for offered, committed in rungs), SHORTFALL)


def middle_of(values: Sequence[float]) -> tuple[float, float, float]:
    """The median of repeats and its sign-test interval of 95 %; NaNs are no repeats, infinities are.

    NaN where nothing can be said: no value, or too few for an interval.
    """
    kept = [value for value in values if not math.isnan(value)]
    return (median(kept), *find_interval(kept)) if kept else (math.nan, math.nan, math.nan)


def middle_of_networks(values: Sequence[float], parts: Iterable[Sequence[float | None]]) -> tuple[float, float, float]:
    """As `middle_of`; where networks are too few for an interval, with that of consecutive ``parts`` of their runs.

    Parts of one run are less independent than networks, and do not show how those differ: whoever uses it says so.
    """
    centre, low, high = middle_of(values)
    if math.isnan(low):
        _, low, high = middle_of([part for run in parts for part in run if part is not None])
    return centre, low, high
