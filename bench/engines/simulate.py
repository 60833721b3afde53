"""Engines on the simulator: one configuration of Table 1 and the paper-calibrated mode.

All of them use modelled signatures with unit costs measured in this run; CPU-seconds are counted operations times those
costs, and energy is an estimate (CPU-seconds times the scenario's watts), never a measurement.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from bench.engines.base import Context
from bench.engines.load import LoadedSimulation
from bench.engines.snapshot import compare_snapshots
from bench.experiments.base import Case, Row
from bench.measure.energy import estimate
from bench.measure.latency import build_columns, compute_latencies, write_hgrm
from bench.measure.openloop import poisson
from ehrcore.drive.cost import FREE, CostModel, HostModel
from ehrcore.drive.links import LinkModel
from ehrcore.drive.sim import SimSetup
from ehrcore.network import found_network
from ehrcore.params import ChainParams, Limits, StakeRule, Topology, majority
from ehrcore.types import MICROSECOND, MINUTE, SECOND

#: Virtual time after which a run that does not finish is called timed out.
HORIZON_NS: Final = 24 * 60 * MINUTE


def topology_of(counts: Mapping[str, int]) -> Topology:
    """A topology from a case's settings."""
    return Topology(counts["agents"], counts["coordinators"], counts["administrators"], counts["contributors"])


def chain_params(scenario_name: str, topology: Topology, *, is_modelled: bool = True, **variant: Any) -> ChainParams:
    """A chain with majority policies, varied by keyword."""
    agents, coordinators = majority(topology.agents), majority(topology.coordinators)
    return ChainParams(scenario_name, topology, agents, coordinators, is_modelled=is_modelled, **variant)


def link_model(context: Context) -> LinkModel:
    """The scenario's links."""
    network = context.scenario.network
    return LinkModel(
        latency_ns=round(network.latency_us * MICROSECOND),
        jitter_ns=round(network.jitter_us * MICROSECOND),
        loss=network.loss,
        # At least 1, for 0 means no limit.
        bytes_per_second=max(round(network.megabit_per_second * 125_000), 1),
    )


def load_network(
    context: Context,
    params: ChainParams,
    *,
    seed: str,
    links: LinkModel | None = None,
    host: HostModel | None = None,
    costs: CostModel | None = None,
) -> LoadedSimulation:
    """A founded, simulated network with the run's records as load."""
    label = f"{context.scenario.seed}|{params.name}|{seed}"
    network = found_network(params, "modelled", label)
    setup = SimSetup(
        label, costs or context.calibration.costs[params.hash_suite], links or link_model(context), host or HostModel()
    )
    return LoadedSimulation(network, setup, context.workload.records)


def saturate(loaded: LoadedSimulation, outstanding: int, count: int, warm: int | None = None) -> Row:
    """Closed loop: throughput (transactions in every ledger per second) after ``warm`` (``outstanding``) of them.

    Both ends of the measured time are instants at which a block has reached the last ledger.
    """
    loaded.close_loop(outstanding)
    begin = loaded.run_until_finished(outstanding if warm is None else warm, HORIZON_NS)
    end = loaded.run_until_finished(begin.finished + count, HORIZON_NS)
    row = compare_snapshots(loaded, begin, end)
    row["tx_per_s"] = (end.finished - begin.finished) * SECOND / (end.at - begin.at)
    row["measured_tx"] = end.finished - begin.finished
    row["trace_digest"] = loaded.simulation.trace_digest()
    return row


def offer(context: Context, loaded: LoadedSimulation, per_second: float, count: int, seed: str, point: str) -> Row:
    """Open loop at a given rate: commit latency from the intended instant, and use per transaction.

    Use is counted between the first and the last block that reach every ledger while the measured ones are under way.
    The latencies to a quorum are kept in the run's folder as ``latency/<point>.hgrm``, unless they are void or
    ``point`` is empty.
    """
    is_finished = loaded.offer(poisson(f"{seed}|arrivals", per_second), count)
    if loaded.earliest is None or loaded.latest is None or loaded.earliest.finished == loaded.latest.finished:
        raise TimeoutError(f"fewer than two blocks became final while {count} transactions were measured")
    samples, ended_at = loaded.collector.requested[:count], loaded.simulation.kernel.now
    timeout_ns = round(context.scenario.latency.timeout_s * SECOND)
    row = compare_snapshots(loaded, loaded.earliest, loaded.latest)
    row |= {"offered_per_s": per_second, "is_finished": is_finished}
    row |= build_columns(samples, ended_at, timeout_ns)
    if point and row["latency_status"] == "ok":
        latencies = compute_latencies(samples, "quorum", ended_at, timeout_ns)
        write_hgrm(context.folder / "latency" / f"{point}.hgrm", latencies)
    return row


def add_energy(context: Context, row: Row) -> None:
    """Estimated joules per transaction: CPU-seconds times the watts of one busy core; idle power is not in it."""
    use = estimate(row["cpu_s_per_tx"], context.scenario.energy, "the processor time is simulated")
    row |= {f"energy_j_per_tx_{bound}": getattr(use, f"joules_{bound}") for bound in ("low", "mid", "high")}
    row |= {"energy_status": use.status, "energy_reason": use.reason}


def run_configuration(context: Context, case: Case) -> list[Row]:
    """One row of Table 1: saturated on a machine per node and on shared cores, latency under load, message count."""
    plan, settings = context.scenario.table1, case.settings
    params = chain_params("table1", topology_of(settings))
    row: Row = dict(settings)
    row |= saturate(load_network(context, params, seed=f"{case.label}|saturated"), plan.outstanding, plan.transactions)
    add_energy(context, row)
    shared = HostModel(is_shared=True, cores=plan.shared_cores)
    crowded = saturate(
        load_network(context, params, seed=f"{case.label}|shared", host=shared), plan.outstanding, plan.transactions
    )
    row["shared_tx_per_s"] = crowded["tx_per_s"]
    rate = row["tx_per_s"] * plan.load_share
    loaded = load_network(context, params, seed=f"{case.label}|latency")
    under_load = offer(context, loaded, rate, plan.latency_transactions, case.label, f"table1-{case.label}")
    row |= {key: value for key, value in under_load.items() if key.startswith(("late", "offered"))}
    row["single_messages_per_tx"] = count_single_messages(context, case, params)
    return [row]


def lone_params(params: ChainParams) -> ChainParams:
    """One transaction per block and time-outs that never strike: the paper's pace, one by one."""
    patient = StakeRule(60 * MINUTE, 60 * MINUTE, 0)
    return msgspec.structs.replace(params, limits=Limits(max_transactions=1), stake=patient)


def run_lone(loaded: LoadedSimulation, count: int) -> list[int]:
    """Submit one transaction after the other, each when the network has come to rest; the duration of each (ns)."""
    durations = []
    simulation = loaded.simulation
    for number in range(1, count + 1):
        begin = simulation.kernel.now
        loaded.request(begin)
        simulation.run(1 << 62)
        if loaded.collector.finished < number:
            raise TimeoutError(f"transaction {number} of {count} was not committed")
        durations.append(simulation.links.last_arrival - begin)
    return durations


def count_single_messages(context: Context, case: Case, params: ChainParams) -> float:
    """Messages that one transaction takes when it travels, is agreed on and is committed alone."""
    loaded = load_network(context, lone_params(params), seed=f"{case.label}|lone", costs=FREE)
    run_lone(loaded, 2)
    return sum(leg.messages for leg in loaded.simulation.legs.values()) / 2


def run_paper_calibrated(context: Context, case: Case) -> list[Row]:
    """The paper's pace: every message takes the fitted delay on one shared medium, after the fitted pause."""
    settings = case.settings
    params = lone_params(chain_params("table1", topology_of(settings)))
    links = LinkModel(shared_ns=int(settings["message_ns"]))
    loaded = load_network(context, params, seed=f"{case.label}|paper", links=links, costs=FREE)
    durations = run_lone(loaded, context.scenario.table1.calibrated_transactions)
    period = sum(durations) / len(durations) + int(settings["pause_ns"])
    return [{**settings, "calibrated_tx_per_6min": 6 * MINUTE / period, "cycle_s": period / SECOND}]


def forks(loaded: LoadedSimulation) -> Row:
    """Blocks per administrator, how many were empty, and blocks that a ledger keeper had to refuse."""
    collector = loaded.collector
    administrators = loaded.simulation.network.params.topology.administrators
    tries = sum(node.miner.total_tries for node in loaded.simulation.nodes if node.miner)
    return {
        "blocks": collector.decided / administrators,
        "empty_share": collector.empty / max(collector.decided, 1),
        "refused_blocks": collector.dropped.get("previous", 0),
        "stale_blocks": len(collector.stale),
        "reorganisations": collector.reorganisations.total(),
        "deepest_reorganisation": max(collector.reorganisations, default=0),
        "tries_per_block": tries * administrators / max(collector.decided, 1),
    }
