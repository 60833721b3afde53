"""Faults on real nodes: processes that are killed and started again, stopped and continued, and ways that are cut.

The plan is that of the simulator (`ehrcore.faults.plan`), its instants counted from the begin of the load.  A crash is
SIGKILL, as a power cut would be to a process; a pause is SIGSTOP and SIGCONT; a cut holds up the relay that stands for
that way, for which the nodes have routes.  Nothing in a node knows of all this.
"""

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import NamedTuple, Self

import msgspec

from bench.errors import BenchError
from bench.net.network import MeasuredNetwork
from bench.net.relay import HOST, Relays, Way
from ehrcore.drive.net.files import write_file
from ehrcore.drive.net.plan import NetworkFolder, NetworkPlan
from ehrcore.drive.net.routes import ROUTES_FILE
from ehrcore.faults.plan import Crash, Cut, Fault, FaultPlan, Pause
from ehrcore.types import SECOND


class Happened(NamedTuple):
    """What was done, to whom, and when it was begun (ns of the monotonic clock)."""

    at: int
    what: str
    nodes: tuple[str, ...]


def find_targets(faults: FaultPlan, plan: NetworkPlan) -> dict[Way, tuple[str, int]]:
    """The ways that the plan of faults cuts sooner or later, and where each leads."""
    ways = {way for cut in faults.of(Cut) for way in _ways(cut)}
    return {way: (plan.nodes[way[1]].host, plan.nodes[way[1]].port) for way in sorted(ways)}


def _ways(cut: Cut) -> list[Way]:
    return [way for way in product(cut.senders, cut.receivers) if way[0] != way[1]]


def write_routes(folder: NetworkFolder, ports: Mapping[Way, int]) -> None:
    """Have nodes that are started from now on reach their peers through relays."""
    routes: dict[str, dict[str, str]] = defaultdict(dict)
    for (sender, receiver), port in ports.items():
        routes[sender][receiver] = f"{HOST}:{port}"
    for sender, detours in routes.items():
        write_file(folder.node(sender) / ROUTES_FILE, msgspec.json.encode(detours))


def list_actions(faults: FaultPlan) -> list[tuple[int, str, tuple[str, ...]]]:
    """What is to be done, and when (ns from the begin), in order; of one kind and instant, to all nodes together.

    `BenchError` for a fault that real nodes cannot be given.
    """
    together: dict[tuple[int, str], tuple[str, ...]] = {}
    for fault in faults.faults:
        for at_ns, what, nodes in _read_fault(fault):
            if at_ns is not None:
                together[at_ns, what] = together.get((at_ns, what), ()) + nodes
    return [(*key, nodes) for key, nodes in sorted(together.items())]


def _read_fault(fault: Fault) -> tuple[tuple[int | None, str, tuple[str, ...]], ...]:
    match fault:
        case Crash(node=node, at_ns=at_ns, restart_ns=restart_ns, is_torn=False, forgets=False):
            return (at_ns, "crash", (node,)), (restart_ns, "restart", (node,))
        case Pause(node=node, start_ns=at_ns, end_ns=end_ns):
            return (at_ns, "pause", (node,)), (end_ns, "resume", (node,))
        case Cut(start_ns=at_ns, end_ns=end_ns):
            ways = tuple(map(">".join, _ways(fault)))
            return (at_ns, "cut", ways), (end_ns, "heal", ways)
        case _:
            raise BenchError(f"fault on real nodes: expected a crash, a pause or a cut, found {fault}")


class FaultInjector:
    """Carries out a plan from the instant ``begin`` (ns of the monotonic clock) on, in a thread; a context manager.

    Leaving the context waits for what is to come, unless an exception leaves it, too.  ``happened`` is what was done,
    in order.
    """

    def __init__(self, network: MeasuredNetwork, relays: Relays, faults: FaultPlan, begin: int) -> None:
        self._network, self._relays, self._begin = network, relays, begin
        self._actions = list_actions(faults)
        self.happened: list[Happened] = []
        self._paused: set[str] = set()
        self._is_over = threading.Event()
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        self._work = self._pool.submit(self._run)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._is_over.set()
        self._pool.shutdown()
        # Nobody stands still any more, or it could not even be told to end.
        self._signal(tuple(self._paused), signal.SIGCONT)
        if kind is None:
            self._work.result()

    def _run(self) -> None:
        for at_ns, what, nodes in self._actions:
            if self._is_over.wait(max(self._begin + at_ns - time.monotonic_ns(), 0) / SECOND):
                return
            self._do(what, nodes)

    def _do(self, what: str, nodes: tuple[str, ...]) -> None:
        self.happened.append(Happened(time.monotonic_ns(), what, nodes))
        match what:
            case "crash":
                for name in nodes:
                    self._network.local.kill(name)
            case "restart":
                self._network.start(nodes)
            case "pause":
                self._paused |= set(nodes)
                self._signal(nodes, signal.SIGSTOP)
            case "resume":
                self._signal(nodes, signal.SIGCONT)
                self._paused -= set(nodes)
            case _:
                ways = [(sender, receiver) for sender, _, receiver in (way.partition(">") for way in nodes)]
                (self._relays.cut if what == "cut" else self._relays.heal)(ways)

    def _signal(self, nodes: Iterable[str], number: signal.Signals) -> None:
        running = self._network.local.running()
        for name in nodes:
            os.kill(running[name], number)

    def restore(self) -> None:
        """Heal every way, and start again whoever is still down."""
        self._relays.heal()
        running = self._network.local.running()
        missing = tuple(name for name in self._network.local.names() if name not in running)
        if missing:
            self._do("restart", missing)
