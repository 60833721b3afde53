"""One node's cryptography: its suite, its scheme, its key, what it has verified already, and what that cost.

Roles call nothing else for hashing and signatures, so the meter sees every operation; a driver turns the counts
into time.  Signatures that this node has verified before are remembered (bounded), since a coordinator meets an
endorsement twice: when it is collected and inside the block.  A signature's validity does not age; whether its
signer may still act is checked elsewhere, every time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ehrcore.codec import encode
from ehrcore.errors import SignatureError
from ehrcore.hashing import HashSuite
from ehrcore.merkle import MerkleTree
from ehrcore.signing import PrivateKey, Scheme, VerifyingKey

MODELLED_NONCE: Final = b"MODELLED"
_KEY_CACHE: Final = 4_096


@dataclass(slots=True)
class Meter:
    """Counted operations since the node started; only ever grows."""

    signs: int = 0
    verifies: int = 0
    hashes: int = 0
    hashed_bytes: int = 0


class Crypto:
    """Hashing and signatures of one node, metered."""

    __slots__ = ("_key", "_keys", "_memo", "_memo_size", "is_modelled", "meter", "scheme", "suite")

    def __init__(self, suite: HashSuite, scheme: Scheme, key: PrivateKey | None = None, memo_size: int = 4_096) -> None:
        self.suite, self.scheme, self._key = suite, scheme, key
        self.is_modelled = scheme.is_modelled
        self.meter = Meter()
        self._keys: dict[bytes, VerifyingKey] = {}
        self._memo: dict[tuple[bytes, bytes, bytes], None] = {}
        self._memo_size = memo_size

    def hash(self, data: bytes) -> bytes:
        """Digest of ``data`` under the chain's suite."""
        meter = self.meter
        meter.hashes += 1
        meter.hashed_bytes += len(data)
        return self.suite.hash(data)

    def hash_stream(self, chunks: Iterable[bytes], most_bytes: int) -> tuple[bytes, int]:
        """Digest and size of what ``chunks`` hold together; no more is taken once there are over ``most_bytes``."""
        state, size = self.suite.new(b""), 0
        for chunk in chunks:
            state.update(chunk)
            size += len(chunk)
            if size > most_bytes:
                break
        self.meter.hashes += 1
        self.meter.hashed_bytes += size
        return state.digest(), size

    def hash_struct(self, value: Any) -> bytes:
        """Digest of the canonical bytes of a struct; its tag separates it from every other kind."""
        return self.hash(encode(value))

    def merkle_tree(self, leaves: Sequence[bytes]) -> MerkleTree:
        """The RFC 6962 tree over ``leaves``, with its root and proofs."""
        inner = max(len(leaves) - 1, 0)
        self.meter.hashes += len(leaves) + inner
        self.meter.hashed_bytes += sum(map(len, leaves)) + len(leaves) + inner * (2 * self.suite.digest_size + 1)
        return MerkleTree(self.suite, leaves)

    def sign(self, body: Any) -> bytes:
        """This node's signature over the digest of ``body``; `SignatureError` if it holds no key."""
        if self._key is None:
            raise SignatureError("signature: expected a private key, found none on this node")
        self.meter.signs += 1
        digest = self.hash_struct(body)
        signature = self._key.sign(digest)
        # What this node has signed itself comes back to it within blocks.
        self._remember((self._key.public_bytes, digest, signature))
        return signature

    def verify(self, public_bytes: bytes, body: Any, signature: bytes) -> bool:
        """Whether ``signature`` by ``public_bytes`` over ``body`` is valid; a key of another scheme is not."""
        digest = self.hash_struct(body)
        entry = (public_bytes, digest, signature)
        if entry in self._memo:
            return True
        self.meter.verifies += 1
        try:
            if not self._verifying_key(public_bytes).verify(digest, signature):
                return False
        except SignatureError:
            return False
        self._remember(entry)
        return True

    def _verifying_key(self, public_bytes: bytes) -> VerifyingKey:
        key = self._keys.get(public_bytes)
        if key is None:
            key = self.scheme.verifying_key(public_bytes)
            if len(self._keys) >= _KEY_CACHE:
                del self._keys[next(iter(self._keys))]
            self._keys[public_bytes] = key
        return key

    def _remember(self, entry: tuple[bytes, bytes, bytes]) -> None:
        if self._memo_size:
            if len(self._memo) >= self._memo_size:
                del self._memo[next(iter(self._memo))]
            self._memo[entry] = None
