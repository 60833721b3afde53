"""A mapping over another that holds only what has changed: to try something out without copying what is there.

A chain's state may hold a million entries, and a block changes fifteen; whether it may is known only in the end.
"""

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Overlay(Generic[K, V]):
    """Values by key; a key with the value ``none`` is as one that was never set.

    The parent must not change while another lies over it, until `absorb`.
    """

    __slots__ = ("changes", "none", "parent")

    def __init__(self, none: V, parent: "Overlay[K, V] | None" = None) -> None:
        self.none, self.parent = none, parent
        self.changes: dict[K, V] = {}

    def fork(self) -> "Overlay[K, V]":
        """A mapping over this one, in constant time."""
        return Overlay(self.none, self)

    def get(self, key: K) -> V:
        """The value of ``key`` as seen from here."""
        found, layer = self.changes.get(key), self.parent
        while found is None and layer is not None:
            found, layer = layer.changes.get(key), layer.parent
        return self.none if found is None else found

    def set(self, key: K, value: V) -> None:
        """Change it here; what lies below stays."""
        if self.parent is None and value == self.none:
            self.changes.pop(key, None)
        else:
            self.changes[key] = value

    def absorb(self, fork: "Overlay[K, V]") -> None:
        """Take over what has changed in ``fork``, which lies over this; the time it takes is that of the changes."""
        if fork.parent is not self:
            raise ValueError("fork: expected one of this, found another's")
        for key, value in fork.changes.items():
            self.set(key, value)
