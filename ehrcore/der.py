"""As much of DER (ITU-T X.690, sections 8 and 10) as signatures in X.509 need, in the one spelling that it allows.

Lengths are definite and shortest, integers shortest, nothing trails; every other form is a `CodecError`.
"""

from typing import Final

from ehrcore.errors import CodecError, SignatureError
from ehrcore.signing.base import SIGNATURE_BYTES, Curve

INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
SEQUENCE: Final = 0x30
#: Attributes of a certification request (RFC 2986): [0], constructed.
ATTRIBUTES: Final = 0xA0
_SHORT: Final = 0x80
_LONGEST_LENGTH: Final = 4


def write_element(tag: int, content: bytes) -> bytes:
    """One element with a tag of one byte."""
    size = len(content)
    if size < _SHORT:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, _SHORT | len(length))) + length + content


def read_element(data: bytes, start: int, tag: int) -> tuple[int, int]:
    """Where the content of the element at ``start`` begins and ends; `CodecError` if it is not one with this tag."""
    if start + 2 > len(data) or data[start] != tag:
        raise CodecError(f"DER: expected tag {tag:#04x} at {start}, found {data[start : start + 1].hex() or 'the end'}")
    size, begin = data[start + 1], start + 2
    if size >= _SHORT:
        count = size - _SHORT
        length = data[begin : begin + count]
        size, begin = int.from_bytes(length), begin + count
        # 0x80 is BER's indefinite length; a length that fits fewer bytes has to be there.
        if not 1 <= count <= _LONGEST_LENGTH or len(length) < count or length[0] == 0 or size < _SHORT:
            raise CodecError(f"DER: expected the shortest definite length at {start + 1}, found another")
    if begin + size > len(data):
        raise CodecError(f"DER: expected {size} bytes at {begin}, found {len(data) - begin}")
    return begin, begin + size


def write_integer(value: int) -> bytes:
    """An integer, not negative."""
    return write_element(INTEGER, value.to_bytes(value.bit_length() // 8 + 1))


def read_integer(data: bytes, start: int) -> tuple[int, int]:
    """The integer at ``start``, which may not be negative, and where it ends."""
    begin, end = read_element(data, start, INTEGER)
    content = data[begin:end]
    # Negative, empty, or with a zero in front that changes nothing (X.690, section 8.3.2).
    if not content or content[0] >= _SHORT or (len(content) > 1 and content[0] == 0 and content[1] < _SHORT):
        raise CodecError(f"DER: expected the shortest integer >= 0 at {start}, found another")
    return int.from_bytes(content), end


def write_signature(signature: bytes) -> bytes:
    """The ECDSA-Sig-Value (RFC 3279, section 2.2.3) of ``r || s``."""
    half = SIGNATURE_BYTES // 2
    numbers = (int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
    return write_element(SEQUENCE, b"".join(map(write_integer, numbers)))


def read_signature(curve: Curve, data: bytes) -> bytes:
    """``r || s`` of an ECDSA-Sig-Value: as it stands there, so a high ``s`` is left for the verifier to refuse.

    `SignatureError` unless it is strict DER of two numbers in ``[1, order)`` and nothing else.
    """
    try:
        begin, end = read_element(data, 0, SEQUENCE)
        r, middle = read_integer(data, begin)
        s, last = read_integer(data, middle)
    except CodecError as error:
        raise SignatureError(f"signature: {error}") from None
    if not last == end == len(data):
        raise SignatureError(f"signature: expected two integers and no more, found {len(data) - last} bytes after them")
    if not (0 < r < curve.order and 0 < s < curve.order):
        raise SignatureError("signature: expected numbers in [1, order), found one outside")
    half = SIGNATURE_BYTES // 2
    return r.to_bytes(half) + s.to_bytes(half)
