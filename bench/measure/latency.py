"""Latency from the intended instant: exact samples, censoring, percentiles, and the HDR text export.

A request that got no answer is *censored*: it counts with the time-out or the time that it has waited, whichever is
longer, and every percentile at or above the first censored one is a lower bound.  Where the generator itself lagged
behind its schedule by more than a tenth of what it measured, the point is void.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count as count_from
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeVar

from bench.files import write_atomic
from ehrcore.types import MILLISECOND

Stage = Literal["first", "quorum", "everyone"]
STAGES: Final[tuple[Stage, ...]] = ("first", "quorum", "everyone")
#: Percentile -> its thousandths.
PERCENTILES: Final = {"p50": 500, "p95": 950, "p99": 990, "p999": 999}
#: Greatest p99 of the generator's lateness, in per cent of the p99 latency, at which a point still counts.
LATENESS_PERCENT: Final = 10
#: Percentile ticks of the HDR export are kept in this many parts of 1, so that they read back as they were used.
_ONE: Final = 10**12
T = TypeVar("T")


@dataclass(slots=True)
class Sample:
    """One request's instants, ns of one clock: when it was to be sent, when it was, and when each stage was reached.

    None: not yet, or never.
    """

    intended: int
    sent: int | None = None
    first: int | None = None
    quorum: int | None = None
    everyone: int | None = None


class Latency(NamedTuple):
    """How long a request took, or, censored, how long it took at least (ns); censored ones sort behind equal ones."""

    ns: int
    is_censored: bool


def compute_latency(sample: Sample, stage: Stage, ended_at: int, timeout_ns: int) -> Latency:
    """A sample's latency to ``stage``, in a run that ended at ``ended_at`` (ns)."""
    reached: int | None = getattr(sample, stage)
    if reached is not None:
        return Latency(reached - sample.intended, is_censored=False)
    return Latency(max(ended_at - sample.intended, timeout_ns), is_censored=True)


def compute_latencies(samples: Iterable[Sample], stage: Stage, ended_at: int, timeout_ns: int) -> list[Latency]:
    """Every sample's latency to ``stage``, ascending; none is dropped."""
    return sorted(compute_latency(sample, stage, ended_at, timeout_ns) for sample in samples)


def compute_lateness(samples: Sequence[Sample], ended_at: int) -> list[int]:
    """By how much each request was sent late (ns), ascending; one that was never sent counts until ``ended_at``."""
    return sorted((ended_at if sample.sent is None else sample.sent) - sample.intended for sample in samples)


def nearest_rank(ascending: Sequence[T], part: int, whole: int = 1000) -> T:
    """The smallest of the values that at least ``part / whole`` of them do not exceed; there is at least one value."""
    return ascending[max(-(-len(ascending) * part // whole), 1) - 1]


def is_supported(count: int, thousandths: int) -> bool:
    """Whether ``count`` samples can tell a percentile from their maximum: 1/(1 - p) at least, so 100 for p99."""
    return count * (1000 - thousandths) >= 1000


@dataclass(frozen=True, slots=True)
class Summary:
    """Latency to one stage.  ``values_ns`` holds p50 p95 p99 p999 mean max; None where there are too few samples.

    ``bounds`` names those that are lower bounds because of censored samples; ``void`` says why nothing here counts
    ('' if it does).
    """

    count: int
    censored: int
    values_ns: Mapping[str, float | None]
    bounds: tuple[str, ...]
    lateness_p99_ns: int | None
    void: str

    def to_columns(self, prefix: str) -> dict[str, Any]:
        """Columns of a raw row, values in milliseconds."""
        values = {
            f"{prefix}_{name}_ms": None if value is None else value / MILLISECOND
            for name, value in self.values_ns.items()
        }
        return {**values, f"{prefix}_bounds": ", ".join(self.bounds), f"{prefix}_censored": self.censored}


def summarise(samples: Sequence[Sample], stage: Stage, ended_at: int, timeout_ns: int) -> Summary:
    """Percentiles (nearest rank) of the latency to ``stage``, with what is censored and whether the point is void.

    Whether it is void is judged on the ranks of p99, which in fewer than 100 samples are the maxima.
    """
    latencies = compute_latencies(samples, stage, ended_at, timeout_ns)
    count, censored = len(latencies), count_censored(latencies)
    if not count:
        return Summary(0, 0, dict.fromkeys((*PERCENTILES, "mean", "max")), (), None, "no request was made")
    # The censored sample of the lowest rank: its true value could lie anywhere above, and so could all from there on.
    exact = next((rank for rank, latency in enumerate(latencies) if latency.is_censored), count)
    supported = {name: part for name, part in PERCENTILES.items() if is_supported(count, part)}
    values: dict[str, float | None] = dict.fromkeys(PERCENTILES)
    values |= {name: nearest_rank(latencies, part).ns for name, part in supported.items()}
    values |= {"mean": sum(latency.ns for latency in latencies) / count, "max": latencies[-1].ns}
    bounds = [name for name, part in supported.items() if -(-count * part // 1000) > exact]
    bounds += ["mean", "max"] if censored else []
    p99 = PERCENTILES["p99"]
    lateness = nearest_rank(compute_lateness(samples, ended_at), p99)
    void = _judge(lateness, nearest_rank(latencies, p99).ns)
    return Summary(count, censored, values, tuple(bounds), lateness, void)


def build_columns(samples: Sequence[Sample], ended_at: int, timeout_ns: int) -> dict[str, Any]:
    """Columns of a raw row: latency to every stage, what became of the requests, and whether the point counts.

    ``latency_status`` is 'ok' or 'void'; if void at any stage, ``latency_reason`` says why and no stage has a value.
    """
    found = {stage: summarise(samples, stage, ended_at, timeout_ns) for stage in STAGES}
    void = next((summary.void for summary in found.values() if summary.void), "")
    lateness = found["quorum"].lateness_p99_ns
    row: dict[str, Any] = {
        "latency_status": "void" if void else "ok",
        "latency_reason": void,
        "latency_samples": len(samples),
        "lateness_p99_ms": None if lateness is None else lateness / MILLISECOND,
    }
    for stage, summary in found.items():
        kept = replace(summary, values_ns=dict.fromkeys(summary.values_ns), bounds=()) if void else summary
        row |= kept.to_columns(f"latency_{stage}")
    return row


def count_censored(latencies: Iterable[Latency]) -> int:
    """How many got no answer."""
    return sum(latency.is_censored for latency in latencies)


def _judge(lateness_ns: int, latency_ns: int) -> str:
    """Why a point is void ('' if it is not), from the p99 of both."""
    if lateness_ns * 100 <= latency_ns * LATENESS_PERCENT:
        return ""
    return (
        f"p99 lateness of the generator: expected at most {LATENESS_PERCENT} % of the p99 latency "
        f"({latency_ns / MILLISECOND:.3g} ms), found {lateness_ns / MILLISECOND:.3g} ms"
    )


def compute_curve(latencies: Sequence[Latency]) -> list[tuple[float, int, int]]:
    """The percentile curve: (share of requests, latency in ns, how many took at most that long), the last share 1.

    Five ticks for each halving of the distance to 1, as HdrHistogram's percentile iterator has them, up to the
    maximum; every point is an exact nearest rank of the ascending, not empty ``latencies``.
    """
    values = [latency.ns for latency in latencies]
    found = []
    for part in (*_ticks(len(values)), _ONE):
        value = nearest_rank(values, part, _ONE)
        found.append((part / _ONE, value, bisect_right(values, value)))
    return found


def _ticks(count: int) -> Iterator[int]:
    """Shares of which ``count`` samples can tell the rest from nothing, ascending from 0, in parts of `_ONE`."""
    for halvings in count_from():
        for step in range(5):
            rest = _ONE * (10 - step) // (10 << halvings)
            if rest * count < _ONE:
                return
            yield _ONE - rest


def write_hgrm(path: Path, latencies: Sequence[Latency]) -> None:
    """Write ascending ``latencies`` in HdrHistogram's percentile text format, in milliseconds to the nanosecond.

    Every value is an exact sample, so there are no buckets to describe; a footer line of our own counts the censored
    ones.  `ValueError` if there are none at all; `BenchError` if ``path`` cannot be written.
    """
    if not latencies:
        raise ValueError(f"{path}: expected at least one latency, found none")
    lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}", ""]
    for share, value, total in compute_curve(latencies):
        inverse = f"{1 / (1 - share):14.2f}" if share < 1 else f"{'inf':>14}"
        lines.append(f"{value / MILLISECOND:12.6f} {share:14.12f} {total:10d} {inverse}")
    values = [latency.ns / MILLISECOND for latency in latencies]
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
    lines += [
        f"#[Mean    = {mean:12.6f}, StdDeviation   = {deviation:12.6f}]",
        f"#[Max     = {values[-1]:12.6f}, Total count    = {len(values):12d}]",
        f"#[Censored = {count_censored(latencies):11d}, Unit           = {'ms':>12}]",
    ]
    write_atomic(path, "\n".join(lines) + "\n")
