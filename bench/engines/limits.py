"""Engine `limit`: measures one part of the project beside its limit or peer."""

from typing import Any

from bench.engines.base import Context, judge_noise
from bench.experiments.base import Case, Row
from bench.limits import Finding, Metric, Unavailable, find_part
from bench.limits.base import build_row, build_unavailable
from bench.measure.noise import NoiseWatch


def run_limit(context: Context, case: Case) -> list[Row]:
    """One row per metric of the part that ``settings["limit"]`` names; `BenchError` for an unknown part.

    What this machine cannot compare is there all the same, as unavailable, with the reason in its note.  What was
    measured while others took too much of the machine is void.
    """
    name = case.settings.get("limit")
    part = find_part(name)
    watch = NoiseWatch()
    findings: list[Finding | Unavailable]
    try:
        findings = list(part.measure(context.folder))
    except Unavailable as reason:
        findings = [reason] * len(part.metrics)
    noise = watch.lap()
    about = judge_noise(context.scenario, noise) | noise
    return [_build(str(name), *pair, about) for pair in zip(part.metrics, findings, strict=True)]


def _build(part: str, metric: Metric, finding: Finding | Unavailable, about: dict[str, Any]) -> Row:
    if isinstance(finding, Unavailable):
        return build_unavailable(part, metric, str(finding))
    return {**about, **build_row(part, metric, finding)}
