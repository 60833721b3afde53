"""A FHIR resource becomes the record that it is, with its own bytes, or is refused by name."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehrcore.errors import RecordError
from ehrcore.fhir import read_record
from ehrcore.records import FHIR_KINDS, RecordKind


def body_of(**fields: Any) -> bytes:
    return json.dumps(fields, indent=1).encode()


@pytest.mark.parametrize("name", FHIR_KINDS)
def test_every_listed_type_is_a_record_of_its_kind(name: str) -> None:
    body = body_of(resourceType=name, subject={"reference": "Patient/p1"})
    record = read_record(body)
    assert (record.kind, record.patient_id, record.resource_type) == (FHIR_KINDS[name], "p1", name)
    assert record.body is body


@pytest.mark.parametrize("member", ["subject", "patient", "beneficiary"])
@pytest.mark.parametrize("reference", ["Patient/p1", "urn:uuid:p1", "https://host/fhir/Patient/p1/_history/3", "p1"])
def test_the_patient_is_found_wherever_it_is_named(member: str, reference: str) -> None:
    assert read_record(body_of(resourceType="Claim", **{member: {"reference": reference}})).patient_id == "p1"


def test_a_patient_is_a_birth_and_after_its_end_a_death() -> None:
    born: dict[str, Any] = {"resourceType": "Patient", "id": "p1", "birthDate": "1970-01-01"}
    assert read_record(body_of(**born)).kind is RecordKind.BIRTH
    assert read_record(body_of(**born, deceasedBoolean=False)).kind is RecordKind.BIRTH
    assert read_record(body_of(**born, deceasedBoolean=True)).kind is RecordKind.DEATH
    assert read_record(body_of(**born, deceasedDateTime="2020-01-01")).kind is RecordKind.DEATH


def test_the_location_tells_of_the_content_alone() -> None:
    body = body_of(resourceType="Observation", id="Jane-Doe", subject={"reference": "Patient/Jane-Doe"})
    name = hashlib.sha256(body).hexdigest()[:32]
    assert read_record(body).location == f"/hospital/report-store/diagnostic-report/{name}.json"


def test_the_bytes_stay_as_they_came() -> None:
    """Spelling, order and a byte order mark are the author's; what is hashed is what was written."""
    body = b'\xef\xbb\xbf{ "subject" : {"reference":"Patient/p1"},"value":1.50,\r\n"resourceType":"Observation"}\n'
    assert read_record(body).body == body


NO_RECORDS = {
    "nothing": (b"", "expected a FHIR resource as JSON"),
    "no JSON": (b"<xml/>", "expected a FHIR resource as JSON"),
    "not UTF-8": (b'{"resourceType":"Claim","note":"\xff"}', "expected a FHIR resource as JSON"),
    "an array": (b"[]", "expected a FHIR resource as JSON"),
    "too deep": (b'{"a":' + b"[" * 100_000, "expected a FHIR resource as JSON"),
    "two documents": (b'{"resourceType":"Claim"}{}', "expected a FHIR resource as JSON"),
    "no type": (b"{}", "found no resourceType"),
    "a type that is no text": (b'{"resourceType":7}', "expected a FHIR resource as JSON"),
    "another type": (body_of(resourceType="Practitioner"), "found 'Practitioner'"),
    "a bundle": (body_of(resourceType="Bundle"), "found 'Bundle'; a bundle's entries are records"),
    "a patient without dates": (body_of(resourceType="Patient", id="p"), "found 'Patient'"),
    "a patient without id": (body_of(resourceType="Patient", birthDate="1970-01-01"), "expected a patient"),
    "nobody's": (body_of(resourceType="Medication"), "expected a patient (subject, patient, beneficiary)"),
    "a device's": (body_of(resourceType="Observation", subject={"reference": "Device/d1"}), "expected a patient"),
    "a contained one's": (body_of(resourceType="Observation", subject={"reference": "#p"}), "expected a patient"),
    "an odd subject": (body_of(resourceType="Observation", subject=5), "expected a FHIR resource as JSON"),
}


@pytest.mark.parametrize("name", NO_RECORDS)
def test_what_is_no_record_is_named_in_one_line(name: str) -> None:
    body, expected = NO_RECORDS[name]
    with pytest.raises(RecordError) as refused:
        read_record(body)
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)


@given(st.binary(max_size=200))
def test_no_bytes_are_worse_than_refused(body: bytes) -> None:
    with pytest.raises(RecordError):
        read_record(body)
