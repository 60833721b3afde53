"""BibTeX for a run, the software that made it and the paper that it examines; all from the run and CITATION.cff.

Entries are of types that every style knows: ``@misc`` for data and software, ``@article`` for the paper.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bench.errors import BenchError
from bench.files import find_packaged
from bench.report.latex import escape_latex

if TYPE_CHECKING:
    from bench.loading import Run

_DIGITS: Final = 12


class _Person(msgspec.Struct, frozen=True, rename="kebab"):
    """A person, or (``name``) a group."""

    family_names: str = ""
    given_names: str = ""
    name: str = ""

    def __str__(self) -> str:
        """As BibTeX takes it: a group's name in braces of its own, which keep it whole."""
        if self.name:
            return f"{{{_escape(self.name)}}}"
        return ", ".join(_escape(part) for part in (self.family_names, self.given_names) if part)


class _Work(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """What CITATION.cff says of the software or of one of its references."""

    title: str
    authors: list[_Person]
    type: str = "software"
    version: str = ""
    doi: str = ""
    url: str = ""
    repository_code: str = ""
    journal: str = ""
    volume: str | int = ""
    start: str | int = ""
    year: int | None = None
    date_released: Any = None  # a date, or words
    references: list["_Work"] = []


def read_citation(path: Path | None = None) -> _Work:
    """CITATION.cff, of the installed package or of the source tree; `BenchError` naming the file."""
    try:
        found = path or find_packaged("citation.cff", "CITATION.cff")
        return msgspec.yaml.decode(found.read_bytes(), type=_Work)
    except (OSError, msgspec.MsgspecError) as error:
        raise BenchError(f"CITATION.cff: expected what this software is cited by, found: {error}") from None


def write_bibtex(run: "Run", work: _Work | None = None) -> str:
    """Three or more entries: the run, the software, and what it refers to; equal runs give equal text."""
    cited = work or read_citation()
    papers = [_cite_paper(item) for item in cited.references]
    return "\n".join([_cite_run(run, cited), _cite_software(run, cited), *papers])


def _cite_run(run: "Run", work: _Work) -> str:
    """The run by its digest: whoever has its folder can check that it is the one that is cited."""
    try:
        started = datetime.fromisoformat(str(run.manifest.get("started")))
    except ValueError as error:
        raise BenchError(f"{run.folder}: expected the instant at which the run started, found: {error}") from None
    digest = run.record_sha256 or ""
    cpu, python = run.machine.get("cpu") or "unknown processor", run.versions.get("python") or "unknown"
    facts = [f"profile {run.profile}", f"{cpu}, Python {python}", describe_commit(run)]
    facts += [f"SHA-256 of the record: {digest}"] if digest else ["the run has not ended"]
    facts += [f"the run is {run.status}"] if run.status != "complete" else []
    return _entry("misc", f"ehrbench-run-{re.sub(r'[^A-Za-z0-9._-]', '', digest[:_DIGITS] or run.id)}", {
        "author": _join_authors(work),
        "title": f"{{Benchmark run {_escape(run.id)}}}",
        "year": f"{started:%Y}",
        "month": f"{started.month}",
        "date": f"{started:%Y-%m-%d}",
        "howpublished": "Data set",
        "version": _escape(version_of(run)),
        "commit": _escape(str(run.git.get("commit") or "")),
        "record_sha256": _escape(digest),
        "note": _escape("; ".join(facts)),
    })  # fmt: skip


def _cite_software(run: "Run", work: _Work) -> str:
    released = str(work.date_released or run.manifest.get("started"))
    return _entry("misc", "ehrbench", {
        "author": _join_authors(work),
        "title": f"{{{_escape(work.title)}}}",
        "year": released[:4],
        "howpublished": "Software",
        "version": _escape(version_of(run) or work.version),
        "doi": work.doi,
        "url": work.repository_code or work.url,
        "note": _escape(describe_commit(run)),
    })  # fmt: skip


def _cite_paper(item: _Work) -> str:
    first = item.authors[0] if item.authors else _Person(name="anonymous")
    name = "".join(letter for letter in (first.family_names or first.name).lower() if letter.isalnum())
    return _entry("article" if item.type == "article" else "misc", f"{name}{item.year or ''}", {
        "author": _join_authors(item),
        "title": f"{{{_escape(item.title)}}}",
        "journal": _escape(item.journal),
        "volume": str(item.volume),
        "pages": str(item.start),
        "year": str(item.year or ""),
        "doi": item.doi,
        "url": item.url,
    })  # fmt: skip


def _escape(text: str) -> str:
    """As LaTeX sets it; BibTeX counts braces even behind a backslash, so those of the text go by their names."""
    return escape_latex(text).replace(r"\{", r"\textbraceleft{}").replace(r"\}", r"\textbraceright{}")


def version_of(run: "Run") -> str:
    """The version of the suite that made the run; '' if it does not say."""
    return str((run.versions.get("packages") or {}).get("ehrbench", ""))


def describe_commit(run: "Run") -> str:
    """The commit in words, and whether files were changed since."""
    commit = run.git.get("commit") or "unknown"
    return f"commit {commit}{', with changes since' if run.git.get('is_dirty') else ''}"


def _join_authors(work: _Work) -> str:
    return " and ".join(map(str, work.authors))


def _entry(kind: str, key: str, fields: Mapping[str, str]) -> str:
    """One entry, without fields that are empty."""
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{kind}{{{key},", *lines, "}", ""])
