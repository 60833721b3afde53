"""The paper's Equations 1, 2 and 4 and its modular exponentiation, as printed and as corrected (E10 to E17).

Equation 3, the curve, is `ehrcore.spec.curve`.  Errata of Equation 4 are named one by one, as in `ehrcore.spec.sha256`.
"""

from dataclasses import dataclass
from typing import Final

from ehrcore.errors import ParameterError
from ehrcore.spec import sha256
from ehrcore.spec.sha256 import CORRECTED

#: Where Equation 4 departs from the addition of points, once its points are read as X = (x1, x2) and Y = (y1, y2).
EQUATION_4: Final = frozenset({"E14", "E15"})


def exponentiate(base: int, exponent: int, modulus: int) -> int:
    """``c = b^e mod n``: the power is divided, and the remainder is the result."""
    return pow(base, exponent, modulus)


def exponentiate_printed(_base: int, exponent: int, modulus: int) -> int:
    """Section 3 as it reads (E10): the exponent is what is divided, so the base does not matter."""
    return exponent % modulus


@dataclass(frozen=True, slots=True)
class Trapdoor:
    """A trapdoor one-way function, Equation 1: textbook RSA, whose secret exponent undoes it.

    A hash function is none (E11): it has no secret, and many messages share each value.
    """

    modulus: int
    public: int
    secret: int

    def apply(self, a: int) -> int:
        """f(a) = b, ``0 <= a < modulus``."""
        return exponentiate(a, self.public, self.modulus)

    def invert(self, b: int) -> int:
        """The one ``a`` with f(a) = b, for who has the secret."""
        return exponentiate(b, self.secret, self.modulus)


def hash_message(message: bytes) -> bytes:
    """Equation 2 as corrected: h: {0,1}* -> {0,1}^256."""
    return sha256.digest(message)


def hash_message_printed(message: bytes) -> bytes:
    """Equation 2 as printed, h(m) = m (E12): the identity, whatever the length."""
    return message


def add_hashes(
    X: tuple[int, int], Y: tuple[int, int], modulus: int, printed: frozenset[str] = CORRECTED
) -> tuple[int, int]:
    """Equation 4 in its own letters: (t1, t2) from X = (x1, x2) and Y = (y1, y2), modulo M.

    Corrected it is the sum of two points of different x; it has no other case (E16: `ParameterError`).  E14 reads 'b2'
    as it stands, b times 2; E15 takes y1 for x1 in the last line.  The 'M' before t1 is left out: M t1 is 0 modulo M.
    """
    (x1, x2), (y1, y2), M = X, Y, modulus
    try:
        b = (x2 - y2) * pow(x1 - y1, -1, M) % M
    except ValueError:
        raise ParameterError("x1 - y1: expected a number with an inverse modulo M, found none") from None
    t1 = ((b * 2 if "E14" in printed else b**2) - y1 - x1) % M
    t2 = (b * ((y1 if "E15" in printed else x1) - t1) - x2) % M
    return t1, t2
