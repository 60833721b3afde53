"""Demonstrations of E13 to E18: Equations 3 and 4, on P-256."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import permutations
from typing import Final

from bench.errata.base import Line
from ehrcore.errors import ParameterError
from ehrcore.spec import ecdsa
from ehrcore.spec.curve import P256, Curve, Point, add, discriminant, is_on_curve, negate
from ehrcore.spec.equations import add_hashes

_Pair = tuple[int, int]
_TRIALS: Final = 16
#: What the singular curve and P-256 are asked for; below the order of both groups.
_SECRET: Final = int.from_bytes(hashlib.sha256(b"a private key").digest()) >> 1


def _known(point: Point) -> _Pair:
    """A point that is not O."""
    if point is None:
        raise ValueError("point: expected one with coordinates, found O")
    return point


@cache
def _pairs() -> list[tuple[_Pair, _Pair]]:
    """Pairs of points of P-256, no two alike: one of its generator's multiples, doubled again and again."""
    point = ecdsa.public_key(P256, _SECRET)
    points = [point := _known(add(P256, point, point)) for _ in range(2 * _TRIALS)]
    return list(zip(points[::2], points[1::2], strict=True))


def _count(rule: Callable[[_Pair, _Pair], _Pair]) -> str:
    """How many sums are points of the curve."""
    return f"{sum(is_on_curve(P256, rule(P, Q)) for P, Q in _pairs())} of {_TRIALS}"


def show_curve() -> list[Line]:
    """Whether one division finds a private key: where a = b = 0, as Equation 3 allows, and on P-256."""
    cusp = replace(P256, name="cusp", a=0, b=0, G=(1, 1))

    def is_found(curve: Curve) -> str:
        x, y = ecdsa.public_key(curve, _SECRET)
        ratio = x * pow(y, -1, curve.p) * curve.G[1] * pow(curve.G[0], -1, curve.p)
        return "yes" if ratio % curve.p == _SECRET else "no"

    def condition(value: int) -> str:
        return "0" if value == 0 else "not 0"

    return [
        Line("does x/y of the public key over x/y of G give the private key?", is_found(cusp), is_found(P256)),
        Line("4a^3 + 27b^2 modulo p", condition(discriminant(cusp)), condition(discriminant(P256))),
    ]


def show_slope() -> list[Line]:
    """How many of 16 sums are on the curve, by how points, 'b2' and 'M t1' are read; line 3 is as corrected."""

    def usual(P: _Pair, Q: _Pair) -> _Pair:  # x1, y1 and x2, y2 are the points
        return add_hashes((P[0], Q[0]), (P[1], Q[1]), P256.p)

    def corrected(P: _Pair, Q: _Pair) -> _Pair:
        return add_hashes(P, Q, P256.p)

    def doubled(P: _Pair, Q: _Pair) -> _Pair:
        return add_hashes(P, Q, P256.p, frozenset({"E14"}))

    values = {corrected(P, Q)[0] for P, Q in _pairs()}
    return [
        Line("points (x1, y1), (x2, y2), and right (x1, x2), (y1, y2)", _count(usual), _count(corrected)),
        Line("'b2' as 2b, and right b squared", _count(doubled), _count(corrected)),
        Line("values that 'M t1' has modulo M, and t1", str(len({P256.p * t1 % P256.p for t1 in values})),
             str(len(values))),
    ]  # fmt: skip


def show_last_line() -> list[Line]:
    """How many of 16 sums are on the curve, and how many are P + Q; line 3 as printed and both ways as corrected."""
    modulus = P256.p
    printed, right = (
        [add_hashes(P, Q, modulus, frozenset(errata)) for P, Q in _pairs()] for errata in ({"E15"}, set[str]())
    )
    sums = [add(P256, P, Q) for P, Q in _pairs()]
    # The other correction, b(y1 - t1) - y2, gives the same second coordinate.
    other = 0
    for (P, Q), (t1, t2) in zip(_pairs(), right, strict=True):
        b = (P[1] - Q[1]) * pow(P[0] - Q[0], -1, modulus)
        other += (b * (Q[0] - t1) - Q[1]) % modulus == t2

    def count(found: list[_Pair]) -> str:
        return f"{sum(a == b for a, b in zip(found, sums, strict=True))} of {_TRIALS}"

    on_curve = [f"{sum(is_on_curve(P256, point) for point in found)} of {_TRIALS}" for found in (printed, right)]
    return [
        Line("on the curve", on_curve[0], on_curve[1]),
        Line("equal to P + Q", count(printed), f"{count(right)}; by b(y1 - t1) - y2 as well: {other}"),
    ]


def show_cases() -> list[Line]:
    """2G and G - G by Equation 4, and by SEC 1."""
    from cryptography.hazmat.primitives.asymmetric import ec

    def printed(P: _Pair, Q: _Pair) -> str:
        try:
            return str(add_hashes(P, Q, P256.p))
        except ParameterError as error:
            return f"none ({error})"

    G, twice = P256.G, ec.derive_private_key(2, ec.SECP256R1()).public_key().public_numbers()
    minus = _known(negate(P256, G))
    right = add(P256, G, minus)
    return [
        Line("G + G", printed(G, G), f"x = {twice.x:x}"),
        Line("G + (-G)", printed(G, minus), "O, the identity" if right is None else str(right)),
    ]


def show_chaining() -> list[Line]:
    """What becomes of three blocks in all six orders; and how many digests are an x-coordinate at all."""
    blocks = [hashlib.sha256(f"block {number}".encode()).digest() for number in range(3)]
    points = [ecdsa.public_key(P256, int.from_bytes(digest) % P256.n) for digest in blocks]
    sums, tips = set(), set()
    for order in permutations(range(3)):
        total, previous = None, bytes(32)
        for place in order:
            total = add(P256, total, points[place])
            previous = hashlib.sha256(previous + blocks[place]).digest()
        sums.add(total)
        tips.add(previous)
    digests = [int.from_bytes(hashlib.sha256(f"block {number}".encode()).digest()) for number in range(200)]
    squares = ((x**3 + P256.a * x + P256.b) % P256.p for x in digests)
    usable = sum(pow(square, (P256.p - 1) // 2, P256.p) in {0, 1} for square in squares)
    return [
        Line("different results for the 6 orders of 3 blocks", str(len(sums)), str(len(tips))),
        Line("block hashes of 200 that can be chained", str(usable), str(len(digests))),
    ]


def show_ecdsa() -> list[Line]:
    """Signatures by the four equations, and by the textbook as OpenSSL judges them."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    message, accepted = b"ECG of 0001", 0
    secrets = range(1, _TRIALS + 1)
    for secret in secrets:
        key = ec.derive_private_key(secret, ec.SECP256R1()).public_key()
        r, s = ecdsa.sign(P256, secret, hashlib.sha256(message).digest())
        try:
            key.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
            accepted += 1
        except InvalidSignature:
            continue
    none = "0: no equation has a key, a message and a signature"
    return [Line(f"signatures of {_TRIALS} that are made and valid", none, str(accepted))]
