"""What a FHIR R4 resource (JSON) tells the framework: which kind of record it is, and whose.

Only the few members that say so are looked at; what becomes the record are the bytes as they came.
Sources: FHIR R4 sections 2.3 (references), 2.6.2 (JSON), 2.36 (bundles).
"""

from typing import Final, TypeVar

import msgspec

from ehrcore.errors import RecordError
from ehrcore.records import FHIR_KINDS, ClinicalRecord, RecordKind, make_record

#: RFC 8259 lets a reader pass over it; it belongs to the record's bytes all the same.
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
URN: Final = "urn:"

T = TypeVar("T")


class Reference(msgspec.Struct):
    """A reference to another resource."""

    reference: str | None = None


class Clinical(msgspec.Struct):
    """Members that name the patient, in the order in which they are asked."""

    subject: Reference | None = None
    patient: Reference | None = None
    beneficiary: Reference | None = None

    def patient_id(self) -> str | None:
        """Whose record this is, if it says so."""
        references = (given.reference for given in (self.subject, self.patient, self.beneficiary) if given)
        return next(filter(None, map(patient_of, filter(None, references))), None)


class Patient(msgspec.Struct, rename="camel"):
    """A patient is the record of a birth and, once it says so, of a death."""

    id: str | None = None
    birth_date: str | None = None
    deceased_boolean: bool | None = None
    deceased_date_time: str | None = None

    def kinds(self) -> list[RecordKind]:
        """What it is the record of, death last."""
        has_died = self.deceased_boolean or self.deceased_date_time
        return [RecordKind.BIRTH] * bool(self.birth_date) + [RecordKind.DEATH] * bool(has_died)


class _Typed(msgspec.Struct, rename="camel"):
    resource_type: str = ""


def read_record(body: bytes) -> ClinicalRecord:
    """The one record that a resource is; a patient who died is the record of a death, else of a birth.

    `RecordError` for bytes that are no FHIR JSON, of none of the kinds, or that name no patient.
    """
    name = _decode(body, _Typed).resource_type
    if name == "Patient":
        patient = _decode(body, Patient)
        kinds, patient_id = patient.kinds()[-1:], patient.id
    else:
        kinds, patient_id = [FHIR_KINDS[name]] if name in FHIR_KINDS else [], _decode(body, Clinical).patient_id()
    if not kinds:
        hint = "; a bundle's entries are records, each in a file of its own" if name == "Bundle" else ""
        found = repr(name[:64]) if name else "no resourceType"
        raise RecordError(f"expected a resource of one of the record kinds, found {found}{hint}")
    if not patient_id:
        raise RecordError(f"expected a patient (subject, patient, beneficiary), found none in this {name}")
    return make_record(kinds[0], patient_id, name, body)


def _decode(body: bytes, shape: type[T]) -> T:
    try:
        text = body.removeprefix(BYTE_ORDER_MARK)
        text.decode()  # the parser does not look into strings that it passes over
        return msgspec.json.decode(text, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(f"expected a FHIR resource as JSON, found: {' '.join(str(error).split())}") from None


def patient_of(reference: str) -> str | None:
    """The patient's id in a FHIR reference, or None if it names something else or nothing that can be found.

    ``Patient/p1``, ``urn:uuid:...``, ``https://host/fhir/Patient/p1`` and any of them with ``/_history/n`` are
    understood; ``Device/d1`` and ``#contained`` name no patient.
    """
    if reference.startswith(URN):
        return reference.rpartition(":")[2] or None
    if "?" in reference:  # conditional, as in a transaction: the search itself is all there is to tell patients apart
        return reference if reference.startswith("Patient?") else None
    parts = reference.partition("/_history/")[0].split("/")
    if reference.startswith("#") or (len(parts) > 1 and parts[-2] != "Patient"):
        return None
    return parts[-1] or None
