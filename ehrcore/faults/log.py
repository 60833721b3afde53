"""What a simulated node has made durable: a real node's journal and ledger (`ehrcore.drive.net.journal`), in memory.

What others said is gathered and becomes durable with the node's own next word or block at the latest, as there: so a
crash may keep it or lose it, and the plan says which.
"""

from collections.abc import Iterable
from typing import Final, get_args

from ehrcore.block import Block, Transaction
from ehrcore.codec import encode
from ehrcore.consensus.early import height_of
from ehrcore.consensus.seam import Tip
from ehrcore.effects import Effect, Heard, Persist, Send
from ehrcore.hashing import HashSuite
from ehrcore.identity import Reason
from ehrcore.messages import Append, Ballot, Canvass, Endorse, Finalised, Propose, Stored, Vote, Word
from ehrcore.roles.context import Context, Kept
from ehrcore.state import is_order, keep_orders
from ehrcore.types import Role

#: As of the real ones: blocks whose transactions an administrator knows again, and most blocks in one answer.
REMEMBERED_BLOCKS: Final = 1_024
FETCHED_BLOCKS: Final = 32
_WORDS: Final = frozenset({Finalised, *get_args(Word)})


def is_urgent(effect: Effect) -> bool:
    """Whether the effect may leave only when it is durable: blocks, what an agent accepts, what is agreed on."""
    if type(effect) is not Send:
        return type(effect) is Persist
    message = effect.message
    return type(message) in _WORDS or (type(message) is Endorse and message.reason is Reason.ACCEPTED)


class Log:
    """One node's durable memory; ``height`` is that of the last block in it."""

    def __init__(self, name: str, role: Role, suite: HashSuite) -> None:
        self._name, self._role, self._suite = name, role, suite
        self.height = 0
        self._finals: list[Finalised] = []
        self._persists: list[Persist] = []
        # What is said again is kept once, in its first place.
        self._said: dict[Word | bytes, tuple[bool, Word]] = {}
        self._orders: dict[bytes, Transaction] = {}
        self._ordering: list[Block] = []
        self.pending: dict[bytes, Send] = {}

    def identify(self, tx: Transaction) -> bytes:
        """The transaction's id."""
        return self._suite.hash(encode(tx.body))

    def write(self, effects: Iterable[Effect]) -> None:
        """Keep what must be known again."""
        for effect in effects:
            if type(effect) is Send:
                self._note(effect)
            elif type(effect) is Heard:
                # A vote that is carried over is written together with the block that ends its height.
                self._say(effect.message, is_own=isinstance(effect.message, Ballot))
            elif type(effect) is Persist:
                self._persists.append(effect)
                self._add_final(Finalised(effect.block, effect.certificate))

    def _note(self, send: Send) -> None:
        message = send.message
        match message:
            case Propose() | Vote() if isinstance(message, Propose) or message.voter == self._name:
                self._say(message, is_own=True)
            case Canvass() | Ballot() | Append() | Stored():
                self._say(message, is_own=True)
            case Finalised() if self._role is Role.ADMINISTRATOR and message.block.header.height > self.height:
                self._add_final(message)
                self._said = {key: item for key, item in self._said.items() if height_of(item[1]) > self.height}
                if (ordering := keep_orders(message.block)) is not None:
                    self._ordering.append(ordering)
            case Endorse(reason=Reason.ACCEPTED, transaction=tx):
                self.pending[self.identify(tx)] = send
                if is_order(tx):
                    self._orders.setdefault(self.identify(tx), tx)
            case _:
                pass

    def _add_final(self, final: Finalised) -> None:
        self.height = final.block.header.height
        self._finals.append(final)

    def settle(self, tx_ids: Iterable[bytes]) -> None:
        """These are final: an agent need not say them again."""
        for tx_id in tx_ids:
            self.pending.pop(tx_id, None)

    def _say(self, word: Word, *, is_own: bool) -> None:
        # Where there is a signature it stands for all that it signs, and takes less time to look up.
        self._said.setdefault(getattr(word, "signature", word), (is_own, word))

    def tear(self) -> None:
        """Lose what was written after the last own word: nothing that has left rests on it."""
        items = list(self._said.items())
        last = max((place for place, (_, (is_own, _)) in enumerate(items) if is_own), default=-1)
        self._said = dict(items[: last + 1])

    def forget(self) -> None:
        """Lose all that was said at the height being decided, which no honest node does."""
        self._said.clear()

    def finals(self, first: int) -> tuple[Finalised, ...]:
        """Blocks from height ``first`` on, as many as one answer holds; none if that one is not there."""
        if not self._finals or first > self.height:
            return ()
        start = first - self._finals[0].block.header.height
        return tuple(self._finals[start : start + FETCHED_BLOCKS]) if start >= 0 else ()

    def keep(self, context: Context) -> Kept:
        """What a new process of this node is given; ``context`` is its own, with nothing kept yet."""
        if self._persists:
            state = context.open_state()
            for persist in self._persists:
                state.replay(persist.block, persist.certificate, persist.reasons)
            return Kept(state=state)
        if self._role is not Role.ADMINISTRATOR or not self._finals:
            return Kept(orders=tuple(self._orders.values()), heard=self._heard(1))
        header = self._finals[-1].block.header
        tip = Tip(header.height, self._suite.hash(encode(header)), header.timestamp)
        limit = max(REMEMBERED_BLOCKS, context.params.work.retarget_window)
        blocks = [final.block for final in self._finals[-limit:]]
        settled = tuple(self.identify(item.transaction) for block in blocks for item in block.transactions)
        recent = tuple(block.header for block in blocks)
        return Kept(tip, None, (), tuple(self._ordering), self._heard(tip.height + 1), settled, recent)

    def _heard(self, height: int) -> tuple[Word, ...]:
        return tuple(word for _, word in self._said.values() if height_of(word) == height)
