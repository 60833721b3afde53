"""SHA-256: as FIPS 180-4 defines it, and as the paper's Algorithm 1 prints it (errata E01 to E08).

One text serves both.  Wherever the two part there is a line for either, and ``printed`` names the errata whose printed
line is taken: none of them gives the standard, all of `ALGORITHM_1` give the algorithm as printed, and a single one
shows what that one does.  Words are integers; the letters are those of the standard and of the paper.
"""

from collections.abc import Iterator
from itertools import count, islice
from math import isqrt
from typing import Final

from ehrcore.errors import ParameterError

#: Where Algorithm 1 departs from the standard.
ALGORITHM_1: Final = frozenset({"E01", "E02", "E03", "E04", "E05", "E06", "E07", "E08"})
#: The standard.
CORRECTED: Final[frozenset[str]] = frozenset()
_WORD: Final = (1 << 32) - 1
_BLOCK_BITS: Final = 512
_LENGTH_BITS: Final = 64


def _primes() -> Iterator[int]:
    return (n for n in count(2) if all(n % d for d in range(2, isqrt(n) + 1)))


def _cube_root(n: int) -> int:
    """The largest integer whose cube is at most ``n >= 0``, bit by bit."""
    root = 0
    for bit in range(n.bit_length() // 3, -1, -1):
        if (root | 1 << bit) ** 3 <= n:
            root |= 1 << bit
    return root


#: First 32 bits of the fractions of the cube roots of the first 64 primes (section 4.2.2); not in the paper (E07).
K: Final = tuple(_cube_root(p << 96) & _WORD for p in islice(_primes(), 64))
#: First 32 bits of the fractions of the square roots of the first 8 primes (section 5.3.3); not in the paper (E07).
H0: Final = tuple(isqrt(p << 64) & _WORD for p in islice(_primes(), 8))


# -- section 4.1.2: the functions that Algorithm 1 names and leaves undefined (E07) ------------------------------------


def _rotate(x: int, n: int) -> int:
    # Rotation has a meaning for words only: without a modulus (E07) it is read as that of the last 32 bits.
    x &= _WORD
    return (x >> n | x << 32 - n) & _WORD


def _shift(x: int, n: int) -> int:
    return (x & _WORD) >> n


def _choose(x: int, y: int, z: int) -> int:
    return (x & y) ^ (~x & z)


def _majority(x: int, y: int, z: int) -> int:
    return (x & y) ^ (x & z) ^ (y & z)


def _big_sigma_0(x: int) -> int:
    return _rotate(x, 2) ^ _rotate(x, 13) ^ _rotate(x, 22)


def _big_sigma_1(x: int) -> int:
    return _rotate(x, 6) ^ _rotate(x, 11) ^ _rotate(x, 25)


def _sigma_0(x: int) -> int:
    return _rotate(x, 7) ^ _rotate(x, 18) ^ _shift(x, 3)


def _sigma_1(x: int) -> int:
    return _rotate(x, 17) ^ _rotate(x, 19) ^ _shift(x, 10)


# -- the algorithm -----------------------------------------------------------------------------------------------------


def encode_text(text: str, printed: frozenset[str] = CORRECTED) -> bytes:
    """The bytes to hash: UTF-8.  As printed ASCII (E08), which refuses all else with `ParameterError`."""
    if "E08" not in printed:
        return text.encode("utf-8")
    if not text.isascii():
        raise ParameterError(f"message: expected ASCII, found {next(c for c in text if not c.isascii())!r}")
    return text.encode("ascii")


def pad(message: bytes, printed: frozenset[str] = CORRECTED) -> bytes:
    """The message in whole blocks of 64 bytes: a 1 bit, zeros, and its length in 64 bits (section 5.1.1).

    As printed there is no 1 bit (E01) and one block only (E02): what does not fit has no hash, `ParameterError`.
    """
    bits = 8 * len(message)
    mark = b"" if "E01" in printed else b"\x80"
    room = _BLOCK_BITS - _LENGTH_BITS - 8 * len(mark)
    if "E02" in printed and bits > room:
        raise ParameterError(f"message: expected at most {room} bits, what one block holds, found {bits}")
    if bits >> _LENGTH_BITS:
        raise ParameterError(f"message: expected less than 2^{_LENGTH_BITS} bits, found {bits}")
    zeros = (room - bits) % _BLOCK_BITS // 8
    return message + mark + bytes(zeros) + bits.to_bytes(_LENGTH_BITS // 8)


def schedule(block: bytes, printed: frozenset[str] = CORRECTED) -> list[int]:
    """The 64 words W_t of a block of 64 bytes (section 6.2.2, step 1)."""
    M = [int.from_bytes(block[start : start + 4]) for start in range(0, 64, 4)]
    W = [M[0] if "E03" in printed else M[t] for t in range(16)]
    for t in range(16, 64):
        W.append(_add(printed, _sigma_1(W[t - 2]), W[t - 7], _sigma_0(W[t - 15]), W[t - 16]))
    return W


def compress(h: tuple[int, ...], block: bytes, printed: frozenset[str] = CORRECTED) -> tuple[int, ...]:
    """The eight words after one more block (section 6.2.2, steps 2 to 4)."""
    W = schedule(block, printed)
    A, B, C, D, E, F, G, H = h
    # The state after round t has the index t + 1: A63 to H63 (E05) are those before the last of the 64 rounds.
    for t in range(63 if "E05" in printed else 64):
        T1 = _add(printed, H, _big_sigma_1(E), _choose(E, F, G), K[t], W[t])
        T2 = _add(printed, _big_sigma_0(A), _majority(A, B, C))
        # 'E + H + ...' (E06) assigns nothing, so E stays what it was.
        new_E = E if "E06" in printed else _add(printed, D, T1)
        A, B, C, D, E, F, G, H = _add(printed, T1, T2), A, B, C, new_E, E, F, G
    sums = [_add(printed, old, new) for old, new in zip(h, (A, B, C, D, E, F, G, H), strict=True)]
    if "E04" in printed:
        sums[2] = C
    return tuple(sums)


def hash_words(message: bytes, printed: frozenset[str] = CORRECTED) -> tuple[int, ...]:
    """The words h0 to h7; below 2^32, but for E07.  `ParameterError` for what has no hash as printed (E02)."""
    h, padded = H0, pad(message, printed)
    for start in range(0, len(padded), 64):
        h = compress(h, padded[start : start + 64], printed)
    return h


def digest(message: bytes) -> bytes:
    """SHA-256 of ``message``, 32 bytes."""
    return b"".join(word.to_bytes(4) for word in hash_words(message))


def show_words(words: tuple[int, ...]) -> str:
    """The words in hexadecimal, eight digits each, or more where a word does not fit (E07)."""
    return "".join(f"{word:08x}" for word in words)


def _add(printed: frozenset[str], *terms: int) -> int:
    """The sum modulo 2^32; as printed without a modulus (E07)."""
    return sum(terms) if "E07" in printed else sum(terms) & _WORD
