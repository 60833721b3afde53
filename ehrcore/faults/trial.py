"""One schedule, simulated under watch: what came of it, and every effect of it as a line.

Safety is asked after every effect (`ehrcore.faults.invariants`).  Liveness is asked after the last fault that heals:
within `LIVE_WITHIN_NS` of virtual time every honest administrator that is up decides new heights, none of them later
than `ROUND_LIMIT` rounds after the one it stood in; within `DONE_WITHIN_NS` every ledger that is up holds all that was
accepted.  Nodes whose final blocks proof of work has reversed are counted, and these two are not asked of them.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from ehrcore.drive.cost import EXAMPLE
from ehrcore.drive.sim import Node, SimSetup
from ehrcore.effects import Effect, Observed, Persist, PersistTip, Requested, Send, SetTimer
from ehrcore.faults.driver import FaultySimulation
from ehrcore.faults.invariants import Invariants
from ehrcore.faults.place import Place, Step
from ehrcore.faults.schedules import Schedule
from ehrcore.faults.weights import InvariantError
from ehrcore.faults.words import PREVOTE
from ehrcore.ledger import Ledger, MemoryLedger
from ehrcore.messages import Finalised, Mined, Missing, Propose, Vote
from ehrcore.network import Network
from ehrcore.params import ConsensusRule, family_of
from ehrcore.records import ClinicalRecord, RecordKind
from ehrcore.types import SECOND, Role

#: How long after the last fault has healed (ns) everyone has decided something new, and how long after it everything;
#: the slowest is a height in which a liar's votes start time-outs and a link is cut for good, which takes many rounds.
LIVE_WITHIN_NS: Final = 240 * SECOND
DONE_WITHIN_NS: Final = 1_200 * SECOND
#: How many rounds after the one that was on.
ROUND_LIMIT: Final = 16
#: How many of the last effects a verdict shows.
CONTEXT: Final = 12
_PROBE_NS: Final = SECOND


class Verdict(msgspec.Struct, frozen=True):
    """What came of one schedule; ``rule`` is the invariant that broke, "" if all held; ``heights`` were decided.

    ``reverted`` are nodes that hold other blocks final than most (proof of work alone), with the first such height;
    ``live_ns`` is how long after the last fault had healed all was decided, ``rounds`` the most that a height took
    after it; ``context`` are the last effects before the break.
    """

    seed: int
    digest: str
    heights: int
    rounds: int = 0
    live_ns: int = 0
    rule: str = ""
    detail: str = ""
    context: tuple[str, ...] = ()
    reverted: dict[str, int] = {}


Show = Callable[[str], None]


class _Watched(FaultySimulation):
    """What a crash lets become durable but not leave counts as said: the node's next process builds on it."""

    def _keep(self, node: Node, place: Place, step: Step) -> None:
        super()._keep(node, place, step)
        for effect in step.logged or ():
            self._watch(self.kernel.now, node.name, effect)


class Trial:
    """One schedule in one simulation under watch; ``show`` gets every effect as a line."""

    def __init__(self, schedule: Schedule, show: Show | None = None, overlooked: frozenset[str] = frozenset()) -> None:
        self.schedule, self._show = schedule, show
        self.network: Network = schedule.network()
        self.invariants = Invariants(self.network, schedule.plan.faulty, overlooked)
        self._last: deque[tuple[int, str, Effect]] = deque(maxlen=CONTEXT)
        keepers = [name for name, role in self.network.roles.items() if role is Role.CONTRIBUTOR]
        ledgers: dict[str, Ledger] = {name: MemoryLedger() for name in ("coordinator-0", *keepers)}
        setup = SimSetup(schedule.label, EXAMPLE, schedule.links)
        self.simulation = _Watched(self.network, setup, ledgers=ledgers, plan=schedule.plan, watch=self._saw)
        self._inject()
        administrators = [name for name, role in self.network.roles.items() if role is Role.ADMINISTRATOR]
        self._live = [name for name in administrators if name not in schedule.down | schedule.plan.faulty]
        self.live_ns = self.rounds = 0

    def _inject(self) -> None:
        pseudonym = self.network.authority.pseudonym("patient")
        for number, at in enumerate(self.schedule.load):
            record = ClinicalRecord(RecordKind.SENSOR, "patient", "Observation", f"/r/{number}", b"%d" % number)
            self.simulation.inject(at, "visitor-0", Requested(record, pseudonym))

    def _saw(self, now: int, node: str, effect: Effect) -> None:
        if isinstance(effect, SetTimer):
            return
        self._last.append((now, node, effect))
        if self._show is not None and (line := describe(now, node, effect)):
            self._show(line)
        self.invariants.saw(now, node, effect)

    def run(self) -> None:
        """To the end, or to `InvariantError`."""
        healed, invariants = self.schedule.healed_ns, self.invariants
        self.simulation.run(healed)
        if not self.schedule.is_tolerable:
            self.simulation.run(healed + LIVE_WITHIN_NS)
            return
        before = {name: invariants.height(name) for name in self._live}
        rounds = dict(invariants.rounds)
        loaded = max(self.schedule.load, default=0)
        now = healed
        while now < loaded or not self._is_done(before):
            now += _PROBE_NS
            late = now - max(loaded, healed)
            if late > DONE_WITHIN_NS or (late > LIVE_WITHIN_NS and not self._is_live(before)):
                self._complain(before, late)
            self.simulation.run(now)
        self.live_ns = now - healed
        self._check_rounds(rounds)
        invariants.finish(self.schedule.down)

    def _is_live(self, before: dict[str, int]) -> bool:
        reverted = self._reverted()
        return all(self.invariants.height(name) > last for name, last in before.items() if name not in reverted)

    def _reverted(self) -> dict[str, int]:
        return self.invariants.reverted(self.schedule.down)

    def _is_done(self, before: dict[str, int]) -> bool:
        # Proof of work goes on for the sake of confirmations, with nothing to order.
        heights = {self.invariants.height(name) for name in self._live}
        is_level = len(heights) <= 1 or family_of(self.schedule.rule) is ConsensusRule.PROOF_OF_WORK
        return is_level and self._is_live(before) and not self.invariants.waiting(self.schedule.down)

    def _complain(self, before: dict[str, int], late_ns: int) -> None:
        heights = ", ".join(f"{name} from {last} to {self.invariants.height(name)}" for name, last in before.items())
        waiting = len(self.invariants.waiting(self.schedule.down))
        reverted = ", ".join(f"{name} from {height}" for name, height in self._reverted().items())
        detail = f"{late_ns // SECOND} s after all had healed: {heights}; {waiting} transactions wait"
        detail += f"; reverted: {reverted}" * bool(reverted)
        raise InvariantError("liveness", detail, nodes=self._live)

    def _check_rounds(self, before: dict[int, int]) -> None:
        last = max(before, default=0)
        for height, round_ in self.invariants.decided_in.items():
            if height >= last:
                took = round_ - before.get(height, 0)
                self.rounds = max(self.rounds, took)
                if took > ROUND_LIMIT:
                    raise InvariantError("liveness", f"decided {took} rounds after all had healed", height, round_)

    def verdict(self, seed: int) -> Verdict:
        """Run; an invariant that breaks is a verdict, anything else that is raised is a bug."""
        rule, detail, context = "", "", tuple[str, ...]()
        try:
            self.run()
        except InvariantError as error:
            rule, detail = error.rule, str(error)
            context = tuple(filter(None, (describe(*seen) for seen in self._last)))
        # Not of the one chain, which proof of work does not have at every instant.
        heights = max(map(self.invariants.height, self._live), default=0)
        digest = self.simulation.trace_digest()
        return Verdict(seed, digest, heights, self.rounds, self.live_ns, rule, detail, context, self._reverted())


def describe(now: int, node: str, effect: Effect) -> str:
    """An effect as a line of a trace; "" for what tells nothing."""
    match effect:
        case Send(message=Vote(body=body, voter=voter)):
            step = "prevote" if body.step == PREVOTE else "precommit"
            relayed = "" if voter == node else f" of {voter}"
            what = f"{step}{relayed} for {body.block.hex()[:8] or 'none'} in {body.height}/{body.round}"
        case Send(message=Propose(body=body)):
            since = f", valid since {body.valid_round}" if body.valid_round >= 0 else ""
            what = f"proposes {body.block.hex()[:8]} in {body.height}/{body.round}{since}"
        case Send(to=to, message=Finalised(block=block)):
            what = f"sends final block {block.header.height} to {len(to)}"
        case Send(message=Mined(block=block)):
            header = block.header
            what = f"sends block {header.height} of {header.proposer} on {header.previous.hex()[:8]}"
        case Send(to=to, message=Missing(block=missing, after=after)):
            what = f"asks {to[0]} for {missing.hex()[:8]} after {after.hex()[:8]}"
        case PersistTip(height=height, block=block_hash):
            what = f"accepts {block_hash.hex()[:8]} as block {height}"
        case Persist(block=block):
            what = f"appends block {block.header.height} of {len(block.transactions)}"
        case Observed(kind=kind, subjects=subjects, detail=detail):
            what = " ".join([kind.value, *(subject.hex()[:8] for subject in subjects), detail]).rstrip()
        case Send(message=message):
            what = type(message).__name__.lower()
        case _:
            return ""
    return f"{now / SECOND:11.6f}  {node:<16} {what}"
