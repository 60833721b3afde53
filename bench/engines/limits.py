"""Engine `limit`: measures one part of the project beside its limit or peer."""

from bench.engines.base import Context
from bench.experiments.base import Case, Row
from bench.limits import Unavailable, find_part
from bench.limits.base import build_row, build_unavailable


def run_limit(context: Context, case: Case) -> list[Row]:
    """One row per metric of the part that ``settings["part"]`` names; `BenchError` for an unknown part.

    A part that this machine cannot compare is there all the same, as unavailable, with the reason in its note.
    """
    name = case.settings.get("part")
    part = find_part(name)
    try:
        findings = part.measure(context.folder)
    except Unavailable as reason:
        return [build_unavailable(str(name), metric, str(reason)) for metric in part.metrics]
    return [build_row(str(name), *pair) for pair in zip(part.metrics, findings, strict=True)]
