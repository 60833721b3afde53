"""The probability of a reversal against its definition, the published tables, exact fractions and a simulated race."""

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehrcore.consensus.reversal import SHARES, confirmations_for, reversal_probability, rule_risk
from ehrcore.errors import ParameterError
from ehrcore.params import WorkRule


def rosenfeld(share: Fraction, n: int) -> Fraction:
    """Equation 1 of arXiv:1402.2009, as it is printed."""
    p, q = 1 - share, share
    return 1 - sum(math.comb(m + n - 1, m) * (p**n * q**m - p**m * q**n) for m in range(n + 1))


@given(share=st.fractions(0, Fraction(499, 1000), max_denominator=1000), n=st.integers(1, 60))
def test_the_fast_form_is_rosenfelds(share: Fraction, n: int) -> None:
    assert reversal_probability(float(share), n) == pytest.approx(float(rosenfeld(share, n)), rel=1e-11)


@pytest.mark.parametrize(
    ("share", "n", "percent"),
    [
        (0.02, 1, 4), (0.02, 2, 0.237), (0.1, 1, 20), (0.1, 2, 5.6), (0.1, 3, 1.712), (0.1, 4, 0.546), (0.1, 6, 0.059),
        (0.2, 2, 20.8), (0.2, 6, 2.331), (0.3, 1, 60), (0.3, 6, 15.645), (0.4, 2, 70.4), (0.4, 6, 49.300),
        (0.5, 9, 100),
    ],
)  # fmt: skip
def test_rosenfelds_table_of_risks(share: float, n: int, percent: float) -> None:
    assert 100 * reversal_probability(share, n) == pytest.approx(percent, abs=6e-4)


@given(share=st.floats(0.01, 0.45), n=st.integers(1, 100))
def test_the_risk_falls_with_confirmations(share: float, n: int) -> None:
    assert reversal_probability(share, n + 1) < reversal_probability(share, n)


@pytest.mark.parametrize(("share", "n"), [(0.1, 1), (0.2, 3), (0.3, 6), (0.4, 4)])
def test_a_simulated_race_is_won_as_often(share: float, n: int) -> None:
    """The attacker starts one block ahead; behind by 60 after the honest n, it has lost for good (0.667^60 < 1e-10)."""
    generator, races, won = random.Random(f"race {share} {n}"), 20_000, 0
    for _ in range(races):
        honest, secret = 0, 1
        while honest < n or honest - 60 < secret <= honest:
            if generator.random() < share:
                secret += 1
            else:
                honest += 1
        won += secret > honest
    expected = reversal_probability(share, n)
    assert abs(won / races - expected) < 4 * math.sqrt(expected * (1 - expected) / races)


@given(share=st.floats(0, 0.49), risk=st.floats(1e-12, 0.999))
def test_so_many_confirmations_are_enough_and_one_less_is_not(share: float, risk: float) -> None:
    n = confirmations_for(share, risk)
    assert reversal_probability(share, n) <= risk < reversal_probability(share, n - 1)


def test_a_rule_counts_successors_and_the_formula_the_block_too() -> None:
    assert rule_risk(WorkRule(confirmations=0), 0.1) == pytest.approx(0.2)
    assert rule_risk(WorkRule(confirmations=5), 0.1) == pytest.approx(reversal_probability(0.1, 6))
    risks = [rule_risk(WorkRule(confirmations=6), share) for share in SHARES]
    assert risks == sorted(risks)


@pytest.mark.parametrize("share", [0.5, 0.51, 1.0])
def test_half_of_the_power_reverses_everything(share: float) -> None:
    assert reversal_probability(share, 1_000) == 1
    with pytest.raises(ParameterError, match="^confirmations: expected a share below 1/2 and a risk above 0, found"):
        confirmations_for(share, 0.5)


def test_domains_are_checked() -> None:
    for share in (-0.1, 1.1, math.nan):
        with pytest.raises(ParameterError, match="^share of the hash power: expected 0 to 1, found"):
            reversal_probability(share, 1)
    with pytest.raises(ParameterError, match="^confirmations: expected at least 0, found -1$"):
        reversal_probability(0.1, -1)
    with pytest.raises(ParameterError, match="a risk above 0"):
        confirmations_for(0.1, 0)
