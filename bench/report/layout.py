"""How a table is laid out in print: which columns, how headings break, how small the type, and what does not fit.

Widths are counted in characters, of which a line of `TEXT_WIDTH` holds so many at each size of type; LaTeX fragments
and the PDF share these rules.  Numbers are never broken; texts wrap, but not within a word.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.experiments.base import Column, Table

if TYPE_CHECKING:
    import pandas as pd

#: Points of type -> characters on a line of 16 cm, a page of A4 with 2.5 cm beside it (about 0.49 em a character).
CAPACITY: Final = {9: 102, 8: 115, 7: 132}
#: The same on such a page on its side, at 7 points.
SIDEWAYS: Final = 205
_GAP: Final = 2
#: A text gets this much if it has it; a longer one wraps.
_WRAP: Final = 22
#: A longer word is cut, for the beginning of a digest tells it apart.
_LONG_WORD: Final = 26


@dataclass(frozen=True, slots=True)
class PrintedColumn:
    """A column as it is printed: its heading line by line (the unit last), its cells, and its width in characters.

    ``width`` breaks no number and no word; ``longest`` breaks no cell at all.
    """

    name: str
    head: tuple[str, ...]
    cells: tuple[str, ...]
    is_number: bool
    width: int
    longest: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns that fit, in points of type, on their side or not; ``left_out`` counts those that do not."""

    columns: tuple[PrintedColumn, ...]
    size_pt: int
    is_sideways: bool
    left_out: int


def print_columns(table: Table, frame: "pd.DataFrame") -> tuple[PrintedColumn, ...]:
    """Every column of a table, ready to be laid out."""
    from bench.report.tables import format_rows, numeric_columns  # which set their tables by these rules

    cells = list(zip(*format_rows(table, frame), strict=True)) or [()] * len(table.columns)
    numeric = numeric_columns(frame)
    return tuple(
        print_column(name, column, [*map(_shorten, texts)], is_number=is_number)
        for (name, column), texts, is_number in zip(table.columns.items(), cells, numeric, strict=True)
    )


def print_column(name: str, column: Column, cells: Sequence[str], *, is_number: bool) -> PrintedColumn:
    """A column with its heading broken so that it widens the column as little as words allow."""
    longest = max(map(len, cells), default=0)
    unit = [f"[{column.unit}]"] if column.unit else []
    words = [*column.title.split(), *unit, *([] if is_number else (word for cell in cells for word in cell.split()))]
    width = max([longest if is_number else min(longest, _WRAP), *map(len, words)], default=1)
    head = (*textwrap.wrap(column.title, max(width, 1), break_on_hyphens=False), *unit)
    return PrintedColumn(name, head, tuple(cells), is_number, width, max(longest, width))


def main_columns(table: Table, columns: Sequence[PrintedColumn]) -> tuple[PrintedColumn, ...]:
    """The telling ones in their order, or all if the table does not say which tell."""
    found = {column.name: column for column in columns}
    return tuple(found[name] for name in table.highlights or found)


def lay_out(columns: Sequence[PrintedColumn]) -> Layout:
    """The largest type in which all columns fit, upright before on their side; else what fits there, from the left."""
    need = measure(columns)
    for size_pt, capacity in CAPACITY.items():
        if need <= capacity:
            return Layout(tuple(columns), size_pt, is_sideways=False, left_out=0)
    fitting = fit(columns, SIDEWAYS)
    return Layout(tuple(fitting), min(CAPACITY), is_sideways=True, left_out=len(columns) - len(fitting))


def fit(columns: Sequence[PrintedColumn], capacity: int) -> list[PrintedColumn]:
    """As many of ``columns``, from the left, as ``capacity`` holds; always the first."""
    fitting = list(columns)
    while len(fitting) > 1 and measure(fitting) > capacity:
        fitting.pop()
    return fitting


def spread(columns: Sequence[PrintedColumn], capacity: int) -> list[int]:
    """What each column gets of ``capacity``: its width, and texts, from the left, what is left over and of use."""
    rest, widths = capacity - measure(columns), []
    for column in columns:
        more = 0 if column.is_number else max(min(rest, column.longest - column.width), 0)
        rest -= more
        widths.append(column.width + more)
    return widths


def measure(columns: Sequence[PrintedColumn]) -> int:
    """Characters that the columns take beside each other."""
    return sum(column.width + _GAP for column in columns) - _GAP


def _shorten(text: str) -> str:
    return " ".join(f"{word[:16]}…" if len(word) > _LONG_WORD else word for word in text.split())
