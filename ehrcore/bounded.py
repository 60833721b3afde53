"""Memory within bounds: the oldest is forgotten for the newest."""

from typing import Any


def make_room(table: dict[Any, Any], limit: int) -> None:
    """Take the oldest entry out of a table that holds ``limit`` of them."""
    if len(table) >= limit:
        del table[next(iter(table))]


class RecentSet:
    """At most ``limit`` members, oldest out first."""

    __slots__ = ("_items", "_limit")

    def __init__(self, limit: int) -> None:
        self._items: dict[bytes, None] = {}
        self._limit = limit

    def __contains__(self, item: bytes) -> bool:
        return item in self._items

    def add(self, item: bytes) -> None:
        """Remember ``item`` as the newest."""
        self._items.pop(item, None)
        make_room(self._items, self._limit)
        self._items[item] = None
