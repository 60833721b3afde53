"""Which kind of node moves the throughput: least squares on the counts of nodes, and each kind's share of R^2.

The configurations of the paper's Table 1 are no balanced design, so how much a kind explains depends on those beside
it.  LMG shares (Lindeman, Merenda and Gold, Introduction to Bivariate and Multivariate Analysis, 1980, page 119;
Grömping, Journal of Statistical Software 17(1), 2006) average over every order in which the kinds can enter: they
are the Shapley values of R^2.  Fits, intervals and influence are those of statsmodels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

from bench.analysis.paired import FAMILY_ERROR

if TYPE_CHECKING:
    import pandas as pd

#: Kinds of nodes as columns name them, in the paper's order A, C, O, K.
FACTORS: Final = ("agents", "coordinators", "administrators", "contributors")
#: The kind whose count the paper says matters most: its ordering nodes.
ORDERING: Final = "administrators"
TERMS: Final = ("constant", *FACTORS)
#: Fewest rows for a coefficient of each term and one degree of freedom.
LEAST_ROWS: Final = len(TERMS) + 1
Counts = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its standard error, its 95 % Student bounds and the two-sided p of its being 0.

    The bounds hold for all of a family at once if it is one of several; p is its own.
    """

    value: float
    error: float
    low: float
    high: float
    p: float


def fit_linear(rows: Sequence[Sequence[float]], values: Sequence[float]) -> tuple[list[Estimate], float]:
    """Intercept, then one coefficient per column of ``rows``; and R^2.

    Where points are no more than coefficients, all but their values is NaN.  Intervals hold for independent, equal and
    normal deviations; file sizes deviate by whole pages, so they are a guide there.  `ValueError` for fewer points
    than coefficients, or columns that cannot be told apart.
    """
    import numpy as np
    from statsmodels.regression.linear_model import OLS

    design = _design(rows)
    # Columns of like length: blocks and transactions are orders apart from bytes.
    scale = np.abs(design).max(axis=0)
    scale[scale == 0] = 1
    count, width = design.shape
    if np.linalg.matrix_rank(design / scale) < width:
        raise ValueError(f"expected {width} columns that differ, found fewer in {count} points")
    fit = OLS(np.asarray(values, dtype=float), design / scale).fit()
    if count > width:
        found = [estimate(fit, weights) for weights in np.diag(1 / scale)]
    else:
        found = [Estimate(float(value), *[math.nan] * 4) for value in fit.params / scale]
    return found, float(fit.rsquared) if fit.centered_tss else 1.0


def _design(rows: Counts) -> Any:
    import numpy as np

    return np.column_stack([np.ones(len(rows)), np.asarray(rows, dtype=float)])


def fit_counts(counts: Counts, values: Sequence[float]) -> Any:
    """Fit by statsmodels: least squares of ``values`` on a constant and the four counts of each row.

    None where fewer than `LEAST_ROWS` rows, a throughput that never varies, or counts that cannot be told apart leave
    nothing to estimate.
    """
    import numpy as np

    target = np.asarray(values, dtype=float)
    if len(target) < LEAST_ROWS or np.ptp(target) == 0:
        return None
    design = _design(counts)
    if np.linalg.matrix_rank(design) < len(TERMS):
        return None
    from statsmodels.regression.linear_model import OLS

    return OLS(target, design).fit()


def estimate(fit: Any, weights: Sequence[float], family: int = 1) -> Estimate:
    """The sum of coefficients (in the order of `TERMS`) times ``weights``, such as one slope less half of another.

    Of a ``family`` of so many that are looked at together, each has the confidence 1 - 0.05 / family (Bonferroni).
    """
    test = fit.t_test([list(weights)])
    low, high = test.conf_int(alpha=FAMILY_ERROR / family)[0]
    return Estimate(*map(float, (test.effect[0], test.sd[0][0], low, high, test.pvalue)))


def weigh(**weights: float) -> list[float]:
    """Weights for `estimate` by the names of `TERMS`; those that are not named are 0."""
    return [weights.get(term, 0.0) for term in TERMS]


def compute_shares(counts: Counts, values: Sequence[float]) -> list[float]:
    """The LMG share of R^2 of each column of ``counts``; they add up to R^2.

    Columns must vary and must not determine each other.  Every set's R^2 follows from the correlations alone.
    """
    import numpy as np

    found = np.corrcoef(np.column_stack([np.asarray(counts, dtype=float), values]), rowvar=False)
    width = len(found) - 1

    def explain(chosen: tuple[int, ...]) -> float:
        beside = found[list(chosen), -1]
        return float(beside @ np.linalg.solve(found[np.ix_(chosen, chosen)], beside)) if chosen else 0.0

    sets = [chosen for size in range(width + 1) for chosen in combinations(range(width), size)]
    known = {chosen: explain(chosen) for chosen in sets}
    shares = [0.0] * width
    for chosen, base in known.items():
        # In so many of the orders exactly these columns come before the next one.
        weight = math.factorial(len(chosen)) * math.factorial(width - len(chosen) - 1) if len(chosen) < width else 0
        for column in {*range(width)} - {*chosen}:
            gain = known[tuple(sorted((*chosen, column)))] - base
            shares[column] += weight / math.factorial(width) * gain
    return shares


def leave_one_out(fit: Any) -> tuple[float, float]:
    """Root mean square error of each row predicted from the others, and Q^2 = 1 - PRESS / total sum of squares.

    NaN where a row cannot be: without it (leverage 1) some coefficient would have nothing to go by.
    """
    from statsmodels.stats.outliers_influence import OLSInfluence

    influence = OLSInfluence(fit)
    if influence.hat_matrix_diag.max() > 1 - 1e-9:
        return math.nan, math.nan
    press = float((influence.resid_press**2).sum())
    return math.sqrt(press / fit.nobs), 1 - press / float(fit.centered_tss)


def describe_influence(fit: Any) -> "pd.DataFrame":
    """What each row does to the fit, in the order of its rows.

    ``studentised`` residuals are external: each row is judged by the spread of the others.  ``outlier_p`` is their
    two-sided p times the number of rows (Bonferroni), at most 1.  ``cooks_d`` and ``dfbetas_<term>`` say how far all
    fitted values, or one coefficient in standard errors, move when the row is left out.
    """
    import pandas as pd
    from scipy import stats
    from statsmodels.stats.outliers_influence import OLSInfluence

    influence = OLSInfluence(fit)
    studentised = influence.resid_studentized_external
    p = 2 * stats.t.sf(abs(studentised), fit.df_resid - 1) * len(studentised)
    content = {
        "fitted": fit.fittedvalues,
        "studentised": studentised,
        "outlier_p": p.clip(max=1.0),
        "leverage": influence.hat_matrix_diag,
        "cooks_d": influence.cooks_distance[0],
    }
    return pd.DataFrame(content | {f"dfbetas_{term}": influence.dfbetas[:, k] for k, term in enumerate(TERMS)})


def find_pairs(counts: Counts) -> list[tuple[int, int, int]]:
    """Rows that differ by one in one column and agree in the others: (column, row with fewer, row with one more)."""
    pairs = []
    for first, few in enumerate(counts):
        for second, many in enumerate(counts):
            steps = [b - a for a, b in zip(few, many, strict=True)]
            if sorted(steps) == [0] * (len(steps) - 1) + [1]:
                pairs.append((steps.index(1), first, second))
    return sorted(pairs)
