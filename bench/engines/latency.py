"""Engine `stall`: the whole framework simulated, with processors taken away in mid-run, measured in two ways.

*Open loop*: requests come at a steady rate, latency counts from the intended instant.  *Closed loop*, as load testers
often have it: users share that rate, but each waits for an answer before asking again, and latency counts from then.
Unit costs are fixed examples and records are the suite's own, so the seed alone determines what comes out.
"""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from bench.engines.base import Context
from bench.engines.load import Flow, LoadedSimulation
from bench.engines.simulate import chain_params, link_model, saturate
from bench.experiments.base import Case, Row
from bench.experiments.latency_figures import CLOSED, OPEN
from bench.measure.latency import (
    STAGES,
    Sample,
    build_columns,
    compute_curve,
    compute_latencies,
    compute_latency,
    write_hgrm,
)
from bench.measure.openloop import constant
from bench.workload import vital_signs
from ehrcore.drive.cost import EXAMPLE
from ehrcore.drive.sim import SimSetup
from ehrcore.network import found_network
from ehrcore.params import Topology
from ehrcore.types import SECOND

#: Transactions of the closed loop that finds the saturated rate, and intervals in the course of latency.
_SATURATED: Final = 300
_INTERVALS: Final = 70


def run_stall(context: Context, case: Case) -> list[Row]:
    """One network measured in both ways: rows of kind ``summary``, ``curve`` and ``course``, each with its method.

    Settings: ``stall`` (its name), the ``role`` whose nodes stall ('' for none) and how many of them, ``stalled``.
    """
    plan = context.scenario.latency
    rate = saturate(_found(context), 10 * plan.users, _SATURATED)["tx_per_s"] * plan.load_share
    duration = round(plan.requests * SECOND / rate)
    given = {"per_s": rate, "users": plan.users, "stall_from_s": duration / 2 / SECOND, "stall_s": plan.stall_s}
    rows: list[Row] = []
    for method in (OPEN, CLOSED):
        loaded = _found(context)
        nodes = [node.name for node in loaded.simulation.nodes if node.role.value == case.settings["role"]]
        for name in nodes[: case.settings["stalled"]]:
            loaded.simulation.stall(duration // 2, name, round(plan.stall_s * SECOND))
        if method == OPEN:
            loaded.offer(constant(rate), plan.requests)
            samples = loaded.collector.requested[: plan.requests]
        else:
            samples = _ask(context, loaded, rate, duration)
        kept = context.folder / "latency" / f"latency-{case.label}-{method.split()[0]}.hgrm"
        rows += [
            {"stall": case.settings["stall"], "method": method, **(given if row["kind"] == "summary" else {}), **row}
            for row in _describe(samples, loaded.simulation.kernel.now, round(plan.timeout_s * SECOND), kept)
        ]
    return rows


def _found(context: Context) -> LoadedSimulation:
    """The same network each time."""
    scenario = context.scenario
    label, workload = f"{scenario.seed}|latency", scenario.workload
    network = found_network(chain_params("latency", Topology(*scenario.latency.topology)), "modelled", label)
    records = vital_signs(workload.sensor_patients, workload.sensor_readings, workload.seed).records
    return LoadedSimulation(network, SimSetup(label, EXAMPLE, link_model(context)), records)


def _ask(context: Context, loaded: LoadedSimulation, rate: float, duration: int) -> list[Flow]:
    """The closed loop: what users asked in ``duration`` (ns), once it is settled or timed out."""
    plan, kernel = context.scenario.latency, loaded.simulation.kernel
    loaded.close_loop(plan.users, round(plan.users * SECOND / rate))
    loaded.simulation.run(duration)
    asked = list(loaded.collector.requested)
    while kernel.now < duration + plan.timeout_s * SECOND and any(flow.everyone is None for flow in asked):
        loaded.simulation.run(kernel.now + SECOND // 100)
    return asked


def _describe(samples: Sequence[Sample], ended_at: int, timeout_ns: int, kept: Path) -> list[Row]:
    """A summary, the percentile curve of each stage, and the course of the latency to a quorum, kept as a file too."""
    rows: list[Row] = [{"kind": "summary", **build_columns(samples, ended_at, timeout_ns)}]
    for stage in STAGES:
        latencies = compute_latencies(samples, stage, ended_at, timeout_ns)
        curve = compute_curve(latencies)
        rows += [
            {"kind": "curve", "stage": stage, "share": share, "inverse": 1 / (1 - share) if share < 1 else len(samples),
             "latency_ms": ns / 1e6}
            for share, ns, _ in curve
        ]  # fmt: skip
        if stage == "quorum" and rows[0]["latency_status"] == "ok":
            write_hgrm(kept, latencies)
    width = max(samples[-1].intended // _INTERVALS, 1)
    for _, group in groupby(samples, lambda sample: min(sample.intended // width, _INTERVALS - 1)):
        found = [(compute_latency(sample, "quorum", ended_at, timeout_ns).ns, sample.intended) for sample in group]
        longest, at = max(found)
        rows.append({"kind": "course", "at_s": at / SECOND, "requests": len(found), "latency_ms": longest / 1e6})
    return rows
