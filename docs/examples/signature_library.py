"""A signature library: textbook ECDSA on plain integers, behind three small classes.

Slow and not constant-time: to be measured, never to keep anybody's keys.
"""

from ehrcore.errors import ParameterError, SignatureError
from ehrcore.signing import add_backend
from ehrcore.signing.base import MIN_DIGEST_BYTES, SCALAR_BYTES, Curve, check_secret, join, split, widen
from ehrcore.spec import curve as textbook
from ehrcore.spec import ecdsa


class PrivateKey:
    """Signs with the nonce of RFC 6979 and the lower of the two valid s (`join`)."""

    def __init__(self, curve: Curve, secret: int) -> None:
        self._curve, self._secret = curve, check_secret(curve, secret)
        self.public_bytes = textbook.compress(ecdsa.public_key(textbook.CURVES[curve.name], secret))

    def sign(self, digest: bytes) -> bytes:
        """64 bytes; `widen` refuses a digest that is too short or too long."""
        r, s = ecdsa.sign(textbook.CURVES[self._curve.name], self._secret, widen(digest))
        return join(self._curve, r, s)


class VerifyingKey:
    """Believes 64 bytes with r in range and s low (`split`) for which the equation holds."""

    def __init__(self, curve: Curve, point: tuple[int, int]) -> None:
        self._curve, self._point = curve, point

    def verify(self, digest: bytes, signature: bytes) -> bool:
        """Never raises."""
        numbers = split(self._curve, signature)
        if numbers is None or not MIN_DIGEST_BYTES <= len(digest) <= SCALAR_BYTES:
            return False
        return ecdsa.verify(textbook.CURVES[self._curve.name], self._point, widen(digest), numbers)


class TextbookScheme:
    """The library on one curve."""

    is_modelled = False

    def __init__(self, curve: Curve) -> None:
        self.curve, self.name = curve, f"{curve.name}/textbook"

    def private_key(self, secret: int) -> PrivateKey:
        """From a scalar in [1, order)."""
        return PrivateKey(self.curve, secret)

    def verifying_key(self, public_bytes: bytes) -> VerifyingKey:
        """From a compressed point."""
        try:
            return VerifyingKey(self.curve, textbook.decompress(textbook.CURVES[self.curve.name], public_bytes))
        except ParameterError as error:
            raise SignatureError(f"{self.name} public key: {error}") from None


add_backend("textbook", TextbookScheme)
