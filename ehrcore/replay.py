"""Anti-replay windows: each nonce of an author counts once, in any order within a window (RFC 4303 section 3.4.3).

A strict counter would refuse transactions that overtook each other on the network; remembering every nonce would
grow for ever.
"""

from collections.abc import Iterable
from typing import Final, Self

WINDOW: Final = 4_096


class ReplayWindows:
    """One window per author: the highest nonce seen and a bit for each of the `WINDOW` nonces up to it."""

    __slots__ = ("_windows",)

    def __init__(self) -> None:
        self._windows: dict[str, tuple[int, int]] = {}

    def is_fresh(self, author: str, nonce: int) -> bool:
        """Whether this nonce of this author is new and not older than the window."""
        highest, bits = self._windows.get(author, (-1, 0))
        age = highest - nonce
        return age < 0 or (age < WINDOW and not bits >> age & 1)

    def add(self, author: str, nonce: int) -> None:
        """Mark a fresh nonce as used."""
        highest, bits = self._windows.get(author, (-1, 0))
        if nonce > highest:
            bits = (bits << min(nonce - highest, WINDOW)) & ((1 << WINDOW) - 1) | 1
            self._windows[author] = nonce, bits
        else:
            self._windows[author] = highest, bits | 1 << (highest - nonce)

    @classmethod
    def restore(cls, entries: Iterable[tuple[str, int, bytes]]) -> Self:
        """Windows with this content, as `entries` gave it."""
        windows = cls()
        windows._windows = {name: (high, int.from_bytes(bits)) for name, high, bits in entries}
        return windows

    def entries(self) -> tuple[tuple[str, int, bytes], ...]:
        """Content in a canonical order, for a digest of the state."""
        return tuple((name, high, bits.to_bytes(WINDOW // 8)) for name, (high, bits) in sorted(self._windows.items()))
