"""The artifact appendix, `ARTIFACT-APPENDIX.md`: what a reviewer runs, how long it takes, and what has to come out.

Its table is written from the claims and their rules, and from a reference run: minutes of a machine are those that its
experiments took, expected verdicts those that it keeps.  So the page cannot say anything else than they do.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Any, Final

from bench import experiments
from bench.analysis.claims import UNTESTED, Claim, Rules, RuleTest, read_rules
from bench.cli.options import TOLERANCE
from bench.errors import BenchError
from bench.report.claims import FILE as CLAIMS
from bench.report.load import read_content, read_manifest
from bench.report.summary import format_bytes
from bench.report.tables import escape_markdown

_NO_TEST: Final = "–"


def render_appendix(folder: Path) -> str:
    """The whole page, from the run in ``folder``; equal runs and rules give equal text.

    Raises `BenchError` for what is no complete run, or for one without a verdict on each claim.
    """
    if not read_manifest(folder).is_complete or "sittings" not in (manifest := read_content(folder)):
        raise BenchError(f"{folder}: expected a complete run of today's layout, found another")
    rules = read_rules()
    claims = _read_claims(folder, rules)
    seconds = sum(sitting["seconds"] for sitting in manifest["sittings"])
    size_bytes = sum((folder / name).stat().st_size for name in manifest["files"] if (folder / name).exists())
    return Template(Path(__file__).with_name("appendix.md").read_text(encoding="utf-8")).substitute(
        claims=len(rules.claims),
        size=format_bytes(size_bytes),
        profile=manifest["profile"],
        minutes=_minutes(seconds),
        person=sum(map(_person_minutes, rules.claims.values())),
        date=manifest["started"][:10],
        machine=_describe_machine(manifest),
        claim_table="\n".join(_claim_rows(manifest, rules, claims)),
        experiment_table="\n".join(_experiment_rows(manifest)),
        deviations="\n".join(f"- {line}" for line in _deviations(manifest, claims)),
    )


def _read_claims(folder: Path, rules: Rules) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads((folder / CLAIMS).read_text(encoding="utf-8"))
        found = {item["id"]: item for item in content["claims"]}
        return {name: found[name] for name in rules.claims}
    except FileNotFoundError:
        raise BenchError(f"{folder / CLAIMS}: expected verdicts, found none: ehrbench report {folder}") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BenchError(f"{folder / CLAIMS}: expected a file of verdicts, found: {error}") from None


def _minutes(seconds: float) -> str:
    """Whole minutes, rounded up; a second takes one."""
    return str(max(1, math.ceil(seconds / 60)))


def _describe_machine(manifest: Mapping[str, Any]) -> str:
    machine = manifest["machine"]
    facts = (
        f"{machine['cpu']} ({machine['architecture']}), {machine['usable_cores']} cores",
        f"{format_bytes(machine['memory_bytes'])} of memory, {machine['system']} {machine['kernel']}",
        *(["virtual"] if machine["is_virtual"] else []),
        f"Python {manifest['versions']['python']}",
    )
    return escape_markdown(", ".join(facts))


# -- tables ------------------------------------------------------------------------------------------------------


def _claim_rows(manifest: Mapping[str, Any], rules: Rules, claims: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield "| claim | what the paper says | person [min] | machine [min] | command | expected | tolerance |"
    yield "|---|---|---:|---:|---|---|---|"
    comparisons = _find_comparisons()
    for name, claim in rules.claims.items():
        found = claims[name]
        expected = f"**{found['verdict']}**: {escape_markdown(found['finding'])}"
        person = str(_person_minutes(claim) or _NO_TEST)
        cells = (
            *(name, escape_markdown(claim.says), person, _machine_minutes(manifest, claim)),
            *(_command(manifest, name, claim), expected, _describe_tolerance(claim, comparisons)),
        )
        yield f"| {' | '.join(cells)} |"


def _person_minutes(claim: Claim) -> int:
    """One to start it, and one for each two pieces of evidence; 0 where nothing tests it."""
    return 1 + math.ceil(len(claim.tests) / 2) if claim.tests else 0


def _machine_minutes(manifest: Mapping[str, Any], claim: Claim) -> str:
    taken = [manifest["experiments"].get(name, {}).get("seconds") for name in claim.experiments]
    return _minutes(sum(taken)) if taken and None not in taken else _NO_TEST


def _command(manifest: Mapping[str, Any], name: str, claim: Claim) -> str:
    if claim.untestable:
        return _NO_TEST
    if not claim.experiments:
        return f"`nox -s ehrbench -- claims results/reference --only {name}`"
    return f"`nox -s bench -- {' '.join(claim.experiments)} --profile {manifest['profile']}`"


def _find_comparisons() -> dict[str, tuple[set[str], set[str]]]:
    """Table -> its columns of ratios, and those that the seed alone determines."""
    tables = [table for name in experiments.QUESTIONS for table in experiments.find_experiment(name).tables]
    return {table.name: ({item.ratio for item in table.comparisons}, {*table.exact}) for table in tables}


def _describe_tolerance(claim: Claim, comparisons: Mapping[str, tuple[set[str], set[str]]]) -> str:
    said = dict.fromkeys(_tolerance(test, comparisons) for test in claim.tests.values())
    return "; ".join(said) if said else _NO_TEST


def _tolerance(test: RuleTest, comparisons: Mapping[str, tuple[set[str], set[str]]]) -> str:
    ratios, exact = comparisons.get(test.table, (set(), set()))
    if test.printed or test.column in exact:
        return "equal"
    if test.column in ratios:
        return f"ratios ± {100 * TOLERANCE:.0f} %"
    return "side of limit"


def _experiment_rows(manifest: Mapping[str, Any]) -> Iterator[str]:
    yield "| experiment | question | claims | machine [min] | command |"
    yield "|---|---|---|---:|---|"
    for name, progress in manifest["experiments"].items():
        experiment = experiments.find_experiment(name)
        claims, minutes = ", ".join(experiment.claims) or _NO_TEST, _minutes(progress["seconds"])
        command = f"`nox -s bench -- {name} --profile {manifest['profile']}`"
        yield f"| {' | '.join((name, escape_markdown(experiment.question), claims, minutes, command))} |"


def _deviations(manifest: Mapping[str, Any], claims: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What is particular to the reference run."""
    machine = manifest["machine"]
    yield f"SHA instructions in the reference run: {machine['sha_ni']}; energy counters: {machine['energy_counters']}."
    untested = [name for name, item in claims.items() if item["verdict"] == UNTESTED]
    yield f"Claims that the reference run leaves without a verdict: {', '.join(untested) or 'none'}."
    for name, progress in manifest["experiments"].items():
        lost = {"failed or timed out": progress.get("failed"), "not begun for lack of time": progress.get("not_begun")}
        if said := ", ".join(f"{count} {what}" for what, count in lost.items() if count):
            yield f"Of the {progress['cases']} cases of `{name}` in the reference run: {said}; each row says why."
