"""Records into a store, sealed on the way and never whole in memory."""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256

from ehrcore.block import RecordRef
from ehrcore.drive.net.objects import Store
from ehrcore.errors import StorageError
from ehrcore.hashing import HashSuite
from ehrcore.records import RecordKind, locate
from ehrcore.sealing import record_context, seal_stream


def put_sealed(
    store: Store, suite: HashSuite, key: bytes, kind: RecordKind, pseudonym: bytes, read: Callable[[], Iterable[bytes]]
) -> RecordRef:
    """Seal what ``read()`` gives under the fresh ``key``, keep it where its digest says, and return what is declared.

    ``read`` is called twice and must give the same both times: an object's place is known when it has been sealed once,
    and sealing it again costs less than keeping it meanwhile.  `StorageError` if it does not; then take a new key.
    """
    context, digest, place, size = record_context(kind, pseudonym), suite.new(b""), sha256(), 0
    for chunk in seal_stream(key, context, read()):
        digest.update(chunk)
        place.update(chunk)
        size += len(chunk)
    reference = RecordRef(int(kind), pseudonym, digest.digest(), locate(kind, place.hexdigest()), size)
    store.put_stream(reference.location, _require(suite, reference, seal_stream(key, context, read())))
    return reference


def _require(suite: HashSuite, reference: RecordRef, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """``chunks`` as they come; `StorageError` instead of their end if they were not what ``reference`` declares."""
    digest, size = suite.new(b""), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        if size > reference.size_bytes:
            break
        yield chunk
    if (size, digest.digest()) != (reference.size_bytes, reference.digest):
        raise StorageError(f"{reference.location}: expected the object that was declared, found another")
