"""Engines on the simulator: latency under load, energy, repeatability, and what is too easy to agree on."""

import dataclasses
import hashlib
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.engines import load as load_module
from bench.engines.base import ENGINES, Context, find_engine
from bench.engines.simulate import (
    add_energy,
    chain_params,
    count_single_messages,
    link_model,
    load_network,
    lone_params,
    offer,
    run_configuration,
    run_lone,
    run_paper_calibrated,
    saturate,
)
from bench.engines.variants import run_variant
from bench.errors import BenchError
from bench.experiments import table1, variants
from bench.experiments.base import Case
from bench.measure.calibrate import Calibration
from bench.measure.openloop import poisson
from bench.scenario import Scenario, load_scenario
from bench.workload import build_workload, make_record, vital_signs
from ehrcore.drive.cost import EXAMPLE, FREE, HostModel
from ehrcore.drive.links import LinkModel
from ehrcore.errors import ParameterError
from ehrcore.hashing import SUITES
from ehrcore.params import Topology
from ehrcore.records import RecordKind
from ehrcore.types import MICROSECOND, SECOND

RECORDS = (make_record(RecordKind.BILL, "p", "Claim", b"{}"), *vital_signs(1, 3, 1).records)


def small(**changes: Any) -> Scenario:
    """The smoke profile with few transactions."""
    scenario = load_scenario("smoke")
    tiny = msgspec.structs.replace(
        scenario.table1, transactions=15, outstanding=15, latency_transactions=40, calibrated_transactions=2
    )
    few = msgspec.structs.replace(
        scenario.variants, topology=[1, 1, 3, 1], transactions=45, outstanding=30, offered_per_second=100.0
    )
    return msgspec.structs.replace(scenario, table1=tiny, variants=few, **changes)


def context_of(scenario: Scenario, folder: Path) -> Context:
    context = Context(scenario, build_workload(RECORDS, "test"), folder)
    context.__dict__["calibration"] = Calibration(dict.fromkeys(SUITES, EXAMPLE), EXAMPLE, ())
    labels = [f"repeat {number}" for number in range(4)]
    context.calibrations = dict.fromkeys(labels, context.calibration)
    return context


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return context_of(small(), tmp_path)


def variant(rule: str = "pos", bits: int | None = None, suite: str = "sha256", **more: Any) -> Case:
    settings = {"rule": rule, "difficulty_bits": bits, "confirmations": 6 if rule == "pow" else None, "suite": suite,
                "is_control": False, "repeat": 0, **more}  # fmt: skip
    return Case(f"{rule}-{bits}-{suite}", "variant", settings)


# -- latency under load ------------------------------------------------------------------------------------------


def test_what_is_lost_is_censored_and_bounds_the_greatest_latency_from_below(context: Context) -> None:
    params = chain_params("test", Topology(1, 1, 1, 1))
    loaded = load_network(context, params, seed="lossy", links=LinkModel(loss=0.1))
    row = offer(context, loaded, 200.0, 60, "lossy", "lossy")
    lost = [flow for flow in loaded.collector.requested[:60] if flow.everyone is None]
    assert 0 < len(lost) < 60
    assert (row["latency_everyone_censored"], row["is_finished"]) == (len(lost), False)
    waited = max(loaded.simulation.kernel.now - flow.intended for flow in lost)
    assert waited < context.scenario.latency.timeout_s * SECOND, "so the time-out counts, not the time waited"
    assert row["latency_everyone_max_ms"] == context.scenario.latency.timeout_s * 1e3
    assert row["latency_everyone_bounds"].endswith("mean, max")


def test_a_visitor_that_lags_behind_its_arrivals_voids_the_latency_and_nothing_else(context: Context) -> None:
    """So slow that it works off only some of the requests; those that still wait must not be dropped."""
    params = chain_params("test", Topology(1, 1, 1, 1))
    loaded = load_network(context, params, seed="slow", costs=replace(EXAMPLE, sign_ns=20_000 * MICROSECOND))
    row = offer(context, loaded, 1_000.0, 400, "slow", "slow")
    unsent = sum(flow.sent is None for flow in loaded.collector.requested[:400])
    assert row["latency_everyone_censored"] >= unsent > 0
    assert (row["latency_status"], row["latency_samples"]) == ("ok", 400), "what is censored counts a minute"
    quick = msgspec.structs.replace(context.scenario.latency, timeout_s=1.0)
    context.scenario = msgspec.structs.replace(context.scenario, latency=quick)
    loaded = load_network(context, params, seed="slow", costs=replace(EXAMPLE, sign_ns=20_000 * MICROSECOND))
    row = offer(context, loaded, 1_000.0, 400, "slow", "void")
    assert row["latency_status"] == "void"
    assert row["latency_reason"].startswith("p99 lateness of the generator: expected at most 10 % of the p99 latency")
    assert all(row[f"latency_{stage}_{name}_ms"] is None for stage in ("first", "quorum", "everyone")
               for name in ("p50", "p95", "p99", "p999", "mean", "max"))  # fmt: skip
    assert row["cpu_s_per_tx"] > 0
    assert [path.name for path in (context.folder / "latency").iterdir()] == ["slow.hgrm"]


def test_nothing_is_censored_where_all_arrive(context: Context) -> None:
    loaded = load_network(context, chain_params("test", Topology(1, 1, 3, 2)), seed="a")
    row = offer(context, loaded, 100.0, 45, "a", "a")
    assert (row["latency_everyone_censored"], row["is_finished"], row["offered_per_s"]) == (0, True, 100.0)
    assert (row["latency_status"], row["latency_reason"], row["latency_quorum_bounds"]) == ("ok", "", "")
    assert 0 < row["lateness_p99_ms"] < 0.1 * row["latency_quorum_p50_ms"]
    exact = sorted(flow.quorum - flow.intended for flow in loaded.collector.requested[:45] if flow.quorum)
    assert row["latency_quorum_p50_ms"] == exact[22] / 1e6
    kept = (context.folder / "latency" / "a.hgrm").read_text()
    assert f"{exact[-1] / 1e6:.6f} 1.000000000000         45" in kept


def test_too_few_blocks_to_measure_between_are_a_timeout(context: Context) -> None:
    loaded = load_network(context, chain_params("test", Topology(1, 1, 1, 1)), seed="a")
    with pytest.raises(TimeoutError, match="fewer than two blocks became final while 3 transactions were measured"):
        offer(context, loaded, 100.0, 3, "a", "a")


# -- energy, links, parameters -----------------------------------------------------------------------------------


def test_energy_is_processor_time_times_watts_and_says_that_it_is_estimated(context: Context) -> None:
    row: dict[str, Any] = {"cpu_s_per_tx": 2.0}
    add_energy(context, row)
    energy = context.scenario.energy
    assert [row[f"energy_j_per_tx_{bound}"] for bound in ("low", "mid", "high")] == [
        2 * energy.watts_low,
        2 * energy.watts_mid,
        2 * energy.watts_high,
    ]
    assert row["energy_status"] == "estimated"


def test_links_are_the_scenarios(tmp_path: Path) -> None:
    network = msgspec.structs.replace(
        load_scenario("smoke").network, latency_us=20_000.0, jitter_us=1.5, loss=0.25, megabit_per_second=8.0
    )
    found = link_model(context_of(small(network=network), tmp_path))
    assert found == LinkModel(latency_ns=20_000_000, jitter_ns=1_500, loss=0.25, bytes_per_second=1_000_000)


def test_hardly_any_bandwidth_is_not_taken_for_no_limit(tmp_path: Path) -> None:
    network = msgspec.structs.replace(load_scenario("smoke").network, megabit_per_second=1e-9)
    assert link_model(context_of(small(network=network), tmp_path)).bytes_per_second == 1


def test_an_unknown_engine_is_refused_with_the_choices() -> None:
    with pytest.raises(BenchError, match="engine: expected one of framework, .*, found 'magic'"):
        find_engine("magic")
    assert all(callable(find_engine(name)) for name in ENGINES)


def test_an_unknown_rule_is_refused_with_the_choices(context: Context) -> None:
    with pytest.raises(ParameterError, match="consensus: expected one of .*pos.*, found 'paxos'"):
        run_variant(context, variant("paxos"))


# -- throughput --------------------------------------------------------------------------------------------------


def test_throughput_is_what_became_final_over_the_time_that_it_took(context: Context) -> None:
    loaded = load_network(context, chain_params("test", Topology(1, 1, 1, 1)), seed="a")
    row = saturate(loaded, 30, 90)
    instants = sorted(flow.everyone for flow in loaded.collector.requested if flow.everyone)
    end = loaded.simulation.kernel.now
    begin = next(at for place, at in enumerate(instants, start=1) if place >= 30)
    until = next(at for at in instants if sum(begin < other <= at for other in instants) >= 90)
    assert until <= end
    assert row["measured_tx"] == sum(begin < at <= until for at in instants)
    assert row["tx_per_s"] == pytest.approx(row["measured_tx"] * SECOND / (until - begin))


def test_all_nodes_on_few_cores_are_slower_than_a_machine_each(context: Context) -> None:
    params = chain_params("test", Topology(2, 2, 3, 2))
    apart = saturate(load_network(context, params, seed="a"), 30, 60)["tx_per_s"]
    together = saturate(load_network(context, params, seed="a", host=HostModel(is_shared=True, cores=1)), 30, 60)
    assert together["tx_per_s"] < apart


# -- one by one --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("agents", "coordinators", "contributors"), [(1, 1, 1), (3, 1, 1), (1, 2, 1), (2, 3, 2)])
def test_a_lone_transaction_takes_each_message_of_the_paper_once(
    context: Context, agents: int, coordinators: int, contributors: int
) -> None:
    """Section 3 with one administrator: submissions, endorsements, approvals, blocks and receipts; and no more."""
    params = chain_params("test", Topology(agents, coordinators, 1, contributors))
    expected = agents + agents * coordinators + coordinators + (coordinators + contributors) + contributors
    assert count_single_messages(context, Case("row", "configuration", {}), params) == expected


def test_a_calibrated_run_takes_the_fitted_time_per_message_and_pauses(context: Context) -> None:
    settings = {"row": 18, "agents": 1, "coordinators": 1, "administrators": 1, "contributors": 1,
                "message_ns": SECOND, "pause_ns": 10 * SECOND}  # fmt: skip
    messages = count_single_messages(context, Case("x", "x", {}), chain_params("table1", Topology(1, 1, 1, 1)))
    row = run_paper_calibrated(context, Case("calibrated-18", "paper-calibrated", settings))[0]
    assert row["cycle_s"] == pytest.approx(10 + messages)
    assert row["calibrated_tx_per_6min"] == pytest.approx(360 / (10 + messages))
    assert row["row"] == 18


def test_a_lone_transaction_that_gets_lost_is_a_timeout(context: Context) -> None:
    params = lone_params(chain_params("test", Topology(1, 1, 1, 1)))
    loaded = load_network(context, params, seed="a", links=LinkModel(loss=1.0), costs=FREE)
    with pytest.raises(TimeoutError, match="transaction 1 of 2 was not committed"):
        run_lone(loaded, 2)


# -- whole engines -----------------------------------------------------------------------------------------------


def test_a_configuration_is_one_row_with_every_measure(context: Context) -> None:
    case = table1.declare_cases(context.scenario)[17]
    (row,) = run_configuration(context, case)
    assert row["row"] == 18
    assert row["shared_tx_per_s"] < row["tx_per_s"]
    assert row["offered_per_s"] == row["tx_per_s"] * context.scenario.table1.load_share
    assert 0 < row["latency_first_p50_ms"] <= row["latency_quorum_p50_ms"] <= row["latency_quorum_p95_ms"]
    assert row["latency_quorum_p99_ms"] is None, "40 requests cannot tell a p99 from their maximum"
    assert (context.folder / "latency" / "table1-row-18.hgrm").exists()
    assert row["energy_j_per_tx_low"] < row["energy_j_per_tx_mid"] < row["energy_j_per_tx_high"]
    assert all(math.isfinite(value) for value in row.values() if isinstance(value, float))
    assert json.loads(json.dumps(row)) == row


@pytest.mark.parametrize(
    "case", [variant("pos"), variant("single"), variant("leader"), variant("pow", 12, "md5")], ids=lambda c: c.label
)
def test_a_variant_is_one_row_with_every_measure(context: Context, case: Case) -> None:
    (row,) = run_variant(context, case)
    assert row["is_overloaded"] is (row["saturated_tx_per_s"] < 100)
    assert (row["tries_per_block"] > 0) is (row["rule"] == "pow")
    assert row["blocks"] >= 3
    assert row["grind_ns"] == EXAMPLE.grind_ns
    assert json.loads(json.dumps(row)) == row


def test_tries_per_block_are_those_that_the_difficulty_asks_for(context: Context) -> None:
    (row,) = run_variant(context, variant("pow", 14))
    assert 0.3 < row["tries_per_block"] / (1 << 14) < 3.5


def test_work_costs_processor_time_and_stake_does_not(context: Context) -> None:
    stake, work = (run_variant(context, case)[0] for case in (variant("pos"), variant("pow", 16)))
    assert work["cpu_s_per_tx"] > 3 * stake["cpu_s_per_tx"]


def test_proof_of_work_that_is_too_easy_ends_as_a_timeout(context: Context) -> None:
    """Blocks come faster than the network carries them, administrators finalise different ones, and nothing goes on."""
    with pytest.raises(TimeoutError, match=r"in every ledger, found .* refused [1-9]|fewer than two blocks"):
        run_variant(context, variant("pow", 0, "md5"))


# -- the same seed, the same rows --------------------------------------------------------------------------------

CASES = (
    table1.declare_cases(load_scenario("smoke"))[17],
    *variants.declare_cases(load_scenario("smoke"))[:1],
    variant("pow", 12),
)


def rows_of(scenario: Scenario, folder: Path) -> list[dict[str, Any]]:
    context = context_of(scenario, folder)
    return [row for case in CASES for row in find_engine(case.engine)(context, case)]


def test_the_same_seed_gives_the_same_rows_and_another_one_does_not(tmp_path: Path) -> None:
    first = rows_of(small(), tmp_path)
    load_module.sample_block.cache_clear()
    assert rows_of(small(), tmp_path) == first
    other = rows_of(small(seed="another"), tmp_path)
    assert all(a["cpu_s_per_tx"] != b["cpu_s_per_tx"] or a != b for a, b in zip(first, other, strict=True))


def test_variants_of_one_repeat_meet_the_same_arrivals_and_only_costs_tell_the_control(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def note(seed: str, per_second: float) -> Any:
        asked.append(seed)
        return poisson(seed, per_second)

    monkeypatch.setattr("bench.engines.simulate.poisson", note)
    for case in (variant("pos"), variant("single"), variant("pos", suite="md5"), variant("pos", is_control=True),
                 variant("pos", repeat=1)):  # fmt: skip
        run_variant(context, case)
    assert asked[0] == asked[1] == asked[2] == asked[3]
    assert len(set(asked)) == 2
    # Its unit costs are those that were measured a second time.
    dearer = dataclasses.replace(EXAMPLE, verify_ns=2 * EXAMPLE.verify_ns)
    context.calibrations["repeat 0"] = dataclasses.replace(context.calibration, control=dearer)
    (base,), (control,) = (run_variant(context, variant("pos", is_control=flag)) for flag in (False, True))
    assert control["cpu_s_per_tx"] > 1.2 * base["cpu_s_per_tx"]
    assert control["messages_per_tx"] == pytest.approx(base["messages_per_tx"], rel=0.1)


if __name__ == "__main__":  # what the test below starts
    rows = rows_of(small(), Path(sys.argv[1]))
    sys.stdout.write(hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest())


@pytest.mark.slow
def test_rows_and_trace_do_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    found = set()
    for seed in ("0", "1", "20220719"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        words = [sys.executable, __file__, str(tmp_path)]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
        found.add(done.stdout)
    assert len(found) == 1
    assert len(found.pop()) == 64
