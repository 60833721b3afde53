"""Birthday search for collisions of a hash cut to a few bits: how its cost grows, and that prefixes do not change it.

A cut SHA-256 stands for any hash without a better attack than this one: the mean is sqrt(pi / 2) 2^(n / 2) tries
(Knuth, The Art of Computer Programming 3, section 6.4).  An attacker who knows a prefix or a key hashes with it.
"""

import hmac
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sqrt
from typing import Final

from ehrcore.hashing import find_suite

#: Mean tries over 2^(bits / 2).
MEAN_FACTOR: Final = sqrt(pi / 2)
_HASH: Final = find_suite("sha256")
_KEY: Final = b"a key that the attacker knows..."
#: Protection -> the whole digest of a message.
PROTECTIONS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "none": _HASH.hash,
    "known prefix, H(0x00 || x)": lambda message: _HASH.hash(b"\0" + message),
    "HMAC, key known": lambda message: hmac.digest(_KEY, message, "sha256"),
}


@dataclass(frozen=True, slots=True)
class Found:
    """Two messages with one cut digest, the tries up to the second, and the seconds of all that were made."""

    first: bytes
    second: bytes
    tries: int
    made: int
    seconds: float


def cut(digest: bytes, bits: int) -> int:
    """The first ``bits`` (at most 64) of a digest."""
    return int.from_bytes(digest[:8]) >> (64 - bits)


def search(protection: str, bits: int, seed: str) -> Found:
    """Hash messages that the seed determines until two digests agree in their first ``bits`` (8 to 56)."""
    import numpy as np

    digest, salt = PROTECTIONS[protection], random.Random(f"{seed}|{protection}|{bits}").randbytes(8)
    begin, made, values = time.perf_counter(), 0, np.empty(0, np.uint64)
    size = max(int(2 ** (bits / 2)) // 4, 16)
    while True:
        heads = b"".join(digest(salt + number.to_bytes(8))[:8] for number in range(made, made + size))
        made += size
        new = np.frombuffer(heads, dtype=">u8").astype(np.uint64) >> np.uint64(64 - bits)
        values = np.concatenate([values, new])
        # A stable order keeps equal values in the order of their tries: the first repeat is the least second one.
        order = np.argsort(values, kind="stable")
        equal = np.flatnonzero(values[order[1:]] == values[order[:-1]])
        if len(equal):
            place = equal[np.argmin(order[equal + 1])]
            first, second = int(order[place]), int(order[place + 1])
            pair = (salt + first.to_bytes(8), salt + second.to_bytes(8))
            return Found(*pair, second + 1, made, time.perf_counter() - begin)


def is_collision(found: Found, protection: str, bits: int) -> bool:
    """Whether the two messages differ and their cut digests do not, computed anew."""
    digest = PROTECTIONS[protection]
    return found.first != found.second and cut(digest(found.first), bits) == cut(digest(found.second), bits)
