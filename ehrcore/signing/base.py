"""What every signature backend has in common: the curves, the byte forms and the low-S rule.

A backend signs a *digest* (FIPS 186-5 section 6.4.1 from step 3 on).  ECDSA reads a digest as an integer, so one
shorter than 32 bytes (SHA-1, MD5) is extended with zeros on the left: same integer, same signature.  The
nonce is that of RFC 6979 with HMAC-SHA-256, so every backend gives the same bytes for the same key and digest.
A signature is ``r || s``, and ``s`` is at most half the order both when made and when accepted: of the two
valid signatures for one ``r``, only one is a signature here, so third parties cannot vary it.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

from ehrcore.errors import SignatureError

SCALAR_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
PUBLIC_KEY_BYTES: Final = 33
#: Shortest digest that is signed: MD5's.
MIN_DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Curve:
    """Domain parameters that the byte forms need; the arithmetic is the backend's.  Source: SEC 2 version 2.0."""

    name: str
    order: int
    field: int


P256: Final = Curve(
    "p256",
    0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF,
)
SECP256K1: Final = Curve(
    "secp256k1",
    0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
    0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F,
)
CURVES: Final[dict[str, Curve]] = {curve.name: curve for curve in (P256, SECP256K1)}


class VerifyingKey(Protocol):
    """A public key, parsed once and kept: parsing costs a tenth to a third of a verification."""

    def verify(self, digest: bytes, signature: bytes) -> bool:
        """Whether ``signature`` (64 bytes, low S) is valid for ``digest`` (16 to 32 bytes).  Never raises."""


class PrivateKey(Protocol):
    """A private key; its representation never shows the secret."""

    @property
    def public_bytes(self) -> bytes:
        """The compressed public key, 33 bytes (SEC 1 section 2.3.3)."""

    def sign(self, digest: bytes) -> bytes:
        """The deterministic low-S signature of ``digest``, 64 bytes.  `SignatureError` if over 32 bytes."""


class Scheme(Protocol):
    """One backend on one curve."""

    @property
    def name(self) -> str:
        """Curve and backend, such as ``p256/cryptography``."""

    @property
    def is_modelled(self) -> bool:
        """Whether signatures prove nothing and only cost what a cost model says."""

    def private_key(self, secret: int) -> PrivateKey:
        """The key with secret scalar ``1 <= secret < order``; `SignatureError` outside."""

    def verifying_key(self, public_bytes: bytes) -> VerifyingKey:
        """Parse a compressed public key; `SignatureError` if it is not a point of the curve."""


@dataclass(frozen=True, slots=True)
class LibraryScheme:
    """A `Scheme` by somebody's library: ``make`` takes a secret, ``parse`` a point, ``refusals`` are what it raises.

    ``parse`` need not look at the length: that decides first, for libraries also take uncompressed and other points.
    """

    curve: Curve
    library: str
    make: Callable[[Curve, int], PrivateKey]
    parse: Callable[[Curve, bytes], VerifyingKey]
    refusals: tuple[type[Exception], ...] = (ValueError,)
    is_modelled: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """See `Scheme.name`."""
        return f"{self.curve.name}/{self.library}"

    def private_key(self, secret: int) -> PrivateKey:
        """See `Scheme.private_key`."""
        return self.make(self.curve, check_secret(self.curve, secret))

    def verifying_key(self, public_bytes: bytes) -> VerifyingKey:
        """See `Scheme.verifying_key`."""
        try:
            if len(public_bytes) == PUBLIC_KEY_BYTES:
                return self.parse(self.curve, public_bytes)
        except self.refusals:
            pass
        raise SignatureError(f"{self.name} public key: expected a compressed point, found another")


def derive_secret(curve: Curve, label: str) -> int:
    """A secret scalar from a label, for simulations and tests only: whoever knows the label has the key.

    Two SHA-256 blocks are reduced modulo ``order - 1``, so the bias is below 2^-250 (FIPS 186-5 appendix A.2.1).
    """
    seed = b"".join(hashlib.sha256(f"{half}|{curve.name}|{label}".encode()).digest() for half in (0, 1))
    return int.from_bytes(seed) % (curve.order - 1) + 1


def widen(digest: bytes) -> bytes:
    """``digest`` as 32 bytes with the same integer value."""
    if not MIN_DIGEST_BYTES <= len(digest) <= SCALAR_BYTES:
        raise SignatureError(
            f"digest to sign: expected {MIN_DIGEST_BYTES} to {SCALAR_BYTES} bytes, found {len(digest)}"
        )
    return digest.rjust(SCALAR_BYTES, b"\0")


def check_secret(curve: Curve, secret: int) -> int:
    """Return ``secret`` if it is a scalar of the curve, else raise without showing it."""
    if not 1 <= secret < curve.order:
        raise SignatureError(f"{curve.name} private key: expected a scalar in [1, order), found one outside")
    return secret


def join(curve: Curve, r: int, s: int) -> bytes:
    """``r || s`` with the lower of the two valid ``s``."""
    low = min(s, curve.order - s)
    return r.to_bytes(SCALAR_BYTES) + low.to_bytes(SCALAR_BYTES)


def split(curve: Curve, signature: bytes) -> tuple[int, int] | None:
    """``(r, s)`` of a well-formed low-S signature, else None."""
    if len(signature) != SIGNATURE_BYTES:
        return None
    r = int.from_bytes(signature[:SCALAR_BYTES])
    s = int.from_bytes(signature[SCALAR_BYTES:])
    if 0 < r < curve.order and 0 < s <= curve.order >> 1:
        return r, s
    return None
