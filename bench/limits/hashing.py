"""Hashing: the suite's own call, Merkle trees and proof of work, beside C's time for the same inputs.

The limit of a Merkle root is the sum, over its hashes, of C's time at their sizes: a leaf of 32 bytes is hashed as 33
with its prefix, an inner node as 65 (RFC 6962 section 2.1).
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.limits.base import BLOCKS, Demand, Finding, Metric, Part, Unavailable, cpu_ns, invert, take_turns
from bench.limits.midstate import MidstateSearch
from bench.limits.openssl import hash_ns, versions_note
from ehrcore.block import Header
from ehrcore.consensus.work import Grind, grind
from ehrcore.drive.grinders import find_grinder
from ehrcore.errors import ParameterError
from ehrcore.hashing import find_suite
from ehrcore.merkle import MerkleTree, compute_root

_SECONDS: Final = 0.25
_LEAF_BYTES: Final = 33
_NODE_BYTES: Final = 65
#: Message size in bytes -> the most that the suite's call may take, as a multiple of C's time.
SIZES: Final = {64: 2.2, 1_024: 1.3, 30_720: 1.05}
LEAVES: Final = (15, 1_000)
_TRIES: Final = 20_000
_LANE_TRIES: Final = 1 << 20


def measure_hash(_folder: Path) -> list[Finding]:
    """`HashSuite.hash` at each size."""
    findings = []
    for size in SIZES:
        ours, peers = take_turns(BLOCKS, _hash(size), partial(hash_ns, size))
        findings.append(Finding(ours, peers, versions_note()))
    return findings


def _hash(size_bytes: int) -> Callable[[], float]:
    return partial(cpu_ns, _SECONDS, find_suite("sha256").hash, bytes(size_bytes))


def measure_control(_folder: Path) -> list[Finding]:
    """One call beside itself: how far a ratio lies from 1 where nothing differs."""
    ours, peers = take_turns(2 * BLOCKS, *[_hash(max(SIZES))] * 2)
    return [Finding(ours, peers, "the A/A control of this table")]


def make_leaves(count: int) -> list[bytes]:
    """``count`` distinct leaves of 32 bytes."""
    return [index.to_bytes(32) for index in range(count)]


def measure_root(_folder: Path) -> list[Finding]:
    """`compute_root` for each number of leaves."""
    suite, trees = find_suite("sha256"), [make_leaves(count) for count in LEAVES]
    roots = [partial(cpu_ns, _SECONDS, compute_root, suite, leaves) for leaves in trees]
    *ours, leaf, node = take_turns(BLOCKS, *roots, *(partial(hash_ns, size) for size in (_LEAF_BYTES, _NODE_BYTES)))
    return [
        Finding(values, [count * a + (count - 1) * b for a, b in zip(leaf, node, strict=True)], versions_note())
        for count, values in zip(LEAVES, ours, strict=True)
    ]


def prove_all(leaves: list[bytes]) -> tuple[bytes, list[Any]]:
    """The root and the inclusion proof of every leaf, by the framework."""
    tree = MerkleTree(find_suite("sha256"), leaves)
    return tree.root, [tree.prove_inclusion(index) for index in range(tree.size)]


def load_merkletools() -> Any:
    """The class `MerkleTools`; `Unavailable` if it is not installed."""
    from bench.micro import merkle

    try:
        return merkle.load_merkletools()
    except ImportError:
        raise Unavailable("the package 'merkletools' is not installed") from None


def prove_all_merkletools(leaves: list[bytes]) -> tuple[str, list[Any]]:
    """The same by merkletools, which hashes leaves without a prefix and writes proofs in hexadecimal."""
    tools = load_merkletools()(hash_type="sha256")
    tools.add_leaf([leaf.hex() for leaf in leaves], do_hash=True)
    tools.make_tree()
    return tools.get_merkle_root(), [tools.get_proof(index) for index in range(len(leaves))]


def measure_proofs(_folder: Path) -> list[Finding]:
    """Trees with all proofs per second, ours and merkletools'."""
    load_merkletools()
    leaves = make_leaves(LEAVES[-1])
    ours, peers = take_turns(7, *(partial(cpu_ns, 0.1, prove, leaves) for prove in (prove_all, prove_all_merkletools)))
    return [Finding(invert(ours), invert(peers))]


def hard_header() -> Header:
    """A header that no nonce of a few billions solves."""
    digest = bytes(32)
    return Header(digest, 1, digest, digest, 15, 0, "administrator-0", digest, digest, 1 << 61, bytes(8))


def grind_ns(search: Grind = grind, tries: int = _TRIES) -> float:
    """Processor nanoseconds per try."""
    return cpu_ns(_SECONDS, search, find_suite("sha256"), hard_header(), 0, tries) / tries


def measure_grind(folder: Path) -> list[Finding | Unavailable]:
    """Tries per second in turns: hashlib beside whole hashes of 64 bytes in C, numba beside the same search in C."""
    sides: list[Callable[[], float]] = [grind_ns, partial(hash_ns, 64)]
    missing = None
    try:
        lanes = find_grinder("numba", find_suite("sha256"))
        bare = MidstateSearch.compile(folder)
        sides += [lambda: grind_ns(lanes, _LANE_TRIES), lambda: bare.find(hard_header(), 0, _LANE_TRIES)[1]]
    except ParameterError as error:
        missing = Unavailable(str(error))
    except Unavailable as error:
        missing = error
    rates = [[rate / 1e6 for rate in invert(side)] for side in take_turns(BLOCKS, *sides)]
    (folder / "midstate").unlink(missing_ok=True)
    note = "a try copies the state before the nonce; the peer hashes 64 bytes from the start"
    return [
        Finding(rates[0], rates[1], note),
        missing or Finding(rates[2], rates[3], "both hash what comes before the last block once"),
    ]


_OPENSSL: Final = "openssl speed sha256"
HASH: Final = Part(
    tuple(Metric(f"SHA-256 of {size} bytes", "ns", _OPENSSL, Demand("at most", most)) for size, most in SIZES.items()),
    measure_hash,
)
CONTROL: Final = Part(
    (Metric(f"SHA-256 of {max(SIZES)} bytes beside itself", "ns", "itself", Demand("within", 0.02)),), measure_control
)
ROOT: Final = Part(
    tuple(Metric(f"Merkle root of {count} leaves", "ns", _OPENSSL, Demand("at most", 4)) for count in LEAVES),
    measure_root,
)
PROOFS: Final = Part(
    (Metric("Merkle root and 1,000 proofs", "trees/s", "merkletools", Demand("at least", 2)),), measure_proofs
)
GRIND: Final = Part(
    (
        Metric("proof of work", "million tries/s", _OPENSSL, Demand("at least", 2.7, "value")),
        Metric("proof of work, numba", "million tries/s", "the search in C on OpenSSL", Demand("at least", 1)),
    ),
    measure_grind,
)
