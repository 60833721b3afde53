"""Verdicts on the paper's claims: the rules of `bench.analysis.claims` applied to the tables of one run.

Nothing is typed: each verdict comes with the numbers that made it, and a rule that misses a table, a row or a value
gives none.
"""

import math
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from bench.analysis.claims import UNSUPPORTED, UNTESTABLE, UNTESTED, Claim, Rules, parse_value
from bench.analysis.evidence import Evidence, Rows, run_test

#: Numbers that differ in later digits alone are shown alike.
MOST_DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run says of a claim: the verdict, why in words, and the evidence in the order of the tests.

    ``command`` measures it again as the run did.
    """

    id: str
    claim: Claim
    verdict: str
    says: str
    evidence: tuple[Evidence, ...] = ()
    command: str = ""


def judge_claims(rules: Rules, find_table: Callable[[str], Rows | None], options: str = "") -> tuple[Verdict, ...]:
    """A verdict for each claim; ``find_table`` gives a table's rows by its name, None if the run has none.

    ``options`` are those of the command line that the run was made with.
    """
    found = (judge_claim(claim_id, claim, find_table) for claim_id, claim in rules.claims.items())
    return tuple(replace(item, command=item.claim.show_command(options)) for item in found)


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


def fill(text: str, found: Mapping[str, Evidence]) -> str:
    """``text`` with the numbers of the tests that it names."""
    parts = []
    for literal, field, _, _ in string.Formatter().parse(text):
        name, _, part = (field or "").partition(".")
        shown = show(getattr(found[name], part or "value"), find_digits(found[name])) if field else ""
        parts += [literal, shown]
    return "".join(parts)


def show(value: float | str | None, digits: int = 3) -> str:
    """A number with three digits or more (whole ones in full), a text as it is, a missing value as 'none'.

    An infinite one is a crossing beyond what was tried (see `bench.analysis.knee`), and is told so.
    """
    if value is None or isinstance(value, str):
        return value or "none"
    if math.isinf(value):
        return "more than was tried" if value > 0 else "less than was tried"
    is_whole, size = float(value).is_integer(), abs(value)
    if is_whole and size < 1e12:
        return f"{value:,.0f}"
    return f"{value:,.{max(digits - len(f'{size:.0f}'), 0)}f}" if 1000 <= size < 1e6 else f"{value:.{digits}g}"


def find_digits(item: Evidence) -> int:
    """How many digits tell a test's number, its ends and its limit apart where they differ; three or more."""
    limit = parse_value(item.needs.partition(" ")[2])
    given = [item.value, limit] if item.tries is not None else [item.value, item.low, item.high, limit]
    numbers = {value for value in given if isinstance(value, float | int)}
    return next((digits for digits in range(3, MOST_DIGITS) if len({show(value, digits) for value in numbers})
                 == len(numbers)), MOST_DIGITS)  # fmt: skip


def describe(item: Evidence) -> str:
    """The evidence's number, interval, rows and outcome on one line."""
    if item.outcome == "missing":
        return item.reason
    digits = find_digits(item)
    text = show(item.value, digits)
    if item.tries is not None:
        text += f" of {item.tries:,}"
        if item.low is not None and item.high is not None:
            text += f" (95 %: {show(100 * item.low)} to {show(100 * item.high)} %)"
    elif item.low is not None and item.high is not None:
        text += f" (95 %: {show(item.low, digits)} to {show(item.high, digits)})"
    if item.rows > 1 and item.tries is None:
        text += f", in {item.good} of {item.rows} rows as asked"
    return f"{text}; {item.outcome}: {item.needs}"
