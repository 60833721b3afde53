"""From raw rows to one row per variant: as a recomputation by the definitions says, whatever is missing or void."""

import math
import random
from statistics import median
from typing import Any

import pandas as pd
import pytest
from scipy.stats import binom

from bench.analysis.blocks import BLOCK_COLUMNS, compare_blocks, compute_log_ns
from bench.measure.paired import CONTROL
from bench.measure.worker import HARNESS, NOTHING

Row = dict[str, Any]
GROUPS = {
    "64 B": {
        "base": "sha256",
        "variants": ["sha256", "md5", "blake3"],
        "labels": {"size_bytes": 64},
        "details": {"sha256": {"library": "hashlib"}, "md5": {"library": "hashlib"}, "blake3": {"library": "blake3"}},
        "loops": [900, 1_000],
    },
    "30 KiB": {
        "base": "sha256",
        "variants": ["sha256", "md5"],
        "labels": {"size_bytes": 30_720},
        "details": {"sha256": {"library": "hashlib"}, "md5": {"library": "hashlib"}},
        "loops": [9, 10],
    },
    HARNESS: {"base": NOTHING, "variants": [NOTHING], "labels": {}, "details": {}, "loops": [1_000_000, 1_000_000]},
}
COSTS = {"sha256": 2_000.0, CONTROL: 2_000.0, "md5": 3_000.0, "blake3": 2_100.0, NOTHING: 2.0}


def fake_process(
    process: int, instructions: str, blocks: int = 3, void: tuple[int, ...] = (), seed: str = ""
) -> list[Row]:
    """What one process writes, as the run keeps it: with a case, a status, and noise of a few percent."""
    chance = random.Random(f"{process} {instructions} {seed}")
    shared = {"case": f"{instructions}-p{process:02}", "process": process, "instructions": instructions}
    rows: list[Row] = [
        {**shared, "status": "ok", "kind": "process", "hash_seed": "7", "groups": GROUPS, "void_rounds": len(void)}
    ]
    for number in range(blocks):
        reason = {"status": "void", "reason": "planted"} if number in void else {"status": "ok"}
        for name, group in GROUPS.items():
            players = [*group["variants"], CONTROL]
            order = chance.sample(players, len(players))
            # Nine times slower where it is void, so that a single one that was used would show.
            scale = group["loops"][1] * (9 if number in void else 1)
            forward, backward = (
                {player: round(COSTS[player] * scale * chance.lognormvariate(0, 0.03)) for player in order}
                for _ in range(2)
            )
            rows.append(
                {
                    **shared, **reason, "kind": "block", "group": name, "round": number, "order": order,
                    "loops": group["loops"][1], "forward_ns": forward, "backward_ns": backward,
                }
            )  # fmt: skip
    skipped = {
        "status": "skipped",
        "kind": "skipped",
        "group": "30 KiB",
        "variant": "blake3",
        "reason": "not installed",
    }
    return [*rows, {**shared, **skipped}]


def frame_of(rows: list[Row]) -> pd.DataFrame:
    """As the report hands rows to a table: those that are ok."""
    return pd.DataFrame([row for row in rows if row["status"] == "ok"])


def interval(values: list[float], error: float) -> tuple[float, float]:
    """The definition: the narrowest pair of order statistics, as far from either end, that misses rarely enough."""
    size = len(values)
    fitting = [k for k in range((size + 1) // 2) if 2 * binom.cdf(k, size, 0.5) <= error]
    return (sorted(values)[max(fitting)], sorted(values)[-1 - max(fitting)]) if fitting else (math.nan, math.nan)


def recompute(rows: list[Row], instructions: str, group: str, variant: str, family: int) -> Row:
    """One row by the definitions, from the raw rows that are ok."""
    wanted = {"status": "ok", "kind": "block", "instructions": instructions, "group": group}
    blocks = [row for row in rows if all(row.get(name) == value for name, value in wanted.items())]
    ratios, times = [], []
    for process in sorted({row["process"] for row in blocks}):
        ours = [row for row in blocks if row["process"] == process]
        one, base = (
            [math.sqrt(row["forward_ns"][name] * row["backward_ns"][name]) for row in ours]
            for name in (variant, GROUPS[group]["base"])
        )
        ratios.append(median(math.log(x / y) for x, y in zip(one, base, strict=True)))
        times.append(median(value / row["loops"] for value, row in zip(one, ours, strict=True)))
    low, high = interval(ratios, 0.05 / family)
    time_low, time_high = interval(times, 0.05)
    return {
        "median_ns": median(times), "median_ns_low": time_low, "median_ns_high": time_high,
        "ratio": math.exp(median(ratios)), "ratio_low": math.exp(low), "ratio_high": math.exp(high),
        "processes": len(times), "blocks": len(blocks),
    }  # fmt: skip


def check_against_definition(rows: list[Row]) -> pd.DataFrame:
    """Every row of the result against the recomputation; the result."""
    found = compare_blocks(frame_of(rows))
    shown = found[(found["verdict"] != "base")]
    families = {is_control: int((shown["is_control"] == is_control).sum()) for is_control in (False, True)}
    for row in found.to_dict("records"):
        if row["blocks"] == 0:
            continue
        place = (row["instructions"], row["group"], row["variant"])
        expected = recompute(rows, *place, families[row["is_control"]])
        if row["verdict"] == "base":
            expected |= {"ratio": 1.0, "ratio_low": math.nan, "ratio_high": math.nan}
        assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-9, nan_ok=True), place
        overhead = recompute(rows, row["instructions"], HARNESS, NOTHING, 1)["median_ns"]
        assert row["harness_share"] == pytest.approx(100 * overhead / expected["median_ns"])
    return found


def many(instructions: str, processes: int = 12, **changes: Any) -> list[Row]:
    return [row for process in range(processes) for row in fake_process(process, instructions, **changes)]


@pytest.mark.parametrize("seed", ["a", "b", "c"])
def test_every_number_is_what_its_definition_says(seed: str) -> None:
    found = check_against_definition([*many("sha-ni", seed=seed), *many("masked", seed=seed)])
    assert len(found) == 2 * (3 + 1 + 2 + 1)
    assert list(found["instructions"].unique()) == ["sha-ni", "masked"]
    md5 = found[(found["variant"] == "md5")]
    assert set(md5["verdict"]) == {"slower"}
    assert set(found[found["is_control"]]["verdict"]) <= {"holds", "violated"}


def test_labels_and_details_are_columns_and_the_control_bears_its_bases() -> None:
    found = compare_blocks(frame_of(many("sha-ni")))
    assert set(BLOCK_COLUMNS) < set(found.columns)
    first = found[found["group"] == "64 B"]
    assert list(first["variant"]) == ["sha256", "md5", "blake3", CONTROL]
    assert list(first["library"]) == ["hashlib", "hashlib", "blake3", "hashlib"]
    assert list(first["is_control"]) == [False, False, False, True]
    assert set(first["size_bytes"]) == {64}
    assert set(first["base"]) == {"sha256"}
    assert list(first["verdict"] == "base") == [True, False, False, False]


def test_the_order_of_rows_does_not_matter_to_the_numbers() -> None:
    rows = many("sha-ni")
    mixed = random.Random("order").sample(rows, len(rows))
    one, other = (compare_blocks(frame_of(some)).sort_values(["group", "variant"]) for some in (rows, mixed))
    names = list(one.columns)
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other[names].reset_index(drop=True))


def test_void_rounds_are_counted_and_not_used() -> None:
    rows = [*many("sha-ni", blocks=4, void=(0, 2)), *many("masked", blocks=4)]
    found = check_against_definition(rows)
    for instructions, blocks, voided in (("sha-ni", 24, 24), ("masked", 48, 0)):
        part = found[found["instructions"] == instructions]
        assert set(part["blocks"]) == {blocks}
        assert set(part["voided"]) == {voided}
        assert set(part["processes"]) == {12}
    assert found["median_ns"].max() < 4_000


def test_a_process_whose_rounds_are_all_void_is_no_witness() -> None:
    rows = [*many("sha-ni", processes=8), *fake_process(8, "sha-ni", void=(0, 1, 2))]
    found = check_against_definition(rows)
    assert set(found["processes"]) == {8}
    assert set(found["voided"]) == {3}


def test_where_everything_was_void_the_variants_are_there_and_unresolved() -> None:
    rows = [*many("sha-ni", void=(0, 1, 2)), *many("masked")]
    found = check_against_definition(rows)
    lost = found[found["instructions"] == "sha-ni"]
    assert len(lost) == 7
    assert set(lost["verdict"]) == {"base", "unresolved"}
    assert lost[["median_ns", "median_ns_low", "ratio_low", "ratio_high", "harness_share"]].isna().all(axis=None)
    assert set(lost["blocks"]) == set(lost["processes"]) == {0}
    assert set(lost["voided"]) == {36}
    assert found[found["instructions"] == "masked"]["median_ns"].notna().all()


def test_a_process_that_failed_is_missed_and_nothing_else() -> None:
    rows = many("sha-ni")
    kept = [row for row in rows if row["process"] != 5]
    failed = {"case": "sha-ni-p05", "status": "failed", "reason": "planted", "process": 5, "instructions": "sha-ni"}
    found = check_against_definition([*kept[:40], failed, *kept[40:]])
    assert set(found["processes"]) == {11}


def test_a_variant_that_a_machine_lacks_is_missed_in_its_group_alone() -> None:
    found = check_against_definition(many("sha-ni"))
    assert "blake3" not in set(found[found["group"] == "30 KiB"]["variant"])
    assert "blake3" in set(found[found["group"] == "64 B"]["variant"])


def test_variants_of_all_groups_and_instructions_are_one_family_and_controls_another() -> None:
    """8 processes allow 6 comparisons (2 * 6 / 0.05 <= 2^8) and 4 controls; so one more set leaves no interval."""
    few = compare_blocks(frame_of([*many("x", 8), *many("y", 8)]))
    assert few[few["verdict"] != "base"]["ratio_low"].notna().all()
    more = compare_blocks(frame_of([*many("x", 8), *many("y", 8), *many("z", 8)]))
    compared, controls = (more[(more["is_control"] == flag) & (more["verdict"] != "base")] for flag in (False, True))
    assert (len(compared), len(controls)) == (9, 6)
    assert compared["ratio_low"].isna().all()
    assert set(compared["verdict"]) == {"unresolved"}
    assert controls["ratio_low"].notna().all()


def test_too_few_processes_have_times_and_ratios_without_intervals() -> None:
    found = check_against_definition(many("sha-ni", processes=2))
    compared = found[found["verdict"] != "base"]
    assert set(compared["verdict"]) == {"unresolved"}
    assert compared["ratio"].notna().all()
    assert found["median_ns_low"].isna().all()


def test_the_harness_is_a_group_of_the_table_only_when_asked_for() -> None:
    raw = frame_of(many("sha-ni"))
    assert HARNESS not in set(compare_blocks(raw)["group"])
    found = compare_blocks(raw, with_harness=True)
    harness = found[found["group"] == HARNESS]
    assert list(harness["variant"]) == [NOTHING, CONTROL]
    assert harness["harness_share"].iloc[0] == pytest.approx(100)


def test_two_epochs_are_averaged_so_that_drift_by_a_factor_cancels() -> None:
    assert compute_log_ns({"a": 100}, {"a": 400}, "a") == pytest.approx(math.log(200))
