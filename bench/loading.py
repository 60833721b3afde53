"""Runs for pandas: `load` opens one; `bench.joining` several at once.

Nothing is measured, built or written: tables are read from the run's own files, with their types, when they are asked
for.  What was edited is refused: whatever is read has to be what the run's manifest took the digest of.

>>> import bench
>>> run = bench.load("results/reference")
>>> run.status
'complete'
>>> hashes = run.tables["hashes"]
>>> hashes.attrs["units"]["median_ns"]
'ns'
>>> fast = hashes[(hashes["verdict"] == "faster") & ~hashes["is_control"]]
>>> rows = run.raw("hashes")
>>> set(rows["status"]) <= {"ok", "failed", "timeout", "void", "skipped"}
True
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd

    from bench.report.schema import Resource

_CLAIMS: Final = "claims.json"
_SUGGESTIONS: Final = 3


class UnknownNameError(BenchError, KeyError):
    """A table or an experiment that a run does not have; the message names the nearest ones."""

    __str__ = Exception.__str__  # KeyError's would put it in quotes


def refuse_name(kind: str, name: str, names: Iterable[str]) -> UnknownNameError:
    """The error for a ``name`` that is none of ``names``."""
    from difflib import get_close_matches

    known = list(names)
    near = get_close_matches(name, known, n=_SUGGESTIONS, cutoff=0.6)
    expected = f"one such as {', '.join(near)}" if near else f"one of {', '.join(known) or 'none'}"
    return UnknownNameError(f"{kind}: expected {expected}, found {name!r}")


@dataclass(frozen=True, eq=False, repr=False)
class Frames(Mapping[str, "pd.DataFrame"]):
    """Tables by name, each read when it is asked for; every access gives a frame of its own."""

    names: tuple[str, ...]
    read: Callable[[str], "pd.DataFrame"]

    def __getitem__(self, name: str) -> "pd.DataFrame":
        if name not in self.names:
            raise refuse_name("table", name, self.names)
        return self.read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __repr__(self) -> str:
        return f"Frames({', '.join(self.names)})"


@dataclass(frozen=True, repr=False)
class Run:
    """One run in ``folder``; ``manifest`` is the whole of ``manifest.json``, whose keys `results/README.md` describes.

    Unless ``is_checked`` is false, every file has to be the one that the manifest took the digest of.
    """

    folder: Path
    manifest: Mapping[str, Any] = field(compare=False)
    is_checked: bool = True

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}: {self.id}, {self.status}, {', '.join(self.experiments)})"

    @property
    def id(self) -> str:
        return str(self.manifest["run_id"])

    @property
    def status(self) -> str:
        """One of complete, running, interrupted, failed."""
        return str(self.manifest["status"])

    @property
    def profile(self) -> str:
        return str(self.manifest.get("profile", ""))

    @property
    def experiments(self) -> tuple[str, ...]:
        return tuple(self.manifest["experiments"])

    @property
    def machine(self) -> dict[str, Any]:
        """Processor, cores, memory, kernel; a value that could not be found out is None."""
        return dict(self.manifest.get("machine") or {})

    @property
    def versions(self) -> dict[str, Any]:
        """Python, OpenSSL per library, and every package."""
        return dict(self.manifest.get("versions") or {})

    @property
    def git(self) -> dict[str, Any]:
        """The commit, and whether tracked files were changed."""
        return dict(self.manifest.get("git") or {})

    @property
    def record_sha256(self) -> str | None:
        """By which the run is cited; None for one that has not ended."""
        return self.manifest.get("record_sha256")

    @cached_property
    def schemas(self) -> dict[str, "Resource"]:
        """What the columns of each table are.

        Runs whose report is older than that file have no types in it: units are today's, types are told by the cells.
        """
        from bench import experiments
        from bench.report.schema import FILE, describe_table, read_package

        if (self.folder / FILE).is_file():
            return read_package(self.read_file(FILE), str(self.folder / FILE))
        known = {
            table.name: describe_table(name, table)
            for name in self.experiments
            for table in experiments.find_experiment(name).tables
        }
        return {name: item for name, item in known.items() if (self.folder / "tables" / f"{name}.csv").is_file()}

    @property
    def tables(self) -> Frames:
        """The tidy tables, from ``tables/*.csv``; caption, titles and units of a frame stand in its ``attrs``."""
        return Frames(tuple(self.schemas), self._read_table)

    def raw(self, experiment: str) -> "pd.DataFrame":
        """Every raw row of an experiment, whatever its status; none if it recorded none.

        Raises `BenchError` for a file that was edited, and `UnknownNameError` for an experiment that is not the run's.
        """
        import pandas as pd

        frame = pd.DataFrame(self.rows(experiment))
        frame.attrs = {"experiment": experiment}
        return frame

    def rows(self, experiment: str) -> list[dict[str, Any]]:
        """As `raw`, each row as it was written."""
        from bench.report.load import parse_cases

        if experiment not in self.experiments:
            raise refuse_name("experiment", experiment, self.experiments)
        name = f"raw/{experiment}.jsonl"
        if not (self.folder / name).exists() and name not in self._digests:
            return []
        found = parse_cases(self.read_file(name), str(self.folder / name), is_strict=self.status == "complete")
        return found.rows

    @property
    def claims(self) -> "pd.DataFrame":
        """A row per claim of the paper: its verdict, what was found, and the command that shows it."""
        return self._read_claims("claims")

    @property
    def evidence(self) -> "pd.DataFrame":
        """A row per test of a claim: the value with its interval, what it needs to be, and what came out."""
        return self._read_claims("evidence")

    def dictionary(self, *tables: str) -> "pd.DataFrame":
        """What each column of the tables (all if none is named) means: title, unit, type, role."""
        from bench.report.schema import list_columns

        for name in tables:
            if name not in self.schemas:
                raise refuse_name("table", name, self.schemas)
        return list_columns([self.schemas[name] for name in tables or self.schemas])

    @property
    def _digests(self) -> dict[str, str]:
        return dict(self.manifest.get("files") or {})

    def read_file(self, name: str) -> bytes:
        """A file of the run by its relative path, checked; `BenchError` if it is missing or was edited."""
        from bench.report.load import read_bytes

        data = read_bytes(self.folder / name)
        if self.is_checked:
            self._check(name, data)
        return data

    def _check(self, name: str, data: bytes) -> None:
        """Raise `BenchError` for what the manifest has another digest of, or, in a run that was sealed, none."""
        expected = self._digests.get(name)
        if expected is None and self.record_sha256 is not None:
            raise BenchError(f"{self.folder / name}: expected a file that the run recorded, found one that it did not")
        if expected is not None and hashlib.sha256(data).hexdigest() != expected:
            what = f"the SHA-256 {expected[:16]}… of the manifest"
            raise BenchError(f"{self.folder / name}: expected {what}, found another content: it was changed")

    def _read_table(self, name: str) -> "pd.DataFrame":
        from bench.report.schema import parse_table

        item = self.schemas[name]
        path = f"tables/{item.path}"
        return parse_table(self.read_file(path), item, str(self.folder / path))

    def _read_claims(self, what: str) -> "pd.DataFrame":
        import json

        import pandas as pd

        if not (self.folder / _CLAIMS).is_file():
            raise BenchError(f"{self.folder / _CLAIMS}: expected verdicts, found none (ehrbench report {self.folder})")
        data = self.read_file(_CLAIMS)
        try:
            claims = json.loads(data)["claims"]
            if what == "claims":
                return pd.DataFrame([{key: value for key, value in one.items() if key != "evidence"} for one in claims])
            return pd.DataFrame([{"id": one["id"], **test} for one in claims for test in one["evidence"]])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BenchError(f"{self.folder / _CLAIMS}: expected a file of verdicts, found: {error}") from None


def load(folder: str | PathLike[str], *, check: bool = True) -> Run:
    """The run in ``folder``, such as ``results/reference``.

    ``check`` compares the manifest with its own digest at once, and every file with the manifest's when it is read.
    Raises `BenchError`, one line, for what is not a run's folder, is of a newer layout or was edited.
    """
    from bench.report.load import read_content, read_manifest

    path = Path(folder)
    read_manifest(path, is_checked=check)
    return Run(path, read_content(path), check)
