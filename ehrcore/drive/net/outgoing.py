"""A role's effects on their way out: written down, made durable, and carried out.

What a crash takes from memory is made up for end to end.  An agent journals what it accepts and repeats its
endorsement, and a coordinator its approval, until it sees the transaction in a final block; blocks are fetched from
peers (`sync`).  All of these may come twice: roles count them once, and coordinators refuse what the chain holds
already.
"""

import asyncio
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from ehrcore.block import Transaction
from ehrcore.codec import encode
from ehrcore.consensus.early import height_of
from ehrcore.consensus.seam import Tip
from ehrcore.drive.grinders import HASHLIB, find_grinder
from ehrcore.drive.net.search import Search
from ehrcore.drive.net.writer import Writer
from ehrcore.drive.repeats import Repeats
from ehrcore.effects import Effect, Heard, Observed, ObservedKind, Persist, Send, SetTimer, TimerFired, Work
from ehrcore.identity import Reason
from ehrcore.messages import Append, Approve, Ballot, Canvass, Endorse, Finalised, Propose, Stored, Vote
from ehrcore.state import is_order, keep_orders
from ehrcore.types import SECOND, Role

if TYPE_CHECKING:
    from ehrcore.drive.net.host import NodeHost

#: How an administrator's host searches nonces (`find_grinder`): its own choice, as all searches find the same.
GRINDER_VARIABLE: Final = "EHRCORE_GRINDER"
#: Transactions that coordinators refused and that are remembered with the reason.
ABANDONED_LIMIT: Final = 16_384


class Outgoing:
    """What one node does about its role's effects; ``tip`` is an administrator's last block."""

    def __init__(self, host: "NodeHost", tip: Tip) -> None:
        self._name, self._role, self._suite, self.tip = host.name, host.role, host.crypto.suite, tip
        self._journal, self._links, self._counters = host.journal, host.links, host.counters
        self._now, self._process = host.now, host.process
        self.repeats = Repeats()
        #: Why coordinators refused what an agent had accepted, for authors who ask again.
        self.abandoned: dict[bytes, Reason] = {}
        grinder = os.environ.get(GRINDER_VARIABLE, HASHLIB) if host.role is Role.ADMINISTRATOR else HASHLIB
        self.search = Search(self._suite, find_grinder(grinder, self._suite), lambda found: host.process((found,)))
        self._writer = Writer(host.journal, host.library, self._release, host.fail)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._firing: set[asyncio.Future[None]] = set()

    def take(self, effects: Sequence[Effect]) -> None:
        """Carry out effects, each once that is durable which must not be forgotten before it."""
        for effect in effects:
            if type(effect) is Send:
                self._note(effect)
            elif type(effect) is Heard:
                self._journal.say(height_of(effect.message), encode(effect.message), is_own=False)
        self._writer.add(effects)

    async def flush(self) -> None:
        """Wait until everything taken so far has left; raises what the disk says if it cannot be kept."""
        await self._writer.flush()

    def _note(self, send: Send) -> None:
        message = send.message
        match message:
            case Endorse(transaction=tx, reason=Reason.ACCEPTED) | Approve(transaction=tx):
                tx_id = self.identify(tx)
                self.repeats.add(tx_id, send, tx.body.author, self._now())
                if isinstance(message, Endorse):
                    self._journal.add_pending(tx_id, encode(message))
                    if is_order(tx):
                        self._journal.add_order(tx_id, encode(tx))
            case Finalised() if self._role is Role.ADMINISTRATOR and message.block.header.height > self.tip.height:
                self._note_final(message)
            case Vote() if message.voter != self._name:
                pass
            case Propose() | Vote() | Canvass() | Ballot() | Append() | Stored():
                self._journal.say(height_of(message), encode(message), is_own=True)
            case _:
                pass

    def _note_final(self, final: Finalised) -> None:
        header = final.block.header
        self.tip = Tip(header.height, self._suite.hash(encode(header)), header.timestamp)
        self._journal.add_final(self.tip, encode(final))
        ordering = keep_orders(final.block)
        if ordering is not None:
            self._journal.add_order(self.tip.block_hash, encode(ordering))

    def identify(self, tx: Transaction) -> bytes:
        return self._suite.hash(encode(tx.body))

    def _release(self, effect: Effect) -> None:
        match effect:
            case Send(to=to, message=message):
                self._links.send(to, message)
            case SetTimer(name=name, delay_ns=delay_ns):
                self._set_timer(name, delay_ns)
            case Observed():
                self._observe(effect)
            case Persist(block=block):
                signed_at = (item.transaction.body.submitted_at for item in block.transactions)
                self._counters.latencies_ns.extend(map(self._now().__sub__, signed_at))
            case Work():
                self.search.start(effect)
            case _:
                pass  # the tip is the journal's, and objects lie where whoever submits has put them

    def _observe(self, observed: Observed) -> None:
        counters = self._counters
        counted = {
            ObservedKind.DROPPED: counters.dropped, ObservedKind.ABANDONED: counters.dropped,
            ObservedKind.STALE: counters.stale, ObservedKind.REORGANISED: counters.reorganisations,
        }  # fmt: skip
        counts = counted.get(observed.kind)
        if counts is not None:
            reason = observed.detail.partition(":")[0]
            counts[reason] = counts.get(reason, 0) + 1
        if observed.kind is ObservedKind.ABANDONED:
            self.abandoned |= dict.fromkeys(observed.subjects, Reason(observed.detail))
            while len(self.abandoned) > ABANDONED_LIMIT:
                del self.abandoned[next(iter(self.abandoned))]
        if observed.kind in {ObservedKind.SETTLED, ObservedKind.ABANDONED}:
            self.settle(observed.subjects)

    def _set_timer(self, name: str, delay_ns: int) -> None:
        held = self._timers.pop(name, None)
        if held is not None:
            held.cancel()
        self._timers[name] = asyncio.get_running_loop().call_later(delay_ns / SECOND, self._fire, name)

    def _fire(self, name: str) -> None:
        del self._timers[name]
        task = asyncio.ensure_future(self._process((TimerFired(name),)))
        self._firing.add(task)
        task.add_done_callback(self._fired)

    def _fired(self, task: "asyncio.Future[None]") -> None:
        self._firing.discard(task)
        if not task.cancelled():
            task.exception()  # whatever it is, the node has failed with it already

    # -- until it is final -------------------------------------------------------------------------------------

    def settle(self, tx_ids: Iterable[bytes]) -> None:
        """These are final: nothing of them is said again."""
        settled = self.repeats.settle(tx_ids)
        if self._role is Role.AGENT:
            self._journal.settle(settled)

    def repeat(self, *, is_moving: bool) -> None:
        """Say again what has not become final in a long time.

        What has not although the chain is moving is given up in the end: it was refused on its way, for good.
        """
        count, expired = self.repeats.repeat(
            self._now(), lambda send: self._links.send(send.to, send.message), is_moving=is_moving
        )
        self._counters.resent += count
        self._counters.expired += len(expired)
        if self._role is Role.AGENT:
            self._journal.settle(expired)

    async def close(self) -> None:
        """Stop timers and searches; write and send what is left."""
        for timer in self._timers.values():
            timer.cancel()
        self.search.stop()
        await self._writer.close()
        await self._links.drain(2.0)
        await self._links.close()
