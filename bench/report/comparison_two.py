"""Two runs as a LaTeX table and as a forest plot: the ratios of each, and what became of them."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

from bench.analysis.compare import Cell, Finding
from bench.analysis.paired import HOLDS, UNRESOLVED
from bench.experiments.base import Column
from bench.report.comparison_figure import Panel, Point
from bench.report.latex import latex_rows
from bench.report.tables import format_value

#: Kinds of results that are a number with an interval in each run.
_RATIOS: Final = ("ratio", "control")


def describe_two(names: Sequence[str], ids: Sequence[str]) -> str:
    """The caption: what is compared, and for how much the intervals hold at once."""
    runs = ", ".join(f"{name}: {run_id}" for name, run_id in zip(names, ids, strict=True))
    return (
        "Ratios that each of two runs has made within itself, and the later over the earlier with the widest interval "
        "that both allow. Intervals of each run's table hold together at 95 %, so those of both, and of the changes of "
        f"a table, at 90 % or more. {runs}."
    )


def write_two_latex(findings: Iterable[Finding], names: Sequence[str], caption: str) -> str:
    """A row per finding that has a place of its own; orders of whole columns are not among them."""
    columns = [Column(title) for title in ("Table", "Row", *names, f"{names[1]}/{names[0]}", "Outcome")]
    rows = [
        [f"{item.place.table}, {item.place.column}", item.place.name,
         *[format_cell(cell, " ", with_verdict=False) for cell in (item.before, item.after, item.change)],
         item.outcome]
        for item in findings if item.place.kind != "rank"
    ]  # fmt: skip
    return latex_rows("comparison", caption, columns, rows, [False, False, True, True, True, False])


def format_cell(cell: Cell | None, gap: str = "\n", *, with_verdict: bool = True) -> str:
    """A value, its verdict, and after ``gap`` its interval."""
    if cell is None:
        return format_value(None)
    ends = [] if cell.low is None else [f"[{format_value(cell.low, '.4g')}, {format_value(cell.high, '.4g')}]"]
    value = format_value(cell.value, "" if isinstance(cell.value, str | bool) else ".4g")
    shown = "".join(letter if letter.isprintable() else "?" for letter in value)
    return gap.join([f"{shown} {cell.verdict}".strip() if with_verdict else shown, *ends])


def list_panels(places: Iterable[tuple[tuple[str, str, str, str], str, Sequence[Cell | None]]]) -> list[Panel]:
    """A panel per column of ratios, a row per ratio that two runs have, controls last.

    ``places`` are experiment, table, kind and column, then the row's name and its cells, one per run.
    """
    groups: dict[tuple[str, str, str], list[tuple[str, str, Sequence[Cell | None]]]] = {}
    for (experiment, table, kind, column), name, cells in places:
        if kind in _RATIOS and sum(cell is not None for cell in cells) > 1:
            groups.setdefault((experiment, table, column), []).append((kind, name, cells))
    panels = []
    for (_, table, column), found in groups.items():
        found.sort(key=lambda item: item[0] == "control")
        rows = [(name, list(_draw(cells, is_control=kind == "control"))) for kind, name, cells in found]
        panels.append(Panel(f"{table}: {column.replace('_', ' ')}", "ratio to its base in the same run", rows))
    return panels


def _draw(cells: Sequence[Cell | None], *, is_control: bool) -> Iterable[Point]:
    for place, cell in enumerate(cells):
        if cell is not None and isinstance(cell.value, int | float):
            ends = (math.nan if cell.low is None else cell.low, math.nan if cell.high is None else cell.high)
            is_resolved = cell.verdict not in {UNRESOLVED, HOLDS, ""}
            yield Point(float(cell.value), *ends, is_resolved, is_control, place)
