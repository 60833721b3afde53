"""Whether a run confirms a reference: by ratios, orders and what the seed determines, never by absolute times.

A ratio is *confirmed* if both runs resolved it with the same verdict and it changed by no more than the tolerance;
*contradicted* if they resolved it with opposite verdicts, or if the whole interval of its change lies beyond the
tolerance; *unresolved* otherwise.  Controls have to hold in both.  Rows of one table that differ in one key,
and that both runs can tell apart, have to be in the same order.  Where the two runs asked something else, a result is
*not comparable*, whatever it says.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple

from bench.analysis.alike import Difference, find_conflicts
from bench.analysis.claims import UNTESTED
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
from bench.experiments.base import Experiment
from bench.experiments.processes import MASKED, NO_SHA_NI, SHA_NI

if TYPE_CHECKING:
    from bench.analysis.verdicts import Verdict
    from bench.report.model import Report

CONFIRMED: Final = "confirmed"
CONTRADICTED: Final = "contradicted"
MISSING: Final = "missing"
NEW: Final = "new"
UNLIKE: Final = "not comparable"
OUTCOMES: Final = (CONFIRMED, CONTRADICTED, UNRESOLVED, MISSING, NEW, UNLIKE)
SAME_VERDICT: Final = "same verdict"
OTHER_VERDICT: Final = "another verdict"
NOT_JUDGED: Final = "not judged in both"
#: Lists that say which rows there are: a row that both runs have asks the same in both.
_ROWS: Final = frozenset(
    f"scenario.{key}"
    for key in (
        *("hashes.suites", "hashes.sizes_bytes", "signatures.libraries", "merkle.leaves"),
        *("variants.suites", "variants.difficulty_bits", "variants.extrapolate_bits"),
        *("policy.asked", "policy.net"),
    )
)
#: What says how much is measured, of a kind of thing that is the same: intervals get wider or narrower by it, exact
#: values become others.
_AMOUNTS: Final = frozenset(
    {
        "workload.digest",
        *(f"scenario.table1.{key}transactions" for key in ("", "latency_", "calibrated_")),
        *(f"scenario.variants.{key}" for key in ("transactions", "repeats", "risk_repeats", "equal_risk_bits")),
        *(f"scenario.policy.{key}" for key in ("transactions", "outstanding", "repeats")),
    }
)
#: The factors of `variants` are a design of their own, and watts are in no ratio.
_BESIDE: Final = ("scenario.variants.factors.", "scenario.energy_windows.", "scenario.energy.")
#: Of fewer rows, two neighbours that change places are enough to bring rho below 0.9.
_LEAST_RANKED: Final = 5


@dataclass(frozen=True, slots=True)
class Verification:
    """``counts`` by kind and outcome; of orders, which are many, ``findings`` holds the contradicted ones alone.

    ``obstacles`` says why results are not comparable: the differences, by what is not.
    """

    findings: tuple[Finding, ...]
    counts: Mapping[tuple[str, str], int]
    obstacles: Mapping[str, Sequence[Difference]] = field(default_factory=dict)

    def select(self, outcome: str) -> list[Finding]:
        """The findings with this outcome."""
        return [item for item in self.findings if item.outcome == outcome]


def verify_runs(
    reference: "Report", run: "Report", differences: Sequence[Difference], tolerance: float
) -> Verification:
    """What ``run`` says of each result of ``reference``; ``tolerance`` (above 0) is a share, such as 0.25."""
    experiments = {section.experiment.id: section.experiment for section in run.sections}
    judge = _Judge(tolerance, experiments, differences)
    pairs = [pair for pair in _equate_masks(pair_cells(reference, run)) if pair[0].kind != "value"]
    findings = [judge.judge(*pair) for pair in pairs if pair[0].kind != "rank"]
    findings += [judge.judge_rank(finding) for finding in rank_rows(pairs)]
    orders = [judge.judge_order(finding, *rows) for finding, *rows in _find_orders(pairs)]
    counts = Counter((item.place.kind, item.outcome) for item in [*findings, *orders])
    kept = (*findings, *(item for item in orders if item.outcome == CONTRADICTED))
    return Verification(kept, counts, judge.obstacles)


def find_obstacles(
    differences: Sequence[Difference], experiment: Experiment, *, is_exact: bool = False
) -> list[Difference]:
    """The differences because of which two results of ``experiment`` answer different questions.

    Ratios and orders stand whatever the number of repeats and records; values that the seed determines do not.
    """
    conflicts = [item for item in find_conflicts(differences, experiment) if item.key not in _ROWS]
    if is_exact:
        return conflicts + [item for item in differences if item.key == "seed"]
    return [item for item in conflicts if item.key not in _AMOUNTS and not item.key.startswith(_BESIDE)]


def _equate_masks(
    pairs: Sequence[tuple[Place, Cell | None, Cell | None]],
) -> list[tuple[Place, Cell | None, Cell | None]]:
    """Rows of a processor without SHA-NI beside those of one whose SHA-NI was masked: OpenSSL does the same in both."""
    if not any(("instructions", MASKED) in place.row for place, _, _ in pairs):
        return list(pairs)
    found: dict[Place, tuple[Cell | None, Cell | None]] = {}
    for place, before, after in pairs:
        row = tuple((key, MASKED if (key, value) == ("instructions", NO_SHA_NI) else value) for key, value in place.row)
        held = found.get(place._replace(row=row), (None, None))
        found[place._replace(row=row)] = (held[0] or before, held[1] or after)
    return [(place, *cells) for place, cells in found.items()]


class _Judge:
    """Judges results, and remembers why some cannot be held against each other."""

    def __init__(
        self, tolerance: float, experiments: Mapping[str, Experiment], differences: Sequence[Difference]
    ) -> None:
        self._tolerance, self._experiments, self._differences = tolerance, experiments, differences
        self._known: dict[str, Sequence[Difference]] = {}
        self.obstacles: dict[str, Sequence[Difference]] = {}

    def _is_unlike(self, place: Place) -> bool:
        if place.kind == "control":
            return False
        what = place.experiment + (", exact values" if place.kind == "exact" else "")
        if what not in self._known:
            experiment = self._experiments[place.experiment]
            self._known[what] = find_obstacles(self._differences, experiment, is_exact=place.kind == "exact")
        found = self._known[what]
        if not found and ("instructions", SHA_NI) in place.row:
            found = [item for item in self._differences if item.key == "machine.sha_ni"]
            what += f", {SHA_NI}"
        if found:
            self.obstacles[what] = found
        return bool(found)

    def judge(self, place: Place, before: Cell | None, after: Cell | None) -> Finding:
        if before is None or after is None:
            return Finding(place, before, after, None, NEW if before is None else MISSING)
        change = None if place.kind == "exact" else divide(after, before)
        if self._is_unlike(place):
            outcome = UNLIKE
        elif place.kind == "exact":
            outcome = CONFIRMED if before.value == after.value else self._judge_difference(place)
        elif place.kind == "control":
            outcome = {HOLDS: CONFIRMED, VIOLATED: CONTRADICTED}.get(judge_controls(before, after), UNRESOLVED)
        else:
            outcome = judge_ratio(before, after, change, self._tolerance)
        return Finding(place, before, after, change, outcome)

    def _judge_difference(self, place: Place) -> str:
        """What the seed determines, it determines under one code: another one may well give another value."""
        found = [item for item in self._differences if item.key == "git.code_sha256"]
        if found:
            self.obstacles[f"{place.experiment}, exact values that differ"] = found
        return UNLIKE if found else CONTRADICTED

    def judge_rank(self, finding: Finding) -> Finding:
        rows = finding.place.row[0][1]
        if self._is_unlike(finding.place):
            outcome = UNLIKE
        elif finding.change is None or (finding.outcome != SAME and rows < _LEAST_RANKED):
            outcome = UNRESOLVED
        else:
            outcome = CONFIRMED if finding.outcome == SAME else CONTRADICTED
        return Finding(finding.place, None, None, finding.change, outcome)

    def judge_order(self, finding: Finding, *rows: Place) -> Finding:
        return replace(finding, outcome=UNLIKE) if any(map(self._is_unlike, rows)) else finding


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


def _find_orders(
    pairs: Iterable[tuple[Place, Cell | None, Cell | None]],
) -> Iterator[tuple[Finding, Place, Place]]:
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
                changes = (divide(cells[0], others[0]), divide(cells[1], others[1]))
                yield Finding(place, *changes, None, outcome), first, second


def _find_order(one: Cell, other: Cell) -> int:
    """-1 or 1 if one interval lies wholly below or above the other, 0 if they overlap or are missing."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return 0
    return (one.low > other.high) - (one.high < other.low)


class Match(NamedTuple):
    """What two runs say of one claim; ``outcome`` is that of the pair."""

    id: str
    reference: str
    run: str
    outcome: str


def match_verdicts(reference: Sequence["Verdict"], run: Sequence["Verdict"]) -> list[Match]:
    """The verdicts of both runs on each claim of ``run``, by one set of rules."""
    before = {item.id: item.verdict for item in reference}
    return [_match(item.id, before.get(item.id, UNTESTED), item.verdict) for item in run]


def _match(claim: str, before: str, after: str) -> Match:
    outcome = NOT_JUDGED if UNTESTED in {before, after} else SAME_VERDICT if before == after else OTHER_VERDICT
    return Match(claim, before, after, outcome)
