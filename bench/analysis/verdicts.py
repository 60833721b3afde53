"""Verdicts on the paper's claims: the rules of `bench.analysis.claims` applied to the tables of one run.

Nothing is typed: each verdict comes with the numbers that made it, and a rule that misses a table, a row or a value
gives none.  A test *holds*, *fails*, or is *open* where the interval has the limit in it, the effect is too small or
too few tries were made.
"""

import math
import operator
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

from bench.analysis.claims import (
    UNSUPPORTED,
    UNTESTABLE,
    UNTESTED,
    Claim,
    Filter,
    Rules,
    Test,
    parse_value,
)
from bench.analysis.linear import fit_linear
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

    With ``tries`` they bound the share of them.  ``good`` of ``rows`` rows hold; ``reason`` says what is missing.
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


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run says of a claim: the verdict, why in words, and the evidence in the order of the tests."""

    id: str
    claim: Claim
    verdict: str
    says: str
    evidence: tuple[Evidence, ...] = ()


def judge_claims(rules: Rules, find_table: Callable[[str], Rows | None]) -> tuple[Verdict, ...]:
    """A verdict for each claim; ``find_table`` gives a table's rows by its name, None if the run has none."""
    return tuple(judge_claim(claim_id, claim, find_table) for claim_id, claim in rules.claims.items())


def judge_claim(claim_id: str, claim: Claim, find_table: Callable[[str], Rows | None]) -> Verdict:
    """The first decision whose tests came out as it asks; none where one of the claim's tests misses something."""
    if claim.untestable:
        return Verdict(claim_id, claim, UNTESTABLE, claim.untestable)
    evidence = tuple(run_test(name, test, find_table) for name, test in claim.tests.items())
    found = {item.test: item for item in evidence}
    missing = dict.fromkeys(item.reason for item in evidence if item.outcome == "missing")
    if missing:
        return Verdict(claim_id, claim, UNTESTED, "; ".join(missing), evidence)
    for decision in claim.decisions:
        if (
            all(found[name].outcome == "holds" for name in decision.holds)
            and all(found[name].outcome == "fails" for name in decision.fails)
            and all(found[name].outcome != "holds" for name in decision.lacks)
        ):
            return Verdict(claim_id, claim, decision.verdict, fill(decision.says, found), evidence)
    undecided = [f"{item.what} ({describe(item)})" for item in evidence if item.outcome == "open"]
    says = f"undecided in this run: {'; '.join(undecided)}" if undecided else "what the rule asks for was not found"
    return Verdict(claim_id, claim, UNSUPPORTED, says, evidence)


def run_test(name: str, test: Test, find_table: Callable[[str], Rows | None]) -> Evidence:
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
    chosen = _select(rows, test.where)
    if not chosen:
        return replace(blank, reason=f"table {test.table} has no row with {_name(test.where)}")
    try:
        return _measure(blank, test, chosen, rows)
    except _MissingError as error:
        return replace(blank, reason=f"table {test.table} has {error}")


class _MissingError(Exception):
    """A value that the test needs is not in the table."""


def _measure(blank: Evidence, test: Test, chosen: Rows, rows: Rows) -> Evidence:
    if test.on:
        value, low, high = _fit(test, chosen)
        return replace(blank, value=value, low=low, high=high, rows=1, **_count(_judge(test, value, low, high)))
    if test.rows in {"sum", "min", "max", "range"}:
        return _gather(blank, test, chosen)
    if test.rows == "one" and len(chosen) > 1:
        raise _MissingError(f"{len(chosen)} rows with {_name(test.where)}, not one")
    items = [_compare_row(blank, test, row, rows) for row in chosen]
    order = ("fails", "open", "holds") if test.rows != "any" else ("holds", "open", "fails")
    decided = min(items, key=lambda item: (order.index(item.outcome), _adverse(test, item)))
    return replace(decided, rows=len(items), good=sum(item.outcome == "holds" for item in items))


def _compare_row(blank: Evidence, test: Test, row: Mapping[str, str], rows: Rows) -> Evidence:
    value = _read(row, test.column)
    if test.per or test.over:
        below = row if test.per else _only(_select(rows, test.over), test)
        value = _number(value) / _number(_read(below, test.per or test.column))
    low, high = (_bound(row, name) for name in (test.low, test.high))
    return replace(blank, value=value, low=low, high=high, outcome=_judge(test, value, low, high))


def _gather(blank: Evidence, test: Test, chosen: Rows) -> Evidence:
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
    return replace(
        blank, value=value, low=low, high=high, tries=tries, rows=len(values), good=len(values), outcome=outcome
    )


def _count(outcome: Outcome) -> dict[str, Any]:
    return {"outcome": outcome, "good": int(outcome == "holds")}


def _judge(test: Test, value: float | str, low: float | None, high: float | None) -> Outcome:
    """Whether the comparison holds for the whole interval (of the value alone where the test has none)."""
    sign, limit = test.operator, test.limit
    if sign in {"==", "!="}:
        is_same = fnmatchcase(value, str(limit)) if isinstance(value, str) else value == limit
        return "holds" if is_same == (sign == "==") else "fails"
    number, wanted = _number(value), _number(limit)
    if test.low or test.on:
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


def _adverse(test: Test, item: Evidence) -> float:
    """Orders rows of one outcome: the one least in favour first, of ``any`` the one most in favour."""
    if isinstance(item.value, str) or item.value is None:
        return 0.0
    is_first_low = (test.operator[0] == ">") == (test.rows != "any")
    return item.value if is_first_low else -item.value


def _fit(test: Test, chosen: Rows) -> tuple[float, float | None, float | None]:
    """The slope and its bounds; a multiple of another slope is taken off by moving it into that one's column.

    y = b x + c z = (b - k c) x + c (z + k x), so the slope of x beside z + k x is b - k c.
    """
    table = [{name: _number(_read(row, name)) for name in (test.column, test.on, *test.beside)} for row in chosen]
    points = [[row[test.on], *(row[name] + test.less.get(name, 0.0) * row[test.on] for name in test.beside)]
              for row in table]  # fmt: skip
    try:
        coefficients, _ = fit_linear(points, [row[test.column] for row in table])
    except ValueError as error:
        raise _MissingError(f"too few rows for a slope ({error})") from None
    slope = coefficients[1]
    return (slope.value, None, None) if math.isnan(slope.low) else (slope.value, slope.low, slope.high)


def _select(rows: Rows, where: Filter) -> Rows:
    return [row for row in rows if all(_is_match(row[column], wanted) for column, wanted in where.items())]


def _is_match(cell: str, wanted: Any) -> bool:
    if isinstance(wanted, list):
        return any(_is_match(cell, item) for item in wanted)
    if not isinstance(wanted, str):
        return parse_value(cell) == float(wanted)
    if wanted.startswith("!"):
        return not fnmatchcase(cell, wanted[1:])
    return fnmatchcase(cell, wanted)


def _only(rows: Rows, test: Test) -> Mapping[str, str]:
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


# -- in words ----------------------------------------------------------------------------------------------------


def fill(text: str, found: Mapping[str, Evidence]) -> str:
    """``text`` with the numbers of the tests that it names."""
    parts = []
    for literal, field, _, _ in string.Formatter().parse(text):
        name, _, part = (field or "").partition(".")
        parts += [literal, show(getattr(found[name], part or "value")) if field else ""]
    return "".join(parts)


def show(value: float | str | None) -> str:
    """A number with three digits (whole ones in full), a text as it is, a missing value as 'none'."""
    if value is None or isinstance(value, str):
        return value or "none"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    is_whole, size = float(value).is_integer(), abs(value)
    return f"{value:,.0f}" if (is_whole and size < 1e12) or 1000 <= size < 1e6 else f"{value:.3g}"


def describe(item: Evidence) -> str:
    """The evidence's number, interval, rows and outcome on one line."""
    if item.outcome == "missing":
        return item.reason
    text = show(item.value)
    if item.tries is not None:
        text += f" of {item.tries:,}"
        if item.low is not None and item.high is not None:
            text += f" (95 %: {show(100 * item.low)} to {show(100 * item.high)} %)"
    elif item.low is not None and item.high is not None:
        text += f" (95 %: {show(item.low)} to {show(item.high)})"
    if item.rows > 1 and item.tries is None:
        text += f", in {item.good} of {item.rows} rows as asked"
    return f"{text}; {item.outcome}: {item.needs}"
