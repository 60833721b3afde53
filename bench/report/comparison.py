"""What `ehrbench compare` and `ehrbench verify` print: text that fits a terminal, CSV or JSON."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.analysis import alike, compare, verify
from bench.analysis.compare import Finding
from bench.analysis.compare_many import choose_places
from bench.analysis.paired import HOLDS, UNRESOLVED
from bench.analysis.verify import CONFIRMED, CONTRADICTED, MISSING, NEW, OUTCOMES, Verification
from bench.errors import BenchError
from bench.report.build import read_report
from bench.report.comparison_figure import write_figure
from bench.report.comparison_two import describe_two, encode_json, format_cell, list_panels, write_two_latex
from bench.report.load import read_content
from bench.report.model import Report
from bench.report.summary import banner_of, format_time
from bench.report.tables import format_value
from bench.report.terminal import printable, write_plain, write_text
from bench.report.verification import as_json, fill_matches, fill_obstacles, match_runs

if TYPE_CHECKING:
    from rich.console import Console

#: Differences that are printed one by one.
_MANY: Final = 8
KINDS: Final = {
    "ratio": "ratios",
    "control": "A/A controls",
    "order": "orders of two rows",
    "rank": "orders of columns",
    "exact": "exact values",
    "value": "absolute values",
}


@dataclass(frozen=True, slots=True)
class TwoRuns:
    """Two runs, what the output calls them, and in what they differ."""

    before: Report
    after: Report
    names: tuple[str, str]
    differences: list[alike.Difference]


def read_runs(before: Path, after: Path, names: tuple[str, str], experiments: Sequence[str] = ()) -> TwoRuns:
    """Both runs with the named experiments (all if none); `BenchError` if they have none in common."""
    reports = [read_report(folder) for folder in (before, after)]
    common = [name for name in compare.ids_of(reports[1]) if name in compare.ids_of(reports[0])]
    if not common:
        raise BenchError(f"{after}: expected an experiment that {before} has, too, found none")
    for name in experiments:
        if name not in common:
            raise BenchError(f"experiment: expected one of both runs ({', '.join(common)}), found {name!r}")
    if experiments:
        chosen = [[item for item in report.sections if item.experiment.id in experiments] for report in reports]
        reports = [replace(report, sections=tuple(kept)) for report, kept in zip(reports, chosen, strict=True)]
    return TwoRuns(reports[0], reports[1], names, alike.find_differences(read_content(before), read_content(after)))


def print_comparison(
    runs: TwoRuns, form: str, where: Sequence[str] = (), figure: Path | None = None, *, is_whole: bool
) -> None:
    """Print what changed ``where`` a row has some values, and write a figure of the ratios if one is asked for.

    Text and LaTeX list what is unresolved only if ``is_whole``.  Raises `BenchError` as `compare_runs`.
    """
    findings = choose_places(compare.compare_runs(runs.before, runs.after, runs.differences), where)
    caption = describe_two(runs.names, [report.manifest.run_id for report in (runs.before, runs.after)])
    if figure is not None:
        panels = list_panels((item.place, (item.before, item.after)) for item in findings)
        write_figure(figure, panels, runs.names, caption, is_stacked=True)
    if form == "latex":
        told = [item for item in findings if is_whole or item.outcome not in _QUIET]
        write_plain(write_two_latex(told, runs.names, caption))
        return
    _print(runs, findings, form, lambda console: _fill_comparison(console, runs, findings, is_whole=is_whole), {})


def print_verification(runs: TwoRuns, tolerance: float, form: str, *, is_whole: bool) -> bool:
    """Print what is confirmed and what is not; whether nothing is contradicted.

    Raises `BenchError` if there is nothing that can be held against each other.
    """
    found = verify.verify_runs(runs.before, runs.after, runs.differences, tolerance)
    if not {outcome for _, outcome in found.counts} - {MISSING, NEW}:
        raise BenchError(f"{runs.after.folder}: expected results that {runs.before.folder} has, too, found none")
    counts = {f"{kind} {outcome}": count for (kind, outcome), count in sorted(found.counts.items())}
    matches = match_runs(runs.before, runs.after)
    more = {"tolerance": tolerance, "counts": counts, **as_json(found, matches)}

    def fill(console: "Console") -> None:
        _fill_verification(console, runs, found, is_whole=is_whole)
        fill_matches(console, matches, runs.names, is_whole=is_whole)

    _print(runs, found.findings, form, fill, more)
    # A run in which nothing is resolved contradicts nothing, and confirms nothing either.
    return not found.select(CONTRADICTED) and any(outcome == CONFIRMED for _, outcome in found.counts)


def _print(
    runs: TwoRuns,
    findings: Sequence[Finding],
    form: str,
    fill: Callable[["Console"], None],
    more: Mapping[str, Any],
) -> None:
    if form == "text":
        write_text(fill)
    else:
        write_plain(write_csv(findings) if form == "csv" else write_json(runs, findings, more))


# -- for programs ------------------------------------------------------------------------------------------------


def write_csv(findings: Iterable[Finding]) -> str:
    """A line per finding; a missing value is an empty field."""
    output = io.StringIO()
    sides = [f"{side}{part}" for side in ("before", "after") for part in ("", "_low", "_high", "_verdict")]
    writer = csv.writer(output, lineterminator="\n")
    header = ["experiment", "table", "kind", "column", "row", *sides, "change", "change_low", "change_high", "outcome"]
    writer.writerow(header)
    for item in findings:
        row = ", ".join(f"{key}={value}" for key, value in item.place.row)
        cells = [*(item.before or ("",) * 4), *(item.after or ("",) * 4), *(item.change or ("",) * 4)[:3]]
        writer.writerow([*item.place[:4], row, *cells, item.outcome])
    return output.getvalue()


def write_json(runs: TwoRuns, findings: Iterable[Finding], more: Mapping[str, Any]) -> str:
    """One object: both runs, their differences, and every finding."""
    content = {
        **{side: describe_run(report) for side, report in (("before", runs.before), ("after", runs.after))},
        "differences": [asdict(item) for item in runs.differences],
        "are_absolute_values_comparable": alike.are_comparable(runs.differences),
        **more,
        "findings": [
            {
                **item.place._asdict(),
                "row": dict(item.place.row),
                **{side: cell and cell._asdict() for side, cell in (("before", item.before), ("after", item.after))},
                "change": item.change and item.change._asdict(),
                "outcome": item.outcome,
            }
            for item in findings
        ],
    }
    return encode_json(content)


def describe_run(report: Report) -> dict[str, Any]:
    """By what a run is told apart, for programs."""
    manifest = report.manifest
    return {"folder": str(report.folder), "run_id": manifest.run_id, "status": manifest.status,
            "record_sha256": manifest.record_sha256}  # fmt: skip


# -- for people --------------------------------------------------------------------------------------------------


def _fill_head(console: "Console", runs: TwoRuns) -> None:
    for name, report in zip(runs.names, (runs.before, runs.after), strict=True):
        manifest = report.manifest
        changed = ", changed since" if manifest.git.get("is_dirty") else ""
        commit = f"commit {str(manifest.git.get('commit') or 'unknown')[:12]}{changed}"
        facts = [manifest.run_id, format_time(manifest.started), commit]
        console.print(printable(f"{name}: {', '.join(facts)}"), style="bold")
        for line in filter(None, [banner_of(manifest), *report.notices]):
            console.print(printable(f"! {line}"), style="yellow")
    if runs.before.manifest.record_sha256 == runs.after.manifest.record_sha256 is not None:
        console.print("! They are one and the same run.", style="yellow")
    for line in alike.describe_differences(runs.differences, _MANY):
        console.print(f"  {printable(line)}")


def _fill_comparison(console: "Console", runs: TwoRuns, findings: Sequence[Finding], *, is_whole: bool) -> None:
    _fill_head(console, runs)
    what = "absolute values are compared, too"
    if not alike.are_comparable(runs.differences):
        what = "machine or versions differ: no absolute value is compared, only ratios within each run"
    console.print(f"They differ in {len(runs.differences) or 'no'} respects; {what}.")
    console.print("B/A is given with the widest interval that both allow; 'changed' excludes 1 and is at least 2 %.\n")
    for title, found in _group(findings):
        counts = Counter(item.outcome for item in found)
        said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
        shown = [item for item in found if is_whole or item.outcome not in _QUIET]
        if found[0].place.kind != "exact" or shown:
            _fill_group(console, f"{title}: {said}", shown, runs.names)
    same = sum(item.place.kind == "exact" and item.outcome == compare.SAME for item in findings)
    console.print(f"\n{same} exact values are the same.", style="bold")
    if not is_whole and any(item.outcome == UNRESOLVED for item in findings):
        console.print("Unresolved rows are counted; --all lists them.", style="dim")


#: What text leaves to be counted.
_QUIET: Final = (UNRESOLVED, compare.SAME, HOLDS, CONFIRMED)


def _group(findings: Iterable[Finding]) -> Iterable[tuple[str, list[Finding]]]:
    """The findings by what they are about, in words, in the order in which it first occurs."""
    groups: dict[str, list[Finding]] = {}
    for item in findings:
        place = item.place
        what = f"order by {place.column}: {_describe_rank(item)}" if place.kind == "rank" else place.column
        more = f" ({KINDS[place.kind]})" if place.kind not in {"ratio", "rank"} else ""
        groups.setdefault(f"{place.experiment}: {place.table}, {what}{more}", []).append(item)
    return groups.items()


def _describe_rank(item: Finding) -> str:
    rho = format_value(None if item.change is None else item.change.value, ".3f")
    return f"rho {rho}, n = {item.place.row[0][1]}"


def _fill_verification(console: "Console", runs: TwoRuns, found: Verification, *, is_whole: bool) -> None:
    from rich import box
    from rich.table import Table as Grid

    _fill_head(console, runs)
    if explaining := ", ".join(item.key for item in alike.find_explanations(runs.differences)):
        console.print(printable(f"Other ratios may be explained by {explaining}."), style="yellow")
    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    grid.add_column("")
    for outcome in OUTCOMES:
        grid.add_column(outcome, justify="right")
    for kind, name in KINDS.items():
        if any(found.counts.get((kind, outcome)) for outcome in OUTCOMES):
            grid.add_row(name, *[str(found.counts.get((kind, outcome), 0)) for outcome in OUTCOMES])
    console.print(grid)
    fill_obstacles(console, found)
    for outcome in (CONTRADICTED, *((CONFIRMED, UNRESOLVED, verify.UNLIKE, MISSING, NEW) if is_whole else ())):
        for title, group in _group(found.select(outcome)):
            console.print()
            _fill_group(console, f"{outcome}: {title}", group, runs.names)
    bad, good = (sum(found.counts.get((kind, outcome), 0) for kind in KINDS) for outcome in (CONTRADICTED, CONFIRMED))
    console.print(f"\n{bad or 'No'} results are contradicted, {good or 'none'} are confirmed.", style="bold")


def _fill_group(console: "Console", title: str, findings: Sequence[Finding], names: tuple[str, str]) -> None:
    """Findings of one column with both values, their intervals below them; of an order the title says all."""
    from rich import box
    from rich.table import Table as Grid

    console.print(printable(title), style="bold")
    if not findings or findings[0].place.kind == "rank":
        return
    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    grid.add_column("", overflow="fold")
    for heading in (*names, "change"):
        grid.add_column(heading, justify="right", overflow="fold")
    grid.add_column("")
    for item in findings:
        cells = [format_cell(cell) for cell in (item.before, item.after, item.change)]
        grid.add_row(printable(item.place.name), *cells, item.outcome)
    console.print(grid)
