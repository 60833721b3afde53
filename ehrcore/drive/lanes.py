"""Proof of work over SHA-256 on many nonces at once: the search of `grind`, compiled by numba.

One loop runs over `LANES` nonces, and all 64 rounds (FIPS 180-4, 6.2.2) stand in its body without a branch, so that
LLVM puts one nonce into each 32-bit lane of a vector register (AVX2, AVX-512, NEON).  That is what beats SHA-NI, which
works on one message at a time.  What comes before the last one or two blocks is hashed once.
"""

from typing import Final

import numpy as np
from numba import njit, uint32, uint64

from ehrcore.block import Header
from ehrcore.codec import encode
from ehrcore.consensus.work import NONCE_BYTES, target
from ehrcore.hashing import HashSuite

#: Nonces per pass: their states fit into the nearest cache.
LANES: Final = 256
_PRIMES: Final = [number for number in range(2, 312) if all(number % divisor for divisor in range(2, number))]
#: The first 32 bits behind the point of the roots of the first primes (FIPS 180-4, 5.3.3 and 4.2.2).
_INITIAL: Final = [int(prime ** (1 / 2) % 1 * (1 << 32)) for prime in _PRIMES[:8]]
_K: Final = tuple(np.uint32(prime ** (1 / 3) % 1 * (1 << 32)) for prime in _PRIMES)
_ALL_ONES: Final = 0xFFFF_FFFF


def grind_lanes(suite: HashSuite, header: Header, start: int, count: int) -> bytes | None:
    """As `grind` for SHA-256: the first nonce of ``[start, start + count)`` that works, or None."""
    before, most = encode(header)[:-NONCE_BYTES], target(suite, header.difficulty) - 1
    size = len(before) + NONCE_BYTES
    padded = before + bytes(NONCE_BYTES) + b"\x80" + bytes(-(size + 9) % 64) + (8 * size).to_bytes(8)
    blocks = np.frombuffer(padded, ">u4").astype(np.uint32).reshape(-1, 16)
    word, offset = divmod(len(before), 4)
    block = word // 16
    # All ones in the place of the nonce's first word; a block's window begins two words earlier: the nonce ends there.
    line = np.zeros(16 * len(blocks) + 2, np.uint32)
    line[word + 2] = _ALL_ONES
    places = np.stack([line[at : at + 18] for at in range(0, 16 * len(blocks), 16)])
    middle, nowhere = np.repeat(np.array(_INITIAL, np.uint32), LANES), np.zeros(18, np.uint32)
    for words in blocks[:block]:
        _compress(middle, words, nowhere, offset, uint64(0))
    end = start + count
    while start < end:
        tried = _search(middle, blocks[block:], places[block:], offset, uint64(start), end - start, uint32(most >> 224))
        if tried < 0:
            return None
        nonce: bytes = int(start + tried).to_bytes(NONCE_BYTES)
        # The lanes compare the first word alone; where it is the target's own, the others decide.
        if int.from_bytes(suite.hash(before + nonce)) <= most:
            return nonce
        start += tried + 1
    return None


def warm_up() -> None:
    """Compile the search, or load it from numba's cache."""
    state, words, places = np.zeros(8 * LANES, np.uint32), np.zeros((1, 16), np.uint32), np.zeros((1, 18), np.uint32)
    _search(state, words, places, 0, uint64(0), 1, uint32(0))
    _compress(state, words[0], places[0], 0, uint64(0))


_inlined = njit(forceinline=True)
_compiled = njit(nogil=True, cache=True)


@_inlined
def _rotate(x, n):
    return uint32(x >> n | x << 32 - n)


# Sums have 64 bits until they are cut back to 32, which LLVM finds can be done from the start.
@_inlined
def _turn(a, b, c, d, e, f, g, h, word, k):
    """One round: the new values of ``d`` and ``h``."""
    t = uint32(h + word + k + (g ^ e & (f ^ g)) + (_rotate(e, 6) ^ _rotate(e, 11) ^ _rotate(e, 25)))
    return uint32(d + t), uint32(t + (a & b | c & (a | b)) + (_rotate(a, 2) ^ _rotate(a, 13) ^ _rotate(a, 22)))


@_inlined
def _turn_eight(s, w, k):
    a, b, c, d, e, f, g, h = s
    d, h = _turn(a, b, c, d, e, f, g, h, w[0], k[0])
    c, g = _turn(h, a, b, c, d, e, f, g, w[1], k[1])
    b, f = _turn(g, h, a, b, c, d, e, f, w[2], k[2])
    a, e = _turn(f, g, h, a, b, c, d, e, w[3], k[3])
    h, d = _turn(e, f, g, h, a, b, c, d, w[4], k[4])
    g, c = _turn(d, e, f, g, h, a, b, c, w[5], k[5])
    f, b = _turn(c, d, e, f, g, h, a, b, w[6], k[6])
    e, a = _turn(b, c, d, e, f, g, h, a, w[7], k[7])
    return a, b, c, d, e, f, g, h


@_inlined
def _mix(a, b, c, d):
    small = _rotate(b, 7) ^ _rotate(b, 18) ^ b >> 3
    return uint32(a + small + c + (_rotate(d, 17) ^ _rotate(d, 19) ^ d >> 10))


@_inlined
def _extend(u, v):
    """The next eight words of the schedule after ``u`` and ``v``."""
    a, b = _mix(u[0], u[1], v[1], v[6]), _mix(u[1], u[2], v[2], v[7])
    c, d = _mix(u[2], u[3], v[3], a), _mix(u[3], u[4], v[4], b)
    e, f = _mix(u[4], u[5], v[5], c), _mix(u[5], u[6], v[6], d)
    g = _mix(u[6], u[7], v[7], e)
    return a, b, c, d, e, f, g, _mix(u[7], v[0], a, f)


@_inlined
def _place(words, places, i, x, y, z):
    """Word ``i`` with its part of the nonce, which lies in three words: ``places[i + 2]`` masks the first."""
    return uint32(words[i] | x & places[i + 2] | y & places[i + 1] | z & places[i])


@_compiled
def _compress(state, words, places, offset, first):
    """Take a block into each lane's state; lane i has nonce ``first + i``, from ``offset`` bytes into a word on.

    ``state`` holds the first words of all lanes, then the second ones, and so on, so that lanes lie side by side.
    """
    bits = uint64(8 * offset)
    for lane in range(LANES):
        nonce = uint64(first + uint64(lane))
        x = uint32(nonce >> bits >> uint64(32))
        y = uint32(nonce >> bits)
        z = uint32(uint64(nonce << uint64(32)) >> bits)
        u = (
            _place(words, places, 0, x, y, z), _place(words, places, 1, x, y, z),
            _place(words, places, 2, x, y, z), _place(words, places, 3, x, y, z),
            _place(words, places, 4, x, y, z), _place(words, places, 5, x, y, z),
            _place(words, places, 6, x, y, z), _place(words, places, 7, x, y, z),
        )  # fmt: skip
        v = (
            _place(words, places, 8, x, y, z), _place(words, places, 9, x, y, z),
            _place(words, places, 10, x, y, z), _place(words, places, 11, x, y, z),
            _place(words, places, 12, x, y, z), _place(words, places, 13, x, y, z),
            _place(words, places, 14, x, y, z), _place(words, places, 15, x, y, z),
        )  # fmt: skip
        s = (
            state[lane], state[LANES + lane], state[2 * LANES + lane], state[3 * LANES + lane],
            state[4 * LANES + lane], state[5 * LANES + lane], state[6 * LANES + lane], state[7 * LANES + lane],
        )  # fmt: skip
        s = _turn_eight(_turn_eight(s, u, _K[0:8]), v, _K[8:16])
        u = _extend(u, v)
        v = _extend(v, u)
        s = _turn_eight(_turn_eight(s, u, _K[16:24]), v, _K[24:32])
        u = _extend(u, v)
        v = _extend(v, u)
        s = _turn_eight(_turn_eight(s, u, _K[32:40]), v, _K[40:48])
        u = _extend(u, v)
        v = _extend(v, u)
        a, b, c, d, e, f, g, h = _turn_eight(_turn_eight(s, u, _K[48:56]), v, _K[56:64])
        state[lane] += a
        state[LANES + lane] += b
        state[2 * LANES + lane] += c
        state[3 * LANES + lane] += d
        state[4 * LANES + lane] += e
        state[5 * LANES + lane] += f
        state[6 * LANES + lane] += g
        state[7 * LANES + lane] += h


@_compiled
def _search(middle, blocks, places, offset, first, count, most):
    """How many nonces come before the first whose hash begins with a word of at most ``most``; -1 for none."""
    state = np.empty_like(middle)
    for tried in range(0, count, LANES):
        for i in range(middle.size):
            state[i] = middle[i]
        for at in range(len(blocks)):
            _compress(state, blocks[at], places[at], offset, uint64(first + uint64(tried)))
        for lane in range(min(LANES, count - tried)):
            if state[lane] <= most:
                return tried + lane
    return -1
