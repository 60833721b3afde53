"""The first stage: execute the cases of experiments and keep every row.

A case that fails or times out is a row with that status, never a gap.  Ctrl-C keeps what is done.
"""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from bench.engines.base import Context, find_engine
from bench.errors import BenchError
from bench.experiments import Case, Experiment, Row, find_experiment
from bench.record import RunDirectory, require_writable
from ehrcore.errors import EhrError

if TYPE_CHECKING:
    from bench.measure.calibrate import Calibration
    from bench.scenario import Scenario
    from bench.workload import Workload


class Progress(Protocol):
    """What the run tells whoever watches."""

    def say(self, line: str) -> None:
        """A line of news."""

    def begin(self, experiment: str, cases: int) -> None:
        """An experiment begins with so many cases."""

    def step(self, label: str) -> None:
        """One case of it is done."""


def execute(
    scenario: "Scenario",
    names: Sequence[str],
    *,
    records: Path | None,
    is_strict: bool,
    results: Path,
    progress: Progress,
) -> tuple[RunDirectory, bool]:
    """Run the named experiments (the scenario's if none); the run, and whether it was interrupted.

    Everything that can be refused is refused before anything is written.
    """
    experiments = [find_experiment(name) for name in dict.fromkeys(names or scenario.experiments)]
    require_writable(results)
    workload = load_workload(scenario, experiments, records, is_strict=is_strict, say=progress.say)
    from bench.measure.environment import NoiseWatch

    watch, is_interrupted = NoiseWatch(), False
    run = RunDirectory.create(results, scenario.name, _describe(scenario, workload))
    context = Context(scenario, workload, run.folder)
    try:
        for experiment in experiments:
            _run_experiment(run, context, experiment, progress)
    except KeyboardInterrupt:
        is_interrupted = True
    except BaseException:
        run.finish("failed")
        raise
    run.manifest["noise"] = watch.read()
    if "calibration" in context.__dict__:
        run.manifest["calibration"] = {
            "costs": {name: asdict(costs) for name, costs in context.calibration.costs.items()},
            "measured": [asdict(item) for item in context.calibration.measured],
            "drift": measure_drift(context.calibrations.values()),
        }
    run.finish("interrupted" if is_interrupted else "complete")
    return run, is_interrupted


def measure_drift(calibrations: "Iterable[Calibration]") -> dict[str, float]:
    """By operation, the greatest of the unit costs measured in the course of a run over the least."""
    found: dict[str, list[float]] = {}
    for calibration in calibrations:
        for item in calibration.measured:
            found.setdefault(item.name, []).append(item.median_ns)
    return {name: max(values) / min(values) for name, values in found.items()}


def load_workload(
    scenario: "Scenario",
    experiments: Sequence[Experiment],
    records: Path | None,
    *,
    is_strict: bool,
    say: Callable[[str], None],
) -> "Workload":
    """The run's records: those of a folder, or synthetic patients; sensor readings besides.  Each kind in turn."""
    from bench.workload import build_workload, load_folder, synthesise, vital_signs

    plan = scenario.workload
    if records is not None:
        base = load_folder(records, strict=is_strict)
    elif any(experiment.needs_records for experiment in experiments):
        say(f"Records of {plan.population} synthetic patients (made once, then cached) ...")
        base = synthesise(plan.population, plan.seed, plan.reference_date, warn=say)
    else:
        base = build_workload((), "none")
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


def _describe(scenario: "Scenario", workload: "Workload") -> dict[str, Any]:
    from bench.measure.environment import describe_machine, describe_source, describe_versions

    return {
        "scenario": msgspec.to_builtins(scenario),
        "seed": scenario.seed,
        "workload": {
            "source": workload.source,
            "digest": workload.digest,
            "records": len(workload.records),
            "kinds": [{**asdict(row), "kind": row.kind.name.lower().replace("_", " ")} for row in workload.summary()],
            "skipped": [asdict(item) for item in workload.skipped],
            "other_types": dict(workload.other_types),
            "left_out": dict(workload.left_out),
        },
        "machine": describe_machine(),
        "versions": describe_versions(),
        "git": describe_source(),
    }


def _run_experiment(run: RunDirectory, context: Context, experiment: Experiment, progress: Progress) -> None:
    begin = time.monotonic()
    summary: dict[str, Any] = {"status": "running", "cases": 0, "failed": 0, "seconds": 0.0}
    run.manifest["experiments"][experiment.id] = summary
    run.save()
    rows: list[Row] = []
    try:
        cases = experiment.cases(context.scenario)
        progress.begin(experiment.id, len(cases))
        rows += _run_cases(run, context, experiment, cases, progress, summary)
        if experiment.follow_up is not None:
            cases = experiment.follow_up(context.scenario, [row for row in rows if row["status"] == "ok"])
            if cases:
                progress.begin(f"{experiment.id} (follow-up)", len(cases))
                _run_cases(run, context, experiment, cases, progress, summary)
        summary["status"] = "complete"
    except BaseException as error:
        summary["status"] = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        raise
    finally:
        summary["seconds"] = round(time.monotonic() - begin, 3)


def _run_cases(
    run: RunDirectory,
    context: Context,
    experiment: Experiment,
    cases: Sequence[Case],
    progress: Progress,
    summary: dict[str, Any],
) -> list[Row]:
    rows: list[Row] = []
    for case in cases:
        try:
            found = [{"case": case.label, "status": "ok", **row} for row in find_engine(case.engine)(context, case)]
        except (TimeoutError, BenchError, EhrError) as error:
            status = "timeout" if isinstance(error, TimeoutError) else "failed"
            found = [{"case": case.label, "status": status, "reason": str(error), **case.settings}]
            summary["failed"] += 1
        for row in found:
            run.append(experiment.id, row)
        rows += found
        summary["cases"] += 1
        progress.step(case.label)
    return rows
