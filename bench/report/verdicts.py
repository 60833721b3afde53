"""What `ehrbench claims` prints: the verdicts of a run as text, as its claims.json, or as the section of its report."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import experiments
from bench.analysis.claims import UNTESTED, VERDICTS, read_rules, validate_places
from bench.errors import BenchError
from bench.report.build import read_report
from bench.report.claims import (
    FILE,
    cite,
    count_verdicts,
    describe_rules,
    judge_report,
    list_untested,
    markdown_blocks,
    shown,
    write_json,
)
from bench.report.load import read_bytes
from bench.report.rules import render_rules
from bench.report.summary import banner_of
from bench.report.terminal import new_grid, printable, write_plain, write_text

if TYPE_CHECKING:
    from rich.console import Console

    from bench.report.model import Report

_COLORS: Final = dict(zip(VERDICTS, ("green", "yellow", "magenta", "red", "dim", "dim"), strict=True))


def print_verdicts(folder: Path, only: Sequence[str], form: str, *, is_whole: bool) -> bool:
    """Print what the run in ``folder`` says of the claims ``only`` (all if none); whether it keeps the same verdicts.

    Raises `BenchError` for an unknown claim, for rules that do not fit the experiments, and as `read_report`.
    """
    rules = read_rules()
    validate_places(rules, (experiments.find_experiment(name) for name in experiments.QUESTIONS))
    for name in only:
        if name not in rules.claims:
            raise BenchError(f"--only: expected a claim (C01 to C{len(rules.claims)}), found {name!r}")
    report = read_report(folder)
    every = judge_report(report, rules)
    report = replace(report, verdicts=tuple(item for item in every if not only or item.id in only))
    if form == "json":
        write_plain(write_json(report, report.verdicts, rules))
    elif form == "markdown":
        write_plain("\n\n".join(markdown_blocks(report)) + "\n")
    else:
        if banner := banner_of(report.manifest):
            write_plain(f"! {banner}\n")
        write_text(lambda console: _fill(console, report, is_whole=is_whole))
    if are_kept(folder, write_json(report, every, rules)):
        return True
    sys.stderr.write(
        f"ehrbench: {folder / FILE}: expected the verdicts that the run's rows give by today's rules, found others: "
        f"ehrbench report {folder} writes them anew\n"
    )
    return False


def print_rules() -> None:
    """Print the page of the claims and their rules."""
    write_plain(render_rules(read_rules()))


def are_kept(folder: Path, text: str) -> bool:
    """Whether the run's file of verdicts says what ``text`` does; so it does if there is none."""
    return not (folder / FILE).exists() or read_bytes(folder / FILE) == text.encode()


def _fill(console: "Console", report: "Report", *, is_whole: bool) -> None:
    """The verdicts; with all of the evidence and the rules if ``is_whole``."""
    from rich.text import Text

    verdicts = report.verdicts

    grid = new_grid()
    grid.add_column("")
    grid.add_column("What the paper says", ratio=2)
    grid.add_column("Verdict", ratio=3)
    for item in shown(verdicts):
        found = Text.assemble((item.verdict, _COLORS[item.verdict]), f": {printable(item.says)}")
        if is_whole:
            lines = [*map(cite, item.evidence), f"rule: {item.claim.why}" if item.claim.why else "",
                     f"$ {item.command}" if item.command else ""]  # fmt: skip
            found.append("".join(f"\n- {printable(line)}" for line in lines if line), style="dim")
        grid.add_row(item.id, Text(f"{item.claim.says} ({item.claim.place})"), found)
    if grid.row_count:
        console.print(grid)
    for item in verdicts if is_whole or len(verdicts) == 1 else ():
        if item.verdict == UNTESTED:
            console.print(Text(printable(f"{item.id} has no verdict: {item.says}")))
    for line in filter(None, [list_untested(verdicts), f"{len(verdicts)} claims: {count_verdicts(verdicts)}."]):
        console.print(Text(line), style="bold")
    if verdicts:
        console.print(Text(describe_rules(report)))
