"""Two runs as a LaTeX table and a forest plot (the ratios of each, what became of them), and comparisons as JSON."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from bench.analysis.compare import Cell, Finding, Place
from bench.analysis.paired import HOLDS, UNRESOLVED
from bench.experiments.base import Column
from bench.report.comparison_figure import Panel, Point
from bench.report.latex import latex_rows
from bench.report.tables import format_value

#: How levels of some keys are said.
_LEVELS: Final = {
    "size_bytes": "{} B", "leaves": "{} leaves", "block_transactions": "{} tx per block", "topology": "nodes {}",
}  # fmt: skip
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
    return render_latex("comparison", caption, columns, rows, [False, False, True, True, True, False])


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


def list_panels(places: Iterable[tuple[Place, Sequence[Cell | None]]]) -> list[Panel]:
    """A panel per column of ratios, a row per ratio that two runs have; cells are one per run."""
    groups: dict[tuple[str, str, str], list[tuple[Place, Sequence[Cell | None]]]] = {}
    for place, cells in places:
        if place.kind in _RATIOS and sum(cell is not None for cell in cells) > 1:
            groups.setdefault((place.experiment, place.table, place.column), []).append((place, cells))
    return [_make_panel(table, column, found) for (_, table, column), found in groups.items()]


def _make_panel(table: str, column: str, found: Sequence[tuple[Place, Sequence[Cell | None]]]) -> Panel:
    """Rows below a heading of the keys before the last, where that makes groups; keys that all share in the title."""
    rows = [dict(place.row) for place, _ in found]
    keys = [key for key in rows[0] if key != "is_control"]
    shared = [key for key in keys[:-1] if len({row.get(key) for row in rows}) == 1]
    title = ", ".join([f"{table}: {column.replace('_', ' ')}", *_say(rows[0], shared)])
    groups: dict[str, list[tuple[str, list[Point]]]] = {}
    for row, (place, cells) in zip(rows, found, strict=True):
        points = list(_draw(cells, is_control=place.kind == "control"))
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
