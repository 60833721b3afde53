"""An administrator's waiting transactions: gathered from coordinators' approvals, ordered by when they became ready."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from ehrcore.block import ApprovalBody, Attestation, BatchCutter, Block, EndorsedTransaction, Transaction, leaf_bytes
from ehrcore.bounded import RecentSet, make_room
from ehrcore.crypto import Crypto
from ehrcore.errors import ValidationError
from ehrcore.identity import Reason
from ehrcore.messages import Approve
from ehrcore.params import ChainParams
from ehrcore.rules import check_endorsed, check_transaction, has_endorsements, is_attested
from ehrcore.standing import Standing
from ehrcore.types import Role

#: Transactions that may wait for approvals, and ids of settled ones that are remembered.
CANDIDATE_LIMIT: Final = 16_384


@dataclass(slots=True)
class _Version:
    """One contract outcome on one copy of a transaction, as the first coordinator sent it, and who approved it.

    ``keys`` are those of the nodes whose word it rests on, as they were when it was verified.
    """

    first: Approve
    keys: dict[str, bytes]
    approvals: dict[str, Attestation] = field(default_factory=dict)


@dataclass(slots=True)
class _Candidate:
    """A transaction on its way to enough approvals; each coordinator's first one counts.

    Its id does not cover the author's signature, so approvals are told apart by that as well as by the outcome: a
    coordinator that hands on a broken signature speaks for itself alone.
    """

    versions: dict[tuple[bytes, bytes], _Version] = field(default_factory=dict)
    heard: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Ready:
    endorsed: EndorsedTransaction
    size_bytes: int
    since: int
    keys: dict[str, bytes]


class ApprovalPool:
    """Verifies approvals, keeps what is ready, and cuts batches from it."""

    def __init__(self, params: ChainParams, chain: bytes, standing: Standing, crypto: Crypto) -> None:
        self._params, self._chain, self._standing, self._crypto = params, chain, standing, crypto
        self._cutter = BatchCutter(params.limits)
        self._candidates: dict[bytes, _Candidate] = {}
        self._ready: dict[bytes, _Ready] = {}
        self._settled = RecentSet(CANDIDATE_LIMIT)

    def forget(self, tx_ids: Iterable[bytes]) -> None:
        """These have become final before: approvals of them count for nothing."""
        for tx_id in tx_ids:
            self._settled.add(tx_id)

    def add(self, message: Approve, now: int) -> bool:
        """Take a coordinator's approval; whether the transaction has just become ready.

        Approvals that do not verify, come twice or come late count for nothing.
        """
        tx_id = self._crypto.hash_struct(message.transaction.body)
        if tx_id in self._settled or tx_id in self._ready:
            return False
        candidate, coordinator = self._candidates.get(tx_id), message.approval.node
        if candidate is not None and coordinator in candidate.heard:
            return False
        key = message.outcome, message.transaction.signature
        is_new = candidate is None or key not in candidate.versions
        if not self._is_genuine(message, tx_id, now, is_new=is_new):
            return False
        if candidate is None:
            make_room(self._candidates, CANDIDATE_LIMIT)
            candidate = self._candidates[tx_id] = _Candidate()
        if is_new:
            candidate.versions[key] = _Version(message, self._keys(Role.AGENT, message.endorsements, now))
        version = candidate.versions[key]
        version.approvals[coordinator] = message.approval
        version.keys |= self._keys(Role.COORDINATOR, (message.approval,), now)
        candidate.heard.add(coordinator)
        if len(version.approvals) < self._params.approvals:
            return False
        return self._promote(tx_id, version, now)

    def _is_genuine(self, message: Approve, tx_id: bytes, now: int, *, is_new: bool) -> bool:
        """The coordinator's signature always, the endorsements where they would be the ones put in the block."""
        crypto, registry, needed = self._crypto, self._standing.registry, self._params.endorsements
        body = ApprovalBody(self._chain, tx_id, message.approval.node, message.outcome)
        if not is_attested(crypto, registry, Role.COORDINATOR, body, message.approval, now):
            return False
        given = message.endorsements
        return not is_new or has_endorsements(crypto, registry, needed, self._chain, tx_id, given, now)

    def _promote(self, tx_id: bytes, version: _Version, now: int) -> bool:
        first = version.first
        approvals = tuple(sorted(version.approvals.values(), key=lambda item: item.node))
        endorsed = EndorsedTransaction(first.transaction, first.endorsements, first.outcome, approvals)
        del self._candidates[tx_id]
        size = len(leaf_bytes(endorsed))
        if not self._cutter.fits(size):
            self._settled.add(tx_id)
            return False
        self._ready[tx_id] = _Ready(endorsed, size, now, version.keys)
        return True

    def _keys(self, role: Role, given: Iterable[Attestation], now: int) -> dict[str, bytes]:
        """The keys of those who attested and may act in ``role`` at ``now``."""
        found = ((item.node, self._standing.registry.check(item.node, role, now)[1]) for item in given)
        return {node: certificate.public_key for node, certificate in found if certificate is not None}

    def _stands(self, item: _Ready, now: int) -> bool:
        """Whether all that attested it may still act, with the same key: else nobody would accept a block with it."""
        agents = self._keys(Role.AGENT, item.endorsed.endorsements, now)
        return agents | self._keys(Role.COORDINATOR, item.endorsed.approvals, now) == item.keys

    def batch(self, now: int, exclude: Collection[bytes] = ()) -> tuple[EndorsedTransaction, ...]:
        """The transactions of the next block, if count, bytes or time say that one is to be cut.

        What rests on somebody's word that counts no more is forgotten; it is ready again once enough others attest it.
        """
        while self._is_due(ready := self._first(exclude), now):
            lapsed = [tx_id for tx_id, item in ready if not self._stands(item, now)]
            if not lapsed:
                count = self._cutter.take([item.size_bytes for _, item in ready])
                return tuple(item.endorsed for _, item in ready[:count])
            for tx_id in lapsed:
                del self._ready[tx_id]
        return ()

    def _is_due(self, ready: list[tuple[bytes, _Ready]], now: int) -> bool:
        if not ready:
            return False
        total = sum(item.size_bytes for _, item in ready)
        return self._cutter.is_full(len(ready), total) or self._cutter.is_due(ready[0][1].since, now)

    def _first(self, exclude: Collection[bytes]) -> list[tuple[bytes, _Ready]]:
        """The oldest ready transactions, one more than a block can hold at most."""
        most = self._params.limits.max_transactions + 1
        found = []
        for tx_id, item in self._ready.items():
            if tx_id not in exclude:
                found.append((tx_id, item))
                if len(found) == most:
                    break
        return found

    def oldest(self) -> int | None:
        """When the oldest ready transaction became ready, or None if none is."""
        return next(iter(self._ready.values())).since if self._ready else None

    def check(self, transactions: tuple[EndorsedTransaction, ...], now: int) -> tuple[bytes, ...]:
        """Ids of the transactions of another's block; `ValidationError` if policy or limits do not hold."""
        crypto, registry = self._crypto, self._standing.registry
        tx_ids = tuple(crypto.hash_struct(item.transaction.body) for item in transactions)
        if len(set(tx_ids)) != len(tx_ids):
            raise ValidationError("duplicate", "expected distinct transactions, found one twice")
        sizes = [len(leaf_bytes(item)) for item in transactions]
        if self._cutter.take(sizes) != len(sizes):
            raise ValidationError("bytes", f"expected a block within its limits, found {len(sizes)} transactions")
        for item, tx_id in zip(transactions, tx_ids, strict=True):
            if tx_id in self._settled:
                raise ValidationError("duplicate", f"expected new transactions, found {tx_id.hex()} again")
            reason = check_endorsed(crypto, registry, self._params, self._chain, item, tx_id, now)
            if reason := reason or self._check_copy(item.transaction, tx_id, now):
                raise ValidationError("policy", f"expected endorsed and approved, found {reason.value}")
        return tx_ids

    def _check_copy(self, transaction: Transaction, tx_id: bytes, now: int) -> Reason:
        """Whether a proposer put a broken signature in place of the author's; the coordinators' own copy has none.

        Any other reason is for the ledger keepers, who know the chain's state, to find.
        """
        ready = self._ready.get(tx_id)
        if ready is not None and ready.endorsed.transaction == transaction:
            return Reason.ACCEPTED
        reason = check_transaction(self._crypto, self._standing.registry, None, self._chain, transaction, now)
        return reason if reason is Reason.BAD_SIGNATURE else Reason.ACCEPTED

    def settle(self, block: Block) -> None:
        """A block is final: forget its transactions, and carry out what is ordered in it."""
        for item in block.transactions:
            tx_id = self._crypto.hash_struct(item.transaction.body)
            self._settled.add(tx_id)
            self._candidates.pop(tx_id, None)
            self._ready.pop(tx_id, None)
        self._standing.follow(block)
