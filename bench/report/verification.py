"""What `ehrbench verify` prints: what a run confirms of a reference, what is not comparable, and the claims of both."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from bench.analysis.alike import describe_differences, find_explanations
from bench.analysis.claims import read_rules
from bench.analysis.paired import UNRESOLVED
from bench.analysis.verify import (
    CONFIRMED,
    CONTRADICTED,
    MISSING,
    NEW,
    OTHER_VERDICT,
    OUTCOMES,
    UNLIKE,
    Match,
    Verification,
    match_verdicts,
    verify_runs,
)
from bench.errors import BenchError
from bench.report.claims import judge_report
from bench.report.comparison import TwoRuns, fill_head, group, print_data, stand
from bench.report.comparison_parts import KINDS, fill_group
from bench.report.terminal import new_grid, printable, write_text

if TYPE_CHECKING:
    from rich.console import Console

#: Differences that are named of each kind of result.
_FEW: Final = 4


def print_verification(runs: TwoRuns, tolerance: float, form: str, *, is_whole: bool) -> bool:
    """Print what is confirmed and what is not; whether nothing is contradicted.

    Raises `BenchError` if there is nothing that can be held against each other.
    """
    found = verify_runs(runs.before, runs.after, runs.differences, tolerance)
    if not {outcome for _, outcome in found.counts} - {MISSING, NEW}:
        raise BenchError(f"{runs.after.folder}: expected results that {runs.before.folder} has, too, found none")
    rules = read_rules()
    matches = match_verdicts(judge_report(runs.before, rules), judge_report(runs.after, rules))
    if form == "text":
        write_text(lambda console: _fill(console, runs, found, matches, is_whole=is_whole))
    else:
        more = {
            "tolerance": tolerance,
            "counts": {f"{kind} {outcome}": count for (kind, outcome), count in sorted(found.counts.items())},
            "not_comparable": {what: [str(item) for item in items] for what, items in found.obstacles.items()},
            "claims": [item._asdict() for item in matches],
        }
        print_data(runs, stand(found.findings), form, more)
    # A run in which nothing is resolved contradicts nothing, and confirms nothing either.
    return not found.select(CONTRADICTED) and any(outcome == CONFIRMED for _, outcome in found.counts)


def _fill(console: "Console", runs: TwoRuns, found: Verification, matches: Sequence[Match], *, is_whole: bool) -> None:
    fill_head(console, runs)
    if explaining := ", ".join(item.key for item in find_explanations(runs.differences)):
        console.print(printable(f"Other ratios may be explained by {explaining}."), style="yellow")
    grid = new_grid()
    grid.add_column("")
    for outcome in OUTCOMES:
        grid.add_column(outcome, justify="right")
    for kind, name in KINDS.items():
        counts = [found.counts.get((kind, outcome), 0) for outcome in OUTCOMES]
        if any(counts):
            grid.add_row(name, *map(str, counts))
    console.print(grid)
    for what, items in found.obstacles.items():
        said = "; ".join(describe_differences(items, _FEW))
        console.print(printable(f"Not comparable: {what}, for {said}."), style="dim")
    for outcome in (CONTRADICTED, *((CONFIRMED, UNRESOLVED, UNLIKE, MISSING, NEW) if is_whole else ())):
        for title, members in group(stand(found.select(outcome))).items():
            console.print()
            fill_group(console, f"{outcome}: {title}", members, runs.names, "change")
    bad, good = (sum(found.counts.get((kind, outcome), 0) for kind in KINDS) for outcome in (CONTRADICTED, CONFIRMED))
    console.print(f"\n{bad or 'No'} results are contradicted, {good or 'none'} are confirmed.", style="bold")
    _fill_matches(console, matches, runs.names, is_whole=is_whole)


def _fill_matches(console: "Console", matches: Sequence[Match], names: tuple[str, str], *, is_whole: bool) -> None:
    """How many claims have the same verdict in both runs; those that have another, or all, line by line."""
    counts = Counter(item.outcome for item in matches)
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    console.print(f"Claims: {said}.", style="bold")
    for item in matches:
        if is_whole or item.outcome == OTHER_VERDICT:
            console.print(printable(f"{item.id} {item.outcome}: {names[0]} {item.reference}, {names[1]} {item.run}"))
