"""What crashes, pauses, partitions and lies do to a steady load, up to the limit of what is promised and beyond.

*Simulated*: every cell, for some seeds, with every invariant watched.  *Real nodes*: crashes, pauses and cuts, for
the cells that the scenario names (all with ``--engine net``).  `bench.experiments.faults_cells` says what a cell is.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from bench.experiments.base import Column, Experiment, Figure, Frame, Row, Table
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.faults_cells import declare_cases
from bench.experiments.faults_figures import REAL, SIMULATED, draw_course, draw_limit
from bench.experiments.faults_judge import CLAIM_COLUMNS, answer, build_claims, is_expected, summarise_outcomes
from bench.experiments.rows import list_rows, select_rows, to_frame
from ehrcore.types import SECOND

#: Columns that are the same in all runs of a cell.
_KEYS: Final = ("engine", "cell", "group", "rule", "administrators", "fault", "count", "when", "expected")
_PERCENTILES: Final = ("p50", "p95", "p99", "max")
_MEDIANS: Final = (
    "before_per_s", "during_per_s", "dip_per_s", "late_per_s", "stall_s", "recovery_s", "settling_s",
    *(f"latency_{name}_ms" for name in _PERCENTILES),
)  # fmt: skip
_SUMS: Final = ("uncommitted", "waiting", "lost", "taken")


def _select(raw: Frame, kind: str) -> Frame:
    """The rows of a kind; what is counted is a whole number again, which it is not beside rows that lack it."""
    rows = raw[raw["kind"] == kind]
    return rows.astype({name: int for name in ("administrators", "count") if rows[name].notna().all()})


def _group(runs: Frame) -> Iterator[tuple[Row, Frame]]:
    for _, part in runs.groupby(["engine", "cell"], sort=False):
        yield {name: part[name].iloc[0] for name in _KEYS}, part


def _describe(runs: Frame) -> Row:
    """What came of the runs of one cell: verdicts of all, medians, and what is counted over all."""
    numbers = runs.reindex(columns=[*_MEDIANS, *_SUMS]).astype(float)
    asked = numbers["before_per_s"].notna()  # of a fault that was there from the start nobody recovers
    row: Row = {
        "found": summarise_outcomes(runs),
        "is_expected": all(map(is_expected, list_rows(runs))),
        "runs": len(runs),
        "not_run": int(runs["planned"].iloc[0]) - len(runs),
        "not_recovered": int(numbers["recovery_s"][asked].isna().sum()) if asked.any() else None,
    }
    row |= {name: numbers[name].median() for name in _MEDIANS}
    row |= {name: int(numbers[name].sum()) if numbers[name].notna().any() else None for name in _SUMS}
    bounds = set(", ".join(runs.reindex(columns=["latency_bounds"])["latency_bounds"].dropna()).split(", "))
    return row | {"bounds": ", ".join(name for name in _PERCENTILES if name in bounds)}


def build_cells(raw: Frame, engine: str, columns: Mapping[str, Column]) -> Frame:
    """A row per cell of an engine; none if nothing was measured with it."""
    import pandas as pd

    runs = _select(raw, "cell")
    runs = runs[runs["engine"] == engine]
    rows = [
        {**keys, **_describe(part), "stakes": " : ".join(map(str, part["stakes"].iloc[0])) or "equal",
         "happened": part.get("happened", pd.Series([""])).iloc[0]}
        for keys, part in _group(runs)
    ]  # fmt: skip
    return to_frame(rows, columns)


def build_size(raw: Frame) -> Frame:
    """Claim C11: one faulty administrator of three and of four, side by side."""
    runs = _select(raw, "cell")
    is_asked = runs["administrators"].isin([3, 4]) & (runs["count"] == 1) & runs["group"].isin(["limit", "rules"])
    rows = [{**keys, **_describe(part)} for keys, part in _group(runs[is_asked & (runs["fault"] != "none")])]
    order = ["rule", "fault", "when", "administrators", "engine"]
    return to_frame(rows, SIZE_COLUMNS).sort_values(order, ignore_index=True)


def build_controls(raw: Frame) -> Frame:
    """A row per negative control."""
    checks = raw.reindex(columns=[*raw.columns, *({"mutant", "holds"} - {*raw.columns})])
    checks = checks[checks["mutant"].notna()].assign(is_caught=checks["holds"])
    return select_rows(checks, "check", CONTROL_COLUMNS, {"is_caught": bool})


def build_course(raw: Frame) -> Frame:
    """Throughput over time of every cell: the median of its runs, and the least and the most."""
    bins = _select(raw, "course").assign(**{f"{name}_s": raw[f"{name}_ns"] / SECOND for name in ("fault", "heal")})
    keys = ["engine", "cell", "offered_per_s", "load_s", "fault_s", "heal_s", "at_s"]
    grouped = bins.groupby(keys, sort=False, dropna=False)["commits_per_s"]
    frame = grouped.agg(["median", "min", "max"]).reset_index()
    return frame.rename(columns={name: f"commits_per_s{end}" for name, end in _ENDS.items()})[list(COURSE_COLUMNS)]


_ENDS: Final = {"median": "", "min": "_low", "max": "_high"}
_NUMBERS: Final = {
    "before_per_s": Column("Before", "tx/s", ".1f"),
    "during_per_s": Column("During", "tx/s", ".1f"),
    "dip_per_s": Column("Lowest second", "tx/s", ".1f"),
    "late_per_s": Column("Late", "tx/s", ".1f"),
    "stall_s": Column("Longest stall", "s", ".2f"),
    "recovery_s": Column("Time to recover", "s", ".2f"),
    "not_recovered": Column("Not recovered", "runs", "d"),
    **{f"latency_{name}_ms": Column(f"Latency {name}", "ms", ".0f") for name in _PERCENTILES},
    "bounds": Column("Lower bounds"),
    "uncommitted": Column("Censored", "tx", "d"),
    "settling_s": Column("Settled after all were back", "s", ".2f"),
    "waiting": Column("Waiting at the end", "tx"),
    "lost": Column("Lost", "tx"),
    "taken": Column("Acknowledged", "tx"),
    "runs": Column("Runs"),
    "not_run": Column("Runs void or missing"),
}
_VERDICTS: Final = {"expected": Column("Expected"), "found": Column("Found"), "is_expected": Column("As expected")}
_WHAT: Final = {
    "rule": Column("Rule"),
    "administrators": Column("Administrators"),
    "fault": Column("Fault"),
    "count": Column("Faulty"),
    "when": Column("When"),
}
COLUMNS: Final = {
    "cell": Column("Cell"),
    **_WHAT,
    **_VERDICTS,
    **_NUMBERS,
    "stakes": Column("Stakes"),
    "group": Column("Group"),
}
REAL_COLUMNS: Final = {"cell": Column("Cell"), **_WHAT, **_VERDICTS, **_NUMBERS, "happened": Column("What was done")}
SIZE_COLUMNS: Final = {
    **_WHAT,
    "engine": Column("Network"),
    **_VERDICTS,
    **{name: _NUMBERS[name] for name in ("dip_per_s", "stall_s", "recovery_s", "latency_p99_ms", "lost", "runs")},
}
CONTROL_COLUMNS: Final = {
    "mutant": Column("Control"),
    "planted": Column("What is planted"),
    "expected": Column("Has to break"),
    "found": Column("Broke"),
    "schedule": Column("Under the schedule"),
    "is_caught": Column("Caught, and nothing without it"),
}
COURSE_COLUMNS: Final = {
    "engine": Column("Network"),
    "cell": Column("Cell"),
    "offered_per_s": Column("Offered", "tx/s", ".0f"),
    "load_s": Column("Load", "s", ".1f"),
    "fault_s": Column("Fault", "s", ".2f"),
    "heal_s": Column("Healed", "s", ".2f"),
    "at_s": Column("Time", "s", ".2f"),
    "commits_per_s": Column("Committed", "tx/s", ".1f"),
    "commits_per_s_low": Column("Committed, least", "tx/s", ".1f"),
    "commits_per_s_high": Column("Committed, most", "tx/s", ".1f"),
}
_SIMULATED: Final = (
    "Simulated: unchanged roles in virtual time, modelled processors (fixed example costs), links and disks; every "
    "invariant watched after every step. "
)
_REAL: Final = (
    "Measured: a process per node on this machine, HTTP over loopback; crash: SIGKILL and a new process, pause: "
    "SIGSTOP, cut: TCP relays that fall silent. "
)
_TERMS: Final = (
    "Steady open loop. Lowest second: from the fault to the end of the load; late: its last quarter. Recovered: what "
    "waits is again at most twice what waited before, counted from the heal, or from the fault if it stays. Latency of "
    "what was asked for from the fault on, to a quorum of contributors; censored: not committed while anybody watched "
    "(until then a stall counts that goes on). Afterwards all that was down or cut comes back; lost is what an agent "
    "had acknowledged (visitors' transactions and evidence), no agent keeps any more and some ledger lacks. "
)
_SHOWN: Final = ("administrators", "fault", "count", "found", "is_expected", "dip_per_s", "stall_s", "recovery_s",
                 "lost")  # fmt: skip
EXPERIMENT: Final = Experiment(
    "faults", QUESTIONS["faults"], ("C09", "C10", "C11", "C22", "C23"), declare_cases,
    (
        Table(
            "faults",
            _SIMULATED + _TERMS + "Expected of proof of stake with a quorum q of n: live if at most n - q fail, safe "
            "if fewer than 2 q - n lie, nothing beyond. A run ends at the first "
            "violation, and of one there are counts up to then alone. Medians over seeds; transactions are summed.",
            COLUMNS, partial(build_cells, engine=SIMULATED, columns=COLUMNS),
            (*_SHOWN, "when"),
            keys=("cell",), exact=("found", "is_expected"),
        ),
        Table(
            "faults_c11",
            "One faulty administrator of three and of four (claim C11). " + _SIMULATED + _REAL + "Medians over runs.",
            SIZE_COLUMNS, build_size,
        ),
        Table(
            "faults_net",
            _REAL + _TERMS + "Safe: after the run, the ledgers of all contributors and of the first coordinator hold "
            "the same blocks, one of them replayed from genesis, each transaction once. Medians over networks.",
            REAL_COLUMNS, partial(build_cells, engine=REAL, columns=REAL_COLUMNS),
            _SHOWN,
        ),
        Table(
            "faults_claims",
            "What the runs of all tables say of the paper's claims. Live: commits go on while the fault is there. "
            "Where nothing is promised, what is found counts as expected.",
            CLAIM_COLUMNS, build_claims,
            ("claim", "runs", "as_expected", "violated", "lost"),
        ),
        Table(
            "faults_controls",
            "Negative controls: bugs planted in the rules, and one liar too many, under schedules made for them or "
            "found among random ones. Simulated. An experiment that misses one proves nothing.",
            CONTROL_COLUMNS, build_controls,
            ("mutant", "found", "schedule", "is_caught"),
            keys=("mutant",), exact=("is_caught",),
        ),
        Table(
            "faults_course",
            "Throughput over time, by half seconds: the median of each cell's runs, the least and the most. "
            "The instants of fault and heal are those planned.",
            COURSE_COLUMNS, build_course,
        ),
    ),
    (
        Figure(
            "faults_course",
            "Throughput over time under a steady load (dotted), by half seconds: simulated (median over seeds, range "
            "shaded) and, where it was measured, on real nodes of this machine (median over networks). The fault "
            "begins at the dashed line and lasts while it is grey. What has piled up comes in peaks past the axis.",
            draw_course,
        ),
        Figure(
            "faults_limit",
            "Simulated: what is committed while administrators are faulty (from mid-run on), as a share of what is "
            "offered, over their share of all; medians over seeds (past 100 %: what had piled up). Crosses at the "
            "foot: safety was violated for some seed, and of those runs there is no throughput. Dashed: one third.",
            draw_limit,
        ),
    ),
    answer=answer, weight=13.0,
)  # fmt: skip
