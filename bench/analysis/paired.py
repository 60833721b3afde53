"""How much slower one variant is than another, from measurements taken in pairs, with an interval that can be trusted.

A *block* measures all variants close together, each place in it taken by each variant alike, and gives one log ratio.
What holds for the length of a process (where its memory lies, how its dictionaries are seeded) moves all its blocks
together, so blocks of one process are no independent witnesses: each process counts once, by the median of its blocks.
The median over processes is the estimate.  Its interval is that of the sign test, made of order statistics: exact for
independent processes whatever the shape of the noise, and no value is ever dropped.  Intervals are simultaneous: with m
comparisons in a table each has the confidence 1 - 0.05 / m (Bonferroni), so 95 % is the confidence of the whole table.

Source of the interval: Conover, Practical Nonparametric Statistics, 3rd edition, section 3.2.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from fractions import Fraction
from statistics import median
from typing import Final

#: The probability that any interval of a table misses what it is for.
FAMILY_ERROR: Final = 0.05
#: A smaller effect is not called one, however sure it is: code alignment alone does as much.
MIN_EFFECT: Final = 0.02
UNRESOLVED: Final = "unresolved"
HOLDS: Final = "holds"
VIOLATED: Final = "violated"
#: Words for a ratio below and above 1.
TIME: Final = ("faster", "slower")
RATE: Final = ("slower", "faster")
AMOUNT: Final = ("less", "more")
#: How many tables are judged together: see `judge_together`.
_TABLES: ContextVar[int] = ContextVar("tables", default=1)


@contextmanager
def judge_together(tables: int) -> Iterator[None]:
    """Meanwhile `compare` makes intervals that hold at 95 % over so many tables (at least 1) at once.

    So a table of one run and the same tables of others are one family of comparisons.
    """
    token = _TABLES.set(tables)
    try:
        yield
    finally:
        _TABLES.reset(token)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A ratio with its simultaneous interval; ``low`` and ``high`` are NaN where too few clusters allow none."""

    ratio: float
    low: float
    high: float
    clusters: int
    verdict: str

    def as_columns(self, prefix: str = "") -> dict[str, float | str]:
        """The columns of a `Comparison` with this prefix."""
        return {
            f"{prefix}ratio": self.ratio,
            f"{prefix}ratio_low": self.low,
            f"{prefix}ratio_high": self.high,
            f"{prefix}verdict": self.verdict,
        }


def count_tail(size: int, error: float) -> int | None:
    """How many of ``size`` values may lie beyond each end of an interval for their median; None: not even none may.

    The interval misses the median at most with probability ``error``, which lies between 0 and 1.
    """
    # Whole numbers: 2^-size is 0 to a float from 1,075 values on.
    tail, allowed = 0, Fraction(error) * 2**size
    for index in range(size // 2 + 1):
        tail += math.comb(size, index)
        if 2 * tail > allowed:
            return index - 1 if index else None
    return None


def find_interval(values: Sequence[float], error: float = FAMILY_ERROR) -> tuple[float, float]:
    """Exact interval for the median that misses it with probability ``error`` at most; NaN, NaN if there is none."""
    beyond = count_tail(len(values), error)
    if beyond is None:
        return math.nan, math.nan
    ordered = sorted(values)
    return ordered[beyond], ordered[-1 - beyond]


def needed_clusters(comparisons: int, error: float = FAMILY_ERROR) -> int:
    """The fewest clusters with which a table of so many comparisons has intervals at all."""
    return math.ceil(math.log2(2 * comparisons / error))


def compare(
    clusters: Iterable[Sequence[float]],
    comparisons: int = 1,
    *,
    is_control: bool = False,
    words: tuple[str, str] = TIME,
) -> Estimate:
    """The ratio whose logarithms the blocks of each cluster hold; a cluster is a process or another whole repeat.

    ``comparisons`` is the number of rows that are judged together (at least 1), ``words`` what a ratio below and above
    1 is called.  A control is judged too: it holds unless its interval excludes 1.  Its family are the controls alone,
    so that the many comparisons of a table do not make it easy to pass.  Raises `ValueError` if no cluster has a block.
    """
    values = [median(blocks) for blocks in clusters if len(blocks)]
    if not values:
        raise ValueError("expected at least one cluster with a block")
    low, high = (math.exp(end) for end in find_interval(values, FAMILY_ERROR / comparisons / _TABLES.get()))
    ratio = math.exp(median(values))
    verdict = judge_control(low, high) if is_control else judge(ratio, low, high, words)
    return Estimate(ratio, low, high, len(values), verdict)


def judge(ratio: float, low: float, high: float, words: tuple[str, str] = TIME) -> str:
    """One of ``words`` where the interval excludes 1 and the effect is at least `MIN_EFFECT`, else 'unresolved'."""
    if abs(math.log(ratio)) < math.log1p(MIN_EFFECT):
        return UNRESOLVED
    if high < 1:
        return words[0]
    return words[1] if low > 1 else UNRESOLVED


def judge_control(low: float, high: float) -> str:
    """Whether the base measured against itself came out as 1; 'unresolved' where there is no interval."""
    if math.isnan(low):
        return UNRESOLVED
    return HOLDS if low <= 1 <= high else VIOLATED
