"""A chain of any length, made directly: every signature is real, but nobody waits for anybody.

Blocks are those that the framework makes: endorsements and approvals as the policy asks, precommits of a quorum.  What
the experiment keeps of them is checked by the same `verify` as any ledger.
"""

from collections.abc import Iterator, Sequence
from itertools import count, cycle

from bench.attacks.chain import Scribe
from ehrcore.block import Attestation, Block, EndorsedTransaction, Header, leaf_bytes
from ehrcore.consensus.finality import header_hash
from ehrcore.effects import Persist
from ehrcore.identity import Reason
from ehrcore.ledger import open_crypto
from ehrcore.messages import Receipt, ReceiptEntry, verdict_body
from ehrcore.network import found_network
from ehrcore.params import ChainParams, Limits, Topology, majority
from ehrcore.records import ClinicalRecord
from ehrcore.state import ChainState
from ehrcore.types import MINUTE, Role

#: The paper's longest wait, so that a day has 240 blocks (section 3).
INTERVAL_NS = 6 * MINUTE


class Maker:
    """Makes blocks of one network's chain, each of ``fill`` records, which come in turn again and again."""

    def __init__(self, counts: Sequence[int], fill: int, records: Sequence[ClinicalRecord], label: str) -> None:
        topology = Topology(*counts)
        # The paper's limits as far as these records allow: 15 of them may be longer than its 30 KB.
        limits = Limits(max(fill, 15), min(max(fill * 4_096, 61_440), 1 << 19))
        params = ChainParams(
            "storage", topology, majority(topology.agents), majority(topology.coordinators), limits=limits
        )  # fmt: skip
        self.scribe = Scribe(found_network(params, "cryptography", label))
        self.network, self.genesis = self.scribe.network, self.scribe.genesis
        self._fill, self._records, self._nonces = fill, cycle(records), count()

    def _submit(self, at: int) -> EndorsedTransaction:
        reference = self.scribe.refer(next(self._records))
        return self.scribe.submit(reference, next(self._nonces), at, outcome=self.scribe.crypto.hash(b"outcome"))

    def make(self, blocks: int) -> Iterator[Persist]:
        """The next ``blocks`` blocks as a ledger keeper keeps them."""
        crypto = open_crypto(self.network.params)
        state = ChainState(self.network.params, self.network.chain, self.network.certificates, crypto)
        voters = [member.node for member in state.validators.members]
        quorum = voters[: 2 * len(voters) // 3 + 1]
        for height in range(1, blocks + 1):
            at = height * INTERVAL_NS
            content = tuple(self._submit(at) for _ in range(self._fill))
            root = crypto.merkle_tree(tuple(map(leaf_bytes, content))).root
            header = Header(
                state.chain, height, state.tip, root, self._fill, at, voters[height % len(voters)],
                state.validators.digest, state.stakes.upcoming.digest, 0, bytes(8),
            )  # fmt: skip
            certificate = self.scribe.certify(header, quorum)
            block, reasons = Block(header, content), (Reason.ACCEPTED,) * self._fill
            yield Persist(block, certificate, reasons, state.replay(block, certificate, reasons))

    def receipt(self, persist: Persist, index: int) -> tuple[Receipt, list[Attestation]]:
        """A contributor's receipt of one transaction, and the words of as many contributors as a proof needs."""
        keepers = self.scribe.names(Role.CONTRIBUTOR)
        crypto, header = self.scribe.crypto, persist.block.header
        leaves = tuple(map(leaf_bytes, persist.block.transactions))
        path = crypto.merkle_tree(leaves).prove_inclusion(index)
        part = ReceiptEntry(leaves[index], index, path, persist.reasons[index])
        word = verdict_body(header.chain, header_hash(crypto, header), (part,))
        said = [self.scribe.attest(name, word) for name in keepers[: majority(len(keepers))]]
        return self.scribe.show(header, persist.certificate, part), said
