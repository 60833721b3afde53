"""Engines of experiment ``agree``: real networks that costs are fitted on, and predictions held against others.

A prediction is made before its network is measured: the simulator says what it can do, then both are offered half of
that.
"""

from dataclasses import asdict

from bench.analysis.agreement import Factors
from bench.engines.base import Context
from bench.engines.load import LoadedSimulation
from bench.engines.net import need_rate
from bench.engines.simulate import chain_params, saturate, topology_of
from bench.experiments.base import Case, Row
from bench.measure.environment import count_cores
from bench.measure.openloop import poisson
from bench.net.measurement import Measurement, measure_network
from bench.net.usage import PARTS, split_medians
from ehrcore.drive.cost import CostModel, HostModel
from ehrcore.drive.framed import FramedSimulation
from ehrcore.drive.links import LinkModel
from ehrcore.drive.sim import SimSetup
from ehrcore.network import found_network
from ehrcore.params import Limits
from ehrcore.types import MILLISECOND


def run_calibration(context: Context, case: Case) -> list[Row]:
    """A real network to fit costs on, saturated and at a share of that: a row ``measured`` and its processes' rows.

    Settings: the number of nodes by role and ``repeat``.
    """
    costs = context.calibration.control
    with measure_network(context, case.label, case.settings) as network:
        rows, measured = _measure(context, network, case.label, None)
    measured |= {"kind": "measured", "costs": asdict(costs), "audited_tx": network.audited_tx}
    return [{**case.settings, **row} for row in (measured, *rows, *network.voided)]


def run_agreement(context: Context, case: Case) -> list[Row]:
    """Prediction and measurement of one network: a row ``compared``, and its processes' rows.

    Settings: the number of nodes by role, ``repeat``, ``factors`` and ``costs`` as fitted, and ``measured``, where the
    network has been measured already (and fitted on).
    """
    settings = case.settings
    costs = Factors(**settings["factors"]).apply(CostModel(**settings["costs"]))
    plan, held = context.scenario, settings["measured"]
    full = saturate(_simulate(context, case, costs), plan.net.outstanding, plan.agree.transactions)
    rate = held["offered_per_s"] if held else full["tx_per_s"] * plan.net.load_share
    row: Row = {"predicted_per_s": full["tx_per_s"], "predicted_cpu_s_per_tx": full["cpu_s_per_tx"]}
    row["predicted_p50_ms"] = _predict_latency(context, case, costs, rate)
    processes: list[Row] = []
    if held:
        row |= held
    else:
        with measure_network(context, case.label, settings) as network:
            processes, measured = _measure(context, network, case.label, rate)
        row |= {**measured, "audited_tx": network.audited_tx}
        processes += network.voided
    return [{**settings, **item} for item in ({**row, "kind": "compared"}, *processes)]


def _measure(context: Context, network: Measurement, label: str, rate: float | None) -> tuple[list[Row], Row]:
    """Processes' rows of both steps, and what they came to; ``rate`` is offered, by default a share of the first."""
    plan = context.scenario
    full, *processes = network.saturate()
    rate = rate or need_rate(full) * plan.net.load_share
    loaded, *more = network.offer(label, rate, plan.net.latency_s)
    latencies = [
        None if moment.quorum is None else moment.quorum - moment.intended for moment in network.played.moments
    ]
    row = {
        "net_per_s": need_rate(full),
        "net_per_s_parts": full["committed_per_s_parts"],
        "net_cpu_s_per_tx": full["cpu_s_per_tx"],
        "bottleneck": full["bottleneck"],
        "others_share": (full["foreign_cpu_share"] or 0.0) + (full["steal_share"] or 0.0),
        "offered_per_s": rate,
        "net_p50_ms": loaded["latency_quorum_p50_ms"],
        "net_p50_ms_parts": split_medians(latencies, PARTS),
    }
    for step, found in (("saturated", full), ("loaded", loaded)):
        if found.get("status") == "void" or found.get("latency_status") == "void":
            row |= {"status": "void", "reason": f"{step}: {found.get('reason') or found['latency_reason']}"}
    return [*({**item, "step": "saturated"} for item in processes), *({**item, "step": "loaded"} for item in more)], row


def _simulate(context: Context, case: Case, costs: CostModel) -> LoadedSimulation:
    """The network in virtual time, all on the cores of this machine, whose ways take no time beside its processors."""
    plan, topology = context.scenario, topology_of(case.settings)
    limits = Limits(max_wait_ns=plan.net.max_wait_ms * MILLISECOND)
    label = f"{plan.seed}|{case.label}"
    setup = SimSetup(
        label, costs, LinkModel(latency_ns=0, bytes_per_second=0), HostModel(is_shared=True, cores=count_cores())
    )
    network = found_network(chain_params("agree", topology, limits=limits), "modelled", label)
    records = context.workload.records[: plan.net.records]
    return LoadedSimulation(network, setup, records, kind=FramedSimulation)


def _predict_latency(context: Context, case: Case, costs: CostModel, rate: float) -> float | None:
    """The median latency (ms) to the receipts of a quorum at this rate; None if half of the requests get none."""
    loaded = _simulate(context, case, costs)
    count = context.scenario.agree.transactions
    loaded.offer(poisson(case.label, rate), count)
    flows = loaded.collector.requested[:count]
    return split_medians([flow.known and flow.known - flow.intended for flow in flows], 1)[0]
