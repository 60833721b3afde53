"""The first stage: what a run needs is put together, a run is begun, and one that was stopped goes on.

Everything that can be refused is refused before anything is written.
"""

import hashlib
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bench.analysis.alike import describe_differences, find_differences
from bench.analysis.claims import read_rules
from bench.engines.base import Context
from bench.errors import BenchError
from bench.experiments import Experiment, find_experiment
from bench.experiments.base import Row
from bench.extensions import describe_extensions, keep_copies
from bench.record import SCHEMA_VERSION, RunDirectory, require_writable
from bench.sitting import Clock, Outcome, Progress, Sitting, new_summary

if TYPE_CHECKING:
    from bench.measure.calibrate import Calibration
    from bench.scenario import Scenario
    from bench.workload import Workload


def execute(
    scenario: "Scenario",
    names: Sequence[str],
    *,
    records: Path | None,
    is_strict: bool,
    results: Path,
    progress: Progress,
    clock: Clock = time.monotonic,
) -> Outcome:
    """Run the named experiments (the scenario's if none) in the scenario's budget, as ``clock`` counts it."""
    begin = clock()
    experiments = [find_experiment(name) for name in dict.fromkeys(names or scenario.experiments)]
    require_writable(results)
    workload = load_workload(scenario, experiments, records, is_strict=is_strict, say=progress.say)
    content = {
        "scenario": msgspec.to_builtins(scenario),
        "seed": scenario.seed,
        "options": {"records": None if records is None else str(records), "strict": is_strict},
        "workload": _describe_workload(workload),
        **describe_environment(),
        "rules": {name: claim.digest for name, claim in read_rules().claims.items()},
        "sittings": [],
        "calibrations": {},
        "drift": {},
        "experiments": {experiment.id: new_summary() for experiment in experiments},
    }
    run = RunDirectory.create(results, scenario.name, content)
    keep_copies(run.folder)
    return Sitting(run, Context(scenario, workload, run.folder), experiments, progress, clock, begin).execute()


def resume_run(folder: Path, *, records: Path | None, progress: Progress, clock: Clock = time.monotonic) -> Outcome:
    """Go on with a run that was stopped, on the machine and with all else that it began with.

    No case whose rows are all there is executed again, whatever its status: to repeat what failed until it succeeds
    would be to choose among results.  ``records`` is where its records are now, if they were moved.
    Raises `BenchError` if the run is complete, is at work, cannot be read, or began under other conditions.
    """
    from bench.report.load import read_manifest

    begin = clock()
    read_manifest(folder)
    run = RunDirectory.load(folder)
    try:
        return _go_on(run, records, progress, clock, begin)
    except BaseException:
        run.release()
        raise


def _go_on(run: RunDirectory, records: Path | None, progress: Progress, clock: Clock, begin: float) -> Outcome:
    from bench.report.load import read_manifest, validate_record
    from bench.scenario import convert_scenario

    folder = run.folder
    manifest = read_manifest(folder)  # once more: nobody changes it from here on
    if manifest.is_complete or manifest.schema_version != SCHEMA_VERSION:
        found = "a complete one" if manifest.is_complete else f"one of schema_version {manifest.schema_version}"
        raise BenchError(f"{folder}: expected a run of this version that was stopped, found {found}")
    validate_record(folder, manifest)
    _require_alike(folder, run.manifest, describe_environment())
    scenario = convert_scenario(run.manifest["scenario"], f"{folder / 'manifest.json'}: scenario")
    experiments = [find_experiment(name) for name in run.manifest["experiments"]]
    options, given = run.manifest["options"], records
    if given is None and options["records"] is not None:
        given = Path(options["records"])
    workload = load_workload(scenario, experiments, given, is_strict=options["strict"], say=progress.say)
    _require_alike(folder, run.manifest, {"workload": {"digest": workload.digest}})
    context = Context(scenario, workload, run.folder, _load_calibrations(run))
    done = _take_up(run, progress.say)
    keep_copies(folder)
    spent_s = sum(sitting["seconds"] for sitting in run.manifest["sittings"])
    return Sitting(run, context, experiments, progress, clock, begin, done, spent_s).execute()


def _require_alike(folder: Path, manifest: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise `BenchError` unless the sections of ``now`` are those that the run began with."""
    differences = find_differences({key: manifest.get(key) for key in now}, now)
    if differences:
        found = "; ".join(describe_differences(differences, limit=3))
        raise BenchError(f"{folder}: expected to go on under the conditions of its begin, found: {found}")


def _load_calibrations(run: RunDirectory) -> "dict[str, Calibration]":
    """The unit costs that were measured before: what is compared goes on with the same ones."""
    from bench.measure.calibrate import Calibration

    try:
        return msgspec.convert(run.manifest["calibrations"], dict[str, Calibration])
    except msgspec.ValidationError as error:
        raise BenchError(f"{run.folder / 'manifest.json'}: calibrations: {error}") from None


def _take_up(run: RunDirectory, say: Callable[[str], None]) -> dict[str, dict[str, list[Row]]]:
    """The rows of all whole cases, by experiment and case; what is left of a case that was cut off is removed."""
    from bench.report.load import read_rows

    done: dict[str, dict[str, list[Row]]] = {}
    files, kept = {}, set()
    for name, summary in run.manifest["experiments"].items():
        path, cases = run.folder / "raw" / f"{name}.jsonl", done.setdefault(name, {})
        if path.exists():
            files[path] = read_rows(path, may_be_cut=True)
            for row in files[path].rows:
                cases.setdefault(row["case"], []).append(row)
        summary["artefacts"] = {case: names for case, names in summary["artefacts"].items() if case in cases}
        kept |= {item for names in summary["artefacts"].values() for item in names}
    present = run.list_artefacts()
    for name in sorted(kept.difference(present)):
        raise BenchError(f"{run.folder / name}: expected a file of a run, found nothing")
    # In folders, and hidden ones: a note that somebody has put beside the manifest is not ours.
    left = [name for name in present if name not in kept and ("/" in name or name.startswith("."))]
    run.reopen()
    for path, found in files.items():
        os.truncate(path, found.size_bytes)
        if found.notice:
            say(found.notice)
    for name in left:
        (run.folder / name).unlink()
        say(f"{name} is removed: the case that wrote it was cut off")
    say(f"{run.folder.name}: going on after {sum(map(len, done.values()))} cases")
    return done


def load_workload(
    scenario: "Scenario",
    experiments: Sequence[Experiment],
    records: Path | None,
    *,
    is_strict: bool,
    say: Callable[[str], None],
) -> "Workload":
    """The run's records: a folder's, a generator's, or synthetic patients; sensor readings besides, by kind in turn."""
    from bench.workload import build_workload, find_source, load_folder, synthesise, vital_signs

    plan = scenario.workload
    if records is not None and plan.source is not None:
        raise BenchError(f"--records: expected it without a source in [workload], found {plan.source!r}")
    if records is not None:
        base = load_folder(records, strict=is_strict)
    elif not any(experiment.needs_records for experiment in experiments):
        base = build_workload((), "none")
    elif plan.source is not None:
        base = build_workload(find_source(plan.source)(plan), f"{plan.source}: seed {plan.seed}")
    else:
        say(f"Records of {plan.population} synthetic patients (made once, then cached) ...")
        base = synthesise(plan.population, plan.seed, plan.reference_date, warn=say)
    for skipped in base.skipped[:10]:
        say(f"skipped {skipped.path}: {skipped.reason}")
    if len(base.skipped) > 10:
        say(f"... and {len(base.skipped) - 10} more files or entries skipped")
    sensor = vital_signs(plan.sensor_patients, plan.sensor_readings, plan.seed)
    mixed = mix_kinds((*base.records, *sensor.records), scenario.seed)
    return build_workload(
        mixed,
        f"{base.source}; {sensor.source}",
        skipped=base.skipped,
        other_types=base.other_types,
        left_out=base.left_out,
    )


def mix_kinds(records: Sequence[Any], seed: str) -> list[Any]:
    """Records shuffled within their kind, the kinds taking turns until each is used up.

    Observations outnumber births a thousandfold; turns let every kind be seen early, and the longest go on last.
    """
    kinds: dict[int, list[Any]] = {}
    for record in records:
        kinds.setdefault(int(record.kind), []).append(record)
    for kind, found in kinds.items():
        random.Random(f"{seed}|mix|{kind}").shuffle(found)
    queues = [found[::-1] for _, found in sorted(kinds.items())]
    mixed = []
    while queues:
        mixed += [queue.pop() for queue in queues]
        queues = [queue for queue in queues if queue]
    return mixed


def _describe_workload(workload: "Workload") -> dict[str, Any]:
    return {
        "source": workload.source,
        "digest": workload.digest,
        "records": len(workload.records),
        "kinds": [{**asdict(row), "kind": row.kind.name.lower().replace("_", " ")} for row in workload.summary()],
        "skipped": [asdict(item) for item in workload.skipped],
        "other_types": dict(workload.other_types),
        "left_out": dict(workload.left_out),
    }


def describe_environment() -> dict[str, Any]:
    """What the manifest says of where a run is made and of the code that makes it."""
    from bench.measure.environment import describe_machine, describe_source, describe_versions

    source = {**describe_source(), "code_sha256": _digest_code()}
    known = {"machine": describe_machine(), "versions": describe_versions(), "git": source}
    return {**known, "extensions": describe_extensions()}


def _digest_code() -> str:
    """SHA-256, in hex, over the files of both packages; of a tree that was changed, the commit does not say enough."""
    total, root = hashlib.sha256(), Path(__file__).parents[1]
    for path in sorted(path for package in ("bench", "ehrcore") for path in (root / package).rglob("*.*")):
        if path.suffix in {".py", ".toml", ".csv"}:
            total.update(
                path.relative_to(root).as_posix().encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest()
            )
    return total.hexdigest()
