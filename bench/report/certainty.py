"""How sure a verdict is, in words, for every form of the report: what decided it, with which intervals and tries."""

from collections.abc import Collection

from bench.analysis.claims import UNTESTABLE, UNTESTED
from bench.analysis.verdicts import Verdict


def describe_certainty(item: Verdict, flagged: Collection[str] = ()) -> str:
    """Sentences on one verdict; ``flagged`` are the tables of the run whose own controls failed."""
    if item.verdict == UNTESTABLE:
        return "Nothing that can be run here tests it."
    if item.verdict == UNTESTED:
        return "No verdict: the run does not have all that the rule reads."
    tests = item.evidence
    decided = [one for one in tests if one.outcome in {"holds", "fails"}]
    counted = [one.tries for one in decided if one.tries is not None]
    bounded = [one for one in decided if one.tries is None and one.low is not None and one.high is not None]
    plain = len(decided) - len(counted) - len(bounded)
    kinds = (
        (len(bounded), "by a 95 % interval that lies wholly on one side of the limit"),
        (len(counted), f"by counts over {min(counted, default=0):,} tries or more, with their 95 % bounds"),
        (plain, "by values that have no interval (exact, counted, or of one run)"),
    )
    by = "; ".join(f"{number} {how}" for number, how in kinds if number)
    said = f"{len(decided)} of {len(tests)} tests are decided" + (f": {by}." if by else ".")
    if len(decided) < len(tests):
        said += f" {len(tests) - len(decided)} are open: the limit lies within the interval, or too little was tried."
    if marred := sorted({one.table for one in tests} & {*flagged}):
        said += f" A control of {', '.join(marred)} failed: see its caption."
    return said
