"""Who did what to whose records, when, why, and with what outcome: read from the chain, denied tries included.

Every write, read, search, consent, withdrawal and erasure is a transaction, and its block's reasons say what ledger
keepers made of it; so the audit trail is no log beside the chain but a reading of it, and each event is proven by the
receipt of its transaction.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec

from ehrcore.agreements import Agreement, Termination, agreement_id
from ehrcore.block import Block, Order, RecordRef, TransactionBody
from ehrcore.consent import Access, Action, Consent, Emergency, Erasure, Purpose, Withdrawal
from ehrcore.crypto import Crypto
from ehrcore.identity import Capacity, CertificateBody, Reason


class Deed(StrEnum):
    """What was done, or tried."""

    WRITE = "write"
    READ = "read"
    SEARCH = "search"
    CONSENT = "consent"
    WITHDRAWAL = "withdrawal"
    ERASURE = "erasure"
    AGREEMENT = "agreement"
    TERMINATION = "termination"


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event.

    ``patient`` is a pseudonym, empty where a withdrawal names a consent that nobody gave, or a termination an agreement
    that nobody made.  ``record`` is the digest of the `RecordRef` as a struct, of a consent and its withdrawal the
    consent's id, of an agreement and its end the agreement's, and of a search empty; ``kind`` is 0 where it says
    nothing, and ``location`` is known of a write.  ``at`` is the block's time.  ``author`` is proven unless ``reason``
    says otherwise.
    """

    tx_id: bytes
    height: int
    at: int
    author: str
    organisation: str
    capacity: Capacity
    deed: Deed
    patient: bytes
    kind: int
    record: bytes
    location: str
    purpose: Purpose | None
    emergency: Emergency
    reason: Reason

    @property
    def is_break_glass(self) -> bool:
        """Whether the author claimed an emergency, whatever became of it."""
        return self.emergency is not Emergency.NONE


def list_events(
    crypto: Crypto,
    block: Block,
    reasons: Sequence[Reason],
    tx_ids: Sequence[bytes],
    certificate_of: Callable[[str], CertificateBody | None],
    patient_of: Callable[[bytes], bytes],
) -> tuple[AuditEvent, ...]:
    """The events of a block, in order; the authority's orders and evidence are none.

    ``certificate_of`` finds an author's certificate, if there is one, and ``patient_of`` whose consent an id is, empty
    if it is nobody's.
    """
    given: dict[bytes, bytes] = {}
    events = []
    for endorsed, reason, tx_id in zip(block.transactions, reasons, tx_ids, strict=True):
        body = endorsed.transaction.body
        if isinstance(body.payload, Order):
            continue
        deed, patient, record = _read(crypto, body, tx_id)
        access = body.payload if isinstance(body.payload, Access) else None
        if deed in {Deed.CONSENT, Deed.AGREEMENT}:
            given[record] = patient
        holder = certificate_of(body.author)
        events.append(
            AuditEvent(
                tx_id=tx_id,
                height=block.header.height,
                at=block.header.timestamp,
                author=body.author,
                organisation=holder.organisation if holder else "",
                capacity=holder.capacity if holder else Capacity.SYSTEM,
                deed=deed,
                patient=patient or given.get(record) or patient_of(record),
                kind=body.payload.kind if isinstance(body.payload, RecordRef | Access) else 0,
                record=record,
                location=body.payload.location if isinstance(body.payload, RecordRef) else "",
                purpose=access.purpose if access else None,
                emergency=access.emergency if access else Emergency.NONE,
                reason=reason,
            )
        )
    return tuple(events)


def _read(crypto: Crypto, body: TransactionBody, tx_id: bytes) -> tuple[Deed, bytes, bytes]:
    """What was done, to whom if it says so, and ``record`` as in `AuditEvent`."""
    payload = body.payload
    match payload:
        case RecordRef(pseudonym=patient):
            return Deed.WRITE, patient, crypto.hash_struct(payload)
        case Access(action=action, pseudonym=patient, record=record):
            return Deed.READ if action is Action.READ else Deed.SEARCH, patient, record
        case Consent(pseudonym=patient):
            return Deed.CONSENT, patient, tx_id
        case Erasure(pseudonym=patient, record=record):
            return Deed.ERASURE, patient, record
        case Withdrawal(consent=consent):
            return Deed.WITHDRAWAL, b"", consent
        case Agreement(terms=terms):
            return Deed.AGREEMENT, terms.pseudonym, agreement_id(crypto, body.chain, terms)
        case Termination(agreement=agreement):
            return Deed.TERMINATION, b"", agreement
        case _:
            raise TypeError(f"payload: expected one about a patient, found {type(payload).__name__}")


class Trail:
    """The events of a chain, block by block from its beginning, and what they say of one another.

    ``patient`` keeps those that concern one patient alone; it is one of them if somebody names a record of the
    patient's as another's.
    """

    def __init__(self, crypto: Crypto, patient: bytes | None = None) -> None:
        self._crypto, self._patient = crypto, patient
        self.events: list[AuditEvent] = []
        self._consents: dict[bytes, bytes] = {}
        self._writes: dict[bytes, AuditEvent] = {}

    def follow(
        self,
        block: Block,
        reasons: Sequence[Reason],
        tx_ids: Sequence[bytes],
        certificate_of: Callable[[str], CertificateBody | None],
    ) -> None:
        """Take the next block."""

        def patient_of(consent: bytes) -> bytes:
            return self._consents.get(consent, b"")

        for event in list_events(self._crypto, block, reasons, tx_ids, certificate_of, patient_of):
            if event.deed in {Deed.CONSENT, Deed.AGREEMENT} and not event.reason:
                self._consents[event.record] = event.patient
            elif event.deed is Deed.WRITE and not event.reason:
                self._writes.setdefault(event.record, event)
            written = self.write_of(event)
            if self._patient in (None, event.patient, written and written.patient):
                self.events.append(event)

    def write_of(self, event: AuditEvent) -> AuditEvent | None:
        """The write of the record that an event names, if the chain holds one before it."""
        return self._writes.get(event.record)

    def is_misnamed(self, event: AuditEvent) -> bool:
        """Whether an event is about a record that is not this patient's, or of another kind; nobody gets it by that."""
        if event.deed not in {Deed.READ, Deed.ERASURE}:
            return False
        written = self.write_of(event)
        return written is None or written.patient != event.patient or event.kind not in (0, written.kind)
