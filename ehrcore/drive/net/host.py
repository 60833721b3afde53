"""One role in a process: its events in, its effects out, and what must be durable before anything leaves.

Events are handled in slices of a few milliseconds, so that a long frame keeps no vote waiting; who sent them is
answered when what they have caused is durable (`Writer`).  So whoever has been answered has been heard for good.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from typing import Final

from ehrcore.block import Transaction
from ehrcore.codec import MAX_MESSAGE_BYTES, decode, encode
from ehrcore.consensus.seam import Tip
from ehrcore.drive.net.ahead import Ahead
from ehrcore.drive.net.custody import Custody
from ehrcore.drive.net.frames import Frame, peek_height
from ehrcore.drive.net.journal import Journal
from ehrcore.drive.net.library import Found, Library
from ehrcore.drive.net.links import Flow, Links
from ehrcore.drive.net.outgoing import Outgoing
from ehrcore.drive.net.plan import NetworkPlan
from ehrcore.drive.net.status import Counters, NodeStatus
from ehrcore.effects import Effect, Event, Received, RoleMachine, Send
from ehrcore.errors import EhrError, IdentityError
from ehrcore.identity import Reason
from ehrcore.ledger import Entry
from ehrcore.messages import (
    Approve,
    Ask,
    Commit,
    Endorse,
    Finalised,
    Message,
    Mined,
    Missing,
    Receipt,
    Refused,
    Submit,
    Word,
)
from ehrcore.roles import Agent, Context, Contributor, Coordinator
from ehrcore.state import ChainState
from ehrcore.types import MILLISECOND, Role

#: How long a slice of events may take before others get their turn.
SLICE_NS: Final = 4 * MILLISECOND
#: Transactions that an agent may have accepted and not seen final; more of them have to wait outside.
WAITING_LIMIT: Final = 16_384
#: As many of them may be of one author, and never more than half as many as there is room left, so that no flood of a
#: few keeps all others out: ``count`` authors that take all they get leave a newcomer a part in ``count + 2``.
AUTHOR_LIMIT: Final = 4_096


#: What a node of each role has to say to others; anything else is refused unread.
MAY_SAY: Final = {
    Role.VISITOR: (Submit,),
    Role.AGENT: (Endorse, Refused),
    Role.COORDINATOR: (Approve, Refused),
    Role.ADMINISTRATOR: (Word, Ask, Commit, Mined, Missing, Finalised, Submit),
    Role.CONTRIBUTOR: (Finalised, Receipt),
}


class BusyError(EhrError):
    """A node that has too much waiting to take more."""


class OldEpochError(EhrError):
    """A frame from before its sender's last start."""


class Phase(StrEnum):
    """Where a process stands."""

    STARTING = "starting"
    SYNCING = "syncing"
    READY = "ready"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Submission:
    """What an agent has made of a transaction; ``is_known`` if it had accepted it before."""

    tx_id: bytes
    reason: Reason
    is_known: bool


@dataclass(slots=True)
class _Heard:
    """The last frame of one sender; frames of one sender are handled one after the other."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    epoch: int = -1
    sequence: int = -1


def steady_clock() -> Callable[[], int]:
    """Nanoseconds of the wall clock at the start, and from there on a clock that nobody sets back."""
    begin = time.time_ns() - time.monotonic_ns()
    return lambda: begin + time.monotonic_ns()


class NodeHost:
    """A role, its files and its links.  All methods belong to one event loop."""

    def __init__(
        self,
        plan: NetworkPlan,
        context: Context,
        machine: RoleMachine,
        links: Links,
        journal: Journal,
        library: Library | None,
        ahead: Ahead | None = None,
    ) -> None:
        self.plan, self.name, self.role = plan, context.me, plan.roles()[context.me]
        self.machine, self.crypto, self.params, self.chain = machine, context.crypto, context.params, context.chain
        self.links, self.keys = links, links.keys
        self.journal, self.library, self._ahead = journal, library, ahead
        self.phase, self.counters = Phase.STARTING, Counters()
        #: A contributor's shares of records' keys.
        self.custody: Custody | None = None
        self._roles, self._clock = plan.roles(), links.now
        self.started_at = self.now()
        self._effects: list[Effect] = []
        self._heard: defaultdict[str, _Heard] = defaultdict(_Heard)
        tip = journal.tip() or Tip(0, self.chain, self.params.genesis_time)
        self.out = Outgoing(self, tip)
        #: Set when the node cannot go on: a disk that is full, or a bug.
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        #: Set when a final block has come that does not follow the last one: time to ask for those between.
        self.gap = asyncio.Event()

    # -- time and start ----------------------------------------------------------------------------------------

    def now(self) -> int:
        """Nanoseconds, never going back."""
        return self._clock()

    def become_ready(self) -> None:
        """The node has caught up, as far as it can know."""
        if self.phase in {Phase.STARTING, Phase.SYNCING}:
            self.phase = Phase.READY

    @property
    def has_caught_up(self) -> bool:
        """Whether nobody whom it has asked has more of the chain, or it is about to stop."""
        return self.phase in {Phase.READY, Phase.STOPPING}

    @property
    def state(self) -> ChainState | None:
        """The chain as a coordinator or contributor knows it."""
        return self.machine.state if isinstance(self.machine, Coordinator | Contributor) else None

    @property
    def height(self) -> int:
        """Height of the last final block that this node knows."""
        return self.state.height if self.state else self._last_block.height

    @property
    def tip(self) -> bytes:
        """Hash of that block; the chain's id if there is none."""
        return self.state.tip if self.state else self._last_block.block_hash

    @property
    def _last_block(self) -> Tip:
        return self.machine.tip if isinstance(self.machine, Agent) else self.out.tip

    def start(self) -> None:
        """Start the role, and take up again what was accepted before."""
        now = self.now()
        self.phase = Phase.SYNCING
        self._effects += self.machine.start(now)
        self._pass_on()
        coordinators = tuple(self.plan.names(Role.COORDINATOR))
        for tx_id, content in self.journal.pending().items():
            endorse = decode(content, Endorse)
            author = endorse.transaction.body.author
            self.out.repeats.add(tx_id, Send(coordinators, endorse), author, now, pause=0)

    # -- events in ---------------------------------------------------------------------------------------------

    async def receive(self, frame: Frame) -> bool:
        """Handle a frame's messages, durably; False if they had been handled before.

        `CodecError` if a message is none, `IdentityError` if it is not for its sender to say (then none of the frame's
        is handled), `BusyError`, `OldEpochError`.
        """
        heard = self._heard[frame.sender]
        async with heard.turn:
            if frame.epoch < heard.epoch:
                raise OldEpochError(f"frame of {frame.sender}: expected epoch {heard.epoch}, found {frame.epoch}")
            if (frame.epoch, frame.sequence) <= (heard.epoch, heard.sequence):
                return False
            role = self._roles[frame.sender]
            # Administrators submit evidence: of what one says against itself there is no end.
            if role is Role.VISITOR or (role is Role.ADMINISTRATOR and self.role is Role.AGENT):
                self._require_room(frame.sender)
            if self.role is Role.ADMINISTRATOR and self.phase is not Phase.READY:
                # It might say again, differently, what it has said: first it has to know where the chain is.
                raise BusyError(f"{self.name}: expected to have asked for the chain, found phase {self.phase}")
            messages = self._read(frame, role)
            flow = self.counters.received.setdefault(role.value, Flow(0, 0))
            flow.messages += len(frame.messages)
            flow.size_bytes += sum(map(len, frame.messages))
            self.counters.frames_in += 1
            if self._ahead is not None:
                await self._ahead.fetch(messages)
            await self.process([Received(frame.sender, message) for message in messages])
            self._note_gap(messages)
            heard.epoch, heard.sequence = frame.epoch, frame.sequence
            return True

    def _read(self, frame: Frame, role: Role) -> list[Message]:
        # A block that is known already need not be read, from whoever may send blocks.
        least = self.height if Finalised in MAY_SAY[role] else -1
        new = (data for data in frame.messages if peek_height(data) > least)
        messages: list[Message] = [decode(data, Message) for data in new]  # type: ignore[arg-type]
        for message in messages:
            if not isinstance(message, MAY_SAY[role]):
                found = type(message).__name__
                raise IdentityError(f"frame of {frame.sender}: expected what a {role.value} says, found {found}")
        return messages

    async def process(self, events: Sequence[Event]) -> None:
        """Handle events slice by slice; what they have caused is durable and on its way when this returns."""
        index = 0
        while index < len(events):
            end = time.perf_counter_ns() + SLICE_NS
            now = self.now()
            while index < len(events) and time.perf_counter_ns() < end:
                self._handle(events[index], now)
                index += 1
            self._pass_on()
            if index < len(events):
                await asyncio.sleep(0)
        await self.out.flush()

    def _note_gap(self, messages: Sequence[Message]) -> None:
        last = messages[-1] if messages else None
        if isinstance(last, Finalised) and last.block.header.height > self.height + 1:
            self.gap.set()

    def _handle(self, event: Event, now: int) -> None:
        try:
            self._effects += self.machine.handle(event, now)
        except Exception as error:
            self.fail(error)
            raise

    def _pass_on(self) -> None:
        effects, self._effects = self._effects, []
        self.out.take(effects)

    def fail(self, error: BaseException) -> None:
        """End the node, for this reason."""
        if not self.failure.done():
            self.failure.set_exception(error)

    def _require_room(self, author: str) -> None:
        waiting, of_author = len(self.out.repeats), self.out.repeats.count_of(author)
        if self.phase is Phase.STOPPING or waiting >= WAITING_LIMIT or self.links.is_congested:
            raise BusyError(f"{self.name}: expected fewer than {WAITING_LIMIT} transactions to wait, found {waiting}")
        most = min(AUTHOR_LIMIT, -(-(WAITING_LIMIT - waiting) // 2))
        if of_author >= most:
            raise BusyError(f"{author}: expected fewer than {most} transactions to wait, found {of_author}")

    async def submit(self, tx: Transaction) -> Submission:
        """An agent's verdict on a transaction, durable if it is accepted; `BusyError` if it has to wait outside."""
        self._require_room(tx.body.author)
        tx_id = self.out.identify(tx)
        if tx_id in self.out.repeats:
            await self.out.flush()
            return Submission(tx_id, Reason.ACCEPTED, is_known=True)
        if tx_id in self.out.abandoned:
            return Submission(tx_id, self.out.abandoned[tx_id], is_known=True)
        self._handle(Received("", Submit(tx)), self.now())
        # What the agent says to coordinators may be more than a stranger is to learn.
        refusals = (
            effect.message.reason
            for effect in self._effects
            if type(effect) is Send and type(effect.message) is Refused and effect.message.transaction == tx_id
        )
        reason = next(refusals, Reason.ACCEPTED)
        self._pass_on()
        await self.out.flush()
        return Submission(tx_id, reason, is_known=False)

    # -- questions ---------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Transactions that are not known to be final."""
        return len(self.out.repeats)

    def find(self, tx_id: bytes) -> Found | None:
        """What became of a transaction; None if this node keeps no ledger, or not this one."""
        return self.library.find(tx_id) if self.library else None

    def receipt(self, tx_id: bytes) -> Receipt | None:
        """The proof that a transaction is final, from the ledger."""
        return self.library.receipt(tx_id) if self.library else None

    def entries(self, first: int, last: int) -> list[Entry]:
        """The ledger's entries of heights ``[first, last)``."""
        return self.library.entries(first, last) if self.library else []

    def finals(self, first: int, limit: int) -> tuple[Finalised, ...]:
        """Up to ``limit`` final blocks from height ``first`` on, as far as this node has them."""
        if self.library is not None:
            finals = [Finalised(entry.block, entry.certificate) for entry in self.library.entries(first, first + limit)]
        else:
            finals = [decode(content, Finalised) for content in self.journal.finals(first, limit)]
        # One message has to hold them all; a single one always fits.
        sizes = accumulate(len(encode(final)) for final in finals)
        return tuple(final for final, total in zip(finals, sizes, strict=True) if total < MAX_MESSAGE_BYTES - 64)

    def status(self) -> NodeStatus:
        from ehrcore.drive.net.status import build_status  # noqa: PLC0415 - status knows the host

        return build_status(self)

    # -- end ---------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Stop, send what is queued, and release the files."""
        self.phase = Phase.STOPPING
        if self._ahead is not None:
            self._ahead.close()
        await self.out.close()
        self.journal.close()
        if self.custody is not None:
            self.custody.close()
        if self.library is not None:
            self.library.close()
