"""Two runs side by side: each result of one beside the same result of the other.

Results are taken from the tables that are built from raw rows, by what the tables say of themselves: ratios with
intervals (`Comparison`), other values with intervals, values that the seed alone determines, and orders.  A change is
the later over the earlier with the widest interval that both allow, from low by high to high by low: if each table's
intervals hold together with 95 %, those of the changes do so with at least 90 %.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bench.analysis.alike import Difference, are_comparable, find_conflicts
from bench.analysis.paired import HOLDS, UNRESOLVED, VIOLATED, judge
from bench.errors import BenchError
from bench.experiments.base import Table

if TYPE_CHECKING:
    from bench.report.model import Report

CHANGED: Final = "changed"
SAME: Final = "same"
#: Rows of less say nothing about an order.
LEAST_RANKED: Final = 3
#: Spearman's rho from which on an order counts as the same.
SAME_ORDER: Final = 0.9


class Place(NamedTuple):
    """Where a result stands; ``row`` pairs the key columns with their values.

    ``kind`` is ratio, control (a ratio of the base to itself), value (absolute), exact or rank.
    """

    experiment: str
    table: str
    kind: str
    column: str
    row: tuple[tuple[str, Any], ...]

    @property
    def name(self) -> str:
        """The row in words."""
        return " ".join(str(value) for _, value in self.row if value not in {None, ""})


class Cell(NamedTuple):
    """One result: a value, the ends of its interval (None where it has none) and the table's verdict."""

    value: Any
    low: float | None = None
    high: float | None = None
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of two runs; None in a run that lacks it.  ``change`` is the later over the earlier, or rho."""

    place: Place
    before: Cell | None
    after: Cell | None
    change: Cell | None
    outcome: str


def list_cells(report: "Report") -> dict[Place, Cell]:
    """All results of a run that can be held against another's; `ValueError`, as for a bug, if two share a place."""
    cells: dict[Place, Cell] = {}
    for section in report.sections:
        for built in section.tables:
            for record in built.frame.to_dict("records"):
                plain = {str(name): _plain(value) for name, value in record.items()}
                for place, cell in _cells_of(section.experiment.id, built.table, plain):
                    if place in cells:
                        raise ValueError(f"table {built.table.name}: expected keys that name a row, found two {place}")
                    cells[place] = cell
    return cells


def _cells_of(experiment: str, table: Table, record: dict[str, Any]) -> Iterator[tuple[Place, Cell]]:
    is_control = bool(record.get("is_control"))
    for item in table.comparisons:
        if record[item.verdict] != "base":
            row = _name_row(record, item.keys, is_control=is_control)
            cell = Cell(record[item.ratio], record[item.low], record[item.high], record[item.verdict] or UNRESOLVED)
            yield Place(experiment, table.name, "control" if is_control else "ratio", item.ratio, row), cell
    keys = table.keys or (table.comparisons[0].keys if table.comparisons else ())
    if not keys:
        return
    row, ratios = _name_row(record, keys, is_control=is_control), {item.ratio for item in table.comparisons}
    for column in table.columns:
        low, high = f"{column}_low", f"{column}_high"
        if column not in ratios and low in table.columns and high in table.columns:
            yield Place(experiment, table.name, "value", column, row), Cell(record[column], record[low], record[high])
    for kind, columns in (("exact", table.exact), ("rank", table.ordered)):
        for column in columns:
            yield Place(experiment, table.name, kind, column, row), Cell(record[column])


def _name_row(record: dict[str, Any], keys: Iterable[str], *, is_control: bool) -> tuple[tuple[str, Any], ...]:
    row = tuple((key, record[key]) for key in keys)
    return (*row, ("is_control", "A/A")) if is_control and "A/A control" not in {value for _, value in row} else row


def _plain(value: Any) -> Any:
    """A cell of a frame as a JSON value: None for what is missing, a whole number without a point."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        return None if math.isnan(value) else int(value) if value.is_integer() else value
    return None if type(value).__name__ in {"NAType", "NaTType"} else value


def divide(after: Cell, before: Cell) -> Cell | None:
    """The change with the widest interval that both allow; None unless both are numbers above 0."""
    if not (is_positive(after.value) and is_positive(before.value)):
        return None
    low = after.low / before.high if after.low is not None and before.high else None
    high = after.high / before.low if after.high is not None and before.low else None
    return Cell(after.value / before.value, low, high)


def is_positive(value: Any) -> bool:
    """Whether a value is a finite number above 0, of which there can be a ratio."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def compare_runs(before: "Report", after: "Report", differences: Sequence[Difference]) -> list[Finding]:
    """What became of each result of ``before`` in ``after``, by table.

    Absolute values are compared only between machines and versions that are the same, values that the seed determines
    only under the same seed.  Raises `BenchError` where an experiment of both asked different questions.
    """
    common = [item.experiment for item in after.sections if item.experiment.id in ids_of(before)]
    for experiment in common:
        for conflict in find_conflicts(differences, experiment):
            raise BenchError(
                f"{experiment.id}: expected the same {conflict.key} in both runs, found {conflict}: "
                "name the experiments to compare to leave it out"
            )
    left_out = {"value"} if not are_comparable(differences) else set[str]()
    if any(item.key == "seed" for item in differences):
        left_out.add("exact")
    pairs = pair_cells(before, after)
    shown = [pair for pair in pairs if pair[0].kind not in {*left_out, "rank"}]
    return [_judge(*pair) for pair in shown] + list(rank_rows(pairs))


def ids_of(report: "Report") -> list[str]:
    """The experiments of a report."""
    return [section.experiment.id for section in report.sections]


def pair_cells(before: "Report", after: "Report") -> list[tuple[Place, Cell | None, Cell | None]]:
    """Every result of the experiments that are in both, in the order of the reports."""
    left, right = list_cells(before), list_cells(after)
    common = {*ids_of(before)} & {*ids_of(after)}
    places = [place for place in dict.fromkeys([*left, *right]) if place.experiment in common]
    places.sort(key=lambda place: ids_of(after).index(place.experiment))
    return [(place, left.get(place), right.get(place)) for place in places]


def _judge(place: Place, before: Cell | None, after: Cell | None) -> Finding:
    if before is None or after is None:
        return Finding(place, before, after, None, "only in B" if before is None else "only in A")
    if place.kind == "exact":
        return Finding(place, before, after, None, SAME if before.value == after.value else CHANGED)
    change = divide(after, before)
    if place.kind == "control":
        return Finding(place, before, after, change, judge_controls(before, after))
    if change is None or change.low is None or change.high is None:
        return Finding(place, before, after, change, UNRESOLVED)
    is_changed = judge(change.value, change.low, change.high) != UNRESOLVED
    return Finding(place, before, after, change, CHANGED if is_changed else UNRESOLVED)


def judge_controls(*cells: Cell) -> str:
    """Whether the A/A controls of all runs hold; one that is violated counts most."""
    verdicts = {cell.verdict for cell in cells}
    return VIOLATED if VIOLATED in verdicts else HOLDS if verdicts == {HOLDS} else UNRESOLVED


def rank_rows(pairs: Iterable[tuple[Place, Cell | None, Cell | None]]) -> Iterator[Finding]:
    """Per ordered column, Spearman's rho over the rows that both runs have; the row of its place says how many."""
    import pandas as pd

    ranked = [pair for pair in pairs if pair[0].kind == "rank"]
    ranked.sort(key=lambda pair: pair[0][:4])
    for (experiment, table, kind, column), group in groupby(ranked, key=lambda pair: pair[0][:4]):
        both = [(a.value, b.value) for _, a, b in group if a and b and None not in {a.value, b.value}]
        frame = pd.DataFrame(both, columns=["before", "after"]).rank()
        is_constant = len(both) < LEAST_RANKED or (frame.nunique() < 2).any()
        rho = math.nan if is_constant else float(frame["before"].corr(frame["after"]))
        change = None if math.isnan(rho) else Cell(rho)
        outcome = UNRESOLVED if change is None else SAME if rho >= SAME_ORDER else CHANGED
        yield Finding(Place(experiment, table, kind, column, (("rows", len(both)),)), None, None, change, outcome)
