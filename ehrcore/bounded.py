"""A set that forgets its oldest members: memory of what is settled, within bounds."""


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
        if len(self._items) >= self._limit:
            del self._items[next(iter(self._items))]
        self._items[item] = None
