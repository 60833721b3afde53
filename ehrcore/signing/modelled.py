"""A signer that signs nothing, for simulations at scale: its cost is what a cost model says, its work is none.

It cannot be mistaken for a real one.  Its ``r`` is 2^256 - 1, which is outside ``[1, order)`` on both curves, so no
ECDSA verifier on earth accepts it; its public keys start with 0x00, which no SEC 1 point of 33 bytes does.  It still
binds signer and digest, so a simulated forgery or a changed byte is caught as it would be by a real signature.
"""

from typing import Final

from ehrcore.errors import SignatureError
from ehrcore.signing.base import MIN_DIGEST_BYTES, PUBLIC_KEY_BYTES, SCALAR_BYTES, Curve, check_secret, widen

MARK: Final = b"\xff" * 32
_KEY_MARK: Final = b"\0MODELLED-NO-KEY:"


class ModelledKey:
    """Both halves of a modelled key pair."""

    __slots__ = ("_tag", "public_bytes")

    def __init__(self, public_bytes: bytes) -> None:
        self.public_bytes, self._tag = public_bytes, MARK + public_bytes[-16:]

    def sign(self, digest: bytes) -> bytes:
        """64 bytes: the mark, the signer's tag and half of the digest."""
        return self._tag + widen(digest)[-16:]

    def verify(self, digest: bytes, signature: bytes) -> bool:
        """Whether ``signature`` is the one that this key would have made."""
        return MIN_DIGEST_BYTES <= len(digest) <= SCALAR_BYTES and signature == self._tag + digest[-16:]


class ModelledScheme:
    """The modelled signer; ``curve`` only names the cost that a cost model charges for it."""

    is_modelled = True

    def __init__(self, curve: Curve) -> None:
        self.curve, self.name = curve, f"{curve.name}/modelled"

    def private_key(self, secret: int) -> ModelledKey:
        """See `Scheme.private_key`; the tag is the low half of the secret, which protects nothing."""
        return ModelledKey(_KEY_MARK + check_secret(self.curve, secret).to_bytes(32)[-16:])

    def verifying_key(self, public_bytes: bytes) -> ModelledKey:
        """See `Scheme.verifying_key`."""
        if len(public_bytes) != PUBLIC_KEY_BYTES or not public_bytes.startswith(_KEY_MARK):
            raise SignatureError("modelled public key: expected its mark, found another key")
        return ModelledKey(public_bytes)


#: As the others call theirs.
scheme = ModelledScheme
