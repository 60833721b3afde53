"""A run on disk: a directory that is complete, or that says that it is not.

``manifest.json`` carries the status; it is ``running`` from the first moment, so a killed run is never mistaken for a
whole one.  Raw rows are appended one by one and flushed, so what was measured survives.
"""

import hashlib
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from bench.errors import BenchError
from bench.experiments.base import Row
from bench.files import write_atomic

SCHEMA_VERSION: Final = 1
#: What a report writes; everything else was measured.
DERIVED: Final = ("tables/", "figures/", "report.")
Status = Literal["running", "complete", "interrupted", "failed"]


class RunDirectory:
    """One run being written."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest

    @classmethod
    def load(cls, folder: Path) -> "RunDirectory":
        """A run that was written before; its manifest has been checked by whoever read the report's input."""
        return cls(folder, json.loads((folder / "manifest.json").read_text(encoding="utf-8")))

    @classmethod
    def create(cls, results: Path, profile: str, content: dict[str, Any]) -> "RunDirectory":
        """A new directory below ``results``, named by time and profile; `BenchError` if it cannot be written."""
        started = datetime.now(UTC)
        name = f"{started:%Y%m%dT%H%M%SZ}-{profile}"
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
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "run_id": folder.name,
            "status": "running",
            "started": started.isoformat(timespec="seconds"),
            "finished": None,
            "profile": profile,
            **content,
            "experiments": {},
            "files": {},
        }
        run = cls(folder, manifest)
        run.save()
        return run

    def save(self) -> None:
        """Write the manifest."""
        text = json.dumps(self.manifest, indent=2, ensure_ascii=False, allow_nan=False)
        write_atomic(self.folder / "manifest.json", text + "\n")

    def append(self, experiment: str, row: Row) -> None:
        """Add one raw row; it is on its way to the disk when this returns."""
        path = self.folder / "raw" / f"{experiment}.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        except OSError as error:
            raise BenchError(f"{path}: expected a file that can be written, found: {error.strerror}") from None

    def finish(self, status: Status) -> None:
        """Set the final status."""
        self.manifest["status"] = status
        self.manifest["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        self.save()

    def seal(self, *, keep_measured: bool = False) -> None:
        """Record the SHA-256 of every file of the run; of what is made from raw rows alone if ``keep_measured``.

        The digests of what was measured are taken once, so that a later change of it stays visible.
        """
        files = [path for path in self.folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
        names = {path.relative_to(self.folder).as_posix(): path for path in files}
        held = self.manifest.get("files", {}) if keep_measured else {}
        digests = {name: digest for name, digest in held.items() if not name.startswith(DERIVED)} | {
            name: hashlib.sha256(path.read_bytes()).hexdigest()
            for name, path in names.items()
            if not keep_measured or name.startswith(DERIVED)
        }
        self.manifest["files"] = dict(sorted(digests.items()))
        self.save()


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
