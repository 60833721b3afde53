"""The paper's Table 1 as printed, and the fit of delays: planted parameters are found, naive loops agree."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.paper_table import (
    REPEATED_ROW,
    agree,
    read_paper_table,
)

#: Table 1: the paper's own number, authoritative, coordinating, ordering, contributors, transactions per 6 minutes.
PRINTED = [
    (3, 2, 2, 1, 3, 3),
    (5, 3, 3, 5, 1, 6),
    (3, 3, 3, 4, 2, 6),
    (4, 3, 3, 3, 2, 7),
    (5, 3, 3, 2, 2, 9),
    (6, 3, 3, 1, 2, 10),
    (7, 3, 2, 5, 2, 6),
    (8, 3, 1, 5, 2, 7),
    (9, 2, 3, 5, 2, 5),
    (10, 1, 3, 5, 2, 5),
    (11, 2, 3, 4, 2, 6),
    (12, 2, 3, 3, 2, 8),
    (13, 2, 3, 2, 2, 9),
    (14, 2, 3, 1, 2, 12),
    (15, 1, 3, 3, 2, 9),
    (16, 1, 3, 3, 2, 9),
    (17, 2, 2, 3, 1, 9),
    (18, 1, 1, 1, 1, 16),
]


def test_the_eighteen_rows_stand_as_printed() -> None:
    rows = read_paper_table()
    assert [row.row for row in rows] == list(range(1, 19))
    assert [
        (r.printed_conf, r.agents, r.coordinators, r.administrators, r.contributors, r.tx_per_6min) for r in rows
    ] == PRINTED


def test_the_greatest_throughput_of_the_table_is_16_though_the_text_says_17() -> None:
    rows = read_paper_table()
    best = max(rows, key=lambda row: row.tx_per_6min)
    assert (best.row, best.tx_per_6min) == (18, 16)
    assert (best.agents, best.coordinators, best.administrators, best.contributors) == (1, 1, 1, 1)


def test_row_16_repeats_row_15() -> None:
    rows = read_paper_table()
    fifteen, sixteen = rows[14], rows[REPEATED_ROW - 1]
    names = ("agents", "coordinators", "administrators", "contributors", "tx_per_6min")
    assert [getattr(fifteen, name) for name in names] == [getattr(sixteen, name) for name in names]


def test_no_other_two_rows_are_one_configuration() -> None:
    distinct = {(r.agents, r.coordinators, r.administrators, r.contributors) for r in read_paper_table()}
    assert len(distinct) == 17


KNOWN = {
    "equal": ([1, 2, 3], [1, 2, 3], (3, 1.0, 0.0, 1.0)),
    "twice": ([2, 4, 6], [1, 2, 3], (3, 1.0, math.sqrt(14 / 3), 2.0)),
    "reversed": ([3, 2, 1], [1, 2, 3], (3, -1.0, math.sqrt(8 / 3), 1.0)),
    "ours constant": ([5, 5, 5], [1, 2, 4], (3, math.nan, math.sqrt(26 / 3), 2.5)),
    "theirs constant": ([1, 2, 4], [5, 5, 5], (3, math.nan, math.sqrt(26 / 3), 0.4)),
    "one without a value": ([1, math.nan, 3], [1, 2, 3], (2, 1.0, 0.0, 1.0)),
    "none has a value": ([math.nan, math.nan], [1, 2], (0, math.nan, math.nan, math.nan)),
    "one row": ([4], [2], (1, math.nan, 2.0, 2.0)),
    "no row": ([], [], (0, math.nan, math.nan, math.nan)),
}


@pytest.mark.parametrize("case", KNOWN)
def test_agreement_on_known_cases(case: str) -> None:
    ours, printed, (rows, rho, rmse, ratio) = KNOWN[case]
    found = agree(ours, printed)
    assert found.rows == rows
    assert [found.spearman, found.rmse, found.median_ratio] == pytest.approx([rho, rmse, ratio], nan_ok=True)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=2, max_size=18))
def test_agreement_against_the_definitions(pairs: list[tuple[int, int]]) -> None:
    ours, printed = [a for a, _ in pairs], [b for _, b in pairs]

    def ranks(values: list[int]) -> list[float]:
        return [sum(other < value for other in values) + (values.count(value) + 1) / 2 for value in values]

    found = agree(ours, printed)
    assert found.rmse == pytest.approx(math.sqrt(statistics.fmean((a - b) ** 2 for a, b in pairs)))
    assert found.median_ratio == statistics.median(a / b for a, b in pairs)
    if len(set(ours)) > 1 and len(set(printed)) > 1:
        assert found.spearman == pytest.approx(statistics.correlation(ranks(ours), ranks(printed)))


def test_unequal_lengths_are_a_bug() -> None:
    with pytest.raises(ValueError, match="zip"):
        agree([1, 2], [1])
