"""The simulator with the faults of a plan, and with what real nodes do about them (`ehrcore.drive.net`).

- What a step causes leaves when all of it is durable, after one wait for the disk.
- A crash takes the machine, its timers, its inbox, its search and the step that has not left.  A step that waits for
  the disk at that instant is written though it never left, or lost if the log is torn; so is what was gathered.  A new
  process is given what the log holds (`Kept`); an administrator first asks for the chain, and what comes in
  meanwhile waits for it.
- A message to a node that is down, or across a cut, is lost.  That is harsher than reality, where links send again what
  was not acknowledged: only what is repeated end to end makes up for it.  A paused node's messages wait.

Roles see nothing of all this.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ehrcore.crypto import Crypto
from ehrcore.drive.processors import Station
from ehrcore.drive.repeats import Repeats
from ehrcore.drive.sim import Node, Observer, SimSetup
from ehrcore.effects import Effects, Event, RoleMachine, Work
from ehrcore.faults.behaviour import Liar
from ehrcore.faults.log import Log
from ehrcore.faults.paths import Paths, Sides
from ehrcore.faults.place import Follower, Place
from ehrcore.faults.plan import Byzantine, Crash, FaultPlan, Pause, Skew, Slow, Twin
from ehrcore.faults.process import Processes, Watch
from ehrcore.ledger import Ledger
from ehrcore.network import Network, build_machine
from ehrcore.roles.context import Context, Kept
from ehrcore.storage import ObjectStore
from ehrcore.types import Role

#: Makes a role's machine; a planted bug is another one.
Build = Callable[[Role, Context, ObjectStore], RoleMachine]


def ignore(now: int, node: str, subject: Any) -> None:
    """Watch or observe nothing."""


class FaultySimulation(Processes):
    """One network in virtual time, with the faults of ``plan``.

    ``watch`` is told of every effect of every node as it leaves, twins under the node's own name; ``build`` makes the
    role machines.  Raises `ParameterError` if the network cannot have these faults.
    """

    def __init__(
        self,
        network: Network,
        setup: SimSetup,
        observer: Observer = ignore,
        ledgers: dict[str, Ledger] | None = None,
        *,
        plan: FaultPlan,
        watch: Watch = ignore,
        build: Build = build_machine,
    ) -> None:
        plan.validate(network)
        self.plan, self._watch, self._build = plan, watch, build
        self._paths = Paths(plan, setup.seed)
        self._liars = {fault.node: fault for fault in plan.of(Byzantine)}
        self._places: list[Place] = []
        self._first: list[tuple[Node, Effects]] = []
        super().__init__(network, setup, observer, ledgers)
        self._indices = {node.name: [index] for index, node in enumerate(self.nodes)}
        self._places = [self._place(node) for node in self.nodes]
        for twin in plan.of(Twin):
            self._double(twin)
        for skew in plan.of(Skew):
            for index in self._indices[skew.node]:
                self._places[index].offset_ns = skew.offset_ns
        self._schedule_faults()
        for node, effects in self._first:
            self._let_go(node, effects)
        self._wake()

    @property
    def machines(self) -> dict[str, tuple[RoleMachine, ...]]:
        """The live role machines by node: two of a twin, none of a node that is down."""
        return {
            name: tuple(self.nodes[index].machine for index in indices if not self._places[index].is_down)
            for name, indices in self._indices.items()
        }

    def log_of(self, name: str) -> Log:
        """What the node has made durable; of a twin, its first copy."""
        return self._places[self._index[name]].log

    def _machine(self, name: str, crypto: Crypto, kept: Kept | None = None) -> RoleMachine:
        context = self.network.context(name, crypto)
        if kept is not None:
            context = replace(context, kept=kept)
        machine = self._build(self.network.roles[name], context, self.store)
        fault = self._liars.get(name)
        return machine if fault is None else Liar(machine, context, fault, self.plan, self.setup.seed)

    def _place(self, node: Node) -> Place:
        follower = None
        if node.role is not Role.VISITOR:
            follower = Follower(node.name, self.network.roles, f"{self.setup.seed}|{node.station.index}")
        return Place(Log(node.name, node.role, node.crypto.suite), follower, Repeats())

    def _double(self, twin: Twin) -> None:
        """Put a second machine with the node's key beside the first."""
        first, sides = self._indices[twin.node][0], Sides(twin)
        original, index = self.nodes[first], len(self.nodes)
        crypto = self.network.crypto(twin.node)
        station = Station(index, original.station.host)
        miner = self._miner(twin.node, original.role)
        node = Node(twin.node, original.role, self._machine(twin.node, crypto), crypto, station, None, miner)
        self.nodes.append(node)
        self._places.append(self._place(node))
        for copy, place in enumerate((first, index)):
            self._places[place].sides, self._places[place].copy = sides, copy
        self._indices[twin.node].append(index)
        self._first.append((node, node.machine.start(0)))

    # -- faults ------------------------------------------------------------------------------------------------

    def _schedule_faults(self) -> None:
        for fault in self.plan.faults:
            match fault:
                case Crash():
                    self._at(fault.at_ns, fault.node, self._crash, fault)
                    if fault.restart_ns is not None:
                        self._at(fault.restart_ns, fault.node, self._restart, None)
                case Pause():
                    self._at(fault.start_ns, fault.node, self._pause, fault)
                    self._at(fault.end_ns, fault.node, self._resume, fault)
                case Slow():
                    self._at(fault.start_ns, fault.node, self._slow, fault.factor)
                    self._at(fault.end_ns, fault.node, self._unslow, fault.factor)
                case _:
                    pass

    def _at(self, at: int, name: str, action: Callable[[int, Any], None], argument: Any) -> None:
        for index in self._indices[name]:
            self._external += 1
            self.kernel.schedule(at, index, len(self.nodes), self._external, self._strike, (action, argument))

    def _strike(self, index: int, argument: tuple[Callable[[int, Any], None], Any]) -> None:
        action, detail = argument
        self._trace.update(f"{self.kernel.now}|{index}|{action.__name__}".encode())
        action(index, detail)

    def _crash(self, index: int, fault: Crash) -> None:
        node, place = self.nodes[index], self._places[index]
        step, host = place.step, node.station.host
        if step is not None and not step.has_core and not fault.is_torn:
            self._keep(node, place, step)
        if fault.is_torn:
            place.log.tear()
        if fault.forgets:
            place.log.forget()
        # Whatever is still to come of the process that is gone belongs to its station, which nobody has any more.
        node.station = Station(index, host)
        if step is not None and step.has_core:
            host.yield_core()
        node.timers.clear()
        if node.miner is not None:
            self._work(node, Work(0, None))
        place.is_down, place.is_syncing, place.is_held = True, False, False
        place.pauses.clear()
        place.step = place.late = None
        place.held.clear()
        place.repeats, place.is_repeating = Repeats(), False
        if place.follower is not None:
            place.follower.restart()

    def _restart(self, index: int, _: None) -> None:
        node, place = self.nodes[index], self._places[index]
        meter = node.crypto.meter
        node.crypto = self.network.crypto(node.name)
        node.crypto.meter = meter
        kept = place.log.keep(self.network.context(node.name, node.crypto))
        node.machine = self._machine(node.name, node.crypto, kept)
        place.is_down, place.is_syncing = False, node.role is Role.ADMINISTRATOR
        place.seen = self._height(index), self.kernel.now
        self._let_go(node, node.machine.start(self._now(place)))
        for send in place.log.pending.values():
            self._repeat(index, send, pause=0)
        self._ask(index)

    def _pause(self, index: int, fault: Pause) -> None:
        place, station = self._places[index], self.nodes[index].station
        if place.is_down:
            return
        place.pauses.append(fault)
        if not station.is_active:
            station.is_active = place.is_held = True

    def _resume(self, index: int, fault: Pause) -> None:
        """Go on, unless another pause lasts or a crash has ended the process that was paused."""
        place, station = self._places[index], self.nodes[index].station
        if fault not in place.pauses:
            return
        place.pauses.remove(fault)
        if place.pauses:
            return
        if place.late is not None:
            step, place.late = place.late, None
            self._complete(index, step)
        elif place.is_held:
            place.is_held = False
            station.host.finish(station, has_core=False)

    def _slow(self, index: int, factor: float) -> None:
        self._places[index].factors.append(factor)

    def _unslow(self, index: int, factor: float) -> None:
        self._places[index].factors.remove(factor)

    def inject(self, at: int, name: str, event: Event) -> None:
        """See `Simulation.inject`; of a twin, both copies take the event."""
        for index in self._indices[name]:
            self._external += 1
            self.kernel.schedule(at, index, len(self.nodes), self._external, self._arrive, (event, 0))
        self._wake()
