"""A consent survives FHIR both ways; what would be lost is refused, and every time is exact."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from fhir.resources.R4B.consent import Consent as Standard
from hypothesis import given, settings
from hypothesis import strategies as st

from ehrcore.consent import Action, Consent, Provision, Purpose
from ehrcore.errors import RecordError
from ehrcore.fhir_consent import read_consent, write_consent
from ehrcore.fhir_time import count_days, find_date, format_end, format_instant, parse_span
from ehrcore.identity import FOREVER
from ehrcore.types import SECOND

PATIENT = b"\1" * 32
NAMES = st.lists(st.sampled_from(["a", "person-0a", "visitor-0", "x" * 64]), max_size=3, unique=True).map(tuple)


def some(values: Any) -> st.SearchStrategy[Any]:
    return st.lists(st.sampled_from(list(values)), max_size=3, unique=True).map(tuple)


@st.composite
def provisions(draw: st.DrawFn) -> Provision:
    start = draw(st.one_of(st.just(0), st.integers(1, FOREVER - 2)))
    end = draw(st.one_of(st.just(FOREVER), st.integers(start + 1, FOREVER - 1)))
    actions = draw(some(Action))
    purposes = () if actions == (Action.WRITE,) else draw(some(Purpose))
    return Provision(
        draw(st.booleans()), draw(NAMES), draw(NAMES), draw(some(range(1, 8))), actions, purposes, start, end
    )


CONSENTS = st.builds(
    Consent, st.binary(min_size=16, max_size=32), st.lists(provisions(), min_size=1, max_size=4).map(tuple)
)


@settings(max_examples=60, deadline=None)
@given(CONSENTS)
def test_a_consent_survives_fhir_and_is_fhir(consent: Consent) -> None:
    text = json.dumps(write_consent(consent, b"\2" * 32, 5 * SECOND))
    assert read_consent(text.encode()) == consent
    Standard.model_validate_json(text)


def test_a_withdrawn_consent_is_written_as_such_and_not_given_again() -> None:
    consent = Consent(PATIENT, (Provision(True, (), (), (), (), (), 0, FOREVER),))
    written = write_consent(consent, b"\2" * 32, 0, is_in_force=False)
    assert Standard.model_validate(written).status == "inactive"
    with pytest.raises(RecordError, match="status"):
        read_consent(json.dumps(written).encode())


def resource(**changes: Any) -> dict[str, Any]:
    whole = Provision(True, ("person-a",), ("mercy",), (2,), (Action.READ,), (Purpose.TREATMENT,), 5, 9)
    given_ = write_consent(Consent(PATIENT, (whole,)), b"\2" * 32, 0)
    given_["provision"]["provision"][0] |= {key[2:]: value for key, value in changes.items() if key.startswith("p_")}
    given_ |= {key: value for key, value in changes.items() if not key.startswith("p_")}
    return {key: value for key, value in given_.items() if value is not ...}


OTHER = {"system": "http://example.org", "code": "x"}
ACTOR = {"role": {"text": "any"}, "reference": {"reference": "Practitioner/1"}}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another resource": ({"resourceType": "Patient"}, "resourceType"),
    "a draft": ({"status": "draft"}, "status"),
    "no policy": ({"policyRule": ...}, "policyRule"),
    "a policy elsewhere": ({"policy": [{"uri": "http://example.org"}]}, "policy"),
    "opting out": ({"policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                                               "code": "OPTOUT"}]}}, "policyRule: expected .*OPTIN, found .*OPTOUT"),
    "another scope": ({"scope": {"coding": [OTHER]}}, "scope: expected"),
    "a rule that is not understood": ({"implicitRules": "http://example.org"}, "implicitRules"),
    "a modifier": ({"modifierExtension": []}, "modifierExtension"),
    "no provision": ({"provision": {"provision": []}}, "length >= 1"),
    "a typed root": ({"provision": {"type": "permit"}}, "provision"),
    "a provision without a type": ({"provision": {"provision": [{}]}}, "type"),
    "a security label": ({"p_securityLabel": [OTHER]}, "securityLabel"),
    "a period of the data": ({"p_dataPeriod": {}}, "dataPeriod"),
    "certain data": ({"p_data": []}, "data"),
    "a code": ({"p_code": []}, "code"),
    "deeper provisions": ({"p_provision": [{"type": "deny"}]}, "provision"),
    "an extension of a type": ({"p__type": {}}, "_type"),
    "an action of another system": ({"p_action": [{"coding": [OTHER]}]}, "provision 0: action: expected a code of"),
    "two codes of one action": ({"p_action": [{"coding": [OTHER, OTHER]}]}, "length <= 1"),
    "a purpose of another system": ({"p_purpose": [OTHER]}, "provision 0: purpose: expected"),
    "a class of another system": ({"p_class": [OTHER]}, "provision 0: class: expected"),
    "an actor by address": ({"p_actor": [ACTOR]}, "provision 0: actor: expected"),
    "an actor's bad name": ({"p_actor": [{"role": {}, "reference": {"identifier": {"system": "urn:x-ehrcore:subject",
                                                                                   "value": "A B"}}}]}, "can hold"),
    "no time": ({"p_period": {"start": "soon"}}, "provision 0: period: expected a dateTime"),
    "a period that ends first": ({"p_period": {"start": "2026", "end": "2025"}}, "malformed-consent"),
    "writes for a purpose": ({"p_action": [{"coding": [{"system": "http://hl7.org/fhir/restful-interaction",
                                                       "code": "create"}]}]}, "malformed-consent"),
    "no patient": ({"patient": ...}, "patient: expected an identifier"),
    "a patient by name": ({"patient": {"reference": "Patient/p1"}}, "patient: expected an identifier"),
    "a patient of no digits": ({"patient": {"identifier": {"system": "urn:x-ehrcore:pseudonym", "value": "p1"}}},
                               "patient: expected hexadecimal"),
    "a patient of few digits": ({"patient": {"identifier": {"system": "urn:x-ehrcore:pseudonym", "value": "00"}}},
                                "can hold"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    changes, told = REFUSED[name]
    with pytest.raises(RecordError, match=told) as caught:
        read_consent(json.dumps(resource(**changes)).encode())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"resourceType":"Consent"}'])
def test_bytes_that_are_no_consent_are_refused(body: bytes) -> None:
    with pytest.raises(RecordError, match="consent: expected a FHIR Consent that fits, found: "):
        read_consent(body)


def test_who_signs_says_whose_consent_it_is() -> None:
    by_name = json.dumps(resource(patient={"reference": "Patient/p1"})).encode()
    assert read_consent(by_name, PATIENT).pseudonym == PATIENT
    with pytest.raises(RecordError, match="patient: expected the pseudonym of who gives the consent, found another"):
        read_consent(json.dumps(resource()).encode(), b"\7" * 32)


# -- time --------------------------------------------------------------------------------------------------------------


@given(st.dates(date(1, 1, 1), date(9999, 12, 31)))
def test_days_are_those_of_the_calendar(day: date) -> None:
    days = (day - date(1970, 1, 1)).days
    assert (count_days(day.year, day.month, day.day), find_date(days)) == (days, (day.year, day.month, day.day))


@given(st.integers(0, FOREVER // 1_000 - 1))
def test_an_instant_is_written_as_the_library_writes_it(micros: int) -> None:
    wanted = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    text = format_instant(micros * 1_000)
    assert datetime.fromisoformat(text[:26] + "+00:00" if "." in text else text) == wanted


@given(st.integers(0, FOREVER - 1))
def test_a_start_and_an_end_are_read_to_the_nanosecond(at: int) -> None:
    assert parse_span(format_instant(at))[0] == at
    assert parse_span(format_end(at + 1))[1] == at + 1


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2024", "2024-01-01T00:00:00+00:00", "2025-01-01T00:00:00+00:00"),
        ("2024-02", "2024-02-01T00:00:00+00:00", "2024-03-01T00:00:00+00:00"),
        ("2024-12", "2024-12-01T00:00:00+00:00", "2025-01-01T00:00:00+00:00"),
        ("2024-02-29", "2024-02-29T00:00:00+00:00", "2024-03-01T00:00:00+00:00"),
        ("2024-12-31", "2024-12-31T00:00:00+00:00", "2025-01-01T00:00:00+00:00"),
        ("2024-06-30T23:59:60Z", "2024-07-01T00:00:00+00:00", "2024-07-01T00:00:01+00:00"),
        ("2024-01-01T00:30:00.5+01:00", "2023-12-31T23:30:00.500+00:00", "2023-12-31T23:30:00.600+00:00"),
        ("2024-01-01T00:30:00-14:00", "2024-01-01T14:30:00+00:00", "2024-01-01T14:30:01+00:00"),
        ("1066", "1970-01-01T00:00:00+00:00", "1970-01-01T00:00:00+00:00"),
    ],
)
def test_a_partial_time_is_all_of_it(text: str, start: str, end: str) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    wanted = tuple((datetime.fromisoformat(item) - epoch) // timedelta(microseconds=1) * 1_000 for item in (start, end))
    assert parse_span(text) == wanted
    assert parse_span("9999")[1] == FOREVER


@pytest.mark.parametrize(
    "text",
    ["", "0000", "24", "2024-13", "2024-00", "2024-1", "2023-02-29", "2024-04-31", "2024-01-01T24:00:00Z",
     "2024-01-01T10", "2024-01-01 10:00:00Z",
     "2024-01-01T10:00:00", "2024-01-01T10:00:61Z", "2024-01-01T10:60:00Z", "2024-01-01T10:00:00.Z",
     "2024-01-01T10:00:00.0123456789Z", "2024-01-01T10:00:00+14:01", "2024-01-01T10:00:00+10", "２０２４", "2024\n"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(RecordError, match="expected a dateTime with at most nine decimals, found "):
        parse_span(text)
