"""The simulator with the links of real nodes: messages travel in frames, one at a time from one node to another.

What queues up while a frame is under way goes out together in the next (`ehrcore.drive.net.links`).  A node takes a
frame's messages in slices, each made durable with one wait for the disk before its effects leave, and answers the frame
after the last (`ehrcore.drive.net.host`); only then does its sender make the next one.  So batches grow with the load,
and what a frame costs is shared by more messages, as it is for processes that talk HTTP.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from ehrcore.drive.cost import snapshot
from ehrcore.drive.processors import Station
from ehrcore.drive.sim import Leg, Node, Simulation
from ehrcore.effects import Effect, Effects, Event, Persist, Received, Send
from ehrcore.identity import Reason
from ehrcore.messages import Endorse, Finalised, Message, Word
from ehrcore.types import MILLISECOND, Role

#: As of the real ones: how long a slice takes, and how many messages one frame holds.
SLICE_NS: Final = 4 * MILLISECOND
FRAME_MESSAGES: Final = 512


@dataclass(slots=True)
class _Way:
    """From one node to another: events that wait to be sent, with their sizes, and whether a frame is under way."""

    sender: int
    receiver: int
    queue: deque[tuple[Event, int]] = field(default_factory=deque)
    is_taken: bool = False


@dataclass(slots=True)
class _Frame:
    """Events on their way, or what is left of them to be handled."""

    way: _Way
    events: deque[tuple[Event, int]]
    is_new: bool = True


def needs_disk(effects: Effects) -> bool:
    """Whether they have to be durable before they leave: blocks, what an agent accepts, what an administrator says."""
    return any(
        type(effect) is Persist
        or (
            type(effect) is Send
            and (
                isinstance(effect.message, Finalised | Word)
                or (type(effect.message) is Endorse and effect.message.reason is Reason.ACCEPTED)
            )
        )
        for effect in effects
    )


class FramedSimulation(Simulation):
    """One network in virtual time with framed links, priced by ``frame_ns`` and ``commit_ns`` of its cost model.

    Visitors stand for a load generator that has signed beforehand and believes receipts: their cryptography is free.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        self._ways: dict[tuple[int, int], _Way] = {}
        super().__init__(*given, **named)

    # -- on the way --------------------------------------------------------------------------------------------

    def _send(self, node: Node, to: tuple[str, ...], message: Message, size: int) -> None:
        sender = node.station.index
        for receiver in to:
            index = self._index.get(receiver)
            if index is None:
                continue
            leg = self.legs.setdefault((node.role, self.nodes[index].role), Leg())
            leg.messages += 1
            leg.size_bytes += size
            way = self._ways.setdefault((sender, index), _Way(sender, index))
            way.queue.append((Received(node.name, message), size))
            self._take_turn(way)

    def _take_turn(self, way: _Way) -> None:
        """Have the sender make the next frame, when its processor comes to it."""
        if way.queue and not way.is_taken:
            way.is_taken = True
            self._queue(way.sender, way)

    def _queue(self, index: int, work: Any) -> None:
        station = self.nodes[index].station
        station.host.submit(station, work)

    def _depart(self, frame: _Frame) -> None:
        way = frame.way
        self._travel(way.sender, way.receiver, sum(size for _, size in frame.events), self._queue, frame)

    def _answer(self, way: _Way) -> None:
        self._travel(way.receiver, way.sender, 0, self._answered, way)

    def _answered(self, _: int, way: _Way) -> None:
        way.is_taken = False
        self._take_turn(way)

    def _travel(self, start: int, end: int, size: int, then: Callable[[int, Any], None], what: Any) -> None:
        """What is lost is sent again: frames have answers, so a loss is a delay, which this simulation leaves out."""
        node = self.nodes[start]
        at = self.links.arrival(node.name, self.nodes[end].name, size, self.kernel.now) or self.kernel.now
        node.counter += 1
        self.kernel.schedule(at, end, start, node.counter, then, what)

    # -- at a node ---------------------------------------------------------------------------------------------

    def _execute(self, station: Station, work: Any) -> bool:
        """Make a frame, handle a slice of one, or handle an event of the node's own; True if that takes time."""
        node, costs, wait = self.nodes[station.index], self.setup.costs, 0
        self._trace.update(b"%d|%d|%d\n" % (self.kernel.now, station.index, node.counter))
        then: Callable[[], None]
        if type(work) is _Way:
            count = min(len(work.queue), FRAME_MESSAGES)
            frame = _Frame(work, deque(work.queue.popleft() for _ in range(count)))
            busy, then = costs.frame_ns, partial(self._depart, frame)
        else:
            events = work.events if type(work) is _Frame else deque((work,))
            busy, sized = self._handle_slice(node, events)
            if type(work) is _Frame and work.is_new:
                busy, work.is_new = busy + costs.frame_ns, False
            if needs_disk(tuple(effect for effect, _ in sized)):
                busy, wait = busy + costs.commit_ns, costs.persist_ns
            then = partial(self._end_slice, node, work, sized)
        node.cpu_ns += busy
        return self._occupy(node, busy, wait, then)

    def _handle_slice(self, node: Node, events: deque[tuple[Event, int]]) -> tuple[int, list[tuple[Effect, int]]]:
        """Handle events until a slice is full; how long the processor takes (ns), and effects with messages' sizes."""
        costs, meter = self.setup.costs, node.crypto.meter
        busy, sized = 0, list[tuple[Effect, int]]()
        while events and busy < SLICE_NS:
            event, size = events.popleft()
            before = snapshot(meter)
            effects = self._prepare(node.machine.handle(event, self.kernel.now))[0]
            busy += costs.message_cost_ns(size) if size else 0
            busy += 0 if node.role is Role.VISITOR else costs.crypto_ns(before, meter)
            busy += sum(costs.message_cost_ns(size) for _, size in effects if size)
            sized += effects
        return busy, sized

    def _end_slice(self, node: Node, work: Any, sized: list[tuple[Effect, int]]) -> None:
        self._leave(node, sized)
        if type(work) is _Frame:
            if work.events:
                self._queue(node.station.index, work)
            else:
                self._answer(work.way)

    def _occupy(self, node: Node, busy: int, wait: int, then: Callable[[], None]) -> bool:
        """The node is taken for so long, its processor for the first part of it; False if that is no time at all."""
        if busy + wait == 0:
            then()
            return False
        kernel, index = self.kernel, node.station.index
        if wait:
            node.counter += 1
            kernel.schedule(kernel.now + busy, index, index, node.counter, self._wait, None)
        node.counter += 1
        kernel.schedule(kernel.now + busy + wait, index, index, node.counter, self._done, (then, wait > 0))
        return True

    def _done(self, index: int, argument: tuple[Callable[[], None], bool]) -> None:
        then, has_waited = argument
        then()
        station = self.nodes[index].station
        station.host.finish(station, has_core=not has_waited)
