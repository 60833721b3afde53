"""Models of the paper's throughput by what a transaction costs in messages, each judged on rows it has not seen.

Most say how long a transaction takes, T = 360 s / throughput, as a constant and a time per message, with parameters
that are not below 0; they are fitted by least squares on throughput, which is what the paper prints.  With 16 to 18
rows of whole numbers several models do well, and a fit does not prove a mechanism: `judge_against` says whether the
rows tell two of them apart.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bench.analysis.paper_table import LEAST_ROWS, WINDOW_S

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

_STEPS: Final = 50


class Point(NamedTuple):
    """A row: counts of nodes, and the messages that our implementation sends for one lone transaction."""

    agents: float
    coordinators: float
    administrators: float
    contributors: float
    messages: float = math.nan


@dataclass(frozen=True, slots=True)
class Model:
    """A constant and a parameter for each of ``terms`` (text -> value of a row), of T or else of the throughput.

    ``about`` says what it is in words.  One ``of_time`` is in seconds per transaction, the others in transactions per
    6 minutes.
    """

    about: str
    terms: dict[str, Callable[[Point], float]]
    of_time: bool = True

    def describe(self, parameters: Sequence[float]) -> str:
        """The fitted equation: T in seconds, X in transactions per 6 minutes."""
        constant, *slopes = parameters
        text = f"{'T' if self.of_time else 'X'} = {constant:.3g}"
        for name, slope in zip(self.terms, slopes, strict=True):
            text += f" {'−' if slope < 0 else '+'} {abs(slope):.3g} {name}"
        return text


def count_steps(at: Point) -> float:
    """Messages of a transaction by the paper's Steps 1 to 4 (section 3), every message counted alike.

    Visitor to every agent, each of those to every coordinator, those to the administrators, one round of all to all
    among these, and each of them to every coordinator and contributor.
    """
    a, c, o, k, _ = at
    return a + a * c + c * o + o * (o - 1) + o * (c + k)


MODELS: Final = {
    "mean": Model("the mean of the other rows", {}, of_time=False),
    "nodes": Model("a time per node", {"(A+C+O+K)": lambda at: sum(at[:4])}),
    "linear": Model("least squares on the four counts", {
        "A": lambda at: at.agents, "C": lambda at: at.coordinators, "O": lambda at: at.administrators,
        "K": lambda at: at.contributors,
    }, of_time=False),
    "M2": Model("checking nodes and pairs of ordering nodes", {
        "(A+C)": lambda at: at.agents + at.coordinators,
        "O(O−1)": lambda at: at.administrators * (at.administrators - 1),
    }),
    "M1": Model("messages of the paper's Steps 1 to 4", {"messages": count_steps}),
    "ours": Model("messages that our implementation sends", {"messages": lambda at: at.messages}),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Validation:
    """A model fitted to some rows, and how it predicts those it was not fitted to.

    ``left_out`` is each row as predicted from the others, in the order of the rows; ``pairs_rmse`` the root mean
    square error of both rows over all fits that leave two out.
    """

    parameters: tuple[float, ...]
    r_squared: float
    left_out: tuple[float, ...]
    pairs_rmse: float


def fit_model(model: Model, points: Sequence[Point], values: Sequence[float]) -> tuple[float, ...]:
    """Constant and slopes with the least squares of throughput (transactions per 6 minutes, above 0).

    Needs at least as many rows as parameters.  Those of a model of time are not below 0.
    """
    import numpy as np

    design, target = _design(model, points), np.asarray(values, dtype=float)
    found = _fit_time(design, target) if model.of_time else np.linalg.lstsq(design, target, rcond=None)[0]
    return tuple(float(value) for value in found)


def predict(model: Model, parameters: Sequence[float], points: Sequence[Point]) -> list[float]:
    """Transactions per 6 minutes of each row."""
    linear = (_design(model, points) @ list(parameters)).tolist()
    return [WINDOW_S / value for value in linear] if model.of_time else linear


@dataclass(frozen=True, slots=True)
class DelayFit:
    """Throughput as ``360 / (pause + delay * messages)``: seconds of pause per transaction and delay per message."""

    pause_s: float
    delay_s: float
    r_squared: float


def fit_delays(messages: Sequence[float], printed: Sequence[float]) -> DelayFit:
    """The model ``ours`` on equally long sequences of at least `LEAST_ROWS`: behind the paper-calibrated mode."""
    if len(messages) != len(printed) or len(messages) < LEAST_ROWS:
        raise ValueError(f"fit: expected at least {LEAST_ROWS} pairs, found {len(messages)} and {len(printed)}")
    points = [Point(0, 0, 0, 0, count) for count in messages]
    pause, delay = fit_model(MODELS["ours"], points, printed)
    return DelayFit(pause, delay, _explain(predict(MODELS["ours"], (pause, delay), points), printed))


@lru_cache(maxsize=256)
def leave_out(name: str, points: tuple[Point, ...], values: tuple[float, ...], size: int) -> tuple[float, ...]:
    """Rows as `MODELS` ``[name]`` predicts them from the others, for each set of ``size`` rows, in their order."""
    model, found = MODELS[name], []
    for gone in combinations(range(len(points)), size):
        kept = [row for row in range(len(points)) if row not in gone]
        parameters = fit_model(model, [points[row] for row in kept], [values[row] for row in kept])
        found += predict(model, parameters, [points[row] for row in gone])
    return tuple(found)


def validate(name: str, points: tuple[Point, ...], values: tuple[float, ...]) -> Validation:
    """Fit `MODELS` ``[name]`` to all rows, to all but each one, and to all but each two."""
    parameters = fit_model(MODELS[name], points, values)
    pairs = [values[row] for gone in combinations(range(len(values)), 2) for row in gone]
    r_squared = _explain(predict(MODELS[name], parameters, points), values)
    left_out = leave_out(name, points, values, 1)
    error = _rms(leave_out(name, points, values, 2), pairs)
    return Validation(parameters, r_squared, left_out, error)


def measure_error(validation: Validation, values: Sequence[float]) -> tuple[float, float]:
    """Leave-one-out root mean square error, and Q^2 = 1 - PRESS / total sum of squares."""
    return _rms(validation.left_out, values), _explain(validation.left_out, values)


def judge_against(best: Validation, other: Validation, values: Sequence[float]) -> tuple[int, int, float]:
    """In how many rows ``best`` predicts nearer, in how many one of them does, and the sign test's two-sided p.

    The rows are those that neither was fitted to.  The test asks for no distribution of errors; with 16 rows it takes
    13 of one sign to fall below 5 %.
    """
    from scipy.stats import binomtest

    errors = [
        (abs(a - value), abs(b - value))
        for a, b, value in zip(best.left_out, other.left_out, values, strict=True)
        if not math.isclose(abs(a - value), abs(b - value), rel_tol=1e-9)
    ]
    nearer = sum(a < b for a, b in errors)
    return nearer, len(errors), float(binomtest(nearer, len(errors)).pvalue) if errors else math.nan


def _design(model: Model, points: Sequence[Point]) -> "Array":
    import numpy as np

    return np.array([[1.0, *(term(point) for term in model.terms.values())] for point in points])


def _fit_time(design: "Array", target: "Array") -> "Array":
    """The best of the fits with some parameters at 0 and the others free: least squares within bounds, exactly.

    The start is the fit of times, weighted as an error of throughput is one of time: dX = -X^2 / 360 s dT.
    """
    import numpy as np
    from scipy.optimize import nnls

    weights = target**2 / WINDOW_S
    start = np.asarray(nnls(design * weights[:, None], target)[0], dtype=float)  # weight times T is X
    width, best, least = design.shape[1], start, math.inf
    for size in range(width, 0, -1):
        for columns in combinations(range(width), size):
            if not (design[:, columns] > 0).any(axis=1).all():
                continue  # a transaction would take no time
            found = np.zeros(width)
            found[list(columns)] = _fit_free(design[:, columns], target, start[list(columns)])
            cost = _cost(design, target, found)
            if cost < least and (found >= 0).all():
                best, least = found, cost
        if size == width and least < math.inf:
            break
    return best


def _fit_free(design: "Array", target: "Array", start: "Array") -> "Array":
    """Levenberg-Marquardt from ``start``, parameters of any sign."""
    import numpy as np
    from scipy.optimize import least_squares

    def residuals(parameters: "Array") -> "Array":
        return WINDOW_S / (design @ parameters) - target

    def slopes(parameters: "Array") -> "Array":
        return np.asarray(-WINDOW_S / (design @ parameters)[:, None] ** 2 * design)

    first = np.where(start > 0, start, 1e-3 * WINDOW_S / target.mean())
    found = least_squares(residuals, first, slopes, method="lm", xtol=1e-12, ftol=1e-12, x_scale=first)
    return _polish(np.asarray(found.x), residuals, slopes)


def _polish(start: "Array", residuals: Callable[["Array"], "Array"], slopes: Callable[["Array"], "Array"]) -> "Array":
    """Parameters of least squares near ``start``, by Gauss and Newton's steps, as far as numbers go.

    A search by cost stops at half of the digits, where the cost is flat; how it rounds on the way differs between
    processors.  Returns ``start`` where the steps lead away from it.
    """
    import numpy as np

    found = start
    for _ in range(_STEPS):
        step = np.linalg.lstsq(slopes(found), -residuals(found), rcond=None)[0]
        found = found + step
        if not np.allclose(found, start, rtol=1e-5, atol=1e-12):
            return start
        if (abs(step) <= 1e-15 * abs(found)).all():
            break
    return found


def _cost(design: "Array", target: "Array", parameters: "Array") -> float:
    times = design @ parameters
    return float(((WINDOW_S / times - target) ** 2).sum()) if (times > 0).all() else math.inf


def _rms(found: Sequence[float], values: Sequence[float]) -> float:
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(found, values, strict=True)) / len(values))


def _explain(found: Sequence[float], values: Sequence[float]) -> float:
    """One less the squared errors over the squares around the mean; NaN for values that do not vary."""
    mean = sum(values) / len(values)
    return 1 - _rms(found, values) ** 2 * len(values) / (sum((value - mean) ** 2 for value in values) or math.nan)
