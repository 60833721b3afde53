"""Least squares with intervals: y = a + b1 x1 + ... with 95 % Student intervals of each coefficient.

The textbook's (Draper and Smith, Applied Regression Analysis, 3rd edition, chapter 5): intervals hold for independent,
equal and normal deviations.  File sizes deviate by whole pages, so they are a guide there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Coefficient:
    """An estimate and its 95 % interval; NaN bounds if there are no more points than coefficients."""

    value: float
    low: float
    high: float


def fit_linear(rows: Sequence[Sequence[float]], values: Sequence[float]) -> tuple[list[Coefficient], float]:
    """Intercept, then one coefficient per column of ``rows``; and R^2.

    `ValueError` for fewer points than coefficients, or columns that cannot be told apart.
    """
    import numpy as np
    from scipy import stats

    matrix = np.column_stack([np.ones(len(values)), np.asarray(rows, dtype=float)])
    target = np.asarray(values, dtype=float)
    # Columns of like length: blocks and transactions are orders apart from bytes.
    scale = np.abs(matrix).max(axis=0)
    scale[scale == 0] = 1
    count, width = matrix.shape
    if np.linalg.matrix_rank(matrix / scale) < width:
        raise ValueError(f"expected {width} columns that differ, found fewer in {count} points")
    found, *_ = np.linalg.lstsq(matrix / scale, target, rcond=None)
    deviations = target - matrix / scale @ found
    spread, free = float(deviations @ deviations), count - width
    total = float(((target - target.mean()) ** 2).sum())
    half = np.full(width, np.nan)
    if free > 0:
        inverse = np.linalg.inv((matrix / scale).T @ (matrix / scale))
        half = stats.t.ppf(0.975, free) * np.sqrt(np.diag(inverse) * spread / free)
    fitted = [
        Coefficient(float(value / by), float((value - width_) / by), float((value + width_) / by))
        for value, width_, by in zip(found, half, scale, strict=True)
    ]
    return fitted, 1 - spread / total if total else 1.0


def polish(
    start: Sequence[float], residuals: Callable[[Any], Any], slopes: Callable[[Any], Any], steps: int = 50
) -> list[float]:
    """Parameters of least squares near ``start``, by Gauss and Newton's steps, as far as numbers go.

    A search by cost stops at half of the digits, where the cost is flat; how it rounds on the way differs between
    processors.  Returns ``start`` where the steps lead away from it, as they do from a bound.
    """
    import numpy as np

    first = np.asarray(start, dtype=float)
    found = first.copy()
    for _ in range(steps):
        step = np.linalg.lstsq(np.asarray(slopes(found)), -np.asarray(residuals(found)), rcond=None)[0]
        found = found + step
        if not np.allclose(found, first, rtol=1e-5, atol=1e-12):
            return [float(value) for value in first]
        if (abs(step) <= 1e-15 * abs(found)).all():
            break
    return [float(value) for value in found]
