"""Visitor: signs transactions about records, and believes a receipt only after checking it (paper, step 1)."""

from dataclasses import dataclass, field
from typing import Final

from ehrcore.block import EndorsedTransaction, Payload, RecordRef, Transaction, TransactionBody
from ehrcore.bounded import RecentSet, make_room
from ehrcore.codec import decode
from ehrcore.consensus.finality import header_hash
from ehrcore.effects import Effect, Effects, Event, Instructed, Observed, ObservedKind, Received, Requested, Send, Store
from ehrcore.errors import EhrError, ProofError
from ehrcore.identity import Reason
from ehrcore.light import LightClient
from ehrcore.merkle import verify_inclusion
from ehrcore.messages import Receipt, ReceiptEntry, Refused, Submit, verdict_body
from ehrcore.params import majority
from ehrcore.roles.context import Context, Machine
from ehrcore.rules import is_attested
from ehrcore.types import Role

#: Transactions without a receipt that are remembered; beyond it the oldest is given up.
PENDING_LIMIT: Final = 65_536


@dataclass(slots=True)
class _Pending:
    """What others have said of a transaction that is not settled."""

    refused_by: set[str] = field(default_factory=set)
    verdicts: dict[str, Reason] = field(default_factory=dict)


class Visitor(Machine):
    """Submits records to every agent and keeps what has no receipt yet."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._agents = context.names(Role.AGENT)
        self._light = LightClient(context.crypto, context.params, context.chain, context.validators())
        self._registry, self._nonce = context.open_registry(), 0
        self._contributors = context.names(Role.CONTRIBUTOR)
        self._pending: dict[bytes, _Pending] = {}
        self._verified = RecentSet(1_024)

    def handle(self, event: Event, now: int) -> Effects:
        """Requests of the user, refusals and receipts; anything else is not for a visitor."""
        match event:
            case Requested():
                return self._submit(event, now)
            case Instructed(payload=payload):
                return self._sign(payload, now)
            case Received(sender=sender, message=Refused() as message):
                return self._refused(sender, message)
            case Received(sender=sender, message=Receipt() as message) if sender in self._contributors:
                return self._receipt(sender, message, now)
            case _:
                return ()

    def _submit(self, request: Requested, now: int) -> Effects:
        record, crypto = request.record, self._context.crypto
        reference = RecordRef(
            int(record.kind), request.pseudonym, crypto.hash(record.body), record.location, len(record.body)
        )
        return (Store(record.location, record.body), *self._sign(reference, now))

    def _sign(self, payload: Payload, now: int) -> Effects:
        context, crypto = self._context, self._context.crypto
        body = TransactionBody(context.chain, context.me, self._nonce, now, payload)
        self._nonce += 1
        tx_id = crypto.hash_struct(body)
        make_room(self._pending, PENDING_LIMIT)
        self._pending[tx_id] = _Pending()
        return (
            Observed(ObservedKind.SUBMITTED, (tx_id,)),
            Send(self._agents, Submit(Transaction(body, crypto.sign(body)))),
        )

    def _refused(self, sender: str, message: Refused) -> Effects:
        """Final once so many nodes refuse that the policy cannot be met; one liar among them refuses nothing."""
        pending = self._pending.get(message.transaction)
        if pending is None:
            return ()
        refusals = pending.refused_by
        refusals.add(sender)
        params = self._context.params
        needed = {Role.AGENT: params.endorsements, Role.COORDINATOR: params.approvals}
        for role, least in needed.items():
            names = self._context.names(role)
            if len(names) - sum(name in refusals for name in names) < least:
                del self._pending[message.transaction]
                return (Observed(ObservedKind.REFUSED, (message.transaction,), message.reason.value),)
        return ()

    def _receipt(self, sender: str, receipt: Receipt, now: int) -> Effects:
        """Check certificate and proofs; what is not proven stays pending."""
        crypto, header = self._context.crypto, receipt.header
        effects: list[Effect] = []
        block_hash = header_hash(crypto, header)
        try:
            if block_hash not in self._verified:
                self._light.verify(header, receipt.certificate, receipt.trail)
                self._verified.add(block_hash)
            is_signed = self._is_signed(sender, receipt, block_hash, now)
            for entry in receipt.entries:
                effects += self._settle(sender, receipt, entry, is_signed=is_signed)
        except EhrError as error:
            effects.append(Observed(ObservedKind.DROPPED, (block_hash,), str(error)))
        return tuple(effects)

    def _is_signed(self, sender: str, receipt: Receipt, block_hash: bytes, now: int) -> bool:
        """Whether the verdicts are the sender's own word, that it can be held to."""
        crypto, word = self._context.crypto, receipt.word
        body = verdict_body(receipt.header.chain, block_hash, receipt.entries)
        return word.node == sender and is_attested(crypto, self._registry, Role.CONTRIBUTOR, body, word, now)

    def _settle(self, sender: str, receipt: Receipt, entry: ReceiptEntry, *, is_signed: bool) -> Effects:
        """The proof shows that the transaction is in the block; what became of it is what most contributors say.

        Neither header nor certificate covers the verdicts, so one contributor's word is not enough.
        """
        crypto, header = self._context.crypto, receipt.header
        tx_id = crypto.hash_struct(decode(entry.leaf, EndorsedTransaction).transaction.body)
        pending = self._pending.get(tx_id)
        if pending is None or header.chain != self._context.chain:
            return ()
        crypto.meter.hashes += len(entry.path) + 1
        crypto.meter.hashed_bytes += len(entry.leaf) + 65 * len(entry.path)
        verify_inclusion(crypto.suite, header.merkle_root, header.size, entry.index, entry.leaf, entry.path)
        if not is_signed:
            raise ProofError(f"receipt: expected verdicts signed by {sender}, found others")
        pending.verdicts[sender] = entry.reason
        if list(pending.verdicts.values()).count(entry.reason) < majority(len(self._contributors)):
            return ()
        del self._pending[tx_id]
        return (Observed(ObservedKind.FINAL, (tx_id,), entry.reason.value),)
