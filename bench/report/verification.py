"""What `ehrbench verify` says besides ratios: why results are not comparable, and both runs' verdicts on the claims."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from bench.analysis.alike import describe_differences
from bench.analysis.claims import read_rules
from bench.analysis.verify import OTHER_VERDICT, Match, Verification, match_verdicts
from bench.report.claims import judge_report
from bench.report.model import Report
from bench.report.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console

#: Differences that are named of each kind of result.
_FEW: Final = 4


def match_runs(reference: Report, run: Report) -> list[Match]:
    """The verdicts that the tables of both runs give by today's rules, claim by claim."""
    rules = read_rules()
    return match_verdicts(judge_report(reference, rules), judge_report(run, rules))


def as_json(found: Verification, matches: Sequence[Match]) -> dict[str, Any]:
    """What `verify --format json` has besides findings: ``not_comparable`` and ``claims``."""
    return {
        "not_comparable": {what: [str(item) for item in items] for what, items in found.obstacles.items()},
        "claims": [item._asdict() for item in matches],
    }


def fill_obstacles(console: "Console", found: Verification) -> None:
    """A line per kind of result that is not comparable, with the differences that make it so."""
    for what, items in found.obstacles.items():
        said = "; ".join(describe_differences(items, _FEW))
        console.print(printable(f"Not comparable: {what}, for {said}."), style="dim")


def fill_matches(console: "Console", matches: Sequence[Match], names: tuple[str, str], *, is_whole: bool) -> None:
    """How many claims have the same verdict in both runs; those that have another, or all, line by line."""
    counts = Counter(item.outcome for item in matches)
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    console.print(f"Claims: {said}.", style="bold")
    for item in matches:
        if is_whole or item.outcome == OTHER_VERDICT:
            console.print(printable(f"{item.id} {item.outcome}: {names[0]} {item.reference}, {names[1]} {item.run}"))
