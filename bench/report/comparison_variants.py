"""What `ehrbench compare RUN --variants` prints: ratios of variants within one run, and their forest plot."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.analysis.compare_sources import SOURCES, Measure, Source, read_observations
from bench.analysis.compare_variants import Answer, Contrast, answer, ask
from bench.analysis.paired import HOLDS, UNRESOLVED
from bench.errors import BenchError
from bench.experiments.base import Column
from bench.loading import Run, refuse_name
from bench.report.comparison_figure import Panel, Point, write_figure
from bench.report.comparison_parts import encode_json, render_latex, say_level
from bench.report.tables import format_value
from bench.report.terminal import new_grid, printable, write_plain, write_text

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

_NUMBERS: Final = {
    "ratio": Column("Ratio", "", ".4g"),
    "ratio_low": Column("Low", "", ".4g"),
    "ratio_high": Column("High", "", ".4g"),
    "verdict": Column("Verdict"),
    "pairs": Column("Pairs"),
    "lacking": Column("Lacking"),
}


def compare_variants(
    run: Run, table: str, variants: str, where: Sequence[str], measures: Sequence[str], *, is_pooled: bool
) -> "VariantsFound":
    """The ratios of a table's variants, from the raw repeats of ``run``.

    Raises `BenchError` for words that name nothing, and where nothing was recorded that could be compared.
    """
    if table not in SOURCES:
        raise refuse_name("compare --variants", table, SOURCES)
    source = SOURCES[table]
    if source.experiment not in run.experiments:
        raise BenchError(
            f"{run.folder}: expected the experiment {source.experiment}, found {', '.join(run.experiments)}"
        )
    try:
        observations = read_observations(source, run.rows(source.experiment))
    except KeyError as error:  # runs of older versions
        raise BenchError(
            f"{run.folder}: expected rows of {source.experiment} with {error}, found some without"
        ) from None
    if observations.empty:
        raise BenchError(f"{run.folder}: expected observations for {table}, found none that is ok")
    question = ask(source, observations, variants, where, measures, is_pooled=is_pooled)
    return VariantsFound(run, table, source, answer(source, observations, question))


class VariantsFound:
    """An answer with what it takes to print it."""

    def __init__(self, run: Run, table: str, source: Source, found: Answer) -> None:
        self.run, self.table, self.source, self.found = run, table, source, found
        strata = [dict(item.stratum) for item in found.contrasts]
        names = [name for name in source.factors if any(name in stratum for stratum in strata)]
        #: The factors that tell rows apart, and those that have one level throughout.
        self.varying = [name for name in names if len({stratum.get(name) for stratum in strata}) > 1]
        self.fixed = {name: strata[0][name] for name in names if name not in self.varying}
        #: Measures that are a multiple of another in every row, with that other.
        self.twins = {
            name: own.pop()
            for name in found.question.measures
            if len(own := {item.same_as for item in found.contrasts if item.measure == name}) == 1 and own != {""}
        }

    @property
    def base(self) -> str:
        return self.found.question.levels[0]

    def measure_of(self, item: Contrast) -> Measure:
        return self.source.measures[item.measure]

    def over_of(self, item: Contrast) -> str:
        """What a row is divided by: the base, of a control the level itself."""
        return item.level if item.is_control else self.base

    def name_of(self, item: Contrast) -> str:
        """A row in words: the strata that vary, then the level."""
        stratum, level = self.stratum_of(item), self.level_of(item)
        return f"{stratum}: {level}" if stratum else level

    def stratum_of(self, item: Contrast) -> str:
        """What of the stratum is not the same in all rows, in words."""
        stratum = dict(item.stratum)
        return ", ".join(say_level(name, stratum[name]) for name in self.varying if name in stratum)

    def level_of(self, item: Contrast) -> str:
        return f"{item.level} (A/A)" if item.is_control else item.level

    def describe(self) -> str:
        """The caption: what was divided by what, where it comes from, and for how much the intervals hold at once."""
        found, source, question = self.found, self.source, self.found.question
        fixed = "".join(f", {name} {value}" for name, value in self.fixed.items())
        if question.is_pooled:
            fixed = "".join(f", {name} {' or '.join(levels)}" for name, levels in question.where.items())
            fixed += ", over all combinations of the other factors together"
        what = f"{', '.join(question.levels[1:])} over {self.base} ({question.factor}){fixed}, in run {self.run.id}"
        held = f"all {found.family} ratios at once" if found.family > 1 else "the one ratio"
        how = (
            f"Medians over {source.clusters}, each counted once, with exact sign-test intervals that hold at 95 % for "
            f"{held}; unresolved unless the interval excludes 1 and the effect is at "
            "least 2 %"
        )
        parts = [what, source.how, how]
        return ". ".join([*parts, *self._describe_limits()]) + "."

    def _describe_limits(self) -> list[str]:
        found, clusters = self.found, self.source.clusters
        titles = {name: self.source.measures[name].title for name in self.found.question.measures}
        notes = [
            f"{titles[one]} is a multiple of {titles[other]} here, and counts once" for one, other in self.twins.items()
        ]
        if self.run.status != "complete":
            notes.append(f"The run is {self.run.status}: this is what was recorded until then")
        least = min(item.estimate.clusters for item in found.contrasts if not item.is_control)
        if least < found.needed:
            notes.append(f"So many ratios need {found.needed} {clusters} for an interval, and some have {least}")
        lacking = sum(item.lacking > 0 for item in found.contrasts)
        if lacking:
            notes.append(
                f"{lacking} ratios lack {clusters} in which one of the two failed, was void or was not measured"
            )
        if any(item.is_control for item in found.contrasts):
            notes.append("A/A: a variant over itself, measured a second time in the same pairs; a family of its own")
        else:
            notes.append("No A/A control was measured for these")
        return notes

    # -- for programs --------------------------------------------------------------------------------------------

    def build_frame(self) -> "pd.DataFrame":
        """A row per ratio."""
        import pandas as pd

        others = [name for name in self.source.factors if name in {*self.varying, *self.fixed}]
        rows = [
            {"measure": item.measure, **{name: dict(item.stratum).get(name, "") for name in others},
             self.found.question.factor: item.level, "base": self.over_of(item), "is_control": item.is_control,
             **item.estimate.as_columns(), "pairs": item.estimate.clusters, "lacking": item.lacking,
             "same_as": item.same_as}
            for item in self.found.contrasts
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def write_json(self) -> str:
        """One object: the run, the question, the caption, and every ratio."""
        question = self.found.question
        asked = {"table": self.table, "factor": question.factor, "levels": question.levels, "where": question.where,
                 "measures": question.measures, "is_pooled": question.is_pooled}  # fmt: skip
        content = {
            "run": {"folder": str(self.run.folder), "run_id": self.run.id, "record_sha256": self.run.record_sha256},
            "question": asked, "family": self.found.family, "needed": self.found.needed, "caption": self.describe(),
            "ratios": self.build_frame().to_dict("records"),
        }  # fmt: skip
        return encode_json(content)

    def write_latex(self) -> str:
        """A ``table`` with the caption, a row per ratio."""
        columns = [Column("Measure"), Column(self.found.question.factor.capitalize()), *_NUMBERS.values()]
        rows = [[self.measure_of(item).title, self.name_of(item), *_format(item)] for item in self.found.contrasts]
        numeric = [False, False, True, True, True, False, True, True]
        return render_latex(f"{self.table}-{self.found.question.factor}", self.describe(), columns, rows, numeric)

    # -- for people ----------------------------------------------------------------------------------------------

    def fill(self, console: "Console") -> None:
        """A grid per measure, then the caption."""
        for name in dict.fromkeys(item.measure for item in self.found.contrasts):
            found = [item for item in self.found.contrasts if item.measure == name]
            console.print(printable(f"{self.measure_of(found[0]).title} over that of {self.base}"), style="bold")
            grid = new_grid()
            grid.add_column(self.found.question.factor, overflow="fold")
            for heading in ("ratio", "95 % interval"):
                grid.add_column(heading, justify="right", no_wrap=True)
            grid.add_column("")
            grid.add_column("pairs", justify="right")
            for item in found:
                ratio, low, high, verdict, pairs, _ = _format(item)
                ends = f"[{low}, {high}]" if low != format_value(None) else low
                grid.add_row(printable(self.name_of(item)), ratio, printable(ends), verdict, pairs)
            console.print(grid)
            console.print()
        console.print(printable(self.describe()), style="dim")

    def list_panels(self) -> list[Panel]:
        """A panel per measure that is one of its own, with the same rows."""
        panels = []
        for name in self.found.question.measures:
            if name not in self.twins:
                same = [self.source.measures[twin].title.lower() for twin, own in self.twins.items() if own == name]
                title = " and ".join([self.source.measures[name].title, *same])
                found = [item for item in self.found.contrasts if item.measure == name]
                panels.append(Panel(title, f"ratio to {self.base}", list(self._list_rows(found))))
        return panels

    def _list_rows(self, found: Sequence[Contrast]) -> Iterator[tuple[str, list[Point]]]:
        """A heading per stratum, where there are several, and its levels below it."""
        for stratum, group in groupby(found, key=self.stratum_of):
            if stratum:
                yield stratum, []
            for item in group:
                yield self.level_of(item), [_draw(item)]


def print_variants(found: VariantsFound, form: str, figure: Path | None) -> None:
    """Print ratios as ``form``, and write the figure if one is asked for."""
    if figure is not None:
        write_figure(figure, found.list_panels(), [found.run.id], found.describe(), is_stacked=False)
    if form == "text":
        write_text(found.fill)
    elif form == "csv":
        write_plain(found.build_frame().to_csv(index=False, lineterminator="\n"))
    else:
        write_plain(found.write_json() if form == "json" else found.write_latex())


def _format(item: Contrast) -> list[str]:
    found = item.estimate
    numbers = [format_value(value, ".4g") for value in (found.ratio, found.low, found.high)]
    return [*numbers, found.verdict, str(found.clusters), str(item.lacking)]


def _draw(item: Contrast) -> Point:
    found = item.estimate
    is_resolved = found.verdict not in {UNRESOLVED, HOLDS}
    return Point(found.ratio, found.low, found.high, is_resolved, item.is_control)
