"""What a report holds, before any markup: sections of tables and figures that were built, and what was not.

The page, the Markdown file and the terminal all show this one `Report`.
"""

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.analysis.verdicts import Verdict
from bench.experiments.base import Experiment, Figure, Row, Table
from bench.report.controls import find_flags
from bench.report.load import Manifest, Progress

if TYPE_CHECKING:
    import pandas as pd

#: Keys under which an engine or the runner may say why a row is not ok; the first that is there counts.
REASONS: Final = ("reason", "error")


@dataclass(frozen=True, slots=True)
class BuiltTable:
    """A table with its values; ``number`` counts through the report, from 1."""

    number: int
    table: Table
    frame: "pd.DataFrame"


@dataclass(frozen=True, slots=True)
class DrawnFigure:
    """A figure as its files hold it; ``width_in`` is what it is wide in print."""

    number: int
    figure: Figure
    svg: bytes
    png: bytes
    width_in: float


@dataclass(frozen=True, slots=True)
class Failure:
    """``count`` rows of one case that are not ok, and why."""

    case: str
    status: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Section:
    """One experiment: ``rows`` were recorded, ``left_out`` says which tables and figures could not be made.

    ``answer`` are sentences that its tables make up.
    """

    experiment: Experiment
    progress: Progress
    rows: int
    failures: tuple[Failure, ...] = ()
    tables: tuple[BuiltTable, ...] = ()
    figures: tuple[DrawnFigure, ...] = ()
    left_out: tuple[str, ...] = ()
    answer: tuple[str, ...] = ()

    @property
    def lost(self) -> Counter[str]:
        """How many rows are not ok, by status."""
        return sum((Counter({failure.status: failure.count}) for failure in self.failures), Counter())

    @property
    def failed(self) -> int:
        """How many rows are not ok."""
        return self.lost.total()


@dataclass(frozen=True, slots=True)
class Report:
    """A run's report; ``notices`` are what a reader has to know before any number.

    ``defence`` says over all experiments what attacks on the strongest variant came to.
    ``verdicts`` on the paper's claims are there where somebody asked for them.
    """

    folder: Path
    manifest: Manifest
    sections: tuple[Section, ...]
    notices: tuple[str, ...] = ()
    defence: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()

    @property
    def page(self) -> Path:
        """The file to open."""
        return self.folder / "report.html"

    def choose(self, experiments: Container[str]) -> "Report":
        """The same report of these experiments alone."""
        return replace(self, sections=tuple(item for item in self.sections if item.experiment.id in experiments))

    @property
    def tables(self) -> tuple[BuiltTable, ...]:
        return tuple(built for section in self.sections for built in section.tables)

    @property
    def figures(self) -> tuple[DrawnFigure, ...]:
        return tuple(drawn for section in self.sections for drawn in section.figures)

    @property
    def frames(self) -> "dict[str, pd.DataFrame]":
        """The values of each table, by its name."""
        return {built.table.name: built.frame for built in self.tables}

    @property
    def flagged(self) -> list[str]:
        """The tables of which a control failed."""
        return [built.table.name for built in self.tables if find_flags(built.table)]


def collect_failures(rows: Sequence[Row]) -> tuple[Failure, ...]:
    """The rows that are not ok, alike ones counted together, in the order in which they first occur."""
    counts = Counter((row["case"], row["status"], reason_of(row)) for row in rows if row["status"] != "ok")
    return tuple(Failure(*key, count) for key, count in counts.items())


def reason_of(row: Row) -> str:
    """Why a row is not ok, on one line; '' if it does not say."""
    found = next((row[key] for key in REASONS if row.get(key)), "")
    return " ".join(str(found).split())
