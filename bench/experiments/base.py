"""What an experiment is: a declaration of cases, tables and figures.  It executes nothing itself.

Three stages joined by files only: *run* executes cases and appends raw rows; *tabulate* turns raw rows into tidy
tables; *draw* turns tables into figures.  The later stages never need the machine of the first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib import figure

    from bench import scenario

#: One observation as it is written to ``raw/``: ``case``, ``status`` and whatever the engine measured.
Row = dict[str, Any]
#: Types by name alone: to import pandas or matplotlib takes a second, and scenarios know of experiments.
Frame: TypeAlias = "pd.DataFrame"
Drawing: TypeAlias = "figure.Figure"
Scenario: TypeAlias = "scenario.Scenario"
#: Tables as `tabulate` has built them, by name.
Tables = Mapping[str, Frame]


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to execute: which engine, with which settings (JSON values only).

    ``label`` is unique within the experiment; it seeds the case's chance and names it in progress and raw rows.
    """

    label: str
    engine: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Column:
    """How a table's column is shown: its title, its unit ('' for none) and a format such as ``.3g``."""

    title: str
    unit: str = ""
    form: str = ""

    @property
    def heading(self) -> str:
        """Title with unit, as tables and axes print it."""
        return f"{self.title} [{self.unit}]" if self.unit else self.title


@dataclass(frozen=True, slots=True)
class Comparison:
    """What makes a table a comparison: each row is a variant over a base, with an interval and a verdict.

    ``keys`` are the columns that name a row.  Numbers stand in ``{prefix}ratio``, ``{prefix}ratio_low`` and
    ``{prefix}ratio_high``, words in ``{prefix}verdict``; a row of the base against itself is true in ``is_control``.
    """

    keys: tuple[str, ...]
    prefix: str = ""

    @property
    def ratio(self) -> str:
        return f"{self.prefix}ratio"

    @property
    def low(self) -> str:
        return f"{self.prefix}ratio_low"

    @property
    def high(self) -> str:
        return f"{self.prefix}ratio_high"

    @property
    def verdict(self) -> str:
        return f"{self.prefix}verdict"


@dataclass(frozen=True, slots=True)
class Table:
    """A tidy table: built from the experiment's raw rows, shown with these columns in this order.

    ``columns`` covers every column that ``build`` returns.  ``highlights`` are those few that fit a terminal.
    Runs are held against each other by ``comparisons``, by the columns that the seed alone determines (``exact``) and
    by those whose order over the rows is the result (``ordered``); ``keys`` name a row for the last two.
    ``strongest`` picks the rows of attacks on all protections at once, with what is ``expected`` of each (`attacks`).
    """

    name: str
    caption: str
    columns: Mapping[str, Column]
    build: Callable[[Frame], Frame]
    highlights: tuple[str, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    keys: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    ordered: tuple[str, ...] = ()
    strongest: Callable[[Frame], list[Row]] | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure drawn from tables alone (by name), as a journal would print it."""

    name: str
    caption: str
    draw: Callable[[Tables], Drawing]


@dataclass(frozen=True, slots=True)
class Experiment:
    """A question, what to execute for it, and how to show the answer.

    ``follow_up`` may declare further cases once the rows of the first are known (a fit, say).
    ``answer`` says in words what the tables (by name) say, every number of it taken from them.
    ``claims`` are ids of the paper's claims that the tables bear on; ``needs_records`` asks for a workload.
    ``weight`` (above 0) is its share of what is left of a run's budget, beside those of the experiments after it: about
    its seconds in the quick profile by 5.
    """

    id: str
    question: str
    claims: tuple[str, ...]
    cases: Callable[[Scenario], list[Case]]
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...] = ()
    follow_up: Callable[[Scenario, list[Row]], list[Case]] | None = None
    answer: Callable[[Tables], list[str]] | None = None
    needs_records: bool = False
    weight: float = 1.0
