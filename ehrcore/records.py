"""Health records as the framework sees them: a kind, a patient, and raw bytes that stay off the chain.

The kinds follow the paper's list (section 3): medications, diagnostic reports, bills, insurance policies,
births and deaths; sensor readings are the ECDSA-signed streams of its abstract.
"""

import hashlib
from enum import IntEnum
from typing import Final

import msgspec

#: Where off-chain storage keeps records; the paper's look-up contract binds such a path to a digest.
STORE_ROOT: Final = "/hospital/report-store"


class RecordKind(IntEnum):
    """What a record is about; the number is its canonical encoding."""

    MEDICATION = 1
    DIAGNOSTIC_REPORT = 2
    BILL = 3
    INSURANCE = 4
    BIRTH = 5
    DEATH = 6
    SENSOR = 7


def kind_word(kind: int) -> str:
    """A kind in words, such as ``diagnostic-report``."""
    return RecordKind(kind).name.lower().replace("_", "-")


class ClinicalRecord(msgspec.Struct, frozen=True):
    """One off-chain object, before it is stored: never sent over the chain itself.

    ``body`` is hashed as the raw bytes it came as; ``location`` is the path under which storage keeps it and must
    not contain personal data; ``patient_id`` is replaced by a pseudonym before anything leaves the visitor.
    """

    kind: RecordKind
    patient_id: str
    resource_type: str
    location: str
    body: bytes


#: FHIR R4 resource types that carry one of the paper's kinds.  A `Patient` resource yields a birth, and a death
#: if it says so; types that are not listed are none of the paper's kinds.
FHIR_KINDS: Final[dict[str, RecordKind]] = {
    "Medication": RecordKind.MEDICATION,
    "MedicationAdministration": RecordKind.MEDICATION,
    "MedicationDispense": RecordKind.MEDICATION,
    "MedicationRequest": RecordKind.MEDICATION,
    "MedicationStatement": RecordKind.MEDICATION,
    "Immunization": RecordKind.MEDICATION,
    "DiagnosticReport": RecordKind.DIAGNOSTIC_REPORT,
    "DocumentReference": RecordKind.DIAGNOSTIC_REPORT,
    "ImagingStudy": RecordKind.DIAGNOSTIC_REPORT,
    "Observation": RecordKind.DIAGNOSTIC_REPORT,
    "Claim": RecordKind.BILL,
    "Invoice": RecordKind.BILL,
    "Coverage": RecordKind.INSURANCE,
    "ExplanationOfBenefit": RecordKind.INSURANCE,
}


def make_record(kind: RecordKind, patient_id: str, resource_type: str, body: bytes) -> ClinicalRecord:
    """A record located by its kind and content.

    The location is written to the chain, so it is made of nothing but the kind and the body's hash: file names and
    resource ids often hold a patient's name or number.
    """
    location = f"{STORE_ROOT}/{kind_word(kind)}/{hashlib.sha256(body).hexdigest()[:32]}.json"
    return ClinicalRecord(kind, patient_id, resource_type, location, body)


#: How the location of a sealed record ends.
SEALED: Final = ".sealed"


def locate(kind: RecordKind, sealed_digest: str) -> str:
    """Where a sealed record lies: by kind and SHA-256 (hex) of the sealed object, whatever the chain's suite."""
    return f"{STORE_ROOT}/{kind_word(kind)}/{sealed_digest}{SEALED}"
