"""Messages for heights that are still to come, kept within bounds that no peer can use up for the others."""

from collections import Counter
from typing import Final

from ehrcore.consensus.laggards import CATCH_UP_LIMIT
from ehrcore.messages import Append, Commit, Finalised, Propose, Vote, Word

#: How many messages are kept, shared evenly among the peers.
EARLY_LIMIT: Final = 4_096

StakeMessage = Propose | Vote | Finalised
EarlyMessage = StakeMessage | Append | Commit


def height_of(message: Word | Commit | Finalised) -> int:
    """The height that a message speaks of."""
    match message:
        case Finalised() | Append():
            return message.block.header.height
        case Propose() | Vote():
            return message.body.height
        case _:
            return message.height


def chain_of(message: StakeMessage) -> bytes:
    """The chain that a message claims to belong to."""
    return message.block.header.chain if isinstance(message, Finalised) else message.body.chain


class EarlyMessages:
    """What peers have said of heights after the one being decided."""

    __slots__ = ("_blocks", "_counts", "_held", "_peers")

    def __init__(self, peers: tuple[str, ...]) -> None:
        self._peers = peers
        self._held: dict[int, list[tuple[str, EarlyMessage]]] = {}
        self._counts: Counter[str] = Counter()
        self._blocks: set[tuple[str, int, type]] = set()

    def __len__(self) -> int:
        return sum(map(len, self._held.values()))

    def keep(self, sender: str, message: EarlyMessage, height: int) -> bool:
        """Keep a message while ``height`` is being decided, if there is room; nobody's flood takes another's."""
        at, kind = height_of(message), type(message)
        if sender not in self._peers or at > height + CATCH_UP_LIMIT:
            return False
        # Whole blocks, which nobody may be able to check yet: one of each kind for each height.
        is_block = isinstance(message, Finalised | Propose)
        if self._counts[sender] >= EARLY_LIMIT // len(self._peers) or (sender, at, kind) in self._blocks:
            return False
        if is_block:
            self._blocks.add((sender, at, kind))
        self._counts[sender] += 1
        self._held.setdefault(at, []).append((sender, message))
        return True

    def take(self, height: int) -> list[tuple[str, EarlyMessage]]:
        """Hand out what was said of ``height``, in order, and forget what was said of heights before it."""
        waiting = self._held.get(height, [])
        for at in [at for at in self._held if at <= height]:
            self._counts.subtract(sender for sender, _ in self._held.pop(at))
        self._blocks = {item for item in self._blocks if item[1] > height}
        return waiting
