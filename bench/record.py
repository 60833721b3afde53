"""A run on disk: a directory that is complete, or that says that it is not.

``manifest.json`` carries the status; it is ``running`` from the first moment, so a killed run is never mistaken for a
whole one.  The rows of a case are numbered and reach their raw file in one write, so a reader knows whether it has
them all.  What was measured is sealed by its digests when the run ends; ``results/README.md`` describes all of it.
"""

import fcntl
import hashlib
import json
import os
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from bench.errors import BenchError
from bench.experiments.base import Row
from bench.files import append_durably, write_atomic

#: A reader takes its own version and older ones.  A change that an older reader would misread makes a new version.
SCHEMA_VERSION: Final = 2
#: What a report writes; everything else was measured.
DERIVED: Final = ("tables/", "figures/", "report.", "claims.json", "facts.json", "ro-crate-metadata.json")
Status = Literal["running", "complete", "interrupted", "failed"]
#: What may have become of a case, or of one observation of it.
ROW_STATUSES: Final = ("ok", "failed", "timeout", "void", "skipped")


class RunDirectory:
    """One run being written; nobody else can write it until it is released or this process ends."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest
        #: Lets others write the run.
        self.release = weakref.finalize(self, os.close, _hold(folder))

    @classmethod
    def load(cls, folder: Path) -> "RunDirectory":
        """A run that was written before; `read_manifest` has checked its manifest.  `BenchError` if it is in use."""
        run = cls(folder, {})
        run.manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return run

    @classmethod
    def create(cls, results: Path, profile: str, content: dict[str, Any]) -> "RunDirectory":
        """A new directory below ``results``, named by time and profile; `BenchError` if it cannot be written."""
        started = datetime.now(UTC)
        folder = _make_folder(results, f"{started:%Y%m%dT%H%M%SZ}-{profile}")
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "run_id": folder.name,
            "status": "running",
            "started": write_time(started),
            "finished": None,
            "profile": profile,
            **content,
            "record_sha256": None,
            "files": {},
        }
        run = cls(folder, manifest)
        run.save()
        return run

    def save(self) -> None:
        """Write the manifest."""
        text = json.dumps(self.manifest, indent=2, allow_nan=False)
        write_atomic(self.folder / "manifest.json", text + "\n")

    def append(self, experiment: str, case: str, rows: Sequence[Row]) -> list[Row]:
        """Add the rows of one case, of which there is at least one; they are on the disk when this returns.

        Returns them as they are kept, with ``case``, ``status`` ('ok' unless the row has one), ``part`` and ``parts``.
        """
        kept: list[Row] = [
            {"case": case, "status": "ok", "part": part, "parts": len(rows), **row}
            for part, row in enumerate(rows, start=1)
        ]
        if not kept or any(row["status"] not in ROW_STATUSES for row in kept):
            raise ValueError(f"case {case}: expected rows with a status of {ROW_STATUSES}")
        lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in kept)
        append_durably(self.folder / "raw" / f"{experiment}.jsonl", lines.encode())
        return kept

    def list_artefacts(self) -> list[str]:
        """Measured files besides raw rows, by relative path, sorted: what engines keep in the run's folder."""
        return sorted(name for name in self._files() if not name.startswith((*DERIVED, "raw/", "extensions/")))

    def reopen(self) -> None:
        """Let a run that was stopped go on: it is not sealed any more."""
        self.manifest |= {"status": "running", "finished": None, "record_sha256": None, "files": {}}
        self.save()

    def finish(self, status: Status) -> None:
        """Set the final status, and seal what was measured with its digests in the same moment."""
        self.manifest |= {"status": status, "finished": write_time(datetime.now(UTC))}
        self.manifest["files"] = {name: _digest(path) for name, path in self._files().items() if not is_derived(name)}
        self.manifest["record_sha256"] = compute_record_digest(self.manifest)
        self.save()

    def seal_derived(self, *written: str) -> None:
        """Record the digests of what a report has written; those of what was measured stay as they were taken.

        Where files are named, they alone were ``written``: of all others the digests stay, so an edit still shows.
        The run's crate describes all files, so it is written here, after all others.
        """
        from bench.report.crate import FILE, write_crate

        paths = self._files()
        paths.pop(FILE, None)
        measured = {name: digest for name, digest in self.manifest["files"].items() if not is_derived(name)}
        derived = {name: _digest(path) for name, path in paths.items() if is_derived(name)}
        if written:
            derived |= {name: self.manifest["files"].get(name, derived[name]) for name in {*derived} - {*written}}
        # Of a run that was killed nothing is sealed, and the crate has what is there.
        found = measured or {name: _digest(path) for name, path in paths.items() if not is_derived(name)}
        write_crate(self.folder, self.manifest, {**found, **derived})
        derived[FILE] = _digest(self.folder / FILE)
        self.manifest["files"] = dict(sorted({**measured, **derived}.items()))
        self.save()

    def _files(self) -> dict[str, Path]:
        """Relative path -> path of every file but the manifest, sorted."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        names = {path.relative_to(self.folder).as_posix(): path for path in files}
        return {name: names[name] for name in sorted(names) if name != "manifest.json"}


def seal(folder: Path) -> None:
    """Record what a report has written of the run in ``folder``; `BenchError` if another process is at work on it."""
    run = RunDirectory.load(folder)
    try:
        run.seal_derived()
    finally:
        run.release()


def is_derived(name: str) -> bool:
    """Whether a file of a run, by relative path, can be made again from the others."""
    return name.startswith(DERIVED)


def compute_record_digest(manifest: Mapping[str, Any]) -> str:
    """SHA-256, in hex, of everything that was recorded, by which a run is cited.

    It is that of the manifest itself (as JSON with sorted keys, ASCII, no spaces), which holds the digests of all
    measured files; ``record_sha256`` and the digests of derived files are left out.
    """
    content = json.loads(json.dumps(manifest))  # as a reader has it: every key is a text
    content["files"] = {name: digest for name, digest in content.get("files", {}).items() if not is_derived(name)}
    content.pop("record_sha256", None)
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def write_time(instant: datetime) -> str:
    """An instant as manifests hold it."""
    return instant.isoformat(timespec="seconds")


def require_writable(results: Path) -> None:
    """Raise `BenchError` unless a run can be kept below ``results``; creates the folder, nothing else."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        # Under a name that nobody has: two runs may start at once.
        tempfile.TemporaryFile(dir=results).close()
    except OSError as error:
        raise BenchError(f"{results}: expected a folder that can be written, found: {error.strerror}") from None


def newest_run(results: Path) -> Path:
    """The run below ``results`` that was started last; `BenchError` if there is none.

    A folder that was given another name is not looked at: only the names that runs give themselves tell their age.
    """
    runs = [path.parent for path in results.glob("[0-9]*T[0-9]*Z-*/manifest.json")]
    if not runs:
        raise BenchError(f"{results}: expected a run, found none (make one with: ehrbench run)")
    return max(runs, key=lambda path: path.name)


def _make_folder(results: Path, name: str) -> Path:
    """A new folder with a folder ``raw``, called ``name`` or, if that is taken, ``name-2`` and so on."""
    folder, number = results / name, 1
    try:
        while True:
            try:
                folder.mkdir(parents=True)
                break
            except FileExistsError:
                if not results.is_dir():
                    raise
                number += 1
                folder = results / f"{name}-{number}"
        (folder / "raw").mkdir()
    except OSError as error:
        raise BenchError(f"{results}: expected a folder that can be written, found: {error.strerror}") from None
    return folder


def _hold(folder: Path) -> int:
    """A descriptor of ``folder`` with an exclusive lock, which the kernel drops when its process ends, however it ends.

    Some file systems have no locks; there, two processes at work on one run are not noticed.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise BenchError(f"{folder}: expected a run that nobody writes, found another process at work on it") from None
    except OSError:
        pass
    return descriptor


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
