"""All visitors of a network as one load: transactions in stock, what became of those submitted, and who listens."""

import math
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bench.net.replies import decode_reply, read_leaf
from bench.net.step import Finished, Moment
from ehrcore.block import RecordRef, Transaction, TransactionBody
from ehrcore.codec import decode
from ehrcore.drive.net.files import read_file, read_secret
from ehrcore.drive.net.frames import LinkKeys
from ehrcore.drive.net.links import Links
from ehrcore.drive.net.plan import NetworkFolder, NetworkPlan
from ehrcore.errors import EhrError
from ehrcore.messages import Refused, Submit
from ehrcore.params import majority
from ehrcore.roles import Context
from ehrcore.types import Role, node_id

if TYPE_CHECKING:
    from aiohttp import web


@dataclass(slots=True)
class _Visitor:
    """One visitor; ``places`` are those of its transactions in the load, by nonce."""

    context: Context
    keys: LinkKeys
    links: Links
    nonce: int = 0
    places: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Sent:
    """What is known of a transaction besides its instants: which contributors have it, which nodes refused it."""

    tx_id: bytes
    heard: int = 0
    refused_by: tuple[str, ...] = ()


class Visitors:
    """Visitors that submit what is in stock and take in receipts.

    Their transactions cite ``references``, a file of canonical `RecordRef`s, in turns.  While ``is_asking_again``, each
    transaction that a quorum has committed, or that is refused, is followed by another (the closed loop).
    """

    def __init__(self, folder: NetworkFolder, plan: NetworkPlan, references: Path) -> None:
        self._plan, self._params = plan, plan.open_genesis().params
        topology = self._params.topology
        self._agents = tuple(node_id(Role.AGENT, index) for index in range(topology.agents))
        self._bits = {node_id(Role.CONTRIBUTOR, index): 1 << index for index in range(topology.contributors)}
        self._visitors = {
            name: _open_visitor(folder, plan, name) for name, role in plan.roles().items() if role is Role.VISITOR
        }
        self._references = cycle(decode(read_file(references), tuple[RecordRef, ...]))
        self._turns = cycle(self._visitors.values())
        self.stock: deque[tuple[_Visitor, int, bytes, Submit]] = deque()
        self.moments: list[Moment] = []
        self._sent: list[_Sent] = []
        self.unsettled: dict[int, None] = {}
        self.completions: list[int] = []
        self.is_asking_again = False
        self.received: dict[str, dict[str, int]] = {}
        self.frames_in = 0
        self._runners: list[Any] = []

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._visitors)

    @property
    def queued(self) -> int:
        """Messages that wait for a link."""
        return sum(visitor.links.queued for visitor in self._visitors.values())

    @property
    def oldest_unsettled(self) -> float:
        """Place in the load of the first transaction of which it is not known what became of it; infinite for none."""
        return next(iter(self.unsettled), math.inf)

    @property
    def frames_out(self) -> int:
        """Frames sent so far."""
        return sum(visitor.links.sent.frames for visitor in self._visitors.values())

    def traffic(self) -> dict[str, dict[str, int]]:
        """Messages and bytes sent so far, by role of the receiver."""
        total: dict[str, dict[str, int]] = {}
        for visitor in self._visitors.values():
            for role, item in visitor.links.sent.by_role.items():
                _count(total, role, item.messages, item.size_bytes)
        return total

    async def start(self) -> None:
        """Open links and listen where the plan says."""
        from aiohttp import web

        for visitor in self._visitors.values():
            await visitor.links.start()
            runner = web.ServerRunner(web.Server(_Listener(self, visitor.keys).take, access_log=None))
            await runner.setup()
            place = self._plan.nodes[visitor.keys.me]
            await web.TCPSite(runner, place.host, place.port).start()
            self._runners.append(runner)

    async def close(self) -> None:
        """Neither send nor listen any more."""
        for visitor in self._visitors.values():
            await visitor.links.close()
        for runner in self._runners:
            await runner.cleanup()

    # -- out -------------------------------------------------------------------------------------------------------

    def build(self, count: int) -> None:
        """Have at least ``count`` signed transactions in stock."""
        while len(self.stock) < count:
            visitor = next(self._turns)
            context, crypto = visitor.context, visitor.context.crypto
            body = TransactionBody(context.chain, context.me, visitor.nonce, time.time_ns(), next(self._references))
            transaction = Transaction(body, crypto.sign(body))
            self.stock.append((visitor, visitor.nonce, crypto.hash_struct(body), Submit(transaction)))
            visitor.nonce += 1

    def submit(self, intended: int) -> None:
        """Send the next transaction, which was meant for ``intended`` (ns), to every agent; there is one in stock."""
        visitor, nonce, tx_id, message = self.stock.popleft()
        place = visitor.places[nonce] = len(self.moments)
        self.moments.append(Moment(intended, time.monotonic_ns()))
        self._sent.append(_Sent(tx_id))
        self.unsettled[place] = None
        visitor.links.send(self._agents, message)

    # -- in --------------------------------------------------------------------------------------------------------

    def take(self, me: str, sender: str, data: bytes) -> None:
        """A message of ``sender`` to the visitor ``me``: receipts and refusals; `msgspec.DecodeError` for others."""
        now, places = time.monotonic_ns(), self._visitors[me].places
        message = decode_reply(data)
        if isinstance(message, Refused):
            self._refuse(sender, message, now)
            return
        bit = self._bits.get(sender, 0)
        for entry in message.entries:
            author, nonce = read_leaf(entry.leaf)
            place = places.get(nonce)
            if author == me and place is not None and bit:
                self._commit(place, bit, entry.reason, now)

    def _commit(self, place: int, bit: int, reason: str, now: int) -> None:
        moment, sent = self.moments[place], self._sent[place]
        if sent.heard & bit:
            return
        sent.heard |= bit
        heard = sent.heard.bit_count()
        if heard == 1:
            moment.first, moment.verdict = now, reason
        if heard == majority(len(self._bits)):
            moment.quorum = now
            self._follow(now)
        if heard == len(self._bits):
            moment.everyone = now
            self.completions.append(now)
            self.unsettled.pop(place, None)

    def _refuse(self, sender: str, message: Refused, now: int) -> None:
        """Final once so many refuse that the policy cannot be met, as for `ehrcore.roles.visitor.Visitor`."""
        place = next((place for place in self.unsettled if self._sent[place].tx_id == message.transaction), None)
        if place is None or sender in self._sent[place].refused_by:
            return
        sent, moment = self._sent[place], self.moments[place]
        sent.refused_by += (sender,)
        role = sender.rpartition("-")[0]
        refusals = sum(name.startswith(f"{role}-") for name in sent.refused_by)
        topology, params = self._params.topology, self._params
        spare = {
            Role.AGENT.value: topology.agents - params.endorsements,
            Role.COORDINATOR.value: topology.coordinators - params.approvals,
        }
        if refusals > spare.get(role, len(self._plan.nodes)):
            moment.refused, moment.verdict = now, message.reason.value
            self.unsettled.pop(place)
            self._follow(now)

    def _follow(self, now: int) -> None:
        if self.is_asking_again and self.stock:
            self.submit(now)

    def count_received(self, sender: str, messages: tuple[bytes, ...]) -> None:
        """A frame has come."""
        self.frames_in += 1
        _count(self.received, sender.rpartition("-")[0], len(messages), sum(map(len, messages)))

    def report(self) -> Finished:
        """What was acknowledged by any contributor so far, and what was not."""
        known = [sent.tx_id.hex() for sent in self._sent if sent.heard]
        unknown = [sent.tx_id.hex() for sent in self._sent if not sent.heard]
        taken = [tx_id for visitor in self._visitors.values() for tx_id in self._taken(visitor)]
        return Finished(known, unknown, taken)

    def _taken(self, visitor: _Visitor) -> list[str]:
        """What at least one agent has taken, for a link delivers in order, and not refused."""
        most = max(visitor.links.taken(agent) for agent in self._agents)
        first = list(visitor.places.values())[:most]
        return [self._sent[place].tx_id.hex() for place in first if self.moments[place].refused is None]


class _Listener:
    """Takes frames for one visitor."""

    def __init__(self, visitors: Visitors, keys: LinkKeys) -> None:
        self._visitors, self._keys = visitors, keys

    async def take(self, request: "web.BaseRequest") -> "web.Response":
        """Any POST is a frame.  One that is sent twice changes nothing the second time."""
        from aiohttp import web

        try:
            frame = self._keys.open(await request.read())
            self._visitors.count_received(frame.sender, frame.messages)
            for data in frame.messages:
                self._visitors.take(self._keys.me, frame.sender, data)
        except (EhrError, msgspec.DecodeError) as error:
            return web.Response(status=400, text=str(error))
        return web.Response()


def _count(total: dict[str, dict[str, int]], role: str, messages: int, size_bytes: int) -> None:
    entry = total.setdefault(role, {"messages": 0, "size_bytes": 0})
    entry["messages"] += messages
    entry["size_bytes"] += size_bytes


def _open_visitor(folder: NetworkFolder, plan: NetworkPlan, name: str) -> _Visitor:
    context = folder.context(plan, name)
    keys = LinkKeys(plan, name, bytes.fromhex(read_secret(folder.node(name) / "link.key").decode()))
    return _Visitor(context, keys, Links(plan, keys, time.time_ns(), time.time_ns))
