"""One test of a rule on a run's table: the number, its interval, and whether it lies where the rule wants it.

A test *holds*, *fails*, or is *open* where the interval has the limit in it, the effect is too small or too few tries
were made; it is *missing* where the run does not have what the test reads.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

from bench.analysis.claims import Filter, RuleTest, parse_value
from bench.privacy.linkage import wilson

#: A table's rows as its CSV holds them: texts, '' for a missing value.
Rows = Sequence[Mapping[str, str]]
Outcome = Literal["holds", "fails", "open", "missing"]
_SIGNS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_OPPOSITE: Final = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one test found.  ``value`` is that of the row that decided; ``low`` and ``high`` bound it with 95 %.

    With ``tries`` they bound the share of them.  ``good`` of ``rows`` rows hold (a sum, range or the like is one);
    ``reason`` says what is missing.
    """

    test: str
    what: str
    table: str
    column: str
    needs: str
    outcome: Outcome
    value: float | str | None = None
    low: float | None = None
    high: float | None = None
    tries: int | None = None
    rows: int = 0
    good: int = 0
    reason: str = ""


def run_test(name: str, test: RuleTest, find_table: Callable[[str], Rows | None]) -> Evidence:
    """Compare; 'missing' with a reason where the run does not have what the test reads."""
    blank = Evidence(name, test.what, test.table, test.column, test.holds, "missing")
    if test.printed:
        figures = list(test.printed.values())
        value = math.prod(figures) if test.rows == "product" else math.fsum(figures)
        return replace(blank, value=value, rows=1, **_count(_judge(test, value, None, None)))
    rows = find_table(test.table)
    if rows is None:
        return replace(blank, reason=f"table {test.table} is not in this run")
    if absent := sorted(test.columns() - {*(rows[0] if rows else ())}) if rows else []:
        return replace(blank, reason=f"table {test.table} has no column {absent[0]}")
    chosen = select_rows(rows, test.where)
    if not chosen:
        return replace(blank, reason=f"table {test.table} has no row with {_name(test.where)}")
    try:
        return _measure(blank, test, chosen, rows)
    except _MissingError as error:
        return replace(blank, reason=f"table {test.table} has {error}")


class _MissingError(Exception):
    """A value that the test needs is not in the table."""


def _measure(blank: Evidence, test: RuleTest, chosen: Rows, rows: Rows) -> Evidence:
    if test.rows in {"sum", "min", "max", "range"}:
        return _gather(blank, test, chosen)
    if test.rows == "one" and len(chosen) > 1:
        raise _MissingError(f"{len(chosen)} rows with {_name(test.where)}, not one")
    items = [_compare_row(blank, test, row, rows) for row in chosen]
    order = ("fails", "open", "holds") if test.rows != "any" else ("holds", "open", "fails")
    decided = min(items, key=lambda item: (order.index(item.outcome), _adverse(test, item)))
    return replace(decided, rows=len(items), good=sum(item.outcome == "holds" for item in items))


def _compare_row(blank: Evidence, test: RuleTest, row: Mapping[str, str], rows: Rows) -> Evidence:
    value = _read(row, test.column)
    if test.per or test.over:
        below = row if test.per else _only(select_rows(rows, test.over), test)
        divisor = _number(_read(below, test.per or test.column))
        if divisor == 0:
            raise _MissingError(f"0 in {test.per or test.column}, by which nothing is divided")
        value = _number(value) / divisor
    low, high = (_bound(row, name) for name in (test.low, test.high))
    return replace(blank, value=value, low=low, high=high, outcome=_judge(test, value, low, high))


def _gather(blank: Evidence, test: RuleTest, chosen: Rows) -> Evidence:
    values = [_number(_read(row, test.column)) for row in chosen]
    take: dict[str, Callable[[list[float]], float]] = {
        "sum": math.fsum, "min": min, "max": max, "range": lambda all_: max(all_) - min(all_),
    }  # fmt: skip
    value, tries, low, high = take[test.rows](values), None, None, None
    outcome = _judge(test, value, None, None)
    if test.of:
        tries = round(math.fsum(_number(_read(row, test.of)) for row in chosen))
        low, high = wilson(round(value), tries) if tries else (None, None)
        outcome = "open" if tries < test.least and outcome == "holds" else outcome
    return replace(blank, value=value, low=low, high=high, tries=tries, rows=1, **_count(outcome))


def _count(outcome: Outcome) -> dict[str, Any]:
    return {"outcome": outcome, "good": int(outcome == "holds")}


def _judge(test: RuleTest, value: float | str, low: float | None, high: float | None) -> Outcome:
    """Whether the comparison holds for the whole interval (of the value alone where the test has none)."""
    sign, limit = test.operator, test.limit
    if sign in {"==", "!="}:
        is_same = fnmatchcase(value, str(limit)) if isinstance(value, str) else value == limit
        return "holds" if is_same == (sign == "==") else "fails"
    number, wanted = _number(value), _number(limit)
    if test.low:
        if low is None or high is None:
            return "open"
    else:
        low = high = number
    worst, best = (low, high) if sign[0] == ">" else (high, low)
    share, enough = 1 + test.effect, test.effect == 0
    if _SIGNS[sign](worst, wanted) and (enough or _is_far(number, wanted, share, is_above=sign[0] == ">")):
        return "holds"
    if _SIGNS[_OPPOSITE[sign]](best, wanted) and (enough or _is_far(number, wanted, share, is_above=sign[0] == "<")):
        return "fails"
    return "open"


def _is_far(value: float, limit: float, share: float, *, is_above: bool) -> bool:
    return value >= limit * share if is_above else value <= limit / share


def _adverse(test: RuleTest, item: Evidence) -> float:
    """Orders rows of one outcome: the one least in favour first, of ``any`` the one most in favour."""
    if isinstance(item.value, str) or item.value is None:
        return 0.0
    is_first_low = (test.operator[0] == ">") == (test.rows != "any")
    return item.value if is_first_low else -item.value


def select_rows(rows: Rows, where: Filter) -> Rows:
    """The rows whose cells are what ``where`` wants, column by column."""
    return [row for row in rows if all(_is_match(row[column], wanted) for column, wanted in where.items())]


def _is_match(cell: str, wanted: Any) -> bool:
    if isinstance(wanted, list):
        return any(_is_match(cell, item) for item in wanted)
    if not isinstance(wanted, str):
        return parse_value(cell) == float(wanted)
    if wanted.startswith("!"):
        return not fnmatchcase(cell, wanted[1:])
    return fnmatchcase(cell, wanted)


def _only(rows: Rows, test: RuleTest) -> Mapping[str, str]:
    if len(rows) != 1:
        raise _MissingError(f"{len(rows) or 'no'} rows with {_name(test.over)}")
    return rows[0]


def _read(row: Mapping[str, str], column: str) -> float | str:
    value = parse_value(row[column])
    if value == "" or (isinstance(value, float) and math.isnan(value)):
        raise _MissingError(f"no value in {column}")
    return value


def _bound(row: Mapping[str, str], column: str) -> float | None:
    value = parse_value(row[column]) if column else ""
    return value if isinstance(value, float) and not math.isnan(value) else None


def _number(value: float | str) -> float:
    if isinstance(value, str):
        raise _MissingError(f"no number but {value!r}")
    return value


def _name(where: Filter) -> str:
    return ", ".join(f"{column} {value}" for column, value in where.items()) or "anything"
