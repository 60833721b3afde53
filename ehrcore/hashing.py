"""Hash suites as a table: a variant is a row, never a copied module.

SHA-256 is the paper's choice; SHA-1 and MD5 are its opponents and are broken (they stay here as measured
variants only); the others are what a new design would weigh.  Sources: FIPS 180-4 (SHA-1, SHA-2), FIPS 202
(SHA-3), RFC 1321 (MD5), RFC 7693 (BLAKE2b), the BLAKE3 paper.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from ehrcore.errors import ParameterError
from ehrcore.registry import register

#: Sizes of digests that the chain takes, in bytes: from MD5's to a signature's.
LEAST_DIGEST: Final = 16
MOST_DIGEST: Final = 32
#: Below this a function must not be relied on (NIST SP 800-131A).
LEAST_COLLISION_BITS: Final = 112


@dataclass(frozen=True, slots=True)
class HashSuite:
    """One hash function: ``new(data)`` returns an object with ``digest()``, as in `hashlib`.

    ``collision_bits`` is the cost, in bits, of the best published collision attack (the birthday bound where
    there is none); a suite below 112 bits must not be used outside measurements (NIST SP 800-131A).
    ``hash(data)`` is the digest of ``data``, ``digest_size`` bytes.
    """

    name: str
    digest_size: int
    block_size: int
    collision_bits: int
    new: Callable[[bytes], Any]
    hash: Callable[[bytes], bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", _make_one_shot(self.new))

    @property
    def is_weak(self) -> bool:
        """Whether collisions are practical: such a suite is a measured variant and labelled so."""
        return self.collision_bits < LEAST_COLLISION_BITS


def _make_one_shot(new: Callable[[bytes], Any]) -> Callable[[bytes], bytes]:
    """A function from bytes to their digest.

    Copying an empty state takes less time than setting one up: a tenth of the whole at 64 bytes.
    """
    try:
        copy = None if new is _blake3 else new(b"").copy
    except ValueError:  # the host's library lacks or forbids it, which is for whoever uses it to hear
        copy = None
    if copy is None:
        return lambda data: new(data).digest()

    def one_shot(data: bytes) -> bytes:
        state = copy()
        state.update(data)
        digest: bytes = state.digest()
        return digest

    return one_shot


def _blake3(data: bytes) -> Any:
    from blake3 import blake3  # noqa: PLC0415 - optional extra, imported where it is used

    return blake3(data)


# ``usedforsecurity=False`` lets the weak variants run on hosts whose policy forbids them elsewhere.
_ROWS: Final = (
    HashSuite("sha256", 32, 64, 128, hashlib.sha256),
    # Stevens et al. 2017: 2^63.1 SHA-1 calls; Leurent and Peyrin 2020: chosen prefix 2^63.4.
    HashSuite("sha1", 20, 64, 63, partial(hashlib.sha1, usedforsecurity=False)),
    # Stevens 2009: 2^16 for identical prefix.
    HashSuite("md5", 16, 64, 16, partial(hashlib.md5, usedforsecurity=False)),
    HashSuite("sha512-256", 32, 128, 128, partial(hashlib.new, "sha512_256")),
    HashSuite("sha3-256", 32, 136, 128, hashlib.sha3_256),
    HashSuite("blake2b", 32, 128, 128, partial(hashlib.blake2b, digest_size=32)),
    HashSuite("blake3", 32, 64, 128, _blake3),
)
SUITES: Final[dict[str, HashSuite]] = {suite.name: suite for suite in _ROWS}
OPTIONAL: Final = frozenset({"blake3"})


def find_suite(name: str) -> HashSuite:
    """The suite called ``name``; raises `ParameterError` for an unknown name or a missing optional package."""
    suite = SUITES.get(name)
    if suite is None:
        raise ParameterError(f"hash suite: expected one of {', '.join(SUITES)}, found {name!r}")
    if name in OPTIONAL:
        try:
            suite.hash(b"")
        except ImportError:
            raise ParameterError(f"hash suite {name}: the optional package '{name}' is not installed") from None
    return suite


def add_suite(suite: HashSuite, vectors: Mapping[bytes, str]) -> None:
    """Add a suite of one's own, for whatever takes a suite by name.

    ``vectors`` are messages with their published digests in hex, at least one.  What ``suite.new`` returns needs
    ``update``, ``copy`` and ``digest``: trees and searches go on from copies of a state.  `ParameterError` names what
    does not hold.
    """
    bits = 4 * suite.digest_size
    for what, expected, found, is_right in (
        ("digest", f"{LEAST_DIGEST} to {MOST_DIGEST} bytes", suite.digest_size,
         LEAST_DIGEST <= suite.digest_size <= MOST_DIGEST),
        ("collision_bits", f"0 to {bits}", suite.collision_bits, 0 <= suite.collision_bits <= bits),
        ("vectors", "at least one", len(vectors), bool(vectors)),
        *(check for message, digest in vectors.items() for check in _check_vector(suite, message, digest)),
    ):  # fmt: skip
        if not is_right:
            raise ParameterError(f"hash suite {suite.name}: {what}: expected {expected}, found {found}")
    register("hash suite", SUITES, suite.name, suite)


def _check_vector(suite: HashSuite, message: bytes, digest: str) -> Iterator[tuple[str, str, object, bool]]:
    """What is asked about a vector, what is expected and found, and whether it is right."""
    begun = suite.new(message[:1])
    went_on = begun.copy()
    went_on.update(message[1:])
    for found in (suite.new(message).digest(), suite.hash(message), went_on.digest()):
        yield f"digest of {message!r}", digest, found.hex(), found.hex() == digest
    yield "copy", "a state of its own", "a shared one", begun.digest() == suite.hash(message[:1])
    yield "digest", f"{suite.digest_size} bytes", len(digest) // 2, 2 * suite.digest_size == len(digest)
