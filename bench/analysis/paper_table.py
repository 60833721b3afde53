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
from typing import Final

from bench.analysis.linear import polish

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
    return tuple(
        PaperRow(
            int(row["row"]),
            int(row["printed_conf"]),
            int(row["authoritative"]),
            int(row["coordinating"]),
            int(row["ordering"]),
            int(row["contributors"]),
            int(row["throughput_tx_per_6min"]),
        )
        for row in csv.DictReader(text.splitlines())
    )


@dataclass(frozen=True, slots=True)
class DelayFit:
    """Throughput as ``360 / (pause + delay * messages)``: seconds of pause per transaction and delay per message."""

    pause_s: float
    delay_s: float
    r_squared: float

    def predict(self, messages: float) -> float:
        """Transactions per 6 minutes of a configuration with so many messages per transaction."""
        return WINDOW_S / (self.pause_s + self.delay_s * messages)


def fit_delays(messages: Sequence[float], printed: Sequence[float]) -> DelayFit:
    """Least squares on throughput, parameters at least 0, over equally long sequences of at least `LEAST_ROWS`."""
    from scipy.optimize import least_squares

    if len(messages) != len(printed) or len(messages) < LEAST_ROWS:
        raise ValueError(f"fit: expected at least {LEAST_ROWS} pairs, found {len(messages)} and {len(printed)}")

    def residuals(parameters: Sequence[float]) -> list[float]:
        pause, delay = parameters
        return [WINDOW_S / (pause + delay * count) - found for count, found in zip(messages, printed, strict=True)]

    def slopes(parameters: Sequence[float]) -> list[list[float]]:
        pause, delay = parameters
        steepness = [-WINDOW_S / (pause + delay * count) ** 2 for count in messages]
        return [[steep, steep * count] for steep, count in zip(steepness, messages, strict=True)]

    found = least_squares(residuals, (10.0, 1.0), slopes, ((0.0, 1e-9), (WINDOW_S, WINDOW_S)), xtol=1e-12, ftol=1e-12)
    pause, delay = polish(found.x, residuals, slopes)
    mean = sum(printed) / len(printed)
    total = sum((value - mean) ** 2 for value in printed)
    explained = 1 - sum(rest**2 for rest in residuals((pause, delay))) / total if total else float("nan")
    return DelayFit(pause, delay, explained)


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
    import statistics

    from scipy.stats import spearmanr

    pairs = [(a, b) for a, b in zip(ours, printed, strict=True) if not math.isnan(a)]
    if not pairs:
        return Agreement(0, math.nan, math.nan, math.nan)
    is_ranked = all(len(set(side)) > 1 for side in zip(*pairs, strict=True))
    rho = float(spearmanr(pairs).statistic) if is_ranked else math.nan
    rmse = (sum((a - b) ** 2 for a, b in pairs) / len(pairs)) ** 0.5
    return Agreement(len(pairs), rho, float(rmse), statistics.median(a / b for a, b in pairs))
