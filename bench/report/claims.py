"""The verdicts of a run on the paper's claims: as `claims.json`, as a section of the report, and on the terminal."""

import csv
import io
import json
import math
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from bench.analysis.claims import UNTESTED, VERDICTS, Rules, read_rules
from bench.analysis.evidence import Evidence, Rows
from bench.analysis.verdicts import Verdict, describe, judge_claims
from bench.experiments.catalogue import PROFILES
from bench.report.tables import escape_markdown, pipe_table

if TYPE_CHECKING:
    from bench.report.load import Manifest
    from bench.report.model import Report

#: The derived file of a run that holds its verdicts.
FILE: Final = "claims.json"
INTRODUCTION: Final = (
    "What the paper says, in our words with the place, and what this run says of it, by the rules of "
    "paper/claims.toml, with the reason for each; no verdict is typed. Supported, supported under a condition and "
    "contradicted need every number that their decision asks for on its side of the limit, with its whole interval "
    "where it has one; other numbers are shown beside. Not supported means that this run does not show it, not that it "
    "shows the opposite. A claim of which the run lacks a table, row or value has no verdict. Commands measure what "
    "a rule reads again, as this run did."
)


def judge_report(report: "Report", rules: Rules | None = None) -> tuple[Verdict, ...]:
    """The verdicts of a report's tables, by the suite's rules unless others are given; `BenchError` as `read_rules`."""
    return judge_claims(rules or read_rules(), find_rows(report), _describe_options(report.manifest))


def _describe_options(manifest: "Manifest") -> str:
    """The options of the command that made the run; which file was laid over its profile it does not know."""
    profile, records = manifest.profile, manifest.options.get("records")
    parts = [f"--profile {profile}" if profile in PROFILES else "--config FILE"] if profile else []
    parts += [f"--engine {engine}"] if (engine := manifest.scenario.get("engine")) else []
    parts += [f"--records {shlex.quote(records)}"] if records else []
    return "".join(f" {part}" for part in parts)


def find_changed_rules(report: "Report") -> list[str] | None:
    """The claims whose rule is not the one that the run recorded when it began; None for a run that recorded none."""
    recorded = report.manifest.rules
    return [item.id for item in report.verdicts if recorded.get(item.id) != item.claim.digest] if recorded else None


def describe_rules(report: "Report") -> str:
    """Whether the verdicts are by the rules that were fixed when the run began: what its record says of it."""
    changed = find_changed_rules(report)
    if changed is None:
        return "The run has no record of the rules as they were when it began."
    if not changed:
        return "The rules are those that were fixed when the run began: it recorded a digest of each."
    return (
        f"Rules that changed after the run had begun: {', '.join(changed)} (it recorded a digest of each at its "
        "begin); their verdicts are by rules that were not fixed before it, all others by rules that were."
    )


def introduce(report: "Report") -> str:
    """What has to be known of the verdicts of a report."""
    return f"{INTRODUCTION} {describe_rules(report)}"


def find_rows(report: "Report") -> Callable[[str], Rows | None]:
    """What gives the rows of a table by its name as its CSV has them, which is what everybody else can judge from."""
    frames = report.frames

    @cache
    def find(name: str) -> Rows | None:
        if name not in frames:
            return None
        return list(csv.DictReader(io.StringIO(frames[name].to_csv(index=False, lineterminator="\n"))))

    return find


def count_verdicts(verdicts: Sequence[Verdict]) -> str:
    """How many claims have which verdict, in words."""
    counts = Counter(item.verdict for item in verdicts)
    return ", ".join(f"{counts[name]} {name}" for name in VERDICTS if counts[name])


def write_json(report: "Report", verdicts: Sequence[Verdict], rules: Rules) -> str:
    """The content of ``claims.json``; equal runs and rules give equal text."""
    manifest = report.manifest
    content = {
        "run_id": manifest.run_id, "status": manifest.status, "profile": manifest.profile,
        "record_sha256": manifest.record_sha256, "rules_sha256": rules.sha256,
        "rules_changed": find_changed_rules(replace(report, verdicts=tuple(verdicts))),
        "claims": [_as_json(item) for item in verdicts],
    }  # fmt: skip
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _as_json(item: Verdict) -> dict[str, Any]:
    claim = item.claim
    return {
        "id": item.id, "claim": claim.says, "place": claim.place, "verdict": item.verdict, "finding": item.says,
        "why": claim.why, "experiments": claim.experiments, "command": item.command,
        "evidence": [{key: _plain(value) for key, value in asdict(one).items()} for one in item.evidence],
    }  # fmt: skip


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


# -- for people --------------------------------------------------------------------------------------------------


def shown(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that say something."""
    return [item for item in verdicts if item.verdict != UNTESTED]


def list_untested(verdicts: Sequence[Verdict]) -> str:
    """A line on the claims that the run did not test; '' if it tested all."""
    names = [item.id for item in verdicts if item.verdict == UNTESTED]
    return f"Not tested in this run: {', '.join(names)}." if names else ""


def cite(item: Evidence) -> str:
    """A test's number with its place, on one line."""
    source = f" ({item.table}.{item.column})" if item.table else ""
    return f"{item.what}{source}: {describe(item)}"


def markdown_blocks(report: "Report") -> Iterator[str]:
    """The section of ``report.md``, block by block."""
    verdicts = report.verdicts
    if not verdicts:
        return
    yield "## Claims and verdicts"
    yield introduce(report)
    yield escape_markdown(f"{len(verdicts)} claims: {count_verdicts(verdicts)}.")
    headings = ("Claim", "What the paper says", "Verdict", "Evidence", "Command")
    yield pipe_table(headings, map(_markdown_row, shown(verdicts)))
    if line := list_untested(verdicts):
        yield line


def _markdown_row(item: Verdict) -> tuple[str, ...]:
    claim = item.claim
    evidence = "<br>".join(escape_markdown(cite(one)) for one in item.evidence)
    verdict = f"**{item.verdict}**: {escape_markdown(item.says)}"
    command = f"`{item.command}`" if item.command else ""
    return item.id, escape_markdown(f"{claim.says} ({claim.place})"), verdict, evidence, command
