"""Backend `pycryptodome`: C arithmetic of its own, between OpenSSL and pure Python in speed."""

from typing import Any

from Crypto.Hash import SHA256
from Crypto.PublicKey import ECC
from Crypto.Signature import DSS

from ehrcore.errors import SignatureError
from ehrcore.signing.base import SCALAR_BYTES, Curve, LibraryScheme, join, split, widen


class _Digest:
    """A finished digest in the shape of a `Crypto.Hash` object, since `DSS` takes nothing else."""

    digest_size = SCALAR_BYTES
    block_size = SHA256.block_size
    oid = SHA256.SHA256Hash.oid

    def __init__(self, digest: bytes) -> None:
        self._digest = digest

    def digest(self) -> bytes:
        return self._digest

    @staticmethod
    def new(data: bytes = b"") -> Any:
        """What HMAC inside RFC 6979 hashes with: SHA-256 itself."""
        return SHA256.new(data)


class PycryptodomeVerifyingKey:
    """A parsed public key of `pycryptodome`."""

    def __init__(self, curve: Curve, public_bytes: bytes) -> None:
        self._curve = curve
        self._verifier = DSS.new(ECC.import_key(public_bytes, curve_name=curve.name), "deterministic-rfc6979")

    def verify(self, digest: bytes, signature: bytes) -> bool:
        """See `VerifyingKey.verify`."""
        if split(self._curve, signature) is None:
            return False
        try:
            self._verifier.verify(_Digest(widen(digest)), signature)
        except (ValueError, SignatureError):
            return False
        return True


class PycryptodomePrivateKey:
    """A private key of `pycryptodome`."""

    def __init__(self, curve: Curve, secret: int) -> None:
        self._curve = curve
        key = ECC.construct(curve=curve.name, d=secret)
        self._signer = DSS.new(key, "deterministic-rfc6979")
        self.public_bytes = bytes(key.public_key().export_key(format="SEC1", compress=True))

    def sign(self, digest: bytes) -> bytes:
        """See `PrivateKey.sign`."""
        wide = widen(digest)
        # The package's RFC 6979 asserts that the digest is not zero modulo the order (RFC 6979 allows it); no hash
        # of anything known is.
        if int.from_bytes(wide) % self._curve.order == 0:
            raise SignatureError("digest to sign: expected one that pycryptodome can sign, found zero modulo the order")
        raw = self._signer.sign(_Digest(wide))
        return join(self._curve, int.from_bytes(raw[:SCALAR_BYTES]), int.from_bytes(raw[SCALAR_BYTES:]))


def scheme(curve: Curve) -> LibraryScheme:
    """`pycryptodome` on one curve."""
    return LibraryScheme(curve, "pycryptodome", PycryptodomePrivateKey, PycryptodomeVerifyingKey)
