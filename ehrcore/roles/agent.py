"""Agent (the paper's authoritative node): first to judge a transaction (Algorithm 4 made right, E28 to E32).

It checks who signed, whether they may, and whether it is new; it answers every coordinator with a signed 'A' or 'R',
and tells a refused author why.  Who shows no valid signature of the author's key learns no more than that: else anyone
could ask who is a member, who was revoked, and which nonces were used.
"""

from typing import Final

from ehrcore.block import Attestation, BatchCutter, EndorsedTransaction, EndorsementBody, Transaction, leaf_bytes
from ehrcore.consensus.laggards import has_finality
from ehrcore.consensus.seam import CLOCK_TOLERANCE, Tip
from ehrcore.effects import Effects, Event, Observed, ObservedKind, Received, Send
from ehrcore.identity import Reason
from ehrcore.messages import Endorse, Finalised, Refused, Submit
from ehrcore.replay import ReplayWindows
from ehrcore.roles.context import Context, Machine
from ehrcore.rules import AUTHORITY, check_transaction, window_of
from ehrcore.signing.base import SIGNATURE_BYTES
from ehrcore.standing import Standing
from ehrcore.state import apply_order, is_order
from ehrcore.types import MINUTE, Role

#: How long before it comes in a transaction may have been signed, and how far its clock may be ahead (ns).
STALE_AFTER: Final = 60 * MINUTE
#: Transactions whose refusals by coordinators are counted; beyond it the oldest is forgotten.
REFUSALS_LIMIT: Final = 16_384


#: What follows from the message alone, and so tells nobody anything new.
_OF_MESSAGE: Final = frozenset({Reason.STALE, Reason.FUTURE, Reason.WRONG_CHAIN, Reason.BAD_SIGNATURE})


def _check_time(submitted_at: int, now: int) -> Reason:
    if submitted_at > now + CLOCK_TOLERANCE:
        return Reason.FUTURE
    return Reason.STALE if submitted_at < now - STALE_AFTER else Reason.ACCEPTED


class Agent(Machine):
    """Endorses what visitors submit."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._coordinators = context.names(Role.COORDINATOR)
        # What it has endorsed counts for it at once, what votes weigh only when it is final.
        self._registry = context.open_registry()
        self._standing = Standing(context.params, context.chain, context.certificates, context.crypto)
        self._tip = Tip(0, context.chain, context.params.genesis_time)
        self._replay = ReplayWindows()
        self._refusals: dict[bytes, set[str]] = {}
        self._cutter = BatchCutter(context.params.limits)
        self._words = tuple(
            (Attestation(max(context.names(role), key=len), bytes(SIGNATURE_BYTES)),) * count
            for role, count in ((Role.AGENT, context.params.endorsements), (Role.COORDINATOR, context.params.approvals))
        )

    def handle(self, event: Event, now: int) -> Effects:
        """Submissions, final blocks if it is shown any, coordinators' refusals; anything else is not for an agent."""
        match event:
            case Received(sender=sender, message=Submit(transaction=transaction)):
                return self._judge(sender, transaction, now)
            case Received(message=Finalised() as message):
                return self._follow(message)
            case Received(sender=sender, message=Refused() as message) if sender in self._coordinators:
                return self._refused(sender, message)
            case _:
                return ()

    def _judge(self, sender: str, tx: Transaction, now: int) -> Effects:
        context = self._context
        crypto, body = context.crypto, tx.body
        reason = _check_time(body.submitted_at, now)
        reason = reason or check_transaction(crypto, self._registry, self._replay, context.chain, tx, now)
        if reason is Reason.ACCEPTED and not self._fits(tx):
            reason = Reason.TOO_LARGE
        if reason is Reason.ACCEPTED:
            self._replay.add(window_of(body), body.nonce)
            if is_order(tx):
                reason = apply_order(self._registry, None, body, 0, crypto)
        tx_id = crypto.hash_struct(body)
        signature = crypto.sign(EndorsementBody(context.chain, tx_id, context.me, reason))
        verdict = Send(self._coordinators, Endorse(tx, reason, Attestation(context.me, signature)))
        if reason is Reason.ACCEPTED:
            return (verdict,)
        # What is counted is shown to anyone who asks for a status, so it says no more than what is told.
        told = reason if reason in _OF_MESSAGE or self._is_of_author(tx) else Reason.BAD_SIGNATURE
        observed = Observed(ObservedKind.DROPPED, (tx_id,), told.value)
        if sender == AUTHORITY:
            return (observed, verdict)
        # The transport's sender is told, not the claimed author: a forged name must not reach a stranger.
        return (observed, verdict, Send((sender,), Refused(tx_id, told, "")))

    def _is_of_author(self, tx: Transaction) -> bool:
        """Whether the author's key has signed it, whatever the author may do.

        For an author that nobody knows a signature is verified, too, so that the time of the answer tells nothing.
        """
        registry = self._registry
        key = registry.authority_key if tx.body.author == AUTHORITY else registry.key_of(tx.body.author)
        is_signed = self._context.crypto.verify(key or registry.authority_key, tx.body, tx.signature)
        return is_signed and key is not None

    def _refused(self, coordinator: str, message: Refused) -> Effects:
        """Given up once so many coordinators refuse that the policy cannot be met; one liar refuses nothing."""
        tx_id, refusals = message.transaction, self._refusals
        refused_by = refusals.setdefault(tx_id, set())
        if len(refusals) > REFUSALS_LIMIT:
            del refusals[next(iter(refusals))]
        could_be_met = len(self._coordinators) - len(refused_by) >= self._context.params.approvals
        refused_by.add(coordinator)
        if not could_be_met or len(self._coordinators) - len(refused_by) >= self._context.params.approvals:
            return ()
        return (Observed(ObservedKind.ABANDONED, (tx_id,), message.reason.value),)

    @property
    def tip(self) -> Tip:
        """The last block that this agent has seen."""
        return self._tip

    def _follow(self, final: Finalised) -> Effects:
        """A final block after the last one: carry out the authority's orders in it, and say what is settled."""
        context, header = self._context, final.block.header
        crypto = context.crypto
        if (header.height, header.previous) != (self._tip.height + 1, self._tip.block_hash):
            return ()
        if not has_finality(crypto, context.params, self._standing.stakes.validators, final):
            return ()
        self._tip = Tip(header.height, crypto.hash_struct(header), header.timestamp)
        transactions = [item.transaction for item in final.block.transactions]
        for tx in transactions:
            # One that is here for the second time changes nothing.
            if is_order(tx) and not check_transaction(
                crypto, self._registry, None, context.chain, tx, header.timestamp
            ):
                apply_order(self._registry, None, tx.body, 0, crypto)
        self._standing.follow(final.block)
        return (Observed(ObservedKind.SETTLED, tuple(crypto.hash_struct(tx.body) for tx in transactions)),)

    def _fits(self, tx: Transaction) -> bool:
        """Whether the transaction, with all that policy adds to it, fits a block: else it would wait for ever."""
        endorsements, approvals = self._words
        outcome = bytes(self._context.crypto.suite.digest_size)
        return self._cutter.fits(len(leaf_bytes(EndorsedTransaction(tx, endorsements, outcome, approvals))))
