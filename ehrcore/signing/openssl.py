"""Backend `cryptography` (OpenSSL), the default: constant-time signing, the fastest on P-256."""

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from ehrcore.errors import SignatureError
from ehrcore.signing.base import Curve, LibraryScheme, join, split, widen

_CURVES: dict[str, type[ec.EllipticCurve]] = {"p256": ec.SECP256R1, "secp256k1": ec.SECP256K1}
_ALGORITHM = ec.ECDSA(Prehashed(hashes.SHA256()), deterministic_signing=True)


class OpensslVerifyingKey:
    """A parsed public key of `cryptography`."""

    __slots__ = ("_curve", "_key")

    def __init__(self, curve: Curve, public_bytes: bytes) -> None:
        self._curve = curve
        self._key = ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[curve.name](), public_bytes)

    def verify(self, digest: bytes, signature: bytes) -> bool:
        """See `VerifyingKey.verify`."""
        numbers = split(self._curve, signature)
        if numbers is None:
            return False
        try:
            self._key.verify(encode_dss_signature(*numbers), widen(digest), _ALGORITHM)
        except (InvalidSignature, SignatureError):
            return False
        return True


class OpensslPrivateKey:
    """A private key of `cryptography`."""

    __slots__ = ("_curve", "_key", "public_bytes")

    def __init__(self, curve: Curve, secret: int) -> None:
        self._curve = curve
        self._key = ec.derive_private_key(secret, _CURVES[curve.name]())
        self.public_bytes = self._key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
        )

    def sign(self, digest: bytes) -> bytes:
        """See `PrivateKey.sign`."""
        return join(self._curve, *_numbers(self._key.sign(widen(digest), _ALGORITHM)))


def _numbers(der: bytes) -> tuple[int, int]:
    """``(r, s)`` of a signature that OpenSSL has just made: a DER sequence of two integers, of lengths below 128.

    For bytes from anywhere else this would be too trusting.
    """
    end = 4 + der[3]
    return int.from_bytes(der[4:end]), int.from_bytes(der[end + 2 :])


def scheme(curve: Curve) -> LibraryScheme:
    """`cryptography` on one curve."""
    refusals = (ValueError, UnsupportedAlgorithm)
    return LibraryScheme(curve, "cryptography", OpensslPrivateKey, OpensslVerifyingKey, refusals)
