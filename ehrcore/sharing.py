"""A secret among several holders: any ``threshold`` of its shares give it back, fewer say nothing about it.

Shamir's scheme (How to Share a Secret, 1979), byte by byte over GF(2^8) with the polynomial of AES (FIPS 197): the
secret is a random polynomial's value at 0, a share its value at the holder's index.  Nothing branches on a secret or
looks it up in a table: what is multiplied with is always public (an index, or a coefficient made of indices), and all
bytes of a value are multiplied at once, packed into one integer.

Shares carry no check of their own.  A sealed object commits to its key (`ehrcore.sealing`), so a wrong share is noticed
as soon as the joined key meets the object; who is to know which share it is has a digest of each (`ehrcore.custody`).
"""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from ehrcore.errors import ParameterError, StorageError

MOST_SHARES: Final = 255
Index = Annotated[int, msgspec.Meta(ge=1, le=MOST_SHARES)]


class Share(msgspec.Struct, frozen=True, array_like=True, tag="share"):
    """One holder's part of a secret; ``threshold`` of them are needed."""

    threshold: Index
    index: Index
    value: Annotated[bytes, msgspec.Meta(min_length=1, max_length=1 << 16)]

    def __repr__(self) -> str:
        """Never the value: it may be logged or raised with an error."""
        return f"Share(threshold={self.threshold}, index={self.index})"


def split(secret: bytes, threshold: int, count: int, random_bytes: bytes) -> tuple[Share, ...]:
    """``count`` shares (index 1 on), of which ``threshold`` give ``secret`` back; 1 <= threshold <= count <= 255.

    ``random_bytes`` are fresh and secret, ``(threshold - 1) * len(secret)`` of them: the polynomial's coefficients.
    `ParameterError` if the numbers do not fit.
    """
    if not 1 <= threshold <= count <= MOST_SHARES:
        raise ParameterError(f"shares: expected 1 <= threshold <= count <= 255, found {threshold} of {count}")
    size = len(secret)
    if not 1 <= size <= 1 << 16 or len(random_bytes) != (threshold - 1) * size:
        raise ParameterError(
            f"shares: expected a secret of 1 to 65536 bytes and {threshold - 1} times as many random ones, "
            f"found {size} and {len(random_bytes)}"
        )
    parts = [secret, *(random_bytes[start : start + size] for start in range(0, len(random_bytes), size))]
    coefficients = [int.from_bytes(part) for part in reversed(parts)]
    shares = []
    for index in range(1, count + 1):
        value = 0
        for coefficient in coefficients:  # Horner's rule
            value = _scale(value, index, size) ^ coefficient
        shares.append(Share(threshold, index, value.to_bytes(size)))
    return tuple(shares)


def join(shares: Sequence[Share]) -> bytes:
    """The secret, from the first ``threshold`` of ``shares``; `StorageError` if they are too few or of several secrets.

    A share that was altered gives another secret: let the sealed object judge it.
    """
    return _interpolate(shares, 0)


def restore(shares: Sequence[Share], index: int) -> Share:
    """The share that holder ``index`` had, from ``threshold`` others of the same secret; errors as of `join`."""
    return Share(shares[0].threshold, index, _interpolate(shares, index))


def _interpolate(shares: Sequence[Share], at: int) -> bytes:
    """The polynomial of ``shares`` at ``at``: 0 has the secret."""
    if not shares:
        raise StorageError("shares: expected at least one, found none")
    threshold, size = shares[0].threshold, len(shares[0].value)
    if any((share.threshold, len(share.value)) != (threshold, size) for share in shares):
        raise StorageError("shares: expected parts of one secret, found others")
    used = list({share.index: share for share in shares}.values())[:threshold]
    if len(used) < threshold:
        raise StorageError(f"shares: expected {threshold} of different holders, found {len(used)}")
    value = 0
    for share in used:
        above, below = 1, 1  # Lagrange's polynomial, where a - b is a + b is a ^ b
        for other in used:
            if other is not share:
                above, below = _scale(above, other.index ^ at, 1), _scale(below, other.index ^ share.index, 1)
        value ^= _scale(int.from_bytes(share.value), _scale(above, _invert(below), 1), size)
    return value.to_bytes(size)


def _scale(value: int, by: int, size: int) -> int:
    """Each of the ``size`` bytes packed in ``value``, times the public ``by`` in GF(2^8)."""
    ones = int.from_bytes(b"\x01" * size)
    product = 0
    for bit in range(8):
        if by >> bit & 1:
            product ^= value
        value = (value & 0x7F * ones) << 1 ^ (value >> 7 & ones) * 0x1B
    return product


def _invert(value: int) -> int:
    """``value`` ** 254 (2 + 4 + ... + 128), which is 1 / ``value``."""
    product, power = 1, value
    for _ in range(7):
        power = _scale(power, power, 1)
        product = _scale(product, power, 1)
    return product
