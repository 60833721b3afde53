"""The simulator with what real nodes do besides their roles (`ehrcore.drive.net`), and with ways that can be cut.

- A node writes a log (`Log`).
- Agents repeat what they endorsed and coordinators what they approved until it is final (`Repeats`).
- Everyone but visitors asks a peer for blocks about once a second, and at once when one is missing (`Follower`).  To
  ask and to answer that there is none takes time and no processor.

When nothing is under way and nobody lacks a block, nobody asks, so a run can end.
"""

from collections.abc import Callable
from typing import Any, Final

from ehrcore.codec import decode, encode
from ehrcore.drive.repeats import FIRST_PAUSE
from ehrcore.drive.sim import Leg, Node, Simulation
from ehrcore.effects import Effects, Received, Send
from ehrcore.faults.behaviour import Liar
from ehrcore.faults.paths import Paths
from ehrcore.faults.place import RETRY_NS, TIMEOUT_NS, Again, Asked, Blocks, Fetched, Follower, Place
from ehrcore.messages import Approve, Endorse, Finalised, Message
from ehrcore.roles import Agent, Contributor, Coordinator
from ehrcore.types import MILLISECOND, MINUTE

#: What a request for blocks takes, in bytes.
REQUEST_BYTES: Final = 128
#: How often a node looks whether something is to be said again (ns).
REPEAT_NS: Final = 250 * MILLISECOND
#: What an answer carries: blocks, or None if there is none to come.
_Answer = tuple[Asked, str, tuple[Finalised, ...] | None]


class Upkeep(Simulation):
    """A network whose nodes look after what got lost."""

    _places: list[Place]
    _indices: dict[str, list[int]]
    _paths: Paths
    #: How many of the events to come only ask for blocks.
    _background: int = 0

    # -- on the way --------------------------------------------------------------------------------------------

    def _send(self, node: Node, to: tuple[str, ...], message: Message, size: int) -> None:
        if self.setup.is_wired:
            message = decode(encode(message), Message)  # type: ignore[arg-type]  # a union is a type form
        work = (Received(node.name, message), size)
        for receiver in to:
            if receiver not in self._indices:
                continue
            leg = self.legs.setdefault((node.role, self.network.roles[receiver]), Leg())
            leg.messages += 1
            leg.size_bytes += size
            for index in self._hearers(node.station.index, receiver):
                self._transmit(node.station.index, index, size, self._arrive, work)

    def _hearers(self, sender: int, receiver: str) -> list[int]:
        """Who hears what this node says to ``receiver``: nobody, one, or both of a twin's copies."""
        speaker, name = self._places[sender], self.nodes[sender].name
        if speaker.sides is not None and not speaker.sides.may_say(speaker.copy, receiver):
            return []
        indices = self._indices[receiver]
        if len(indices) == 1:
            return indices
        places = ((index, self._places[index]) for index in indices)
        return [index for index, place in places if place.sides is None or place.sides.may_hear(place.copy, name)]

    def _transmit(self, start: int, end: int, size: int, action: Callable[[int, Any], None], what: Any) -> int:
        """Put something on its way; how many copies of it will arrive."""
        node, name, now = self.nodes[start], self.nodes[end].name, self.kernel.now
        count = 0
        for delay in self._paths.copies(node.name, name, now):
            at = self.links.arrival(node.name, name, size, now)
            if at is not None:
                node.counter += 1
                count += 1
                self.kernel.schedule(at + delay, end, start, node.counter, action, what)
        return count

    def _queue(self, index: int, work: tuple[Any, int]) -> None:
        """Have a node take something up when its processor comes to it."""
        station = self.nodes[index].station
        station.host.submit(station, work)

    def _height(self, index: int) -> int:
        """Of the last final block that the node knows."""
        machine = self.nodes[index].machine
        if isinstance(machine, Coordinator | Contributor):
            return machine.state.height
        return machine.tip.height if isinstance(machine, Agent) else self._places[index].log.height

    # -- until it is final -------------------------------------------------------------------------------------

    def _repeat(self, index: int, send: Send, pause: int = FIRST_PAUSE) -> None:
        """Say an endorsement or approval, which has just been said, again from ``pause`` (ns) on."""
        place, message = self._places[index], send.message
        if not isinstance(message, Endorse | Approve):
            raise TypeError("only endorsements and approvals are repeated")
        tx = message.transaction
        place.repeats.add(place.log.identify(tx), send, tx.body.author, self.kernel.now, pause)
        if not place.is_repeating:
            place.is_repeating = True
            self._set_repeat(index, self.kernel.now + pause)

    def _set_repeat(self, index: int, at: int) -> None:
        self._await(index, at, self._repeat_due, self.nodes[index].station)

    def _await(self, index: int, at: int, action: Callable[[int, Any], None], what: Any) -> None:
        """Have something happen to a node that it brings about itself."""
        node = self.nodes[index]
        node.counter += 1
        self.kernel.schedule(at, index, index, node.counter, action, what)

    def _repeat_due(self, index: int, station: Any) -> None:
        if self.nodes[index].station is station:
            self._queue(index, (Again(), 0))

    def _say_again(self, index: int) -> Effects:
        """What is due, as real nodes look for it: what is not final although the chain moves is given up in the end."""
        place, now, said = self._places[index], self.kernel.now, list[Send]()
        height, (seen, at) = self._height(index), place.seen
        expired = place.repeats.repeat(now, said.append, is_moving=height > seen)[1]
        place.log.settle(expired)
        if now > at + MINUTE:
            place.seen = height, now
        due = place.repeats.next_due()
        place.is_repeating = due is not None
        if due is not None:
            self._set_repeat(index, max(due, now + REPEAT_NS))
        return tuple(said)

    # -- catching up -------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Everyone who does not look for blocks begins to."""
        for index, place in enumerate(self._places):
            follower = place.follower
            if follower is not None and follower.due is None and not follower.is_asking and not place.is_down:
                self._arm(index, follower.pause_ns(is_syncing=place.is_syncing))

    def _arm(self, index: int, delay_ns: int) -> None:
        """Ask after ``delay_ns``, unless that is to be sooner anyway."""
        follower, at = self._follower(index), self.kernel.now + delay_ns
        if follower.due is not None and follower.due <= at:
            return
        follower.due = at
        follower.generation += 1
        self._background += 1
        self._await(index, at, self._tick, follower.generation)

    def _follower(self, index: int) -> Follower:
        follower = self._places[index].follower
        if follower is None:
            raise AssertionError("visitors follow nobody")
        return follower

    def _tick(self, index: int, generation: int) -> None:
        self._background -= 1
        follower, place = self._follower(index), self._places[index]
        if follower.generation != generation:
            return
        follower.due = None
        if place.pauses:
            self._arm(index, RETRY_NS)
        elif not self._is_quiet():
            self._ask(index)

    def _is_quiet(self) -> bool:
        """Whether asking would find nothing: nothing else is under way, and everyone alive is equally far."""
        if self.kernel.pending > self._background:
            return False
        alive = [index for index, place in enumerate(self._places) if place.follower and not place.is_down]
        heights = {self._height(index) for index in alive}
        return len(heights) <= 1 and not any(self._places[index].is_syncing for index in alive)

    def _ask(self, index: int) -> None:
        """Ask the next peer for the blocks after the last one."""
        follower = self._follower(index)
        follower.ticket += 1
        follower.is_asking = True
        ask = Asked(index, follower.ticket, self._height(index) + 1, self.kernel.now)
        peers = self._hearers(index, follower.choose())
        copies = self._transmit(index, peers[0], REQUEST_BYTES, self._asked, ask) if peers else 0
        self._background += copies
        if not copies:
            self._give_up(ask)

    def _note_gap(self, index: int, final: Finalised) -> None:
        """One that does not follow the last one: those between are missing."""
        follower = self._places[index].follower
        if follower is not None and final.block.header.height > self._height(index) + 1:
            follower.has_gap = follower.is_asking
            if not follower.is_asking:
                self._arm(index, RETRY_NS)

    def _asked(self, index: int, ask: Asked) -> None:
        """Nobody listens at a node that is down, which shows at once; one with blocks, or paused, takes its time."""
        self._background -= 1
        place = self._places[index]
        if place.is_down or not (place.pauses or place.log.finals(ask.first)):
            self._reply(index, ask, None if place.is_down else ())
        else:
            self._queue(index, (ask, REQUEST_BYTES))
            self._give_up(ask)

    def _answer(self, index: int, ask: Asked) -> None:
        finals, machine = self._places[index].log.finals(ask.first), self.nodes[index].machine
        if isinstance(machine, Liar):
            finals = machine.serve(self.nodes[ask.asker].name, finals, self.kernel.now)
        self._reply(index, ask, finals)

    def _reply(self, index: int, ask: Asked, finals: tuple[Finalised, ...] | None) -> None:
        size = sum(len(encode(final)) for final in finals or ())
        hearers = self._hearers(index, self.nodes[ask.asker].name)
        answer = ask, self.nodes[index].name, finals
        copies = self._transmit(index, ask.asker, size, self._answered, answer) if ask.asker in hearers else 0
        self._background += copies
        if not copies:
            self._give_up(ask)

    def _give_up(self, ask: Asked) -> None:
        """Take it that there is no answer, if there is none when its time is over."""
        self._background += 1
        self._await(ask.asker, max(ask.at + TIMEOUT_NS, self.kernel.now), self._answered, (ask, "", None))

    def _answered(self, index: int, answer: _Answer) -> None:
        self._background -= 1
        (ask, peer, finals), follower = answer, self._follower(index)
        if follower.ticket != ask.ticket or not follower.is_asking:
            return
        follower.has_answer |= finals is not None
        if not finals:
            self._missed(index)
            return
        follower.ticket += 1
        size = sum(len(encode(final)) for final in finals)
        self._queue(index, (Blocks(tuple(Received(peer, final) for final in finals)), size))
        self._queue(index, (Fetched(ask.first - 1), 0))

    def _go_on(self, index: int, fetched: Fetched) -> None:
        """After an answer: there may be more where these came from."""
        if self._height(index) > fetched.height:
            self._follower(index).silent = 0
            self._ask(index)
        else:
            self._missed(index)

    def _missed(self, index: int) -> None:
        """A peer had nothing: ask the next one, or, when nobody has more, wait."""
        follower, place = self._follower(index), self._places[index]
        follower.is_asking = False
        follower.silent += 1
        if not follower.has_asked_all:
            self._ask(index)
            return
        if place.is_syncing and follower.has_answer:
            # As far as can be known, this is the end of the chain.  One that is alone knows nothing, and says nothing.
            place.is_syncing = False
            while place.held:
                self._queue(index, place.held.popleft())
        self._arm(index, follower.pause_ns(is_syncing=place.is_syncing))
