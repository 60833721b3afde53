"""Off-chain storage as contracts see it: a path leads to bytes, or to nothing."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from ehrcore.block import RecordRef


class ObjectStore(Protocol):
    """Reads are what a contract may do; nothing on the chain trusts what they return before hashing it."""

    def get(self, location: str) -> bytes | None:
        """The object's bytes, or None if there is none at ``location``; `StorageError` if the store does not answer."""


@runtime_checkable
class StreamedStore(ObjectStore, Protocol):
    """A store that also gives out objects larger than memory."""

    def open(self, location: str) -> Iterator[bytes] | None:
        """The object's bytes in chunks, or None if there is none; `StorageError`, then or later, as in `get`."""


class DigestedStore(ABC):
    """A store in front of which this process has hashed objects already; a class, for that is fast to ask about."""

    @abstractmethod
    def get(self, location: str) -> bytes | None:
        """See `ObjectStore.get`."""

    @abstractmethod
    def digest(self, record: "RecordRef") -> bytes | None:
        """See `ehrcore.contracts.digest_object`."""


class MemoryStore:
    """Objects by location, in memory."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    def put(self, location: str, body: bytes) -> None:
        """Keep ``body`` under ``location``, replacing what was there."""
        self._objects[location] = body

    def get(self, location: str) -> bytes | None:
        """See `ObjectStore.get`."""
        return self._objects.get(location)
