"""Sealed records: authenticated encryption of an object that is stored where nobody need be trusted.

A sealed object is a header (format, segment size, key commitment) and segments of AES-256-GCM in the STREAM
construction (Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance, 2015; age encrypts files this way): a segment's nonce is its number and whether it is the last, so
that what is cut off, repeated, moved or appended does not open, and a large object is read with one segment in memory.
Encryption key and commitment come from the record's key by HKDF-SHA256 (RFC 5869), each under a label of its own with
the format, the segment size and the context: the record's kind and patient.

Why a commitment: GCM's tag binds its key to nothing.  Whoever makes a ciphertext can make one that opens under two keys
to two contents ('invisible salamanders': Dodis, Grubbs, Ristenpart, Woodage: Fast Message Franking, 2018; Len, Grubbs,
Ristenpart: Partitioning Oracle Attacks, 2021).  The chain binds the digest of the sealed object alone, so an author
could hand one key to the patient and another to the auditor, and both would hold 'the' record.  With 32 bytes derived
from the key in the header, two keys for one object are a collision of SHA-256.
"""

import hmac
from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import chain
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ehrcore.errors import ParameterError, StorageError

RECORD_KEY_BYTES: Final = 32
MAGIC: Final = b"EHRSEAL\x01"
#: A segment's content, in bytes; larger ones are no faster (`limits`, sealing), and each is held in memory.
SEGMENT_BYTES: Final = 1 << 16
#: What an object may say instead: a reader must not be made to hold more.
SEGMENT_SIZES: Final = frozenset(1 << bits for bits in range(10, 21))
COMMITMENT_BYTES: Final = 32
TAG_BYTES: Final = 16
_PREFIX_BYTES: Final = len(MAGIC) + 4
HEADER_BYTES: Final = _PREFIX_BYTES + COMMITMENT_BYTES

Bytes = bytes | bytearray | memoryview


def record_context(kind: int, pseudonym: bytes) -> bytes:
    """What a record is sealed for: it opens as this kind, for this patient, and as nothing else."""
    return b"record" + kind.to_bytes(1) + pseudonym


def sealed_size(plain_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> int:
    """Bytes of the sealed object of ``plain_bytes`` (at least 0): 44 for the header and 16 for each segment more."""
    return HEADER_BYTES + plain_bytes + TAG_BYTES * max(-(-plain_bytes // segment_bytes), 1)


def seal(key: bytes, context: bytes, plain: bytes) -> bytes:
    """`seal_stream` at once."""
    return _gather(sealed_size(len(plain)), seal_stream(key, context, (plain,)))


def open_sealed(key: bytes, context: bytes, sealed: bytes) -> bytes:
    """`open_stream` at once: all of the content, or `StorageError`."""
    return _gather(len(sealed), open_stream(key, context, (sealed,)))


def seal_stream(
    key: bytes, context: bytes, chunks: Iterable[Bytes], segment_bytes: int = SEGMENT_BYTES
) -> Iterator[bytes]:
    """The sealed object of what ``chunks`` hold together, however they are cut: the header, then segment by segment.

    ``key`` is 32 random bytes made for this one content: a second content under the same key and context would
    reuse nonces, which gives both away.  The same arguments give the same bytes, so that a try can be repeated.
    `ParameterError` for a key or segment size that cannot be used.
    """
    if segment_bytes not in SEGMENT_SIZES:
        raise ParameterError(f"segment: expected a power of two from 1 KiB to 1 MiB, found {segment_bytes}")
    prefix = MAGIC + segment_bytes.to_bytes(4)
    commitment, aead = _derive(key, prefix, context)
    yield prefix + commitment
    for index, (segment, is_last) in enumerate(_cut(chunks, segment_bytes)):
        yield aead.encrypt(_nonce(index, is_last=is_last), segment, None)


def open_stream(key: bytes, context: bytes, chunks: Iterable[Bytes]) -> Iterator[bytes]:
    """The content of a sealed object, segment by segment, each verified before it is given out.

    `StorageError` when a segment, the key or the context is not what it was sealed with; it says nothing of the
    content.  That the object was cut short is known at its end alone: act on nothing before.
    """
    stream, head, rest = iter(chunks), bytearray(), memoryview(b"")
    while len(head) < HEADER_BYTES:
        chunk = next(stream, None)
        if chunk is None:
            raise StorageError(f"sealed record: expected a header of {HEADER_BYTES} bytes, found {len(head)}")
        room, view = HEADER_BYTES - len(head), memoryview(chunk)
        head += view[:room]
        rest = view[room:]
    segment_bytes, aead = _meet(key, context, bytes(head))
    if aead is None:
        raise StorageError("sealed record: expected the key, kind and patient that it was sealed for, found others")
    for index, (segment, is_last) in enumerate(_cut(chain((rest,), stream), segment_bytes + TAG_BYTES)):
        try:
            plain = aead.decrypt(_nonce(index, is_last=is_last), segment, None)
        except InvalidTag:
            raise StorageError(f"sealed record: expected segment {index} as it was sealed, found it altered") from None
        if index and not plain:  # one content, one sealed form
            raise StorageError(f"sealed record: expected no empty segment, found segment {index} empty")
        yield plain


def _derive(key: bytes, prefix: bytes, context: bytes) -> tuple[bytes, AESGCM]:
    """Commitment and cipher.  The prefix is of fixed length, so label, prefix and context cannot be read otherwise."""
    if len(key) != RECORD_KEY_BYTES:
        raise ParameterError(f"record key: expected {RECORD_KEY_BYTES} bytes, found {len(key)}")
    commitment, secret = (
        HKDF(SHA256(), 32, None, label + prefix + context).derive(key) for label in (b"commit|", b"encrypt|")
    )
    return commitment, AESGCM(secret)


def _meet(key: bytes, context: bytes, head: bytes) -> tuple[int, AESGCM | None]:
    """The segment size that a header says, and the cipher if it commits to ``key`` and ``context``."""
    prefix, claimed = head[:_PREFIX_BYTES], head[_PREFIX_BYTES:]
    segment_bytes = int.from_bytes(prefix[len(MAGIC) :])
    if len(head) != HEADER_BYTES or not prefix.startswith(MAGIC) or segment_bytes not in SEGMENT_SIZES:
        raise StorageError("sealed record: expected the format of sealed records, version 1, found another")
    commitment, aead = _derive(key, prefix, context)
    return segment_bytes, aead if hmac.compare_digest(commitment, claimed) else None


def _nonce(index: int, *, is_last: bool) -> bytes:
    return index.to_bytes(11) + bytes((is_last,))


def _gather(most_bytes: int, chunks: Iterable[bytes]) -> bytes:
    """All of ``chunks`` in one piece, which is in memory once.

    ``b"".join`` would keep them all until it has copied them; twice a record is more than the C library's allocator
    keeps for the next, and fresh memory from the kernel takes twice as long as encryption and hash together.
    """
    whole = BytesIO(bytes(most_bytes))
    for chunk in chunks:
        whole.write(chunk)
    whole.truncate()
    return whole.getvalue()


def _cut(chunks: Iterable[Bytes], size: int) -> Iterator[tuple[Bytes, bool]]:
    """All bytes in segments of ``size``, and whether each is the last: of 1 to ``size`` bytes, 0 if there are none.

    Segments that lie whole in a chunk are views into it and are not copied.
    """
    held = bytearray()
    for chunk in chunks:
        view = memoryview(chunk)
        if held:
            room = size - len(held)
            held += view[:room]
            view = view[room:]
            if not view:
                continue
            yield held, False
            held = bytearray()
        start = 0
        while len(view) - start > size:
            yield view[start : start + size], False
            start += size
        held += view[start:]
    yield held, True
