"""Curves over a prime field and their points, as SEC 1 (sections 2.2, 2.3 and 3.1) and FIPS 186-5 define them.

Affine, by formulas, one inversion each: slow, readable, and not constant-time, so it checks others and never holds
anybody's keys.  What the paper's Equation 3 leaves open (E13) are the fields of `Curve`; what its Equation 4 leaves out
(E16) are the cases of `add`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ehrcore.errors import ParameterError

#: A point by its coordinates; None is O, the identity, "the point at infinity".
Point = tuple[int, int] | None
_WITNESSES: Final = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)


@dataclass(frozen=True, slots=True)
class Curve:
    """``y^2 = x^3 + ax + b`` over the field of ``p`` elements; ``G`` generates a group of prime order ``n``."""

    name: str
    p: int
    a: int
    b: int
    G: tuple[int, int]
    n: int


#: NIST SP 800-186, section 3.2.1.3; SEC 2 calls it secp256r1.
P256: Final = Curve(
    "p256",
    p=2**256 - 2**224 + 2**192 + 2**96 - 1,
    a=-3,
    b=0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    G=(
        0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
        0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    ),
    n=0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
)
#: SEC 2 version 2.0, section 2.4.1.
SECP256K1: Final = Curve(
    "secp256k1",
    p=2**256 - 2**32 - 977,
    a=0,
    b=7,
    G=(
        0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
        0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
    ),
    n=0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
)
CURVES: Final = {curve.name: curve for curve in (P256, SECP256K1)}


def discriminant(curve: Curve) -> int:
    """``4a^3 + 27b^2`` modulo p: at zero the cubic has a double root, and the group is an easy one."""
    return (4 * curve.a**3 + 27 * curve.b**2) % curve.p


def is_on_curve(curve: Curve, point: Point) -> bool:
    """Whether the point satisfies the equation, with coordinates in [0, p); O does."""
    if point is None:
        return True
    x, y = point
    return 0 <= x < curve.p and 0 <= y < curve.p and (y * y - x**3 - curve.a * x - curve.b) % curve.p == 0


def negate(curve: Curve, point: Point) -> Point:
    """-P: the reflection at the x-axis."""
    return None if point is None else (point[0], -point[1] % curve.p)


def add(curve: Curve, P: Point, Q: Point) -> Point:
    """P + Q of two points of the curve (SEC 1 section 2.2.1), in all five cases (E16)."""
    if P is None:
        return Q
    if Q is None:
        return P
    if negate(curve, P) == Q:  # a doubled point with y = 0, too
        return None
    (x1, y1), (x2, y2), p = P, Q, curve.p
    rise, run = (3 * x1 * x1 + curve.a, 2 * y1) if P == Q else (y2 - y1, x2 - x1)
    slope = rise * pow(run, -1, p)
    x3 = (slope * slope - x1 - x2) % p
    return x3, (slope * (x1 - x3) - y1) % p


def multiply(curve: Curve, scalar: int, point: Point) -> Point:
    """``scalar * P`` for ``scalar >= 0``, by doubling and adding from the highest bit."""
    result: Point = None
    for bit in f"{scalar:b}":
        result = add(curve, result, result)
        if bit == "1":
            result = add(curve, result, point)
    return result


def compress(point: tuple[int, int]) -> bytes:
    """The 33 bytes of a point of a 256-bit curve (SEC 1 section 2.3.3)."""
    x, y = point
    return bytes([2 + y % 2]) + x.to_bytes(32)


def decompress(curve: Curve, data: bytes) -> tuple[int, int]:
    """The point of 33 bytes (SEC 1 section 2.3.4); `ParameterError` if there is none."""
    x = int.from_bytes(data[1:])
    if len(data) != 33 or data[0] not in {2, 3} or x >= curve.p:  # noqa: PLR2004 - SEC 1's own numbers
        raise ParameterError(f"point of {curve.name}: expected 33 bytes in compressed form, found {data.hex()!r}")
    square = (x**3 + curve.a * x + curve.b) % curve.p
    y = pow(square, (curve.p + 1) // 4, curve.p)  # a root, for both primes are 3 modulo 4
    if y * y % curve.p != square:
        raise ParameterError(f"point of {curve.name}: expected an x-coordinate of a point, found {x:#x}")
    return x, y if y % 2 == data[0] % 2 else curve.p - y


def validate_domain(curve: Curve) -> None:
    """What Equation 3 leaves out (E13), by SEC 1 section 3.1.1.2.1; `ParameterError` names the first that fails.

    Primes are probable ones (Miller and Rabin's test to 12 bases).  The cofactor is 1, as that of both curves here.
    """
    for rule, holds in _RULES.items():
        if not holds(curve):
            raise ParameterError(f"curve {curve.name}: expected that {rule}, found that it does not hold")


def _is_probable_prime(n: int) -> bool:
    if n < _WITNESSES[-1] ** 2:
        return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))
    twos = ((n - 1) & -(n - 1)).bit_length() - 1
    for base in _WITNESSES:
        x = pow(base, n - 1 >> twos, n)
        if x != 1 and all(pow(x, 1 << step, n) != n - 1 for step in range(twos)):
            return False
    return True


#: In this order: each rests on those before it.
_RULES: Final[dict[str, Callable[[Curve], bool]]] = {
    "p is an odd prime": lambda curve: curve.p > 3 and _is_probable_prime(curve.p),  # noqa: PLR2004 - SEC 1's own
    "4a^3 + 27b^2 is not 0": lambda curve: discriminant(curve) != 0,
    "G is on the curve": lambda curve: is_on_curve(curve, curve.G),
    "n is a prime": lambda curve: _is_probable_prime(curve.n),
    "n is not p": lambda curve: curve.n != curve.p,
    "n is within Hasse's bound": lambda curve: (curve.n - curve.p - 1) ** 2 <= 4 * curve.p,
    "nG is O": lambda curve: multiply(curve, curve.n, curve.G) is None,
}
