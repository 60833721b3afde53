"""Engine `faults`: one cell of experiment `faults` in the simulator, under an open loop, with every invariant watched.

Unit costs are fixed examples and records are the suite's own, so the seed alone determines what comes out.  As on real
nodes, everybody comes back after the measurement, and what an agent has taken has to be in every ledger then.  As
there, too, what visitors send to an agent that is down reaches it once it is up: their links send again what nobody
has answered for.
"""

from collections import defaultdict
from functools import partial
from itertools import takewhile
from typing import Final

import msgspec

from bench.analysis.recovery import Course
from bench.engines.base import Context
from bench.engines.faults_rows import GRACE_NS, STEADY_NS, build_rows
from bench.engines.load import LoadedSimulation
from bench.engines.simulate import chain_params, link_model, topology_of
from bench.experiments.base import Case, Row
from bench.measure.latency import Sample
from bench.measure.openloop import constant
from bench.workload import vital_signs
from ehrcore.drive.cost import EXAMPLE
from ehrcore.drive.sim import SimSetup
from ehrcore.effects import Effect, Observed, ObservedKind, Received, Send
from ehrcore.faults.driver import FaultySimulation
from ehrcore.faults.invariants import Invariants
from ehrcore.faults.mutants import MUTANTS
from ehrcore.faults.plan import Crash, FaultPlan
from ehrcore.faults.search import run_control
from ehrcore.faults.weights import InvariantError
from ehrcore.identity import Reason
from ehrcore.messages import Endorse, Submit
from ehrcore.network import Network, found_network
from ehrcore.params import ConsensusRule, Dissemination, Limits, StakeRule
from ehrcore.types import MILLISECOND, SECOND, Role

#: How long what was taken may take to be settled once everybody is back, and how often that is looked at (ns).
_PATIENCE_NS: Final = 60 * SECOND
_LOOK_NS: Final = SECOND // 4


class Watch:
    """What every effect is held against, and who has taken or keeps which transaction."""

    def __init__(self, network: Network, faults: FaultPlan) -> None:
        self.invariants, self._crypto = Invariants(network, faults.faulty), network.crypto("visitor-0")
        keepers = [name for name, role in network.roles.items() if role is Role.CONTRIBUTOR]
        self.kept: dict[str, set[bytes]] = {name: set() for name in keepers}
        self.taken: set[bytes] = set()
        self._down: dict[str, list[Crash]] = defaultdict(list)
        for crash in faults.of(Crash):
            self._down[crash.node].append(crash)
        self.simulation: FaultySimulation

    def saw(self, now: int, node: str, effect: Effect) -> None:
        """One effect of ``node`` at ``now``; `InvariantError` if that cannot be."""
        match effect:
            case Observed(kind=ObservedKind.COMMITTED, subjects=subjects) if node in self.kept:
                self.kept[node].update(subjects)
            case Send(message=Endorse(reason=Reason.ACCEPTED) as endorse):
                self.taken.add(self._crypto.hash_struct(endorse.transaction.body))
            case Send(to=to, message=Submit() as submit):
                self._send_again(now, node, to, submit)
            case _:
                pass
        self.invariants.saw(now, node, effect)

    def _send_again(self, now: int, sender: str, to: tuple[str, ...], submit: Submit) -> None:
        for crash in (crash for agent in to for crash in self._down[agent]):
            if crash.restart_ns is not None and crash.at_ns <= now < crash.restart_ns:
                self.simulation.inject(crash.restart_ns, crash.node, Received(sender, submit))

    @property
    def waiting(self) -> set[bytes]:
        """What was taken and some contributor's ledger lacks."""
        return self.taken - set[bytes].intersection(*self.kept.values())

    def count_lost(self) -> int:
        """How much of that no agent keeps any more."""
        agents = [name for name, role in self.simulation.network.roles.items() if role is Role.AGENT]
        return len(self.waiting.difference(*(self.simulation.log_of(name).pending for name in agents)))


def run_faults(context: Context, case: Case) -> list[Row]:
    """A row of kind ``cell`` with its verdicts, a check, and rows of kind ``course`` with its throughput over time.

    Settings: see `bench.experiments.faults_cells.Cell`.
    """
    plan, settings = context.scenario.faults, case.settings
    loaded, watch = _found(context, case)
    row: Row = {"safety": "held", "violation": "", "settling_s": None}
    ends = round(plan.seconds * SECOND), round((plan.seconds + plan.settle_s) * SECOND)
    try:
        row["settling_s"] = _run(loaded, watch, plan.per_second, *ends)
    except InvariantError as error:
        row |= {"safety": f"violated: {error.rule}", "violation": str(error)}
    heal = settings["heal_ns"]
    course = Course(
        0, STEADY_NS, settings["fault_ns"], heal, ends[0], min(loaded.simulation.kernel.now, ends[1]), GRACE_NS
    )
    samples = [_cut_off(flow, course.watched) for flow in loaded.collector.requested]
    row |= {"taken": len(watch.taken), "lost": watch.count_lost(), "waiting": len(watch.waiting)}
    row["trace_digest"] = loaded.simulation.trace_digest()
    rows = build_rows(context.scenario, case, samples, course, row)
    return [{**settings, "engine": "simulated", **item} for item in rows]


def _found(context: Context, case: Case) -> tuple[LoadedSimulation, Watch]:
    scenario, settings = context.scenario, case.settings
    plan, workload, label = scenario.faults, scenario.workload, f"{scenario.seed}|faults|{case.label}"
    stake = StakeRule(
        *(MILLISECOND * part for part in (plan.propose_timeout_ms, plan.vote_timeout_ms, plan.timeout_step_ms))
    )
    params = chain_params(
        "faults", topology_of(settings), consensus=ConsensusRule(settings["rule"]), stake=stake,
        dissemination=Dissemination(settings["dissemination"]),
        limits=Limits(max_wait_ns=plan.max_wait_ms * MILLISECOND),
    )  # fmt: skip
    network = found_network(params, "modelled", label, settings["stakes"])
    faults = msgspec.convert(settings["plan"], FaultPlan)
    watch = Watch(network, faults)
    records = vital_signs(workload.sensor_patients, workload.sensor_readings, workload.seed).records
    kind = partial(FaultySimulation, plan=faults, watch=watch.saw)
    loaded = LoadedSimulation(network, SimSetup(label, EXAMPLE, link_model(context)), records, kind=kind)
    watch.simulation = loaded.simulation  # type: ignore[assignment]  # of that kind
    return loaded, watch


def _run(loaded: LoadedSimulation, watch: Watch, per_s: float, load_ends: int, watch_ends: int) -> float | None:
    """Offer the load, wait as long as somebody measures, and then until all is settled: how long that took (s).

    None if it never was.  `InvariantError` for what is broken on the way or at the end.
    """
    simulation = loaded.simulation
    for at in takewhile(lambda at: at < load_ends, constant(per_s)):
        loaded.request(at)
    simulation.run(watch_ends)
    while simulation.kernel.now < watch_ends + _PATIENCE_NS:
        if not watch.waiting:
            simulation.run(simulation.kernel.now + SECOND)  # whatever is still said is heard
            watch.invariants.finish()
            return (simulation.kernel.now - SECOND - watch_ends) / SECOND
        simulation.run(simulation.kernel.now + _LOOK_NS)
    return None


def _cut_off(sample: Sample, watched: int) -> Sample:
    """What somebody has seen who stopped looking at ``watched``."""
    instants = (sample.first, sample.quorum, sample.everyone)
    first, quorum, everyone = (at if at is not None and at <= watched else None for at in instants)
    return Sample(sample.intended, sample.sent, first, quorum, everyone)


def run_fault_control(context: Context, case: Case) -> list[Row]:
    """A negative control: the invariants have to catch what is planted, and nothing under the same schedule without it.

    Settings: the ``mutant``'s name.
    """
    del context
    mutant, control = MUTANTS[case.settings["mutant"]], run_control(case.settings["mutant"])
    found = {"found": control.rule, "schedule": control.label, "holds": control.is_caught}
    what = {"planted": mutant.text, "expected": " or ".join(mutant.rules)}
    return [{"kind": "check", "check": f"negative control {control.name} is caught", **case.settings, **what, **found}]
