"""RFC 6962 section 2.1, word for word: the naive twin of `ehrcore.merkle`.

Quadratic and recursive on purpose; tests compare the fast code with it.
"""

from collections.abc import Sequence

from ehrcore.hashing import HashSuite


def split_point(size: int) -> int:
    """The largest power of two smaller than ``size``, ``size >= 2``."""
    return 1 << (size - 1).bit_length() - 1


def tree_hash(suite: HashSuite, leaves: Sequence[bytes]) -> bytes:
    """MTH(D[n]) (section 2.1)."""
    if not leaves:
        return suite.hash(b"")
    if len(leaves) == 1:
        return suite.hash(b"\x00" + leaves[0])
    k = split_point(len(leaves))
    return suite.hash(b"\x01" + tree_hash(suite, leaves[:k]) + tree_hash(suite, leaves[k:]))


def audit_path(suite: HashSuite, index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n]) (section 2.1.1), ``0 <= index < len(leaves)``."""
    if len(leaves) == 1:
        return []
    k = split_point(len(leaves))
    if index < k:
        return [*audit_path(suite, index, leaves[:k]), tree_hash(suite, leaves[k:])]
    return [*audit_path(suite, index - k, leaves[k:]), tree_hash(suite, leaves[:k])]


def consistency_path(suite: HashSuite, old_size: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PROOF(m, D[n]) (section 2.1.2), ``1 <= old_size <= len(leaves)``."""
    return _subproof(suite, old_size, leaves, complete=True)


def _subproof(suite: HashSuite, m: int, leaves: Sequence[bytes], *, complete: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if complete else [tree_hash(suite, leaves)]
    k = split_point(len(leaves))
    if m <= k:
        return [*_subproof(suite, m, leaves[:k], complete=complete), tree_hash(suite, leaves[k:])]
    return [*_subproof(suite, m - k, leaves[k:], complete=False), tree_hash(suite, leaves[:k])]
