"""The abstract of a run's report: what was asked, what was run, and what came of it, each number from the run.

It is plain sentences, one paragraph an entry, for every form of the report: page, text and print.
"""

from typing import Final

from bench.analysis.claims import CONTRADICTED, UNTESTED
from bench.analysis.verdicts import Verdict
from bench.errata.table import ERRATA
from bench.report.claims import count_verdicts, find_changed_rules
from bench.report.model import Report
from bench.report.summary import format_bytes, format_duration

#: The paper on trial, as one cites it.
PAPER: Final = (
    "Amanat A, Rizwan M, Maple C, Zikria YB, Almadhor AS, Kim SW (2022). Blockchain and cloud computing-based secure "
    "electronic healthcare records storage and sharing. Frontiers in Public Health 10:938707. "
    "doi:10.3389/fpubh.2022.938707"
)
#: Where a paper says what it stands for; findings on these claims lead.
_HEADLINES: Final = ("abstract", "§5")


def write_abstract(report: Report) -> tuple[str, ...]:
    """The paragraphs, in order; without verdicts only what was asked and what was run."""
    return tuple(
        text for text in (_aim(report), _scope(report), *_findings(report.verdicts), *report.defence[:1]) if text
    )


def _aim(report: Report) -> str:
    run = sum(erratum.show is not None for erratum in ERRATA)
    return (
        "A paper of 2022 proposes a permissioned blockchain for electronic health records, with proof of stake, "
        "SHA-256 and ECDSA, and says that it beats the alternatives in throughput, computation, communication and "
        "security. This report holds its claims against a complete implementation. Each claim is judged by a rule"
        f"{_rules(report)} from tables that the run wrote; no verdict is typed. The paper has "
        f"{len(ERRATA)} errata, {run} of which running code shows; the rest are a matter of reading."
    )


def _rules(report: Report) -> str:
    changed = find_changed_rules(report)
    if changed is None:
        return ""
    return f" ({len(changed)} of them changed after the run had begun)" if changed else ", fixed when the run began,"


def _scope(report: Report) -> str:
    manifest, sections = report.manifest, report.sections
    rows, failed = sum(item.rows for item in sections), sum(item.failed for item in sections)
    seconds = sum(item.progress.seconds for item in sections)
    profile = f" of profile {manifest.profile}" if manifest.profile else ""
    made = f"{len(sections)} experiment{'s' if len(sections) != 1 else ''}"
    return (
        f"The run{profile} made {made} and recorded {rows:,} rows, {failed:,} of them not ok, in "
        f"{format_duration(seconds)}{describe_machine(report)}."
    )


def describe_machine(report: Report) -> str:
    """' on <processor> with <cores> usable cores and <memory>, <virtual or not>', as far as the run knows it."""
    machine = report.manifest.machine
    if not machine.get("cpu"):
        return ""
    parts = []
    if cores := machine.get("usable_cores"):
        parts.append(f"{cores} usable core{'s' if cores != 1 else ''}")
    if memory := machine.get("memory_bytes"):
        parts.append(f"{format_bytes(memory)} of memory")
    kind = {"True": ", a virtual machine", "False": ", a physical machine"}.get(str(machine.get("is_virtual")), "")
    return f" on {machine['cpu']}" + (f" with {' and '.join(parts)}" if parts else "") + kind


def _findings(verdicts: tuple[Verdict, ...]) -> list[str]:
    if not verdicts:
        return []
    found = [f"Of {len(verdicts)} claims: {count_verdicts(verdicts)}."]
    headlines = [item for item in verdicts if _is_headline(item) and item.verdict != UNTESTED]
    if headlines:
        told = " ".join(_tell(item, f"{item.verdict}; ") for item in headlines)
        found.append(f"On what the paper's abstract and conclusion claim. {told}")
    against = [item for item in verdicts if item.verdict == CONTRADICTED and not _is_headline(item)]
    if against:
        found.append("Contradicted besides: " + " ".join(map(_tell, against)))
    return found


def _is_headline(item: Verdict) -> bool:
    return any(place in item.claim.place for place in _HEADLINES)


def _tell(item: Verdict, verdict: str = "") -> str:
    return f"“{item.claim.says.rstrip('.')}” ({item.id}): {verdict}{_lead(item.says).rstrip('.')}."


def _lead(text: str) -> str:
    """What stands before the first semicolon that is in no brackets: the finding without what qualifies it."""
    depth = 0
    for index, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == ";" and depth == 0:
            return text[:index]
    return text
