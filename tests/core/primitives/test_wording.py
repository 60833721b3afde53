"""Whatever can stand in a block has words."""

from typing import get_args

import pytest

from ehrcore.agreements import Agreement, Termination, Terms
from ehrcore.block import Bond, Enrolment, Evidence, Payload, RecordRef, Revocation, Statement, Unbond, VoteBody
from ehrcore.consent import Access, Action, Consent, Emergency, Erasure, Provision, Purpose, Withdrawal
from ehrcore.drafting import parse_clauses
from ehrcore.identity import FOREVER, Capacity, Cause, Certificate, CertificateBody
from ehrcore.types import Role
from ehrcore.wording import say_payload

ANNA, ONE, TWO = b"a" * 32, b"1" * 32, b"2" * 32
PROVISION = Provision(False, ("person-1",), ("ward-3",), (3,), (Action.READ,), (Purpose.RESEARCH,), 1, FOREVER)
PATIENT = CertificateBody(
    "net", 20, "person-1", Role.VISITOR, b"\x02" * 33, (), 0, 0, FOREVER, "", Capacity.PATIENT, ANNA, TWO
)
TERMS = Terms("person-1", "person-2", ANNA, parse_clauses({"clauses": [{"then": "permit"}]}), 0, 1, bytes(16))
VOTE = Statement(VoteBody(ONE, 1, 0, 1, b""), bytes(64))
GLASS = Access(Action.READ, ANNA, 3, ONE, Purpose.EMERGENCY, Emergency.UNCONSCIOUS)
SAID: tuple[tuple[Payload, str, str], ...] = (
    (RecordRef(3, ANNA, ONE, "/r/1", 1_234), "signed", "a record (bill, 1,234 bytes as it is stored)"),
    (GLASS, "asked", "to read a record (bill)"),
    (Access(Action.SEARCH, ANNA, 0, b"", Purpose.TREATMENT), "asked", "to search the records (all kinds)"),
    (Consent(ANNA, (PROVISION,)), "signed", "a consent"),
    (Withdrawal(ONE), "signed", "the withdrawal of a consent"),
    (Erasure(ANNA, ONE), "signed", "the erasure of a record, whose key is to be destroyed"),
    (Agreement(TERMS, bytes(64)), "signed", "an agreement of anna and person-2"),
    (Termination(ONE), "signed", "the end of an agreement"),
    (Enrolment(Certificate(PATIENT, bytes(64))), "ordered", "the enrolment of person-1, a patient"),
    (Revocation(20, Cause.KEY_COMPROMISE), "ordered", "the revocation of serial 20"),
    (Bond("administrator-0", 5), "ordered", "5 more of stake for administrator-0"),
    (Unbond("administrator-0", 5), "ordered", "5 less of stake for administrator-0"),
    (Evidence("administrator-0", VOTE, VOTE), "showed", "that administrator-0 has said two things in one place"),
)


@pytest.mark.parametrize(("payload", "deed", "about"), SAID)
def test_the_deed_comes_first_and_every_line_is_one(payload: Payload, deed: str, about: str) -> None:
    said = say_payload(payload, {"person-1": "anna"})
    assert said[0] == (deed, about)
    assert all(name and value and "\n" not in value for name, value in said)


def test_every_payload_has_words() -> None:
    assert {type(payload) for payload, _, _ in SAID} == set(get_args(Payload))


def test_a_provision_and_an_emergency_are_said_in_full() -> None:
    consent, access = dict(say_payload(Consent(ANNA, (PROVISION,)), {"person-1": "anna"})), dict(say_payload(GLASS))
    words = "DENIES anna or ward-3 to read records of bill for HRESCH from 1970-01-01T00:00:00Z"
    assert consent["provision"] == words
    assert (access["broke the glass"], access["purpose"]) == ("unconscious", "emergency treatment (ETREAT)")
