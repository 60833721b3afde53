"""The chain's state and its transition: validate all of a block first, change the state last.

A block that breaks a rule of the chain is refused whole (`ValidationError`).  A transaction that is no longer valid
when its block comes, because its author was revoked in between, say, stays in the block, marked with the reason,
and changes nothing: the paper's second validation (step 4).  Administrators hold no state, so they could not have
left it out.
"""

from collections import deque
from dataclasses import dataclass

from ehrcore.agreements import AgreementBook
from ehrcore.block import (
    HEADER_BYTES,
    Block,
    Bond,
    Change,
    CommitCertificate,
    Enrolment,
    Evidence,
    Header,
    Order,
    Revocation,
    Transaction,
    TransactionBody,
    Unbond,
    leaf_bytes,
)
from ehrcore.codec import encode
from ehrcore.consensus.finality import header_hash, verify_certificate
from ehrcore.consensus.seam import Tip, validate_link
from ehrcore.consensus.stakes import Stakes
from ehrcore.consensus.validators import ValidatorSet
from ehrcore.consent import Consent, ConsentBook, Erasure, Withdrawal
from ehrcore.crypto import Crypto
from ehrcore.errors import IdentityError, ValidationError
from ehrcore.identity import Certificate, Reason, Registry
from ehrcore.judging import USED_UP, amend, judge, judge_agreement
from ehrcore.merkle import MerkleTree
from ehrcore.params import ChainParams
from ehrcore.replay import WINDOW, ReplayWindows
from ehrcore.rules import check_endorsed, check_transaction, window_of
from ehrcore.types import Role


@dataclass(frozen=True, slots=True)
class Verdict:
    """What validation found, and all that applying needs: nothing is computed twice."""

    block_hash: bytes
    reasons: tuple[Reason, ...]
    tx_ids: tuple[bytes, ...]
    leaves: tuple[bytes, ...]
    tree: MerkleTree
    registry: Registry
    stakes: Stakes
    consents: ConsentBook
    agreements: AgreementBook
    certificate: CommitCertificate


def open_registry(params: ChainParams, certificates: tuple[Certificate, ...], crypto: Crypto) -> Registry:
    """The registry of a chain's first block; `IdentityError` if a certificate does not verify."""
    registry = Registry(params.name, params.authority_key)
    for certificate in certificates:
        registry.enrol(certificate, crypto)
    return registry


def open_stakes(params: ChainParams, registry: Registry, crypto: Crypto) -> Stakes:
    """The stakes of a chain's first block, as the administrators' certificates have them."""
    return Stakes(crypto, params, ValidatorSet.of(crypto, registry.members(Role.ADMINISTRATOR)))


class ChainState:
    """What a ledger keeper knows after its last block."""

    def __init__(
        self, params: ChainParams, chain: bytes, certificates: tuple[Certificate, ...], crypto: Crypto
    ) -> None:
        self.params, self.chain, self._crypto = params, chain, crypto
        self.registry = open_registry(params, certificates, crypto)
        self.stakes = open_stakes(params, self.registry, crypto)
        self.consents, self.agreements = ConsentBook(), AgreementBook()
        #: What leads a light client from the first voters to the present ones (`ehrcore.light`).
        self.trail: tuple[Change, ...] = ()
        self.height, self.tip, self.timestamp = 0, chain, params.genesis_time
        self.digest = crypto.hash_struct(("state", chain))
        self._replay = ReplayWindows()
        self._recent: deque[Header] = deque(maxlen=max(params.work.retarget_window, 1))

    @property
    def validators(self) -> ValidatorSet:
        """Who may certify the next block."""
        return self.stakes.validators

    def validate(self, block: Block, certificate: CommitCertificate) -> Verdict:
        """Check a block that claims to follow the last one; `ValidationError` names the first broken rule."""
        header = block.header
        self._validate_link(header)
        block_hash = header_hash(self._crypto, header)
        verify_certificate(
            self._crypto, self.params, self.validators, header, block_hash, certificate, tuple(self._recent)
        )
        leaves, tree = self._validate_content(block)
        tx_ids = tuple(self._crypto.hash_struct(item.transaction.body) for item in block.transactions)
        reasons, registry, stakes, consents, agreements = self._judge(block, tx_ids)
        return Verdict(block_hash, reasons, tx_ids, leaves, tree, registry, stakes, consents, agreements, certificate)

    def validate_final(self, block: Block, certificate: CommitCertificate) -> None:
        """Check what can be checked before the blocks between: that it is final, and that its content is its own."""
        header, crypto = block.header, self._crypto
        if header.chain != self.chain:
            raise ValidationError("chain", f"expected {self.chain.hex()}, found {header.chain.hex()}")
        block_hash = header_hash(crypto, header)
        voters = self.stakes.upcoming if header.validators == self.stakes.upcoming.digest else self.validators
        verify_certificate(crypto, self.params, voters, header, block_hash, certificate, None)
        self._validate_content(block)

    def _validate_content(self, block: Block) -> tuple[tuple[bytes, ...], MerkleTree]:
        """The leaves and their tree, if they are within the chain's limits and the header's own."""
        leaves = tuple(map(leaf_bytes, block.transactions))
        self._validate_limits(block, leaves)
        return leaves, self._build_tree(block.header, leaves)

    def _build_tree(self, header: Header, leaves: tuple[bytes, ...]) -> MerkleTree:
        tree = self._crypto.merkle_tree(leaves)
        if tree.root != header.merkle_root:
            raise ValidationError("merkle-root", f"expected {tree.root.hex()}, found {header.merkle_root.hex()}")
        return tree

    def _validate_link(self, header: Header) -> None:
        validate_link(header, self.chain, Tip(self.height, self.tip, self.timestamp), self.stakes)

    def _validate_limits(self, block: Block, leaves: tuple[bytes, ...]) -> None:
        limits, count = self.params.limits, len(leaves)
        if block.header.size != count or count > limits.max_transactions:
            raise ValidationError(
                "size", f"expected {block.header.size} <= {limits.max_transactions} transactions, found {count}"
            )
        total = HEADER_BYTES + sum(map(len, leaves))
        if total > limits.max_block_bytes:
            raise ValidationError("bytes", f"expected at most {limits.max_block_bytes}, found {total}")

    def _judge(
        self, block: Block, tx_ids: tuple[bytes, ...]
    ) -> tuple[tuple[Reason, ...], Registry, Stakes, ConsentBook, AgreementBook]:
        """Reasons in order; each transaction sees what the accepted ones before it in the block have changed."""
        registry, stakes, reasons = self.registry, self.stakes, list[Reason]()
        consents, agreements = self.consents.fork(), self.agreements.fork()
        used: dict[str, set[int]] = {}
        now = block.header.timestamp
        for endorsed, tx_id in zip(block.transactions, tx_ids, strict=True):
            tx = endorsed.transaction
            reason = check_transaction(self._crypto, registry, self._replay, self.chain, tx, now)
            mine, nonce = used.setdefault(window_of(tx.body), set()), tx.body.nonce
            # A nonce that an earlier one of this block pushes out of the window is too old, as in the next block.
            if not reason and (nonce in mine or max(mine, default=0) - nonce >= WINDOW):
                reason = Reason.REPLAYED
            reason = reason or check_endorsed(self._crypto, registry, self.params, self.chain, endorsed, tx_id, now)
            if not reason and is_order(tx):
                if registry is self.registry:
                    registry, stakes = registry.copy(), stakes.copy()
                reason = apply_order(registry, stakes, tx.body, block.header.height, self._crypto, now)
            elif not reason:
                _, certificate_body = registry.check(tx.body.author, Role.VISITOR, now)
                reason = judge(consents, certificate_body, tx.body, tx_id, now)
                reason = reason or judge_agreement(agreements, self._crypto, tx.body, now)
            if reason in USED_UP:
                mine.add(nonce)
            reasons.append(reason)
        return tuple(reasons), registry, stakes, consents, agreements

    def is_used(self, body: TransactionBody) -> bool:
        """Whether the chain holds this nonce of its author, or has left its window behind."""
        return not self._replay.is_fresh(window_of(body), body.nonce)

    def apply(self, block: Block, verdict: Verdict) -> bytes:
        """Advance to ``block``, which ``verdict`` found valid; returns the digest of the new state."""
        self.registry, self.stakes = verdict.registry, verdict.stakes
        self.consents, self.agreements = verdict.consents, verdict.agreements
        return self._advance(block, verdict.block_hash, verdict.certificate, verdict.reasons)

    def replay(self, block: Block, certificate: CommitCertificate, reasons: tuple[Reason, ...]) -> bytes:
        """Advance over a block that this node has validated before: as `apply`, without its signatures.

        Link, limits and content are checked again, so that damage shows; who ends at a tip whose certificate verifies
        has found the chain that was certified.  Raises `ValidationError`.
        """
        self._validate_link(block.header)
        leaves, _ = self._validate_content(block)
        if len(reasons) != len(leaves):
            raise ValidationError("reasons", f"expected {len(leaves)}, found {len(reasons)}")
        header, crypto = block.header, self._crypto
        accepted = (item.transaction for item, reason in zip(block.transactions, reasons, strict=True) if not reason)
        for tx in accepted:
            body = tx.body
            if is_order(tx):
                apply_order(self.registry, self.stakes, body, header.height, crypto, header.timestamp)
            elif isinstance(body.payload, Consent | Withdrawal | Erasure):
                amend(self.consents, body.payload, crypto.hash_struct(body), None, header.timestamp)
            else:
                judge_agreement(self.agreements, crypto, body, header.timestamp)
        return self._advance(block, header_hash(crypto, header), certificate, reasons)

    def _advance(
        self, block: Block, block_hash: bytes, certificate: CommitCertificate, reasons: tuple[Reason, ...]
    ) -> bytes:
        for endorsed, reason in zip(block.transactions, reasons, strict=True):
            if reason in USED_UP:
                self._replay.add(window_of(endorsed.transaction.body), endorsed.transaction.body.nonce)
        if self.stakes.upcoming is not self.stakes.validators:
            self.trail += (Change(block.header, certificate, self.stakes.upcoming.members),)
        self.stakes.advance(block.header.height)
        self._recent.append(block.header)
        self.height, self.tip, self.timestamp = block.header.height, block_hash, block.header.timestamp
        codes = tuple(reason.value for reason in reasons)
        self.digest = self._crypto.hash(encode(("state", self.digest, self.tip, codes)))
        return self.digest


def is_order(tx: Transaction) -> bool:
    """Whether a transaction changes who may do what on the chain, rather than concerning records."""
    return isinstance(tx.body.payload, Order)


def keep_orders(block: Block) -> Block | None:
    """The block without what is no order: all of it that changes who may do what; None if nothing does."""
    orders = tuple(item for item in block.transactions if is_order(item.transaction))
    return Block(block.header, orders) if orders else None


def apply_order(
    registry: Registry, stakes: Stakes | None, body: TransactionBody, height: int, crypto: Crypto, now: int = 0
) -> Reason:
    """Carry out an order of the block at ``height``, or say why not; orders about stake only if ``stakes`` is given.

    ``now`` is the block's time.
    """
    match body.payload:
        case Revocation(serial=serial, cause=cause, since=since):
            registry.revoke(serial, cause, height, now, since)
        case Enrolment(certificate=certificate):
            try:
                registry.enrol(certificate, crypto, height, now)
            except IdentityError:
                return Reason.BAD_CERTIFICATE
        case Bond() | Unbond() | Evidence() as order if stakes is not None:
            return stakes.carry_out(order, height)
    return Reason.ACCEPTED
