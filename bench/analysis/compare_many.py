"""Several runs side by side: which of the ratios that each made within itself are the same on every machine.

A ratio is *stable* if the greatest over the least, with the widest interval that all runs allow, is within the
tolerance; it *differs* if that interval lies wholly beyond it, and is *reversed* if two runs resolved it the other way
round.  Absolute values are set beside each other only where machine and versions are the same.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from bench.analysis.alike import are_comparable, find_conflicts, find_differences
from bench.analysis.compare import Cell, Finding, Place, is_positive, judge_controls, list_cells
from bench.analysis.compare_sources import write_level
from bench.analysis.paired import UNRESOLVED
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.report.model import Report

STABLE: Final = "stable"
DIFFERS: Final = "differs"
REVERSED: Final = "reversed"
ALONE: Final = "in one run"
#: What names a group of runs, in this order: processor, interpreter, cryptography, this suite.
_FACTS: Final = re.compile(
    r"machine\.(cpu|architecture|sha_ni)|versions\.(python|openssl_\w+|packages\.ehrbench)|git\.(commit|is_dirty)"
)
#: Of these alone a group of runs is made: the commit says which code it was, not what it ran on.
_KINDS: Final = re.compile(r"(machine|versions)\..*")


#: A result with its place: a `Standing`, or a `Finding` of two runs.
Found = TypeVar("Found", "Standing", Finding)


class Fact(NamedTuple):
    """A value of the manifests that is not the same in all runs; None where one has none."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Alike:
    """In what runs differ: ``facts`` by which they are told apart, how many ``others`` there are, ``groups`` of runs.

    Runs of one group have the same facts of machine and versions; those of one of ``classes`` are the same in all of
    machine and versions, so that their absolute values can be compared.
    """

    facts: tuple[Fact, ...]
    others: int
    groups: tuple[tuple[int, ...], ...]
    classes: tuple[tuple[int, ...], ...]


class Standing(NamedTuple):
    """One result in all runs (None where one lacks it); ``spread`` is the greatest over the least."""

    place: Place
    cells: tuple[Cell | None, ...]
    spread: Cell | None
    outcome: str


def tell_apart(contents: Sequence[Mapping[str, Any]]) -> Alike:
    """In what the manifests of two runs or more differ."""
    first, *others = contents
    changes = [{item.key: item for item in find_differences(first, other)} for other in others]
    keys = list(dict.fromkeys(key for found in changes for key in found))
    facts = []
    for key in keys:
        before = next(found[key].before for found in changes if key in found)
        facts.append(Fact(key, (before, *(found[key].after if key in found else before for found in changes))))
    named = [fact for fact in facts if _FACTS.fullmatch(fact.key)]
    kinds = [tuple(str(fact.values[place]) for fact in named if _KINDS.fullmatch(fact.key))
             for place in range(len(contents))]  # fmt: skip
    classes = _partition([
        next(seen for seen in range(place + 1) if are_comparable(find_differences(contents[seen], content)))
        for place, content in enumerate(contents)
    ])  # fmt: skip
    return Alike(tuple(named), len(facts) - len(named), _partition(kinds), classes)


def _partition(marks: Sequence[Any]) -> tuple[tuple[int, ...], ...]:
    """The places of equal marks, in the order in which each mark first occurs."""
    return tuple(tuple(place for place, other in enumerate(marks) if other == mark) for mark in dict.fromkeys(marks))


def refuse_unlike(reports: Sequence["Report"], contents: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    """Raise `BenchError` naming what differs where an experiment of two runs asked different questions."""
    for place, (report, content) in enumerate(zip(reports, contents, strict=True)):
        for before in range(place):
            differences = find_differences(contents[before], content)
            theirs = {section.experiment.id for section in reports[before].sections}
            for section in report.sections:
                if section.experiment.id not in theirs:
                    continue
                for conflict in find_conflicts(differences, section.experiment):
                    raise BenchError(
                        f"{section.experiment.id}: expected the same {conflict.key} in {names[before]} and "
                        f"{names[place]}, found {conflict}: name the experiments to compare to leave it out"
                    )


def compare_many(reports: Sequence["Report"], alike: Alike, tolerance: float) -> list[Standing]:
    """What all runs say of each ratio, control and (within a class) absolute value; ``tolerance`` is above 0."""
    cells = [list_cells(report) for report in reports]
    places = list(dict.fromkeys(place for found in cells for place in found))
    order = list(dict.fromkeys(section.experiment.id for report in reports for section in report.sections))
    places.sort(key=lambda place: order.index(place.experiment))
    standings = []
    for place in places:
        found = tuple(one.get(place) for one in cells)
        if place.kind in {"ratio", "control"}:
            standings.append(_judge(place, found, tolerance))
        elif place.kind == "value":
            for members in alike.classes if any(len(members) > 1 for members in alike.classes) else ():
                within = tuple(cell if number in members else None for number, cell in enumerate(found))
                if sum(cell is not None for cell in within) > 1:
                    standings.append(_judge(place, within, tolerance))
    return standings


def _judge(place: Place, cells: tuple[Cell | None, ...], tolerance: float) -> Standing:
    present = [cell for cell in cells if cell is not None]
    if len(present) < 2:
        return Standing(place, cells, None, ALONE)
    spread = find_spread(present)
    if place.kind == "control":
        return Standing(place, cells, spread, judge_controls(*present))
    return Standing(place, cells, spread, judge_spread(present, spread, tolerance))


def find_spread(cells: Sequence[Cell]) -> Cell | None:
    """The greatest over the least with the widest interval that all allow; None unless all are numbers above 0.

    Its low end (1 at least) needs two intervals, its high end that of every cell.
    """
    if not all(is_positive(cell.value) for cell in cells):
        return None
    values = [cell.value for cell in cells]
    known = [(cell.low, cell.high) for cell in cells if cell.low is not None and cell.high is not None and cell.low > 0]
    apart = list(permutations(known, 2))
    low = max([1.0, *(one[0] / other[1] for one, other in apart)]) if apart else None
    high = max(one[1] / other[0] for one, other in apart) if apart and len(known) == len(cells) else None
    return Cell(max(values) / min(values), low, high)


def judge_spread(cells: Iterable[Cell], spread: Cell | None, tolerance: float) -> str:
    """Stable, differs, reversed or unresolved, by the rule above."""
    if len({cell.verdict for cell in cells} - {UNRESOLVED, ""}) > 1:
        return REVERSED
    if spread is None or spread.low is None:
        return UNRESOLVED
    if spread.low > 1 + tolerance:
        return DIFFERS
    return STABLE if spread.high is not None and spread.high <= 1 + tolerance else UNRESOLVED


def choose_places(standings: Sequence[Found], where: Sequence[str]) -> list[Found]:
    """Those results whose row, experiment, table or column is as ``KEY=VALUE,...`` says, for every one of ``where``.

    Raises `BenchError` for a key that no row has, and if nothing is left.
    """
    kept = list(standings)
    for item in where:
        key, _, words = item.partition("=")
        known = dict.fromkeys(name for standing in standings for name, _ in _name(standing.place))
        if key not in known:
            raise BenchError(f"--where: expected a key of a row ({', '.join(known)}), found {item!r}")
        wanted = words.split(",")
        kept = [one for one in kept if dict(_name(one.place)).get(key) in wanted]
    if where and not kept:
        raise BenchError(f"--where: expected what some ratio has, found none with {' and '.join(where)}")
    return kept


def _name(place: Place) -> Iterator[tuple[str, str]]:
    yield from (("experiment", place.experiment), ("table", place.table), ("column", place.column))
    yield from ((key, write_level(value)) for key, value in place.row)
