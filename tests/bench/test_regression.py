"""Least squares on counts of nodes: what statsmodels says is what the definitions say, and shares are Shapley's."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.analysis.paper_table import OUTLIER_ROW, REPEATED_ROW, read_paper_table
from bench.analysis.regression import (
    FACTORS,
    LEAST_ROWS,
    TERMS,
    compute_shares,
    describe_influence,
    estimate,
    find_pairs,
    fit_counts,
    leave_one_out,
    weigh,
)

PRINTED = read_paper_table()
COUNTS = [[float(getattr(row, name)) for name in FACTORS] for row in PRINTED]
VALUES = [float(row.tx_per_6min) for row in PRINTED]


def choose(*left_out):
    kept = [place for place, row in enumerate(PRINTED) if row.row not in left_out]
    return [COUNTS[place] for place in kept], [VALUES[place] for place in kept]


def design_of(counts):
    return np.column_stack([np.ones(len(counts)), counts])


def r_squared_of(columns, values):
    """By its definition; of no column it is 0."""
    if not columns:
        return 0.0
    design = np.column_stack([np.ones(len(values)), *columns])
    solution, *_ = np.linalg.lstsq(design, values, rcond=None)
    return 1 - ((values - design @ solution) ** 2).sum() / ((values - np.mean(values)) ** 2).sum()


@st.composite
def tables(draw, width=4):
    rows = draw(st.integers(width + 3, 14))
    counts = draw(st.lists(st.lists(st.integers(1, 5), min_size=width, max_size=width), min_size=rows, max_size=rows))
    values = draw(st.lists(st.integers(-50, 50), min_size=rows, max_size=rows))
    assume(len(set(values)) > 2)
    # No column nearly follows from the others: what cannot be told apart has no share.
    assume(np.linalg.cond(np.column_stack([np.ones(rows), counts])) < 200)
    return np.array(counts, dtype=float), np.array(values, dtype=float)


# -- the paper's table -------------------------------------------------------------------------------------------

#: Rows left out -> coefficients with standard errors (as `TERMS`), R^2, shares in per cent, leave-one-out error, Q^2.
KNOWN = {
    (): (
        [20.91, -0.551, -0.392, -1.256, -3.651], [2.48, 0.537, 0.609, 0.279, 0.914], 0.748, [7, 5, 50, 38], 2.78, 0.07,
    ),
    (OUTLIER_ROW,): (
        [20.05, -0.650, -1.396, -1.561, -0.937], [0.95, 0.205, 0.259, 0.112, 0.466], 0.959, [8, 12, 72, 7], 1.05, 0.85,
    ),
    (OUTLIER_ROW, REPEATED_ROW): (
        [20.00, -0.598, -1.408, -1.562, -0.970], [0.98, 0.229, 0.267, 0.115, 0.482], 0.960, [7, 13, 73, 8], 1.09, 0.85,
    ),
}  # fmt: skip


@pytest.mark.parametrize("left_out", KNOWN)
def test_the_printed_table_read_each_way(left_out):
    counts, values = choose(*left_out)
    coefficients, errors, r_squared, shares, rmse, q_squared = KNOWN[left_out]
    fit = fit_counts(counts, values)
    found = [estimate(fit, weigh(**{term: 1.0})) for term in TERMS]
    assert [item.value for item in found] == pytest.approx(coefficients, abs=0.006)
    assert [item.error for item in found] == pytest.approx(errors, abs=0.006)
    assert float(fit.rsquared) == pytest.approx(r_squared, abs=6e-4)
    of_r_squared = [100 * share / sum(compute_shares(counts, values)) for share in compute_shares(counts, values)]
    assert of_r_squared == pytest.approx(shares, abs=0.6)
    assert leave_one_out(fit) == pytest.approx((rmse, q_squared), abs=0.006)


def test_row_1_alone_decides_and_then_row_2_weighs_most():
    whole, rest = (describe_influence(fit_counts(*choose(*gone))) for gone in ((), (OUTLIER_ROW,)))
    assert (whole["studentised"][0], whole["cooks_d"][0]) == pytest.approx((-8.79, 2.81), abs=0.005)
    assert whole["outlier_p"][0] < 1e-4
    assert (whole["outlier_p"][1:] > 0.5).all()
    assert rest["cooks_d"].idxmax() == 0, "row 2, the only one with five ordering nodes and a single contributor"


def test_pairs_of_printed_rows():
    pairs = find_pairs(COUNTS)
    steps = {factor: [VALUES[b] - VALUES[a] for place, a, b in pairs if FACTORS[place] == factor] for factor in FACTORS}
    assert [len(steps[factor]) for factor in FACTORS] == [7, 1, 7, 0]
    means = [sum(steps[factor]) / len(steps[factor]) for factor in FACTORS[:3]]
    assert means == pytest.approx([-0.714, -1, -1.571], abs=5e-4)


# -- definitions -------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(tables())
def test_coefficients_errors_and_left_out_rows_are_those_of_the_definitions(table):
    counts, values = table
    fit, design = fit_counts(counts, values), design_of(counts)
    solution, *_ = np.linalg.lstsq(design, values, rcond=None)
    residuals = values - design @ solution
    assume(residuals @ residuals > 1e-6)
    covariance = np.linalg.inv(design.T @ design) * (residuals @ residuals) / (len(values) - len(TERMS))
    found = [estimate(fit, weigh(**{term: 1.0})) for term in TERMS]
    assert [item.value for item in found] == pytest.approx(solution.tolist(), abs=1e-7)
    assert [item.error for item in found] == pytest.approx(np.sqrt(np.diag(covariance)).tolist(), rel=1e-6)
    assert all(item.low < item.value < item.high for item in found)
    errors = []
    for row in range(len(values)):
        kept = np.arange(len(values)) != row
        assume(np.linalg.matrix_rank(design[kept]) == len(TERMS))
        errors.append(values[row] - design[row] @ np.linalg.lstsq(design[kept], values[kept], rcond=None)[0])
    assert leave_one_out(fit)[0] == pytest.approx(float(np.sqrt(np.mean(np.square(errors)))), rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(tables())
def test_cooks_distance_and_residuals_are_what_leaving_a_row_out_does(table):
    counts, values = table
    design, fit = design_of(counts), fit_counts(counts, values)
    fitted, count = np.asarray(fit.fittedvalues), len(values)
    variance = float(fit.mse_resid)
    assume(variance > 1e-6)
    found = describe_influence(fit)
    for row in range(count):
        kept = np.arange(count) != row
        assume(np.linalg.matrix_rank(design[kept]) == len(TERMS))
        without = np.linalg.lstsq(design[kept], values[kept], rcond=None)[0]
        moved = ((fitted - design @ without) ** 2).sum() / (len(TERMS) * variance)
        assert found["cooks_d"][row] == pytest.approx(moved, rel=1e-5, abs=1e-9)
        rest = values[kept] - design[kept] @ without
        spread = rest @ rest / (count - 1 - len(TERMS))
        assume(spread > 1e-6)
        ahead = 1 + design[row] @ np.linalg.inv(design[kept].T @ design[kept]) @ design[row]
        expected = (values[row] - design[row] @ without) / np.sqrt(spread * ahead)
        assert found["studentised"][row] == pytest.approx(expected, rel=1e-5, abs=1e-9)
    assert found["leverage"].sum() == pytest.approx(len(TERMS))


@settings(max_examples=25, deadline=None)
@given(tables(), st.permutations(range(4)))
def test_shares_add_up_to_r_squared_and_are_the_mean_over_all_orders_of_entering(table, order):
    counts, values = table
    columns = list(counts.T)
    shares = compute_shares(counts, values)
    assert sum(shares) == pytest.approx(r_squared_of(columns, values), abs=1e-9)
    gains = np.zeros(4)
    for entering in permutations(range(4)):
        for place, column in enumerate(entering):
            before = [columns[other] for other in entering[:place]]
            gains[column] += r_squared_of([*before, columns[column]], values) - r_squared_of(before, values)
    assert shares == pytest.approx((gains / 24).tolist(), abs=1e-9)
    # Columns in another order have the same shares, in that order; other units change nothing.
    assert compute_shares(counts[:, order], values) == pytest.approx([shares[place] for place in order], abs=1e-9)
    assert compute_shares(counts * 7 + 3, values * -2) == pytest.approx(shares, abs=1e-9)


def test_columns_that_do_the_same_share_alike_and_independent_ones_take_their_own():
    counts = np.array([[a, b] for a in (1.0, 2.0, 3.0) for b in (1.0, 2.0, 3.0)])
    assert compute_shares(counts, 2 * counts[:, 0] + counts[:, 1]) == pytest.approx([0.8, 0.2])
    assert compute_shares(counts, counts.sum(axis=1)) == pytest.approx([0.5, 0.5])


def test_a_contrast_is_the_difference_of_two_slopes_with_the_error_of_both():
    fit = fit_counts(*choose(OUTLIER_ROW))
    half = estimate(fit, weigh(agents=1.0, administrators=-0.5))
    slopes = dict(zip(TERMS, fit.params, strict=True))
    assert half.value == pytest.approx(slopes["agents"] - slopes["administrators"] / 2)
    places = [TERMS.index("agents"), TERMS.index("administrators")]
    weights = np.array([1, -0.5])
    assert half.error**2 == pytest.approx(float(weights @ fit.cov_params()[np.ix_(places, places)] @ weights))


def test_intervals_of_a_family_hold_together():
    """Bonferroni: the half width of each grows by the ratio of the quantiles of t."""
    fit = fit_counts(*choose(OUTLIER_ROW))
    alone, together = (estimate(fit, weigh(agents=1.0, administrators=-0.5), family) for family in (1, 9))
    assert (together.value, together.error, together.p) == (alone.value, alone.error, alone.p)
    wider = stats.t.ppf(1 - 0.05 / 9 / 2, fit.df_resid) / stats.t.ppf(0.975, fit.df_resid)
    assert together.high - together.value == pytest.approx(wider * (alone.high - alone.value))


def test_a_row_without_which_a_slope_has_nothing_to_go_by_cannot_be_left_out():
    counts, values = choose(OUTLIER_ROW)
    alone = [[a, c, o, 1.0 if place == 4 else 2.0] for place, (a, c, o, _) in enumerate(counts)]
    assert np.isnan(leave_one_out(fit_counts(alone, values))).all()


# -- what cannot be fitted ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "values"),
    [
        ([], []),
        (COUNTS[: LEAST_ROWS - 1], VALUES[: LEAST_ROWS - 1]),
        (COUNTS, [7.0] * 18),
        ([[a, a, o, k] for a, _, o, k in COUNTS], VALUES),
        ([COUNTS[2]] * 18, VALUES),
    ],
    ids=["nothing", "too few rows", "no variation", "two columns alike", "one configuration"],
)
def test_what_tells_nothing_apart_is_not_fitted(counts, values):
    assert fit_counts(counts, values) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.integers(1, 3)] * 4), max_size=9))
def test_pairs_differ_by_one_in_one_column_and_all_of_them_are_found(counts):
    naive = {
        (column, few, many)
        for few, a in enumerate(counts)
        for many, b in enumerate(counts)
        for column in range(4)
        if b == tuple(value + (place == column) for place, value in enumerate(a))
    }
    assert set(find_pairs(counts)) == naive
    assert len(find_pairs(counts)) == len(naive)
