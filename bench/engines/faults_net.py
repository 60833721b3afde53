"""Engine `faults-net`: one cell of experiment `faults` on real nodes, under an open loop.

Latency and throughput are told from the generator's instants; the verdicts from the ledgers, once everybody is back,
everything that an agent has taken is settled, and the network has been stopped.
"""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.analysis.recovery import Course
from bench.engines.base import Context, judge_noise
from bench.engines.faults_rows import GRACE_NS, STEADY_NS, build_rows
from bench.errors import BenchError
from bench.experiments.base import Case, Row
from bench.measure.noise import NoiseWatch
from bench.net.audit import audit_ledgers, find_missing
from bench.net.faults import FaultInjector, Happened, find_targets, write_routes
from bench.net.network import MeasuredNetwork
from bench.net.relay import Relays
from bench.net.step import Finished, Played, plan_steady
from ehrcore.drive.net.client import Client, Told, ask_each
from ehrcore.drive.net.journal import Journal
from ehrcore.drive.net.plan import NetworkConfig
from ehrcore.errors import LedgerError
from ehrcore.faults.plan import Crash, FaultPlan
from ehrcore.types import MILLISECOND, SECOND, Role, node_id

#: How long what was taken may take to be settled once everybody is back: it is said again ever more rarely.
_PATIENCE_S: Final = 60.0
_NETWORK: Final = ("agents", "coordinators", "administrators", "contributors", "dissemination")
_TIMING: Final = ("max_wait_ms", "propose_timeout_ms", "vote_timeout_ms", "timeout_step_ms")


def run_faults_net(context: Context, case: Case) -> list[Row]:
    """One network: a row of kind ``cell`` with its verdicts, and rows of kind ``course`` with its throughput over time.

    Settings: see `bench.experiments.faults_cells.Cell`.  What others took too much of the machine for is void.
    """
    settings, plan = case.settings, context.scenario.faults
    faults, watch = msgspec.convert(settings["plan"], FaultPlan), NoiseWatch()
    with context.scratch() as scratch:
        network = _found(context, scratch / "network", case)
        with Relays(find_targets(faults, network.plan)) as relays:
            write_routes(network.folder, relays.ports)
            with network:
                step = plan_steady(
                    f"{context.scenario.seed}|{case.label}", plan.per_second, plan.seconds, plan.settle_s
                )
                absent = [crash.node for crash in faults.of(Crash)]
                watch.lap()
                with FaultInjector(network, relays, faults, step.begin_at) as injector:
                    played = network.play(step, absent)
                noise = watch.lap()
                injector.restore()
                settling_s = await_settled(network)
                finished = network.stop()
        row = judge_ledgers(_ledgers(network), find_pending(network), finished)
    course = find_course(played, injector.happened, settings)
    row |= {"settling_s": settling_s, **_describe(injector.happened, course)}
    samples = [moment.to_sample() for moment in played.moments]
    rows = build_rows(context.scenario, case, samples, course, row)
    late = rows[0].get("latency_void")
    status = judge_noise(context.scenario, noise) or ({"status": "void", "reason": late} if late else {})
    return [{**settings, "engine": "real nodes", **status, **item} for item in rows]


def _found(context: Context, path: Path, case: Case) -> MeasuredNetwork:
    scenario, settings = context.scenario, case.settings
    if settings["stakes"]:
        raise BenchError(f"stakes of a real network: expected equal ones, found {settings['stakes']}")
    given = {name: settings[name] for name in _NETWORK} | {name: getattr(scenario.faults, name) for name in _TIMING}
    config = msgspec.convert({**given, "consensus": settings["rule"], "curve": scenario.curve}, NetworkConfig)
    records = context.workload.records[: scenario.net.records]
    return MeasuredNetwork(path, config, f"{scenario.seed}|faults|{case.label}", records)


def find_course(played: Played, happened: Sequence[Happened], settings: Mapping[str, Any]) -> Course:
    """When what was planned really happened; `BenchError` if the load began at another instant than the plan."""
    begin = played.since
    planned = settings["fault_ns"], settings["heal_ns"]
    done = [item.at for item in happened if item.at <= played.ended_at]
    fault = done[0] if done else begin + planned[0]
    heal = None if planned[1] is None else (done[-1] if len(done) > 1 else begin + planned[1])
    if abs(fault - begin - planned[0]) > GRACE_NS:
        late_ms = (fault - begin - planned[0]) / MILLISECOND
        raise BenchError(
            f"fault: expected it {planned[0] / SECOND:g} s after the load's begin, found it {late_ms:.0f} ms off"
        )
    return Course(begin, begin + STEADY_NS, fault, heal, played.until, played.ended_at, GRACE_NS)


def _describe(happened: Sequence[Happened], course: Course) -> Row:
    """What was done when, as one line."""
    done = (f"{(item.at - course.begin) / SECOND:.3f} s {item.what} {' '.join(item.nodes)}" for item in happened)
    return {"happened": "; ".join(done)}


def await_settled(network: MeasuredNetwork) -> float | None:
    """Wait until no agent waits for anything and all ledgers are of one height: how long that took (s), None if not.

    Nobody tells of it, so it has to be asked for.
    """
    roles = network.plan.roles()
    names = [name for name, role in roles.items() if role in {Role.AGENT, Role.CONTRIBUTOR}]

    async def ask() -> Told:
        async with Client(network.folder, network.plan) as client:
            return await ask_each([*names, node_id(Role.COORDINATOR, 0)], client.status)

    begin = time.monotonic()
    while time.monotonic() < begin + _PATIENCE_S:
        told = asyncio.run(ask())
        heights = {status.height for status in told.answers.values()}
        if not told.silent and len(heights) == 1 and not any(status.waiting for status in told.answers.values()):
            return time.monotonic() - begin
        time.sleep(0.1)  # heights have to be asked for: nobody tells of them
    return None


def _ledgers(network: MeasuredNetwork) -> list[Path]:
    keepers = (*network.contributors(), node_id(Role.COORDINATOR, 0))
    return [network.folder.node(name) / "ledger.sqlite" for name in keepers]


def find_pending(network: MeasuredNetwork) -> set[str]:
    """What agents keep because they have not seen it in a block (ids in hex); the network is stopped."""
    pending = set[str]()
    for name, role in network.plan.roles().items():
        if role is Role.AGENT:
            path = network.folder.node(name) / "journal.sqlite"
            with closing(Journal.open(path, bytes.fromhex(network.plan.chain), name)) as journal:
                pending |= {tx_id.hex() for tx_id in journal.pending()}
    return pending


def judge_ledgers(ledgers: Sequence[Path], pending: Collection[str], finished: Finished) -> Row:
    """What was taken, what of it still waits or is lost, and whether the ledgers are one chain that verifies.

    Taken is what an agent has answered for, so a receipt for anything else is a bug of ours (`BenchError`).
    """
    taken, acknowledged = set(finished.taken), set(finished.acknowledged)
    if not acknowledged <= taken:
        others = len(acknowledged - taken)
        raise BenchError(f"receipts: expected them for what agents have taken, found {others} others")
    missing = find_missing(ledgers, taken)
    row: Row = {"safety": "held", "violation": "", "taken": len(taken)}
    row |= {"waiting": len(missing), "lost": len(missing.difference(pending))}
    try:
        audit_ledgers(ledgers, Finished([], [*finished.submitted, *finished.acknowledged]))
    except (BenchError, LedgerError) as error:
        row |= {"safety": "violated: ledgers", "violation": str(error)}
    return row
