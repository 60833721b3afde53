"""What comparisons of two runs, of several and of variants share: CSV, JSON, LaTeX, grids and forest plots."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from bench.analysis.compare import Cell
from bench.analysis.compare_many import Standing
from bench.analysis.paired import HOLDS, UNRESOLVED
from bench.experiments.base import Column
from bench.report.comparison_figure import Panel, Point
from bench.report.latex import latex_rows
from bench.report.model import Report
from bench.report.summary import banner_of
from bench.report.tables import format_value
from bench.report.terminal import new_grid, printable

if TYPE_CHECKING:
    from rich.console import Console

KINDS: Final = {
    "ratio": "ratios",
    "control": "A/A controls",
    "order": "orders of two rows",
    "rank": "orders of columns",
    "exact": "exact values",
    "value": "absolute values",
}

#: How levels of some keys are said.
_LEVELS: Final = {
    "size_bytes": "{} B", "leaves": "{} leaves", "block_transactions": "{} tx per block", "topology": "nodes {}",
}  # fmt: skip
#: Kinds of results that are a number with an interval in each run.
_RATIOS: Final = ("ratio", "control")


def write_csv(items: Iterable[Standing], names: Sequence[str], last: str) -> str:
    """A line per result, with columns for each run and for what came of them; a missing value is an empty field."""
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    sides = [f"{name}{part}" for name in names for part in ("", "_low", "_high", "_verdict")]
    ends = [f"{last}{part}" for part in ("", "_low", "_high")]
    writer.writerow(["experiment", "table", "kind", "column", "row", *sides, *ends, "outcome"])
    for item in items:
        row = ", ".join(f"{key}={value}" for key, value in item.place.row)
        cells = [part for cell in item.cells for part in (cell or ("",) * 4)]
        writer.writerow([*item.place[:4], row, *cells, *(item.spread or ("",) * 4)[:3], item.outcome])
    return output.getvalue()


def as_object(item: Standing, cells: Mapping[str, Any], last: str) -> dict[str, Any]:
    """A result for JSON, with the ``cells`` of its runs."""
    spread = item.spread and item.spread._asdict()
    return {**item.place._asdict(), "row": dict(item.place.row), **cells, last: spread, "outcome": item.outcome}


def name_cells(item: Standing, names: Sequence[str]) -> dict[str, dict[str, Any] | None]:
    """A result's cells by the names of the runs."""
    return {name: cell and cell._asdict() for name, cell in zip(names, item.cells, strict=True)}


def describe_run(report: Report) -> dict[str, Any]:
    """By what a run is told apart, for programs."""
    manifest = report.manifest
    return {"folder": str(report.folder), "run_id": manifest.run_id, "status": manifest.status,
            "record_sha256": manifest.record_sha256}  # fmt: skip


def write_latex(name: str, caption: str, items: Iterable[Standing], names: Sequence[str], last: str) -> str:
    """A row per result that has a place of its own; orders of whole columns are not among them."""
    columns = [Column(title) for title in ("Table", "Row", *names, last, "Outcome")]
    rows = [
        [f"{item.place.table}, {item.place.column}", item.place.name,
         *[format_cell(cell, " ", with_verdict=False) for cell in (*item.cells, item.spread)], item.outcome]
        for item in items if item.place.kind != "rank"
    ]  # fmt: skip
    return render_latex(name, caption, columns, rows, [False, False, *[True] * (len(names) + 1), False])


def fill_run(console: "Console", name: str, facts: Sequence[str], report: Report, notices: Iterable[str]) -> None:
    """A run by its name and facts, and what a reader has to know of it."""
    console.print(printable(f"{name}: {', '.join(facts)}"), style="bold")
    for line in filter(None, [banner_of(report.manifest), *notices]):
        console.print(printable(f"! {line}"), style="yellow")


def count_outcomes(items: Iterable[Standing]) -> str:
    """How many results have which outcome, in words."""
    return ", ".join(f"{count} {outcome}" for outcome, count in Counter(item.outcome for item in items).items())


def fill_group(
    console: "Console", title: str, items: Sequence[Standing], names: Sequence[str], last: str, form: str = ".4g"
) -> None:
    """Results of one column with all values, their intervals below them; of an order the title says all."""
    console.print(printable(title), style="bold")
    if not items or items[0].place.kind == "rank":
        return
    grid = new_grid()
    grid.add_column("", overflow="fold")
    for heading in (*names, last):
        grid.add_column(heading, justify="right", overflow="fold")
    grid.add_column("")
    for item in items:
        cells = [format_cell(cell, form=form) for cell in (*item.cells, item.spread)]
        grid.add_row(printable(item.place.name), *cells, item.outcome)
    console.print(grid)


def render_latex(
    name: str, caption: str, columns: Sequence[Column], rows: Sequence[Sequence[str]], numeric: Sequence[bool]
) -> str:
    """A fragment as a run has them, but for its first line, which names a file of the run."""
    _, _, text = latex_rows(name, caption, columns, rows, numeric).partition("\n")
    return f"% From ehrbench compare; tables/all.tex of a run has the packages that it needs.\n{text}"


def format_cell(cell: Cell | None, gap: str = "\n", *, with_verdict: bool = True, form: str = ".4g") -> str:
    """A value, its verdict, and after ``gap`` its interval; numbers as ``form`` says."""
    if cell is None:
        return format_value(None)
    ends = [] if cell.low is None else [f"[{format_value(cell.low, form)}, {format_value(cell.high, form)}]"]
    value = format_value(cell.value, "" if isinstance(cell.value, str | bool) else form)
    shown = "".join(letter if letter.isprintable() else "?" for letter in value)
    return gap.join([f"{shown} {cell.verdict}".strip() if with_verdict else shown, *ends])


def encode_json(content: Any) -> str:
    """What a comparison found as JSON, which has no NaN (null) and no infinity (a text, as in claims.json)."""
    return json.dumps(_settle(content), indent=1, allow_nan=False) + "\n"


def _settle(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _settle(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_settle(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def list_panels(items: Iterable[Standing]) -> list[Panel]:
    """A panel per column of ratios, a row per ratio that two runs have."""
    groups: dict[tuple[str, str, str], list[Standing]] = {}
    for item in items:
        place = item.place
        if place.kind in _RATIOS and sum(cell is not None for cell in item.cells) > 1:
            groups.setdefault((place.experiment, place.table, place.column), []).append(item)
    return [_make_panel(table, column, found) for (_, table, column), found in groups.items()]


def _make_panel(table: str, column: str, found: Sequence[Standing]) -> Panel:
    """Rows below a heading of the keys before the last, where that makes groups; keys that all share in the title."""
    rows = [dict(item.place.row) for item in found]
    keys = [key for key in rows[0] if key != "is_control"]
    shared = [key for key in keys[:-1] if len({row.get(key) for row in rows}) == 1]
    title = ", ".join([f"{table}: {column.replace('_', ' ')}", *_say(rows[0], shared)])
    groups: dict[str, list[tuple[str, list[Point]]]] = {}
    for row, item in zip(rows, found, strict=True):
        points = list(_draw(item.cells, is_control=item.place.kind == "control"))
        heading = " ".join(_say(row, [key for key in keys[:-1] if key not in shared]))
        groups.setdefault(heading, []).append((" ".join(_say(row, [keys[-1], "is_control"])), points))
    lines: list[tuple[str, list[Point]]] = []
    for heading, group in groups.items():
        if len(groups) == len(rows):
            lines += [(f"{heading} {label}".strip(), points) for label, points in group]
        else:
            lines += [*([(heading, [])] if heading else []), *group]
    return Panel(title, "ratio to its base in the same run", lines)


def _say(row: Mapping[str, object], keys: Iterable[str]) -> list[str]:
    return [say_level(key, str(row[key])) for key in keys if row.get(key) not in {None, ""}]


def say_level(name: str, level: str) -> str:
    """A level with its unit, if it does not say by itself what it is."""
    if name not in _LEVELS:
        return level
    return _LEVELS[name].format(f"{int(level):,}" if level.isdigit() else level)


def _draw(cells: Sequence[Cell | None], *, is_control: bool) -> Iterable[Point]:
    for place, cell in enumerate(cells):
        if cell is not None and isinstance(cell.value, int | float):
            ends = (math.nan if cell.low is None else cell.low, math.nan if cell.high is None else cell.high)
            is_resolved = cell.verdict not in {UNRESOLVED, HOLDS, ""}
            yield Point(float(cell.value), *ends, is_resolved, is_control, place)
