"""The simulator with processes that can stop: a step leaves when it is durable, and not if its process is gone.

A station belongs to one process.  Whatever the kernel still holds of a process that has ended names a station that
nobody has any more, and comes to nothing.
"""

from collections.abc import Callable
from math import prod
from typing import Any

from ehrcore.drive.cost import snapshot
from ehrcore.drive.processors import Station
from ehrcore.drive.sim import TRACE, Node
from ehrcore.effects import Effect, Effects, Observed, ObservedKind, Persist, Received, Send
from ehrcore.faults.behaviour import Liar
from ehrcore.faults.log import is_urgent
from ehrcore.faults.place import Again, Asked, Blocks, Fetched, Place, Step
from ehrcore.faults.upkeep import Upkeep
from ehrcore.identity import Reason
from ehrcore.messages import Approve, Endorse, Finalised

#: Called with the time (ns), the node's name and an effect as it leaves.
Watch = Callable[[int, str, Effect], None]


class Processes(Upkeep):
    """A network of processes that write before they speak."""

    _watch: Watch
    #: What machines say as they start: it leaves when all nodes are there.
    _first: list[tuple[Node, Effects]]

    def _arrive(self, index: int, work: tuple[Any, int]) -> None:
        place = self._places[index]
        if place.is_down:
            return
        if place.is_syncing and type(work[0]) is Received:
            place.held.append(work)
            return
        super()._arrive(index, work)

    def _now(self, place: Place) -> int:
        return max(self.kernel.now + place.offset_ns, 0)

    def _execute(self, station: Station, work: tuple[Any, int]) -> bool:
        """See `Simulation._execute`; what has to be durable is waited for once."""
        event, size = work
        index, kernel, costs = station.index, self.kernel, self.setup.costs
        node, place = self.nodes[index], self._places[index]
        if node.station is not station:
            return False
        if place.pauses:
            station.inbox.appendleft(work)
            place.is_held = True
            station.host.yield_core()
            return True
        self._trace.update(TRACE.pack(kernel.now, index, node.counter & 0xFFFF, kernel.dispatched, size))
        before = snapshot(node.crypto.meter)
        effects, logged = self._handle(index, place, event)
        step = Step(station, self._prepare(effects)[0], logged)
        busy = costs.crypto_ns(before, node.crypto.meter) + (costs.message_cost_ns(size) if size else 0)
        busy += sum(costs.message_cost_ns(length) for _, length in step.sized if length)
        wait = 0
        if logged is not None and any(map(is_urgent, effects)):
            busy, wait = busy + costs.commit_ns, costs.persist_ns
        if place.factors:
            busy = int(busy * prod(place.factors))
        node.cpu_ns += busy
        if busy + wait == 0:
            self._release(index, step)
            return False
        place.step = step
        if wait:
            self._await(index, kernel.now + busy, self._yield, step)
        self._await(index, kernel.now + busy + wait, self._complete, step)
        return True

    def _handle(self, index: int, place: Place, event: Any) -> tuple[Effects, Effects | None]:
        """What an event causes, and what of it the node wants to know again; None if it has been noted before."""
        kind = type(event)
        if kind is Again:
            return self._say_again(index), None
        if kind is Asked:
            self._answer(index, event)
            return (), None
        if kind is Fetched:
            self._go_on(index, event)
            return (), None
        machine, now = self.nodes[index].machine, self._now(place)
        events = event.events if kind is Blocks else (event,)
        effects: Effects = ()
        logged: Effects = ()
        for each in events:
            said = machine.handle(each, now)
            effects += said
            logged += machine.meant if isinstance(machine, Liar) else said
        if kind is Received and type(event.message) is Finalised:
            self._note_gap(index, event.message)
        return effects, logged

    def _yield(self, index: int, step: Step) -> None:
        """The processor is done, the disk is not."""
        if self.nodes[index].station is step.station and step.has_core:
            step.has_core = False
            step.station.host.yield_core()

    def _complete(self, index: int, step: Any) -> None:
        node, place = self.nodes[index], self._places[index]
        if node.station is not step.station:
            return
        if place.pauses:
            place.late = step
            self._yield(index, step)
            return
        place.step = None
        self._release(index, step)
        node.station.host.finish(node.station, has_core=step.has_core)

    # -- effects -----------------------------------------------------------------------------------------------

    def _keep(self, node: Node, place: Place, step: Step) -> None:
        """Make a step durable that does not leave."""
        place.log.write(step.logged or ())
        for effect in step.logged or ():
            if type(effect) is Persist and node.ledger is not None:
                node.ledger.append(effect)

    def _release(self, index: int, step: Step) -> None:
        """Make a step durable, note what has to be said again, and let it leave."""
        node, place, now = self.nodes[index], self._places[index], self.kernel.now
        if step.logged is not None:
            place.log.write(step.logged)
        for effect, _ in step.sized:
            self._watch(now, node.name, effect)
            if step.logged is not None:
                self._note(index, place, effect)
        super()._leave(node, step.sized)

    def _emit(self, node: Node, effects: Effects) -> None:
        self._first.append((node, effects))

    def _let_go(self, node: Node, effects: Effects) -> None:
        self._release(node.station.index, Step(node.station, self._prepare(effects)[0], effects))

    def _note(self, index: int, place: Place, effect: Effect) -> None:
        if type(effect) is Send:
            message = effect.message
            if type(message) is Approve or (type(message) is Endorse and message.reason is Reason.ACCEPTED):
                self._repeat(index, effect)
        elif type(effect) is Observed and effect.kind is ObservedKind.SETTLED:
            place.repeats.settle(effect.subjects)
            place.log.settle(effect.subjects)
