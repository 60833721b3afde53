"""Tables as files and as markup: tidy CSV of all values, and LaTeX, Markdown and HTML that a person reads.

All readable forms show the same text: `format_rows` formats, the others only escape and lay out.  LaTeX and print show
the columns that tell.
"""

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from bench.experiments.base import Column, Table
from bench.files import write_atomic
from bench.report.latex import latex_table
from bench.report.layout import main_columns, print_columns

if TYPE_CHECKING:
    import pandas as pd

#: What stands for a missing value: an en dash.
MISSING: Final = "–"
_LONG_CELL: Final = 24
_SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MARKDOWN: Final = re.compile(r"([\\`*_\[\]|~#])")


def write_table(table: Table, frame: "pd.DataFrame", folder: Path) -> list[Path]:
    """Write ``<name>.csv`` and ``<name>.tex``; paths of both.

    Raises `ValueError` if the frame's columns are not the table's, and `BenchError` if a file cannot be written.
    """
    columns = main_columns(table, print_columns(table, frame))
    contents = {
        "csv": frame.to_csv(index=False, lineterminator="\n"),
        "tex": latex_table(table.name, table.caption, columns, len(frame.columns)),
    }
    paths = {folder / f"{table.name}.{suffix}": content for suffix, content in contents.items()}
    for path, content in paths.items():
        write_atomic(path, content)
    return list(paths)


def check_columns(table: Table, frame: "pd.DataFrame") -> None:
    """Raise `ValueError`, as for a bug, unless the frame has exactly the table's columns in the table's order."""
    expected, found = list(table.columns), list(frame.columns)
    if expected != found:
        raise ValueError(f"table {table.name}: expected the columns {expected}, found {found}")
    unknown = [name for name in table.highlights if name not in table.columns]
    if unknown:
        raise ValueError(f"table {table.name}: expected highlights among its columns, found {unknown}")


def format_value(value: Any, form: str = "") -> str:
    """A cell's text: a number by ``form``, a truth as yes or no, a list with commas, a missing value as a dash.

    Powers of ten are written out below a million (12300) and as a product from there on (1.23×10⁶), so that ``.3g``
    reads well at any size.
    """
    import pandas as pd

    if isinstance(value, (list, tuple)):
        return ", ".join(format_value(item, form) for item in value)
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return MISSING
    if pd.api.types.is_bool(value):
        return "yes" if value else "no"
    return _format_number(value, form) if isinstance(value, Real) else str(value)


def format_rows(table: Table, frame: "pd.DataFrame") -> list[list[str]]:
    """Every cell's text, row by row, by the table's columns."""
    check_columns(table, frame)
    cells = [
        [format_value(value, column.form) for value in frame[name]]  # by column: a row would lose its types
        for name, column in table.columns.items()
    ]
    return [list(row) for row in zip(*cells, strict=True)]


def numeric_columns(frame: "pd.DataFrame") -> list[bool]:
    """Which columns hold numbers, and are set to the right; truths are not numbers."""
    return [_is_numeric(frame[name]) for name in frame.columns]


def pipe_table(headings: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[bool] = ()) -> str:
    """A pipe table of GitHub's Markdown, of cells that are escaped already; ``numeric`` columns stand to the right."""
    rules = ["---:" if right else "---" for right in numeric or [False] * len(headings)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [headings, rules, *rows])


def markdown_table(table: Table, frame: "pd.DataFrame", limit: int | None = None) -> str:
    """The first ``limit`` rows (None for all) as a pipe table."""
    headings = [escape_markdown(column.heading) for column in table.columns.values()]
    rows = [[escape_markdown(cell) for cell in row] for row in format_rows(table, frame)[:limit]]
    return pipe_table(headings, rows, numeric_columns(frame))


def html_table(
    table: Table, frame: "pd.DataFrame", limit: int | None = None, engines: Mapping[str, str] = MappingProxyType({})
) -> str:
    """The first ``limit`` rows (None for all) as an HTML ``<table>``.

    Cells of numbers have the class ``num``; those of columns with sentences, ``long``.  Headings of columns that are in
    ``engines`` say which engine theirs is.
    """
    rows = format_rows(table, frame)[:limit]
    kinds = [
        "num" if numeric else "long" if any(len(row[index]) > _LONG_CELL for row in rows) else ""
        for index, numeric in enumerate(numeric_columns(frame))
    ]
    classes = [f' class="{kind}"' if kind else "" for kind in kinds]
    marks = [f' data-engine="{engines[name]}"' if name in engines else "" for name in table.columns]
    headings = "".join(
        f'<th scope="col"{kind}{mark}>{_html_heading(column)}</th>'
        for column, kind, mark in zip(table.columns.values(), classes, marks, strict=True)
    )
    return frame_html(headings, (_html_row(row, classes) for row in rows))


def frame_html(headings: str, rows: Iterable[str]) -> str:
    """A ``<table>`` of headings and rows that are markup already."""
    body = "\n".join(rows)
    return f"<table>\n<thead><tr>{headings}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def escape_markdown(text: str) -> str:
    """``text`` on one line, shown as it is by a Markdown renderer: neither markup nor HTML takes effect."""
    return _MARKDOWN.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _format_number(value: Any, form: str) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if form.endswith("d") and value == int(value):
        value = int(value)  # a column of whole numbers with a gap is one of floats
    return _write_power(format(value, form or ("d" if isinstance(value, Integral) else ".6g")))


def _write_power(text: str) -> str:
    mantissa, letter, exponent = text.partition("e")
    if not letter or not exponent.lstrip("+-").isdigit():
        return text
    if 0 <= int(exponent) < 6:
        return format(float(text), ".0f")
    return f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def _is_numeric(series: "pd.Series[Any]") -> bool:
    import pandas as pd

    if series.dtype == object:
        present = [value for value in series if isinstance(value, list) or not pd.isna(value)]
        return bool(present) and all(isinstance(value, Real) and not isinstance(value, bool) for value in present)
    return pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series)


def _html_heading(column: Column) -> str:
    unit = f' <span class="unit">[{html.escape(column.unit)}]</span>' if column.unit else ""
    return html.escape(column.title) + unit


def _html_row(row: list[str], classes: list[str]) -> str:
    cells = zip(row, classes, strict=True)
    return "<tr>" + "".join(f"<td{kind}>{html.escape(cell)}</td>" for cell, kind in cells) + "</tr>"
