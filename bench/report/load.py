"""Reading a run's directory back: its manifest and its raw rows, with one clear line for whatever is wrong.

A run that was killed may end in a part of a case; that part is left out and said.  Anything else that cannot be read,
and any measured file that is not the one that the run recorded, is refused: a report with silent gaps would be worse
than none.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bench.errors import BenchError
from bench.experiments.base import Row
from bench.record import ROW_STATUSES, SCHEMA_VERSION, Status, compute_record_digest, is_derived


class Progress(msgspec.Struct, frozen=True):
    """How far one experiment came; ``not_begun`` counts the cases for which the run's budget left no time."""

    status: str = ""
    cases: int = 0
    failed: int = 0
    not_begun: int = 0
    seconds: float = 0.0


class Manifest(msgspec.Struct, frozen=True):
    """What a report needs of ``manifest.json``.

    ``noise`` is what others took of the machine, ``calibration`` the unit costs that simulations used, if any did;
    ``rules`` has the digest of each claim's rule as it was when the run began.
    """

    schema_version: int
    run_id: str
    status: Status
    experiments: dict[str, Progress]
    started: str = ""
    finished: str | None = None
    profile: str = ""
    seed: str | int = ""
    scenario: dict[str, Any] = {}
    workload: dict[str, Any] = {}
    machine: dict[str, Any] = {}
    noise: dict[str, Any] = {}
    calibration: dict[str, Any] = {}
    versions: dict[str, Any] = {}
    git: dict[str, Any] = {}
    extensions: dict[str, dict[str, Any]] = {}
    options: dict[str, Any] = {}
    rules: dict[str, str] = {}
    files: dict[str, str] = {}
    record_sha256: str | None = None

    @property
    def is_complete(self) -> bool:
        return self.status == "complete"


class RawFile(NamedTuple):
    """The rows of whole cases, how many bytes they take, and a line about what follows them ('' for nothing)."""

    rows: list[Row]
    size_bytes: int
    notice: str


def read_content(folder: Path) -> dict[str, Any]:
    """All of the manifest of the run in ``folder``.

    Raises `BenchError` naming the file if it is missing, is not JSON or is of a newer layout.
    """
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise BenchError(f"{folder}: expected the directory of a run, found {found}")
    path = folder / "manifest.json"
    content = _parse(read_bytes(path), str(path))
    version = content.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BenchError(f"{path}: expected schema_version up to {SCHEMA_VERSION}, found {version}: of a newer version")
    return content


def read_manifest(folder: Path, *, is_checked: bool = True) -> Manifest:
    """The manifest of the run in ``folder``; `BenchError` as above, and if it is no manifest or was changed.

    Whether it was changed is not asked unless ``is_checked``.
    """
    content, path = read_content(folder), folder / "manifest.json"
    try:
        manifest = msgspec.convert(_gather(content), Manifest)
    except (msgspec.ValidationError, AttributeError, TypeError) as error:
        raise BenchError(f"{path}: expected the manifest of a run, found: {error}") from None
    if not is_checked:
        return manifest
    digest = manifest.record_sha256
    if digest is None and manifest.is_complete and manifest.schema_version > 1:
        raise BenchError(f"{path}: expected the record_sha256 of a complete run, found none")
    if digest is not None and digest != compute_record_digest(content):
        raise BenchError(f"{path}: expected what its record_sha256 was taken of, found another content: it was changed")
    return manifest


def _gather(content: dict[str, Any]) -> dict[str, Any]:
    """The content with what several sittings recorded put together: the first unit costs, of the noise the worst."""
    sittings, calibrations = content.get("sittings"), content.get("calibrations")
    if not sittings and not calibrations:
        return content
    noise: dict[str, Any] = {}
    for sitting in sittings or []:
        for name, value in sitting.get("noise", {}).items():
            held = noise.get(name)
            is_worse = held is None or not isinstance(value, int | float | None) or (value is not None and value > held)
            noise[name] = value if is_worse else held
    first: dict[str, Any] = next(iter((calibrations or {}).values()), {})
    drift = {"drift": content.get("drift", {})} if first else {}
    return {**content, "noise": noise, "calibration": {**first, **drift}}


def validate_record(folder: Path, manifest: Manifest) -> None:
    """Raise `BenchError` naming the first measured file that is missing or is not the one that the run recorded."""
    for name, digest in manifest.files.items():
        if not is_derived(name) and hashlib.sha256(data := read_bytes(folder / name)).hexdigest() != digest:
            progress = manifest.experiments.get(Path(name).stem, Progress())
            is_cut = name.startswith("raw/") and _is_cut(data, progress.cases)
            found = "a truncated file" if is_cut else "another content: it was changed"
            raise BenchError(f"{folder / name}: expected the SHA-256 {digest[:16]}… of the manifest, found {found}")
    if manifest.record_sha256 is not None:
        for path in sorted((folder / "raw").glob("*")):
            if f"raw/{path.name}" not in manifest.files:
                raise BenchError(f"{path}: expected a file that the run recorded, found one that it did not")


def read_derived(path: Path, manifest: Manifest) -> bytes:
    """A file that a report has written; `BenchError` if it is missing or is not the one whose digest the run keeps."""
    data, name = read_bytes(path), f"{path.parent.name}/{path.name}"
    if hashlib.sha256(data).hexdigest() != manifest.files.get(name, hashlib.sha256(data).hexdigest()):
        raise BenchError(f"{path}: expected what the report has written, found another content (see: ehrbench report)")
    return data


def read_rows(path: Path, *, may_be_cut: bool) -> RawFile:
    """All rows of a raw file; only that of a run that was stopped ``may_be_cut`` in its last case.

    Raises `BenchError` naming file and line.
    """
    found = parse_cases(read_bytes(path), str(path), is_strict=not may_be_cut)
    return found._replace(notice=found.notice and f"{path.name}: {found.notice}, and is left out")


def parse_cases(data: bytes, source: str, *, is_strict: bool) -> RawFile:
    """The rows of the whole cases at the beginning of ``data``.

    Only the last case can be cut off, for each is written at once.  Raises `BenchError` naming ``source`` and line if
    another one is not whole, or, where that ``is_strict``, if the last is not.
    """
    *lines, rest = data.split(b"\n")
    rows: list[Row] = []
    pending: list[Row] = []
    size = end = 0
    problem, later = "", lines[:0]
    for number, line in enumerate(lines, start=1):
        try:
            row = _parse_row(line, f"{source}:{number}")
            _validate_place(row, pending, f"{source}:{number}")
        except BenchError as error:
            problem, later = str(error), lines[number - 1 :]
            break
        size += len(line) + 1
        pending.append(row)
        if row.get("part") == row.get("parts"):
            rows += pending
            pending, end = [], size
    if not problem and rest.strip():
        problem = _describe_rest(rest, f"{source}:{len(lines) + 1}")
    elif not problem and pending:
        problem = f"{source}:{len(lines)}: expected {pending[0]['parts']} rows of its case, found {len(pending)}"
    if problem and (is_strict or any(map(_begins_case, later))):
        raise BenchError(problem)
    first = data[:end].count(b"\n") + 1
    return RawFile(rows, end, f"from line {first} on a case was cut off when the run stopped" if problem else "")


def _validate_place(row: Row, pending: list[Row], source: str) -> None:
    """Raise `BenchError` unless ``row`` may follow the rows of a case that are ``pending``."""
    part, parts = row.get("part"), row.get("parts")
    expected = (pending[0]["case"], len(pending) + 1, pending[0]["parts"]) if pending else (row["case"], 1, parts)
    if part is None and parts is None and not pending:
        return  # before version 2 a row was a case of its own, as far as a reader could know
    if (row["case"], part, parts) != expected or not isinstance(parts, int) or parts < 1:
        case, number, of = expected
        found = f"part {part} of {parts} of case {row['case']!r}"
        raise BenchError(f"{source}: expected part {number} of {of} of case {case!r}, found {found}")


def _is_cut(data: bytes, cases: int) -> bool:
    """Whether raw rows end within a case, or before so many cases are there."""
    try:
        found = parse_cases(data, "", is_strict=False)
    except BenchError:
        return False
    return bool(found.notice) or len({row["case"] for row in found.rows}) < cases


def _describe_rest(rest: bytes, source: str) -> str:
    """What is wrong with a last line that has no end."""
    try:
        _parse_row(rest, source)
    except BenchError as error:
        return str(error)
    return f"{source}: expected the end of the line, found that of the file"


def _begins_case(line: bytes) -> bool:
    try:
        return bool(_parse_row(line, "").get("part", 1) == 1)
    except BenchError:
        return False


def read_bytes(path: Path) -> bytes:
    """A file of a run; `BenchError` if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BenchError(f"{path}: expected a file of a run, found: {error.strerror}") from None


def _parse(data: bytes, source: str) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:  # ValueError covers bad JSON and bad UTF-8
        raise BenchError(f"{source}: expected JSON, found: {error}") from None
    if not isinstance(content, dict):
        raise BenchError(f"{source}: expected a JSON object, found {type(content).__name__}")
    return content


def _parse_row(line: bytes, source: str) -> Row:
    row = _parse(line, source)
    for key in ("case", "status"):
        if not isinstance(row.get(key), str):
            raise BenchError(f"{source}: expected a row with a text {key!r}, found {row.get(key)!r}")
    if row["status"] not in ROW_STATUSES:
        raise BenchError(f"{source}: expected a status of {', '.join(ROW_STATUSES)}, found {row['status']!r}")
    return row
