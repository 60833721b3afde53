"""What a fault did to a steady load: throughput over time, how deep and how long the dip was, and whether it healed.

Requests come on a schedule whatever happens, so all is told from their instants alone: what waits for a commit is what
was intended and is not committed.  The same arithmetic serves the simulator and real networks.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from bench.measure.latency import Sample, summarise
from ehrcore.types import SECOND

#: What waits may grow to so many times the most that waited before the fault, and is still what it was.
TOLERANCE: Final = 2
#: A stall that goes on for so long (ns) after the heal is no longer the fault's alone.
PATIENCE: Final = 3 * SECOND
#: Verdicts on liveness.
LIVE, STALLED, LATE = "live", "stalls until healed", "stalls past the heal"
HALTED, BEHIND = "stalls for good", "falls behind"


@dataclass(frozen=True, slots=True)
class Course:
    """When things happened (ns, all of one clock): load from ``begin`` to ``end``, counted from ``steady`` on.

    The fault is there from ``fault`` to ``heal`` (None: for good), and nobody looked any more after ``watched``.
    ``grace`` is how long what was under way at the fault may go on coming, and how long a stall is not one yet.
    """

    begin: int
    steady: int
    fault: int
    heal: int | None
    end: int
    watched: int
    grace: int

    @property
    def is_present_throughout(self) -> bool:
        """Whether there was no time before the fault."""
        return self.fault <= self.steady

    @property
    def start(self) -> int:
        """From when on the fault counts."""
        return max(self.fault, self.steady)


def count_commits(samples: Sequence[Sample], course: Course, width: int) -> list[tuple[int, float]]:
    """Throughput over time: each interval's begin (ns from the begin of the load) and its commits per second."""
    edges = range(course.begin, course.watched + 1, width)
    return [(since - course.begin, _rate(samples, since, until)) for since, until in pairwise(edges)]


def find_longest_stall(samples: Sequence[Sample], course: Course) -> int:
    """The longest time (ns) from the fault on in which nothing was committed although something waited."""
    commits, start = _list_commits(samples), course.start
    waits = len(commits) < len(samples)
    instants = [start, *(at for at in commits if at > start), *([course.watched] if waits else [])]
    return max((after - before for before, after in pairwise(instants)), default=0)


def find_recovery(samples: Sequence[Sample], course: Course) -> int | None:
    """How long after the heal (or the fault, if it stays) what waits was back at what it was before, for good (ns).

    0 if it never was more; None if it never came back while there was load.
    """
    intended = sorted(sample.intended for sample in samples)
    commits = _list_commits(samples)

    def waiting(at: int) -> int:
        return bisect_right(intended, at) - bisect_right(commits, at)

    before = [waiting(at) for at in intended if course.steady <= at < course.fault]
    usual = TOLERANCE * max(before, default=0)
    since = course.fault if course.heal is None else course.heal
    late = [at for at in intended if at >= course.fault and waiting(at) > usual]
    if not late:
        return 0
    back = next((at for at in commits if at > late[-1] and waiting(at) <= usual), None)
    return None if back is None or back > course.end else max(back - since, 0)


def judge_liveness(samples: Sequence[Sample], course: Course) -> str:
    """Whether commits went on while the fault was there, and if not, whether they did soon after it was gone."""
    until = course.watched if course.heal is None else course.heal
    commits = _list_commits(samples)
    goes_on = any(course.fault + course.grace < at <= until for at in commits)
    after = [at for at in commits if at > until]
    if course.heal is not None and len(commits) - len(after) < len(samples):
        if not after:
            return HALTED
        if after[0] > course.heal + PATIENCE:
            return LATE
    if not goes_on:
        return HALTED if course.heal is None else STALLED
    return LIVE if len(commits) == len(samples) else BEHIND


def describe_recovery(samples: Sequence[Sample], course: Course, timeout_ns: int) -> dict[str, Any]:
    """Columns of a raw row: rates before, during and after, the dip, the stall, the recovery, and disturbed latency.

    Latency (to a quorum of the contributors) is that of requests that were intended from the fault on.  Rates are
    commits per second: before and while the fault is there, in the last quarter of the load, and in the lowest second
    from the fault to the end of the load.
    """
    recovery = None if course.is_present_throughout else find_recovery(samples, course)
    start = course.start
    disturbed = [sample for sample in samples if sample.intended >= start]
    found = summarise(disturbed, "quorum", course.watched, timeout_ns)
    before = None if course.is_present_throughout else _rate(samples, course.steady, course.fault)
    seconds = range(start, course.end - SECOND + 1, SECOND // 4)
    return {
        "before_per_s": before,
        "during_per_s": _rate(samples, start, course.end if course.heal is None else course.heal),
        "dip_per_s": min((_rate(samples, at, at + SECOND) for at in seconds), default=None),
        "late_per_s": _rate(samples, course.end - (course.end - course.begin) // 4, course.end),
        "stall_s": find_longest_stall(samples, course) / SECOND,
        "recovery_s": None if recovery is None else recovery / SECOND,
        "liveness": judge_liveness(samples, course),
        "requests": len(samples),
        "uncommitted": sum(sample.quorum is None for sample in samples),
        "latency_void": found.void,
        **found.to_columns("latency"),
    }


def _list_commits(samples: Sequence[Sample]) -> list[int]:
    """When requests were committed, ascending."""
    return sorted(sample.quorum for sample in samples if sample.quorum is not None)


def _rate(samples: Sequence[Sample], since: int, until: int) -> float:
    """Commits per second in ``[since, until)``."""
    count = sum(sample.quorum is not None and since <= sample.quorum < until for sample in samples)
    return count * SECOND / (until - since)
