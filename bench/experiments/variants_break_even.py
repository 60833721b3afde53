"""The difficulty above which proof of work takes more processor time than proof of stake."""

import math
import statistics
from itertools import pairwise
from typing import Any, Final

from bench.analysis.paired import FAMILY_ERROR, find_interval
from bench.experiments.base import Column, Frame, Table
from bench.experiments.rows import to_frame
from bench.experiments.variants_rows import in_order


def find_break_even(bits: list[float], costs: list[float], level: float) -> float:
    """Difficulty (bits) at which ``costs``, straight between their points on a log scale, first reach ``level``.

    Minus infinity if even the first point costs more, infinity if none does.
    """
    points = sorted(zip(bits, costs, strict=True))
    if not points or points[0][1] >= level:
        return -math.inf if points else math.nan
    for (low, before), (high, after) in pairwise(points):
        if after >= level:
            share = (math.log(level) - math.log(before)) / (math.log(after) - math.log(before))
            return low + share * (high - low)
    return math.inf


def build_break_even(raw: Frame) -> Frame:
    """Per suite, the difficulty above which proof of work takes more CPU than proof of stake, in three readings."""
    raw = in_order(raw)
    usable = raw[~raw["is_control"].astype(bool)]
    found = {
        suite: [one for _, repeat in group.groupby("repeat") if (one := _break_even_of(repeat)) is not None]
        for suite, group in usable.groupby("suite", sort=False)
    }
    family = len(_READINGS) * sum(bool(repeats) for repeats in found.values())
    rows = []
    for suite, repeats in found.items():
        if not repeats:
            continue
        tested = usable[(usable["suite"] == suite) & (usable["rule"] == "pow")]
        row: dict[str, Any] = {"suite": suite, "repeats": len(repeats)}
        row["confirmations"] = int(tested["confirmations"].iloc[0])
        row["grid"] = f"{tested['difficulty_bits'].min():.0f} to {tested['difficulty_bits'].max():.0f}"
        for name in _READINGS:
            values = [value for one in repeats if not math.isnan(value := one[name])]
            # Order statistics: a repeat that says no more than 'below the grid' has its rank all the same.
            low, high = find_interval(values, FAMILY_ERROR / family)
            middle = statistics.median_low(values) if values else math.nan
            row |= {f"{name}_median": middle, f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return to_frame(rows, BREAK_EVEN_COLUMNS)


def _break_even_of(repeat: Frame) -> dict[str, float] | None:
    """Break-even difficulties (bits) of a repeat that has stake, work and the single orderer; NaN for no such bits."""
    by_rule = {rule: part for rule, part in repeat.groupby("rule")}  # noqa: C416 - pandas groups are not a mapping
    if not {"pos", "pow", "single"} <= set(by_rule):
        return None
    stake, single, work = by_rule["pos"].iloc[0], by_rule["single"].iloc[0], by_rule["pow"]
    readings = [
        find_break_even(work["difficulty_bits"].tolist(), work[name].tolist(), float(stake[name]))
        for name in ("saturated_cpu_s_per_tx", "cpu_s_per_tx")
    ]
    agreement_s = float(stake["cpu_s_per_tx"] - single["cpu_s_per_tx"]) * float(stake["tx_per_block"])
    bare = math.log2(agreement_s / (float(stake["grind_ns"]) * 1e-9)) if agreement_s > 0 else math.nan
    return dict(zip(_READINGS, (bare, *readings), strict=True))


#: Reading -> its title.
_READINGS: Final = {"bare": "Bare", "saturated": "Saturated", "as_run": "As run"}
BREAK_EVEN_COLUMNS: Final = {
    "suite": Column("Hash"),
    "repeats": Column("Repeats"),
    "confirmations": Column("Confirmations as run"),
    "grid": Column("Grid", "bits"),
    **{
        f"{name}_{part}": Column(f"{title}, {part}", "bits", ".2f")
        for name, title in _READINGS.items()
        for part in ("median", "low", "high")
    },
}
BREAK_EVEN: Final = Table(
    "variants_break_even",
    "Difficulty above which proof of work takes more CPU time than proof of stake (simulated). Bare: the search for "
    "one block, at the cost of a try here (Python's hashlib: a miner n times as fast moves it by log2 n bits), against "
    "what agreement adds to a single orderer's block. Saturated: per transaction with all blocks full, so that none is "
    "mined to confirm others alone. As run: at the offered load with all confirmations and the empty blocks that "
    "they need. The last two are interpolated on a log scale between the difficulties of the grid; -∞ and ∞ say that "
    "they lie below or above it. Medians over repeats, each with unit costs of its own, with exact sign-test "
    "intervals, 95 % for all of the table at once; none where there are too few repeats. Proof of work is no equal "
    "of proof of stake at these confirmations: see the table of equal risk.",
    BREAK_EVEN_COLUMNS, build_break_even,
    ("suite", "grid", *(f"{name}_{part}" for name in _READINGS for part in ("median", "low", "high"))),
)  # fmt: skip
