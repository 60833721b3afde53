"""A mapping whose copies cost nothing: each block may try changes on a copy of all certificates and consents.

One version holds the content, each other how it differs from a next one; whoever reads a version brings the content to
it first (shallow binding: Baker 1991, "Shallow Binding Makes Functional Arrays Fast").  On the version that was used
last, which is the one that counts, reading and writing take a `dict`'s constant time.
"""

from collections.abc import Hashable
from typing import Any, Final, Generic, TypeVar, cast

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_ABSENT: Final = object()


class _Version:
    """The content itself, or ``key`` and ``value`` by which this version differs from ``following``."""

    __slots__ = ("content", "following", "key", "value")

    def __init__(self, content: dict[Any, Any]) -> None:
        self.content: dict[Any, Any] | None = content
        self.following: _Version | None = None
        self.key: Any = None
        self.value: Any = None

    def differ(self, key: Any, following: "_Version") -> None:
        """Hand the content over to ``following``, which is about to change ``key``."""
        content = cast("dict[Any, Any]", self.content)
        self.content, self.following = None, following
        self.key, self.value = key, content.get(key, _ABSENT)
        following.content, following.following = content, None


def _bring(version: _Version) -> dict[Any, Any]:
    """Bring the content to ``version``, from wherever it is."""
    path = [version]
    while path[-1].content is None:
        path.append(cast("_Version", path[-1].following))
    holder = path.pop()
    while path:
        target = path.pop()
        key, value = target.key, target.value
        holder.differ(key, target)
        content = cast("dict[Any, Any]", target.content)
        if value is _ABSENT:
            content.pop(key, None)
        else:
            content[key] = value
        target.key = target.value = None
        holder = target
    return cast("dict[Any, Any]", version.content)


class ForkedDict(Generic[K, V]):
    """Values by key, with `fork`; a key with the value ``none`` is as one that was never set, and takes no space."""

    __slots__ = ("_none", "_version")

    def __init__(self, none: V) -> None:
        self._none, self._version = none, _Version({})

    def fork(self) -> "ForkedDict[K, V]":
        """An independent copy, in constant time."""
        twin: ForkedDict[K, V] = ForkedDict.__new__(ForkedDict)
        twin._none, twin._version = self._none, self._version
        return twin

    def content(self) -> dict[K, V]:
        """The mapping itself, only to be read, and only until the next call on this or any fork of it."""
        found = self._version.content
        return _bring(self._version) if found is None else found

    def get(self, key: K) -> V:
        """The value of ``key``, or ``none``."""
        return self.content().get(key, self._none)

    def __contains__(self, key: K) -> bool:
        return key in self.content()

    def __len__(self) -> int:
        return len(self.content())

    def __setitem__(self, key: K, value: V) -> None:
        self.content()
        following = _Version({})
        self._version.differ(key, following)
        content = cast("dict[Any, Any]", following.content)
        if value == self._none:
            content.pop(key, None)
        else:
            content[key] = value
        self._version = following
