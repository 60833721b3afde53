"""Secrets sealed to whoever holds an X25519 key: HPKE in base mode (RFC 9180; X25519, HKDF-SHA256, AES-128-GCM).

It hides what is sealed and binds it to ``info``, and says nothing about who has sealed it: that is for signatures, and
for digests that were signed.  Whoever gets hold of the private key later opens what was recorded before.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.hpke import Suite


def _suite() -> "Suite":
    from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite  # noqa: PLC0415 - few commands wrap

    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)


def wrap(public_key: bytes, info: bytes, secret: bytes) -> bytes:
    """``secret`` sealed to the 32 bytes of an X25519 public key; `ValueError` for one that cannot be used.

    Each call draws a key of its own, so the same secret is never the same bytes twice.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey  # noqa: PLC0415

    return _suite().encrypt(secret, X25519PublicKey.from_public_bytes(public_key), info)


def unwrap(key: "X25519PrivateKey", info: bytes, sealed: bytes) -> bytes | None:
    """The secret, or None if it was not sealed to this key for this ``info``, or was changed since."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415

    try:
        return _suite().decrypt(sealed, key, info)
    except (InvalidTag, ValueError):
        return None
