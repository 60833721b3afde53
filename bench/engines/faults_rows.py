"""What both engines of experiment `faults` have in common: how a run is measured, and the rows that it leaves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from bench.analysis.recovery import Course, count_commits, describe_recovery
from bench.experiments.base import Case, Row
from bench.experiments.faults_cells import OPEN
from bench.measure.latency import Sample
from ehrcore.types import MILLISECOND, SECOND

if TYPE_CHECKING:
    from bench.scenario import Scenario

#: Load before anything counts, which makes caches warm and links open.
STEADY_NS: Final = SECOND
#: What was under way when a fault began may still be committed for so long.
GRACE_NS: Final = 500 * MILLISECOND
#: Throughput over time is counted in intervals of this length.
BIN_NS: Final = 500 * MILLISECOND


def build_rows(scenario: "Scenario", case: Case, samples: Sequence[Sample], course: Course, verdicts: Row) -> list[Row]:
    """A row of kind ``cell``, one of kind ``check``, and rows of kind ``course`` with its throughput over time.

    ``verdicts`` has safety and what it rests on.  Of a chain that has forked there is no throughput to speak of, so
    after a violation nothing else is told.
    """
    plan = scenario.faults
    row: Row = {"kind": "cell", "offered_per_s": plan.per_second, **verdicts}
    is_promised = case.settings["expected"] != OPEN
    check = {
        "kind": "check", "check": f"{case.label}: safe, and nothing lost", "found": verdicts["violation"],
        "holds": not is_promised or not (verdicts["violation"] or verdicts["lost"]),
    }  # fmt: skip
    if verdicts["violation"]:
        return [row, check]
    row |= describe_recovery(samples, course, round(plan.settle_s * SECOND))
    bins = [{"kind": "course", "at_s": at / SECOND, "commits_per_s": rate}
            for at, rate in count_commits(samples, course, BIN_NS)]  # fmt: skip
    given = {"offered_per_s": plan.per_second, "load_s": plan.seconds}
    return [row, check, *({**given, **item} for item in bins)]
