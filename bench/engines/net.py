"""Engines over real networks: a process per node, HTTP, real signatures and disks.

Each case founds, starts, loads, stops and audits a network of its own.  Rows of kind ``process`` hold what each process
did a second during a step; the others what the step came to.
"""

import csv
import gzip
import io
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.engines.base import Context
from bench.experiments.base import Case, Row
from bench.files import write_atomic
from bench.measure.environment import count_cores
from bench.net.measurement import measure_network
from bench.net.step import Moment
from ehrcore.params import Limits
from ehrcore.types import SECOND

#: Columns of the instants that are kept of each transaction, in microseconds from the step's begin.
_INSTANTS: Final = ("intended", "sent", "first", "quorum", "everyone", "refused")


def run_ladder(context: Context, case: Case) -> list[Row]:
    """Experiment ``load``: one network saturated, then taken up the ladder of offered loads, round after round.

    Settings: the number of nodes by role, ``network`` (its number), ``rates_per_s`` (the rungs; None for the
    scenario's shares of what the closed loop commits).  Rows of kind ``saturated``, ``process`` and ``rung``; every
    transaction's instants are kept in ``load/<case>.csv.gz``.
    """
    plan, settings = context.scenario.load, case.settings
    kept: list[tuple[str, int, Sequence[Moment]]] = []
    with measure_network(context, case.label, settings) as network:
        saturated, *processes = network.saturate()
        kept.append(("saturated", network.played.since, network.played.moments))
        rows: list[Row] = [{"kind": "saturated", **saturated}, *processes]
        rates = settings["rates_per_s"] or [share * need_rate(saturated) for share in plan.shares]
        for number in range(plan.rounds):
            order = list(zip(plan.shares, rates, strict=True))
            random.Random(f"{context.scenario.seed}|{case.label}|{number}").shuffle(order)
            for share, rate in order:
                label = f"{case.label}|{number}|{share}"
                is_first = share == plan.shares[0]
                seconds = max(plan.seconds, plan.first_tx / rate if is_first else 0.0)
                # Without its lowest rung a ladder says nothing of a network that keeps up there alone.
                found = network.offer(label, rate, seconds, plan.arrivals, attempts=None if is_first else 1)[0]
                if found["latency_status"] == "void":
                    found = {"status": "void", "reason": found["latency_reason"], **found}
                rows.append({"kind": "rung", "round": number, "share": share, "rate_per_s": rate, **found})
                kept.append((f"{share}, round {number}", network.played.since, network.played.moments))
    rows[0]["audited_tx"] = network.audited_tx
    rows += network.voided
    _keep_instants(context.folder / "load" / f"{case.label}.csv.gz", kept)
    return [{**settings, **row} for row in rows]


def need_rate(row: Row) -> float:
    """What a step has committed a second; `TimeoutError` if nothing."""
    rate: float | None = row["committed_per_s"]
    if rate is None:
        raise TimeoutError("expected transactions in the ledgers of all contributors, found none that came in time")
    return rate


def _keep_instants(path: Path, steps: Sequence[tuple[str, int, Sequence[Moment]]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("step", *(f"{name}_us" for name in _INSTANTS), "verdict"))
    for label, since, moments in steps:
        for moment in moments:
            instants = (getattr(moment, name) for name in _INSTANTS)
            writer.writerow((label, *(at and (at - since) // 1_000 for at in instants), moment.verdict))
    write_atomic(path, gzip.compress(text.getvalue().encode(), mtime=0))


def run_configuration_net(context: Context, case: Case) -> list[Row]:
    """One row of Table 1 over a real network: saturated, and its latency under the share of that which sim has too."""
    plan, settings = context.scenario, case.settings
    with measure_network(context, case.label, settings) as network:
        full = network.saturate()[0]
        loaded = network.offer(case.label, need_rate(full) * plan.table1.load_share, plan.net.latency_s)[0]
    row = full | {key: value for key, value in loaded.items() if key.startswith("late")}
    row |= {**_worst(full, loaded), "audited_tx": network.audited_tx}
    return [{**settings, **item} for item in (row, *network.voided)]


def run_variant_net(context: Context, case: Case) -> list[Row]:
    """One consensus rule with one hash suite over a real network: saturated, and at the load that sim is offered, too.

    Latency, processor time and energy are those at that load, at which a block may wait as long as it takes to fill.
    """
    plan, settings = context.scenario.variants, case.settings
    fill_s = 2 * Limits().max_transactions / plan.offered_per_second
    variant = {
        "consensus": settings["rule"],
        "hash_suite": settings["suite"],
        "difficulty_bits": settings["difficulty_bits"] or 0,
        "confirmations": settings["confirmations"] or 0,
        "max_wait_ms": round(1_000 * fill_s),
    }
    names = ("agents", "coordinators", "administrators", "contributors")
    tries = 1 << settings["difficulty_bits"] if settings["difficulty_bits"] else 0
    block_s = tries * context.calibration.control.grind_ns / count_cores() / SECOND
    with measure_network(context, case.label, dict(zip(names, plan.topology, strict=True)), **variant) as network:
        full = network.saturate(block_s, variant["confirmations"])[0]
        loaded = network.offer(case.label, plan.offered_per_second, context.scenario.net.latency_s)[0]
    row = loaded | {"saturated_tx_per_s": full["committed_per_s"], "bottleneck_saturated": full["bottleneck"]}
    row |= {**_worst(full, loaded), "audited_tx": network.audited_tx}
    return [{**settings, **item} for item in (row, *network.voided)]


def run_policy_net(context: Context, case: Case) -> list[Row]:
    """A real network that asks so many of its agents or coordinators, and a majority of the others, saturated."""
    who, asked = case.settings["who"], case.settings["asked"]
    counts = msgspec.structs.asdict(context.scenario.policy.topology(who))
    policy = {"agents": "endorsements", "coordinators": "approvals"}[who]
    with measure_network(context, case.label, counts, **{policy: asked}) as network:
        row = network.saturate()[0]
    row |= {"kind": "net", "of": counts[who], "cpu_ms_per_tx": row["cpu_s_per_tx"] * 1e3}
    return [{**case.settings, **item} for item in (row | {"audited_tx": network.audited_tx}, *network.voided)]


def _worst(*rows: Row) -> Row:
    """Status and reason of the first that is void."""
    return next(({key: row[key] for key in ("status", "reason")} for row in rows if row.get("status") == "void"), {})
