"""What `ehrbench compare A B` prints: text that fits a terminal, CSV, JSON or LaTeX."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.analysis import alike, compare
from bench.analysis.compare import Finding
from bench.analysis.compare_many import Standing, choose_places
from bench.analysis.paired import HOLDS, UNRESOLVED
from bench.analysis.verify import CONFIRMED
from bench.errors import BenchError
from bench.report.build import read_report
from bench.report.comparison_figure import write_figure
from bench.report.comparison_parts import (
    KINDS,
    as_object,
    count_outcomes,
    describe_run,
    encode_json,
    fill_group,
    fill_run,
    list_panels,
    name_cells,
    write_csv,
    write_latex,
)
from bench.report.load import read_content
from bench.report.model import Report
from bench.report.summary import format_time
from bench.report.tables import format_value
from bench.report.terminal import printable, write_plain, write_text

if TYPE_CHECKING:
    from rich.console import Console

#: Differences that are printed one by one.
_MANY: Final = 8
#: What text leaves to be counted.
_QUIET: Final = (UNRESOLVED, compare.SAME, HOLDS, CONFIRMED)
#: What programs call the two runs.
_SIDES: Final = ("before", "after")


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
    one, other = [report.choose(experiments) for report in reports] if experiments else reports
    return TwoRuns(one, other, names, alike.find_differences(read_content(before), read_content(after)))


def print_comparison(
    runs: TwoRuns, form: str, where: Sequence[str] = (), figure: Path | None = None, *, is_whole: bool
) -> None:
    """Print what changed ``where`` a row has some values, and write a figure of the ratios if one is asked for.

    Text and LaTeX list what is unresolved only if ``is_whole``.  Raises `BenchError` as `compare_runs`.
    """
    findings = choose_places(compare.compare_runs(runs.before, runs.after, runs.differences), where)
    items = stand(findings)
    told = [item for item in items if is_whole or item.outcome not in _QUIET]
    if figure is not None:
        write_figure(figure, list_panels(items), runs.names, _describe(runs), is_stacked=True)
    if form == "text":
        write_text(lambda console: _fill(console, runs, items, told, is_whole=is_whole))
    elif form == "latex":
        last = f"{runs.names[1]}/{runs.names[0]}"
        write_plain(write_latex("comparison", _describe(runs), told, runs.names, last))
    else:
        print_data(runs, items, form, {})


def stand(findings: Iterable[Finding]) -> list[Standing]:
    """Findings of two runs as those of several, with the change as the last cell."""
    return [Standing(item.place, (item.before, item.after), item.change, item.outcome) for item in findings]


def print_data(runs: TwoRuns, items: Sequence[Standing], form: str, more: Mapping[str, Any]) -> None:
    """Every result for programs, as csv or, with both runs, their differences and what is ``more``, as json."""
    if form == "csv":
        write_plain(write_csv(items, _SIDES, "change"))
        return
    content = {
        **{side: describe_run(report) for side, report in zip(_SIDES, (runs.before, runs.after), strict=True)},
        "differences": [asdict(item) for item in runs.differences],
        "are_absolute_values_comparable": alike.are_comparable(runs.differences),
        **more,
        "findings": [as_object(item, name_cells(item, _SIDES), "change") for item in items],
    }
    write_plain(encode_json(content))


def _describe(runs: TwoRuns) -> str:
    """The caption: what is compared, and for how much the intervals hold at once."""
    ids = [report.manifest.run_id for report in (runs.before, runs.after)]
    named = ", ".join(f"{name}: {run_id}" for name, run_id in zip(runs.names, ids, strict=True))
    return (
        "Ratios that each of two runs has made within itself, and the later over the earlier with the widest interval "
        "that both allow. Intervals of each run's table hold together at 95 %, so those of both, and of the changes of "
        f"a table, at 90 % or more. {named}."
    )


# -- for people --------------------------------------------------------------------------------------------------


def fill_head(console: "Console", runs: TwoRuns) -> None:
    """Both runs, and in what they differ."""
    for name, report in zip(runs.names, (runs.before, runs.after), strict=True):
        manifest = report.manifest
        changed = ", changed since" if manifest.git.get("is_dirty") else ""
        commit = f"commit {str(manifest.git.get('commit') or 'unknown')[:12]}{changed}"
        fill_run(console, name, [manifest.run_id, format_time(manifest.started), commit], report, report.notices)
    if runs.before.manifest.record_sha256 == runs.after.manifest.record_sha256 is not None:
        console.print("! They are one and the same run.", style="yellow")
    for line in alike.describe_differences(runs.differences, _MANY):
        console.print(f"  {printable(line)}")


def _fill(
    console: "Console", runs: TwoRuns, items: Sequence[Standing], told: Sequence[Standing], *, is_whole: bool
) -> None:
    fill_head(console, runs)
    what = "absolute values are compared, too"
    if not alike.are_comparable(runs.differences):
        what = "machine or versions differ: no absolute value is compared, only ratios within each run"
    console.print(f"They differ in {len(runs.differences) or 'no'} respects; {what}.")
    console.print("B/A is given with the widest interval that both allow; 'changed' excludes 1 and is at least 2 %.\n")
    shown = group(told)
    for title, found in group(items).items():
        if found[0].place.kind != "exact" or title in shown:
            fill_group(console, f"{title}: {count_outcomes(found)}", shown.get(title, ()), runs.names, "change")
    same = sum(item.place.kind == "exact" and item.outcome == compare.SAME for item in items)
    console.print(f"\n{same} exact values are the same.", style="bold")
    if not is_whole and any(item.outcome == UNRESOLVED for item in items):
        console.print("Unresolved rows are counted; --all lists them.", style="dim")


def group(items: Iterable[Standing]) -> dict[str, list[Standing]]:
    """Results by what they are about, in words, in the order in which it first occurs."""
    groups: dict[str, list[Standing]] = {}
    for item in items:
        place = item.place
        what = f"order by {place.column}: {_describe_rank(item)}" if place.kind == "rank" else place.column
        more = f" ({KINDS[place.kind]})" if place.kind not in {"ratio", "rank"} else ""
        groups.setdefault(f"{place.experiment}: {place.table}, {what}{more}", []).append(item)
    return groups


def _describe_rank(item: Standing) -> str:
    rho = format_value(None if item.spread is None else item.spread.value, ".3f")
    return f"rho {rho}, n = {item.place.row[0][1]}"
