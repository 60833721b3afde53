"""Objects looked up before a coordinator's contracts ask for them, so that no store holds up its node.

Contracts are plain functions and wait for what they read.  From a store over the network, or of a large object, that
would be milliseconds to seconds in which the node does nothing else.  So a frame's objects are hashed in threads,
together, before its messages are handled; frames of other senders go on meanwhile.
"""

import asyncio
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from ehrcore.block import RecordRef
from ehrcore.contracts import WHOLE_BYTES, digest_object
from ehrcore.crypto import Crypto
from ehrcore.drive.net.objects import FileStore, Store
from ehrcore.errors import StorageError
from ehrcore.messages import Endorse, Message
from ehrcore.storage import DigestedStore

#: Objects on their way at once.
THREADS: Final = 16
#: Digests that wait for their transaction's last endorsement.
REMEMBERED: Final = 16_384


class Ahead(DigestedStore):
    """A store as contracts see it, which has most answers already."""

    def __init__(self, store: Store, crypto: Crypto) -> None:
        self._store, self._is_near = store, isinstance(store, FileStore)
        # Its own, for a meter belongs to one thread; `digest_object` counts what comes from here.
        self._crypto = Crypto(crypto.suite, crypto.scheme)
        self._found: dict[RecordRef, bytes | StorageError | None] = {}
        self._threads = ThreadPoolExecutor(THREADS, "objects")

    async def fetch(self, messages: Iterable[Message]) -> None:
        """Look up what ``messages`` cite, if that may take long and is not known yet."""
        loop = asyncio.get_running_loop()
        wanted = {
            record: loop.run_in_executor(self._threads, self._look_up, record)
            for record in set(_cited(messages))
            if not ((self._is_near and record.size_bytes <= WHOLE_BYTES) or self._found.get(record) == record.digest)
        }
        for record, found in wanted.items():
            self._found.pop(record, None)
            self._found[record] = await found
        while len(self._found) > REMEMBERED:
            del self._found[next(iter(self._found))]

    def _look_up(self, record: RecordRef) -> bytes | StorageError | None:
        try:
            return digest_object(self._crypto, self._store, record)
        except StorageError as error:
            return error

    def digest(self, record: RecordRef) -> bytes | None:
        """See `ehrcore.storage.DigestedStore.digest`; what was looked up counts once."""
        found = self._found.pop(record) if record in self._found else digest_object(self._crypto, self._store, record)
        if isinstance(found, StorageError):
            raise found
        return found

    def get(self, location: str) -> bytes | None:
        return self._store.get(location)

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _cited(messages: Iterable[Message]) -> Iterator[RecordRef]:
    for message in messages:
        if isinstance(message, Endorse):
            payload = message.transaction.body.payload
            if isinstance(payload, RecordRef):
                yield payload
