"""Weaker Merkle trees under the product's own code: a doubled last leaf (CVE-2012-2459), and no prefixes (claim C07).

Bitcoin's tree doubles an odd last node, so that two lists of transactions have one root; a tree without prefixes takes
an inner node for a leaf.  RFC 6962 section 2.1 does neither.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from bench.attacks.chain import Scribe, found_chain
from bench.attacks.files import find_rule
from bench.experiments.attacks import Expected, Tally
from bench.experiments.base import Row
from ehrcore.block import Block, EndorsedTransaction
from ehrcore.codec import decode
from ehrcore.crypto import Crypto
from ehrcore.errors import EhrError, ProofError
from ehrcore.hashing import HashSuite, find_suite
from ehrcore.merkle import MerkleTree, verify_inclusion
from ehrcore.params import ConsensusRule
from ehrcore.records import ClinicalRecord
from ehrcore.state import ChainState
from ehrcore.types import SECOND

#: Odd, so that the last one can be doubled.
_TRANSACTIONS: Final = 3
#: A power of two, so that every level is one of a whole tree.
_LEAVES: Final = 8


class DoublingTree(MerkleTree):
    """RFC 6962 but for an odd last node, which is paired with itself, as in Bitcoin."""

    __slots__ = ()

    def __init__(self, suite: HashSuite, leaves: Sequence[bytes]) -> None:
        super().__init__(suite, leaves)
        level = self._levels[0]
        self._levels = [level]
        while len(level) > 1:
            pairs = zip(level[::2], [*level[1::2], level[-1]], strict=False)
            level = [suite.hash(b"\1" + left + right) for left, right in pairs]
            self._levels.append(level)


class DoublingCrypto(Crypto):
    """Cryptography whose Merkle trees double the last node."""

    __slots__ = ()

    def merkle_tree(self, leaves: Sequence[bytes]) -> MerkleTree:
        """See `Crypto.merkle_tree`."""
        return DoublingTree(self.suite, leaves)


class LenientState(ChainState):
    """A ledger keeper that does not compare the number of transactions with the header's."""

    def _validate_limits(self, block: Block, leaves: tuple[bytes, ...]) -> None:
        del block, leaves


def drop_prefixes(suite: HashSuite) -> HashSuite:
    """``suite`` as a tree without prefixes sees it: the first byte of what is hashed, its prefix, is left out."""
    bare = HashSuite(
        f"{suite.name} without prefixes", suite.digest_size, suite.block_size, suite.collision_bits,
        lambda data: suite.new(data[1:]),
    )  # fmt: skip
    object.__setattr__(bare, "hash", lambda data: suite.hash(data[1:]))
    return bare


def attack_trees(seed: str, suite: str, curve: str, records: Sequence[ClinicalRecord], folder: Path) -> list[Row]:
    """Both attacks, with each protection by itself and together."""
    del folder
    return [*double_leaf(seed, suite, curve, records), *confuse_nodes(seed, suite, curve, records)]


def double_leaf(seed: str, suite: str, curve: str, records: Sequence[ClinicalRecord]) -> list[Row]:
    """One more transaction, the last once more, in a certified block whose header and certificate stay as they are."""
    rows = []
    cases: tuple[tuple[str, type[Crypto], type[ChainState], Expected], ...] = (
        ("doubled last node, size not bound", DoublingCrypto, LenientState, "succeeds"),
        ("doubled last node, size in the header", DoublingCrypto, ChainState, "refused"),
        ("RFC 6962, size not bound", Crypto, LenientState, "refused"),
        ("RFC 6962, size in the header", Crypto, ChainState, "refused"),
    )
    for protection, crypto_kind, state_kind, expected in cases:
        scribe, block = write_block(f"{seed}|doubled", suite, curve, records, crypto_kind)
        longer = Block(block.header, (*block.transactions, block.transactions[-1]))
        certificate = scribe.certify(block.header)
        state = _open(scribe, crypto_kind, state_kind)
        state.validate(block, certificate)  # the control: the honest block holds
        note = "one header and certificate, two contents: the keeper of the longer one differs in its state"
        tally = Tally(
            "double the last leaf (CVE-2012-2459)", suite, protection, expected, note if expected == "succeeds" else ""
        )
        tally.watch(partial(_rule, state.validate, longer, certificate))
        rows.append(tally.row())
    return rows


def write_block(
    label: str, suite: str, curve: str, records: Sequence[ClinicalRecord], crypto_kind: type[Crypto]
) -> tuple[Scribe, Block]:
    """A certified first block, of trees of this kind."""
    scribe = Scribe(found_chain(label, suite, curve, ConsensusRule.PROOF_OF_STAKE))
    scribe.crypto = crypto_kind(scribe.crypto.suite, scribe.crypto.scheme)
    transactions = tuple(scribe.submit(scribe.refer(records[index]), index, 0) for index in range(_TRANSACTIONS))
    return scribe, Block(scribe.header(scribe.open_state(), transactions, SECOND), transactions)


def _open(scribe: Scribe, crypto_kind: type[Crypto], state_kind: type[ChainState]) -> ChainState:
    crypto = crypto_kind(scribe.crypto.suite, scribe.crypto.scheme)
    return state_kind(scribe.network.params, scribe.chain, scribe.network.certificates, crypto)


def _rule(check: Callable[..., object], *arguments: object) -> str | None:
    try:
        check(*arguments)
    except ProofError as error:
        return "inclusion proof: " + ("root" if "root" in str(error) else "length of the path")
    except EhrError as error:
        return find_rule(error)
    return None


def confuse_nodes(seed: str, suite: str, curve: str, records: Sequence[ClinicalRecord]) -> list[Row]:
    """Show every inner node as a leaf of the smaller tree above it, to `verify_inclusion`."""
    del seed, curve
    full = find_suite(suite)
    leaves = [record.body for record in records[:_LEAVES]]
    cases: tuple[tuple[str, HashSuite, bool, Callable[..., None], Expected], ...] = (
        ("no prefixes, size not bound", drop_prefixes(full), False, verify_inclusion, "succeeds"),
        ("no prefixes, size in the header", drop_prefixes(full), True, verify_inclusion, "refused"),
        ("no prefixes, leaf must be a transaction", drop_prefixes(full), False, verify_transaction, "refused"),
        ("RFC 6962 prefixes, size not bound", full, False, verify_inclusion, "refused"),
    )
    rows = []
    for protection, used, is_bound, verify, expected in cases:
        tally = Tally("show an inner node as a leaf", suite, protection, expected)
        tree = MerkleTree(used, leaves)
        for size, index, leaf, path in list_nodes(used, leaves):
            claimed = len(leaves) if is_bound else size
            tally.watch(partial(_rule, verify, used, tree.root, claimed, index, leaf, path))
        rows.append(tally.row())
    return rows


def verify_transaction(
    suite: HashSuite, root: bytes, size: int, index: int, leaf: bytes, path: Sequence[bytes]
) -> None:
    """`verify_inclusion` of a leaf that has to be a transaction, too."""
    verify_inclusion(suite, root, size, index, leaf, path)
    decode(leaf, EndorsedTransaction)


def list_nodes(suite: HashSuite, leaves: Sequence[bytes]) -> list[tuple[int, int, bytes, tuple[bytes, ...]]]:
    """Of every inner node: the nodes of its level, its place there, the bytes hashed to it, and its path up."""
    levels = [[suite.hash(b"\0" + leaf) for leaf in leaves]]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([suite.hash(b"\1" + below[i] + below[i + 1]) for i in range(0, len(below), 2)])
    found = []
    for height in range(1, len(levels)):
        for index in range(len(levels[height])):
            leaf = levels[height - 1][2 * index] + levels[height - 1][2 * index + 1]
            path = tuple(levels[up][(index >> up - height) ^ 1] for up in range(height, len(levels) - 1))
            found.append((len(levels[height]), index, leaf, path))
    return found
