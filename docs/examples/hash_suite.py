"""Two hash suites: BLAKE2s, and SHA-384 cut to the 32 bytes that a digest has at most."""

import hashlib
from typing import Any

from ehrcore.hashing import HashSuite, add_suite


class CutSha384:
    """SHA-384 in the shape of hashlib's objects, cut as FIPS 180-4 says in section 7."""

    def __init__(self, data: bytes = b"", state: Any = None) -> None:
        self._state = state or hashlib.sha384(data)

    def update(self, data: bytes) -> None:
        self._state.update(data)

    def copy(self) -> "CutSha384":
        return CutSha384(state=self._state.copy())

    def digest(self) -> bytes:
        digest: bytes = self._state.digest()
        return digest[:32]


# Name, bytes of a digest, bytes of a block, and what the best published collision attack
# costs in bits (half the digest where there is none).  The vectors are published, too:
# RFC 7693, appendix B, and NIST's example of SHA-384.
add_suite(
    HashSuite("blake2s", 32, 64, 128, hashlib.blake2s),
    vectors={b"abc": "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"},
)
add_suite(
    HashSuite("sha384-256", 32, 128, 128, CutSha384),
    vectors={b"abc": "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"},
)
