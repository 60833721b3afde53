"""Whole chains written with the keys of a network: honest ones, and what an attacker makes of them with stolen keys.

Nothing here is trusted by what it is used against: every chain is judged by the product's own code, from its bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ehrcore.block import (
    ApprovalBody,
    Attestation,
    Block,
    CommitCertificate,
    EndorsedTransaction,
    EndorsementBody,
    Enrolment,
    Genesis,
    Header,
    Payload,
    RecordRef,
    StakeCertificate,
    Transaction,
    TransactionBody,
    VoteBody,
    WorkCertificate,
    leaf_bytes,
)
from ehrcore.consensus.finality import PRECOMMIT, header_hash
from ehrcore.consensus.work import EMPTY_NONCE
from ehrcore.contracts import run_contracts
from ehrcore.crypto import Crypto
from ehrcore.errors import EhrError
from ehrcore.identity import Capacity, Reason
from ehrcore.ledger import Entry
from ehrcore.messages import Receipt, ReceiptEntry, sign_receipt
from ehrcore.network import Network, found_network
from ehrcore.params import ChainParams, ConsensusRule, Topology, WorkRule, majority
from ehrcore.records import ClinicalRecord, RecordKind
from ehrcore.rules import AUTHORITY
from ehrcore.signing import CURVES, derive_secret, find_scheme
from ehrcore.state import ChainState
from ehrcore.storage import MemoryStore
from ehrcore.types import SECOND, Role

#: Two agents and two coordinators, all of whom must sign; four administrators; three keepers.
TOPOLOGY = Topology(2, 2, 4, 3, visitors=2)
#: No signature and no work makes such a block final: what is left is the chain of hashes and what transactions carry.
UNSIGNED = WorkRule(difficulty=1, confirmations=0)


def found_chain(label: str, suite: str, curve: str, rule: ConsensusRule, stakes: Sequence[int] = ()) -> Network:
    """A network with real keys that derive from ``label``."""
    params = ChainParams(
        "attacked", TOPOLOGY, majority(TOPOLOGY.agents), majority(TOPOLOGY.coordinators), suite, curve,
        consensus=rule, work=UNSIGNED,
    )  # fmt: skip
    return found_network(params, "cryptography", label, stakes)


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain as a ledger keeps it: the genesis and every block's entry."""

    genesis: Genesis
    entries: tuple[Entry, ...]

    @property
    def history(self) -> tuple[tuple[Block, tuple[Reason, ...]], ...]:
        """What a reader of the ledger learns: blocks and verdicts, whatever shows that they are final."""
        return tuple((entry.block, entry.reasons) for entry in self.entries)

    def replaced(self, index: int, entry: Entry) -> list[Entry]:
        """The entries with another one at ``index``."""
        return [*self.entries[:index], entry, *self.entries[index + 1 :]]

    @property
    def valid(self) -> tuple[bytes, ...]:
        """The bytes of every transaction that counts, in order."""
        return tuple(
            leaf_bytes(item)
            for entry in self.entries
            for item, reason in zip(entry.block.transactions, entry.reasons, strict=True)
            if not reason
        )


class Scribe:
    """Writes what any node of ``network`` could write: it holds every key."""

    def __init__(self, network: Network) -> None:
        self.network, self.chain = network, network.chain
        self.genesis = Genesis(network.params, network.certificates)
        self._cryptos = {name: network.crypto(name) for name in (*network.roles, AUTHORITY)}
        self.crypto = self._cryptos[AUTHORITY]
        self.store = MemoryStore()

    def enrol(self, name: str, capacity: Capacity, pseudonym: bytes = b"") -> Enrolment:
        """The authority's admission of a person or a system, with a key of its own by which the scribe signs for it."""
        params = self.network.params
        scheme = find_scheme(self.network.scheme)
        key = scheme.private_key(derive_secret(CURVES[params.curve], f"{self.chain.hex()}|{name}"))
        self._cryptos[name] = Crypto(self.crypto.suite, scheme, key)
        return Enrolment(
            self.network.authority.certify(
                name, Role.VISITOR, key.public_bytes, kinds=tuple(map(int, RecordKind)), capacity=capacity,
                pseudonym=pseudonym,
            )
        )  # fmt: skip

    def show(self, header: Header, certificate: CommitCertificate, part: ReceiptEntry) -> Receipt:
        """The first contributor's receipt for one transaction of a block."""
        keeper, block_hash = self.names(Role.CONTRIBUTOR)[0], header_hash(self.crypto, header)
        return sign_receipt(self._cryptos[keeper], keeper, (header, certificate), block_hash, (part,), ())

    def names(self, role: Role) -> list[str]:
        """The nodes of a role, in order."""
        return [name for name, held in self.network.roles.items() if held is role]

    def open_state(self) -> ChainState:
        """The state of the chain without blocks; what the scribe has signed it need not verify."""
        return ChainState(self.network.params, self.chain, self.network.certificates, self.crypto)

    def refer(self, record: ClinicalRecord, digest: bytes | None = None) -> RecordRef:
        """What the chain keeps of ``record``."""
        pseudonym = self.network.authority.pseudonym(record.patient_id)
        digest = self.crypto.hash(record.body) if digest is None else digest
        return RecordRef(int(record.kind), pseudonym, digest, record.location, len(record.body))

    def submit(
        self, payload: Payload, nonce: int, now: int, author: str = "visitor-0", outcome: bytes = b""
    ) -> EndorsedTransaction:
        """A transaction endorsed and approved by as many as the policy asks for, with what contracts return."""
        body, params = TransactionBody(self.chain, author, nonce, now, payload), self.network.params
        tx, tx_id = Transaction(body, self._cryptos[author].sign(body)), self.crypto.hash_struct(body)
        outcome = outcome or run_contracts(self.crypto, self.store, tx)[0] or self.crypto.hash(b"")
        endorsements = (
            self.attest(name, EndorsementBody(self.chain, tx_id, name, Reason.ACCEPTED))
            for name in self.names(Role.AGENT)[: params.endorsements]
        )
        approvals = (
            self.attest(name, ApprovalBody(self.chain, tx_id, name, outcome))
            for name in self.names(Role.COORDINATOR)[: params.approvals]
        )
        return EndorsedTransaction(tx, tuple(endorsements), outcome, tuple(approvals))

    def attest(self, name: str, body: Any) -> Attestation:
        """What ``name`` says, signed."""
        return Attestation(name, self._cryptos[name].sign(body))

    def header(self, state: ChainState, transactions: Sequence[EndorsedTransaction], timestamp: int) -> Header:
        """The header of a block after ``state``'s last one."""
        validators, height = state.stakes.validators, state.height + 1
        root = self.crypto.merkle_tree(tuple(map(leaf_bytes, transactions))).root
        difficulty = UNSIGNED.difficulty if self.network.params.family is ConsensusRule.PROOF_OF_WORK else 0
        return Header(
            self.chain, height, state.tip, root, len(transactions), timestamp,
            validators.proposer(self.crypto, self.chain, height, 0).node,
            validators.digest, state.stakes.upcoming.digest, difficulty, EMPTY_NONCE,
        )  # fmt: skip

    def certify(self, header: Header, voters: Sequence[str] | None = None) -> CommitCertificate:
        """The certificate that ``voters`` (all administrators) can make: nothing at all where nobody has to sign."""
        if self.network.params.family is ConsensusRule.PROOF_OF_WORK:
            return WorkCertificate(())
        body = VoteBody(self.chain, header.height, 0, PRECOMMIT, header_hash(self.crypto, header))
        names = self.names(Role.ADMINISTRATOR) if voters is None else voters
        return StakeCertificate(0, tuple(self.attest(name, body) for name in names))

    def write(self, blocks: Sequence[Sequence[EndorsedTransaction]]) -> Chain:
        """The chain of these transactions, honestly made, a block every second."""
        state, entries = self.open_state(), []
        for transactions in blocks:
            header = self.header(state, transactions, (state.height + 1) * SECOND)
            block, certificate = Block(header, tuple(transactions)), self.certify(header)
            verdict = state.validate(block, certificate)
            entries.append(Entry(block, certificate, verdict.reasons, state.apply(block, verdict)))
        return Chain(self.genesis, tuple(entries))

    def relink(self, entries: Sequence[Entry], first: int, voters: Sequence[str] = (), *, is_judged: bool) -> Chain:
        """Recompute from block ``first`` (an index) on all that needs no key but those of ``voters``.

        That is Merkle roots, sizes, links, hashes, digests of the state and, where ``is_judged``, the verdicts that the
        rules would give; else the old ones are kept.  Certificates are made with the voters' keys; where there are
        none, the old ones stay.
        """
        state, made = self.open_state(), list(entries[:first])
        for entry in made:
            state.replay(entry.block, entry.certificate, entry.reasons)
        previous, is_alive = state.tip, True
        for old in entries[first:]:
            transactions = old.block.transactions
            leaves = tuple(map(leaf_bytes, transactions))
            root = self.crypto.merkle_tree(leaves).root
            header = msgspec.structs.replace(old.block.header, previous=previous, size=len(leaves), merkle_root=root)
            certificate = self.certify(header, voters) if voters else old.certificate
            new = msgspec.structs.replace(old, block=Block(header, transactions), certificate=certificate)
            if is_alive:
                new, is_alive = _advance(state, new, is_judged=is_judged)
            made.append(new)
            previous = header_hash(self.crypto, header)
        return Chain(self.genesis, tuple(made))


def _advance(state: ChainState, entry: Entry, *, is_judged: bool) -> tuple[Entry, bool]:
    """The entry with the verdicts and the digest that make it look right, and whether the state could follow it."""
    count = len(entry.block.transactions)
    reasons = (*entry.reasons, *[Reason.ACCEPTED] * count)[:count]
    try:
        if is_judged:
            verdict = state.validate(entry.block, entry.certificate)
            reasons, digest = verdict.reasons, state.apply(entry.block, verdict)
        else:
            digest = state.replay(entry.block, entry.certificate, reasons)
    except EhrError:  # what no recomputation makes right is left for the verifier to find
        return msgspec.structs.replace(entry, reasons=reasons), False
    return msgspec.structs.replace(entry, reasons=reasons, state=digest), True
