"""The variance decomposition: against statsmodels, against the naive definition, and where the truth is planted."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.factorial import HIGHER, REPEATS, RESIDUAL, Term, decompose, keep_balanced, to_array

#: 10 + 2a - b + ab/2 + 0.3abc + 0.2 repeat + a normal error of 0.3, for a of 3, b of 2, c of 2 levels and 3 repeats.
VALUES = (
    10.08, 10.233, 10.139, 10.231, 9.803, 10.57, 9.349, 9.357, 9.289, 9.257, 9.245, 9.477, 12.213, 12.134, 12.699,
    12.217, 12.535, 12.546, 11.673, 11.422, 11.521, 11.813, 11.587, 11.694, 14.053, 14.018, 14.362, 14.758, 14.54,
    14.472, 13.874, 14.39, 14.607, 14.52, 15.158, 14.672,
)  # fmt: skip
#: What statsmodels 0.15.0 says of them: anova_lm(ols("y ~ C(a)*C(b)*C(c) + C(repeat)", frame).fit(), typ=2).
STATSMODELS = {
    "a": (2, 132.588242),
    "b": (1, 2.1015334444),
    "c": (1, 0.3765867778),
    "a × b": (2, 1.9265502222),
    "a × c": (2, 0.3301842222),
    "b × c": (1, 0.0011111111),
    HIGHER: (2, 0.0071775556),
    REPEATS: (2, 0.189762),
    RESIDUAL: (22, 1.0910646667),
}


def test_it_is_what_statsmodels_says() -> None:
    found = decompose(np.reshape(VALUES, (3, 2, 2, 3)), "abc")
    assert {term.name: (term.freedom, pytest.approx(term.squares, abs=1e-9)) for term in found} == STATSMODELS
    assert [term.name for term in found] == list(STATSMODELS)


def fit_naively(values: Any, factors: Sequence[str]) -> dict[str, float]:
    """By how much each term, put into a linear model after those before it, lowers what the model leaves."""
    places = np.array(list(itertools.product(*map(range, values.shape))))
    flat = values.reshape(-1)

    def dummies(axes: tuple[int, ...]) -> Any:
        keys = [tuple(place) for place in places[:, axes]]
        return np.array([[float(key == level) for level in dict.fromkeys(keys)] for key in keys])

    def rest(columns: list[Any]) -> float:
        matrix = np.hstack([np.ones((len(flat), 1)), *columns])
        return float(((flat - matrix @ np.linalg.lstsq(matrix, flat, rcond=None)[0]) ** 2).sum())

    axes = range(len(factors))
    terms = {factors[axis]: (axis,) for axis in axes}
    terms |= {f"{factors[a]} × {factors[b]}": (a, b) for a, b in itertools.combinations(axes, 2)}
    terms |= {HIGHER: tuple(axes), REPEATS: (len(factors),)}
    columns: list[Any] = []
    left, found = rest([]), {}
    for name, kept in terms.items():
        columns.append(dummies(kept))
        found[name] = left - rest(columns)
        left -= found[name]
    return found | {RESIDUAL: left}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(2, 3), min_size=1, max_size=3), st.integers(1, 3), st.integers(0, 10_000))
def test_it_is_what_the_naive_definition_says(levels: list[int], repeats: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(*levels, repeats))
    found = decompose(values, "abc"[: len(levels)])
    naive = fit_naively(values, "abc"[: len(levels)])
    assert {term.name: pytest.approx(term.squares, abs=1e-9) for term in found} == naive
    assert sum(term.share for term in found) == pytest.approx(1.0)
    assert sum(term.freedom for term in found) == values.size - 1


@given(st.floats(0.1, 3), st.floats(0.1, 3), st.floats(0.1, 3), st.integers(1, 3))
def test_a_planted_factor_comes_out_with_the_planted_share(a: float, b: float, ab: float, repeats: int) -> None:
    """Effects of ±x have the variance x²; the third factor has none at all."""
    first, second = np.array([[-1.0, -1.0], [1.0, 1.0]]), np.array([[-1.0, 1.0], [-1.0, 1.0]])
    effects = a * first + b * second + ab * first * second
    values = effects[:, :, None, None] + np.zeros((2, 2, 4, repeats))
    shares = {term.name: term.share for term in decompose(values, ("a", "b", "none"))}
    total = a**2 + b**2 + ab**2
    expected = {"a": a**2 / total, "b": b**2 / total, "a × b": ab**2 / total}
    assert shares == pytest.approx(dict.fromkeys(shares, 0.0) | expected, abs=1e-9)


def test_an_empty_factor_explains_about_nothing_beside_noise() -> None:
    chance = np.random.default_rng(5)
    values = np.arange(4.0)[:, None, None] + chance.normal(0, 0.5, (4, 3, 10))
    found = by_name(decompose(values, ("real", "none")))
    assert found["real"].share == pytest.approx(1.25 / (1.25 + 0.25), abs=0.05)
    assert found["none"].share < 0.03
    assert found["none"].low <= found["none"].high < 0.25
    assert found["real"].low > 0.7


def test_what_moves_a_whole_repeat_is_no_error_of_its_cells() -> None:
    values = np.array([[0.0, 10.0], [1.0, 11.0]])
    found = by_name(decompose(values, ("a",)))
    assert (found["a"].squares, found[REPEATS].squares, found[RESIDUAL].squares) == (1.0, 100.0, 0.0)
    assert (found["a"].low, found["a"].high) == (1.0, 1.0), "within each repeat nothing else varies"
    assert math.isnan(found[REPEATS].low)


def test_where_nothing_varies_there_is_no_share() -> None:
    assert all(math.isnan(term.share) for term in decompose(np.ones((2, 2, 2)), "ab"))


@pytest.mark.parametrize("shape", [(1, 2, 2), (2, 2), (2, 2, 0)], ids=["one level", "an axis too few", "no repeat"])
def test_what_is_no_design_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected 2 or more levels of a, b and a repeat, found"):
        decompose(np.zeros(shape), "ab")


def test_gaps_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a finite value in every cell and repeat, found 1 gaps"):
        decompose(np.array([[0.0, math.nan], [1.0, 2.0]]), ("a",))


def by_name(terms: list[Term]) -> dict[str, Term]:
    return {term.name: term for term in terms}


# -- from rows ---------------------------------------------------------------------------------------------------

AXES = {"a": ["x", "y", "z"], "b": [1, 2], "repeat": [0, 1]}


def make_rows() -> pd.DataFrame:
    rows = [dict(zip(AXES, place, strict=True)) for place in itertools.product(*AXES.values())]
    return pd.DataFrame([row | {"value": math.exp(number), "other": 1.0} for number, row in enumerate(rows)])


@given(st.permutations(range(12)))
def test_rows_in_any_order_are_the_same_design(order: list[int]) -> None:
    rows = make_rows()
    values = to_array(rows, ("a", "b"), "repeat", "value")
    assert values.tolist() == np.arange(12.0).reshape(3, 2, 2).tolist()
    shares = [term.share for term in decompose(values, ("a", "b"))]
    shuffled = to_array(rows.iloc[order], ("a", "b"), "repeat", "value")
    assert [term.share for term in decompose(shuffled, ("a", "b"))] == pytest.approx(shares)


def test_a_design_that_is_not_balanced_is_refused() -> None:
    rows = make_rows()
    with pytest.raises(ValueError, match="expected 12 values, one per cell and repeat, found 11"):
        to_array(rows.iloc[1:], ("a", "b"), "repeat", "value")
    with pytest.raises(ValueError, match="expected one value per cell and repeat, found two of"):
        to_array(pd.concat([rows, rows.iloc[:1]]), ("a", "b"), "repeat", "value")


def test_without_gaps_everything_is_kept() -> None:
    kept, left_out = keep_balanced(make_rows().iloc[::-1], AXES, ["value"])
    assert (len(kept), left_out) == (12, [])


def test_a_gap_costs_what_it_is_the_greatest_part_of() -> None:
    kept, left_out = keep_balanced(make_rows().iloc[1:], AXES, ["value"])
    assert (len(kept), left_out) == (8, ["a x"]), "of the level a quarter was missing, of the repeat a sixth"
    rows = make_rows()
    kept, left_out = keep_balanced(rows[(rows["repeat"] == 0) | (rows["a"] == "x")], AXES, ["value"])
    assert (len(kept), left_out) == (6, ["repeat 1"]), "a run that was cut off in its second repeat"


def test_a_level_that_never_succeeds_is_left_out_whole() -> None:
    rows = make_rows()
    rows.loc[rows["a"] == "y", "value"] = None
    kept, left_out = keep_balanced(rows, AXES, ["value"])
    assert (sorted(set(kept["a"])), left_out) == (["x", "z"], ["a y"])
    assert to_array(kept, ("a", "b"), "repeat", "value").shape == (2, 2, 2)


def test_where_nothing_succeeded_nothing_is_kept() -> None:
    kept, left_out = keep_balanced(make_rows().assign(value=0.0), AXES, ["value"])
    assert len(kept) == 0
    assert left_out
