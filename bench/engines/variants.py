"""Engine `variant`: one consensus rule with one hash suite, and what else a factorial design or a table varies.

Settings that a case does not give are the scenario's: ``curve``, ``block_transactions``, ``topology``, ``blocks``.
"""

from bench.engines.base import Context
from bench.engines.simulate import add_energy, chain_params, forks, load_network, offer, saturate
from bench.experiments.base import Case, Row
from ehrcore.params import ChainParams, Limits, Topology, WorkRule

#: The paper's 30,720 bytes for 15 transactions: where a block holds more of them, it holds as many more bytes.
_BYTES_PER_TRANSACTION = 2_048


def build_params(context: Context, case: Case) -> ChainParams:
    """The chain that a case's settings describe; `ParameterError` for a rule that there is not."""
    settings = case.settings
    limits = Limits()
    if (size := int(settings.get("block_transactions", limits.max_transactions))) != limits.max_transactions:
        limits = Limits(max_transactions=size, max_block_bytes=_BYTES_PER_TRANSACTION * size)
    return chain_params(
        "variants",
        Topology(*settings.get("topology", context.scenario.variants.topology)),
        consensus=settings["rule"],
        hash_suite=settings["suite"],
        curve=settings.get("curve", context.scenario.curve),
        work=WorkRule(
            difficulty=1 << int(settings["difficulty_bits"] or 0), confirmations=int(settings["confirmations"] or 0)
        ),
        limits=limits,
    )


def run_variant(context: Context, case: Case) -> list[Row]:
    """Saturated throughput; latency, CPU and energy at the offered load."""
    plan, settings = context.scenario.variants, case.settings
    params = build_params(context, case)
    # One seed and one calibration for all variants of a repeat: they meet the same arrivals, jitter and unit costs, and
    # can be paired.  The control has the second measurement of each unit cost, and is else the same.
    seed = f"repeat {settings['repeat']}"
    calibration = context.calibrate(seed)
    costs = calibration.control if settings.get("is_control") else calibration.find(params.hash_suite, params.curve)
    row: Row = {**settings, "library": calibration.library(params.curve)}
    size = params.limits.max_transactions
    # A whole number of full blocks where the case says so: part of one would wait for the load after it.
    count = int(settings["blocks"]) * size if "blocks" in settings else plan.transactions
    users = 2 * size if "blocks" in settings else plan.outstanding
    # What waits for confirmations is under way besides, or it would be the load that proof of work saturates.
    outstanding = users + params.work.confirmations * size
    full = load_network(context, params, seed=f"{seed}|saturated", costs=costs)
    saturated = saturate(full, outstanding, count, warm=users)
    row |= {"saturated_tx_per_s": saturated["tx_per_s"], "saturated_cpu_s_per_tx": saturated["cpu_s_per_tx"]}
    loaded = load_network(context, params, seed=f"{seed}|offered", costs=costs)
    # The first repeat stands for the others, and cells of a design for themselves: hundreds of files would say no more.
    point = "" if settings["repeat"] or "blocks" in settings else f"variants-{case.label}"
    count = max(count, 3 * size)
    row |= offer(context, loaded, plan.offered_per_second, count, f"{context.scenario.seed}|{seed}", point)
    row["is_overloaded"] = row["saturated_tx_per_s"] < plan.offered_per_second
    row |= forks(loaded)
    row |= {"grind_ns": costs.grind_ns, "administrators": params.topology.administrators}
    row["tx_per_block"] = loaded.collector.finished / max(row["blocks"] * (1 - row["empty_share"]), 1)
    add_energy(context, row)
    _add_idle(context, params, row)
    return [row]


def _add_idle(context: Context, params: ChainParams, row: Row) -> None:
    """What all nodes draw while they do nothing, per transaction at the offered load or, if less, at saturation."""
    watts, topology = context.scenario.energy.idle_watts_per_node, params.topology
    nodes = topology.nodes - topology.visitors  # a visitor's machine is there for other things
    row["nodes"] = nodes
    committed_per_s = min(row["offered_per_s"], row["saturated_tx_per_s"])
    row["idle_j_per_tx"] = None if watts is None else watts * nodes / committed_per_s


def run_signing_costs(context: Context, case: Case) -> list[Row]:
    """Unit costs of a repeat's signatures: a row per curve and library, and which of them stands for the curve."""
    calibration = context.calibrate(f"repeat {case.settings['repeat']}")
    return [
        {
            **case.settings,
            "scheme": name,
            "sign_ns": sign_ns,
            "verify_ns": verify_ns,
            "is_used": calibration.library(name.partition("/")[0]) == name.partition("/")[2],
        }
        for name, (sign_ns, verify_ns) in calibration.signing.items()
    ]
