"""Messages for heights that are still to come, kept within bounds that no peer can use up for the others."""

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

    __slots__ = ("_held", "_peers")

    def __init__(self, peers: tuple[str, ...]) -> None:
        self._peers = peers
        self._held: list[tuple[str, EarlyMessage]] = []

    def __len__(self) -> int:
        return len(self._held)

    def keep(self, sender: str, message: EarlyMessage, height: int) -> bool:
        """Keep a message while ``height`` is being decided, if there is room; nobody's flood takes another's."""
        if sender not in self._peers or height_of(message) > height + CATCH_UP_LIMIT:
            return False
        mine = [held for who, held in self._held if who == sender]
        if len(mine) >= EARLY_LIMIT // len(self._peers):
            return False
        # Whole blocks, which nobody may be able to check yet: one for each height.
        if isinstance(message, Finalised) and any(
            isinstance(held, Finalised) and height_of(held) == height_of(message) for held in mine
        ):
            return False
        self._held.append((sender, message))
        return True

    def take(self, height: int) -> list[tuple[str, EarlyMessage]]:
        """Hand out what was said of ``height``, in order, and forget what was said of heights before it."""
        waiting = [item for item in self._held if height_of(item[1]) == height]
        self._held = [item for item in self._held if height_of(item[1]) > height]
        return waiting
