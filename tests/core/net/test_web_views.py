"""JSON in and out: every transaction about a record has one text, and nothing but it is taken."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehrcore.block import (
    LOCATION_CHARS,
    Attestation,
    OrdererCertificate,
    RecordRef,
    Revocation,
    StakeCertificate,
    Transaction,
    TransactionBody,
    WorkCertificate,
)
from ehrcore.codec import decode, encode
from ehrcore.drive.net.web.problems import PROBLEMS, REASONS, ProblemError
from ehrcore.drive.net.web.views import (
    DIGEST_PATTERN,
    CertificateView,
    KindName,
    TransactionView,
    certificate_view,
    decode_transaction,
    parse_transaction,
    payload_kind,
    transaction_view,
)
from ehrcore.errors import CodecError, ParameterError
from ehrcore.identity import Reason
from ehrcore.records import RecordKind

DIGESTS = st.binary(min_size=16, max_size=32)
RECORDS = st.builds(
    RecordRef,
    st.sampled_from(list(RecordKind)).map(int),
    DIGESTS,
    DIGESTS,
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=LOCATION_CHARS),
    st.integers(0, (1 << 48) - 1),
)
BODIES = st.builds(
    TransactionBody,
    DIGESTS,
    st.from_regex(r"\A[a-z][a-z0-9-]{0,63}\Z"),
    st.integers(0, (1 << 53) - 1),
    st.integers(0, (1 << 63) - 1),
    RECORDS,
)
TRANSACTIONS = st.builds(Transaction, BODIES, st.binary(min_size=64, max_size=64))
RECORD: dict[str, Any] = {
    "kind": "diagnostic-report",
    "pseudonym": "5e" * 32,
    "digest": "d1" * 32,
    "location": "fhir/DiagnosticReport/1",
    "size_bytes": 1_024,
}
GOOD: dict[str, Any] = {
    "chain": "c4" * 32,
    "author": "visitor-0",
    "nonce": 7,
    "submitted_at": 1_767_225_600_123_456_789,
    "record": RECORD,
    "signature": "00" * 64,
}


@given(tx=TRANSACTIONS)
def test_a_transaction_survives_its_text(tx: Transaction) -> None:
    text = msgspec.json.encode(transaction_view(tx))
    found = decode_transaction(text)
    assert found == tx
    assert decode(encode(found), Transaction) == tx


@given(view=TRANSACTIONS.map(transaction_view))
def test_a_view_survives_its_transaction(view: TransactionView) -> None:
    assert transaction_view(parse_transaction(view)) == view


def test_what_is_written_by_hand_is_read() -> None:
    tx = decode_transaction(msgspec.json.encode(GOOD))
    assert tx == Transaction(
        TransactionBody(
            b"\xc4" * 32,
            "visitor-0",
            7,
            1_767_225_600_123_456_789,
            RecordRef(2, b"\x5e" * 32, b"\xd1" * 32, "fhir/DiagnosticReport/1", 1_024),
        ),
        bytes(64),
    )


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


BAD: dict[str, Any] = {
    "not an object": [],
    "null": None,
    **{f"no {name}": without(name) for name in GOOD},
    **{f"null {name}": GOOD | {name: None} for name in GOOD},
    "unknown field": GOOD | {"note": ""},
    "unknown field of the record": GOOD | {"record": RECORD | {"note": ""}},
    "upper-case chain": GOOD | {"chain": "C4" * 32},
    "chain of odd length": GOOD | {"chain": "c" * 63},
    "chain too short": GOOD | {"chain": "c4" * 15},
    "chain too long": GOOD | {"chain": "c4" * 33},
    "chain with a space": GOOD | {"chain": "c4 " * 20 + "c4c4"},
    "chain with a newline": GOOD | {"chain": "c4" * 31 + "\n"},
    "chain with a long newline": GOOD | {"chain": "c4" * 31 + "c\n"},
    "chain of other digits": GOOD | {"chain": "\u0661" * 64},
    "short signature": GOOD | {"signature": "00" * 63},
    "long signature": GOOD | {"signature": "00" * 65},
    "signature with a newline": GOOD | {"signature": "00" * 63 + "0\n"},
    "empty author": GOOD | {"author": ""},
    "author in capitals": GOOD | {"author": "Visitor-0"},
    "author with a newline": GOOD | {"author": "visitor-0\n"},
    "long author": GOOD | {"author": "v" * 65},
    "negative nonce": GOOD | {"nonce": -1},
    "nonce out of range": GOOD | {"nonce": 1 << 53},
    "nonce as text": GOOD | {"nonce": "7"},
    "nonce as a float": GOOD | {"nonce": 7.0},
    "nonce as a flag": GOOD | {"nonce": True},
    "huge nonce": GOOD | {"nonce": 1 << 80},
    "negative time": GOOD | {"submitted_at": -1},
    "time out of range": GOOD | {"submitted_at": 1 << 63},
    "unknown kind": GOOD | {"record": RECORD | {"kind": "receipt"}},
    "kind in capitals": GOOD | {"record": RECORD | {"kind": "DIAGNOSTIC_REPORT"}},
    "kind as a number": GOOD | {"record": RECORD | {"kind": 2}},
    "negative size": GOOD | {"record": RECORD | {"size_bytes": -1}},
    "empty location": GOOD | {"record": RECORD | {"location": ""}},
    "long location": GOOD | {"record": RECORD | {"location": "x" * (LOCATION_CHARS + 1)}},
}


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
def test_anything_else_is_refused_in_one_line(value: Any) -> None:
    with pytest.raises(CodecError) as caught:
        decode_transaction(msgspec.json.encode(value))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("transaction: expected")


BAD_TEXTS = {
    "empty": b"",
    "cut short": msgspec.json.encode(GOOD)[:-1],
    "followed by something": msgspec.json.encode(GOOD) + b"x",
    "deep": b'{"chain":' + b"[" * 60_000,
    "bytes that are no text": b'{"chain":"\xff\xfe"}',
    "half a character": msgspec.json.encode(GOOD).replace(b"fhir/DiagnosticReport/1", b"\\ud800"),
    "NaN": msgspec.json.encode(GOOD).replace(b":7,", b":NaN,"),
    "UTF-16": msgspec.json.encode(GOOD).decode().encode("utf-16"),
}


@pytest.mark.parametrize("data", BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_text_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        decode_transaction(data)


@given(data=st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with pytest.raises(CodecError):
        decode_transaction(data)


@given(text=st.text("0123456789abcdefABCDEFgx \n\r", max_size=70))
def test_digests_are_lower_case_pairs_and_nothing_more(text: str) -> None:
    is_digest = not set(text) - set("0123456789abcdef") and len(text) % 2 == 0 and 32 <= len(text) <= 64
    assert bool(re.search(DIGEST_PATTERN, text)) == is_digest


def test_every_kind_of_record_has_a_name() -> None:
    assert [kind.name for kind in KindName] == [kind.name for kind in RecordKind]
    for kind in RecordKind:
        assert KindName[kind.name].value == kind.name.lower().replace("_", "-")


def test_an_order_of_the_authority_has_no_text_but_a_kind() -> None:
    order = Transaction(TransactionBody(bytes(32), "authority-0", 0, 0, Revocation(1)), bytes(64))
    with pytest.raises(ParameterError, match="expected one about a record, found Revocation"):
        transaction_view(order)
    assert payload_kind(order) == "revocation"


def test_a_certificate_names_its_rule_and_who_signed() -> None:
    votes = (Attestation("administrator-0", bytes(64)), Attestation("administrator-2", bytes(64)))
    assert certificate_view(StakeCertificate(0, votes), "administrator-1") == CertificateView(
        "pos", ("administrator-0", "administrator-2"), 0
    )
    assert certificate_view(OrdererCertificate(bytes(64)), "administrator-0") == CertificateView(
        "single", ("administrator-0",), 0
    )
    assert certificate_view(WorkCertificate(()), "administrator-0") == CertificateView("pow", (), 0)


def test_every_reason_is_a_problem_and_no_fault_of_the_node() -> None:
    assert set(REASONS) == set(Reason) - {Reason.ACCEPTED}
    for reason, (status, _) in REASONS.items():
        assert 400 <= status < 500
        view = ProblemError.refused(reason, "why").view()
        assert (view.slug, view.status, view.reason) == (f"/problems/{reason.value}", status, reason.value)


def test_only_the_nodes_own_troubles_are_server_errors() -> None:
    assert {slug for slug, (status, _) in PROBLEMS.items() if status >= 500} == {"internal", "unavailable"}
