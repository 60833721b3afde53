"""Fitted costs find what was planted, and errors and rank correlation are what they are by definition."""

import math
import random
from statistics import median
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bench.analysis.agreement import Factors, count_work, explain, fit_factors, summarise_errors
from bench.net.usage import total_flow
from ehrcore.drive.cost import EXAMPLE


def process(chance: random.Random, factors: Factors | None = None) -> dict[str, Any]:
    """A process that did random work, and took the time that the factors ask for."""
    row = {
        "kind": "process", "signs_per_s": chance.uniform(0, 900), "verifies_per_s": chance.uniform(0, 2_000),
        "hashes_per_s": chance.uniform(0, 9_000), "frames_in_per_s": chance.uniform(1, 200),
        "frames_out_per_s": chance.uniform(1, 200), "commits_per_s": chance.uniform(0, 100),
        "sent_messages_per_s:agent": chance.uniform(0, 800), "received_messages_per_s:visitor": chance.uniform(0, 800),
        "sent_bytes_per_s:agent": chance.uniform(0, 1e6), "received_bytes_per_s:visitor": chance.uniform(0, 1e6),
    }  # fmt: skip
    return row | {"cpu_cores": explain(row, factors, EXAMPLE) if factors else 0.0}


FACTORS = st.builds(Factors, st.floats(0.5, 4), st.floats(1e4, 1e6), st.floats(1e3, 1e5), st.floats(1e3, 1e6))


@given(FACTORS, st.integers(0, 1 << 32))
def test_planted_factors_are_found(planted: Factors, seed: int) -> None:
    chance = random.Random(seed)
    found = fit_factors([process(chance, planted) for _ in range(12)], EXAMPLE)
    for name in Factors.__slots__:
        assert getattr(found, name) == pytest.approx(getattr(planted, name), rel=1e-3)


@given(FACTORS, st.integers(0, 1 << 32))
def test_none_is_below_zero_whatever_the_noise(planted: Factors, seed: int) -> None:
    chance = random.Random(seed)
    rows = [process(chance, planted) for _ in range(8)]
    for row in rows:
        row["cpu_cores"] *= chance.uniform(0.2, 5)
    found = fit_factors(rows, EXAMPLE)
    assert min(getattr(found, name) for name in Factors.__slots__) >= 0


def test_too_few_processes_are_refused() -> None:
    rows = [process(random.Random(1), Factors(1, 1e5, 1e4, 1e4)) for _ in range(3)]
    with pytest.raises(ValueError, match="expected at least 4 processes, found 3"):
        fit_factors(rows, EXAMPLE)


def test_work_is_counted_on_both_sides() -> None:
    row = process(random.Random(2))
    crypto, frames, messages, commits = count_work(row, EXAMPLE)
    assert frames == row["frames_in_per_s"] + row["frames_out_per_s"]
    assert messages == row["sent_messages_per_s:agent"] + row["received_messages_per_s:visitor"]
    assert total_flow(row, "bytes") == row["sent_bytes_per_s:agent"] + row["received_bytes_per_s:visitor"]
    assert commits == row["commits_per_s"]
    assert crypto > row["verifies_per_s"] * EXAMPLE.verify_ns / 1e9


def test_costs_of_busy_nodes() -> None:
    costs = Factors(2.0, 500_000.4, 20_000.0, 7_000.0).apply(EXAMPLE)
    assert (costs.sign_ns, costs.verify_ns, costs.hash_ns) == (40_000, 100_000, 800)
    assert (costs.frame_ns, costs.message_ns, costs.commit_ns) == (500_000, 20_000, 7_000)
    assert (costs.persist_ns, costs.grind_ns) == (EXAMPLE.persist_ns, EXAMPLE.grind_ns)


def rank(values: list[float]) -> list[float]:
    """Mean ranks, by definition."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values
    ]


def correlate(one: list[float], other: list[float]) -> float:
    means = [sum(side) / len(side) for side in (one, other)]
    products = [[a - means[0], b - means[1]] for a, b in zip(one, other, strict=True)]
    spread = math.prod(math.sqrt(sum(item[side] ** 2 for item in products)) for side in (0, 1))
    return sum(a * b for a, b in products) / spread


@given(st.lists(st.tuples(st.integers(1, 20).map(float), st.integers(1, 20).map(float)), min_size=2, max_size=12))
def test_errors_and_ranks_are_those_of_the_definition(pairs: list[tuple[float, float]]) -> None:
    predicted, measured = (list(side) for side in zip(*pairs, strict=True))
    found = summarise_errors(predicted, measured)
    errors = [abs(a - b) / b for a, b in pairs]
    assert found.count == len(pairs)
    assert found.error == pytest.approx(median(errors), abs=1e-12)
    if len(set(predicted)) > 1 and len(set(measured)) > 1:
        assert found.rho == pytest.approx(correlate(rank(predicted), rank(measured)))
    else:
        assert math.isnan(found.rho)
    if len(pairs) >= 6:
        assert min(errors) - 1e-12 <= found.low <= found.error <= found.high <= max(errors) + 1e-12
    else:
        assert math.isnan(found.low)


def test_what_is_not_there_is_no_configuration() -> None:
    assert summarise_errors([], []).count == 0
    found = summarise_errors([110.0, math.nan, 100.0], [100.0, 100.0, math.nan])
    assert (found.count, found.error) == (1, pytest.approx(0.1))


@given(st.lists(st.floats(1, 1e4), min_size=3, max_size=8, unique=True), st.floats(0.2, 5))
def test_the_same_order_is_a_rho_of_one_whatever_the_scale(values: list[float], scale: float) -> None:
    assume(len({value * scale for value in values}) == len(values))
    found = summarise_errors([value * scale for value in values], values)
    assert found.rho == pytest.approx(1)
    assert found.error == pytest.approx(abs(scale - 1), abs=1e-9)
