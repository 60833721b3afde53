"""Threats to validity of a run: internal, external, construct, statistical conclusion (Cook and Campbell 1979).

What depends on the run (noise, flags, rows that do not count, estimated energy, the machine) is computed from it; what
every run shares is said with its reason.  Plain sentences, for every form of the report.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from bench.analysis.claims import UNTESTED
from bench.analysis.paired import HOLDS, UNRESOLVED, VIOLATED
from bench.errata.table import ERRATA
from bench.report.abstract import describe_machine
from bench.report.claims import describe_rules
from bench.report.controls import MOST_DRIFT, find_noise
from bench.report.method import Part, uses_network
from bench.report.model import BuiltTable, Report

if TYPE_CHECKING:
    import pandas as pd

#: Columns that say whether energy was measured.
_ENERGY: Final = ("energy_status", "status")


def list_threats(report: Report) -> tuple[Part, ...]:
    """The four classes, each with at least one sentence."""
    return (
        ("Internal validity", tuple(_internal(report))),
        ("External validity", tuple(_external(report))),
        ("Construct validity", tuple(_construct(report))),
        ("Statistical conclusion validity", tuple(_statistical(report))),
    )


# -- did what we name cause what we saw? -------------------------------------------------------------------------


def _internal(report: Report) -> Iterator[str]:
    manifest = report.manifest
    if not manifest.is_complete:
        yield f"The run is {manifest.status}, not complete: what it would have recorded later is not in any figure."
    yield from _quiet(report)
    yield from _drift(manifest.calibration.get("drift", {}))
    moved = sum("SHA-3 over MD5" in notice for notice in report.notices)
    if moved:
        yield (
            f"In {moved} experiments a ratio that should be the same everywhere moved between processes: a neighbour "
            "on the same core was at work, which no counter shows, and ratios of unlike work hold for that contention "
            "alone."
        )
    yield from _lost_rows(report)
    if uses_network(report):
        yield (
            "Nodes of real networks, their load generator and whoever attacks them share this machine's cores: what "
            "one takes the others lack, so absolute throughputs are those of a whole system on one machine."
        )
    if manifest.git.get("is_dirty"):
        yield "The code had changes that are not in the commit that the run names; the digest of all code is recorded."
    if (planted := report.frames.get("harness")) is not None:
        known = planted["is_right"].dropna()
        yield (
            f"The measuring engine judged {int(known.astype(bool).sum())} of {len(known)} planted or absent slow-downs "
            "rightly in this run (table harness)."
        )


def _quiet(report: Report) -> Iterator[str]:
    noise = report.manifest.noise
    shares = {"steal_share": "other machines", "foreign_cpu_share": "other processes"}
    known = [
        f"{noise[key]:.2%} by {who}".replace("%", " %") for key, who in shares.items() if noise.get(key) is not None
    ]
    loud = [line for line in find_noise(report.manifest) if line.startswith("the machine was not quiet")]
    if known:
        quiet = "" if loud else ", which the limits allow"
        yield f"Processor time taken during the run: {', '.join(known)}{quiet}."
    for line in loud:
        yield f"{line[0].upper()}{line[1:]}."
    if not known:
        yield "The run does not know what others took of the machine."


def _drift(drift: dict[str, float]) -> Iterator[str]:
    if not drift:
        return
    worst, moved = max(drift, key=lambda name: drift[name]), sum(value > MOST_DRIFT for value in drift.values())
    yield (
        f"Unit costs of simulations moved within the run, {moved} of {len(drift)} by more than {MOST_DRIFT:g} times "
        f"(most: {worst}, {drift[worst]:.3g} times): simulated absolute values are of their moments, ratios are paired."
    )


def _lost_rows(report: Report) -> Iterator[str]:
    counts = sum((section.lost for section in report.sections), Counter[str]())
    rows = sum(section.rows for section in report.sections)
    if counts:
        listed = ", ".join(f"{counts[status]:,} {status}" for status in sorted(counts))
        yield (
            f"Of {rows:,} rows {counts.total():,} are not ok and enter no table ({listed}); they are listed with their "
            "experiment, for rows that are missing may not be missing by chance."
        )
    elif rows:
        yield f"All {rows:,} recorded rows are ok; none was left out."
    if late := sum(section.progress.not_begun for section in report.sections):
        yield f"{late:,} cases were not begun, for the run's budget left no time."
    if left := sum(len(section.left_out) for section in report.sections):
        yield f"{left} tables, figures or answers are left out, for the rows that they need are not there."


# -- does it hold elsewhere? -------------------------------------------------------------------------------------


def _external(report: Report) -> Iterator[str]:
    manifest = report.manifest
    where = describe_machine(report).removeprefix(" on ")
    yield f"One machine was measured{': ' + where if where else ''}; another processor may order variants otherwise."
    if (instructions := manifest.machine.get("sha_ni")) is not None:
        masked = _has_value(report, "instructions", "masked")
        besides = "; hashes were also measured with them masked" if masked else ""
        yield f"What hash functions cost depends on the processor's SHA instructions ({instructions} here{besides})."
    if manifest.machine.get("is_virtual"):
        yield "It is a virtual machine: neighbours, frequency and energy counters are out of its sight."
    if uses_network(report):
        yield (
            "Real networks ran over loopback: latency, loss and bandwidth between machines are in no measured figure, "
            "and agreement of simulation and measurement on one machine says nothing of several."
        )
    if source := manifest.workload.get("source"):
        yield f"The records are from {source}; other hospitals' records differ in size and mix."
    table = report.frames.get("table1")
    if table is not None and len(table):
        nodes = table[["agents", "coordinators", "administrators", "contributors"]].sum(axis=1)
        yield f"The paper's networks have {nodes.min():.0f} to {nodes.max():.0f} nodes; far larger ones were not tried."
    yield (
        "The implementation is ours, in Python with native cryptography: no code of the paper's is known to us, so "
        "constants of proportion are ours and orders, ratios and counts are what can be compared."
    )


def _has_value(report: Report, column: str, text: str) -> bool:
    return any(
        column in frame and frame[column].astype(str).str.contains(text, regex=False).any()
        for frame in report.frames.values()
    )


# -- do the figures mean what they are called? -------------------------------------------------------------------


def _construct(report: Report) -> Iterator[str]:
    yield (
        f"The paper leaves much open and is wrong in places: {len(ERRATA)} errata say how each was read here. A claim "
        "is tested as corrected, which may be more than its authors had."
    )
    yield (
        "Claims are in our words and rules are ours. They were not made blindly: what the paper prints was known, and "
        "so were earlier runs; the paper's authors had no say in them."
    )
    if report.verdicts:
        yield describe_rules(report)
    kinds = _count_energy(report.frames.values())
    if kinds:
        listed = ", ".join(f"{kinds[kind]:,} {kind}" for kind in sorted(kinds))
        yield f"Of the rows with energy {listed}; where it is estimated, energy says nothing that CPU time does not."
    names = {*report.frames}
    if names & {"table1", "variants", "policy"}:
        yield (
            "Simulated throughput counts cryptography, encoding, messages and durable writes, not the interpreter's "
            "work in a role: absolute values are rather too high."
        )
    if "table1_fit" in names:
        yield (
            "Paper-calibrated throughputs were fitted to the paper's own numbers: agreement shows that message counts "
            "explain the shape, not that the numbers were measured so."
        )
    if "variants" in names:
        yield (
            "Proof of work runs at difficulties that can be simulated, with a search in Python: what it takes "
            "elsewhere is a model beyond these points, and its finality is one of odds, not of certificates."
        )
    if report.defence:
        yield "Attacks are those that we know: none that succeeded is no proof that none can."


def _count_energy(frames: Iterable["pd.DataFrame"]) -> Counter[str]:
    telling = [frame for frame in frames if any("energy" in str(name) or "_mj" in str(name) for name in frame)]
    texts = [text for frame in telling for column in _ENERGY if column in frame for text in frame[column]]
    return Counter(text for text in texts if text in {"measured", "estimated", "unavailable"})


# -- are the conclusions drawn rightly from the numbers? ---------------------------------------------------------


def _statistical(report: Report) -> Iterator[str]:
    compared = [built for built in report.tables if built.table.comparisons]
    if compared:
        yield from _tally(compared, report.flagged)
    tested = [item for verdict in report.verdicts if verdict.verdict != UNTESTED for item in verdict.evidence]
    if tested:
        bounded = sum(item.low is not None and item.high is not None for item in tested)
        yield (
            f"Verdicts rest on {len(tested)} tests, {bounded} of them with an interval; they are not corrected for "
            "their number over all claims, and within one only where its rule says so: a few at the edge of their "
            "limits may be chance."
        )
        still = sum(item.outcome == "open" for item in tested)
        yield f"{still} of these tests are open: their interval has the limit in it, or too little was tried."
    if "table1_regression" in report.frames:
        yield (
            "Slopes of the paper's table are those of single whole numbers in configurations that it chose, slopes of "
            "computed throughputs those of values without noise: their intervals say how well a plane fits, and are no "
            "test of a sample."
        )
    if any(item.tries is not None for item in tested):
        yield "Where nothing succeeded in so many tries, what is shown is the upper end of Wilson's interval, not zero."
    yield "Simulated runs repeat bit for bit: their spread is one of seeds and unit costs, not of machines."


def _tally(compared: list[BuiltTable], flagged: list[str]) -> Iterator[str]:
    counts: Counter[str] = Counter()
    for built in compared:
        for comparison in built.table.comparisons:
            rows = built.frame.rename(columns={comparison.verdict: "_verdict", comparison.low: "_low"})
            counts += _count_rows(rows)
    yield (
        f"Tables that compare variants: {len(compared)}; intervals are simultaneous within each, not over all. "
        f"{counts[HOLDS]} of {counts[HOLDS] + counts[VIOLATED]} A/A controls hold"
        + (f"; flagged: {', '.join(flagged)}." if flagged else "; no table is flagged.")
    )
    if counts["all"]:
        yield (
            f"Of {counts['all']} comparisons {counts[UNRESOLVED]} are unresolved, {counts['none']} of them for want of "
            "repeats for an interval; unresolved does not mean equal."
        )


def _count_rows(rows: "pd.DataFrame") -> Counter[str]:
    is_control = rows["is_control"].astype(bool)
    controls: Counter[Any] = Counter(rows.loc[is_control, "_verdict"])
    others = rows[~is_control & rows["_verdict"].ne("base")]
    open_ = others["_verdict"].eq(UNRESOLVED)
    return Counter({
        HOLDS: controls[HOLDS], VIOLATED: controls[VIOLATED], "all": len(others), UNRESOLVED: int(open_.sum()),
        "none": int((open_ & others["_low"].isna()).sum()),
    })  # fmt: skip
