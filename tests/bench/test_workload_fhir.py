"""Anybody's FHIR files: bytes are kept as they are, whatever is malformed is named, nothing else is ever raised."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.workload import Skipped, load_folder
from bench.workload.fhir import MAX_BUNDLE_DEPTH, patient_of
from ehrcore.records import FHIR_KINDS, RecordKind

CLAIM = b'{"resourceType":"Claim","patient":{"reference":"Patient/p1"}}'
PATIENT = b'{"resourceType":"Patient","id":"p1","birthDate":"1970-01-01","deceasedBoolean":true}'
ORGANIZATION = b'{"resourceType":"Organization","id":"o1"}'

BAD_JSON = {
    "empty": b"",
    "white space": b" \n ",
    "truncated": CLAIM[:-1],
    "trailing": CLAIM + b"x",
    "two values": CLAIM + b" " + CLAIM,
    "array": b"[" + CLAIM + b"]",
    "string": b'"Claim"',
    "null": b"null",
    "no type": b'{"patient":{"reference":"Patient/p1"}}',
    "empty type": b'{"resourceType":""}',
    "null type": b'{"resourceType":null}',
    "numeric type": b'{"resourceType":5}',
    "type that is no name": b'{"resourceType":"Cl\\u0000aim\\n"}',
    "NaN": CLAIM[:-1] + b',"total":NaN}',
    "Infinity": CLAIM[:-1] + b',"total":-Infinity}',
    "single quotes": CLAIM.replace(b'"', b"'"),
    "control code in a string": CLAIM[:-1] + b',"a":"\x01"}',
    "Latin-1": CLAIM[:-1] + ',"a":"M\u00fcller"}'.encode("latin-1"),
    "UTF-16": CLAIM.decode().encode("utf-16"),
    "encoded surrogate": CLAIM[:-1] + b',"a":"\xed\xa0\x80"}',
    "null bytes": bytes(100),
    "deep arrays": CLAIM[:-1] + b',"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "deep objects": b'{"a":' * 200_000,
    "subject is a list": b'{"resourceType":"Claim","subject":[{"reference":"Patient/p1"}]}',
    "reference is a number": b'{"resourceType":"Claim","subject":{"reference":1}}',
    "id is a number": b'{"resourceType":"Patient","id":1,"birthDate":"1970-01-01"}',
    "entry is an object": b'{"resourceType":"Bundle","entry":{}}',
    "entry of numbers": b'{"resourceType":"Bundle","entry":[1]}',
    "resource is null": b'{"resourceType":"Bundle","entry":[{"resource":null}]}',
    "resource is a list": b'{"resourceType":"Bundle","entry":[{"resource":[]}]}',
}


def _bundle(*resources: bytes) -> bytes:
    return b'{"resourceType":"Bundle","type":"batch","entry":[%s]}' % b",".join(
        b'{"resource": %s }' % r for r in resources
    )


def _folder(where: Path, **files: bytes) -> Path:
    """A folder with files whose names have ``_`` for the dot of the ending."""
    for name, data in files.items():
        (where / name.replace("_", ".")).write_bytes(data)
    return where


# --- what becomes a record ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("resource_type", "kind"), FHIR_KINDS.items())
@pytest.mark.parametrize("member", ["subject", "patient", "beneficiary"])
def test_each_type_of_the_table_becomes_a_record_of_its_kind(tmp_path, resource_type, kind, member):
    body = json.dumps({"resourceType": resource_type, member: {"reference": "Patient/p1"}}).encode()
    (record,) = load_folder(_folder(tmp_path, a_json=body), strict=True).records
    assert (record.kind, record.patient_id, record.resource_type, record.body) == (kind, "p1", resource_type, body)


@pytest.mark.parametrize(
    ("members", "kinds"),
    [
        ({"birthDate": "1970"}, [RecordKind.BIRTH]),
        ({"birthDate": "1970", "deceasedBoolean": False}, [RecordKind.BIRTH]),
        ({"birthDate": "1970", "deceasedBoolean": True}, [RecordKind.BIRTH, RecordKind.DEATH]),
        ({"birthDate": "1970", "deceasedDateTime": "2020"}, [RecordKind.BIRTH, RecordKind.DEATH]),
        ({"deceasedDateTime": "2020"}, [RecordKind.DEATH]),
    ],
)
def test_a_patient_is_a_birth_and_perhaps_a_death(tmp_path, members, kinds):
    body = json.dumps({"resourceType": "Patient", "id": "p1", **members}).encode()
    records = load_folder(_folder(tmp_path, a_json=body), strict=True).records
    assert [record.kind for record in records] == kinds
    assert {record.body for record in records} == {body}
    assert len({record.location for record in records}) == len(kinds)


def test_what_is_no_record_is_counted_by_its_reason(tmp_path):
    lines = [
        CLAIM,
        CLAIM,
        ORGANIZATION,
        ORGANIZATION,
        b'{"resourceType":"Medication"}',
        b'{"resourceType":"Observation","subject":{"reference":"Device/d1"}}',
        b'{"resourceType":"Patient","id":"p1"}',
        b'{"resourceType":"Patient","birthDate":"1970-01-01"}',
    ]
    workload = load_folder(_folder(tmp_path, a_ndjson=b"\n".join(lines)), strict=True)
    assert len(workload.records) == 1
    assert workload.other_types == {"Organization": 2}
    assert workload.left_out == {
        "Claim: repeated body": 1,
        "Medication: no patient": 1,
        "Observation: no patient": 1,
        "Patient: neither birth nor death": 1,
        "Patient: no id": 1,
    }
    assert workload.skipped == ()


@pytest.mark.parametrize(
    ("reference", "patient"),
    [
        ("Patient/p1", "p1"),
        ("Patient/p1/_history/3", "p1"),
        ("urn:uuid:6b65fb8e-d6ef-4319-b3d3-da0323963272", "6b65fb8e-d6ef-4319-b3d3-da0323963272"),
        ("urn:oid:1.2.3", "1.2.3"),
        ("https://example.org/fhir/Patient/p1", "p1"),
        ("https://example.org/fhir/Patient/p1/_history/3", "p1"),
        ("p1", "p1"),
        ("Patient?identifier=http://example.org/mrn|7", "Patient?identifier=http://example.org/mrn|7"),
        ("Group?code=x", None),
        ("Group/g1", None),
        ("https://example.org/fhir/Device/d1", None),
        ("#p1", None),
        ("Patient/", None),
        ("urn:uuid:", None),
        ("", None),
    ],
)
def test_references(reference, patient):
    assert patient_of(reference) == patient


def test_the_urn_of_an_entry_leads_to_the_id_of_its_patient(tmp_path):
    urn = "urn:uuid:0000-1"
    claim = {"resource": {"resourceType": "Claim", "patient": {"reference": urn}}}
    patient = {"fullUrl": urn, "resource": {"resourceType": "Patient", "id": "p1", "birthDate": "1970"}}
    bundle = json.dumps({"resourceType": "Bundle", "entry": [claim, patient]}).encode()
    assert {record.patient_id for record in load_folder(_folder(tmp_path, a_json=bundle), strict=True).records} == {
        "p1"
    }


def test_a_patient_without_an_id_goes_by_its_urn(tmp_path):
    patient = {"fullUrl": "urn:uuid:0000-1", "resource": {"resourceType": "Patient", "birthDate": "1970"}}
    bundle = json.dumps({"resourceType": "Bundle", "entry": [patient]}).encode()
    (record,) = load_folder(_folder(tmp_path, a_json=bundle), strict=True).records
    assert record.patient_id == "0000-1"


def test_entries_without_a_resource_and_bundles_without_entries_are_valid(tmp_path):
    deletion = b'{"resourceType":"Bundle","entry":[{"request":{"method":"DELETE","url":"Claim/1"}}]}'
    files = {"a_json": deletion, "b_json": b'{"resourceType":"Bundle"}', "c_json": CLAIM}
    assert len(load_folder(_folder(tmp_path, **files), strict=True).records) == 1


def test_bundles_within_bundles_are_opened_in_order(tmp_path):
    claims = [CLAIM[:-1] + b',"id":"%d"}' % number for number in range(4)]
    nested = _bundle(claims[0], _bundle(claims[1], _bundle(claims[2])), claims[3])
    assert [r.body for r in load_folder(_folder(tmp_path, a_json=nested), strict=True).records] == claims


@pytest.mark.parametrize(("depth", "kept"), [(MAX_BUNDLE_DEPTH, 2), (MAX_BUNDLE_DEPTH + 1, 1), (300, 1)])
def test_bundles_nested_too_deeply_are_named_and_the_rest_is_kept(tmp_path, depth, kept):
    nested = CLAIM
    for _ in range(depth):
        nested = _bundle(nested)
    workload = load_folder(_folder(tmp_path, a_json=nested, b_json=PATIENT[:-5] + b"false}"), strict=False)
    assert len(workload.records) == kept
    too_deep = Skipped("a.json" + "#entry/0" * MAX_BUNDLE_DEPTH, f"bundles nested more than {MAX_BUNDLE_DEPTH} deep")
    assert workload.skipped == ((too_deep,) if kept == 1 else ())


# --- bytes ------------------------------------------------------------------------------------------------------

ODD = (
    '{ "a" : "M\u00fcller \u60a3\u8005 \U0001f9ec \\u00e9\\/" ,\r\n\t"resourceType":"Claim", "total":1.50e+02,'
    ' "total" : 2,\n "patient":{"reference":"Patient/p1"}  }'
).encode()


def test_a_file_is_kept_to_the_last_byte(tmp_path):
    data = b"\xef\xbb\xbf  " + ODD + b"\r\n\n"
    (record,) = load_folder(_folder(tmp_path, a_json=data), strict=True).records
    assert record.body == data


def test_a_resource_in_a_bundle_is_the_exact_slice_of_the_file(tmp_path):
    (record,) = load_folder(_folder(tmp_path, a_json=_bundle(ODD)), strict=True).records
    assert record.body == ODD


def test_a_line_is_kept_without_its_end(tmp_path):
    other = b"  " + CLAIM + b"\t"
    data = b"\xef\xbb\xbf" + CLAIM + b"\r\n\n  \r\n" + other
    records = load_folder(_folder(tmp_path, a_ndjson=data), strict=True).records
    assert [record.body for record in records] == [CLAIM, other]


def test_unicode_line_separators_do_not_end_a_line(tmp_path):
    line = CLAIM[:-1] + ',"a":"x\u2028y\u0085z"}'.encode()
    (record,) = load_folder(_folder(tmp_path, a_ndjson=line + b"\n"), strict=True).records
    assert record.body == line


@pytest.mark.parametrize("wrap", [lambda body: body, _bundle])
def test_a_resource_of_750_kb(tmp_path, wrap):
    body = CLAIM[:-1] + b',"data":"' + "\u00e9".encode() * 384_000 + b'"}'
    assert len(body) > 750 * 1024
    (record,) = load_folder(_folder(tmp_path, a_json=wrap(body)), strict=True).records
    assert record.body == body


@given(st.text(), st.integers(), st.sampled_from([None, 0, 3]), st.booleans())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_bundle_holds_comes_back_byte_for_byte(tmp_path, text, number, indent, ascii_only):
    resource = {"resourceType": "Claim", "note": text, "n": number, "patient": {"reference": "Patient/p1"}}
    body = json.dumps(resource, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    (record,) = load_folder(_folder(tmp_path, a_json=_bundle(body)), strict=True).records
    assert record.body == body


# --- what is malformed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BAD_JSON)
def test_a_malformed_file_is_named_and_skipped(tmp_path, name):
    workload = load_folder(_folder(tmp_path, a_json=BAD_JSON[name], b_json=CLAIM), strict=False)
    assert [record.body for record in workload.records] == [CLAIM]
    (skipped,) = workload.skipped
    assert skipped.path in {"a.json", "a.json#entry/0"}
    assert skipped.reason
    assert "\n" not in skipped.reason


@pytest.mark.parametrize("name", BAD_JSON)
def test_a_malformed_file_is_refused_if_the_caller_is_strict(tmp_path, name):
    with pytest.raises(BenchError, match=r"/a\.json(#entry/0)?: [^\n]+\Z"):
        load_folder(_folder(tmp_path, a_json=BAD_JSON[name], b_json=CLAIM), strict=True)


@pytest.mark.parametrize("name", [name for name, data in BAD_JSON.items() if data.strip() and b"\n" not in data])
def test_a_malformed_line_is_named_by_its_number(tmp_path, name):
    data = CLAIM + b"\n\n" + BAD_JSON[name] + b"\n" + PATIENT
    workload = load_folder(_folder(tmp_path, a_ndjson=data), strict=False)
    assert [record.body for record in workload.records] == [CLAIM, PATIENT, PATIENT]
    assert [skipped.path.partition("#")[0] for skipped in workload.skipped] == ["a.ndjson:3"]
    with pytest.raises(BenchError, match=r"/a\.ndjson:3"):
        load_folder(tmp_path, strict=True)


def test_a_malformed_entry_leaves_the_others_of_its_bundle(tmp_path):
    data = _bundle(CLAIM, b'{"id":"1"}', PATIENT)
    workload = load_folder(_folder(tmp_path, a_json=data), strict=False)
    assert len(workload.records) == 3
    assert workload.skipped == (Skipped("a.json#entry/1", "no resourceType"),)


def test_reasons_tell_nothing_of_what_the_record_says(tmp_path):
    data = CLAIM[:-1] + b',"note":"secret diagnosis'
    workload = load_folder(_folder(tmp_path, a_json=data, b_json=CLAIM), strict=False)
    assert "secret" not in workload.skipped[0].reason


valid = _bundle(CLAIM, PATIENT, ORGANIZATION, ODD)
mutations = st.builds(
    lambda at, cut, put: valid[:at] + put + valid[at + cut :],
    st.integers(0, len(valid)),
    st.integers(0, 12),
    st.binary(max_size=6) | st.sampled_from([b"NaN", b"{", b"]", b"null", b'"', b"1e999999", b"\\ud800"]),
)


@given(st.binary(max_size=60) | mutations, st.sampled_from(["json", "ndjson", "JSON"]), st.booleans())
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_whatever_raise_anything_but_a_bench_error(tmp_path_factory, data, ending, strict):
    folder = tmp_path_factory.mktemp("any")
    (folder / f"a.{ending}").write_bytes(data)
    (folder / "b.json").write_bytes(CLAIM)
    with contextlib.suppress(BenchError) if strict else contextlib.nullcontext():
        workload = load_folder(folder, strict=strict)
        assert all(record.body in data or record.body == CLAIM for record in workload.records)
        assert all(f"{skipped.path}: {skipped.reason}".isprintable() for skipped in workload.skipped)
        assert not (strict and workload.skipped)
