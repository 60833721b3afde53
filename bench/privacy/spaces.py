"""How many patient ids there are: sizes computed from each scheme's rule, so that a guess has a price.

A check digit makes no id harder to guess: it says which ones need no trying.  Sizes are those of the whole scheme, an
upper bound: whoever knows a birth date or a region tries fewer.
"""

import math
from dataclasses import dataclass
from datetime import date
from typing import Final

from ehrcore.pseudonyms import SCRYPT_P

#: Births that a living person's date can be: 110 years up to the paper's own.
_BIRTH_DAYS: Final = (date(2022, 7, 19) - date(1912, 7, 19)).days
_NHS_WEIGHTS: Final = range(10, 1, -1)
#: NHS Data Dictionary: 11 minus the weighted sum modulo 11 is the check digit; where that is 10, there is no number.
_NHS_MODULUS, _NHS_INVALID = 11, 1


@dataclass(frozen=True, slots=True)
class IdSpace:
    """A scheme of ids: how many it has (``size``), by which rule, and who says so."""

    name: str
    size: int
    rule: str
    source: str

    @property
    def bits(self) -> float:
        """Logarithm of the size to base 2."""
        return math.log2(self.size)


def count_weighted(weights: "range | tuple[int, ...]", modulus: int, invalid: int) -> int:
    """How many strings of as many digits as there are weights have another weighted sum (modulo) than ``invalid``."""
    counts = [1] + [0] * (modulus - 1)
    for weight in weights:
        following = [0] * modulus
        for residue, count in enumerate(counts):
            for digit in range(10):
                following[(residue + weight * digit) % modulus] += count
        counts = following
    return sum(counts) - counts[invalid]


SPACES: Final = (
    IdSpace("4 digits", 10**4, "any", "claim C15: a small hospital's numbers"),
    IdSpace("6 digits", 10**6, "any", "a hospital's numbers"),
    IdSpace(
        "Sweden: personnummer",
        _BIRTH_DAYS * 999,
        "birth date of 110 years, 3 digits from 001, check digit (Luhn)",
        "Skatteverket, SKV 704 (2007)",
    ),
    IdSpace(
        "US: social security number",
        (899 - 1) * 99 * 9_999,
        "area 001 to 899 but 666, group 01 to 99, serial 0001 to 9999",
        "SSA, SSN Randomization (2011)",
    ),
    IdSpace(
        "UK: NHS number",
        count_weighted(_NHS_WEIGHTS, _NHS_MODULUS, _NHS_INVALID),
        "9 digits, check digit modulo 11, none where it would be 10",
        "NHS Data Dictionary, NHS NUMBER",
    ),
    IdSpace("Brazil: CPF", 10**9, "9 digits, 2 check digits", "Receita Federal, IN RFB 1548 (2015)"),
    IdSpace(
        "Germany: KVNR", 26 * 10**8, "a letter, 8 digits, check digit", "SGB V section 290; GKV-Spitzenverband, KVNR"
    ),
    IdSpace(
        "India: Aadhaar",
        8 * 10**10,
        "11 digits of which the first is 2 to 9, check digit (Verhoeff)",
        "UIDAI, A UID Numbering Scheme (2010)",
    ),
    IdSpace("random UUID", 1 << 122, "122 random bits", "RFC 9562 section 5.4"),
)


#: Guesses per second of one graphics card (NVIDIA RTX 4090), as published; scrypt's is for p = 1 and the same N and r.
CARD_SOURCE: Final = "literature, not measured here: hashcat 6.2.6 on one RTX 4090, S. Croley (Chick3nman), 2022"
CARD_PER_S: Final = {"sha256": 21_975.5e6, "sha1": 50_638.7e6, "md5": 164.1e9, "scrypt": 7_126 / SCRYPT_P}
