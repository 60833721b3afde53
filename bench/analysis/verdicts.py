"""Verdicts on the paper's claims: the rules of `bench.analysis.claims` applied to the tables of one run.

Nothing is typed: each verdict comes with the numbers that made it, and a rule that misses a table, a row or a value
gives none.
"""

import math
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bench.analysis.claims import UNSUPPORTED, UNTESTABLE, UNTESTED, Claim, Rules
from bench.analysis.evidence import Evidence, Rows, run_test


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
