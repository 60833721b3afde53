"""Whether a run confirms a reference: by ratios, orders and what the seed determines, never by absolute times.

A ratio is *confirmed* if both runs resolved it with the same verdict and it changed by no more than the tolerance;
*contradicted* if they resolved it with opposite verdicts, or if the whole interval of its change lies beyond the
tolerance; *unresolved* otherwise.  Controls have to hold in both.  Rows of one table that differ in one key,
and that both runs can tell apart, have to be in the same order.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final

from bench.analysis.alike import Difference, find_conflicts
from bench.analysis.compare import (
    SAME,
    Cell,
    Finding,
    Place,
    divide,
    judge_controls,
    pair_cells,
    rank_rows,
)
from bench.analysis.paired import HOLDS, UNRESOLVED, VIOLATED

if TYPE_CHECKING:
    from bench.report.model import Report

CONFIRMED: Final = "confirmed"
CONTRADICTED: Final = "contradicted"
MISSING: Final = "missing"
NEW: Final = "new"
SKIPPED: Final = "skipped"
OUTCOMES: Final = (CONFIRMED, CONTRADICTED, UNRESOLVED, MISSING, NEW, SKIPPED)
#: Of fewer rows, two neighbours that change places are enough to bring rho below 0.9.
_LEAST_RANKED: Final = 5


@dataclass(frozen=True, slots=True)
class Verification:
    """``counts`` by kind and outcome; of orders, which are many, ``findings`` holds the contradicted ones alone."""

    findings: tuple[Finding, ...]
    counts: Mapping[tuple[str, str], int]

    def select(self, outcome: str) -> list[Finding]:
        """The findings with this outcome."""
        return [item for item in self.findings if item.outcome == outcome]


def verify_runs(
    reference: "Report", run: "Report", differences: Sequence[Difference], tolerance: float
) -> Verification:
    """What ``run`` says of each result of ``reference``; ``tolerance`` (above 0) is a share, such as 0.25."""
    unlike = {
        section.experiment.id
        for section in run.sections
        if find_conflicts(differences, section.experiment) or any(item.key == "seed" for item in differences)
    }
    pairs = [pair for pair in pair_cells(reference, run) if pair[0].kind != "value"]
    ranks = [_judge_rank(finding) for finding in rank_rows(pairs)]
    findings = [_judge(*pair, tolerance, unlike) for pair in pairs if pair[0].kind != "rank"] + ranks
    orders = list(_judge_orders(pairs))
    counts = Counter((item.place.kind, item.outcome) for item in [*findings, *orders])
    kept = (*findings, *(item for item in orders if item.outcome == CONTRADICTED))
    return Verification(kept, counts)


def _judge(place: Place, before: Cell | None, after: Cell | None, tolerance: float, unlike: set[str]) -> Finding:
    if before is None or after is None:
        return Finding(place, before, after, None, NEW if before is None else MISSING)
    if place.kind == "exact":
        outcome = CONFIRMED if before.value == after.value else CONTRADICTED
        return Finding(place, before, after, None, SKIPPED if place.experiment in unlike else outcome)
    change = divide(after, before)
    if place.kind == "control":
        words = {HOLDS: CONFIRMED, VIOLATED: CONTRADICTED}
        return Finding(place, before, after, change, words.get(judge_controls(before, after), UNRESOLVED))
    return Finding(place, before, after, change, judge_ratio(before, after, change, tolerance))


def judge_ratio(before: Cell, after: Cell, change: Cell | None, tolerance: float) -> str:
    """Confirmed, contradicted or unresolved, by the rule above."""
    if change is None or change.low is None or change.high is None:
        return UNRESOLVED
    are_resolved = UNRESOLVED not in {before.verdict, after.verdict}
    if are_resolved and before.verdict != after.verdict:
        return CONTRADICTED
    most = 1 + tolerance
    if change.low > most or change.high < 1 / most:
        return CONTRADICTED
    is_near = abs(math.log(change.value)) <= math.log(most)
    return CONFIRMED if are_resolved and is_near else UNRESOLVED


def _judge_rank(finding: Finding) -> Finding:
    rows = finding.place.row[0][1]
    if finding.change is None or (finding.outcome != SAME and rows < _LEAST_RANKED):
        outcome = UNRESOLVED
    else:
        outcome = CONFIRMED if finding.outcome == SAME else CONTRADICTED
    return Finding(finding.place, None, None, finding.change, outcome)


def _judge_orders(pairs: Iterable[tuple[Place, Cell | None, Cell | None]]) -> Iterator[Finding]:
    """Of each two rows of a table that differ in one key, whether both runs have them in the same order."""
    groups: dict[tuple[str, ...], list[tuple[Place, Cell, Cell]]] = {}
    for place, before, after in pairs:
        if place.kind == "ratio" and before is not None and after is not None:
            groups.setdefault((place.experiment, place.table, place.column), []).append((place, before, after))
    for (experiment, table, column), rows in groups.items():
        for (first, *cells), (second, *others) in combinations(rows, 2):
            if sum(one != other for one, other in zip(first.row, second.row, strict=True)) == 1:
                signs = [_find_order(cell, other) for cell, other in zip(cells, others, strict=True)]
                outcome = UNRESOLVED if 0 in signs else CONFIRMED if signs[0] == signs[1] else CONTRADICTED
                place = Place(experiment, table, "order", column, (("rows", f"{first.name} against {second.name}"),))
                yield Finding(place, divide(cells[0], others[0]), divide(cells[1], others[1]), None, outcome)


def _find_order(one: Cell, other: Cell) -> int:
    """-1 or 1 if one interval lies wholly below or above the other, 0 if they overlap or are missing."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return 0
    return (one.low > other.high) - (one.high < other.low)
