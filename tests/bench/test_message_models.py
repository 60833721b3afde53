"""Models of messages: planted parameters are found within their bounds, and no row enters its own prediction."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from bench.analysis.message_models import (
    MODELS,
    Point,
    Validation,
    fit_delays,
    fit_model,
    judge_against,
    leave_out,
    measure_error,
    predict,
    validate,
)
from bench.analysis.paper_table import LEAST_ROWS, OUTLIER_ROW, REPEATED_ROW, WINDOW_S, read_paper_table

PRINTED = read_paper_table()


def messages_of(row):
    """Of our implementation, as `test_table1` counts them in a run."""
    a, c, o, k = row.agents, row.coordinators, row.administrators, row.contributors
    return a + a * c + c * o + (o - 1) + 2 * o * (o - 1) + o * (c + k) + k


def choose(*left_out):
    rows = [row for row in PRINTED if row.row not in left_out]
    points = tuple(Point(r.agents, r.coordinators, r.administrators, r.contributors, messages_of(r)) for r in rows)
    return points, tuple(float(row.tx_per_6min) for row in rows)


POINTS, VALUES = choose()
SIXTEEN = choose(OUTLIER_ROW, REPEATED_ROW)
#: Model -> R^2 and leave-one-out error of the 16 rows without 1 and 16.
KNOWN = {"mean": (0, 2.97), "nodes": (0.832, 1.50), "linear": (0.960, 1.09), "M2": (0.945, 0.81), "M1": (0.979, 0.46)}


@pytest.mark.parametrize("name", KNOWN)
def test_the_printed_table_without_rows_1_and_16(name):
    found = validate(name, *SIXTEEN)
    assert (found.r_squared, measure_error(found, SIXTEEN[1])[0]) == pytest.approx(KNOWN[name], abs=0.006)


def test_the_equations_that_are_fitted_and_what_they_say_of_row_1():
    said = {}
    for name, equation in {
        "M1": "T = 19 + 0.731 messages", "M2": "T = 15.4 + 3.54 (A+C) + 1.71 O(O−1)",
        "linear": "X = 20 − 0.598 A − 1.41 C − 1.56 O − 0.97 K",
    }.items():  # fmt: skip
        parameters = fit_model(MODELS[name], *SIXTEEN)
        assert MODELS[name].describe(parameters) == equation
        (said[name],) = predict(MODELS[name], parameters, POINTS[:1])
    assert said["M1"] == pytest.approx(12.65, abs=0.1)
    assert VALUES[0] == 3


# -- fits --------------------------------------------------------------------------------------------------------


@given(st.floats(0.5, 60), st.floats(0.05, 5), st.lists(st.integers(3, 120), min_size=5, max_size=18, unique=True))
def test_the_fit_finds_planted_delays(pause, delay, messages):
    printed = [WINDOW_S / (pause + delay * count) for count in messages]
    fit = fit_delays(messages, printed)
    for count, value in zip(messages, printed, strict=True):
        assert WINDOW_S / (fit.pause_s + fit.delay_s * count) == pytest.approx(value, rel=1e-4)
    assert fit.pause_s == pytest.approx(pause, rel=1e-2, abs=0.02)
    assert fit.delay_s == pytest.approx(delay, rel=1e-2)
    assert fit.r_squared == pytest.approx(1, abs=1e-6)


def test_no_parameter_of_a_fit_is_negative():
    fit = fit_delays([10, 20, 30, 40, 50], [5, 9, 12, 14, 15])  # more messages, more throughput
    assert fit.pause_s >= 0
    assert fit.delay_s >= 0


def test_a_table_without_variation_has_no_r_squared():
    assert math.isnan(fit_delays([10, 20, 30, 40, 50], [7, 7, 7, 7, 7]).r_squared)


@pytest.mark.parametrize(("messages", "printed"), [([1, 2, 3, 4], [4, 3, 2, 1]), ([1] * 6, [1] * 5), ([], [])])
def test_too_few_or_unequal_rows_are_refused(messages, printed):
    with pytest.raises(ValueError, match=f"fit: expected at least {LEAST_ROWS} pairs, found {len(messages)}"):
        fit_delays(messages, printed)


_TIMES = [name for name, model in MODELS.items() if model.of_time]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(_TIMES), st.tuples(st.floats(1, 60), st.floats(0.05, 5), st.floats(0.05, 5)))
def test_planted_parameters_are_found(name, planted):
    model = MODELS[name]
    wanted = planted[: 1 + len(model.terms)]
    values = predict(model, wanted, POINTS)
    assert fit_model(model, POINTS, values) == pytest.approx(wanted, rel=1e-3, abs=1e-3)
    assert all(0 < value < WINDOW_S for value in values)


def test_planted_slopes_are_found_by_least_squares():
    wanted = (30.0, -1.0, 2.0, -3.0, 0.5)
    values = predict(MODELS["linear"], wanted, POINTS)
    assert fit_model(MODELS["linear"], POINTS, values) == pytest.approx(wanted)
    assert fit_model(MODELS["mean"], POINTS, values) == pytest.approx((sum(values) / len(values),))


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(_TIMES), st.lists(st.floats(2, 20), min_size=18, max_size=18))
def test_no_parameter_is_negative_and_no_bounded_search_finds_better_ones(name, values):
    model = MODELS[name]
    found = fit_model(model, POINTS, values)
    assert min(found) >= 0
    cost = sum((a - b) ** 2 for a, b in zip(predict(model, found, POINTS), values, strict=True))

    def residuals(parameters):
        return np.array(predict(model, parameters, POINTS)) - values

    # A little above 0: at 0 a transaction could take no time.
    other = least_squares(residuals, np.maximum(found, 0.05) * 1.3, bounds=(1e-6, np.inf), x_scale="jac")
    assert cost <= 2 * other.cost * (1 + 1e-3)


def test_more_messages_with_more_throughput_leave_no_time_per_message():
    rising = sorted(POINTS, key=lambda point: point.messages)
    values = [float(5 + place) for place in range(len(rising))]
    pause, delay = fit_model(MODELS["ours"], rising, values)
    assert delay == 0
    assert WINDOW_S / pause == pytest.approx(sum(values) / len(values), rel=0.01), "what is left is the mean"


# -- rows that a fit did not see ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["linear", "M1"])
def test_a_row_is_predicted_from_the_others_alone(name):
    model, naive = MODELS[name], []
    for row, point in enumerate(POINTS):
        rest = [other for other in range(18) if other != row]
        parameters = fit_model(model, [POINTS[other] for other in rest], [VALUES[other] for other in rest])
        naive += predict(model, parameters, [point])
    assert leave_out(name, POINTS, VALUES, 1) == pytest.approx(naive)
    spoiled = (1000.0, *VALUES[1:])
    assert leave_out(name, POINTS, spoiled, 1)[0] == pytest.approx(naive[0]), "a row does not enter its own prediction"


def test_two_rows_are_left_out_in_every_way_there_is():
    points, values = POINTS[:7], VALUES[:7]
    expected = [sum(values[row] for row in range(7) if row not in gone) / 5 for gone in combinations(range(7), 2)]
    assert leave_out("mean", points, values, 2) == pytest.approx([one for one in expected for _ in range(2)])
    errors = [expected[place] - values[row] for place, gone in enumerate(combinations(range(7), 2)) for row in gone]
    rmse = math.sqrt(sum(error**2 for error in errors) / len(errors))
    assert validate("mean", points, values).pairs_rmse == pytest.approx(rmse)


def test_the_mean_of_the_others_is_worse_than_the_mean_and_exact_predictions_are_perfect():
    rmse, q_squared = measure_error(validate("mean", POINTS, VALUES), VALUES)
    assert q_squared == pytest.approx(1 - (18 / 17) ** 2)
    exact = Validation((), 1.0, VALUES, 0.0)
    assert measure_error(exact, VALUES) == (0, 1)
    assert rmse > 0


# -- telling models apart ----------------------------------------------------------------------------------------


def shifted(*errors):
    return Validation((), 0.0, tuple(10 + error for error in errors), 0.0)


@pytest.mark.parametrize(
    ("best", "other", "expected"),
    [
        ((0, 0, 0, 0, 0, 0), (1, -1, 1, 1, -1, 1), (6, 6, 2 / 64)),
        ((0, 0, 2), (1, -1, 1), (2, 3, 1.0)),
        ((1, 0), (-1, 3), (1, 1, 1.0)),
        ((1, -1), (-1, 1), (0, 0, math.nan)),
    ],
    ids=["always nearer", "mostly", "one alike", "all alike"],
)
def test_the_sign_test_counts_rows_in_which_the_best_is_nearer(best, other, expected):
    found = judge_against(shifted(*best), shifted(*other), [10.0] * len(best))
    assert found == pytest.approx(expected, nan_ok=True)
