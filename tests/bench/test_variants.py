"""Experiment `variants`: pairs by repeat, an A/A control in every table, break-even where it was planted."""

import math
import random
from typing import Any

import msgspec
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench.analysis.paired import needed_clusters
from bench.experiments import find_experiment
from bench.experiments import variants as experiment
from bench.experiments.base import Case, Row
from bench.experiments.variants_break_even import build_break_even, find_break_even
from bench.experiments.variants_rows import in_order, name_rules
from bench.scenario import Scenario, load_scenario
from ehrcore.params import ConsensusRule

EXPERIMENT = find_experiment("variants")
GRIND_NS = 500
#: Rules without a difficulty; whatever other one there is stands between stake and the single orderer.
PLAIN = [rule for rule in name_rules() if rule != "pow"]


def scenario_with(**changes: Any) -> Scenario:
    scenario = msgspec.structs.replace(load_scenario("smoke"), engine="sim")
    plan = {"suites": ["sha256", "md5"], "difficulty_bits": [16, 10], "repeats": 3} | changes
    return msgspec.structs.replace(scenario, variants=msgspec.structs.replace(scenario.variants, **plan))


def is_variant(case: Case) -> bool:
    return not case.label.startswith(("net-", "cell-", "risk-", "signing-"))


def fake_rows(scenario: Scenario | None = None) -> list[Row]:
    """What the engine would write: stake costs 1.1 ms per transaction, one orderer 0.1 ms, work 2^bits * 0.1 us more.

    Agreement takes 1 ms x 15 transactions per block; so the bare break-even is log2(15 ms / 500 ns).
    """
    rows = []
    for case in experiment.declare_cases(scenario or scenario_with()):
        settings = case.settings
        if not is_variant(case):
            continue
        cpu_s = {"pos": 1.1e-3, "single": 1e-4}.get(settings["rule"], 5e-4)
        if settings["rule"] == "pow":
            cpu_s = 1e-4 + (1 << settings["difficulty_bits"]) * 1e-7
        cpu_s *= 1 + 0.01 * settings["repeat"] + 0.001 * settings["is_control"]
        rows.append({
            "case": case.label, "status": "ok", **settings,
            "saturated_tx_per_s": 1_000.0 * (1 + settings["repeat"]), "is_overloaded": settings["rule"] == "pow",
            "cpu_s_per_tx": cpu_s, "saturated_cpu_s_per_tx": cpu_s, "offered_per_s": 20.0, "nodes": 13,
            "idle_j_per_tx": 30.0, "bytes_per_tx": 2_000.0, "messages_per_tx": 9.0, "energy_status": "estimated",
            "energy_j_per_tx_low": 4 * cpu_s, "energy_j_per_tx_mid": 8 * cpu_s, "energy_j_per_tx_high": 16 * cpu_s,
            "empty_share": 0.0, "tries_per_block": 0.0, "refused_blocks": 0, "tx_per_block": 15.0,
            "grind_ns": GRIND_NS, "busiest_role": "coordinator",
            **{f"latency_quorum_p{percent}_ms": 5.0 for percent in (50, 95, 99)},
            "latency_status": "ok", "latency_quorum_bounds": "",
        })  # fmt: skip
    return rows


def build(rows: list[Row]) -> dict[str, pd.DataFrame]:
    return {table.name: table.build(pd.DataFrame(rows)) for table in EXPERIMENT.tables}


# -- cases -------------------------------------------------------------------------------------------------------


def test_every_rule_meets_every_suite_in_every_repeat_and_labels_are_unique() -> None:
    every = [case.label for case in experiment.declare_cases(scenario_with())]
    assert len(set(every)) == len(every)
    cases = list(filter(is_variant, experiment.declare_cases(scenario_with())))
    assert len(cases) == 3 * ((len(PLAIN) + 2) * 2 + 1)
    keys = {(c.settings["rule"], c.settings["difficulty_bits"], c.settings["suite"]) for c in cases}
    assert keys == {(rule, bits, suite) for rule, bits in (*((rule, None) for rule in PLAIN), ("pow", 10), ("pow", 16))
                    for suite in ("sha256", "md5")}  # fmt: skip


def test_repeats_are_interleaved() -> None:
    """Each repeat runs all variants before the next begins, so that a slow hour hits all alike."""
    repeats = [case.settings["repeat"] for case in experiment.declare_cases(scenario_with())]
    assert repeats == sorted(repeats)


def test_the_control_stands_in_every_repeat() -> None:
    controls = [case.settings for case in experiment.declare_cases(scenario_with()) if case.settings.get("is_control")]
    assert [(c["rule"], c["suite"], c["repeat"]) for c in controls] == [("pos", "sha256", n) for n in range(3)]


@pytest.mark.parametrize("suites", [["md5"], ["md5", "sha256"]])
def test_the_base_variant_runs_whether_it_is_named_or_not(suites: list[str]) -> None:
    cases = experiment.declare_cases(scenario_with(suites=suites))
    base = [c for c in cases if is_variant(c) and c.settings["rule"] == "pos" and c.settings["suite"] == "sha256"]
    assert [c.settings["is_control"] for c in base] == [False, True] * 3
    assert build(fake_rows(scenario_with(suites=suites)))["variants_ratios"]["cpu_ratio"].notna().all()


def test_confirmations_are_those_of_proof_of_work_alone() -> None:
    for case in filter(is_variant, experiment.declare_cases(scenario_with(confirmations=2))):
        assert case.settings["confirmations"] == (2 if case.settings["rule"] == "pow" else None)


# -- order and the main table ------------------------------------------------------------------------------------


@given(st.permutations(range(len(fake_rows()))))
def test_rows_come_in_one_order_whatever_the_raw_order(order: list[int]) -> None:
    rows = fake_rows()
    frame = in_order(pd.DataFrame([rows[place] for place in order]))
    assert list(frame.columns) == list(rows[0])
    found = list(dict.fromkeys(zip(frame["rule"], frame["difficulty_bits"].fillna(0), frame["suite"],
                                   frame["is_control"], strict=True)))  # fmt: skip
    assert found == [
        *((rule, 0, suite, False) for rule in PLAIN for suite in ("sha256", "md5")),
        ("pow", 10, "sha256", False), ("pow", 10, "md5", False),
        ("pow", 16, "sha256", False), ("pow", 16, "md5", False),
        ("pos", 0, "sha256", True),
    ]  # fmt: skip
    assert frame["repeat"].tolist() == [0, 1, 2] * (len(rows) // 3)


def test_the_table_holds_medians_over_repeats_and_the_control_last() -> None:
    frame = build(fake_rows())["variants"]
    plain = 2 * len(PLAIN)
    assert frame["is_control"].tolist() == [False] * (plain + 4) + [True]
    assert frame.loc[0, ["rule", "suite"]].tolist() == ["PoS", "sha256"]
    assert set(frame["repeats"]) == {3}
    assert set(frame["saturated_tx_per_s"]) == {2_000.0}
    assert frame.loc[0, "cpu_ms_per_tx"] == pytest.approx(1.1 * 1.01)
    assert frame.loc[0, "energy_mj_mid"] == pytest.approx(8 * 1.1 * 1.01)
    assert frame["is_overloaded"].tolist() == [False] * plain + [True] * 4 + [False]
    assert frame["difficulty_bits"].isna().tolist() == [True] * plain + [False] * 4 + [True]
    assert set(frame["energy_status"]) == {"estimated"}


def test_a_repeat_that_timed_out_is_not_counted() -> None:
    rows = [row for row in fake_rows() if row["case"] != "pow-10-md5-1"]
    frame = build(rows)["variants"]
    assert frame[(frame["difficulty_bits"] == 10) & (frame["suite"] == "md5")]["repeats"].tolist() == [2]


# -- ratios ------------------------------------------------------------------------------------------------------


def test_ratios_pair_by_repeat() -> None:
    """Base and variant both double from one repeat to the next: paired, each ratio is the same."""
    frame = build(fake_rows())["variants_ratios"].set_index(["rule", "difficulty_bits", "suite", "is_control"])
    row = frame[frame.index.get_level_values("rule") == "single orderer"].iloc[0]
    assert (row["throughput_ratio"], row["cpu_ratio"]) == (1.0, pytest.approx(1 / 11))
    assert row["pairs"] == 3
    assert math.isnan(row["cpu_ratio_low"])
    assert row["cpu_verdict"] == "unresolved", "three repeats allow no interval"


def test_enough_repeats_give_verdicts_in_the_words_of_the_quantity() -> None:
    """Each variant by three quantities is compared: so many repeats are the fewest that allow an interval."""
    fewest = needed_clusters(3 * (2 * (len(PLAIN) + 2) - 1))
    frame = build(fake_rows(scenario_with(repeats=fewest)))["variants_ratios"]
    row = frame[(frame["rule"] == "single orderer") & (frame["suite"] == "sha256")].iloc[0]
    assert [row[f"cpu_ratio{part}"] for part in ("_low", "", "_high")] == pytest.approx([1 / 11] * 3)
    assert (row["throughput_verdict"], row["cpu_verdict"]) == ("unresolved", "less")
    assert frame[frame["is_control"]]["throughput_verdict"].tolist() == ["holds"]
    fewer = build(fake_rows(scenario_with(repeats=fewest - 1)))["variants_ratios"]
    assert set(fewer[~fewer["is_control"]]["cpu_verdict"]) == {"unresolved"}


def test_the_control_is_a_row_of_the_ratios_and_the_base_is_not() -> None:
    frame = build(fake_rows())["variants_ratios"]
    assert len(frame) == 2 * (len(PLAIN) + 2)
    control = frame[frame["is_control"]]
    assert control[["rule", "suite"]].to_numpy().tolist() == [["PoS", "sha256"]]
    assert control["cpu_ratio"].tolist() == pytest.approx([1.001], rel=1e-3)
    assert not ((frame["rule"] == "PoS") & (frame["suite"] == "sha256") & ~frame["is_control"]).any()


def test_a_repeat_without_its_base_is_no_pair() -> None:
    rows = [row for row in fake_rows() if row["case"] != "pos-sha256-1"]
    frame = build(rows)["variants_ratios"]
    assert set(frame["pairs"]) == {2}
    assert frame["cpu_ratio"].notna().all()


def test_without_any_base_there_are_rows_and_no_ratios() -> None:
    rows = [row for row in fake_rows() if not row["case"].startswith("pos-sha256-") or row["is_control"]]
    frame = build(rows)["variants_ratios"]
    assert len(frame) == 2 * (len(PLAIN) + 2)
    assert set(frame["pairs"]) == {0}
    assert frame["throughput_ratio"].isna().all()
    assert set(frame["throughput_verdict"]) == {"unresolved"}


# -- break-even --------------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 30), min_size=2, max_size=10, unique=True),
    st.floats(1e-6, 1e-2),
    st.floats(0.2, 1.5),
    st.floats(0.01, 0.99),
)
def test_a_planted_crossing_is_found(bits: list[int], first: float, slope: float, share: float) -> None:
    """Costs that are straight on a log scale cross a level exactly where they were made to."""
    bits = sorted(bits)
    crossing = bits[0] + share * (bits[-1] - bits[0])

    def cost(at: float) -> float:
        return first * 2 ** (slope * (at - bits[0]))

    shuffled = bits[::-1]
    found = find_break_even(list(map(float, shuffled)), [cost(at) for at in shuffled], cost(crossing))
    assert found == pytest.approx(crossing, abs=1e-6)


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=8), st.floats(1e-6, 1.0))
def test_a_break_even_lies_between_the_points_that_enclose_the_level(costs: list[float], level: float) -> None:
    bits = [float(2 * place) for place in range(len(costs))]
    found = find_break_even(bits, costs, level)
    if costs[0] >= level:
        assert found == -math.inf
    elif max(costs) < level:
        assert found == math.inf
    else:
        reached = next(place for place, cost in enumerate(costs) if cost >= level)
        assert bits[reached - 1] <= found <= bits[reached]


def test_no_point_has_no_break_even() -> None:
    assert math.isnan(find_break_even([], [], 1.0))


def test_points_and_costs_of_unequal_number_are_a_bug() -> None:
    with pytest.raises(ValueError, match="zip"):
        find_break_even([1.0], [], 1.0)


def test_every_reading_of_the_break_even_is_found() -> None:
    frame = build(fake_rows())["variants_break_even"].set_index("suite")
    assert set(frame.index) == {"sha256", "md5"}
    row = frame.loc["sha256"]
    # As run, 1.1 ms lies between the costs at 10 and 16 bits, on the straight line between them.
    low, high = math.log(1e-4 + 2**10 * 1e-7), math.log(1e-4 + 2**16 * 1e-7)
    assert row["as_run_median"] == pytest.approx(10 + 6 * (math.log(1.1e-3) - low) / (high - low))
    assert row["saturated_median"] == row["as_run_median"], "both were made of the same costs"
    assert row["bare_median"] == pytest.approx(math.log2(1e-3 * 1.01 * 15 / (GRIND_NS * 1e-9)))
    assert math.isnan(row["bare_low"]), "three repeats allow no interval"
    assert (row["repeats"], row["confirmations"], row["grid"]) == (3, 6, "10 to 16")


@pytest.mark.parametrize(("planted", "seed"), [(10.7, 0), (12.0, 1), (13.3, 2), (15.3, 3)])
def test_the_interval_of_the_break_even_covers_a_planted_one(planted: float, seed: int) -> None:
    """Repeats scatter around it evenly, by half of a bit at most."""
    chance = random.Random(seed)
    scenario = scenario_with(suites=["sha256"], repeats=12)
    shifts = [(number - 5.5) / 11 + chance.uniform(-0.02, 0.02) for number in range(12)]
    rows = [row | {"saturated_cpu_s_per_tx": 2.0 ** ((row["difficulty_bits"] or planted + shifts[row["repeat"]]) - 20)}
            for row in fake_rows(scenario)]  # fmt: skip
    (found,) = build_break_even(pd.DataFrame(rows)).to_dict("records")
    assert planted - 0.55 < found["saturated_low"] < planted < found["saturated_high"] < planted + 0.55
    assert found["saturated_median"] == pytest.approx(planted, abs=0.1)


@pytest.mark.parametrize(("bits", "where"), [([20, 24], -math.inf), ([1, 2], math.inf)])
def test_a_break_even_outside_the_grid_is_said_to_be_there(bits: list[int], where: float) -> None:
    frame = build(fake_rows(scenario_with(difficulty_bits=bits)))["variants_break_even"]
    assert set(frame["as_run_median"]) == {where}


def test_the_control_does_not_enter_the_break_even() -> None:
    rows = fake_rows()
    spoiled = [row | ({"cpu_s_per_tx": 1e9} if row["is_control"] else {}) for row in rows]
    pd.testing.assert_frame_equal(build(rows)["variants_break_even"], build(spoiled)["variants_break_even"])


def test_a_repeat_that_lacks_a_rule_is_left_out() -> None:
    rows = [row for row in fake_rows() if row["case"] != "single-md5-0"]
    frame = build(rows)["variants_break_even"].set_index("suite")
    assert frame["repeats"].to_dict() == {"sha256": 3, "md5": 2}
    assert build([row for row in rows if row["rule"] != "single"])["variants_break_even"].empty


def test_agreement_that_seems_to_cost_nothing_has_no_bare_break_even() -> None:
    rows = [row | ({"cpu_s_per_tx": 2e-3} if row["rule"] == "single" and row["repeat"] == 0 else {})
            for row in fake_rows()]  # fmt: skip
    frame = build(rows)["variants_break_even"]
    assert frame["bare_median"].notna().all(), "two of three repeats have one"
    rows = [row | ({"cpu_s_per_tx": 2e-3} if row["rule"] == "single" else {}) for row in fake_rows()]
    assert build(rows)["variants_break_even"]["bare_median"].isna().all()


# -- figure ------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.data())
def test_an_interrupted_subset_still_builds(data: st.DataObject) -> None:
    rows = fake_rows()
    count = data.draw(st.integers(1, len(rows)))
    assume(any(not row["is_control"] for row in rows[:count]))
    tables = build(rows[:count])
    for table in EXPERIMENT.tables:
        assert list(tables[table.name].columns) == list(table.columns)


def test_the_figure_is_drawn_from_the_tables_even_without_proof_of_work() -> None:
    from matplotlib import pyplot as plt

    from bench.report.style import journal_style

    rows = fake_rows()
    with journal_style():
        for given_rows in (rows, [row for row in rows if row["rule"] != "pos"], rows[:6]):
            for figure, axes in zip(EXPERIMENT.figures, (3, 1, 3), strict=True):
                drawn = figure.draw(build(given_rows))
                assert len(drawn.axes) == axes, figure.name
                plt.close(drawn)


def test_a_repeat_that_failed_is_counted_beside_the_medians_of_the_others() -> None:
    rows = [row for row in fake_rows() if (row["rule"], row["suite"], row["repeat"]) != ("single", "md5", 1)]
    frame = build(rows)["variants"].set_index(["rule", "suite", "is_control"])
    single, stake = frame.loc[("single orderer", "md5", False)], frame.loc[("PoS", "sha256", False)]
    assert (single["repeats"], single["failed"]) == (2, 1)
    assert (stake["repeats"], stake["failed"]) == (3, 0)


# -- over real networks ------------------------------------------------------------------------------------------


def net_rows() -> list[Row]:
    scenario = msgspec.structs.replace(
        scenario_with(), engine=None, net=msgspec.structs.replace(
            scenario_with().net, variants=["pos/sha256", "pow/md5"], repeats=3, difficulty_bits=17,
        ),
    )  # fmt: skip
    cases = [case for case in experiment.declare_cases(scenario) if case.engine == "variant-net"]
    assert [case.label for case in cases[:2]] == ["net-pos-sha256-0", "net-pow-md5-0"]
    return [
        {
            "case": case.label, "status": "ok", **case.settings, "saturated_tx_per_s": 100.0 + case.settings["repeat"],
            "cpu_s_per_tx": 0.004, "energy_status": "estimated", "bottleneck_saturated": "waiting",
            **{f"energy_j_per_tx_{bound}": 0.01 for bound in ("low", "mid", "high")},
            **{f"latency_quorum_p{percent}_ms": 5.0 for percent in (50, 95)}, "latency_quorum_p99_ms": None,
            "messages_per_tx": 9.0, "bytes_per_tx": 2_000.0, "commits_per_tx": 0.5, "audited_tx": 7,
        }
        for case in cases
    ]  # fmt: skip


def test_networks_have_a_table_of_their_own_and_leave_the_simulated_ones_alone() -> None:
    simulated = build(fake_rows())
    tables = build(fake_rows() + net_rows()[1:])
    for name in ("variants", "variants_ratios", "variants_break_even"):
        pd.testing.assert_frame_equal(tables[name], simulated[name])
    assert simulated["variants_net"].empty
    found = tables["variants_net"].set_index("rule")
    assert found["saturated_tx_per_s"].to_dict() == {"PoS": 101.5, "PoW": 101.0}
    assert found.loc["PoW", ["difficulty_bits", "suite", "networks", "failed"]].tolist() == [17.0, "md5", 3, 0]
    assert found.loc["PoS", ["networks", "failed", "audited_tx"]].tolist() == [2, 1, 14]
    assert found.loc["PoS", ["cpu_ms_per_tx", "energy_mj_mid", "kilobytes_per_tx"]].tolist() == [4.0, 10.0, 2.0]
    assert math.isnan(found.loc["PoS", "latency_p99_ms"])


def test_the_engine_net_takes_every_rule_with_every_suite() -> None:
    scenario = msgspec.structs.replace(scenario_with(), engine="net")
    cases = [case for case in experiment.declare_cases(scenario) if case.engine == "variant-net"]
    found = {(case.settings["rule"], case.settings["suite"]) for case in cases}
    assert found == {(rule, suite) for rule in ConsensusRule for suite in ("sha256", "md5")}
    for case in cases:
        assert (case.settings["difficulty_bits"] is not None) == (case.settings["rule"] == "pow")
