"""Backend `coincurve` (libsecp256k1): constant-time signing, the fastest on secp256k1, which is its only curve."""

import coincurve
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from ehrcore.errors import SignatureError
from ehrcore.signing.base import PUBLIC_KEY_BYTES, SCALAR_BYTES, SIGNATURE_BYTES, Curve, check_secret, split, widen


class CoincurveVerifyingKey:
    """A parsed public key of `coincurve`."""

    __slots__ = ("_curve", "_key")

    def __init__(self, curve: Curve, key: coincurve.PublicKey) -> None:
        self._curve, self._key = curve, key

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

    def __init__(self, curve: Curve, secret: int) -> None:
        self._key = coincurve.PrivateKey(check_secret(curve, secret).to_bytes(SCALAR_BYTES))
        self.public_bytes = self._key.public_key.format()

    def sign(self, digest: bytes) -> bytes:
        """See `PrivateKey.sign`; the library's own nonce is that of RFC 6979, and its ``s`` the lower one."""
        # Its recoverable form is r || s and a byte more, so there is no DER to take apart.
        return self._key.sign_recoverable(widen(digest), hasher=None)[:SIGNATURE_BYTES]


class CoincurveScheme:
    """`coincurve` on secp256k1."""

    is_modelled = False

    def __init__(self, curve: Curve) -> None:
        self.curve, self.name = curve, f"{curve.name}/coincurve"

    def private_key(self, secret: int) -> CoincurvePrivateKey:
        """See `Scheme.private_key`."""
        return CoincurvePrivateKey(self.curve, secret)

    def verifying_key(self, public_bytes: bytes) -> CoincurveVerifyingKey:
        """See `Scheme.verifying_key`."""
        try:
            # The length decides first: the library would also take uncompressed and hybrid points.
            if len(public_bytes) != PUBLIC_KEY_BYTES:
                raise ValueError(public_bytes)
            key = coincurve.PublicKey(public_bytes)
        except ValueError:
            raise SignatureError(f"{self.name} public key: expected a compressed point, found another") from None
        return CoincurveVerifyingKey(self.curve, key)
