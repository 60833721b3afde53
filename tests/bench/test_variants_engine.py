"""Engine `variant`: what a cell of a design varies reaches the chain, and nothing else does."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.engines.base import Context, find_engine
from bench.engines.variants import build_params, run_variant
from bench.experiments.base import Case, Row
from bench.measure.calibrate import Calibration
from bench.scenario import load_scenario
from bench.workload import build_workload, vital_signs
from ehrcore.drive.cost import EXAMPLE
from ehrcore.errors import ParameterError
from ehrcore.params import Topology

SIGNING = {"p256/cryptography": (20_000, 50_000), "secp256k1/cryptography": (200_000, 300_000)}


@pytest.fixture
def context(tmp_path: Path) -> Context:
    scenario = load_scenario("smoke")
    few = msgspec.structs.replace(scenario.variants, topology=[1, 1, 3, 1], transactions=30, outstanding=30)
    scenario = msgspec.structs.replace(scenario, variants=few)
    calibration = Calibration({"sha256": EXAMPLE, "md5": EXAMPLE}, EXAMPLE, (), SIGNING)
    return Context(scenario, build_workload(vital_signs(1, 3, 1).records, "test"), tmp_path, {"repeat 0": calibration})


def cell(**changes: Any) -> Case:
    settings = {"rule": "pos", "difficulty_bits": None, "confirmations": None, "suite": "sha256", "curve": "p256",
                "block_transactions": 5, "topology": [1, 1, 4, 1], "blocks": 3, "repeat": 0}  # fmt: skip
    return Case("cell", "variant", settings | changes)


def run(context: Context, **changes: Any) -> Row:
    (row,) = run_variant(context, cell(**changes))
    return row


def test_a_cell_describes_its_chain(context: Context) -> None:
    params = build_params(context, cell(curve="secp256k1", block_transactions=30, topology=[2, 2, 7, 3]))
    assert (params.curve, params.topology) == ("secp256k1", Topology(2, 2, 7, 3))
    assert (params.limits.max_transactions, params.limits.max_block_bytes) == (30, 2 * 30_720)
    assert build_params(context, cell(block_transactions=15)).limits.max_block_bytes == 30_720, "the paper's"
    bare = Case("v", "variant", {name: cell().settings[name] for name in
                                 ("rule", "difficulty_bits", "confirmations", "suite", "repeat")})  # fmt: skip
    assert build_params(context, bare).topology == Topology(1, 1, 3, 1)
    with pytest.raises(ParameterError, match="consensus: expected one of .*, found 'paxos'"):
        build_params(context, cell(rule="paxos"))


def test_a_cell_is_one_row_with_every_response(context: Context) -> None:
    row = run(context)
    for name in ("saturated_tx_per_s", "saturated_cpu_s_per_tx", "latency_quorum_p50_ms", "cpu_s_per_tx",
                 "energy_j_per_tx_mid", "idle_j_per_tx"):  # fmt: skip
        assert row[name] > 0
    assert (row["library"], row["nodes"], row["tx_per_block"]) == ("cryptography", 7, 5.0)
    assert json.loads(json.dumps(row)) == row
    assert not (context.folder / "latency").exists(), "hundreds of files would say no more"


def test_a_curve_that_is_slow_to_verify_costs_that(context: Context) -> None:
    assert run(context, curve="secp256k1")["cpu_s_per_tx"] > 3 * run(context)["cpu_s_per_tx"]


def test_larger_blocks_wait_longer_at_the_offered_load(context: Context) -> None:
    small, large = run(context), run(context, block_transactions=15)
    assert large["latency_quorum_p50_ms"] > 2 * small["latency_quorum_p50_ms"]
    assert large["tx_per_block"] == 15.0


def test_confirmations_do_not_pass_for_a_limit_of_the_chain(context: Context) -> None:
    """Users who wait for confirmations are under way besides: with too few of them, depth would seem to cost blocks."""
    work = {"rule": "pow", "difficulty_bits": 16, "block_transactions": 15, "blocks": 12}
    shallow, deep = (run(context, **work, confirmations=depth)["saturated_tx_per_s"] for depth in (1, 12))
    assert deep > 0.5 * shallow


def test_idle_power_is_that_of_all_nodes_at_the_offered_load(context: Context) -> None:
    watts = context.scenario.energy.idle_watts_per_node
    assert watts is not None
    row = run(context)
    assert row["idle_j_per_tx"] == pytest.approx(7 * watts / context.scenario.variants.offered_per_second)
    unknown = msgspec.structs.replace(context.scenario.energy, idle_watts_per_node=None, idle_source="")
    context.scenario = msgspec.structs.replace(context.scenario, energy=unknown)
    assert run(context)["idle_j_per_tx"] is None, "unknown is not nothing"


def test_unit_costs_of_signatures_are_rows(context: Context) -> None:
    rows = find_engine("signing-costs")(context, Case("signing-0", "signing-costs", {"repeat": 0}))
    assert [(row["scheme"], row["sign_ns"], row["is_used"]) for row in rows] == [
        ("p256/cryptography", 20_000, True), ("secp256k1/cryptography", 200_000, True)]  # fmt: skip
