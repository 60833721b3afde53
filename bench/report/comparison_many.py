"""What `ehrbench compare A B C` prints: a column per run, what tells the runs apart, and which ratios are stable."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.analysis import compare_many as many
from bench.analysis.compare import ids_of
from bench.analysis.compare_many import ALONE, DIFFERS, REVERSED, STABLE, Alike, Standing
from bench.analysis.paired import HOLDS, UNRESOLVED, VIOLATED, judge_together
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
from bench.report.terminal import new_grid, printable, write_plain, write_text

if TYPE_CHECKING:
    from rich.console import Console

_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: What text lists even without ``--all``.
_TOLD: Final = (STABLE, DIFFERS, REVERSED, VIOLATED)
_FACT_NAMES: Final = {"sha_ni": "SHA-NI", "packages.ehrbench": "ehrbench", "python": "Python"}
_LONG_FACT: Final = 28


@dataclass(frozen=True, slots=True)
class ManyRuns:
    """Runs in groups of what they ran on, what they are called, and in what they differ."""

    reports: tuple[Report, ...]
    names: tuple[str, ...]
    alike: Alike

    def describe(self) -> list[str]:
        """Each run by the facts that tell it apart, or by its id where it is like all others."""
        facts = [fact for fact in self.alike.facts if not fact.key.startswith("git.")]
        told = [", ".join(_describe_fact(fact.key, fact.values[at]) for fact in facts) for at in range(len(self.names))]
        named = zip(self.names, told, self.reports, strict=True)
        return [f"{name}: {words or report.manifest.run_id}" for name, words, report in named]


def _describe_fact(key: str, value: Any) -> str:
    text = _shorten(value)
    if text.startswith("OpenSSL"):
        return f"{text} ({key.rpartition('_')[2]})"
    return text if key == "machine.cpu" else f"{_name_fact(key)} {text}"


def _name_fact(key: str) -> str:
    bare = key.split(".", 1)[1]
    return _FACT_NAMES.get(bare, bare.replace("_", " "))


def _shorten(value: Any) -> str:
    """A value of a manifest in few letters; of a digest its beginning."""
    text = "unknown" if value is None else printable(str(value))
    if len(text) <= _LONG_FACT:
        return text
    return text[:12] if text.isalnum() else f"{text[:_LONG_FACT]}…"


def _list_notices(report: Report) -> list[str]:
    """What a reader has to know of the run and of the experiments that are compared."""
    left_out = [f"{name}:" for name in report.manifest.experiments if name not in ids_of(report)]
    return [line for line in report.notices if not line.startswith(tuple(left_out))]


def read_many(folders: Sequence[Path], experiments: Sequence[str] = ()) -> ManyRuns:
    """The runs with the named experiments (all if none), their intervals made to hold over all of them at once.

    Raises `BenchError` for experiments that no two have, and where two asked different questions.
    """
    if not 1 < len(folders) <= len(_LETTERS):
        raise BenchError(f"compare: expected 2 to {len(_LETTERS)} runs, found {len(folders)}")
    with judge_together(len(folders)):
        reports = [read_report(folder) for folder in folders]
    counts = Counter(name for report in reports for name in ids_of(report))
    common = [name for name, count in counts.items() if count > 1]
    for name in experiments:
        if name not in common:
            raise BenchError(f"experiment: expected one of two runs or more ({', '.join(common)}), found {name!r}")
    if not common:
        raise BenchError(f"{folders[0]}: expected an experiment that another run has, too, found none")
    reports = [report.choose(experiments or common) for report in reports]
    contents = [read_content(folder) for folder in folders]
    many.refuse_unlike(reports, contents, [str(folder) for folder in folders])
    order = [place for group in many.tell_apart(contents).groups for place in group]
    reports, contents = [reports[place] for place in order], [contents[place] for place in order]
    return ManyRuns(tuple(reports), tuple(_LETTERS[: len(order)]), many.tell_apart(contents))


def print_many(
    runs: ManyRuns, form: str, where: Sequence[str], tolerance: float, figure: Path | None, *, is_whole: bool
) -> None:
    """Print what all runs say, as ``form``; text and LaTeX list what is unresolved only if ``is_whole``."""
    standings = many.choose_places(many.compare_many(runs.reports, runs.alike, tolerance), where)
    caption = describe_many(runs, tolerance, sum(map(_has_gap, standings)))
    if figure is not None:
        write_figure(figure, list_panels(standings), runs.describe(), caption, is_stacked=True)
    if form == "text":
        write_text(lambda console: _fill(console, runs, standings, caption, is_whole=is_whole))
    elif form == "csv":
        write_plain(write_csv(standings, runs.names, "spread"))
    elif form == "json":
        write_plain(_write_json(runs, standings, caption))
    else:
        told = [item for item in standings if is_whole or item.outcome in _TOLD]
        named = f"{caption} {'. '.join(runs.describe())}."
        write_plain(write_latex("runs", named, told, runs.names, "Greatest/least"))


def _has_gap(item: Standing) -> bool:
    return item.place.kind == "ratio" and any(cell is not None and cell.low is None for cell in item.cells)


def describe_many(runs: ManyRuns, tolerance: float, gaps: int = 0) -> str:
    """The caption: what is compared, for how much the intervals hold at once, what the outcomes mean.

    ``gaps`` counts the ratios of which a run has too few repeats for such an interval.
    """
    count = len(runs.names)
    few = f" {gaps} ratios have none in some run: it has too few repeats for so many at once." if gaps else ""
    return (
        f"Ratios that each of {count} runs has made within itself. Intervals hold at 95 % for each table over the "
        f"{count} runs at once.{few} Stable: the greatest over the least is within {tolerance * 100:g} %, with the "
        "widest interval that the runs allow; differs: that interval lies wholly beyond; reversed: two runs resolved "
        "it the other way round; unresolved otherwise, which is no claim that it is the same. Absolute values only "
        "where machine and versions are the same."
    )


def _write_json(runs: ManyRuns, standings: Iterable[Standing], caption: str) -> str:
    content = {
        "runs": {name: describe_run(report) for name, report in zip(runs.names, runs.reports, strict=True)},
        "groups": [[runs.names[place] for place in group] for group in runs.alike.groups],
        "absolute_values_comparable": [[runs.names[place] for place in group] for group in runs.alike.classes],
        "differences": {fact.key: dict(zip(runs.names, fact.values, strict=True)) for fact in runs.alike.facts},
        "other_differences": runs.alike.others,
        "caption": caption,
        "findings": [as_object(item, {"runs": name_cells(item, runs.names)}, "spread") for item in standings],
    }
    return encode_json(content)


def _fill(console: "Console", runs: ManyRuns, standings: Sequence[Standing], caption: str, *, is_whole: bool) -> None:
    _fill_head(console, runs)
    groups: dict[tuple[str, ...], list[Standing]] = {}
    for item in standings:
        groups.setdefault(item.place[:4], []).append(item)
    for (experiment, table, kind, column), found in groups.items():
        shown = [item for item in found if is_whole or item.outcome in _TOLD]
        title = f"{experiment}: {table}, {column} ({KINDS[kind]}): {count_outcomes(found)}"
        fill_group(console, title, shown, runs.names, "max/min", ".3g")
    console.print()
    console.print(printable(caption), style="dim")
    if not is_whole and any(item.outcome in {UNRESOLVED, ALONE, HOLDS} for item in standings):
        console.print("What is unresolved, holds or stands in one run is counted; --all lists it.", style="dim")


def _fill_head(console: "Console", runs: ManyRuns) -> None:
    """The runs, group by group, and a line per fact that tells them apart."""
    for number, group in enumerate(runs.alike.groups, start=1):
        among = f" (group {number})" if len(runs.alike.groups) > 1 else ""
        for place in group:
            report = runs.reports[place]
            facts = [report.manifest.run_id, format_time(report.manifest.started)]
            fill_run(console, f"{runs.names[place]}{among}", facts, report, _list_notices(report))
    digests = [report.manifest.record_sha256 for report in runs.reports]
    if len(set(digests)) < len(digests):
        console.print("! Two of them are one and the same run.", style="yellow")
    if runs.alike.facts:
        grid = new_grid()
        for heading in ("what differs", *runs.names):
            grid.add_column(heading, overflow="fold")
        for fact in runs.alike.facts:
            grid.add_row(_name_fact(fact.key), *[_shorten(value) for value in fact.values])
        console.print(grid)
    rest = f"{runs.alike.others} other values of their manifests differ, too" if runs.alike.others else ""
    words = [] if runs.alike.facts else ["They ran the same code on the same machine, with the same versions"]
    console.print(f"{'; '.join(filter(None, [*words, rest]))}.\n" if words or rest else "")
