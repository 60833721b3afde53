"""What is said again until it is final: an agent's endorsements, a coordinator's approvals.

Messages get lost with whoever held them in memory.  To repeat them from end to end, until the chain shows the
transaction, makes up for all such losses at once.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from ehrcore.effects import Send
from ehrcore.types import MILLISECOND, MINUTE, SECOND

#: When it is said again: after this, then after twice as long, and so on up to a minute (ns).
FIRST_PAUSE: Final = 10 * SECOND
LONGEST_PAUSE: Final = MINUTE
#: When it is asked whether it is final: as often, but from here on and up to here (ns).
FIRST_QUESTION: Final = 250 * MILLISECOND
LONGEST_QUESTION: Final = 8 * SECOND


@dataclass(slots=True)
class _Item:
    send: Send
    due: int
    pause: int
    until: int
    ask_at: int
    ask_pause: int = FIRST_QUESTION


class Repeats:
    """Messages by transaction; ``until`` (ns) is when one is given up, for it has become too old to be accepted."""

    def __init__(self) -> None:
        self._items: dict[bytes, _Item] = {}

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, tx_id: bytes) -> bool:
        return tx_id in self._items

    def add(self, tx_id: bytes, send: Send, now: int, until: int, pause: int = FIRST_PAUSE) -> None:
        """Say ``send``, which has just been said, again from ``now + pause`` on."""
        self._items[tx_id] = _Item(send, now + pause, FIRST_PAUSE, until, now + min(pause, FIRST_QUESTION))

    def settle(self, tx_ids: Iterable[bytes]) -> list[bytes]:
        """Forget what is final; those that were there."""
        return [tx_id for tx_id in tx_ids if self._items.pop(tx_id, None) is not None]

    def questions(self, now: int, limit: int) -> list[bytes]:
        """Up to ``limit`` transactions to ask about, oldest first; each one ever more rarely."""
        due = ((tx_id, item) for tx_id, item in self._items.items() if item.ask_at <= now)
        asked = [pair for pair, _ in zip(due, range(limit), strict=False)]
        for _, item in asked:
            item.ask_pause = min(2 * item.ask_pause, LONGEST_QUESTION)
            item.ask_at = now + item.ask_pause
        return [tx_id for tx_id, _ in asked]

    def repeat(self, now: int, say: Callable[[Send], None]) -> tuple[int, list[bytes]]:
        """Say what is due; how many that were, and what is given up and forgotten."""
        expired = [tx_id for tx_id, item in self._items.items() if item.until <= now]
        for tx_id in expired:
            del self._items[tx_id]
        due = [item for item in self._items.values() if item.due <= now]
        for item in due:
            say(item.send)
            item.pause = min(2 * item.pause, LONGEST_PAUSE)
            item.due = now + item.pause
        return len(due), expired
