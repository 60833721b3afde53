"""What is wrong with a comparison stands in its caption, and a noisy machine is a notice."""

import math
from typing import Any

import pandas as pd
import pytest

from bench.errors import BenchError
from bench.experiments.base import Column, Comparison, Table
from bench.measure.worker import CANARY
from bench.report.controls import FLAG, find_contention, find_flags, find_noise, flag_table
from bench.report.load import Manifest

COLUMNS = {name: Column(name) for name in ("name", "is_control", "ratio", "ratio_low", "ratio_high", "verdict")}


def table_of(*rows: tuple[Any, ...], comparisons: tuple[Comparison, ...] = (Comparison(("name",)),)) -> Table:
    table = Table("t", "A caption.", COLUMNS, lambda raw: raw, comparisons=comparisons)
    return flag_table(table, pd.DataFrame(rows, columns=list(COLUMNS)))


def test_a_table_whose_control_holds_is_as_it_was() -> None:
    table = table_of(("md5", False, 2.4, 2.3, 2.5, "slower"), ("sha256", True, 1.0, 0.99, 1.01, "holds"))
    assert table.caption == "A caption. A/A controls (1): all intervals within [0.990, 1.010]."
    assert find_flags(table) == ""


def test_a_control_that_excludes_1_flags_the_table() -> None:
    table = table_of(("md5", False, 2.4, 2.3, 2.5, "slower"), ("sha256", True, 1.03, 1.01, 1.05, "violated"))
    assert table.caption.startswith("A caption. ")
    assert find_flags(table).startswith(f"{FLAG}: the A/A control of sha256 excludes 1: 1.030 [1.010, 1.050];")


def test_a_table_without_a_control_is_flagged() -> None:
    assert "no A/A control" in find_flags(table_of(("md5", False, 2.4, 2.3, 2.5, "slower")))


def test_each_quantity_is_judged_by_its_own_control() -> None:
    columns = [
        "name",
        "is_control",
        *(f"{p}_{c}" for p in "ab" for c in ("ratio", "ratio_low", "ratio_high", "verdict")),
    ]
    frame = pd.DataFrame([("x", True, 1.0, 0.9, 1.1, "holds", 1.2, 1.1, 1.3, "violated")], columns=columns)
    both = tuple(Comparison(("name",), f"{prefix}_") for prefix in "ab")
    table = flag_table(Table("t", "", dict.fromkeys(columns, Column("c")), lambda raw: raw, comparisons=both), frame)
    assert find_flags(table).count(FLAG) == 1
    assert "control of x b excludes" in find_flags(table)


def test_too_few_repeats_are_said() -> None:
    table = table_of(
        ("md5", False, 2.4, math.nan, math.nan, "unresolved"), ("s", True, 1.0, math.nan, math.nan, "unresolved")
    )
    assert table.caption == "A caption. Too few repeats for intervals: nothing here is resolved."


def test_a_table_that_compares_nothing_is_left_alone() -> None:
    assert table_of(("md5", False, 2.4, 2.3, 2.5, "slower"), comparisons=()).caption == "A caption."


@pytest.mark.parametrize(
    ("noise", "limits", "said"),
    [
        ({}, {}, []),
        ({"steal_share": 0.01, "foreign_cpu_share": 0.2}, {}, []),
        ({"steal_share": 0.2, "foreign_cpu_share": 0.0}, {}, ["20.0%"]),
        ({"steal_share": 0.0, "foreign_cpu_share": 0.5}, {}, ["50.0%"]),
        ({"steal_share": 0.0, "foreign_cpu_share": 0.5}, {"foreign_cpu_share": 1.0}, []),
        ({"steal_share": None, "foreign_cpu_share": None}, {}, []),
    ],
)
def test_a_noisy_machine_is_a_notice(noise: dict[str, Any], limits: dict[str, float], said: list[str]) -> None:
    found = find_noise(Manifest(2, "r", "complete", {}, noise=noise, scenario={"noise": limits}))
    assert len(found) == len(said)
    assert all(word in line for word, line in zip(said, found, strict=True))


@pytest.mark.parametrize("limits", [{"steal": 0.1}, {"steal_share": 2}, 3])
def test_limits_that_a_scenario_cannot_have_are_one_line(limits: Any) -> None:
    with pytest.raises(BenchError, match=r"^manifest\.json: scenario\.noise: (Object|Expected) [^\n]+$"):
        find_noise(Manifest(2, "r", "complete", {}, scenario={"noise": limits}))


def test_unit_costs_that_moved_are_a_notice() -> None:
    drift = {"sign": 1.1, "verify": 1.6, "persist": 2.04}
    (notice,) = find_noise(Manifest(2, "r", "complete", {}, calibration={"drift": drift}))
    assert "2 operations" in notice
    assert "persist, 2.04 times" in notice
    assert find_noise(Manifest(2, "r", "complete", {}, calibration={"drift": {"sign": 1.5}})) == []


def canary_rows(*ratios: float, status: str = "ok") -> list[dict[str, Any]]:
    """One block per process; each ratio is that of SHA-3 over MD5."""
    return [
        {"kind": "block", "group": CANARY, "status": status, "instructions": "as is", "process": number,
         "forward_ns": {"md5": 1_000, "sha3": 1_000 * ratio}, "backward_ns": {"md5": 1_000, "sha3": 1_000 * ratio}}
        for number, ratio in enumerate(ratios)
    ]  # fmt: skip


def test_a_neighbour_that_no_counter_shows_is_a_notice() -> None:
    (notice,) = find_contention(canary_rows(1.5, 1.55, 2.1))
    assert "moved 1.40 times" in notice
    assert find_contention(canary_rows(1.5, 1.55, 1.6)) == []
    assert find_contention(canary_rows(1.5)) == [], "one process tells nothing"
    assert find_contention(canary_rows(1.5, 3.0, status="void")) == []
    assert find_contention([{"kind": "check", "status": "ok"}]) == []
