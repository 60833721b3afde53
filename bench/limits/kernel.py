"""The simulator's kernel: bare events, and messages beside a model of the same exchange in idiomatic SimPy.

SimPy's side follows its manual's example of event latency: a store per node, a process per node that takes messages
from it, and a process per message that waits for the link's latency and puts it into the receiver's store.
"""

import time
from collections.abc import Generator
from heapq import heapify, heappop, heappush
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from bench.limits.base import Demand, Finding, Metric, Part, Unavailable, invert, take_turns
from ehrcore.drive.kernel import Kernel

NODES: Final = 12
LATENCY_NS: Final = 100_000
_EVENTS: Final = 300_000
_MESSAGES: Final = 60_000


def events_ns() -> float:
    """Processor nanoseconds per event: `NODES` pending, each event schedules its successor."""
    kernel = Kernel()
    schedule = kernel.schedule

    def tick(node: int, count: int) -> None:
        schedule(kernel.now + LATENCY_NS, node, node, count + 1, tick, count + 1)

    for node in range(NODES):
        schedule(node, node, node, 0, tick, 0)
    start = time.process_time_ns()
    kernel.run(1 << 62, _EVENTS)
    return (time.process_time_ns() - start) / _EVENTS


def heap_ns() -> float:
    """Processor nanoseconds to take an event of the same shape from a heap and to put its successor there."""
    heap: list[tuple[int, int, int, int, Any, Any]] = [(node, node, node, 0, None, 0) for node in range(NODES)]
    heapify(heap)
    start = time.process_time_ns()
    for _ in range(_EVENTS):
        at, node, origin, count, action, argument = heappop(heap)
        heappush(heap, (at + LATENCY_NS, node, origin, count + 1, action, argument))
    return (time.process_time_ns() - start) / _EVENTS


def measure_events(_folder: Path) -> list[Finding]:
    """Events per second of the kernel and of the heap alone."""
    ours, peers = take_turns(7, events_ns, heap_ns)
    return [Finding(invert(ours), invert(peers))]


def receiver_of(node: int, hop: int) -> int:
    """Whom ``node`` passes a message on to: the others in turn, never itself."""
    return (node + 1 + hop % (NODES - 1)) % NODES


class KernelExchange:
    """Messages between `NODES` nodes over links of constant latency, on the bare kernel."""

    def __init__(self) -> None:
        self.kernel, self.received, self._counters = Kernel(), [0] * NODES, [0] * NODES
        for node in range(NODES):
            self._send(node, 0)

    def _send(self, node: int, hop: int) -> None:
        self._counters[node] += 1
        kernel = self.kernel
        at, to = kernel.now + LATENCY_NS, receiver_of(node, hop)
        kernel.schedule(at, to, node, self._counters[node], self._receive, hop + 1)

    def _receive(self, node: int, hop: int) -> None:
        self.received[node] += 1
        self._send(node, hop)

    def run(self, messages: int) -> None:
        """Deliver ``messages``, a multiple of `NODES`."""
        self.kernel.run(messages // NODES * LATENCY_NS)


class SimpyExchange:
    """The same exchange in SimPy; `Unavailable` if it is not installed."""

    def __init__(self) -> None:
        try:
            simpy: Any = import_module("simpy")
        except ImportError:
            raise Unavailable("the package 'simpy' is not installed") from None
        self.env = simpy.Environment()
        self.received = [0] * NODES
        self._stores = [simpy.Store(self.env) for _ in range(NODES)]
        for node in range(NODES):
            self.env.process(self._node(node))
            self.env.process(self._link(receiver_of(node, 0), 1))

    def _node(self, node: int) -> Generator[Any, Any, None]:
        while True:
            hop: Any = yield self._stores[node].get()
            self.received[node] += 1
            self.env.process(self._link(receiver_of(node, hop), hop + 1))

    def _link(self, to: int, hop: int) -> Generator[Any, Any, None]:
        yield self.env.timeout(LATENCY_NS)
        yield self._stores[to].put(hop)

    def run(self, messages: int) -> None:
        """Deliver ``messages``, a multiple of `NODES`."""
        self.env.run(until=messages // NODES * LATENCY_NS + 1)


def exchange_ns(exchange: KernelExchange | SimpyExchange) -> float:
    """Processor nanoseconds per message delivered."""
    start = time.process_time_ns()
    exchange.run(_MESSAGES)
    return (time.process_time_ns() - start) / sum(exchange.received)


def measure_messages(_folder: Path) -> list[Finding]:
    """Messages per second on the kernel and in SimPy."""
    ours, peers = take_turns(5, lambda: exchange_ns(KernelExchange()), lambda: exchange_ns(SimpyExchange()))
    return [Finding(invert(ours), invert(peers), f"SimPy {version('simpy')}")]


EVENTS: Final = Part(
    (Metric("bare kernel", "events/s", "heap alone", Demand("at least", 1.5e6, "value")),), measure_events
)
MESSAGES: Final = Part(
    (Metric("messages on the kernel", "messages/s", "SimPy", Demand("at least", 10)),), measure_messages
)
