"""The end of a run on the terminal: each table's few telling columns, then the path of the page to open.

A number is never broken in two: columns that do not fit are left out, from the right, and said.
"""

import shutil
import sys
import textwrap
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from bench.experiments.base import Column
from bench.report.build import read_report
from bench.report.layout import PrintedColumn, fit, spread
from bench.report.model import BuiltTable, Report, Section
from bench.report.summary import banner_of
from bench.report.tables import format_rows, numeric_columns

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as Grid

#: Longer tables are cut here; the page and the CSV hold more.
ROW_LIMIT: Final = 24
#: Failures shown of an experiment.
FAILURE_LIMIT: Final = 5
#: Width where nobody says how wide the screen is.
DEFAULT_WIDTH: Final = 80
_LEAST_WIDTH: Final = 24
#: A column of text is wrapped, but not below this width.
_LEAST_TEXT: Final = 12
_LONG_WORD: Final = 16
#: For an output whose encoding lacks them.
_PLAIN: Final = str.maketrans("–—─…µμ·−⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "---~uu.--0123456789")


def print_summary(folder: Path, file: TextIO | None = None, width: int | None = None) -> None:
    """Print a run's highlights, as `write_text` does; raises `BenchError` as `read_report` does."""
    report = read_report(folder)
    write_text(lambda console: _print_report(console, report), file, width)


def write_text(fill: Callable[["Console"], None], file: TextIO | None = None, width: int | None = None) -> None:
    """Write what ``fill`` prints to ``file`` (standard output), ``width`` columns wide (the screen), at least 24.

    It is plain text, without control codes, where ``file`` is not a terminal.
    """
    from rich.console import Console

    target = file if file is not None else sys.stdout
    is_terminal = target.isatty()
    console = Console(
        file=StringIO(),
        width=max(width or shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns, _LEAST_WIDTH),
        force_terminal=is_terminal,
        color_system="auto" if is_terminal else None,
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
    with console.capture() as captured:
        fill(console)
    text = captured.get()
    # Cells are padded to the right edge, which nobody needs in a file.
    write_plain(text if is_terminal else "".join(f"{line.rstrip()}\n" for line in text.splitlines()), target)


def write_plain(text: str, file: TextIO | None = None) -> None:
    """Write ``text`` to ``file`` (standard output) in characters that its encoding has.

    Raises what writing raises: a closed pipe is the caller's to end quietly on.
    """
    target = file if file is not None else sys.stdout
    encoding = getattr(target, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.replace("×10", "e").translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    target.write(text)
    target.flush()


def new_grid() -> "Grid":
    """A table without a frame, its headings underlined, for `write_text`."""
    from rich import box
    from rich.table import Table as Grid

    return Grid(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)


def _print_report(console: "Console", report: Report) -> None:
    manifest = report.manifest
    console.print(f"Run {printable(manifest.run_id)}", style="bold")
    if banner := banner_of(manifest):
        console.print(banner, style="yellow")
    for notice in report.notices:
        console.print(f"! {printable(notice)}", style="yellow")
    for section in report.sections:
        _print_section(console, section)
    if report.defence:
        console.print()
    for line in report.defence:
        console.print(f"* {printable(line)}", style="bold")
    console.print()
    # A path is never broken: it is there to be copied.
    console.print(f"Report: {printable(str(report.page))}", style="bold", soft_wrap=True)


def _print_section(console: "Console", section: Section) -> None:
    console.print()
    console.print(f"{section.experiment.id}: {section.experiment.question}", style="bold")
    for line in section.answer:
        console.print(f"* {printable(line)}")
    for built in section.tables:
        if built.table.highlights:
            console.print()
            _print_table(console, built)
    for failure in section.failures[:FAILURE_LIMIT]:
        console.print(printable(f"! {failure.case}: {failure.status} {failure.reason}"), style="yellow")
    if len(section.failures) > FAILURE_LIMIT:
        console.print(f"! {len(section.failures) - FAILURE_LIMIT} more in the report", style="yellow")


def _print_table(console: "Console", built: BuiltTable) -> None:
    """The table's highlights, as many as fit, under its caption."""
    rows = format_rows(built.table, built.frame)
    names, numeric = list(built.table.columns), numeric_columns(built.frame)
    columns = [
        _highlight(name, built.table.columns[name], [row[at] for row in rows], is_number=numeric[at])
        for name in built.table.highlights
        for at in [names.index(name)]
    ]
    fitting = fit(columns, console.width)
    grid = new_grid()
    for column, width in zip(fitting, spread(fitting, console.width), strict=True):
        grid.add_column(
            "\n".join(column.head),
            justify="right" if column.is_number else "left",
            width=min(width, console.width),
            no_wrap=column.is_number,
            overflow="fold",
            vertical="bottom",
        )
    for cells in list(zip(*[column.cells for column in fitting], strict=True))[:ROW_LIMIT]:
        grid.add_row(*cells)
    console.print(f"Table {built.number}. {built.table.caption}", style="dim")
    console.print(grid if rows else "(no row)")
    hidden = ((len(rows) - ROW_LIMIT, "row"), (len(columns) - len(fitting), "column"))
    if parts := [f"{count} more {what}{'s' * (count > 1)}" for count, what in hidden if count > 0]:
        console.print(f"... {' and '.join(parts)} in the report", style="dim")


def _highlight(name: str, column: Column, values: list[str], *, is_number: bool) -> PrintedColumn:
    """A column as it is shown: its width is the least that breaks no number and no word of the heading."""
    cells = tuple(_shorten(printable(value)) for value in values)
    longest = max(map(len, cells), default=0)
    unit = [f"[{column.unit}]"] if column.unit else []
    width = max(*map(len, [*column.title.split(), *unit]), longest if is_number else min(longest, _LEAST_TEXT))
    # A column of numbers may not wrap, so its heading is wrapped beforehand, the unit on a line of its own.
    head = (*textwrap.wrap(column.title, width), *unit) if is_number else (column.heading,)
    return PrintedColumn(name, head, cells, is_number, width, max(longest, *map(len, head)))


def _shorten(text: str) -> str:
    """``text``, cut if it is one long word, such as a digest: its beginning tells it apart."""
    return f"{text[:_LONG_WORD]}…" if len(text) > 2 * _LONG_WORD and " " not in text else text


def printable(text: str) -> str:
    """``text`` on one line, without control codes that a value may carry."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
