"""Who may read whose records, what for, and how long: consents, and the accesses that they permit or deny.

A patient's consent is a transaction, in force from its block until it is withdrawn.  An access (a read, a search) is a
transaction, too: what ledger keepers make of it at its place in the chain is the audit event, denied tries included.
The words follow FHIR R4 (Consent, AuditEvent) and HL7's vocabulary PurposeOfUse where these have one.
"""

from enum import IntEnum, StrEnum
from typing import Annotated, Final

import msgspec

from ehrcore.types import Digest, Nanos, NodeId

MOST_PROVISIONS: Final = 16
MOST_NAMES: Final = 16

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


class Erasure(msgspec.Struct, frozen=True, array_like=True, tag="erase"):
    """The patient (or the authority for them) has a record's key destroyed; the chain stays as it is.

    ``record`` as in `Access`.
    """

    pseudonym: Digest
    record: Digest
