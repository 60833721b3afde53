"""Which engine a column, a row or a table of the report is from, where it sets several beside each other.

The page switches between them: *simulated* (roles in virtual time at measured unit costs), *calibrated* (fitted to the
paper) and *real* (processes, HTTP, disks).  What is of none of them always shows.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from bench.report.model import BuiltTable, Report

if TYPE_CHECKING:
    import pandas as pd

ENGINES: Final = {"simulated": "Simulated", "calibrated": "Paper-calibrated", "real": "Real nodes"}
#: Table -> engine -> how its columns begin.
COLUMNS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "table1": {
        "calibrated": ("calibrated_",),
        "simulated": ("tx_per_s", "shared_", "busiest_", "latency_", "cpu_", "energy_", "messages_", "kilobytes_"),
        "real": ("net_",),
    },
    "table1_pairs": {
        "calibrated": ("percent_calibrated_",),
        "simulated": ("percent_tx_", "percent_shared_"),
        "real": ("percent_net_",),
    },
    "agree": {"simulated": ("predicted_",), "real": ("net_",)},
}
#: Column that says it of each row, in whatever table -> how its texts begin -> engine.
ROWS: Final[Mapping[str, Mapping[str, str]]] = {
    "engine": {"simulated": "simulated", "real": "real"},
    **{
        key: {"computed": "simulated", "paper-calibrated": "calibrated", "measured": "real"}
        for key in ("mode", "source")
    },
}
#: Tables of the same question by different engines.
PAIRS: Final = ({"variants": "simulated", "variants_net": "real"}, {"faults": "simulated", "faults_net": "real"})


def column_engines(built: BuiltTable) -> dict[str, str]:
    """Column -> engine of a table with columns of several engines; those without a value count for none."""
    begins = COLUMNS.get(built.table.name, {})
    found = {
        column: name for name, starts in begins.items() for column in built.table.columns if column.startswith(starts)
    }
    valued = {name for column, name in found.items() if built.frame[column].notna().any()}
    return found if len(valued) > 1 else {}


def row_engines(built: BuiltTable) -> tuple[str, Mapping[str, str]] | None:
    """The column by which rows of several engines are told apart, and its texts' beginnings; None without."""
    for column, begins in ROWS.items():
        if column in built.table.columns and len(_list_rows(built.frame[column], begins)) > 1:
            return column, begins
    return None


def only_engine(report: Report, name: str) -> str:
    """The engine that a whole table is of, if the report has the same of another, too; '' otherwise."""
    filled = {built.table.name for built in report.tables if len(built.frame)}
    return next((pair[name] for pair in PAIRS if name in pair and filled >= {*pair}), "")


def list_engines(report: Report) -> list[str]:
    """The engines between which the page of ``report`` can switch, in their order; empty where nothing has two."""
    found: set[str] = set()
    for built in report.tables:
        columns, rows = column_engines(built), row_engines(built)
        found |= {name for column, name in columns.items() if built.frame[column].notna().any()}
        found |= _list_rows(built.frame[rows[0]], rows[1]) if rows else set()
        found |= {only_engine(report, built.table.name)} - {""}
    return [name for name in ENGINES if name in found]


def _list_rows(texts: "pd.Series[str]", begins: Mapping[str, str]) -> set[str]:
    found = {str(text) for text in texts.unique()}
    return {name for start, name in begins.items() if any(text.startswith(start) for text in found)}
