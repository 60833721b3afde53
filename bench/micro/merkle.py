"""Merkle trees of this implementation and of its peers, each used as its own documentation says, and a flat hash.

All commit to the same leaves, digests of 32 bytes, with SHA-256 from `hashlib`.  The trees are not the same:
`ehrcore` and pymerkle build that of RFC 6962, whose prefixes keep an inner node from passing for a leaf; merkletools
takes the digests as leaves as they are and uses no prefixes, so it computes half as many hashes.  A flat hash of all
leaves is the cheapest commitment of all, but whoever checks one leaf against it needs every other.
"""

import json
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from statistics import mean
from typing import Any, Final, Protocol

from bench.micro.base import NOT_INSTALLED, Family, Operation, Prepared, describe_package
from ehrcore import __version__
from ehrcore.codec import encode
from ehrcore.hashing import find_suite
from ehrcore.merkle import MerkleTree, compute_root, verify_inclusion

DIGEST_BYTES: Final = 32
RFC_6962: Final = "RFC 6962, with prefixes"
UNPREFIXED: Final = "no prefixes, leaves as given"
FLAT: Final = "flat hash"
OURS: Final = "ehrcore"
_SUITE: Final = find_suite("sha256")


class Trees(Protocol):
    """One library, in its own idiom.  ``adapt`` brings leaves into the form that it takes, outside of any timing."""

    tree: str

    def adapt(self, leaves: Sequence[bytes]) -> Any:
        return leaves

    def compute_root(self, leaves: Any) -> Any: ...

    def prove_all(self, leaves: Any) -> tuple[Any, list[Any]]:
        """The root and a proof for every leaf, from scratch."""

    def prepare_check(self, leaves: Any, index: int) -> Prepared:
        """Verification of the proof of one leaf."""

    def measure_proof(self, proof: Any) -> tuple[int, int]:
        """How many digests a proof holds besides its leaf's, and its bytes in the form that the library gives it."""


class EhrcoreTrees(Trees):
    """This implementation."""

    tree = RFC_6962

    def compute_root(self, leaves: Sequence[bytes]) -> bytes:
        return compute_root(_SUITE, leaves)

    def prove_all(self, leaves: Sequence[bytes]) -> tuple[bytes, list[tuple[bytes, ...]]]:
        tree = MerkleTree(_SUITE, leaves)
        return tree.root, [tree.prove_inclusion(index) for index in range(tree.size)]

    def prepare_check(self, leaves: Sequence[bytes], index: int) -> Prepared:
        tree = MerkleTree(_SUITE, leaves)
        call = (verify_inclusion, _SUITE, tree.root, tree.size, index, leaves[index], tree.prove_inclusion(index))
        return call, lambda found: found is None  # it raises for a wrong proof

    def measure_proof(self, proof: tuple[bytes, ...]) -> tuple[int, int]:
        return len(proof), len(encode(proof))


class PymerkleTrees(Trees):
    """pymerkle's tree in memory; its leaves are counted from one, and its checks take the leaf's hash."""

    tree = RFC_6962

    def __init__(self) -> None:
        import pymerkle

        self._new, self._verify = pymerkle.InmemoryTree.init_from_entries, pymerkle.verify_inclusion

    def compute_root(self, leaves: Sequence[bytes]) -> Any:
        return self._new(leaves).get_root()

    def prove_all(self, leaves: Sequence[bytes]) -> tuple[Any, list[Any]]:
        tree = self._new(leaves)
        return tree.get_root(), [tree.prove_inclusion(index) for index in range(1, len(leaves) + 1)]

    def prepare_check(self, leaves: Sequence[bytes], index: int) -> Prepared:
        tree = self._new(leaves)
        proof, base = tree.prove_inclusion(index + 1), tree.get_leaf(index + 1)
        return (self._verify, base, tree.get_root(), proof), lambda found: found is None  # it raises, too

    def measure_proof(self, proof: Any) -> tuple[int, int]:
        return len(proof.path) - 1, len(json.dumps(proof.serialize()))


class MerkletoolsTrees(Trees):
    """merkletools, which takes digests and gives roots and proofs in hexadecimal."""

    tree = UNPREFIXED

    def __init__(self) -> None:
        self._new = load_merkletools()

    def adapt(self, leaves: Sequence[bytes]) -> list[str]:
        return [leaf.hex() for leaf in leaves]

    def _build(self, leaves: list[str]) -> Any:
        tools = self._new(hash_type="sha256")
        tools.add_leaf(leaves)
        tools.make_tree()
        return tools

    def compute_root(self, leaves: list[str]) -> Any:
        return self._build(leaves).get_merkle_root()

    def prove_all(self, leaves: list[str]) -> tuple[Any, list[Any]]:
        tools = self._build(leaves)
        return tools.get_merkle_root(), [tools.get_proof(index) for index in range(len(leaves))]

    def prepare_check(self, leaves: list[str], index: int) -> Prepared:
        tools = self._build(leaves)
        call = (tools.validate_proof, tools.get_proof(index), leaves[index], tools.get_merkle_root())
        return call, lambda found: found is True

    def measure_proof(self, proof: list[dict[str, str]]) -> tuple[int, int]:
        return len(proof), len(json.dumps(proof))


class FlatHash(Trees):
    """One hash of all leaves, one after the other; the proof of one leaf are all others."""

    tree = "none"

    def compute_root(self, leaves: Sequence[bytes]) -> bytes:
        return sha256(b"".join(leaves)).digest()

    def prove_all(self, leaves: Sequence[bytes]) -> tuple[bytes, list[Sequence[bytes]]]:
        others: list[Sequence[bytes]] = [[*leaves[:index], *leaves[index + 1 :]] for index in range(len(leaves))]
        return self.compute_root(leaves), others

    def prepare_check(self, leaves: Sequence[bytes], index: int) -> Prepared:
        root, others = self.compute_root(leaves), (leaves[:index], leaves[index + 1 :])
        return (self._verify, root, leaves[index], others), lambda found: found is True

    def _verify(self, root: bytes, leaf: bytes, others: tuple[Sequence[bytes], Sequence[bytes]]) -> bool:
        return self.compute_root([*others[0], leaf, *others[1]]) == root

    def measure_proof(self, proof: Sequence[bytes]) -> tuple[int, int]:
        return len(proof), len(encode(list(proof)))


def load_merkletools() -> Any:
    """The class `MerkleTools`; `ImportError` if it is not installed.

    On import it warns that the package `sha3` is missing, which SHA-256 does not need: that warning alone is silenced.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="sha3 is not working!")
        from merkletools import MerkleTools
    return MerkleTools


LIBRARIES: Final[dict[str, Callable[[], Trees]]] = {
    FLAT: FlatHash,
    OURS: EhrcoreTrees,
    "pymerkle": PymerkleTrees,
    "merkletools": MerkletoolsTrees,
}


def make_leaves(count: int) -> tuple[bytes, ...]:
    """``count`` distinct digests of 32 bytes."""
    return tuple(sha256(index.to_bytes(8)).digest() for index in range(count))


def build_operation(library: str, operation: str, count: int) -> Operation:
    """One operation over ``count`` leaves; `ImportError` if the library's package is not installed."""
    trees = LIBRARIES[library]()
    version = __version__ if library == OURS else "" if library == FLAT else describe_package(library)["version"]
    details = {"library": library, "version": version, "tree": trees.tree}
    if operation == "verify":
        details |= measure_proofs(trees, count)
    return Operation(partial(prepare, trees, operation, count), details)


def measure_proofs(trees: Trees, count: int) -> dict[str, Any]:
    """Sizes of the proofs of all leaves: digests in them, bytes of these, and bytes in the library's own form."""
    _, proofs = trees.prove_all(trees.adapt(make_leaves(count)))
    digests, sizes = zip(*(trees.measure_proof(proof) for proof in proofs), strict=True)
    return {
        "proof_digests_mean": mean(digests),
        "proof_digests_max": max(digests),
        "proof_bytes_max": max(digests) * DIGEST_BYTES,
        "own_form_bytes_max": max(sizes),
    }


def prepare(trees: Trees, operation: str, count: int) -> Prepared:
    """The operation on a tree of its own; a root is right if it is the one that the library proves leaves against."""
    leaves = trees.adapt(make_leaves(count))
    if operation == "verify":
        return trees.prepare_check(leaves, count // 2)
    root, _ = trees.prove_all(leaves)
    if operation == "root":
        return (trees.compute_root, leaves), lambda found: found == root
    return (trees.prove_all, leaves), lambda found: found[0] == root and len(found[1]) == count


def build_families(leaves: Sequence[int]) -> list[Family]:
    """By number of leaves: this implementation beside a flat hash, and its peers beside this implementation.

    The flat hash makes no proofs, so there is nothing to compare there.
    """
    families = []
    for count in leaves:
        families += [_build_family("flat", (FLAT, OURS), name, count) for name in ("root", "verify")]
        peers = [name for name in LIBRARIES if name != FLAT]
        families += [_build_family("libraries", peers, name, count) for name in ("root", "proofs", "verify")]
    return families


def _build_family(kind: str, libraries: Sequence[str], operation: str, count: int) -> Family:
    found, missing = {}, {}
    for library in libraries:
        if library in {FLAT, OURS} or find_spec(library):
            found[library] = build_operation(library, operation, count)
        else:
            missing[library] = NOT_INSTALLED.format(library)
    labels = {"kind": kind, "operation": operation, "leaves": count}
    return Family(f"{kind}-{operation}-{count}", labels, found, missing)
