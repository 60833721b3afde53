"""The digest tells any two sequences of records apart; the summary gives sizes that occur."""

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.workload import build_workload, compute_digest, make_record
from bench.workload.model import SizeRow, require_range
from ehrcore.records import ClinicalRecord, RecordKind

RECORD = make_record(RecordKind.BILL, "p1", "Claim", b'{"resourceType":"Claim"}')

records = st.builds(
    ClinicalRecord,
    st.sampled_from(RecordKind),
    st.text(max_size=4),
    st.text(max_size=4),
    st.text(max_size=4),
    st.binary(max_size=4),
)


def test_location_holds_kind_and_body_hash_and_nothing_personal():
    record = make_record(RecordKind.DIAGNOSTIC_REPORT, "Jane-Doe-19700101", "Observation", b"body")
    expected = hashlib.sha256(b"body").hexdigest()[:32]
    assert record.location == f"/hospital/report-store/diagnostic-report/{expected}.json"


def test_digest_is_the_documented_sum():
    fields = (b"BILL", b"p1", b"Claim", RECORD.location.encode(), hashlib.sha256(RECORD.body).digest())
    spelled = b"".join(len(part).to_bytes(8, "big") + part for part in fields)
    assert compute_digest([RECORD]) == hashlib.sha256(spelled).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        {"kind": RecordKind.INSURANCE},
        {"patient_id": "p2"},
        {"resource_type": "Invoice"},
        {"location": "/elsewhere"},
        {"body": b'{"resourceType":"Claim" }'},
    ],
)
def test_digest_changes_with_each_field(change):
    assert compute_digest([msgspec.structs.replace(RECORD, **change)]) != compute_digest([RECORD])


def test_digest_changes_with_order_and_with_a_byte_moved_between_fields():
    other = make_record(RecordKind.BILL, "p2", "Claim", b"{}")
    assert compute_digest([RECORD, other]) != compute_digest([other, RECORD])
    left = ClinicalRecord(RecordKind.BILL, "ab", "c", "", b"")
    right = ClinicalRecord(RecordKind.BILL, "a", "bc", "", b"")
    assert compute_digest([left]) != compute_digest([right])


@given(st.lists(records, max_size=4), st.lists(records, max_size=4))
def test_digests_are_equal_exactly_if_the_records_are(left, right):
    assert (compute_digest(left) == compute_digest(right)) == (left == right)


def test_summary_gives_nearest_rank_sizes_in_the_order_of_kinds():
    sensors = [make_record(RecordKind.SENSOR, "p", "Observation", bytes(size)) for size in range(100, 0, -1)]
    bills = [make_record(RecordKind.BILL, "p", "Claim", bytes(size)) for size in (7, 3)]
    workload = build_workload([*sensors, *bills], "test")
    assert workload.summary() == (SizeRow(RecordKind.BILL, 2, 3, 7, 7), SizeRow(RecordKind.SENSOR, 100, 50, 95, 100))


@given(st.lists(st.integers(0, 300), min_size=1, max_size=40))
def test_percentiles_match_their_definition(sizes):
    (row,) = build_workload([make_record(RecordKind.BILL, "p", "Claim", bytes(n)) for n in sizes], "test").summary()

    def smallest_that_covers(percent):
        return min(size for size in sizes if 100 * sum(other <= size for other in sizes) >= percent * len(sizes))

    assert (row.count, row.max_bytes) == (len(sizes), max(sizes))
    assert (row.median_bytes, row.p95_bytes) == (smallest_that_covers(50), smallest_that_covers(95))


def test_workload_of_nothing_has_no_rows():
    empty = build_workload([], "test")
    assert empty.summary() == ()
    assert empty.digest == hashlib.sha256().hexdigest()


def test_counts_are_sorted_by_name():
    workload = build_workload([RECORD], "test", other_types={"B": 1, "A": 2}, left_out={"y": 1, "x": 1})
    assert list(workload.other_types) == ["A", "B"]
    assert list(workload.left_out) == ["x", "y"]


def test_range_errors_name_the_value_and_never_print_an_endless_one():
    with pytest.raises(BenchError, match=r"^patients: expected at least 1, found 0$"):
        require_range("patients", 0, 1)
    with pytest.raises(BenchError, match=r"^seed: expected less than \d+, found a number of 20001 bits$"):
        require_range("seed", 1 << 20_000, 0)
    assert require_range("seed", (1 << 63) - 1, 0) == (1 << 63) - 1
