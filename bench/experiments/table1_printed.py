"""Tables of `table1` on the printed rows one by one: what each does to the fit, and pairs that differ by one node."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from bench.analysis.regression import FACTORS, describe_influence, find_pairs, fit_counts
from bench.experiments.base import Column, Frame, Table
from bench.experiments.rows import to_frame
from bench.experiments.table1_rows import FLAGS, LETTERS, PAPER, SOURCES, SUBSETS, configurations, paper_frame


def build_influence(raw: Frame) -> Frame:
    """What each printed row does to the fit of the printed throughputs, in each reading."""
    del raw  # the table as printed is the same in every run
    return _find_influence().copy()


@cache
def _find_influence() -> Frame:
    frame = paper_frame()
    frame["flag"] = frame["row"].map(FLAGS).fillna("")
    for subset, left_out in SUBSETS.items():
        chosen = frame[~frame["row"].isin(left_out)]
        fit = fit_counts(chosen[list(FACTORS)].to_numpy().tolist(), chosen[SOURCES[PAPER]].tolist())
        found = describe_influence(fit)
        found.index = chosen.index
        frame = frame.join(found.add_suffix(f"_{subset[:2]}"))
    return frame[list(INFLUENCE_COLUMNS)]


INFLUENCE_COLUMNS: Final = {
    "row": Column("Row"),
    **{name: Column(letter) for name, letter in LETTERS.items()},
    "flag": Column("Flag"),
    SOURCES[PAPER]: Column("Printed", "tx/6 min"),
    **{
        f"{name}_{subset[:2]}": Column(f"{title}, {subset[:2]} rows", "", form)
        for subset in SUBSETS
        for name, title, form in (
            ("studentised", "Studentised residual", ".2f"),
            ("outlier_p", "its p × n", ".2g"),
            ("leverage", "Leverage", ".2f"),
            ("cooks_d", "Cook's D", ".2f"),
        )
    },
    **{f"dfbetas_{name}_18": Column(f"DFBETAS {letter}, 18 rows", "", ".2f") for name, letter in LETTERS.items()},
}


def build_pairs(raw: Frame) -> Frame:
    """A row per reading and kind: pairs of printed rows that differ by one node of it alone, and what that changes."""
    frame = configurations(raw).set_index("row")
    rows = []
    for subset, left_out in SUBSETS.items():
        printed = paper_frame()
        printed = printed[~printed["row"].isin(left_out)].set_index("row")
        numbers = printed.index.tolist()
        pairs = find_pairs(printed[list(FACTORS)].to_numpy().tolist())
        for place, factor in enumerate(FACTORS):
            own = [(numbers[few], numbers[many]) for column, few, many in pairs if column == place]
            steps = [float(printed[SOURCES[PAPER]][b] - printed[SOURCES[PAPER]][a]) for a, b in own]
            row: dict[str, Any] = {
                "subset": subset, "factor": factor, "pairs": len(own), "which": ", ".join(f"{a}–{b}" for a, b in own),
                "mean": _mean(steps), "least": min(steps, default=math.nan), "greatest": max(steps, default=math.nan),
            }  # fmt: skip
            for source, column in SOURCES.items():
                at = (printed if source == PAPER else frame)[column].get
                row[f"percent_{column}"] = _mean([_change(at, a, b) for a, b in own])
            rows.append(row)
    return to_frame(rows, PAIR_COLUMNS)


def _change(at: Callable[[int, float], Any], few: int, many: int) -> float:
    """By how many per cent row ``many`` differs from row ``few``; NaN where one has no value, or ``few`` has 0."""
    return 100 * (float(at(many, math.nan)) / (float(at(few, math.nan)) or math.nan) - 1)


def _mean(values: list[float]) -> float:
    """The mean of those that there are; NaN of none."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


PAIR_COLUMNS: Final = {
    "subset": Column("Rows"),
    "factor": Column("One node more of"),
    "pairs": Column("Pairs"),
    "which": Column("Rows with fewer–more"),
    "mean": Column("Mean change", "tx/6 min", ".2f"),
    "least": Column("Least", "tx/6 min", ".0f"),
    "greatest": Column("Greatest", "tx/6 min", ".0f"),
    **{f"percent_{column}": Column(f"Mean change, {source}", "%", ".0f") for source, column in SOURCES.items()},
}
TABLES: Final = (
    Table(
        "table1_influence",
        "What each printed row does to the fit of the printed throughputs: externally studentised residual (p × n: its "
        "two-sided p, corrected for the number of rows), leverage and Cook's D in each reading; DFBETAS, by how many "
        "standard errors a row moves a slope. A dash: the row is left out.",
        INFLUENCE_COLUMNS,
        build_influence,
        (
            "row",
            "paper_tx_per_6min",
            *(f"{name}_{rows}" for rows in (18, 17) for name in ("studentised", "outlier_p", "leverage", "cooks_d")),
        ),
    ),
    Table(
        "table1_pairs",
        "Printed rows that differ by one node of one kind alone, and what that node changes, in the paper and, for the "
        "same pairs, in ours. Row 1 has no such partner.",
        PAIR_COLUMNS,
        build_pairs,
        (
            "subset",
            "factor",
            "pairs",
            "mean",
            "least",
            "greatest",
            "percent_paper_tx_per_6min",
            "percent_shared_tx_per_s",
        ),
    ),
)  # fmt: skip
