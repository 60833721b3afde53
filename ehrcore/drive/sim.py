"""The simulator: unchanged roles in virtual time, on modelled processors and links.

A node takes one event at a time.  Its handler runs at the instant that its processor takes the event up; what it
counted (signatures, hashes, messages) times the cost model is how long the processor stays busy, and its effects
leave when that is over, in order.  Nothing reads a clock: two runs of one seed have the same trace digest.
"""

import hashlib
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from ehrcore.codec import decode, encode
from ehrcore.crypto import Crypto
from ehrcore.drive.cost import CostModel, HostModel, snapshot
from ehrcore.drive.grinders import HASHLIB, find_grinder
from ehrcore.drive.kernel import Kernel
from ehrcore.drive.links import LinkModel, Links, Partition
from ehrcore.drive.mining import Miner
from ehrcore.drive.processors import Host, Station
from ehrcore.effects import (
    Effect,
    Effects,
    Event,
    Heard,
    Observed,
    Persist,
    PersistTip,
    Received,
    RoleMachine,
    Send,
    SetTimer,
    Store,
    TimerFired,
    Work,
    WorkFound,
)
from ehrcore.hashing import find_suite
from ehrcore.ledger import Ledger
from ehrcore.messages import Message
from ehrcore.network import Network
from ehrcore.storage import MemoryStore
from ehrcore.types import Role

#: Called with the time (ns), the node's name and what it observed.
Observer = Callable[[int, str, Observed], None]
#: An event taken up: time, node, its counter, events so far, size of the message.
TRACE: Final = struct.Struct("<QHHQI")


@dataclass(slots=True)
class Node:
    """A role with its place in the simulation and what it has used."""

    name: str
    role: Role
    machine: RoleMachine
    crypto: Crypto
    station: Station
    ledger: Ledger | None
    miner: Miner | None = None
    counter: int = 0
    cpu_ns: int = 0
    persisted: int = 0
    tip: tuple[int, bytes] = (0, b"")
    timers: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Leg:
    """Traffic from one role to another."""

    messages: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class SimSetup:
    """How a network is simulated; ``is_wired`` passes every message through its bytes (slower, stricter).

    ``grinder`` names the search for nonces on a chain that is not modelled; the trace is the same with each.
    """

    seed: str
    costs: CostModel
    links: LinkModel = field(default_factory=LinkModel)
    host: HostModel = field(default_factory=HostModel)
    partitions: tuple[Partition, ...] = ()
    is_wired: bool = False
    grinder: str = HASHLIB


class Simulation:
    """One network in virtual time."""

    def __init__(
        self, network: Network, setup: SimSetup, observer: Observer, ledgers: dict[str, Ledger] | None = None
    ) -> None:
        self.network, self.setup = network, setup
        self.kernel, self.store = Kernel(), MemoryStore()
        self.links = Links(setup.links, setup.seed, setup.partitions)
        self.legs: dict[tuple[Role, Role], Leg] = {}
        self._observer, self._trace = observer, hashlib.blake2b(digest_size=32)
        self._external = 0
        shared = Host(setup.host.cores, self._execute) if setup.host.is_shared else None
        self.nodes: list[Node] = []
        for index, (name, role) in enumerate(network.roles.items()):
            crypto = network.crypto(name)
            station = Station(index, shared or Host(setup.host.cores, self._execute))
            machine = self._machine(name, crypto)
            ledger = (ledgers or {}).get(name)
            self.nodes.append(Node(name, role, machine, crypto, station, ledger, self._miner(name, role)))
        self._index = {node.name: index for index, node in enumerate(self.nodes)}
        for node in self.nodes:
            self._leave(node, self._prepare(node.machine.start(0))[0])

    def _machine(self, name: str, crypto: Crypto) -> RoleMachine:
        return self.network.machine(name, crypto, self.store)

    def _miner(self, name: str, role: Role) -> Miner | None:
        if role is not Role.ADMINISTRATOR:
            return None
        host, params = self.setup.host, self.network.params
        contenders = params.topology.administrators if host.is_shared else 1
        search = find_grinder(self.setup.grinder, find_suite(params.hash_suite))
        return Miner(f"{self.setup.seed}|mine|{name}", self.setup.costs.grind_ns, contenders, host.cores, search)

    # -- inputs ------------------------------------------------------------------------------------------------

    def inject(self, at: int, name: str, event: Event) -> None:
        """Hand an event of the outside world to a node at ``at`` (ns)."""
        self._external += 1
        self.kernel.schedule(at, self._index[name], len(self.nodes), self._external, self._arrive, (event, 0))

    def stall(self, at: int, name: str, duration: int) -> None:
        """From ``at`` on, something else has a core of the node's host for ``duration`` (ns); work waits for it."""
        host = self.nodes[self._index[name]].station.host
        for instant, change in ((at, host.take_core), (at + duration, host.yield_core)):
            self._external += 1
            self.kernel.schedule(
                instant, self._index[name], len(self.nodes), self._external, lambda _, change: change(), change
            )

    def run(self, until: int, most: int | None = None) -> int:
        """Run up to and including ``until`` (ns), or for ``most`` kernel events; returns how many there were."""
        return self.kernel.run(until, most)

    # -- the life of an event ----------------------------------------------------------------------------------

    def _arrive(self, index: int, work: tuple[Event, int]) -> None:
        station = self.nodes[index].station
        station.host.submit(station, work)

    def _timer(self, index: int, argument: tuple[str, int]) -> None:
        name, generation = argument
        timers = self.nodes[index].timers
        if timers.get(name) == generation:
            del timers[name]
            self._arrive(index, (TimerFired(name), 0))

    def _mined(self, index: int, generation: int) -> None:
        node = self.nodes[index]
        found = node.miner.finish(generation) if node.miner else None
        if found is not None:
            self._arrive(index, (WorkFound(*found), 0))

    def _execute(self, station: Station, work: tuple[Event, int]) -> bool:
        """Run the handler now; True if its effects leave later, when the processor is done."""
        event, size_bytes = work
        node, kernel = self.nodes[station.index], self.kernel
        meter, costs = node.crypto.meter, self.setup.costs
        before = snapshot(meter)
        self._trace.update(TRACE.pack(kernel.now, station.index, node.counter & 0xFFFF, kernel.dispatched, size_bytes))
        effects = node.machine.handle(event, kernel.now)
        busy = costs.crypto_ns(before, meter)
        if size_bytes:
            busy += costs.message_cost_ns(size_bytes)
        sized, wait = self._prepare(effects)
        busy += sum(costs.message_cost_ns(size) for _, size in sized if size)
        node.cpu_ns += busy
        if busy + wait == 0:
            self._leave(node, sized)
            return False
        index, is_waiting = station.index, wait > 0
        if is_waiting:
            node.counter += 1
            kernel.schedule(kernel.now + busy, index, index, node.counter, self._wait, None)
        node.counter += 1
        kernel.schedule(kernel.now + busy + wait, index, index, node.counter, self._complete, (sized, is_waiting))
        return True

    def _prepare(self, effects: Effects) -> tuple[list[tuple[Effect, int]], int]:
        """Effects with the size of each message, and the wait (ns) for what must be durable."""
        sized: list[tuple[Effect, int]] = []
        wait = 0
        for effect in effects:
            size = 0
            if type(effect) is Send:
                size = len(encode(effect.message))
            elif type(effect) is Persist:
                wait += self.setup.costs.persist_ns
            sized.append((effect, size))
        return sized, wait

    def _wait(self, index: int, _: None) -> None:
        self.nodes[index].station.host.yield_core()

    def _complete(self, index: int, argument: tuple[list[tuple[Effect, int]], bool]) -> None:
        node = self.nodes[index]
        sized, has_waited = argument
        self._leave(node, sized)
        node.station.host.finish(node.station, has_core=not has_waited)

    # -- effects -----------------------------------------------------------------------------------------------

    def _leave(self, node: Node, sized: Iterable[tuple[Effect, int]]) -> None:
        for effect, size in sized:
            match effect:
                case Send(to=to, message=message):
                    self._send(node, to, message, size)
                case Observed():
                    self._observer(self.kernel.now, node.name, effect)
                case SetTimer(name=name, delay_ns=delay):
                    self._set_timer(node, name, delay)
                case Persist():
                    node.persisted += 1
                    if node.ledger is not None:
                        node.ledger.append(effect)
                case PersistTip(height=height, block=block):
                    node.tip = height, block
                case Store(location=location, body=body):
                    self.store.put(location, body)
                case Work():
                    self._work(node, effect)
                case Heard():
                    pass  # simulated nodes are not restarted

    def _send(self, node: Node, to: tuple[str, ...], message: Message, size: int) -> None:
        kernel, origin = self.kernel, node.station.index
        if self.setup.is_wired:
            message = decode(encode(message), Message)  # type: ignore[arg-type]  # a union is a type form
        work = (Received(node.name, message), size)
        for receiver in to:
            index = self._index.get(receiver)
            if index is None:
                continue
            key = node.role, self.nodes[index].role
            leg = self.legs.get(key)
            if leg is None:
                leg = self.legs[key] = Leg()
            leg.messages += 1
            leg.size_bytes += size
            at = self.links.arrival(node.name, receiver, size, kernel.now)
            if at is not None:
                node.counter += 1
                kernel.schedule(at, index, origin, node.counter, self._arrive, work)

    def _set_timer(self, node: Node, name: str, delay: int) -> None:
        node.counter += 1
        node.timers[name] = node.counter
        index = node.station.index
        self.kernel.schedule(self.kernel.now + delay, index, index, node.counter, self._timer, (name, node.counter))

    def _work(self, node: Node, work: Work) -> None:
        if node.miner is None:
            return
        duration = node.miner.start(work, node.crypto, self.kernel.now)
        if duration is not None:
            node.counter += 1
            index = node.station.index
            self.kernel.schedule(
                self.kernel.now + duration, index, index, node.counter, self._mined, node.miner.generation
            )

    # -- results -----------------------------------------------------------------------------------------------

    def trace_digest(self) -> str:
        """Digest of every event so far, in order, and of each node's state: equal runs have equal digests."""
        digest = self._trace.copy()
        for node in self.nodes:
            digest.update(encode((node.name, node.tip, node.persisted, node.cpu_ns, snapshot(node.crypto.meter))))
        return digest.hexdigest()

    def cpu_ns(self, node: Node) -> int:
        """Processor time of a node so far, its share of mining included."""
        return node.cpu_ns + (node.miner.cpu_ns(self.kernel.now) if node.miner else 0)
