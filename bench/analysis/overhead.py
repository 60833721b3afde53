"""What a call costs apart from its bytes: a line through the times of messages of several sizes.

The line is the one with the least sum of *relative* deviations, so a microsecond weighs as much at 64 bytes as a
millisecond at 1 MiB; as a sum of absolute values it is not moved by one size that goes astray (a cache too small, say).
Some line of that kind goes through two of the points, so trying each pair finds it exactly.
Each process gives a line of its own; medians over processes are shown with their sign-test intervals.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from bench.analysis.blocks import compare_blocks, time_calls
from bench.analysis.paired import find_interval

if TYPE_CHECKING:
    import pandas as pd

#: Columns of `estimate_overhead` beside those that name a row.
NUMBERS: Final = ("call_ns", "byte_ns")


def fit_line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Intercept and slope through points (size, time > 0) with the least sum of relative deviations.

    NaN for both unless there are two different sizes.
    """
    lines = [((y * u - v * x) / (u - x), (v - y) / (u - x)) for (x, y), (u, v) in combinations(points, 2) if x != u]
    return min(lines, key=lambda line: sum(_deviation(line, *point) for point in points), default=(math.nan, math.nan))


def _deviation(line: tuple[float, float], size: float, time: float) -> float:
    return abs(line[0] + line[1] * size - time) / time


def estimate_overhead(raw: "pd.DataFrame") -> "pd.DataFrame":
    """A row per instruction set, library and suite: time per call and per byte, and how far the line misses at worst.

    ``raw`` holds the rows of the experiment `hashes` that are ok.
    """
    import pandas as pd

    shown = compare_blocks(raw)
    shown = shown[shown["kind"].eq("suites") & ~shown["is_control"]]
    times = time_calls(raw)
    rows = []
    for (instructions, library, suite), part in shown.groupby(["instructions", "library", "suite"], sort=False):
        sizes = list(zip(part["group"], part["size_bytes"], strict=True))
        points: dict[int, list[tuple[float, float]]] = {}
        for group, size in sizes:
            for process, time in times[str(instructions), str(group), str(suite)].items():
                points.setdefault(process, []).append((float(size), time))
        lines = [fit_line(found) for found in points.values()]
        row: dict[str, Any] = {"instructions": instructions, "library": library, "suite": suite}
        for place, name in enumerate(NUMBERS):
            values = [line[place] for line in lines]
            low, high = find_interval(values)
            row |= {name: median(values) if values else math.nan, f"{name}_low": low, f"{name}_high": high}
        middle = list(zip(part["size_bytes"], part["median_ns"], strict=True))
        worst = max(_deviation((row["call_ns"], row["byte_ns"]), *point) for point in middle) * 100
        row |= {"is_weak": part["is_weak"].iloc[0], "sizes": len(sizes)}
        rows.append(row | {"misfit": worst if len(sizes) > 2 else math.nan})  # a line meets any two points
    return pd.DataFrame(rows)
