"""What a library of signatures has to do before anything rests on it: the same as the default one, byte for byte.

A few keys and digests, at the ends of their ranges too, and everything that a verifier must not believe.  It shows that
an adapter is right, not that a library is sound: whoever trusts one with keys runs Wycheproof's vectors as well.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import Final

from ehrcore.errors import ParameterError, SignatureError
from ehrcore.signing.base import PUBLIC_KEY_BYTES, SCALAR_BYTES, Curve, Scheme, derive_secret

_MESSAGE: Final = b"conformance"
_DIGEST: Final = hashlib.sha256(_MESSAGE).digest()
#: The shortest that is signed, one in between, and the largest number.
_DIGESTS: Final = (_DIGEST, _DIGEST[:16], _DIGEST[:20], b"\xff" * 32)


def check_scheme(scheme: Scheme, name: str, curve: Curve, reference: Scheme) -> None:
    """Raise `ParameterError` with the first thing in which ``scheme`` differs from ``reference`` on the same curve."""
    _require(name, "a name", name, scheme.name)
    _require(name, "that it really signs", False, scheme.is_modelled)  # noqa: FBT003 - what is expected
    for index, secret in enumerate((derive_secret(curve, "conformance"), 1, curve.order - 1)):
        mine, right = scheme.private_key(secret), reference.private_key(secret)
        _require(name, "the public key", right.public_bytes.hex(), mine.public_bytes.hex())
        public = scheme.verifying_key(right.public_bytes)
        for digest in _DIGESTS if index == 0 else _DIGESTS[:1]:
            signature = right.sign(digest)
            _require(name, "the deterministic low-S signature", signature.hex(), mine.sign(digest).hex())
            _require(name, "that a right signature verifies", True, public.verify(digest, signature))  # noqa: FBT003
        if index == 0:
            for what, digest, forged in _forge(curve, right.sign(_DIGEST)):
                _require(name, f"that {what} is refused", False, public.verify(digest, forged))  # noqa: FBT003
    _check_inputs(name, curve, scheme, reference.private_key(1).public_bytes)


def _require(name: str, what: str, expected: object, found: object) -> None:
    if expected != found or type(expected) is not type(found):
        raise ParameterError(f"signature scheme {name}: {what}: expected {expected}, found {found}")


def _forge(curve: Curve, signature: bytes) -> Iterator[tuple[str, bytes, bytes]]:
    r, s = signature[:SCALAR_BYTES], signature[SCALAR_BYTES:]
    order, nothing = curve.order.to_bytes(SCALAR_BYTES), bytes(SCALAR_BYTES)
    yield "another digest", _DIGEST[::-1], signature
    yield "another r", _DIGEST, bytes([r[0] ^ 1]) + r[1:] + s
    yield "another s", _DIGEST, r + s[:-1] + bytes([s[-1] ^ 1])
    yield "the other s of the two", _DIGEST, r + (curve.order - int.from_bytes(s)).to_bytes(SCALAR_BYTES)
    yield "r = 0", _DIGEST, nothing + s
    yield "s = 0", _DIGEST, r + nothing
    yield "r = order", _DIGEST, order + s
    yield "a cut signature", _DIGEST, signature[:-1]
    yield "a longer signature", _DIGEST, signature + b"\0"
    yield "a short digest", _DIGEST[:15], signature
    yield "a long digest", _DIGEST + b"\0", signature


def _check_inputs(name: str, curve: Curve, scheme: Scheme, point: bytes) -> None:
    """Numbers that are no scalar, bytes that are no compressed point, digests that are too short or too long."""
    key = scheme.private_key(1)
    off = next(x for x in range(1, 100) if not _is_on_curve(curve, x)).to_bytes(SCALAR_BYTES)
    calls: tuple[tuple[str, Callable[[], object]], ...] = (
        ("secret 0", lambda: scheme.private_key(0)),
        ("a secret that is the order", lambda: scheme.private_key(curve.order)),
        ("a key of no bytes", lambda: scheme.verifying_key(b"")),
        ("a cut key", lambda: scheme.verifying_key(point[:-1])),
        ("a key of another form", lambda: scheme.verifying_key(b"\x04" + point[1:])),
        ("a key beyond the field", lambda: scheme.verifying_key(b"\x02" + b"\xff" * (PUBLIC_KEY_BYTES - 1))),
        ("a key that is no point of the curve", lambda: scheme.verifying_key(b"\x02" + off)),
        ("a digest of 15 bytes", lambda: key.sign(_DIGEST[:15])),
        ("a digest of 33 bytes", lambda: key.sign(_DIGEST + b"\0")),
    )
    for what, call in calls:
        try:
            call()
        except SignatureError:
            continue
        except Exception as error:
            raise ParameterError(
                f"signature scheme {name}: {what}: expected a SignatureError, found {type(error).__name__}: {error}"
            ) from error
        raise ParameterError(f"signature scheme {name}: {what}: expected a SignatureError, found none")


def _is_on_curve(curve: Curve, x: int) -> bool:
    """Euler's criterion for ``x^3 + ax + b`` (SEC 2 version 2.0, sections 2.4.1 and 2.4.2)."""
    a, b = _COEFFICIENTS[curve.name]
    return pow(x**3 + a * x + b, (curve.field - 1) // 2, curve.field) in {0, 1}


_COEFFICIENTS: Final = {
    "p256": (-3, 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B),
    "secp256k1": (0, 7),
}
