"""Engines of experiment `policy`: the framework in virtual time while fewer nodes are asked, fail, or look away.

Coordinators approve at the m-th endorsement and administrators take the q-th approval; what comes later is dropped
before its signature is verified.  All agents and coordinators answer whatever m and q are: no message is saved.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import msgspec

from bench.engines.base import Context
from bench.engines.load import Collector, LoadedSimulation
from bench.engines.simulate import chain_params, link_model, load_network, offer, saturate
from bench.engines.snapshot import compare_snapshots, take_snapshot
from bench.experiments.base import Case, Row
from bench.experiments.policy_plan import DEFENCES
from ehrcore import state
from ehrcore.drive.cost import CostModel, HostModel
from ehrcore.drive.sim import SimSetup, Simulation
from ehrcore.effects import Effects, Event, RoleMachine, Send
from ehrcore.faults.driver import FaultySimulation
from ehrcore.faults.mutants import Mutant, Patch, planted
from ehrcore.faults.plan import Crash, Fault, FaultPlan, Slow
from ehrcore.identity import Reason
from ehrcore.messages import Endorse
from ehrcore.network import found_network
from ehrcore.params import ChainParams
from ehrcore.records import RecordKind
from ehrcore.roles import Agent, agent, coordinator
from ehrcore.types import MILLISECOND, SECOND, Role, node_id

_SUITE: Final = "sha256"
#: Two full blocks, for which nothing has to wait, and how long (virtual) they are waited for where nodes have crashed.
_BATCH: Final = 30
_PATIENCE_NS: Final = 20 * SECOND
#: How columns of use begin.
_USE: Final = ("cpu", "messages", "bytes")
_ROLES: Final = {"agents": Role.AGENT, "coordinators": Role.COORDINATOR}


def build_params(context: Context, who: str, asked: int) -> ChainParams:
    """The network of ``who`` with so many of them asked, and a majority of the other kind."""
    field = {"agents": "endorsements", "coordinators": "approvals"}[who]
    params = chain_params("policy", context.scenario.policy.topology(who), curve=context.scenario.curve)
    return msgspec.structs.replace(params, **{field: asked})


def run_policy(context: Context, case: Case) -> list[Row]:
    """A row for each number of ``who`` that is asked, all of them first and once more as the A/A control.

    All rows of a repeat meet the same arrivals, jitter and unit costs; the control has the second measurement of those.
    """
    plan, who, repeat = context.scenario.policy, case.settings["who"], case.settings["repeat"]
    calibration = context.calibrate(f"repeat {repeat}")
    costs = calibration.find(_SUITE, context.scenario.curve)
    levels = plan.levels(who)
    cells = [(levels[0], False), (levels[0], True), *((asked, False) for asked in levels[1:])]
    rate, rows = 0.0, list[Row]()
    for asked, is_control in cells:
        params, price = build_params(context, who, asked), calibration.control if is_control else costs
        found = partial(load_network, context, params, seed=f"{who}|{repeat}", costs=price)
        row = {**case.settings, "kind": "policy", "asked": asked, "of": levels[0], "is_control": is_control}
        row |= saturate(found(), plan.outstanding, plan.transactions)
        row |= _count_use(found(), _BATCH)[0]
        shared = found(host=HostModel(is_shared=True, cores=context.scenario.table1.shared_cores))
        row["shared_tx_per_s"] = saturate(shared, plan.outstanding, plan.transactions)["tx_per_s"]
        rate = rate or row["tx_per_s"] * plan.load_share
        label = f"{context.scenario.seed}|{who}|{repeat}"
        count = max(plan.transactions, 3 * params.limits.max_transactions)  # use is counted between blocks
        under_load = offer(context, found(), rate, count, label, "")
        rows.append(row | {key: value for key, value in under_load.items() if key.startswith(("late", "offered"))})
    return rows


def run_failures(context: Context, case: Case) -> list[Row]:
    """What becomes of each number asked where one node is slow, where as many crash as it stands, and one more."""
    who = case.settings["who"]
    levels = context.scenario.policy.levels(who)
    rows = []
    for asked in levels:
        params = build_params(context, who, asked)
        names = [node_id(_ROLES[who], number) for number in range(levels[0])]
        slow = Slow(names[-1], 0, 1 << 60, context.scenario.policy.slow_factor)
        crashes = [Crash(name, 0) for name in names]
        stands = levels[0] - asked
        for failure, faults, is_live in (
            ("none", (), True),
            ("one slow", (slow,), True),
            *(((f"{stands} down", crashes[:stands], True),) if stands else ()),
            (f"{stands + 1} down", crashes[: stands + 1], False),
        ):
            row = {**case.settings, "kind": "failure", "asked": asked, "of": levels[0], "failure": failure}
            row |= _fail(context, params, faults, is_down="down" in failure)
            rows.append(row | {"expected": _BATCH if is_live else 0})
    return rows


def _fail(context: Context, params: ChainParams, faults: Sequence[Fault], *, is_down: bool) -> Row:
    """How many of a batch are committed in time; and, if nobody is down, the saturated throughput."""
    plan, costs = context.scenario.policy, context.calibrate("repeat 0").find(_SUITE, context.scenario.curve)
    label = f"{context.scenario.seed}|policy|failures"
    network = found_network(params, "modelled", label)
    kind = partial(FaultySimulation, plan=FaultPlan(tuple(faults)))

    def found() -> LoadedSimulation:
        setup = SimSetup(label, costs, link_model(context))
        return LoadedSimulation(network, setup, context.workload.records, kind=kind)

    loaded = found()
    for number in range(_BATCH):
        loaded.request(number * MILLISECOND)
    loaded.simulation.run(_PATIENCE_NS)
    row: Row = {"offered": _BATCH, "committed": loaded.collector.finished, "tx_per_s": None}
    if not is_down:
        row["tx_per_s"] = saturate(found(), plan.outstanding, plan.transactions)["tx_per_s"]
    return row


# -- who finds a bad transaction -------------------------------------------------------------------------------------


def _accept(*_: Any) -> Reason:
    return Reason.ACCEPTED


class _Silent(Agent):
    """An agent that tells the author alone what it rejects."""

    def handle(self, event: Event, now: int) -> Effects:
        """See `Agent.handle`."""
        return tuple(effect for effect in super().handle(event, now) if not _is_rejection(effect))


def _is_rejection(effect: object) -> bool:
    message = effect.message if isinstance(effect, Send) else None
    return isinstance(message, Endorse) and message.reason is not Reason.ACCEPTED


class _Quiet(Simulation):
    def _machine(self, name: str, crypto: Any) -> RoleMachine:
        if self.network.roles[name] is Role.AGENT:
            return _Silent(self.network.context(name, crypto))
        return super()._machine(name, crypto)


_BLIND_AGENTS: Final[tuple[Patch, ...]] = ((agent, "check_transaction", _accept),)
_BLIND: Final[tuple[Patch, ...]] = (*_BLIND_AGENTS, (coordinator, "check_transaction", _accept))
_NO_SECOND: Final[tuple[Patch, ...]] = (
    *_BLIND, (state, "check_transaction", _accept), (state, "check_endorsed", _accept),
)  # fmt: skip
#: Who looks first -> what of the framework is taken out, and which simulator has what is left.
_DEFENCES: Final = dict(
    zip(
        DEFENCES,
        (((), Simulation), ((), _Quiet), (_BLIND_AGENTS, Simulation), (_BLIND, Simulation), (_NO_SECOND, Simulation)),
        strict=True,
    )
)


def run_rejection(context: Context, case: Case) -> list[Row]:
    """What a good and a bad transaction take of each role, with all that come before ``defence`` looking away.

    Bad ones are signed by a member that may not write their kind.  A batch of good ones is priced alone, and then
    with as many bad ones between them: the difference is theirs.
    """
    patches, kind = _DEFENCES[case.settings["defence"]]
    with planted(Mutant("", (), patches)):
        good, both = (_play(context, kind, is_mixed=is_mixed) for is_mixed in (False, True))
    row: Row = {**case.settings, "kind": "rejection", "is_in_ledger": both["reached"] > _BATCH}
    row |= {"valid": both["receipts"] - both["invalid"], "invalid": both["invalid"]}
    row |= {f"good_{key}": value for key, value in good.items() if key.startswith(_USE)}
    return [row | {f"bad_{key}": both[key] - good[key] for key in good if key.startswith(_USE)}]


def _play(context: Context, kind: type[Simulation], *, is_mixed: bool) -> Row:
    """Use per good transaction until everything is at rest."""
    topology = msgspec.structs.replace(context.scenario.policy.topology("agents"), visitors=2)
    params = chain_params("policy", topology, curve=context.scenario.curve)
    label = f"{context.scenario.seed}|policy|rejection"
    network = found_network(params, "modelled", label, rights={node_id(Role.VISITOR, 0): (RecordKind.SENSOR,)})
    sensed = [record for record in context.workload.records if record.kind is RecordKind.SENSOR]
    # The same content under a kind that the first visitor has no right to: nothing else tells them apart.
    records = [each for record in sensed for each in (record, msgspec.structs.replace(record, kind=RecordKind.BILL))][
        :: 2 - is_mixed
    ]
    costs: CostModel = context.calibrate("repeat 0").find(_SUITE, context.scenario.curve)
    loaded = LoadedSimulation(network, SimSetup(label, costs, link_model(context)), records, kind=kind)
    use, found = _count_use(loaded, _BATCH * (1 + is_mixed), _BATCH)
    return use | {"reached": found.finished, "receipts": found.receipts, "invalid": found.invalid}


def _count_use(loaded: LoadedSimulation, count: int, good: int | None = None) -> tuple[Row, Collector]:
    """What ``count`` requests take until all is at rest, in all per ``good`` one (every one); what became of them.

    Nothing is under way at either end, as it would be between two blocks of a saturated network.
    """
    begin = take_snapshot(loaded)
    for number in range(count):
        loaded.request(number * MILLISECOND)
    loaded.simulation.run(SECOND * 3_600)
    found = compare_snapshots(loaded, begin, replace(take_snapshot(loaded), finished=good or count))
    return {key: value for key, value in found.items() if key.startswith(_USE)}, loaded.collector
