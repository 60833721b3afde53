"""A chain of any length, made directly: every signature is real, but nobody waits for anybody.

Blocks are those that the framework makes: endorsements and approvals as the policy asks, precommits of a quorum.  What
the experiment keeps of them is checked by the same `verify` as any ledger.
"""

from collections.abc import Iterator, Sequence
from itertools import count, cycle

from ehrcore.block import (
    ApprovalBody,
    Attestation,
    Block,
    EndorsedTransaction,
    EndorsementBody,
    Genesis,
    Header,
    RecordRef,
    StakeCertificate,
    Transaction,
    TransactionBody,
    VoteBody,
    leaf_bytes,
)
from ehrcore.consensus.finality import PRECOMMIT, header_hash
from ehrcore.crypto import Crypto
from ehrcore.effects import Persist
from ehrcore.identity import Reason
from ehrcore.ledger import open_crypto
from ehrcore.messages import Receipt, ReceiptEntry, sign_receipt, verdict_body
from ehrcore.network import Network, found_network
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
        self.network: Network = found_network(params, "cryptography", label)
        self.genesis = Genesis(self.network.params, self.network.certificates)
        self._fill, self._records, self._nonces = fill, cycle(records), count()
        self._cryptos = {name: self.network.crypto(name) for name in self.network.roles}

    def _names(self, role: Role, least: int) -> list[str]:
        return [name for name, held in self.network.roles.items() if held is role][:least]

    def _transaction(self, crypto: Crypto, at: int) -> EndorsedTransaction:
        record, params, chain = next(self._records), self.network.params, self.network.chain
        name = self.network.authority.pseudonym(record.patient_id)
        reference = RecordRef(int(record.kind), name, crypto.hash(record.body), record.location, len(record.body))
        body = TransactionBody(chain, "visitor-0", next(self._nonces), at, reference)
        tx_id, outcome = crypto.hash_struct(body), crypto.hash(b"outcome")
        endorsements = tuple(
            Attestation(name, self._cryptos[name].sign(EndorsementBody(chain, tx_id, name, Reason.ACCEPTED)))
            for name in self._names(Role.AGENT, params.endorsements)
        )
        approvals = tuple(
            Attestation(name, self._cryptos[name].sign(ApprovalBody(chain, tx_id, name, outcome)))
            for name in self._names(Role.COORDINATOR, params.approvals)
        )
        return EndorsedTransaction(
            Transaction(body, self._cryptos["visitor-0"].sign(body)), endorsements, outcome, approvals
        )  # fmt: skip

    def make(self, blocks: int) -> Iterator[Persist]:
        """The next ``blocks`` blocks as a ledger keeper keeps them."""
        crypto = open_crypto(self.network.params)
        state = ChainState(self.network.params, self.network.chain, self.network.certificates, crypto)
        voters = [member.node for member in state.validators.members]
        quorum = voters[: 2 * len(voters) // 3 + 1]
        for height in range(1, blocks + 1):
            at = height * INTERVAL_NS
            content = tuple(self._transaction(crypto, at) for _ in range(self._fill))
            root = crypto.merkle_tree(tuple(map(leaf_bytes, content))).root
            header = Header(
                state.chain, height, state.tip, root, self._fill, at, voters[height % len(voters)],
                state.validators.digest, state.stakes.upcoming.digest, 0, bytes(8),
            )  # fmt: skip
            vote = VoteBody(state.chain, height, 0, PRECOMMIT, header_hash(crypto, header))
            certificate = StakeCertificate(
                0, tuple(Attestation(name, self._cryptos[name].sign(vote)) for name in quorum)
            )
            block, reasons = Block(header, content), (Reason.ACCEPTED,) * self._fill
            yield Persist(block, certificate, reasons, state.replay(block, certificate, reasons))

    def receipt(self, persist: Persist, index: int) -> tuple[Receipt, list[Attestation]]:
        """A contributor's receipt of one transaction, and the words of as many contributors as a proof needs."""
        keepers = self._names(Role.CONTRIBUTOR, majority(self.network.params.topology.contributors))
        crypto, header = self._cryptos[keepers[0]], persist.block.header
        leaves = tuple(map(leaf_bytes, persist.block.transactions))
        path = crypto.merkle_tree(leaves).prove_inclusion(index)
        entries = (ReceiptEntry(leaves[index], index, path, persist.reasons[index]),)
        block_hash = header_hash(crypto, header)
        receipt = sign_receipt(crypto, keepers[0], (header, persist.certificate), block_hash, entries, ())
        word = verdict_body(header.chain, block_hash, entries)
        return receipt, [Attestation(name, self._cryptos[name].sign(word)) for name in keepers]
