"""Coordinator: gathers endorsements, applies the policy, runs the contracts and approves (paper, step 2).

It also validates final blocks, since who may act is decided by the chain; the first coordinator keeps a copy of the
ledger (section 4).
"""

from dataclasses import dataclass, field
from typing import Final

from ehrcore.block import ApprovalBody, Attestation, EndorsementBody, Transaction
from ehrcore.bounded import RecentSet, make_room
from ehrcore.contracts import CONTRACTS, Contract, run_contracts
from ehrcore.effects import Effect, Effects, Event, Observed, ObservedKind, Received, Send
from ehrcore.identity import Reason
from ehrcore.messages import Approve, Endorse, Finalised, Refused
from ehrcore.roles.context import Context
from ehrcore.roles.keeper import LedgerKeeper
from ehrcore.rules import check_transaction, is_attested
from ehrcore.state import is_order
from ehrcore.storage import ObjectStore
from ehrcore.types import Role, node_id

PENDING_LIMIT: Final = 16_384


@dataclass(slots=True)
class _Pending:
    """A transaction that waits for endorsements.

    Its id does not cover the author's signature, so an agent may hand on a broken one: each agent's copy is kept
    unless it is the same.
    """

    copies: dict[bytes, Transaction] = field(default_factory=dict)
    given: dict[str, Attestation] = field(default_factory=dict)
    rejected: set[str] = field(default_factory=set)


class Coordinator(LedgerKeeper):
    """Approves to every administrator what enough agents endorsed and the contracts confirm."""

    def __init__(self, context: Context, store: ObjectStore, contracts: dict[str, Contract] | None = None) -> None:
        super().__init__(context)
        self._store = store
        self._contracts = CONTRACTS if contracts is None else contracts
        self._administrators = context.names(Role.ADMINISTRATOR)
        self._keeps_ledger = context.me == node_id(Role.COORDINATOR, 0)
        self._pending: dict[bytes, _Pending] = {}
        self._settled = RecentSet(PENDING_LIMIT)
        self._refused: dict[bytes, Refused] = {}
        self._endorsers = self._keys()

    def _keys(self) -> tuple[tuple[str, bytes], ...]:
        """Which agents' endorsements count, by which keys, after the last block."""
        agents, registry, now = self._context.names(Role.AGENT), self.state.registry, self.state.timestamp
        found = (registry.check(name, Role.AGENT, now)[1] for name in agents)
        return tuple((body.subject, body.public_key) for body in found if body is not None)

    def handle(self, event: Event, now: int) -> Effects:
        """Endorsements and final blocks; anything else is not for a coordinator."""
        match event:
            # From its own agent alone: a relayed endorsement could carry the transaction with a spoilt signature.
            case Received(sender=sender, message=Endorse() as message) if sender == message.endorsement.node:
                return self._endorsed(message, now)
            case Received(message=Finalised() as message):
                return self._finalised(message)
            case _:
                return ()

    def _endorsed(self, message: Endorse, now: int) -> Effects:
        context, crypto = self._context, self._context.crypto
        agent = message.endorsement.node
        tx_id = crypto.hash_struct(message.transaction.body)
        pending = self._pending.get(tx_id)
        if tx_id in self._refused:
            return (Send((agent,), self._refused[tx_id]),)
        if tx_id in self._settled or (pending and agent in pending.given):
            return ()
        if pending and agent in pending.rejected and message.reason is not Reason.ACCEPTED:
            return ()
        if self.state.is_used(message.transaction.body):
            # Most likely sent again after a restart.  Nobody is told: the chain already says what became of it.
            return (Observed(ObservedKind.DROPPED, (tx_id,), Reason.REPLAYED.value),)
        body = EndorsementBody(context.chain, tx_id, agent, message.reason)
        if not is_attested(crypto, self.state.registry, Role.AGENT, body, message.endorsement, now):
            return (Observed(ObservedKind.DROPPED, (tx_id,), Reason.BAD_SIGNATURE.value),)
        if pending is None:
            pending = self._open(tx_id)
        if message.reason is not Reason.ACCEPTED:
            pending.rejected.add(agent)
            return self._give_up(tx_id, pending, message.reason)
        # Later than its rejection, which may have been of a copy with a spoilt signature, or of a clock.
        pending.rejected.discard(agent)
        pending.given[agent] = message.endorsement
        pending.copies.setdefault(message.transaction.signature, message.transaction)
        if len(pending.given) < context.params.endorsements:
            return ()
        return self._approve(tx_id, pending, now)

    def _open(self, tx_id: bytes) -> _Pending:
        make_room(self._pending, PENDING_LIMIT)
        pending = self._pending[tx_id] = _Pending()
        return pending

    def _give_up(self, tx_id: bytes, pending: _Pending, reason: Reason) -> Effects:
        """Forget a transaction that so many agents rejected that the policy cannot be met."""
        params = self._context.params
        if params.topology.agents - len(pending.rejected) >= params.endorsements:
            return ()
        # Not settled: a copy that the agents accept may still come.
        del self._pending[tx_id]
        return (Observed(ObservedKind.DROPPED, (tx_id,), reason.value),)

    def _approve(self, tx_id: bytes, pending: _Pending, now: int) -> Effects:
        context, crypto = self._context, self._context.crypto
        self._settle(tx_id)
        tx, reason = self._check_copies(pending, now)
        outcome, refused_by = b"", ""
        if reason is Reason.ACCEPTED:
            outcome, refused_by = run_contracts(crypto, self._store, tx, self._contracts, self.state.agreements)
            reason = Reason.CONTRACT if refused_by else reason
        if reason is not Reason.ACCEPTED:
            return self._refuse(tx, tuple(pending.given), Refused(tx_id, reason, refused_by))
        signature = crypto.sign(ApprovalBody(context.chain, tx_id, context.me, outcome))
        endorsements = tuple(sorted(pending.given.values(), key=lambda item: item.node))
        return (Send(self._administrators, Approve(tx, endorsements, outcome, Attestation(context.me, signature))),)

    def _refuse(self, tx: Transaction, agents: tuple[str, ...], refused: Refused) -> Effects:
        """Tell the author, and the agents, which would say it again for hours; those that endorse it later, too."""
        make_room(self._refused, PENDING_LIMIT)
        self._refused[refused.transaction] = refused
        observed = Observed(ObservedKind.DROPPED, (refused.transaction,), refused.reason.value)
        told = () if is_order(tx) else (Send((tx.body.author,), refused),)
        return (observed, *told, Send(agents, refused))

    def _check_copies(self, pending: _Pending, now: int) -> tuple[Transaction, Reason]:
        """The first copy that passes, else the last one with its reason."""
        context, registry = self._context, self.state.registry
        for tx in pending.copies.values():
            reason = check_transaction(context.crypto, registry, None, context.chain, tx, now)
            if reason is not Reason.BAD_SIGNATURE:
                break
        return tx, reason

    def _settle(self, tx_id: bytes) -> None:
        self._pending.pop(tx_id, None)
        self._settled.add(tx_id)

    def _finalised(self, message: Finalised) -> Effects:
        appended, error = self.take(message)
        effects: list[Effect] = []
        for item in appended:
            for tx_id in item.verdict.tx_ids:
                self._settle(tx_id)
            if self._keeps_ledger:
                effects.append(item.persist)
            effects.append(Observed(ObservedKind.SETTLED, item.verdict.tx_ids))
        if appended and (endorsers := self._keys()) != self._endorsers:
            # What rests on a word that counts no more is gathered anew from what agents repeat until it is final.
            self._endorsers, self._pending, self._settled = endorsers, {}, RecentSet(PENDING_LIMIT)
            self._refused = {}
        if error is not None:
            effects.append(Observed(ObservedKind.DROPPED, (), str(error)))
        return tuple(effects)
