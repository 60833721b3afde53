"""What nodes say to each other: one class per message, all of them canonical on the wire."""

from typing import Annotated

import msgspec

from ehrcore.block import (
    Attestation,
    Block,
    Change,
    CommitCertificate,
    Header,
    LeaderCertificate,
    ProposalBody,
    Transaction,
    VoteBody,
)
from ehrcore.crypto import Crypto
from ehrcore.identity import Reason
from ehrcore.types import Digest, Height, NodeId, Round, Signature, Term


class Submit(msgspec.Struct, frozen=True, array_like=True, tag="submit"):
    """Visitor (or authority) to every agent: please process (step 1)."""

    transaction: Transaction


class Endorse(msgspec.Struct, frozen=True, array_like=True, tag="endorse"):
    """Agent to every coordinator: the transaction and the agent's signed verdict (step 1)."""

    transaction: Transaction
    reason: Reason
    endorsement: Attestation


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """Agent or coordinator to the author, coordinator to the agents that endorsed: why it goes no further."""

    transaction: Digest
    reason: Reason
    detail: Annotated[str, msgspec.Meta(max_length=256)]


class Approve(msgspec.Struct, frozen=True, array_like=True, tag="approve"):
    """Coordinator to every administrator: policy and contracts hold (step 2)."""

    transaction: Transaction
    endorsements: tuple[Attestation, ...]
    outcome: Digest
    approval: Attestation


class Propose(msgspec.Struct, frozen=True, array_like=True, tag="propose"):
    """Proposer to the other administrators: the block of this round."""

    body: ProposalBody
    block: Block
    signature: Signature


class Vote(msgspec.Struct, frozen=True, array_like=True, tag="signed-vote"):
    """Administrator to the others: its prevote (step 1) or precommit (step 2)."""

    body: VoteBody
    voter: NodeId
    signature: Signature


class Ask(msgspec.Struct, frozen=True, array_like=True, tag="ask"):
    """Administrator to the others (proof of stake): hand on what was said here; it has the votes of ``voters``.

    Step 0 asks for the round's proposal, and all votes with it.
    """

    height: Height
    round: Round
    step: Annotated[int, msgspec.Meta(ge=0, le=2)]
    voters: tuple[NodeId, ...]


class Mined(msgspec.Struct, frozen=True, array_like=True, tag="mined"):
    """Administrator to the others: a block with proof of work."""

    block: Block


class Missing(msgspec.Struct, frozen=True, array_like=True, tag="missing"):
    """Administrator to one that knows more (proof of work): it lacks ``block``, and ``after`` is its last final one."""

    block: Digest
    after: Digest


class Canvass(msgspec.Struct, frozen=True, array_like=True, tag="canvass"):
    """Candidate to the other administrators: a request for their votes in ``term``, or, on trial, after it.

    It is about to decide ``height``, where it has stored a block of term ``stored`` (0: none).
    """

    term: Term
    height: Height
    stored: Term
    is_trial: bool


class Ballot(msgspec.Struct, frozen=True, array_like=True, tag="ballot"):
    """The answer to a `Canvass` of ``candidate``; ``term`` and ``height`` are the voter's."""

    term: Term
    height: Height
    candidate: NodeId
    is_trial: bool
    is_granted: bool


class Append(msgspec.Struct, frozen=True, array_like=True, tag="append"):
    """Leader of ``term`` to the other administrators: store this block."""

    term: Term
    block: Block


class Stored(msgspec.Struct, frozen=True, array_like=True, tag="stored"):
    """Administrator to the leader: it has stored ``block`` at ``height``; if empty, it has not got past ``height``."""

    term: Term
    height: Height
    block: Annotated[bytes, msgspec.Meta(max_length=32)]


class Commit(msgspec.Struct, frozen=True, array_like=True, tag="committed"):
    """Leader to the other administrators: a majority has stored ``block``."""

    height: Height
    block: Digest
    certificate: LeaderCertificate


class Finalised(msgspec.Struct, frozen=True, array_like=True, tag="finalised"):
    """Administrator to ledger keepers (step 4), and down the contributors' hierarchy: a final block."""

    block: Block
    certificate: CommitCertificate


class ReceiptEntry(msgspec.Struct, frozen=True, array_like=True):
    """One transaction of the receipt: its place, its proof, and what became of it."""

    leaf: bytes
    index: Annotated[int, msgspec.Meta(ge=0, le=65_535)]
    path: tuple[Digest, ...]
    reason: Reason


class VerdictBody(msgspec.Struct, frozen=True, array_like=True, tag="verdicts"):
    """What a ledger keeper signs of a receipt: the place and the verdict of each of its transactions."""

    chain: Digest
    block: Digest
    indices: tuple[int, ...]
    reasons: tuple[Reason, ...]


class Receipt(msgspec.Struct, frozen=True, array_like=True, tag="receipt"):
    """Contributor to an author: its transactions in one final block, provable from this and the genesis alone.

    No header covers what became of them, so the ledger keeper signs that (``word``, over a `VerdictBody`).
    ``trail`` holds every change of the voters before that block, oldest first.
    """

    header: Header
    certificate: CommitCertificate
    entries: tuple[ReceiptEntry, ...]
    word: Attestation
    trail: tuple[Change, ...] = ()


def sign_receipt(
    crypto: Crypto,
    keeper: str,
    final: tuple[Header, CommitCertificate],
    block_hash: bytes,
    entries: tuple[ReceiptEntry, ...],
    trail: tuple[Change, ...],
) -> Receipt:
    """The receipt of a final block, with the keeper's signature over what became of the entries."""
    word = Attestation(keeper, crypto.sign(verdict_body(final[0].chain, block_hash, entries)))
    return Receipt(*final, entries, word, trail)


def verdict_body(chain: bytes, block_hash: bytes, entries: tuple[ReceiptEntry, ...]) -> VerdictBody:
    """What is signed of these entries."""
    indices, reasons = (entry.index for entry in entries), (entry.reason for entry in entries)
    return VerdictBody(chain, block_hash, tuple(indices), tuple(reasons))


#: What an administrator must not contradict after a restart: durable before it leaves, and known again.
Word = Propose | Vote | Canvass | Ballot | Append | Stored

Message = Submit | Endorse | Refused | Approve | Word | Ask | Commit | Mined | Missing | Finalised | Receipt
