"""What visitors are told, as far as a load generator looks at it: the rest is skipped undecoded, to cost no time."""

from typing import Final

import msgspec

from ehrcore.messages import Refused


class _Body(msgspec.Struct, array_like=True, tag="transaction"):
    """The beginning of a transaction's body; decoding skips what follows."""

    chain: bytes
    author: str
    nonce: int


class _Signed(msgspec.Struct, array_like=True, tag="signed-transaction"):
    body: _Body


class _Leaf(msgspec.Struct, array_like=True, tag="endorsed"):
    transaction: _Signed


class Place(msgspec.Struct, array_like=True):
    """One transaction of a receipt."""

    leaf: bytes
    index: int
    path: msgspec.Raw
    reason: str


class Receipts(msgspec.Struct, array_like=True, tag="receipt"):
    """A receipt of which neither header nor certificate is looked at."""

    header: msgspec.Raw
    certificate: msgspec.Raw
    entries: tuple[Place, ...]


_decoder: Final = msgspec.msgpack.Decoder(Receipts | Refused)
_leaf_decoder: Final = msgspec.msgpack.Decoder(_Leaf)


def read_leaf(leaf: bytes) -> tuple[str, int]:
    """Author and nonce of an endorsed transaction in canonical bytes; the rest is not looked at."""
    body = _leaf_decoder.decode(leaf).transaction.body
    return body.author, body.nonce


def decode_reply(data: bytes) -> Receipts | Refused:
    """A receipt or a refusal from its canonical bytes; `msgspec.DecodeError` for anything else."""
    found: Receipts | Refused = _decoder.decode(data)
    return found
