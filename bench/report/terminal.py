"""The end of a run on the terminal: each table's few telling columns, then the path of the page to open.

A number is never broken in two: columns that do not fit are left out, from the right, and said.
"""

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from bench.experiments.base import Column
from bench.report.build import read_report
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
_GAP: Final = 2
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
    target = file if file is not None else sys.stdout
    columns = width or shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns
    write_plain(_capture(fill, width=columns, is_terminal=target.isatty()), target)


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


def _capture(fill: Callable[["Console"], None], *, width: int, is_terminal: bool) -> str:
    from rich.console import Console

    console = Console(
        file=StringIO(),
        width=max(width, _LEAST_WIDTH),
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
    return text if is_terminal else "".join(f"{line.rstrip()}\n" for line in text.splitlines())


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
    columns = _highlights(built, rows)
    fitting = list(_fit(columns, console.width))
    grid = new_grid()
    for column, width in zip(fitting, _widths(fitting, console.width), strict=True):
        grid.add_column(
            column.heading,
            justify="right" if column.is_number else "left",
            width=width,
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


@dataclass(frozen=True, slots=True)
class _Highlight:
    """A column as it is shown: ``width`` is the least that breaks no number and no word of the heading."""

    heading: str
    cells: list[str]
    is_number: bool
    width: int


def _highlights(built: BuiltTable, rows: list[list[str]]) -> list[_Highlight]:
    names = list(built.table.columns)
    numeric = numeric_columns(built.frame)
    indexes = [names.index(name) for name in built.table.highlights]
    return [
        _highlight(built.table.columns[names[index]], [row[index] for row in rows], is_number=numeric[index])
        for index in indexes
    ]


def _highlight(column: Column, values: list[str], *, is_number: bool) -> _Highlight:
    cells = [_shorten(printable(value)) for value in values]
    longest = max((len(cell) for cell in cells), default=0)
    unit = [f"[{column.unit}]"] if column.unit else []
    width = max(*map(len, [*column.title.split(), *unit]), longest if is_number else min(longest, _LEAST_TEXT))
    # A column of numbers may not wrap, so its heading is wrapped beforehand, the unit on a line of its own.
    heading = "\n".join([*textwrap.wrap(column.title, width), *unit]) if is_number else column.heading
    return _Highlight(heading, cells, is_number, width)


def _fit(columns: list[_Highlight], width: int) -> Iterator[_Highlight]:
    """As many of ``columns``, from the left, as ``width`` holds; always the first."""
    used = -_GAP
    for number, column in enumerate(columns):
        used += _GAP + column.width
        if number and used > width:
            return
        yield column


def _widths(columns: list[_Highlight], width: int) -> list[int]:
    """What each column gets of ``width``: its least, and to texts, from the left, what is left over and of use."""
    rest = max(width - sum(column.width for column in columns) - _GAP * (len(columns) - 1), 0)
    widths = []
    for column in columns:
        longest = max(map(len, [*column.cells, column.heading]), default=0)
        more = 0 if column.is_number else min(rest, max(longest - column.width, 0))
        rest -= more
        widths.append(min(column.width + more, width))
    return widths


def _shorten(text: str) -> str:
    """``text``, cut if it is one long word, such as a digest: its beginning tells it apart."""
    return f"{text[:_LONG_WORD]}…" if len(text) > 2 * _LONG_WORD and " " not in text else text


def printable(text: str) -> str:
    """``text`` on one line, without control codes that a value may carry."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
