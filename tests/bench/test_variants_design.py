"""Experiment `variants`: its design, equal risk, traffic, energy, the model beyond, and the answer in words."""

import math
from typing import Any

import msgspec
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.experiments import variants as experiment
from bench.experiments.base import Case, Row
from bench.experiments.variants_answer import answer
from bench.experiments.variants_extrapolation import build_extrapolation, fit
from bench.experiments.variants_factors import FACTORS, RESPONSES, build_factors, build_levels, draw_factors
from bench.experiments.variants_rows import CELL, RISK, SIGNING, name_rules
from bench.experiments.variants_security import ATTACKERS, RISK_LEVEL, build_security, describe_finality, find_depth
from bench.experiments.variants_traffic import build_energy, build_legs, build_roles, build_signing
from bench.scenario import Scenario, load_scenario
from ehrcore.consensus.reversal import reversal_probability

ROLES = ("visitor", "agent", "coordinator", "administrator", "contributor")
DEAR = {"pos": 1.1e-3, "single": 1e-3}


def scenario_with(**changes: Any) -> Scenario:
    scenario = msgspec.structs.replace(load_scenario("smoke"), engine="sim")
    factors = msgspec.structs.replace(scenario.variants.factors, repeats=2, difficulty_bits=[14, 18])
    plan = msgspec.structs.replace(
        scenario.variants, suites=["sha256", "md5"], difficulty_bits=[10, 14, 18], repeats=3, factors=factors, **changes
    )
    return msgspec.structs.replace(scenario, variants=plan)


def measure(case: Case) -> Row:
    """What an engine would say: CPU of a rule and its work, a hash of no effect, a load of its own per block size."""
    at = case.settings
    if case.label.startswith(SIGNING):
        return {}
    work_s = 2.0 ** (at["difficulty_bits"] - 20) * 0.1 if at["difficulty_bits"] is not None else 0.0
    cpu_s = DEAR.get(at["rule"], 1e-3) + work_s
    curve = {"p256": 1.0, "secp256k1": 0.5}[at.get("curve", "p256")]
    size, nodes = at.get("block_transactions", 15), sum(at.get("topology", [3, 3, 5, 2]))
    return {
        "library": "cryptography", "saturated_tx_per_s": size / cpu_s * (1 + 0.1 * at["repeat"]), "nodes": nodes,
        "cpu_s_per_tx": cpu_s * curve, "saturated_cpu_s_per_tx": cpu_s, "offered_per_s": 20.0, "is_overloaded": False,
        "latency_quorum_p50_ms": 20.0 * size * (1 + 100 * work_s), "latency_quorum_p95_ms": 40.0 * size,
        "latency_quorum_p99_ms": None,
        "latency_status": "ok", "latency_quorum_bounds": "", "energy_status": "estimated", "busiest_role": "agent",
        "energy_j_per_tx_low": cpu_s * 4, "energy_j_per_tx_mid": cpu_s * 8, "energy_j_per_tx_high": cpu_s * 16,
        "idle_j_per_tx": 50.0 * nodes / 20, "bytes_per_tx": 500.0, "messages_per_tx": 5.0, "empty_share": 0.0,
        "messages:visitor>agent": 3.0, "bytes:visitor>agent": 100.0,
        "messages:administrator>administrator": 0.0 if at["rule"] == "single" else 2.0,
        "bytes:administrator>administrator": 0.0 if at["rule"] == "single" else 400.0,
        **{f"cpu_s_per_tx_{role}": 1e-4 for role in ROLES},
        "tries_per_block": 0.0, "refused_blocks": 0, "tx_per_block": 15.0, "grind_ns": 500, "blocks": 6.0,
    }  # fmt: skip


def make_rows(scenario: Scenario | None = None) -> list[Row]:
    rows: list[Row] = []
    for case in experiment.declare_cases(scenario or scenario_with()):
        row = {"case": case.label, "status": "ok", **measure(case), **case.settings}
        if case.label.startswith(SIGNING):
            costs = {"p256/cryptography": (20_000, 50_000), "secp256k1/cryptography": (200_000, 300_000),
                     "secp256k1/coincurve": (16_000, 30_000)}  # fmt: skip
            rows += [row | {"scheme": name, "sign_ns": sign, "verify_ns": verify,
                             "is_used": name != "secp256k1/cryptography"}
                     for name, (sign, verify) in costs.items()]  # fmt: skip
        else:
            rows.append(row)
    return rows


@pytest.fixture(scope="module")
def raw() -> pd.DataFrame:
    return pd.DataFrame(make_rows())


@pytest.fixture(scope="module")
def tables(raw: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {table.name: table.build(raw.copy()) for table in experiment.EXPERIMENT.tables}


# -- the design --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["smoke", "quick", "paper"])
def test_the_design_is_balanced_in_every_profile(profile: str) -> None:
    scenario = load_scenario(profile)
    plan = scenario.variants.factors
    cells = [case for case in experiment.declare_cases(scenario) if case.label.startswith(CELL)]
    names = ("rule", "difficulty_bits", "suite", "curve", "block_transactions", "topology", "repeat")
    keys = [tuple(str(case.settings[name]) for name in names) for case in cells]
    rules = len(name_rules()) - 1 + len(plan.difficulty_bits)
    levels = (
        rules,
        len(plan.suites),
        len(plan.curves),
        len(plan.block_transactions),
        len(plan.topologies),
        plan.repeats,
    )
    assert len(set(keys)) == len(keys) == math.prod(levels)
    for place, count in enumerate(levels[1:], 2):
        held = [key[place] for key in keys]
        assert {held.count(level) for level in set(held)} == {len(keys) // count}


def test_a_run_with_fewer_repeats_than_the_design_has_those_of_its_own() -> None:
    scenario = scenario_with()
    few = msgspec.structs.replace(scenario, variants=msgspec.structs.replace(scenario.variants, repeats=1))
    assert {case.settings["repeat"] for case in experiment.declare_cases(few)} == {0}
    frame = build_factors(pd.DataFrame(make_rows(few)))
    assert set(frame["repeats"]) == {1}
    assert set(frame["left_out"]) == {"repeat 1"}


def test_planted_effects_come_out_and_what_was_not_planted_does_not(raw: pd.DataFrame) -> None:
    shares = build_factors(raw)
    frame = {key: part.set_index("term")["share"] for key, part in shares.groupby(["scope", "response"])}
    for scope in ("all rules", "without proof of work"):
        for response in RESPONSES.values():
            found = frame[scope, response]
            assert found["hash"] == pytest.approx(0.0, abs=1e-9), "the hash has no effect at all"
            assert found.sum() == pytest.approx(1.0)
    assert frame["without proof of work", "latency"]["block size"] == pytest.approx(1.0)
    cpu = frame["without proof of work", "CPU, active energy"]
    assert cpu["consensus rule"] + cpu["curve"] == pytest.approx(1.0), "logarithms of a product: no interaction"
    spread = [math.log(DEAR.get(rule, 1e-3)) for rule in name_rules() if rule != "pow"]
    middle = sum(spread) / len(spread)
    rule = sum((value - middle) ** 2 for value in spread) / len(spread)
    assert cpu["curve"] == pytest.approx((math.log(2) / 2) ** 2 / ((math.log(2) / 2) ** 2 + rule))
    assert frame["all rules", "throughput"]["repeats"] > 0, "the second repeat is a tenth faster"


def test_a_difficulty_that_fails_is_left_out_and_said(raw: pd.DataFrame) -> None:
    lost = raw["case"].str.startswith(f"{CELL}pow-14")
    frame = build_factors(raw[~lost])
    assert set(frame[frame["scope"] == "all rules"]["left_out"]) == {"16 combinations of levels that no row has"}
    one = raw["case"].str.fullmatch(rf"{CELL}pow-14-md5-p256-5-.*-0")
    frame = build_factors(raw[~one])
    assert set(frame[frame["scope"] == "all rules"]["left_out"]) == {"consensus rule PoW, 14 bits"}
    assert frame[frame["scope"] != "all rules"]["left_out"].isna().all()


def test_levels_are_geometric_means(raw: pd.DataFrame) -> None:
    frame = build_levels(raw).set_index(["factor", "level"])
    assert list(dict.fromkeys(frame.index.get_level_values(0))) == list(FACTORS)
    assert frame.loc[("consensus rule", "PoS"), "latency_quorum_p50_ms"] == pytest.approx(20 * math.sqrt(5 * 15))
    assert frame.loc[("consensus rule", "PoS"), "cpu_s_per_tx"] == pytest.approx(1.1e-3 * math.sqrt(0.5))
    assert "secp256k1 (cryptography)" in frame.loc["curve"].index


def test_the_figure_stacks_to_one(tables: dict[str, pd.DataFrame]) -> None:
    from bench.report.style import journal_style

    with journal_style():
        figure = draw_factors(tables)
    for axis in figure.axes:
        tops: dict[float, float] = {}
        for bar in axis.patches:
            tops[bar.get_x()] = tops.get(bar.get_x(), 0.0) + bar.get_height()
        assert list(tops.values()) == pytest.approx([1.0] * len(RESPONSES))


# -- equal risk --------------------------------------------------------------------------------------------------


def test_confirmations_are_the_fewest_for_the_risk() -> None:
    """Rosenfeld counts the block itself."""
    for share in ATTACKERS:
        depth = find_depth(share)
        assert reversal_probability(share, depth + 1) <= RISK_LEVEL < reversal_probability(share, depth)


def test_only_work_has_odds_and_only_certificates_have_none() -> None:
    stake, work, alone = (describe_finality(rule, 6.0) for rule in ("pos", "pow", "single"))
    assert (stake["reversal_30"], stake["needed_30"]) == (0.0, 0.0)
    assert work["reversal_10"] == reversal_probability(0.1, 7)
    assert math.isnan(alone["reversal_10"])
    assert len({stake["guarantee"], work["guarantee"], alone["guarantee"]}) == 3


def test_work_is_shown_as_run_and_at_equal_risk_beside_every_other_rule(raw: pd.DataFrame) -> None:
    frame = build_security(raw)
    assert (
        list(frame["rule"])
        == [name_rules()[rule] for rule in name_rules() if rule != "pow"] + [name_rules()["pow"]] * 3
    )
    work = frame[frame["rule"] == "PoW"]
    assert sorted(work["confirmations"]) == sorted({6.0, *map(float, map(find_depth, ATTACKERS))})
    assert set(work["purpose"]) == {"as run", "0.1% at 10%", "0.1% at 30%"}
    assert work["cpu_ratio"].tolist() == pytest.approx([(1e-3 + 0.025) / 1.1e-3] * 3)
    risks = raw[raw["case"].str.startswith(RISK)]
    assert set(risks["repeat"]) == {0, 1, 2}


# -- traffic, energy, libraries ----------------------------------------------------------------------------------


def test_legs_and_roles_count_the_same_messages(raw: pd.DataFrame) -> None:
    legs, roles = build_legs(raw), build_roles(raw)
    stake = legs[legs["rule"] == "PoS"]
    assert stake[["sender", "receiver", "messages_per_tx"]].to_numpy().tolist() == [
        ["visitor", "agent", 3.0], ["administrator", "administrator", 2.0]]  # fmt: skip
    assert stake["share"].tolist() == [0.2, 0.8]
    assert len(legs[legs["rule"] == "single orderer"]) == 1, "a leg without messages is no row"
    for way in ("sent", "received"):
        assert roles[f"messages_{way}_per_tx"].sum() == pytest.approx(legs["messages_per_tx"].sum())
        assert roles[f"kilobytes_{way}_per_tx"].sum() == pytest.approx(legs["kilobytes_per_tx"].sum())
    assert set(roles["cpu_ms_per_tx"]) == {0.1}


def test_idle_power_stands_apart(raw: pd.DataFrame) -> None:
    row = build_energy(raw).iloc[0]
    assert (row["active_mj_mid"], row["idle_j_per_tx"], row["nodes"]) == (pytest.approx(8.8), 32.5, 13)
    assert row["idle_share"] == pytest.approx(32.5 / 32.5088)
    unknown = build_energy(raw.assign(idle_j_per_tx=None))
    assert unknown["idle_j_per_tx"].isna().all()
    assert unknown["active_mj_mid"].notna().all()


def test_the_library_that_stands_for_a_curve_is_told(raw: pd.DataFrame) -> None:
    frame = build_signing(raw).set_index(["curve", "library"])
    assert frame.loc[("secp256k1", "cryptography"), ["verify_ratio", "is_used", "repeats"]].tolist() == [10.0, False, 3]
    assert frame.loc[("secp256k1", "coincurve"), ["verify_us", "is_used"]].tolist() == [30.0, True]


# -- the model beyond --------------------------------------------------------------------------------------------


@given(st.floats(1e-5, 1e-2), st.floats(1e-10, 1e-6))
def test_a_planted_model_is_found(fixed: float, per_try: float) -> None:
    bits = [8.0, 12.0, 16.0, 20.0, 24.0]
    found = fit(bits, [fixed + 2**at * per_try for at in bits])
    for at in (*bits, 32.0):
        assert found.predict(at) == pytest.approx(fixed + 2**at * per_try, rel=1e-3)
    assert found.residual < 1e-3


def test_two_points_have_no_residual() -> None:
    assert math.isnan(fit([10.0, 20.0], [1e-3, 1.0]).residual)


def test_beyond_the_grid_it_is_the_model_alone(raw: pd.DataFrame) -> None:
    frame = build_extrapolation(raw)
    assert set(frame[frame["difficulty_bits"] > 18]["source"]) == {"model alone"}
    assert frame[frame["source"] == "model alone"]["simulated"].isna().all()
    known = frame[frame["source"] == "simulated"]
    assert known["error"].abs().max() < 1e-3, "these rows follow the model"
    cpu = frame[frame["quantity"].str.startswith("CPU")].set_index("difficulty_bits")
    assert cpu.loc[32.0, "model"] == pytest.approx(1e-3 + 2.0**12 * 0.1, rel=1e-3)
    latency = frame[frame["quantity"].str.startswith("latency")].set_index("difficulty_bits")
    assert math.isinf(latency.loc[79.0, "model"]), "no block keeps up with the load"


def test_where_work_does_not_show_nothing_is_said_beyond(raw: pd.DataFrame) -> None:
    flat = raw.assign(saturated_cpu_s_per_tx=raw["saturated_cpu_s_per_tx"].clip(upper=1.3e-3))
    frame = build_extrapolation(flat)
    cpu = frame[frame["quantity"].str.startswith("CPU")]
    assert set(cpu["source"]) == {"simulated"}
    assert cpu["work"].max() < 0.5
    assert "model alone" in set(frame["source"]), "the other quantities are known"


def test_a_bend_that_is_no_such_model_shows_in_the_residual() -> None:
    assert fit([8.0, 12.0, 16.0, 20.0], [1.0, 5.0, 1.0, 5.0]).residual > 0.5


# -- the answer --------------------------------------------------------------------------------------------------


def test_the_answer_is_made_of_the_tables(tables: dict[str, pd.DataFrame]) -> None:
    lines = answer(tables)
    text = " ".join(lines)
    assert f"with 6 confirmations an attacker with 10% or 30% of the work reverts one with a probability of {reversal_probability(0.1, 7):.2g} or" in text  # fmt: skip  # noqa: E501
    assert f"takes {find_depth(0.1)} or {find_depth(0.3)} confirmations" in text
    assert "beside a single orderer, under which no liar is caught: 1.100 (unresolved) times the CPU" in text
    assert "2^128 for sha256, 2^16 for md5" in text
    assert "The hash explains less than 0.1% of any" in text
    changed = tables | {"variants_ratios": tables["variants_ratios"].assign(cpu_ratio=0.5)}
    assert "2.000" not in text
    assert "2 (unresolved) times the CPU" in " ".join(answer(changed)), "nothing is typed in by hand"


def test_what_is_not_there_is_not_said(tables: dict[str, pd.DataFrame]) -> None:
    assert answer({name: frame.iloc[:0] for name, frame in tables.items()}) == []
    without = tables | {"variants_security": tables["variants_security"].iloc[:1]}
    assert not any("Under proof of work with" in line for line in answer(without))
