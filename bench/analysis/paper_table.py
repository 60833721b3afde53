"""The paper's Table 1 as printed, and how well something else agrees with it.

Row 1 contradicts the other 17 (its externally studentised residual in a linear fit is -8.8): it is never repaired,
and everything that depends on it is given with and without it.  Row 16 repeats row 15;
the fit behind the paper-calibrated mode leaves both row 1 and row 16 out.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from statistics import median
from typing import Final

OUTLIER_ROW: Final = 1
REPEATED_ROW: Final = 16
WINDOW_S: Final = 360.0
#: Fewest rows from which two parameters are fitted.
LEAST_ROWS: Final = 5


@dataclass(frozen=True, slots=True)
class PaperRow:
    """One row; ``row`` counts from 1 as printed, ``printed_conf`` is the paper's own (repeated) number."""

    row: int
    printed_conf: int
    agents: int
    coordinators: int
    administrators: int
    contributors: int
    tx_per_6min: int


def read_paper_table() -> tuple[PaperRow, ...]:
    """All 18 rows, in order."""
    text = resources.files("bench").joinpath("paper_table1.csv").read_text()
    names = ("row", "printed_conf", "authoritative", "coordinating", "ordering", "contributors")
    columns = (*names, "throughput_tx_per_6min")
    return tuple(PaperRow(*(int(row[name]) for name in columns)) for row in csv.DictReader(text.splitlines()))


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a set of values agrees with the printed throughputs; the error only where both have the same unit."""

    rows: int
    spearman: float
    rmse: float
    median_ratio: float


def agree(ours: Sequence[float], printed: Sequence[float]) -> Agreement:
    """Spearman's rank correlation, root mean square error and median ratio (ours over printed).

    Rows without a value of ours (NaN) do not count; what cannot be computed from the others is NaN.
    """
    pairs = [(a, b) for a, b in zip(ours, printed, strict=True) if not math.isnan(a)]
    if not pairs:
        return Agreement(0, math.nan, math.nan, math.nan)
    rmse = (sum((a - b) ** 2 for a, b in pairs) / len(pairs)) ** 0.5
    return Agreement(len(pairs), correlate_ranks(pairs), float(rmse), median(a / b for a, b in pairs))


def correlate_ranks(pairs: Sequence[tuple[float, float]]) -> float:
    """Spearman's rank correlation of at least one pair; NaN where either side is constant."""
    from scipy.stats import spearmanr

    is_ranked = all(len(set(side)) > 1 for side in zip(*pairs, strict=True))
    return float(spearmanr(pairs).statistic) if is_ranked else math.nan
