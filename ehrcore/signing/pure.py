"""Backend `ecdsa`: pure Python, slow, not constant-time; here for comparison and as a second opinion.

It becomes about twice as fast when gmpy2 is installed, without saying so: `arithmetic` tells which is in use.
"""

import hashlib

import ecdsa
from ecdsa.errors import MalformedPointError

from ehrcore.errors import SignatureError
from ehrcore.signing.base import Curve, LibraryScheme, join, split, widen

_CURVES = {"p256": ecdsa.NIST256p, "secp256k1": ecdsa.SECP256k1}


def arithmetic() -> str:
    """The big-integer arithmetic that `ecdsa` found at import: ``gmpy2``, ``gmpy`` or ``python``."""
    from ecdsa import numbertheory  # noqa: PLC0415 - needed for this answer alone

    return "gmpy2" if numbertheory.GMPY2 else "gmpy" if numbertheory.GMPY else "python"


def _pair(r: int, s: int, _order: int) -> tuple[int, int]:
    return int(r), int(s)


def _as_given(numbers: tuple[int, int], _order: int) -> tuple[int, int]:
    return numbers


class PureVerifyingKey:
    """A parsed public key of `ecdsa`."""

    def __init__(self, curve: Curve, public_bytes: bytes) -> None:
        group, encodings = _CURVES[curve.name], ("compressed",)
        self._curve, self._key = curve, ecdsa.VerifyingKey.from_string(public_bytes, group, valid_encodings=encodings)

    def verify(self, digest: bytes, signature: bytes) -> bool:
        """See `VerifyingKey.verify`."""
        numbers = split(self._curve, signature)
        if numbers is None:
            return False
        try:
            return bool(self._key.verify_digest(numbers, widen(digest), sigdecode=_as_given))
        # The sum of points may be infinity, whose x (None) the package divides: such a signature is not valid.
        except (ecdsa.BadSignatureError, SignatureError, TypeError):
            return False


class PurePrivateKey:
    """A private key of `ecdsa`."""

    def __init__(self, curve: Curve, secret: int) -> None:
        self._curve = curve
        self._key = ecdsa.SigningKey.from_secret_exponent(secret, _CURVES[curve.name])
        self.public_bytes: bytes = self._key.verifying_key.to_string("compressed")

    def sign(self, digest: bytes) -> bytes:
        """See `PrivateKey.sign`."""
        r, s = self._key.sign_digest_deterministic(widen(digest), hashlib.sha256, sigencode=_pair)
        return join(self._curve, r, s)


def scheme(curve: Curve) -> LibraryScheme:
    """`ecdsa` on one curve."""
    return LibraryScheme(curve, "ecdsa", PurePrivateKey, PureVerifyingKey, (MalformedPointError, ValueError))
