"""The level-by-level trees against RFC 6962's recursive definition, and proofs against everything that is none."""

import hashlib
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehrcore.errors import ParameterError, ProofError
from ehrcore.hashing import SUITES, find_suite
from ehrcore.merkle import (
    LEAF_PREFIX,
    NODE_PREFIX,
    MerkleTree,
    compute_root,
    verify_consistency,
    verify_inclusion,
)
from ehrcore.spec.merkle import audit_path, consistency_path, split_point, tree_hash

SUITE = find_suite("sha256")
MOST = 33
Path = Sequence[bytes]


def leaves_of(size: int) -> list[bytes]:
    """Distinct leaves, some of them as long as two digests and their prefix."""
    return [bytes([index]) * (1 + index % 3 * 32) for index in range(size)]


def includes(root: bytes, size: int, index: int, leaf: bytes, path: Path) -> bool:
    try:
        verify_inclusion(SUITE, root, size, index, leaf, path)
    except ProofError:
        return False
    return True


def extends(old_root: bytes, old_size: int, root: bytes, size: int, path: Path) -> bool:
    try:
        verify_consistency(SUITE, old_root, old_size, root, size, path)
    except ProofError:
        return False
    return True


# -- published vectors -----------------------------------------------------------------------------------------------

#: Leaves and roots of the first 0 to 8 of them: the reference vectors of the Certificate Transparency project
#: (`merkle_tree_test` of google/certificate-transparency; transparency-dev/merkle, `testonly/constants.go`).
CT_LEAVES = [
    bytes.fromhex(leaf)
    for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("size", range(len(CT_ROOTS)))
def test_certificate_transparency_roots(size: int) -> None:
    assert compute_root(SUITE, CT_LEAVES[:size]).hex() == CT_ROOTS[size]
    assert MerkleTree(SUITE, CT_LEAVES[:size]).root.hex() == CT_ROOTS[size]
    assert tree_hash(SUITE, CT_LEAVES[:size]).hex() == CT_ROOTS[size]


# -- the fast code is the definition -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(MOST + 1))
def test_roots_and_proofs_are_those_of_the_definition(size: int) -> None:
    leaves = leaves_of(size)
    tree = MerkleTree(SUITE, leaves)
    assert compute_root(SUITE, leaves) == tree.root == tree_hash(SUITE, leaves)
    for index in range(size):
        path = tree.prove_inclusion(index)
        assert list(path) == audit_path(SUITE, index, leaves)
        assert includes(tree.root, size, index, leaves[index], path)
    for old_size in range(1, size + 1):
        path = tree.prove_consistency(old_size)
        assert list(path) == consistency_path(SUITE, old_size, leaves)
        assert extends(tree_hash(SUITE, leaves[:old_size]), old_size, tree.root, size, path)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=400), st.data())
@settings(max_examples=40)
def test_larger_trees_too(leaves: list[bytes], data: st.DataObject) -> None:
    size, tree = len(leaves), MerkleTree(SUITE, leaves)
    index, old_size = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    assert tree.root == tree_hash(SUITE, leaves)
    assert list(tree.prove_inclusion(index)) == audit_path(SUITE, index, leaves)
    assert list(tree.prove_consistency(old_size)) == consistency_path(SUITE, old_size, leaves)
    verify_inclusion(SUITE, tree.root, size, index, leaves[index], tree.prove_inclusion(index))
    old_root = compute_root(SUITE, leaves[:old_size])
    verify_consistency(SUITE, old_root, old_size, tree.root, size, tree.prove_consistency(old_size))


@pytest.mark.slow
@pytest.mark.parametrize("size", range(MOST + 1, 131))
def test_every_tree_up_to_130_leaves(size: int) -> None:
    test_roots_and_proofs_are_those_of_the_definition(size)


@pytest.mark.parametrize("name", [name for name in SUITES if name != "blake3"])
def test_every_suite_makes_trees(name: str) -> None:
    suite, leaves = find_suite(name), leaves_of(7)
    tree = MerkleTree(suite, leaves)
    assert tree.root == tree_hash(suite, leaves)
    for index in range(7):
        verify_inclusion(suite, tree.root, 7, index, leaves[index], tree.prove_inclusion(index))


def test_the_split_is_the_largest_power_of_two_below() -> None:
    assert [split_point(size) for size in range(2, 18)] == [1, 2, 2, 4, 4, 4, 4, 8, 8, 8, 8, 8, 8, 8, 8, 16]


def test_the_empty_tree_is_the_hash_of_nothing() -> None:
    assert compute_root(SUITE, []) == MerkleTree(SUITE, []).root == hashlib.sha256(b"").digest()


def test_a_single_leaf_is_not_its_bare_hash() -> None:
    assert compute_root(SUITE, [b"leaf"]) == hashlib.sha256(b"\0leaf").digest()


# -- inclusion proofs that prove nothing -----------------------------------------------------------------------------


def mutations(path: Path) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    """Every flipped byte, dropped, doubled, swapped, emptied, shortened or added hash of a path."""
    path = tuple(path)
    for at, node in enumerate(path):
        for byte in range(0, len(node), 5):
            flipped = bytearray(node)
            flipped[byte] ^= 1 << byte % 8
            yield f"bit of hash {at}", (*path[:at], bytes(flipped), *path[at + 1 :])
        yield f"without hash {at}", path[:at] + path[at + 1 :]
        yield f"hash {at} twice", path[: at + 1] + path[at:]
        yield f"hash {at} empty", (*path[:at], b"", *path[at + 1 :])
        yield f"hash {at} short", (*path[:at], node[:-1], *path[at + 1 :])
        if at and path[at - 1] != node:
            yield f"hashes {at - 1} and {at} swapped", (*path[: at - 1], node, path[at - 1], *path[at + 1 :])
            moved = path[at - 1] + node
            yield f"border of {at - 1} and {at} moved", (*path[: at - 1], moved[:31], moved[31:], *path[at + 1 :])
    for extra in (b"", bytes(32), *path[:1]):
        yield "hash added", (*path, extra)
        yield "hash put first", (extra, *path)


@pytest.mark.parametrize("size", range(1, 18))
def test_a_mutated_inclusion_proof_is_refused(size: int) -> None:
    leaves = leaves_of(size)
    tree = MerkleTree(SUITE, leaves)
    for index in range(size):
        for name, path in mutations(tree.prove_inclusion(index)):
            assert not includes(tree.root, size, index, leaves[index], path), (index, name)


@pytest.mark.parametrize("size", range(1, MOST + 1))
def test_a_leaf_is_included_nowhere_else(size: int) -> None:
    leaves = leaves_of(size)
    tree = MerkleTree(SUITE, leaves)
    for index in range(size):
        path = tree.prove_inclusion(index)
        for other in (*range(-1, size + 2), 1 << 64):
            assert includes(tree.root, size, other, leaves[index], path) == (other == index)


@pytest.mark.parametrize("size", range(2, MOST + 1))
def test_another_leaf_is_not_included(size: int) -> None:
    leaves = leaves_of(size)
    tree = MerkleTree(SUITE, leaves)
    for index in range(size):
        path, other = tree.prove_inclusion(index), leaves[index - 1]
        assert not includes(tree.root, size, index, other, path)
        assert not includes(tree.root, size, index, leaves[index] + b"\0", path)
        assert not includes(compute_root(SUITE, leaves[:-1]), size, index, leaves[index], path)


def sides(index: int, size: int) -> list[str]:
    """On which side of the path each sibling stands, bottom up: all that a verifier uses of index and size."""
    if size == 1:
        return []
    k = split_point(size)
    return [*sides(index, k), "right"] if index < k else [*sides(index - k, size - k), "left"]


@pytest.mark.parametrize("size", range(1, 18))
def test_another_size_is_refused_unless_the_path_has_the_same_shape(size: int) -> None:
    """A root does not say how many leaves it has, so the size must come from what is signed: our header holds it."""
    leaves = leaves_of(size)
    tree = MerkleTree(SUITE, leaves)
    for index in range(size):
        path = tree.prove_inclusion(index)
        for other in range(40):
            expected = index < other and sides(index, other) == sides(index, size)
            assert includes(tree.root, other, index, leaves[index], path) == expected


@given(
    st.lists(st.binary(max_size=8), min_size=1, max_size=70, unique=True),
    st.data(),
    st.lists(st.binary(max_size=33), max_size=8),
)
def test_an_arbitrary_path_is_refused(leaves: list[bytes], data: st.DataObject, path: list[bytes]) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    tree = MerkleTree(SUITE, leaves)
    is_right = tuple(path) == tree.prove_inclusion(index)
    assert includes(tree.root, len(leaves), index, leaves[index], path) == is_right


# -- consistency proofs that prove nothing ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(1, 18))
def test_a_mutated_consistency_proof_is_refused(size: int) -> None:
    leaves = leaves_of(size)
    tree = MerkleTree(SUITE, leaves)
    for old_size in range(1, size + 1):
        old_root = compute_root(SUITE, leaves[:old_size])
        for name, path in mutations(tree.prove_consistency(old_size)):
            assert not extends(old_root, old_size, tree.root, size, path), (old_size, name)


@pytest.mark.parametrize("size", range(1, MOST + 1))
def test_a_tree_with_a_changed_leaf_is_not_consistent(size: int) -> None:
    leaves = leaves_of(size)
    root = compute_root(SUITE, leaves)
    for old_size in range(1, size + 1):
        changed = [*leaves[: old_size - 1], b"changed"]
        path = MerkleTree(SUITE, leaves).prove_consistency(old_size)
        assert not extends(compute_root(SUITE, changed), old_size, root, size, path)
        forked = MerkleTree(SUITE, changed + leaves[old_size:])
        assert not extends(
            compute_root(SUITE, leaves[:old_size]), old_size, forked.root, size, forked.prove_consistency(old_size)
        )


@pytest.mark.parametrize("size", range(1, MOST + 1))
def test_a_consistency_proof_holds_for_no_other_old_tree(size: int) -> None:
    leaves = leaves_of(size)
    tree = MerkleTree(SUITE, leaves)
    roots = [compute_root(SUITE, leaves[:count]) for count in range(size + 1)]
    for old_size in range(1, size + 1):
        path = tree.prove_consistency(old_size)
        for other in range(-1, size + 2):
            claimed = roots[other] if 0 <= other <= size else roots[old_size]
            assert extends(claimed, other, tree.root, size, path) == (other == old_size)
            assert extends(roots[old_size], other, tree.root, size, path) == (other == old_size)


# -- trees that must not be confused ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(1, MOST + 1))
def test_a_doubled_last_leaf_changes_the_root(size: int) -> None:
    """CVE-2012-2459: where an odd last node is paired with itself, two lists of leaves share one root."""
    leaves = leaves_of(size)
    root = compute_root(SUITE, leaves)
    for tail in range(1, size + 1):
        assert compute_root(SUITE, leaves + leaves[-tail:]) != root


@pytest.mark.parametrize("size", range(2, MOST + 1))
def test_an_inner_node_is_no_leaf(size: int) -> None:
    """Without prefixes, the two hashes below a node could be shown as a leaf one level up."""
    leaves = leaves_of(size)
    tree = MerkleTree(SUITE, leaves)
    for index in range(size):
        own = SUITE.hash(LEAF_PREFIX + leaves[index])
        path = tree.prove_inclusion(index)
        if not path:
            continue
        for content in (own + path[0], path[0] + own, NODE_PREFIX + own + path[0], NODE_PREFIX + path[0] + own):
            for shown_size in range(1, size + 1):
                shown = index >> 1
                assert not includes(tree.root, shown_size, shown, content, path[1:])


def test_a_tree_of_pair_hashes_is_not_the_tree_of_the_pairs() -> None:
    leaves = leaves_of(4)
    hashes = [SUITE.hash(LEAF_PREFIX + leaf) for leaf in leaves]
    pairs = [hashes[0] + hashes[1], hashes[2] + hashes[3]]
    assert compute_root(SUITE, pairs) != compute_root(SUITE, leaves)


@given(st.lists(st.binary(max_size=4), max_size=12), st.lists(st.binary(max_size=4), max_size=12))
def test_equal_roots_mean_equal_leaves(first: list[bytes], second: list[bytes]) -> None:
    assert (compute_root(SUITE, first) == compute_root(SUITE, second)) == (first == second)


# -- domains ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "index"), [(0, 0), (1, 1), (1, -1), (5, 5), (5, -5)])
def test_no_proof_for_a_leaf_outside(size: int, index: int) -> None:
    with pytest.raises(ParameterError, match=f"expected 0 <= index < {size}, found {index}"):
        MerkleTree(SUITE, leaves_of(size)).prove_inclusion(index)


@pytest.mark.parametrize(("size", "old_size"), [(0, 0), (0, 1), (1, 0), (5, 6), (5, -1)])
def test_no_proof_for_an_old_tree_outside(size: int, old_size: int) -> None:
    with pytest.raises(ParameterError, match=f"expected 1 <= size <= {size}, found {old_size}"):
        MerkleTree(SUITE, leaves_of(size)).prove_consistency(old_size)
