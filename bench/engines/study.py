"""Engine `study`: one synthetic machine of the simulation study; nothing of the machine that it runs on is measured."""

from bench.analysis.paired import needed_clusters
from bench.analysis.study import MACHINES, TRUTHS, study_machine
from bench.engines.base import Context
from bench.errors import BenchError
from bench.experiments.base import Case, Row


def run_study(context: Context, case: Case) -> list[Row]:
    """A row per way of measuring, for the machine that ``settings["machine"]`` names; `BenchError` if it is unknown.

    So is too few processes for intervals at all.
    """
    name, plan = case.settings["machine"], context.scenario.paired
    if name not in MACHINES:
        raise BenchError(f"machine: expected one of {', '.join(MACHINES)}, found {name!r}")
    needed = needed_clusters(len(TRUTHS))
    if plan.processes < needed:
        raise BenchError(f"paired.processes: expected at least {needed} for the study, found {plan.processes}")
    seed = f"{context.scenario.seed}|study"
    return study_machine(MACHINES[name], case.settings["replications"], seed, plan.processes, plan.blocks)
