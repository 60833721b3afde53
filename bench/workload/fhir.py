"""Health records from FHIR R4 JSON that anybody provides: bundles, single resources, or NDJSON.

What is hashed is what was written: the body of a record is the file, the line, or the exact slice of the bundle
that holds the resource, never a re-serialisation.  Decoding looks only at the few members that say what a resource
is and whom it concerns; order, spelling and everything else stay as they came.
Sources: FHIR R4 sections 2.3 (references), 2.6.2 (JSON), 2.36 (bundles), "Bulk data" (NDJSON).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from bench.errors import BenchError
from bench.workload.files import UnusableError, find_files, read_regular, reason_of, require_folder, shown, split_lines
from bench.workload.model import Skipped, Workload, build_workload
from ehrcore.fhir import BYTE_ORDER_MARK, URN, Clinical, Patient, patient_of
from ehrcore.records import FHIR_KINDS, ClinicalRecord, RecordKind, make_record

#: Bundles within bundles that are opened; a search result holds one at most, and each level is parsed once more.
MAX_BUNDLE_DEPTH: Final = 16

T = TypeVar("T")


class _Typed(msgspec.Struct, rename="camel"):
    resource_type: str = ""


class _Entry(msgspec.Struct, rename="camel"):
    full_url: str | None = None
    resource: msgspec.Raw = msgspec.Raw()


class _Bundle(msgspec.Struct):
    entry: list[_Entry] | None = None


@dataclass(frozen=True, slots=True)
class _Resource:
    """One resource as found: ``data`` is what is parsed, ``body`` what becomes the record, ``name`` its full URL."""

    where: str
    data: bytes
    body: bytes
    name: str | None = None
    depth: int = 0


@dataclass(slots=True)
class _Loader:
    """What has been gathered so far from one folder."""

    folder: str
    strict: bool
    records: dict[tuple[RecordKind, bytes], ClinicalRecord] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    other_types: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def refuse(self, where: str, reason: str) -> None:
        """Note something malformed; raises `BenchError` if the caller asked for strictness."""
        if self.strict:
            raise BenchError(f"{self.folder}/{where}: {reason}")
        self.skipped.append(Skipped(where, reason))

    def take_file(self, folder: Path, relative: str) -> None:
        where = shown(relative)
        try:
            data = read_regular(folder / relative)
        except UnusableError as error:
            self.refuse(where, reason_of(error))
            return
        # The mark belongs to the file, not to its first resource; RFC 8259 lets a reader pass over it.
        text = data.removeprefix(BYTE_ORDER_MARK)
        if not relative.lower().endswith(".ndjson"):
            self.take(_Resource(where, text, data))
            return
        for number, line in split_lines(text):
            self.take(_Resource(f"{where}:{number}", line, line))

    def take(self, first: _Resource) -> None:
        """Take one resource and, if it is a bundle, those within it, in their order."""
        waiting = [first]
        while waiting:
            resource = waiting.pop()
            try:
                waiting.extend(reversed(self.take_one(resource)))
            except UnusableError as error:
                self.refuse(resource.where, reason_of(error))

    def take_one(self, resource: _Resource) -> list[_Resource]:
        """Sort one resource into what it is; a bundle yields the resources of its entries."""
        resource_type = _type_of(resource.data)
        if resource_type == "Bundle":
            return list(_entries(resource))
        if resource_type == "Patient":
            self.take_patient(resource)
        elif resource_type in FHIR_KINDS:
            self.take_clinical(resource, resource_type)
        else:
            self.other_types[resource_type] += 1
        return []

    def take_patient(self, resource: _Resource) -> None:
        patient = _decode(resource.data, Patient)
        alias = resource.name if resource.name and resource.name.startswith(URN) else None
        patient_id = patient.id or (patient_of(alias) if alias else None)
        if not patient_id:
            self.left_out["Patient: no id"] += 1
            return
        if alias:
            # In a transaction the others refer to the entry's URN, which need not be the id (FHIR R4, 2.36.3).
            self.aliases.setdefault(patient_of(alias) or alias, patient_id)
        if not patient.kinds():
            self.left_out["Patient: neither birth nor death"] += 1
        for kind in patient.kinds():
            self.keep(kind, patient_id, "Patient", resource.body)

    def take_clinical(self, resource: _Resource, resource_type: str) -> None:
        patient_id = _decode(resource.data, Clinical).patient_id()
        if patient_id is None:
            self.left_out[f"{resource_type}: no patient"] += 1
            return
        self.keep(FHIR_KINDS[resource_type], patient_id, resource_type, resource.body)

    def keep(self, kind: RecordKind, patient_id: str, resource_type: str, body: bytes) -> None:
        """Keep a record unless the same bytes were kept under the same kind: the first in path order stays."""
        if (kind, body) in self.records:
            self.left_out[f"{resource_type}: repeated body"] += 1
            return
        self.records[kind, body] = make_record(kind, patient_id, resource_type, body)

    def finish(self) -> Workload:
        """The workload, once every alias of a patient is known; raises `BenchError` if there is no record."""
        if not self.records:
            first = f"; first: {self.skipped[0].path}: {self.skipped[0].reason}" if self.skipped else ""
            counts = f"{sum(self.other_types.values())} of other types, {len(self.skipped)} unusable{first}"
            raise BenchError(f"{self.folder}: expected FHIR R4 records (.json or .ndjson), found none ({counts})")
        records = (
            msgspec.structs.replace(record, patient_id=self.aliases.get(record.patient_id, record.patient_id))
            for record in self.records.values()
        )
        return build_workload(
            records, self.folder, skipped=self.skipped, other_types=self.other_types, left_out=self.left_out
        )


def load_folder(folder: Path, *, strict: bool) -> Workload:
    """Records of every ``*.json`` and ``*.ndjson`` file under ``folder``, in the order of their relative paths.

    What is malformed or cannot be read is listed in `Workload.skipped`, or, if ``strict``, refused by a `BenchError`
    that names it.  Valid resources without a patient are only counted: `Medication`, for one, never has one.
    Raises `BenchError` if ``folder`` is no folder or holds no record.
    """
    loader = _Loader(shown(str(folder)), strict)
    for relative, trouble in find_files(require_folder(folder)):
        if trouble is None:
            loader.take_file(folder, relative)
        else:
            loader.refuse(shown(relative), trouble)
    return loader.finish()


def _type_of(data: bytes) -> str:
    """The resource type of a JSON object; raises `UnusableError` for whatever is no such thing."""
    try:
        data.decode("utf-8")  # the parser does not look into strings that it passes over
    except UnicodeDecodeError as error:
        raise UnusableError(f"not UTF-8 ({error.reason}, byte {error.start})") from None
    found = _decode(data, _Typed).resource_type
    if not found:
        raise UnusableError("no resourceType")
    if not (found.isascii() and found.isalpha() and len(found) <= 64):
        raise UnusableError("resourceType is no name of a resource")
    return found


def _entries(bundle: _Resource) -> Iterator[_Resource]:
    """Resources of a bundle's entries; an entry without one (a deletion, say) is passed over."""
    if bundle.depth == MAX_BUNDLE_DEPTH:
        raise UnusableError(f"bundles nested more than {MAX_BUNDLE_DEPTH} deep")
    for index, entry in enumerate(_decode(bundle.data, _Bundle).entry or ()):
        body = bytes(entry.resource)
        if body:
            yield _Resource(f"{bundle.where}#entry/{index}", body, body, entry.full_url, bundle.depth + 1)


def _decode(data: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=shape)
    except RecursionError:
        raise UnusableError("nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnusableError(reason_of(error)) from None
