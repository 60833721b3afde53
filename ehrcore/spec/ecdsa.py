"""ECDSA as FIPS 186-5 section 6.4 defines it, with the nonce of RFC 6979: what the paper names and never writes (E18).

The textbook, digit for digit: slow and not constant-time, the oracle of the libraries behind `ehrcore.signing`.  A
digest is bytes, its integer the leftmost bits that the order has room for.
"""

import hmac
from collections.abc import Iterator

from ehrcore.errors import ParameterError
from ehrcore.spec.curve import Curve, Point, add, is_on_curve, multiply


def digest_integer(curve: Curve, digest: bytes) -> int:
    """The leftmost bits of the digest, as many as the order has (RFC 6979 section 2.3.2, bits2int)."""
    excess = 8 * len(digest) - curve.n.bit_length()
    return int.from_bytes(digest) >> max(excess, 0)


def nonces(curve: Curve, secret: int, digest: bytes, hash_name: str = "sha256") -> Iterator[int]:
    """The candidates for k in order (RFC 6979 section 3.2); the first that gives a signature is the one."""
    size = (curve.n.bit_length() + 7) // 8
    seed = secret.to_bytes(size) + (digest_integer(curve, digest) % curve.n).to_bytes(size)
    width = hmac.new(b"", digestmod=hash_name).digest_size
    key, value = bytes(width), b"\x01" * width

    def mac(data: bytes) -> bytes:
        return hmac.digest(key, data, hash_name)

    for mark in (b"\x00", b"\x01"):
        key = mac(value + mark + seed)
        value = mac(value)
    while True:
        found = b""
        while len(found) < size:
            value = mac(value)
            found += value
        k = digest_integer(curve, found)
        if 1 <= k < curve.n:
            yield k
        key = mac(value + b"\x00")
        value = mac(value)


def sign_with(curve: Curve, secret: int, digest: bytes, k: int) -> tuple[int, int] | None:
    """The numbers r and s for the nonce ``1 <= k < n`` (section 6.4.1); None if either is zero: take another nonce."""
    point = multiply(curve, k, curve.G)
    r = 0 if point is None else point[0] % curve.n
    s = pow(k, -1, curve.n) * (digest_integer(curve, digest) + r * secret) % curve.n
    return (r, s) if r and s else None


def sign(curve: Curve, secret: int, digest: bytes, hash_name: str = "sha256") -> tuple[int, int]:
    """The numbers r and s with the nonce of RFC 6979.  `ParameterError` if the secret is outside [1, n)."""
    if not 1 <= secret < curve.n:
        raise ParameterError(f"private key of {curve.name}: expected a scalar in [1, n), found one outside")
    signatures = (sign_with(curve, secret, digest, k) for k in nonces(curve, secret, digest, hash_name))
    return next(found for found in signatures if found)


def verify(curve: Curve, public: Point, digest: bytes, signature: tuple[int, int]) -> bool:
    """Whether r and s sign the digest under the public key (section 6.4.2); either of the two valid s will do."""
    r, s = signature
    if public is None or not is_on_curve(curve, public) or not (0 < r < curve.n and 0 < s < curve.n):
        return False
    w = pow(s, -1, curve.n)
    u = digest_integer(curve, digest) * w % curve.n
    v = r * w % curve.n
    point = add(curve, multiply(curve, u, curve.G), multiply(curve, v, public))
    return point is not None and point[0] % curve.n == r


def public_key(curve: Curve, secret: int) -> tuple[int, int]:
    """The point ``secret * G``, ``1 <= secret < n``."""
    point = multiply(curve, secret, curve.G)
    if point is None:
        raise ParameterError(f"private key of {curve.name}: expected a scalar in [1, n), found a multiple of n")
    return point
