"""What is said again until it is final: an agent's endorsements, a coordinator's approvals.

Messages get lost with whoever held them in memory.  To repeat them from end to end, until the chain shows the
transaction, makes up for all such losses at once.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from ehrcore.effects import Send
from ehrcore.types import MINUTE, SECOND

#: When it is said again: after this, then after twice as long, and so on up to a minute (ns).
FIRST_PAUSE: Final = 10 * SECOND
LONGEST_PAUSE: Final = MINUTE
#: When it is given up, if the chain goes on without it: so long after it was said, or the node was started (ns).
GIVE_UP_AFTER: Final = 120 * MINUTE


@dataclass(slots=True)
class _Item:
    send: Send
    author: str
    due: int
    pause: int
    until: int


class Repeats:
    """Messages by transaction."""

    def __init__(self) -> None:
        self._items: dict[bytes, _Item] = {}
        self._by_author: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, tx_id: bytes) -> bool:
        return tx_id in self._items

    def count_of(self, author: str) -> int:
        return self._by_author[author]

    def add(self, tx_id: bytes, send: Send, author: str, now: int, pause: int = FIRST_PAUSE) -> None:
        """Say ``send``, which has just been said, again from ``now + pause`` on."""
        self._forget(tx_id)
        self._items[tx_id] = _Item(send, author, now + pause, FIRST_PAUSE, now + GIVE_UP_AFTER)
        self._by_author[author] += 1

    def _forget(self, tx_id: bytes) -> bool:
        item = self._items.pop(tx_id, None)
        if item is None:
            return False
        self._by_author[item.author] -= 1
        if not self._by_author[item.author]:
            del self._by_author[item.author]
        return True

    def next_due(self) -> int | None:
        """When something is to be said again (ns); None if nothing is."""
        return min((item.due for item in self._items.values()), default=None)

    def settle(self, tx_ids: Iterable[bytes]) -> list[bytes]:
        """Forget what is final; those that were there."""
        return [tx_id for tx_id in tx_ids if self._forget(tx_id)]

    def repeat(self, now: int, say: Callable[[Send], None], *, is_moving: bool) -> tuple[int, list[bytes]]:
        """Say what is due; how many that were, and what is given up and forgotten, if the chain ``is_moving``."""
        expired = [tx_id for tx_id, item in self._items.items() if is_moving and item.until <= now]
        for tx_id in expired:
            self._forget(tx_id)
        due = [item for item in self._items.values() if item.due <= now]
        for item in due:
            say(item.send)
            item.pause = min(2 * item.pause, LONGEST_PAUSE)
            item.due = now + item.pause
        return len(due), expired
