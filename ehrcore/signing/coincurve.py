"""Backend `coincurve` (libsecp256k1): constant-time signing, the fastest on secp256k1, which is its only curve."""

import coincurve
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from ehrcore.errors import SignatureError
from ehrcore.signing.base import SCALAR_BYTES, SIGNATURE_BYTES, Curve, LibraryScheme, split, widen


class CoincurveVerifyingKey:
    """A parsed public key of `coincurve`."""

    __slots__ = ("_curve", "_key")

    def __init__(self, curve: Curve, public_bytes: bytes) -> None:
        self._curve, self._key = curve, coincurve.PublicKey(public_bytes)

    def verify(self, digest: bytes, signature: bytes) -> bool:
        """See `VerifyingKey.verify`."""
        numbers = split(self._curve, signature)
        if numbers is None:
            return False
        try:
            return bool(self._key.verify(encode_dss_signature(*numbers), widen(digest), hasher=None))
        except SignatureError:
            return False


class CoincurvePrivateKey:
    """A private key of `coincurve`."""

    __slots__ = ("_key", "public_bytes")

    def __init__(self, _curve: Curve, secret: int) -> None:
        self._key = coincurve.PrivateKey(secret.to_bytes(SCALAR_BYTES))
        self.public_bytes = self._key.public_key.format()

    def sign(self, digest: bytes) -> bytes:
        """See `PrivateKey.sign`; the library's own nonce is that of RFC 6979, and its ``s`` the lower one."""
        # Its recoverable form is r || s and a byte more, so there is no DER to take apart.
        return self._key.sign_recoverable(widen(digest), hasher=None)[:SIGNATURE_BYTES]


def scheme(curve: Curve) -> LibraryScheme:
    """`coincurve` on secp256k1."""
    return LibraryScheme(curve, "coincurve", CoincurvePrivateKey, CoincurveVerifyingKey)
