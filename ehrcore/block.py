"""Transactions, endorsements, approvals, blocks and the certificates that make blocks final.

Every signed body carries the chain's id, so nothing signed for one chain is valid on another.  Inside a block an
endorsement is a name and a signature: the body that was signed follows from the transaction, which keeps three
endorsements and three approvals well within the paper's 2 KB per transaction.
"""

from typing import Annotated, Final

import msgspec

from ehrcore.agreements import Agreement, Termination
from ehrcore.codec import encode
from ehrcore.consent import Access, AgreementId, Consent, Erasure, Withdrawal
from ehrcore.crypto import Crypto
from ehrcore.identity import Cause, Certificate, Reason
from ehrcore.params import ChainParams, Limits
from ehrcore.types import Digest, Height, Nanos, NodeId, PublicKey, Round, Signature, Stake, Term

#: Room kept in a block for its header (which is at most this long).
HEADER_BYTES: Final = 512
LOCATION_CHARS: Final = 512


class RecordRef(msgspec.Struct, frozen=True, array_like=True, tag="record"):
    """What the chain keeps of a record: its kind, whose it is (by pseudonym), and the stored object.

    ``digest`` and ``size_bytes`` are those of the object as it lies at ``location``: of the sealed record, if it is.
    """

    kind: Annotated[int, msgspec.Meta(ge=1, le=7)]
    pseudonym: Digest
    digest: Digest
    location: Annotated[str, msgspec.Meta(min_length=1, max_length=LOCATION_CHARS)]
    size_bytes: Annotated[int, msgspec.Meta(ge=0, lt=1 << 48)]
    agreement: AgreementId = b""


class Enrolment(msgspec.Struct, frozen=True, array_like=True, tag="enrol"):
    """The authority admits a node."""

    certificate: Certificate


class Revocation(msgspec.Struct, frozen=True, array_like=True, tag="revoke"):
    """The authority withdraws the certificate with this serial; ``since`` as in `ehrcore.identity.Revoked`."""

    serial: Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]
    cause: Cause = Cause.UNSPECIFIED
    since: Nanos = 0


class ProposalBody(msgspec.Struct, frozen=True, array_like=True, tag="proposal"):
    """What the proposer of a round signs; ``valid_round`` is -1 unless the block had a quorum of prevotes before."""

    chain: Digest
    height: Height
    round: Round
    valid_round: Annotated[int, msgspec.Meta(ge=-1, lt=1 << 31)]
    block: Digest


class VoteBody(msgspec.Struct, frozen=True, array_like=True, tag="vote"):
    """One administrator's vote in one step of one round; an empty ``block`` is a vote for none."""

    chain: Digest
    height: Height
    round: Round
    step: Annotated[int, msgspec.Meta(ge=1, le=2)]
    block: Annotated[bytes, msgspec.Meta(max_length=32)]


class Statement(msgspec.Struct, frozen=True, array_like=True):
    """What an administrator has signed in some round."""

    body: VoteBody | ProposalBody
    signature: Signature


Amount = Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]


class Bond(msgspec.Struct, frozen=True, array_like=True, tag="bond"):
    """The authority adds to an administrator's stake."""

    node: NodeId
    amount: Amount


class Unbond(msgspec.Struct, frozen=True, array_like=True, tag="unbond"):
    """The authority takes from an administrator's stake; what is taken can still be lost for a while."""

    node: NodeId
    amount: Amount


class Evidence(msgspec.Struct, frozen=True, array_like=True, tag="evidence"):
    """An administrator's proof that another has said two things where it may say one."""

    offender: NodeId
    first: Statement
    second: Statement


#: What changes who may do what on the chain; every node follows these.
Order = Enrolment | Revocation | Bond | Unbond | Evidence
#: What concerns patients' records; ledger keepers alone follow these.
Payload = RecordRef | Consent | Withdrawal | Access | Erasure | Agreement | Termination | Order


class TransactionBody(msgspec.Struct, frozen=True, array_like=True, tag="transaction"):
    """What an author signs; the nonce is fresh within the replay window of its author."""

    chain: Digest
    author: NodeId
    nonce: Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
    submitted_at: Nanos
    payload: Payload


class Transaction(msgspec.Struct, frozen=True, array_like=True, tag="signed-transaction"):
    """A body and its author's signature.  Its id is the digest of the body, whatever the signature."""

    body: TransactionBody
    signature: Signature


class EndorsementBody(msgspec.Struct, frozen=True, array_like=True, tag="endorsement"):
    """An agent's signed 'A' (approve) or 'R' (reject), with the reason of the latter (paper, step 1)."""

    chain: Digest
    transaction: Digest
    agent: NodeId
    reason: Reason

    @property
    def flag(self) -> str:
        """The paper's indicator."""
        return "A" if self.reason is Reason.ACCEPTED else "R"


class ApprovalBody(msgspec.Struct, frozen=True, array_like=True, tag="approval"):
    """A coordinator's word that policy and contracts hold; ``outcome`` is the digest of what contracts returned."""

    chain: Digest
    transaction: Digest
    coordinator: NodeId
    outcome: Digest


class Attestation(msgspec.Struct, frozen=True, array_like=True):
    """A node's signature over a body that the reader can rebuild."""

    node: NodeId
    signature: Signature


class EndorsedTransaction(msgspec.Struct, frozen=True, array_like=True, tag="endorsed"):
    """A transaction with all that makes it orderable: a leaf of the block's Merkle tree."""

    transaction: Transaction
    endorsements: tuple[Attestation, ...]
    outcome: Digest
    approvals: tuple[Attestation, ...]


class Header(msgspec.Struct, frozen=True, array_like=True, tag="header"):
    """What is hashed, voted on and linked (E24, E25): the block's hash is the hash *of* this.

    ``validators`` is the digest of the administrators that may certify it, ``next_validators`` of those that may
    certify the block after it.  ``difficulty`` and ``nonce`` are 0 but in proof of work; the nonce stands last so that
    its search reuses the hash state before it.
    """

    chain: Digest
    height: Height
    previous: Digest
    merkle_root: Digest
    size: Annotated[int, msgspec.Meta(ge=0, le=65_535)]
    timestamp: Nanos
    proposer: NodeId
    validators: Digest
    next_validators: Digest
    difficulty: Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
    nonce: Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]


class Block(msgspec.Struct, frozen=True, array_like=True, tag="block"):
    """A header and its transactions, in order."""

    header: Header
    transactions: tuple[EndorsedTransaction, ...]


class StakeCertificate(msgspec.Struct, frozen=True, array_like=True, tag="by-stake"):
    """Precommits of more than two thirds of the stake for one block in one round."""

    round: Round
    votes: tuple[Attestation, ...]


class WorkCertificate(msgspec.Struct, frozen=True, array_like=True, tag="by-work"):
    """The headers of the successors that confirm a block."""

    successors: tuple[Header, ...]


class OrdererCertificate(msgspec.Struct, frozen=True, array_like=True, tag="by-orderer"):
    """The single orderer's signature over the header."""

    signature: Signature


class CommitBody(msgspec.Struct, frozen=True, array_like=True, tag="commit"):
    """What a leader signs once a majority has stored a block in its term."""

    chain: Digest
    height: Height
    term: Term
    block: Digest


class LeaderCertificate(msgspec.Struct, frozen=True, array_like=True, tag="by-leader"):
    """An administrator's signed word that it led ``term`` and that a majority had stored the block in it."""

    term: Term
    leader: NodeId
    signature: Signature


CommitCertificate = StakeCertificate | WorkCertificate | OrdererCertificate | LeaderCertificate


class Validator(msgspec.Struct, frozen=True, array_like=True):
    """One administrator as a voter."""

    node: NodeId
    stake: Stake
    public_key: PublicKey


class Change(msgspec.Struct, frozen=True, array_like=True, tag="change"):
    """A final header whose block is followed by other voters, and who these are: `ehrcore.light` goes by it."""

    header: Header
    certificate: CommitCertificate
    validators: tuple[Validator, ...]


class Genesis(msgspec.Struct, frozen=True, array_like=True, tag="genesis"):
    """What a chain starts from: all that its nodes agree on before block 1."""

    params: ChainParams
    certificates: tuple[Certificate, ...]


def genesis_hash(crypto: Crypto, params: ChainParams, certificates: tuple[Certificate, ...]) -> bytes:
    """The chain's id: the digest of all that its nodes agree on before block 1."""
    return crypto.hash(encode(("genesis", params, certificates)))


def leaf_bytes(transaction: EndorsedTransaction) -> bytes:
    """The Merkle leaf of a transaction: its canonical bytes."""
    return encode(transaction)


class BatchCutter:
    """The paper's cutting rule over the sizes of what waits: count, bytes or time, whichever comes first."""

    __slots__ = ("_limits",)

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def fits(self, size_bytes: int) -> bool:
        """Whether a transaction of this size fits a block at all."""
        return size_bytes + HEADER_BYTES <= self._limits.max_block_bytes

    def is_full(self, count: int, total_bytes: int) -> bool:
        """Whether what waits fills a block by count or by bytes (``total_bytes`` includes the one too many)."""
        return count >= self._limits.max_transactions or total_bytes + HEADER_BYTES > self._limits.max_block_bytes

    def is_due(self, oldest: int, now: int) -> bool:
        """Whether the oldest waiting transaction, ready at ``oldest``, has waited long enough at ``now``."""
        return now - oldest >= self._limits.max_wait_ns

    def take(self, sizes: list[int]) -> int:
        """How many of the waiting transactions, in order, go into one block."""
        total, count = HEADER_BYTES, 0
        for size in sizes[: self._limits.max_transactions]:
            total += size
            if total > self._limits.max_block_bytes:
                break
            count += 1
        return count
