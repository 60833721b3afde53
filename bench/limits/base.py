"""What a speed limit is: a metric, a peer measured in the same run, and what is demanded.

The two sides of a comparison take turns, block by block, and change who goes first: what disturbs the machine for
longer than a block then disturbs both.  The ratio is the median over blocks of ours by the peer's.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat, starmap
from operator import truediv
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal

#: Blocks of a comparison whose other side takes `openssl speed` a second or more.
BLOCKS: Final = 3
MICROSECOND, MILLISECOND = 1e3, 1e6
#: What a row has numbers for, if its metric could be measured.
NUMBERS: Final = ("measured", "measured_min", "measured_max", "peer_value", "ratio", "ratio_min", "ratio_max")


class Unavailable(Exception):  # noqa: N818 - it reports a fact about the machine, not an error
    """What a comparison needs is not on this machine; the text says what."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A bound on the ratio, or on the measured value itself where only an absolute figure makes sense.

    "within" bounds how far a control's ratio may lie from 1.
    """

    direction: Literal["at most", "at least", "within"]
    bound: float
    of: Literal["ratio", "value"] = "ratio"

    def is_met(self, found: float) -> bool:
        """Whether ``found``, the ratio or the value, is within the bound."""
        if self.direction == "within":
            return abs(found - 1) <= self.bound
        return found <= self.bound if self.direction == "at most" else found >= self.bound

    def describe(self, unit: str) -> str:
        """The bound as a table prints it."""
        if self.direction == "within":
            return f"1 ± {self.bound:g}"
        sign = "≤" if self.direction == "at most" else "≥"
        return f"{sign} {self.bound:,.9g} {unit}" if self.of == "value" else f"{sign} {self.bound:g} × peer"


@dataclass(frozen=True, slots=True)
class Metric:
    """What is measured, in which unit, and beside what; ``peer`` is '' where there is nothing to compare with."""

    name: str
    unit: str
    peer: str
    demand: Demand


@dataclass(frozen=True, slots=True)
class Finding:
    """Blocks of one metric: ours and, pairwise, the peer's (none if the metric has no peer)."""

    ours: Sequence[float]
    peers: Sequence[float] = ()
    note: str = ""

    @classmethod
    def in_unit(cls, unit_ns: float, ours: Iterable[float], peers: Iterable[float], note: str = "") -> "Finding":
        """Both sides' nanoseconds in a unit of ``unit_ns``."""
        return cls([value / unit_ns for value in ours], [value / unit_ns for value in peers], note)

    def ratios(self) -> list[float]:
        """Ours by the peer's, block by block."""
        return list(starmap(truediv, zip(self.ours, self.peers, strict=True))) if self.peers else []


@dataclass(frozen=True, slots=True)
class Part:
    """Metrics that are measured together: ``measure(folder)`` returns a finding for each, in order.

    ``folder`` is on the disk that results are kept on.  Where the machine lacks a side, `Unavailable` is raised, or
    stands in the place of a finding that needs it.
    """

    metrics: tuple[Metric, ...]
    measure: Callable[[Path], Sequence[Finding | Unavailable]]


def build_row(part: str, metric: Metric, finding: Finding) -> dict[str, Any]:
    """The raw row of a metric that was measured."""
    ratios, measured = finding.ratios(), median(finding.ours)
    ratio = median(ratios) if ratios else None
    found = measured if metric.demand.of == "value" or ratio is None else ratio
    return {
        **_heading(part, metric),
        "measured": measured,
        "measured_min": min(finding.ours),
        "measured_max": max(finding.ours),
        "peer_value": median(finding.peers) if finding.peers else None,
        "ratio": ratio,
        "ratio_min": min(ratios, default=None),
        "ratio_max": max(ratios, default=None),
        "blocks": len(finding.ours),
        "met": "true" if metric.demand.is_met(found) else "false",
        "note": finding.note,
    }


def build_unavailable(part: str, metric: Metric, reason: str) -> dict[str, Any]:
    """The raw row of a metric that this machine cannot measure."""
    missing = dict.fromkeys(NUMBERS)
    return {**_heading(part, metric), **missing, "blocks": 0, "met": "unavailable", "note": reason}


def _heading(part: str, metric: Metric) -> dict[str, Any]:
    demanded = metric.demand.describe(metric.unit)
    return {"limit": part, "metric": metric.name, "unit": metric.unit, "peer": metric.peer, "demanded": demanded}


def take_turns(blocks: int, *sides: Callable[[], float]) -> list[list[float]]:
    """``blocks`` values of each side, taken in turns whose order reverses from block to block."""
    values: list[list[float]] = [[] for _ in sides]
    for block in range(blocks):
        order = range(len(sides)) if block % 2 == 0 else reversed(range(len(sides)))
        for index in order:
            values[index].append(sides[index]())
    return values


def cpu_ns(seconds: float, action: Callable[..., object], *arguments: object) -> float:
    """Processor time of one call, in nanoseconds: the mean of as many calls as fit into ``seconds``.

    Processor time, as `openssl speed` counts it too, leaves out what other processes take.
    """
    action(*arguments)
    batch = 1
    while (spent := _spend(batch, action, *arguments)) < seconds * 1e9 / 10:
        batch *= 2
    calls = max(round(batch * seconds * 1e9 / spent), 1)
    return _spend(calls, action, *arguments) / calls


def _spend(calls: int, action: Callable[..., object], *arguments: object) -> int:
    start = time.process_time_ns()
    for _ in repeat(None, calls):
        action(*arguments)
    return time.process_time_ns() - start


def wall_ns(action: Callable[[], object]) -> int:
    """Time that one call takes by the clock, in nanoseconds."""
    start = time.perf_counter_ns()
    action()
    return time.perf_counter_ns() - start


def invert(values: Iterable[float]) -> list[float]:
    """Nanoseconds per item as items per second."""
    return [1e9 / value for value in values]
