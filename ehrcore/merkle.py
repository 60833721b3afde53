"""Merkle trees of RFC 6962 section 2.1: roots, inclusion proofs and consistency proofs.

Leaves and inner nodes are hashed under different prefixes, and an odd last node is carried up unchanged, never
doubled; so no list of leaves has the root of another, and no inner node can pass for a leaf.
The tree is built level by level; `ehrcore.spec.merkle` holds the recursive definition.
"""

from collections.abc import Iterable, Sequence
from operator import add
from typing import Any, Final

from ehrcore.errors import ParameterError, ProofError
from ehrcore.hashing import HashSuite

LEAF_PREFIX: Final = b"\x00"
NODE_PREFIX: Final = b"\x01"


def compute_root(suite: HashSuite, leaves: Sequence[bytes]) -> bytes:
    """Root of ``leaves`` (raw bytes, hashed here); the hash of nothing if there are none."""
    return MerkleTree(suite, leaves).root


def _build_levels(suite: HashSuite, leaves: Sequence[bytes]) -> list[list[bytes]]:
    """All levels from the leaf hashes up to the root; one empty level if there are no leaves."""
    level = _hash_each(suite.new(LEAF_PREFIX), leaves)
    levels, prefix = [level], suite.new(NODE_PREFIX)
    while len(level) > 1:
        above = _hash_each(prefix, map(add, level[::2], level[1::2]))
        if len(level) & 1:
            above.append(level[-1])
        levels.append(above)
        level = above
    return levels


def _hash_each(prefix: Any, contents: Iterable[bytes]) -> list[bytes]:
    """Digests of the contents, each after what the state ``prefix`` has taken in; copies of it save setting one up."""
    copy, digests = prefix.copy, []
    for content in contents:
        state = copy()
        state.update(content)
        digests.append(state.digest())
    return digests


class MerkleTree:
    """All levels of the tree over ``leaves``, for proofs; level 0 holds the leaf hashes."""

    __slots__ = ("_levels", "_suite", "size")

    def __init__(self, suite: HashSuite, leaves: Sequence[bytes]) -> None:
        self._suite, self.size = suite, len(leaves)
        self._levels = _build_levels(suite, leaves)

    @property
    def root(self) -> bytes:
        """The tree's root; the hash of nothing for the empty tree."""
        root: bytes = self._levels[-1][0] if self.size else self._suite.hash(b"")
        return root

    def prove_inclusion(self, index: int) -> tuple[bytes, ...]:
        """Audit path of the leaf at ``0 <= index < size``, from the bottom up (section 2.1.1)."""
        if not 0 <= index < self.size:
            raise ParameterError(f"leaf index: expected 0 <= index < {self.size}, found {index}")
        path = []
        for level in self._levels[:-1]:
            sibling = index ^ 1
            if sibling < len(level):
                path.append(level[sibling])
            index >>= 1
        return tuple(path)

    def prove_consistency(self, old_size: int) -> tuple[bytes, ...]:
        """Proof that the first ``1 <= old_size <= size`` leaves are those of an older tree (section 2.1.2)."""
        if not 1 <= old_size <= self.size:
            raise ParameterError(f"old tree size: expected 1 <= size <= {self.size}, found {old_size}")
        start, end, left = 0, self.size, old_size
        path = []
        while left != end - start:
            middle = start + (1 << (end - start - 1).bit_length() - 1)
            if left <= middle - start:
                path.append(self._node(middle, end))
                end = middle
            else:
                path.append(self._node(start, middle))
                left -= middle - start
                start = middle
        if start:
            path.append(self._node(start, end))
        return tuple(reversed(path))

    def _node(self, start: int, end: int) -> bytes:
        """Hash of the subtree over the half-open range of leaves, which must be a node of this tree."""
        height = (end - start - 1).bit_length()
        return self._levels[height][start >> height]


def verify_inclusion(suite: HashSuite, root: bytes, size: int, index: int, leaf: bytes, path: Sequence[bytes]) -> None:
    """Raise `ProofError` unless ``path`` shows ``leaf`` at ``index`` of the tree (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        raise ProofError(f"inclusion proof: expected 0 <= index < {size}, found {index}")
    position, last, found = index, size - 1, suite.hash(LEAF_PREFIX + leaf)
    for sibling in path:
        if last == 0:
            raise ProofError(f"inclusion proof: expected a shorter path, found {len(path)} hashes")
        if position & 1 or position == last:
            found = suite.hash(NODE_PREFIX + sibling + found)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            found = suite.hash(NODE_PREFIX + found + sibling)
        position >>= 1
        last >>= 1
    if last:
        raise ProofError(f"inclusion proof: expected a longer path, found {len(path)} hashes")
    if found != root:
        raise ProofError(f"inclusion proof: expected root {root.hex()}, found {found.hex()}")


def verify_consistency(
    suite: HashSuite, old_root: bytes, old_size: int, root: bytes, size: int, path: Sequence[bytes]
) -> None:
    """Raise `ProofError` unless ``path`` shows that the old tree is a prefix (RFC 9162 section 2.1.4.2)."""
    if not 1 <= old_size <= size:
        raise ProofError(f"consistency proof: expected 1 <= old size <= {size}, found {old_size}")
    if old_size == size:
        if path or old_root != root:
            raise ProofError("consistency proof: expected no hashes and equal roots for equal sizes")
        return
    # A complete old tree is itself a node of the new one, so the proof leaves it out.
    hashes = [old_root, *path] if old_size & (old_size - 1) == 0 else list(path)
    position, last = old_size - 1, size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    if not hashes:
        raise ProofError("consistency proof: expected at least one hash, found none")
    found_old = found_new = hashes[0]
    for node in hashes[1:]:
        if last == 0:
            raise ProofError(f"consistency proof: expected a shorter path, found {len(path)} hashes")
        if position & 1 or position == last:
            found_old = suite.hash(NODE_PREFIX + node + found_old)
            found_new = suite.hash(NODE_PREFIX + node + found_new)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            found_new = suite.hash(NODE_PREFIX + found_new + node)
        position >>= 1
        last >>= 1
    if last or found_old != old_root or found_new != root:
        raise ProofError("consistency proof: expected both roots to follow from the path, found others")
