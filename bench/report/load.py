"""Reading a run's directory back: its manifest and its raw rows, with one clear line for whatever is wrong.

A run that was interrupted may end in half a row; that one is skipped and said.  Anything else that cannot be read
is refused, because a report with silent gaps would be worse than none.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import BenchError
from bench.experiments.base import Row
from bench.record import SCHEMA_VERSION, Status


class Progress(msgspec.Struct, frozen=True):
    """How far one experiment came."""

    status: str = ""
    cases: int = 0
    failed: int = 0
    seconds: float = 0.0


class Manifest(msgspec.Struct, frozen=True):
    """What a report needs of ``manifest.json``.

    ``noise`` is what others took of the machine, ``calibration`` the unit costs that simulations used, if any did.
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
    files: dict[str, str] = {}

    @property
    def is_complete(self) -> bool:
        return self.status == "complete"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the run in ``folder``.

    Raises `BenchError` naming the file if it is missing, is not a manifest, or is of a newer layout.
    """
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise BenchError(f"{folder}: expected the directory of a run, found {found}")
    path = folder / "manifest.json"
    content = _parse(_read(path), str(path))
    version = content.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BenchError(f"{path}: expected schema_version up to {SCHEMA_VERSION}, found {version}: of a newer version")
    try:
        return msgspec.convert(content, Manifest)
    except msgspec.ValidationError as error:
        raise BenchError(f"{path}: expected the manifest of a run, found: {error}") from None


def read_rows(path: Path, *, may_be_cut: bool) -> tuple[list[Row], str]:
    """All rows of a raw file, and a line that says what was skipped ('' for nothing).

    Only the last row of a run that ``may_be_cut`` may be unreadable.  Raises `BenchError` naming file and line.
    """
    lines = _read(path).split(b"\n")
    last = max((number for number, line in enumerate(lines, start=1) if line.strip()), default=0)
    rows: list[Row] = []
    for number, line in enumerate(lines[:last], start=1):
        try:
            rows.append(_parse_row(line, f"{path}:{number}"))
        except BenchError:
            if not may_be_cut or number != last:
                raise
            return rows, f"{path.name}: line {number} was cut off when the run stopped, and is left out"
    return rows, ""


def find_changed(folder: Path, manifest: Manifest) -> list[str]:
    """Raw files whose content is not what the manifest says, by relative path, sorted."""
    raw = sorted(name for name in manifest.files if name.startswith("raw/"))
    return [name for name in raw if hashlib.sha256(_read(folder / name)).hexdigest() != manifest.files[name]]


def _read(path: Path) -> bytes:
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
    return row
