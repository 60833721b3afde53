"""Who may read whose records, what for, and how long: consents, and the accesses that they permit or deny.

A patient's consent is a transaction, in force from its block until it is withdrawn.  An access (a read, a search) is a
transaction, too: what ledger keepers make of it at its place in the chain is the audit event, denied tries included.
The words follow FHIR R4 (Consent, AuditEvent) and HL7's vocabulary PurposeOfUse where these have one.
"""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Annotated, Final

import msgspec

from ehrcore.forks import ForkedDict
from ehrcore.identity import Capacity, CertificateBody, Reason
from ehrcore.types import Digest, Nanos, NodeId

MOST_PROVISIONS: Final = 16
MOST_NAMES: Final = 16
#: Consents that one patient may have in force, and the provisions in all of them: all may have to be looked at.
MOST_CONSENTS: Final = 64
MOST_IN_FORCE: Final = 96

#: The agreement (`ehrcore.agreements`) that an act stands under, whose clauses then have to hold; empty for none.
AgreementId = Annotated[bytes, msgspec.Meta(max_length=32)]
Kind = Annotated[int, msgspec.Meta(ge=1, le=7)]
Organisation = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9.-]*\Z")]


class Purpose(StrEnum):
    """What an access is for (HL7 v3 PurposeOfUse)."""

    TREATMENT = "TREAT"
    EMERGENCY = "ETREAT"
    PAYMENT = "HPAYMT"
    OPERATIONS = "HOPERAT"
    RESEARCH = "HRESCH"
    PUBLIC_HEALTH = "PUBHLTH"
    PATIENT_REQUEST = "PATRQT"


class Action(IntEnum):
    """What is done with records."""

    READ = 1
    SEARCH = 2
    WRITE = 3


class Emergency(StrEnum):
    """Why the glass is broken: a code, since free text on a chain could name a person.  Empty: it is not."""

    NONE = ""
    UNCONSCIOUS = "unconscious"
    LIFE_THREATENED = "life-threatened"
    UNABLE_TO_CONSENT = "unable-to-consent"
    DANGER_TO_OTHERS = "danger-to-others"


class Provision(msgspec.Struct, frozen=True, array_like=True):
    """One rule of a consent (FHIR Consent.provision).  An empty tuple is no restriction, not even of who.

    ``subjects`` and ``organisations`` together say who: either is enough.  The period is half open.
    """

    is_permit: bool
    subjects: Annotated[tuple[NodeId, ...], msgspec.Meta(max_length=MOST_NAMES)]
    organisations: Annotated[tuple[Organisation, ...], msgspec.Meta(max_length=MOST_NAMES)]
    kinds: Annotated[tuple[Kind, ...], msgspec.Meta(max_length=7)]
    actions: Annotated[tuple[Action, ...], msgspec.Meta(max_length=3)]
    purposes: Annotated[tuple[Purpose, ...], msgspec.Meta(max_length=7)]
    not_before: Nanos
    not_after: Nanos


class Consent(msgspec.Struct, frozen=True, array_like=True, tag="consent"):
    """A patient's consent; its id is that of its transaction, whose author is the patient's own certificate."""

    pseudonym: Digest
    provisions: Annotated[tuple[Provision, ...], msgspec.Meta(min_length=1, max_length=MOST_PROVISIONS)]


class Withdrawal(msgspec.Struct, frozen=True, array_like=True, tag="withdraw"):
    """The patient withdraws a consent, from this transaction on."""

    consent: Digest


class Access(msgspec.Struct, frozen=True, array_like=True, tag="access"):
    """Somebody asks to read a record of a patient, or to search for records.

    ``record`` is the digest of the `RecordRef` as a struct (empty for a search), which whoever holds the record's key
    compares with the chain: kind and pseudonym are thereby those of the record.  ``kind`` 0 searches all kinds.
    """

    action: Action
    pseudonym: Digest
    kind: Annotated[int, msgspec.Meta(ge=0, le=7)]
    record: Annotated[bytes, msgspec.Meta(max_length=32)]
    purpose: Purpose
    emergency: Emergency = Emergency.NONE
    agreement: AgreementId = b""


class Erasure(msgspec.Struct, frozen=True, array_like=True, tag="erase"):
    """The patient (or the authority for them) has a record's key destroyed; the chain stays as it is.

    ``record`` as in `Access`.
    """

    pseudonym: Digest
    record: Digest


class Rule(StrEnum):
    """What a decision rests on."""

    OWN = "own"
    BREAK_GLASS = "break-glass"
    DENIAL = "denial"
    PERMISSION = "permission"
    ERASURE = "erasure"
    DEFAULT = "default"


class Decision(msgspec.Struct, frozen=True):
    """Whether something may be done, by which rule, and by which consent if it was one's provision."""

    reason: Reason
    rule: Rule
    consent: bytes = b""


#: A patient's consents in force with their ids, in the order in which they came into force.
Held = tuple[tuple[bytes, Consent], ...]


@dataclass(frozen=True, slots=True)
class ConsentBook:
    """What patients have decided: the consents in force, and the records erased.  No two consents share an id."""

    #: By patient; consents whose periods are over may be among them.
    held: ForkedDict[bytes, Held] = field(default_factory=lambda: ForkedDict(()))
    #: Whose consent it is, by the consent's id.
    patients: ForkedDict[bytes, bytes] = field(default_factory=lambda: ForkedDict(b""))
    #: The transaction that erased it, by patient and record.
    erased: ForkedDict[tuple[bytes, bytes], bytes] = field(default_factory=lambda: ForkedDict(b""))

    def fork(self) -> "ConsentBook":
        """An independent copy, in constant time."""
        return ConsentBook(self.held.fork(), self.patients.fork(), self.erased.fork())

    def is_erased(self, pseudonym: bytes, record: bytes) -> bool:
        """Whether the patient has had the record erased; ``record`` as in `Access`.

        A digest does not tell whose record it is: who goes by this must compare ``pseudonym`` with the record's.
        """
        return bool(self.erased.get((pseudonym, record)))

    def put(self, consent_id: bytes, consent: Consent, now: int) -> Reason:
        """Put a consent in force, unless as many are as may be; those whose periods are all over make room."""
        held = self.held.get(consent.pseudonym)
        kept = tuple(item for item in held if any(now < given.not_after for given in item[1].provisions))
        provisions = sum(len(given.provisions) for _, given in kept) + len(consent.provisions)
        if len(kept) >= MOST_CONSENTS or provisions > MOST_IN_FORCE:
            return Reason.TOO_MANY_CONSENTS
        for ended in set(held).difference(kept):
            self.patients[ended[0]] = b""
        self.held[consent.pseudonym] = (*kept, (consent_id, consent))
        self.patients[consent_id] = consent.pseudonym
        return Reason.ACCEPTED

    def withdraw(self, consent_id: bytes, pseudonym: bytes | None) -> Reason:
        """End a consent of the patient, or anyone's if ``pseudonym`` is None; another's is as unknown as none."""
        patient = self.patients.get(consent_id)
        if not patient or pseudonym not in (None, patient):
            return Reason.UNKNOWN_CONSENT
        self.held[patient] = tuple(item for item in self.held.get(patient) if item[0] != consent_id)
        self.patients[consent_id] = b""
        return Reason.ACCEPTED

    def erase(self, tx_id: bytes, erasure: Erasure) -> Reason:
        """Remember that a record is erased."""
        if self.is_erased(erasure.pseudonym, erasure.record):
            return Reason.ERASED
        self.erased[erasure.pseudonym, erasure.record] = tx_id
        return Reason.ACCEPTED


def decide(
    book: ConsentBook,
    certificate: CertificateBody,
    pseudonym: bytes,
    kind: int,
    action: Action,
    purpose: Purpose | None,
    emergency: Emergency,
    now: int,
) -> Decision:
    """Whether the holder of ``certificate`` may do this to the patient's records of ``kind`` (0: all kinds) at ``now``.

    Patients may do all to their own; a practitioner may break the glass; else one denial outweighs every permission,
    whichever consents they stand in; without either, writing is permitted and all else is not.  A write has no purpose
    (None), so a provision for some purposes says nothing of it.
    """
    if certificate.capacity is Capacity.PATIENT and certificate.pseudonym == pseudonym:
        return Decision(Reason.ACCEPTED, Rule.OWN)
    if emergency is not Emergency.NONE and certificate.capacity is Capacity.PRACTITIONER:
        return Decision(Reason.ACCEPTED, Rule.BREAK_GLASS)
    permitted_by = b""
    for consent_id, consent in book.held.get(pseudonym):
        for provision in consent.provisions:
            if not _covers(provision, certificate, kind, action, purpose, now):
                continue
            if not provision.is_permit:
                return Decision(Reason.DENIED, Rule.DENIAL, consent_id)
            permitted_by = permitted_by or consent_id
    if permitted_by:
        return Decision(Reason.ACCEPTED, Rule.PERMISSION, permitted_by)
    return Decision(Reason.ACCEPTED if action is Action.WRITE else Reason.NO_CONSENT, Rule.DEFAULT)


def _covers(
    given: Provision, who: CertificateBody, kind: int, action: Action, purpose: Purpose | None, now: int
) -> bool:
    """Whether a provision is about this.

    A search of all kinds is denied by the denial of any, and permitted only where kinds are not restricted.
    """
    return (
        given.not_before <= now < given.not_after
        and (not given.actions or action in given.actions)
        and (not given.purposes or purpose in given.purposes)
        and (not given.kinds or kind in given.kinds or (kind == 0 and not given.is_permit))
        and (
            not (given.subjects or given.organisations)
            or who.subject in given.subjects
            or who.organisation in given.organisations
        )
    )


def check_form(payload: object, digest_size: int) -> Reason:
    """Whether what a consent, an access or an erasure says fits together, on a chain of digests of this size."""
    match payload:
        case Consent(provisions=provisions):
            return Reason.ACCEPTED if all(map(_is_sound, provisions)) else Reason.MALFORMED_CONSENT
        case Access() as access:
            is_whole = {
                Action.READ: access.kind > 0 and len(access.record) == digest_size,
                Action.SEARCH: not access.record,
            }.get(access.action, False)
            is_fit = (access.emergency is Emergency.NONE) == (access.purpose is not Purpose.EMERGENCY)
            return Reason.ACCEPTED if is_whole and is_fit else Reason.MALFORMED_ACCESS
        case Erasure(record=record) if len(record) != digest_size:
            return Reason.MALFORMED_ACCESS
        case _:
            return Reason.ACCEPTED


def _is_sound(given: Provision) -> bool:
    """Whether a provision can ever be about anything: its period is not empty, and it asks no purpose of a write."""
    return given.not_before < given.not_after and not (given.purposes and given.actions == (Action.WRITE,))
