"""A run as an RO-Crate: ``ro-crate-metadata.json`` tells repositories and machines what each of its files is.

RO-Crate 1.1 (https://w3id.org/ro/crate/1.1) with the profile Process Run Crate 0.5: the run is an action of this
software upon a scenario and records, and the files are its results.  Everything is taken from the manifest, from what
experiments declare and from the files themselves, so the same run gives the same bytes on any day.  Who ran it is not
recorded, and so no agent is named.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from bench import experiments
from bench.errors import BenchError
from bench.experiments.base import Experiment, Figure, Table
from bench.files import write_atomic

#: The derived file of a run that holds its crate.
FILE: Final = "ro-crate-metadata.json"
#: The second one has the term ``sha256``, which that of RO-Crate 1.1 lacks.
CONTEXT: Final = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
PROFILE: Final = "https://w3id.org/ro/wfrun/process/0.5"
PAPER: Final = "https://doi.org/10.3389/fpubh.2022.938707"
_APACHE: Final = "https://spdx.org/licenses/Apache-2.0"
_CC_BY: Final = "https://creativecommons.org/licenses/by/4.0/"
#: Media types by how names end; the system's own table differs between machines.
_FORMATS: Final = {
    ".csv.gz": "application/gzip",
    ".csv": "text/csv",
    ".db": "application/vnd.sqlite3",
    ".hgrm": "text/plain",
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".tex": "application/x-tex",
    ".typ": "text/plain",
}
_DESCRIPTIONS: Final = {
    "manifest.json": "What ran, on what, how far it came, and the SHA-256 of every other file. It holds the digest of "
    "this crate, so the crate cannot hold its: `identifier` is the digest of all that was recorded.",
    "claims.json": "The verdicts on the paper's claims, each with its evidence, with the digest of the rules.",
    "facts.json": "The numbers that texts cite by name, each with its source among the tables.",
    "report.html": "The whole report as one page that needs no network.",
    "report.md": "The whole report as text.",
    "report.pdf": "The report as an article.",
    "tables/datapackage.json": "What the columns of the tables are: titles, units, types, as a tabular data package.",
    "tables/all.tex": "A LaTeX document that shows every table and figure.",
}
_STATUSES: Final = {"complete": "CompletedActionStatus", "running": "ActiveActionStatus"}
Entity = dict[str, Any]


def write_crate(folder: Path, manifest: Mapping[str, Any], digests: Mapping[str, str]) -> None:
    """Write the crate of the run in ``folder``; ``digests`` are the SHA-256 of its files but manifest and crate.

    Raises `BenchError` if it cannot be written.
    """
    sizes = {name: (folder / name).stat().st_size for name in digests}
    write_atomic(folder / FILE, render_crate(manifest, digests, sizes))


def render_crate(manifest: Mapping[str, Any], digests: Mapping[str, str], sizes: Mapping[str, int]) -> str:
    """The crate as JSON-LD, an entity a line; equal arguments give equal text."""
    names = ["manifest.json", *sorted(digests)]
    known = list(_find_experiments(manifest))
    files = [_file(name, manifest, known, digests.get(name), sizes.get(name)) for name in names]
    graph = [
        *_describe_crate(manifest, names),
        *_describe_action(manifest, names),
        *files,
        *_describe_columns(known, names),
        *_CONTEXTUAL,
    ]
    lines = ",\n".join(json.dumps(entity, ensure_ascii=False, allow_nan=False) for entity in graph)
    return f'{{"@context": {json.dumps(CONTEXT)}, "@graph": [\n{lines}\n]}}\n'


def _entity(identifier: str, kind: str, /, **values: Any) -> Entity:
    """An entity with what is known of it."""
    known = {name: value for name, value in values.items() if value not in (None, "", [])}
    return {"@id": identifier, "@type": kind, **known}


def _refer(*identifiers: str) -> list[Entity]:
    return [{"@id": identifier} for identifier in identifiers]


def _find_experiments(manifest: Mapping[str, Any]) -> Iterator[Experiment]:
    """Those of the run that this version knows; the files of others are listed without words of their own."""
    for name in manifest.get("experiments", {}):
        try:
            yield experiments.find_experiment(name)
        except BenchError:
            continue


# -- the run -----------------------------------------------------------------------------------------------------


def _describe_crate(manifest: Mapping[str, Any], names: list[str]) -> Iterator[Entity]:
    yield _entity(
        FILE, "CreativeWork", about={"@id": "./"}, conformsTo={"@id": "https://w3id.org/ro/crate/1.1"}, name="RO-Crate"
    )
    yield _entity(
        "./",
        "Dataset",
        name=f"ehrbench run {manifest['run_id']}",
        description=f"What ehrbench found in a run of the profile {manifest.get('profile', '')} "
        f"({manifest['status']}): raw rows, tables, figures, a report, and verdicts on the claims of a paper about a "
        "blockchain for health records.",
        datePublished=manifest.get("finished") or manifest.get("started"),
        identifier=manifest.get("record_sha256"),
        license={"@id": _APACHE},
        conformsTo={"@id": PROFILE},
        citation={"@id": PAPER},
        keywords="benchmark, blockchain, electronic health records, reproducibility",
        mentions={"@id": "#run"},
        hasPart=_refer(*map(quote, names)),
    )


def _describe_action(manifest: Mapping[str, Any], names: list[str]) -> Iterator[Entity]:
    """The run as an action, the software that did it, what it was given, and where it was."""
    status, versions = manifest["status"], {**manifest.get("versions", {}), "packages": None}
    environment = dict(_flatten("", {"machine": manifest.get("machine", {}), "versions": versions}))
    software = _describe_software(manifest)
    yield _entity(
        "#run",
        "CreateAction",
        name=f"ehrbench run --profile {manifest.get('profile', '')}",
        description=f"Experiments: {', '.join(manifest.get('experiments', {})) or 'none'}. Tables, figures, report and "
        "verdicts follow from the raw rows and can be made again: ehrbench report. What is said of the machine, of "
        "Python and of libraries stands in `environment`, with all packages in manifest.json.",
        instrument={"@id": software["@id"]},
        object=_refer("#scenario", "#workload"),
        result=_refer(*map(quote, names)),
        startTime=manifest.get("started"),
        endTime=manifest.get("finished"),
        actionStatus=f"http://schema.org/{_STATUSES.get(status, 'FailedActionStatus')}",
        error=status if status in {"failed", "interrupted"} else None,
        environment=_refer(*(f"#{quote(name)}" for name in environment)),
    )
    yield software
    yield _entity(
        "#scenario", "PropertyValue", name="scenario",
        value=f"{manifest.get('profile', '')}, seed {manifest.get('seed')}",
        description="Everything that the run was told stands in manifest.json under `scenario`.",
    )  # fmt: skip
    workload = manifest.get("workload", {})
    yield _entity(
        "#workload", "CreativeWork", name="the records of the run", description=workload.get("source") or "none",
        sha256=workload.get("digest"), size=str(workload.get("records", 0)),
    )  # fmt: skip
    for name, value in environment.items():
        yield _entity(f"#{quote(name)}", "PropertyValue", name=name, value=value)


def _describe_software(manifest: Mapping[str, Any]) -> Entity:
    """The software by its commit: the identifier is the one that Software Heritage gives to it, archived or not."""
    git = manifest.get("git", {})
    commit, code = git.get("commit"), git.get("code_sha256")
    states = {True: "; tracked files were changed since", False: "", None: ""}
    place = f"commit {commit}" if commit else str(git.get("archive") or "a copy without its history")
    return _entity(
        f"swh:1:rev:{commit}" if commit else "#software",
        "SoftwareApplication",
        name="ehrbench",
        version=manifest.get("versions", {}).get("packages", {}).get("ehrbench") or commit or code,
        description=f"{place}{states[git.get('is_dirty')]}; SHA-256 over its code: {code or 'unknown'}",
        license={"@id": _APACHE},
        citation={"@id": PAPER},
    )


def _flatten(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Nested values as texts by dotted names, without those that could not be found out."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(f"{prefix}{name}.", value)
        elif value not in (None, []):
            yield f"{prefix}{name}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)


# -- its files ---------------------------------------------------------------------------------------------------


def _file(
    name: str, manifest: Mapping[str, Any], known: list[Experiment], digest: str | None, size: int | None
) -> Entity:
    table = _find_table(name, known)
    return _entity(
        quote(name),
        "File",
        name=Path(name).name,
        description=_DESCRIPTIONS.get(name) or _describe_file(name, manifest, known),
        encodingFormat=next((form for end, form in _FORMATS.items() if name.endswith(end)), "application/octet-stream"),
        contentSize=None if size is None else str(size),
        sha256=digest,
        identifier=manifest.get("record_sha256") if digest is None else None,
        variableMeasured=_refer(*(_column(name, column) for column in table.columns)) if table else None,
    )


def _describe_file(name: str, manifest: Mapping[str, Any], known: list[Experiment]) -> str:
    """What the experiments say of a file, by its place."""
    folder, stem = name.partition("/")[0], Path(name).stem
    for experiment in known:
        if folder == "raw" and stem == experiment.id:
            return f"Raw rows of {experiment.id}, a JSON object a line. {experiment.question}"
        declared: dict[str, tuple[Table | Figure, ...]] = {"tables": experiment.tables, "figures": experiment.figures}
        for item in declared.get(folder, ()):
            if stem == item.name:
                return item.caption
    for experiment_id, progress in manifest.get("experiments", {}).items():
        for case, kept in progress.get("artefacts", {}).items():
            if name in kept:
                return f"Kept by case {case} of {experiment_id} besides its rows."
    return "A file of the run."


def _find_table(name: str, known: list[Experiment]) -> Table | None:
    """The table that a CSV file holds."""
    every = (table for experiment in known for table in experiment.tables)
    return next((table for table in every if name == f"tables/{table.name}.csv"), None)


def _describe_columns(known: list[Experiment], names: list[str]) -> Iterator[Entity]:
    for name in names:
        if table := _find_table(name, known):
            for column, shown in table.columns.items():
                place = _column(name, column)
                yield _entity(place, "PropertyValue", name=column, description=shown.title, unitText=shown.unit)


def _column(table: str, column: str) -> str:
    return f"#{quote(table)}/{quote(column)}"


_CONTEXTUAL: Final = (
    _entity(PROFILE, "CreativeWork", name="Process Run Crate", version="0.5"),
    _entity(
        _APACHE, "CreativeWork", name="Apache License 2.0", description="The licence of code and results; what a table "
        "or figure repeats of the paper's Table 1 is the article's, under CC BY 4.0.",
    ),
    _entity(_CC_BY, "CreativeWork", name="CC BY 4.0", description="Creative Commons Attribution 4.0 International"),
    _entity(
        PAPER, "ScholarlyArticle",
        name="Blockchain and cloud computing-based secure electronic healthcare records storage and sharing",
        author="Amanat A, Rizwan M, Maple C, Zikria YB, Almadhor AS, Kim SW", datePublished="2022-07-19",
        license={"@id": _CC_BY},
    ),
)  # fmt: skip
