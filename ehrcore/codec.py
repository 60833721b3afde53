"""The canonical byte form of every message, header and signed body.

One form per value: MessagePack (specification 2.0) restricted to what `msgspec` emits for array-like structs, with
shortest integers, no maps, no floats and no extension types.  Decoding re-encodes and compares, so any
other byte form of the same value (long integers, trailing elements, a float for an int) is refused; what is
signed or hashed therefore has exactly one spelling.
"""

from typing import Any, TypeVar

import msgspec

from ehrcore.errors import CodecError, ParameterError

T = TypeVar("T")

#: Longest message that is decoded, in bytes: a block of 30 KiB with its certificate fits many times over.
MAX_MESSAGE_BYTES = 1 << 20

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}

#: Canonical bytes of a struct, tuple, string, bytes or integer (never a float or a dict).
encode = _encoder.encode


def decode(data: bytes, kind: type[T]) -> T:
    """Decode canonical bytes as ``kind`` (a struct class or a union of them).

    Raises `CodecError` if the bytes are too long, malformed, out of range, or not the canonical form.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise CodecError(f"message: expected at most {MAX_MESSAGE_BYTES} bytes, found {len(data)}")
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        value: T = decoder.decode(data)
    except (msgspec.DecodeError, ParameterError, RecursionError, UnicodeDecodeError) as error:
        name = getattr(kind, "__name__", "message")
        raise CodecError(
            f"{name}: expected canonical bytes, found {len(data)} bytes that do not decode ({error})"
        ) from None
    if encode(value) != data:
        raise CodecError(
            f"{type(value).__name__}: expected the canonical form, found another spelling of the same value"
        )
    return value
