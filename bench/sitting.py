"""One go at a run: cases are executed, and every one of them leaves rows.

A case that fails, times out or finds no time left in the budget is a row with that status, never a gap.  Ctrl-C keeps
what is done.  A run that is killed at any moment can go on: unit costs and files that a case has used are in the
manifest before its rows are added.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from bench.engines.base import Context, find_engine
from bench.errors import BenchError
from bench.experiments import Case, Experiment, Row
from bench.record import RunDirectory, write_time
from ehrcore.errors import EhrError

if TYPE_CHECKING:
    from bench.measure.calibrate import Calibration

#: Seconds from any origin.
Clock = Callable[[], float]
#: The manifest is that old at most when a case ends; to write it takes milliseconds, and there may be many cases.
_FRESH_S: Final = 1.0


class Progress(Protocol):
    """What the run tells whoever watches."""

    def say(self, line: str) -> None:
        """A line of news."""

    def begin(self, experiment: str, cases: int) -> None:
        """An experiment begins with so many cases."""

    def step(self, label: str) -> None:
        """One case of it is done."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run; ``problems`` are lines about what must not go unnoticed."""

    run: RunDirectory
    is_interrupted: bool
    problems: tuple[str, ...]


def new_summary() -> dict[str, Any]:
    """What the manifest says of an experiment that has not begun."""
    return {"status": "pending", "cases": 0, "failed": 0, "not_begun": 0, "seconds": 0.0, "artefacts": {}}


class Sitting:
    """One go at a run: from its begin, or from where it was stopped, to its end, or to where it is stopped.

    ``done`` holds the rows of whole cases by experiment and case, from earlier sittings that took ``spent_s`` seconds
    of the budget; ``begin`` is when this one began, on ``clock``.
    """

    def __init__(
        self,
        run: RunDirectory,
        context: Context,
        experiments: Sequence[Experiment],
        progress: Progress,
        clock: Clock,
        begin: float,
        done: Mapping[str, Mapping[str, list[Row]]] | None = None,
        spent_s: float = 0.0,
    ) -> None:
        from bench.measure.noise import NoiseWatch

        self._run, self._context, self._experiments = run, context, experiments
        self._progress, self._clock, self._begin = progress, clock, begin
        self._done, self._spent_s = done or {}, spent_s
        self._watch, self._problems = NoiseWatch(), list[str]()
        self._entry: dict[str, Any] = {"started": write_time(datetime.now(UTC))}
        run.manifest["sittings"].append(self._entry)
        self._artefacts = set(run.list_artefacts())
        self._noted_s, self._noted_calibrations = -math.inf, 0

    def execute(self) -> Outcome:
        """Execute what is not done; a bug is recorded and raised."""
        is_interrupted = False
        try:
            for index, experiment in enumerate(self._experiments):
                self._run_experiment(experiment, self._find_deadline(self._experiments[index:]))
        except KeyboardInterrupt:
            is_interrupted = True
        except BaseException:
            self._note()
            self._run.finish("failed")
            self._run.release()
            raise
        self._note()
        self._run.finish("interrupted" if is_interrupted else "complete")
        return Outcome(self._run, is_interrupted, tuple(self._problems))

    def _find_deadline(self, rest: Sequence[Experiment]) -> float:
        """Until when cases of the first of ``rest`` may begin; what it leaves is shared by those after it."""
        budget_s = self._context.scenario.budget_s
        if budget_s is None:
            return math.inf
        now = self._clock()
        left_s = budget_s - self._spent_s - (now - self._begin)
        return now + left_s * rest[0].weight / sum(experiment.weight for experiment in rest)

    def _note(self) -> None:
        """Bring the manifest up to date; it is what will be known of this sitting if it is killed."""
        calibrations = self._context.calibrations
        self._entry |= {
            "finished": write_time(datetime.now(UTC)),
            "seconds": round(self._clock() - self._begin, 3),
            "noise": self._watch.read(),
        }
        self._run.manifest["calibrations"] = {name: msgspec.to_builtins(item) for name, item in calibrations.items()}
        self._run.manifest["drift"] = measure_drift(calibrations.values())
        self._run.save()
        self._noted_s, self._noted_calibrations = self._clock(), len(calibrations)

    def _run_experiment(self, experiment: Experiment, deadline: float) -> None:
        begin = self._clock()
        summary = self._run.manifest["experiments"][experiment.id]
        before_s = summary["seconds"]
        summary |= {"status": "running", "cases": 0, "failed": 0, "not_begun": 0}
        self._note()
        try:
            cases = experiment.cases(self._context.scenario)
            self._progress.begin(experiment.id, len(cases))
            rows = self._run_cases(experiment, cases, summary, deadline)
            if experiment.follow_up is not None:
                good = [row for row in rows if row["status"] == "ok"]
                cases = experiment.follow_up(self._context.scenario, good)
                if cases:
                    self._progress.begin(f"{experiment.id} (follow-up)", len(cases))
                    rows += self._run_cases(experiment, cases, summary, deadline)
            summary["status"] = "complete"
            self._problems += find_problems(experiment.id, rows)
        except BaseException as error:
            summary["status"] = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            raise
        finally:
            summary["seconds"] = round(before_s + self._clock() - begin, 3)

    def _run_cases(
        self, experiment: Experiment, cases: Sequence[Case], summary: dict[str, Any], deadline: float
    ) -> list[Row]:
        rows: list[Row] = []
        for case in cases:
            found = self._done.get(experiment.id, {}).get(case.label)
            if found is None:
                found = self._run_case(experiment, case, summary, is_late=self._clock() >= deadline)
            rows += found
            summary["cases"] += 1
            summary["failed"] += found[0]["status"] in {"failed", "timeout"}
            summary["not_begun"] += found[0].get("kind") == "not-begun"
            self._progress.step(case.label)
        return rows

    def _run_case(self, experiment: Experiment, case: Case, summary: dict[str, Any], *, is_late: bool) -> list[Row]:
        if is_late:
            reason = f"no time was left for {experiment.id} in the budget of {self._context.scenario.budget_s:g} s"
            found = [{"status": "skipped", "reason": reason, "kind": "not-begun", **case.settings}]
        else:
            found = self._try(case)
        if left := sorted(set(self._run.list_artefacts()) - self._artefacts):
            summary["artefacts"][case.label] = left
            self._artefacts.update(left)
        is_old = self._clock() - self._noted_s >= _FRESH_S
        if left or is_old or len(self._context.calibrations) > self._noted_calibrations:
            self._note()
        return self._run.append(experiment.id, case.label, found)

    def _try(self, case: Case) -> list[Row]:
        """The rows of the case's engine, or one that says why there are none."""
        try:
            found = find_engine(case.engine)(self._context, case)
        except (TimeoutError, BenchError, EhrError) as error:
            status = "timeout" if isinstance(error, TimeoutError) else "failed"
            return [{"status": status, "reason": str(error), **case.settings}]
        reason = f"expected rows of the engine {case.engine}, found none"
        return found or [{"status": "failed", "reason": reason, **case.settings}]


def measure_drift(calibrations: "Iterable[Calibration]") -> dict[str, float]:
    """By operation, the greatest of the unit costs measured in the course of a run over the least."""
    found: dict[str, list[float]] = {}
    for calibration in calibrations:
        for item in calibration.measured:
            found.setdefault(item.name, []).append(item.median_ns)
    return {name: max(values) / min(values) for name, values in found.items()}


def find_problems(name: str, rows: Sequence[Row]) -> list[str]:
    """What must not go unnoticed of an experiment: a check that does not hold, or that nothing measured counts.

    A case that fails beside others that succeed is a result (under proof of work, chains may split) and no problem.
    """
    broken = [str(row.get("check")) for row in rows if row.get("kind") == "check" and row.get("holds") is False]
    lines = [f"{name}: checks that do not hold: {len(broken)}, the first: {broken[0]}"] if broken else []
    # A process of the paired engine says `ok` of itself; what counts is what it measured.
    bad = [row for row in rows if row["status"] != "ok"]
    if bad and not any(row["status"] == "ok" and row.get("kind") != "process" for row in rows):
        lines.append(
            f"{name}: nothing that was measured counts, the first said: {bad[0].get('reason', bad[0]['status'])}"
        )
    return lines
