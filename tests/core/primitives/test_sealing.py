"""Sealed records: whatever is changed, cut off, moved or appended does not open; nor does a second key."""

import hashlib
import hmac
from collections.abc import Iterator
from itertools import pairwise

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import example, given
from hypothesis import strategies as st

from ehrcore.block import LOCATION_CHARS
from ehrcore.errors import ParameterError, StorageError
from ehrcore.records import RecordKind, locate
from ehrcore.sealing import (
    HEADER_BYTES,
    MAGIC,
    SEGMENT_BYTES,
    TAG_BYTES,
    open_sealed,
    open_stream,
    record_context,
    seal,
    seal_stream,
    sealed_size,
)

KEY, CONTEXT = bytes(range(32)), record_context(RecordKind.MEDICATION, bytes(32))
SMALL = 1 << 10
#: Three whole segments and a part of one, in small segments.
PLAIN = hashlib.shake_128(b"a record").digest(3 * SMALL + 100)
SEALED = b"".join(seal_stream(KEY, CONTEXT, (PLAIN,), SMALL))


PLACES = st.lists(st.integers(0, 5 * SMALL), max_size=9)


def segments(sealed: bytes) -> list[bytes]:
    step = SMALL + TAG_BYTES
    return [sealed[start : start + step] for start in range(HEADER_BYTES, len(sealed), step)]


def hkdf(key: bytes, info: bytes) -> bytes:
    """RFC 5869 for one block of output and no salt."""
    return hmac.digest(hmac.digest(bytes(32), key, "sha256"), info + b"\x01", "sha256")


def refused(sealed: bytes, key: bytes = KEY, context: bytes = CONTEXT) -> str:
    with pytest.raises(StorageError) as found:
        open_sealed(key, context, sealed)
    assert "\n" not in str(found.value)
    return str(found.value)


# -- what is sealed opens --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, SMALL - 1, SMALL, SMALL + 1, 2 * SMALL, len(PLAIN)])
def test_what_is_sealed_opens_at_every_border_of_segments(size: int) -> None:
    sealed = b"".join(seal_stream(KEY, CONTEXT, (PLAIN[:size],), SMALL))
    assert len(sealed) == sealed_size(size, SMALL)
    assert open_sealed(KEY, CONTEXT, sealed) == PLAIN[:size]


@pytest.mark.parametrize("size", [0, 1, SEGMENT_BYTES, SEGMENT_BYTES + 1])
def test_the_usual_segments(size: int) -> None:
    assert open_sealed(KEY, CONTEXT, seal(KEY, CONTEXT, bytes(size))) == bytes(size)
    assert len(seal(KEY, CONTEXT, bytes(size))) == sealed_size(size)


def cuts(data: bytes, at: list[int]) -> Iterator[bytes | bytearray | memoryview]:
    """``data`` in pieces, some of them empty, of every type that a caller may have."""
    places = [0, *sorted(min(place, len(data)) for place in at), len(data)]
    for index, (start, end) in enumerate(pairwise(places)):
        yield (bytes, bytearray, memoryview)[index % 3](data[start:end])


@given(
    st.binary(max_size=4 * SMALL), st.lists(st.integers(0, 5 * SMALL), max_size=9), st.lists(st.integers(0, 5 * SMALL))
)
@example(PLAIN, list(range(0, 5 * SMALL, 7)), list(range(5 * SMALL)))
def test_chunks_do_not_matter(plain: bytes, sealing: list[int], opening: list[int]) -> None:
    sealed = b"".join(seal_stream(KEY, CONTEXT, cuts(plain, sealing), SMALL))
    assert sealed == b"".join(seal_stream(KEY, CONTEXT, (plain,), SMALL))
    assert b"".join(open_stream(KEY, CONTEXT, cuts(sealed, opening))) == plain


def test_a_stream_is_taken_and_given_segment_by_segment() -> None:
    taken = 0

    def chunks() -> Iterator[bytes]:
        nonlocal taken
        for segment in (SEALED[:HEADER_BYTES], *segments(SEALED)):
            taken += 1
            yield segment

    stream = open_stream(KEY, CONTEXT, chunks())
    assert next(stream) == PLAIN[:SMALL]
    assert taken == 3  # header, segment 0, and segment 1 to know that 0 was not the last


def test_known_bytes() -> None:
    """The format, written out a second time with the plain primitives: whoever holds a key needs nothing of ours."""
    prefix = MAGIC + (SEGMENT_BYTES).to_bytes(4, "big")
    aead = AESGCM(hkdf(KEY, b"encrypt|" + prefix + CONTEXT))
    first = aead.encrypt(bytes(12), bytes(SEGMENT_BYTES), None)
    last = aead.encrypt(bytes(10) + b"\x01\x01", b"end", None)
    expected = prefix + hkdf(KEY, b"commit|" + prefix + CONTEXT) + first + last
    assert seal(KEY, CONTEXT, bytes(SEGMENT_BYTES) + b"end") == expected
    # What has been stored must open for ever: a change of these bytes is another format.
    assert hashlib.sha256(expected).hexdigest() == "be3261ba152dbb03a92c92a6d79760c3e6312d0412060a585405a0e24f19dfde"


# -- what is changed does not ----------------------------------------------------------------------------------------


def test_every_flipped_byte_is_found() -> None:
    sealed = seal(KEY, CONTEXT, b"amoxicillin 500 mg")
    for index in range(len(sealed)):
        for flip in (0x01, 0x80, 0xFF):
            assert refused(sealed[:index] + bytes([sealed[index] ^ flip]) + sealed[index + 1 :])


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_a_flipped_byte_in_any_segment_is_found(index: int, flip: int) -> None:
    refused(SEALED[:index] + bytes([SEALED[index] ^ flip]) + SEALED[index + 1 :])


def test_every_truncation_is_found() -> None:
    borders = [HEADER_BYTES + index * (SMALL + TAG_BYTES) for index in range(5)]
    for size in sorted({*range(80), *(border + step for border in borders for step in (-17, -16, -1, 0, 1, 16))}):
        if size < len(SEALED):
            refused(SEALED[:size])


def test_truncation_at_a_border_gives_out_what_was_verified_and_then_fails() -> None:
    stream = open_stream(KEY, CONTEXT, (SEALED[: HEADER_BYTES + 2 * (SMALL + TAG_BYTES)],))
    assert next(stream) == PLAIN[:SMALL]
    with pytest.raises(StorageError, match="segment 1"):  # it is not what was sealed as the last
        next(stream)


@pytest.mark.parametrize("tail", [b"\0", bytes(TAG_BYTES), bytes(SMALL + TAG_BYTES), segments(SEALED)[-1], SEALED])
def test_appended_bytes_are_found(tail: bytes) -> None:
    refused(SEALED + tail)


def test_moved_dropped_and_repeated_segments_are_found() -> None:
    head, parts = SEALED[:HEADER_BYTES], segments(SEALED)
    for changed in (
        [parts[1], parts[0], *parts[2:]],
        [*parts[:2], parts[3], parts[2]],
        parts[1:],
        [*parts[:1], *parts[2:]],
        parts[:-1],
        [parts[0], *parts],
        [*parts, parts[-1]],
    ):
        refused(head + b"".join(changed))


def test_an_empty_last_segment_is_refused() -> None:
    """One content has one sealed form, also for whoever holds the key."""
    aead = AESGCM(hkdf(KEY, b"encrypt|" + SEALED[: HEADER_BYTES - 32] + CONTEXT))
    whole = aead.encrypt(bytes(12), PLAIN[:SMALL], None)
    empty = aead.encrypt(bytes(10) + b"\x01\x01", b"", None)
    assert "empty" in refused(SEALED[:HEADER_BYTES] + whole + empty)


def test_segments_of_another_record_are_found() -> None:
    other = b"".join(seal_stream(bytes(32), CONTEXT, (PLAIN,), SMALL))
    for index in range(4):
        parts = segments(SEALED)
        parts[index] = segments(other)[index]
        refused(SEALED[:HEADER_BYTES] + b"".join(parts))


@pytest.mark.parametrize("size", [0, 1, 512, 3_000, 1 << 21, (1 << 32) - 1])
def test_segments_that_would_fill_memory_are_refused_before_any_is_read(size: int) -> None:
    assert "format" in refused(MAGIC + size.to_bytes(4) + SEALED[HEADER_BYTES - 32 :])
    with pytest.raises(ParameterError, match="segment"):
        next(seal_stream(KEY, CONTEXT, (), size))


def test_another_key_or_another_record_does_not_open_it() -> None:
    sealed = seal(KEY, CONTEXT, b"x")
    assert "key, kind and patient" in refused(sealed, key=bytes(32))
    assert "key, kind and patient" in refused(sealed, context=record_context(RecordKind.BILL, bytes(32)))
    assert "key, kind and patient" in refused(sealed, context=record_context(RecordKind.MEDICATION, bytes(31) + b"\1"))


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused_and_not_shown(size: int) -> None:
    for action in (lambda key: seal(key, b"", b""), lambda key: open_sealed(key, b"", seal(KEY, b"", b""))):
        with pytest.raises(ParameterError, match=rf"^record key: expected 32 bytes, found {size}$"):
            action(b"s" * size)


# -- planted bugs: the tests above see them --------------------------------------------------------------------------


def test_without_the_last_flag_truncation_would_pass(monkeypatch) -> None:
    monkeypatch.setattr("ehrcore.sealing._nonce", lambda index, **_: index.to_bytes(12))
    sealed = b"".join(seal_stream(KEY, CONTEXT, (PLAIN,), SMALL))
    assert open_sealed(KEY, CONTEXT, sealed[: HEADER_BYTES + SMALL + TAG_BYTES]) == PLAIN[:SMALL]


def test_without_a_number_in_the_nonce_reordering_would_pass(monkeypatch) -> None:
    monkeypatch.setattr("ehrcore.sealing._nonce", lambda _, is_last: bytes(11) + bytes((is_last,)))
    sealed = b"".join(seal_stream(KEY, CONTEXT, (PLAIN,), SMALL))
    parts = segments(sealed)
    moved = sealed[:HEADER_BYTES] + b"".join([parts[1], parts[0], *parts[2:]])
    assert open_sealed(KEY, CONTEXT, moved) == PLAIN[SMALL : 2 * SMALL] + PLAIN[:SMALL] + PLAIN[2 * SMALL :]


# -- two keys, one ciphertext ----------------------------------------------------------------------------------------


def times(a: int, b: int) -> int:
    """Product in GF(2^128) as GCM has it (SP 800-38D, algorithm 1): bits from the left, x^128 + x^7 + x^2 + x + 1."""
    product = 0
    for bit in range(127, -1, -1):
        product ^= b * (a >> bit & 1)
        b = b >> 1 ^ (0xE1 << 120) * (b & 1)
    return product


def inverse(a: int) -> int:
    """a^(2^128 - 2)."""
    product, power = 1 << 127, a
    for _ in range(127):
        power = times(power, power)
        product = times(product, power)
    return product


def encrypt_block(key: bytes, block: bytes) -> int:
    return int.from_bytes(Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block))


def salamander(first: bytes, second: bytes, nonce: bytes, start: bytes) -> bytes:
    """A ciphertext and its tag that are valid under both keys: the block after ``start`` (32 bytes) is solved for.

    A tag is linear in the blocks: E(J0) + sum of block_i * H^(n+1-i) + length * H (SP 800-38D, section 6.4).
    """
    blocks = [int.from_bytes(start[:16]), int.from_bytes(start[16:])]
    length, sides = 3 * 128, []
    for key in (first, second):
        h = encrypt_block(key, bytes(16))
        powers = [h]
        for _ in range(3):
            powers.append(times(powers[-1], h))
        fixed = encrypt_block(key, nonce + b"\0\0\0\1") ^ times(blocks[0], powers[3])
        sides.append((fixed ^ times(blocks[1], powers[2]) ^ times(length, powers[0]), powers[1]))
    free = times(sides[0][0] ^ sides[1][0], inverse(sides[0][1] ^ sides[1][1]))
    tag = sides[0][0] ^ times(free, sides[0][1])
    return start + free.to_bytes(16) + tag.to_bytes(16)


def test_one_ciphertext_for_two_keys_passes_gcm_and_not_the_commitment(monkeypatch) -> None:
    """The attack that the commitment is there for, made for real: without it, both contents would be 'the' record."""
    prefix, nonce = MAGIC + SEGMENT_BYTES.to_bytes(4), bytes(11) + b"\1"
    keys = bytes(32), bytes(31) + b"\1"
    secrets = [hkdf(key, b"encrypt|" + prefix + CONTEXT) for key in keys]
    twice = salamander(secrets[0], secrets[1], nonce, bytes(range(32)))
    plains = [AESGCM(secret).decrypt(nonce, twice, None) for secret in secrets]
    assert plains[0] != plains[1]  # GCM alone accepts both
    with pytest.raises(InvalidTag):
        AESGCM(secrets[0]).decrypt(nonce, twice[:-1] + bytes([twice[-1] ^ 1]), None)
    for index in (0, 1):
        sealed = prefix + hkdf(keys[index], b"commit|" + prefix + CONTEXT) + twice
        assert open_sealed(keys[index], CONTEXT, sealed) == plains[index]
        assert "key, kind and patient" in refused(sealed, key=keys[1 - index])
        monkeypatch.setattr("hmac.compare_digest", lambda *_: True)  # planted: nobody looks at the commitment
        assert open_sealed(keys[1 - index], CONTEXT, sealed) == plains[1 - index]
        monkeypatch.undo()


# -- records ---------------------------------------------------------------------------------------------------------


def test_every_location_fits_the_chain() -> None:
    for kind in RecordKind:
        assert len(locate(kind, "0" * 64)) <= LOCATION_CHARS
    assert len({locate(kind, "0" * 64) for kind in RecordKind}) == len(RecordKind)
