"""What travels between nodes: several messages in one authenticated frame.

Each pair of nodes shares a key for each direction, from a Diffie-Hellman agreement of their link keys (X25519,
RFC 7748) through HKDF-SHA-256 (RFC 5869); a frame ends with an HMAC-SHA-256 tag (RFC 2104) under it.  So a receiver
knows who sent what, without a signature per frame.  What a message says is signed within it where it has to be.
"""

import base64
import binascii
import hashlib
import hmac
from math import inf
from typing import Annotated, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ehrcore.block import Header
from ehrcore.codec import encode
from ehrcore.drive.net.plan import NetworkPlan
from ehrcore.errors import CodecError, DeploymentError, IdentityError
from ehrcore.types import MINUTE, Digest, Nanos, NodeId

TAG_BYTES: Final = 32
#: Longest frame, and how many bytes of messages a sender puts into one.
MAX_FRAME_BYTES: Final = 4 << 20
WANTED_FRAME_BYTES: Final = 512 << 10
#: How far a frame's clock may be from the receiver's.
MAX_SKEW_NS: Final = 2 * MINUTE
MEDIA_TYPE: Final = "application/vnd.ehrcore.frame"
#: The scheme of the ``Authorization`` header by which a node shows who it is before it sends anything long.
SCHEME: Final = "Ehrcore"
_GREETING: Final = b"greeting|"


class Frame(msgspec.Struct, frozen=True, array_like=True, tag="frame"):
    """``messages`` (canonical bytes each) of one sender, numbered within its ``epoch``, the time of its start."""

    chain: Digest
    sender: NodeId
    receiver: NodeId
    epoch: Nanos
    sequence: Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
    sent_at: Nanos
    messages: tuple[bytes, ...]


class LinkKeys:
    """The keys of one node's links, made when first used."""

    def __init__(self, plan: NetworkPlan, me: str, secret: bytes) -> None:
        self._plan, self.me, self._secret = plan, me, X25519PrivateKey.from_private_bytes(secret)
        self._chain = bytes.fromhex(plan.chain)
        self._keys: dict[tuple[str, str], bytes] = {}
        if self._secret.public_key().public_bytes_raw().hex() != plan.nodes[me].link_key:
            raise DeploymentError(f"link key of {me}: expected the private key of the one in the plan, found another")

    def _key(self, sender: str, receiver: str) -> bytes:
        key = self._keys.get((sender, receiver))
        if key is None:
            peer = receiver if sender == self.me else sender
            public = X25519PublicKey.from_public_bytes(bytes.fromhex(self._plan.nodes[peer].link_key))
            info = b"ehrcore link 1|" + encode((sender, receiver))
            shared = self._secret.exchange(public)
            key = self._keys[sender, receiver] = HKDF(SHA256(), 32, self._chain, info).derive(shared)
        return key

    def seal(self, frame: Frame) -> bytes:
        """The frame's bytes and their tag."""
        data = encode(frame)
        return data + hmac.digest(self._key(frame.sender, frame.receiver), data, hashlib.sha256)

    def greet(self, receiver: str, now: int) -> str:
        """The ``Authorization`` by which this node tells ``receiver`` at ``now`` that it is one of the network."""
        data = encode((self.me, receiver, now))
        tag = hmac.digest(self._key(self.me, receiver), _GREETING + data, hashlib.sha256)
        return f"{SCHEME} {base64.b64encode(data + tag).decode()}"

    def is_greeting(self, value: str, now: int) -> bool:
        """Whether another node of the network has made this ``Authorization`` for this one, just now."""
        scheme, _, token = value.partition(" ")
        try:
            content = base64.b64decode(token, validate=True)
            sender, receiver, sent_at = _greeting_decoder.decode(content[:-TAG_BYTES])
        except (binascii.Error, ValueError, msgspec.DecodeError):
            return False
        if scheme != SCHEME or receiver != self.me or abs(now - sent_at) > MAX_SKEW_NS:
            return False
        if sender not in self._plan.nodes or sender == self.me:
            return False
        data, tag = content[:-TAG_BYTES], content[-TAG_BYTES:]
        return hmac.compare_digest(tag, hmac.digest(self._key(sender, self.me), _GREETING + data, hashlib.sha256))

    def open(self, sealed: bytes) -> Frame:
        """The frame, if it is for this node and from whom it says.

        `CodecError` for bytes that are no frame, `IdentityError` for a frame of a stranger, for another, or spoilt.
        """
        data, tag = sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]
        frame = _decode_frame(data)
        if frame.chain != self._chain or frame.receiver != self.me:
            raise IdentityError(f"frame: expected one for {self.me} on chain {self._plan.chain[:16]}, found another")
        if frame.sender not in self._plan.nodes or frame.sender == self.me:
            raise IdentityError(f"frame: expected a sender of this network, found {frame.sender}")
        if not hmac.compare_digest(tag, hmac.digest(self._key(frame.sender, self.me), data, hashlib.sha256)):
            raise IdentityError(f"frame of {frame.sender}: expected its tag, found another")
        return frame


class _PeekBlock(msgspec.Struct, array_like=True, tag="block"):
    header: Header
    transactions: msgspec.Raw


class _PeekFinal(msgspec.Struct, array_like=True, tag="finalised"):
    block: _PeekBlock
    certificate: msgspec.Raw


_FINAL_PREFIX: Final = b"\x93\xa9finalised"
_peek = msgspec.msgpack.Decoder(_PeekFinal)


def peek_height(message: bytes) -> float:
    """The height of a final block, without reading its transactions; infinite for any other message.

    Every administrator sends every block, so a ledger keeper has most of them already and need not read them.
    """
    if not message.startswith(_FINAL_PREFIX):
        return inf
    try:
        return _peek.decode(message).block.header.height
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return inf


_decoder = msgspec.msgpack.Decoder(Frame)
_greeting_decoder = msgspec.msgpack.Decoder(tuple[str, str, int])


def _decode_frame(data: bytes) -> Frame:
    """A frame need not be canonical, for nothing is made of its bytes but the tag; its messages have to be."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CodecError(f"frame: expected a frame, found {len(data)} bytes that do not decode ({error})") from None
