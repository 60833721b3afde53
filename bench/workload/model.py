"""What every source of records hands to the suite: records in a fixed order, and one digest over them.

The digest goes into the manifest of each run: two runs with the same digest were fed the same records in the same
order, whatever produced them.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.errors import BenchError
from ehrcore.records import ClinicalRecord, RecordKind


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file, or a part of one, that could not be used: ``path`` names it, ``reason`` says why, each in one line.

    ``path`` is relative to the folder and carries the line (``a.ndjson:3``) or entry (``b.json#entry/3``).
    """

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class SizeRow:
    """Body sizes of one kind of record, in bytes: nearest-rank percentiles, so each is a size that occurs."""

    kind: RecordKind
    count: int
    median_bytes: int
    p95_bytes: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Workload:
    """Records in the order in which they are to be submitted, with what was passed over on the way to them.

    ``other_types`` counts resources of types that carry none of the paper's kinds; ``left_out`` counts, by reason,
    resources of the right type that are valid and yet no record (no patient, a repeated body).
    """

    records: tuple[ClinicalRecord, ...]
    skipped: tuple[Skipped, ...]
    other_types: Mapping[str, int]
    left_out: Mapping[str, int]
    source: str
    digest: str

    def summary(self) -> tuple[SizeRow, ...]:
        """One row for each kind that occurs, in the order of `RecordKind`."""
        sizes: dict[RecordKind, list[int]] = {kind: [] for kind in RecordKind}
        for record in self.records:
            sizes[record.kind].append(len(record.body))
        return tuple(_size_row(kind, sorted(found)) for kind, found in sizes.items() if found)


def build_workload(
    records: Iterable[ClinicalRecord],
    source: str,
    *,
    skipped: Iterable[Skipped] = (),
    other_types: Mapping[str, int] | None = None,
    left_out: Mapping[str, int] | None = None,
) -> Workload:
    """A `Workload` of these records with its digest; counts are sorted by name, so that they print alike."""
    kept = tuple(records)
    return Workload(
        records=kept,
        skipped=tuple(skipped),
        other_types=dict(sorted((other_types or {}).items())),
        left_out=dict(sorted((left_out or {}).items())),
        source=source,
        digest=compute_digest(kept),
    )


def compute_digest(records: Iterable[ClinicalRecord]) -> str:
    """SHA-256, in hex, over (kind, patient, resource type, location, SHA-256 of the body) of each record in order.

    Each field is preceded by its length in 8 bytes, so that no two different sequences are hashed as the same bytes.
    """
    total = hashlib.sha256()
    for record in records:
        fields = (record.kind.name, record.patient_id, record.resource_type, record.location)
        for field in (*(text.encode() for text in fields), hashlib.sha256(record.body).digest()):
            total.update(len(field).to_bytes(8))
            total.update(field)
    return total.hexdigest()


def require_range(name: str, value: int, least: int, below: int = 1 << 63) -> int:
    """Return ``value`` if ``least <= value < below``; otherwise raise `BenchError` that names it."""
    if value < least:
        raise BenchError(f"{name}: expected at least {least}, found {value}")
    if value >= below:
        # Not the value itself, which may be too long to print.
        raise BenchError(f"{name}: expected less than {below}, found a number of {value.bit_length()} bits")
    return value


def _size_row(kind: RecordKind, ordered: list[int]) -> SizeRow:
    def rank(percent: int) -> int:
        return ordered[-(-percent * len(ordered) // 100) - 1]

    return SizeRow(kind, len(ordered), rank(50), rank(95), ordered[-1])
