"""What a real network commits as more and more is offered: the ladder, the knee, and what holds the network back.

A process per node, HTTP, real signatures and disks, on this machine alone.  A closed loop finds what the network can
do; the rungs of the ladder are shares of that, offered on a schedule whatever the network does.
"""

from collections.abc import Sequence
from typing import Final

from bench.analysis.knee import SHORTFALL, find_crossing, find_knee, middle_of_networks
from bench.experiments.base import Case, Column, Experiment, Figure, Frame, Row, Scenario, Table
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.columns import PER_TX, list_costs, with_ends
from bench.experiments.load_figures import draw_load
from bench.experiments.load_processes import (
    COUNTS,
    LEG_COLUMNS,
    NODE_COLUMNS,
    ROLE_COLUMNS,
    ROLES,
    build_legs,
    build_roles,
    describe_middle,
    select,
)
from bench.experiments.rows import describe_medians, to_frame

_STAGES: Final = {"first": "the first", "quorum": "a quorum", "everyone": "all"}
_PERCENTILES: Final = ("p50", "p95", "p99")


def declare_cases(scenario: Scenario) -> list[Case]:
    """The first network of each configuration, whose closed loop says where the rungs are."""
    return [_declare(topology, 0, None, scenario) for topology in scenario.load.topologies]


def declare_others(scenario: Scenario, rows: list[Row]) -> list[Case]:
    """The other networks of each configuration, on the rungs of the first."""
    cases = []
    for topology in scenario.load.topologies:
        rungs = [row for row in rows if row["kind"] == "rung" and [row[name] for name in COUNTS] == topology]
        rates = sorted({row["rate_per_s"] for row in rungs})
        if len(rates) == len(scenario.load.shares):
            cases += [_declare(topology, number, rates, scenario) for number in range(1, scenario.load.networks)]
    return cases


def _declare(topology: Sequence[int], network: int, rates: list[float] | None, scenario: Scenario) -> Case:
    plan, counts = scenario.load, dict(zip(COUNTS, topology, strict=True))
    settings = {**counts, "network": network, "rates_per_s": rates, "planned": plan.networks * plan.rounds}
    label = f"{'-'.join(map(str, topology))}-network-{network}"
    return Case(label, "ladder", settings | {"planned_networks": plan.networks, "cap_ms": plan.cap_ms})


def build_ladder(raw: Frame) -> Frame:
    """A row per configuration and rung: medians over its repeats."""
    rows = []
    for counts, part in select(raw, "rung"):
        for share, rung in part.groupby("share", sort=True):
            row: Row = {**counts, "share": share}
            for name in ("offered_per_s", "accepted_per_s", "goodput_per_s"):
                row[name] = rung[name].astype(float).median()
            row |= describe_middle("committed_per_s", rung["committed_per_s"].tolist())
            for stage in _STAGES:
                for name in _PERCENTILES:
                    values = rung[f"latency_{stage}_{name}_ms"].tolist()
                    found = describe_middle(f"{stage}_{name}_ms", values)
                    row |= found if stage == "quorum" else {f"{stage}_{name}_ms": found[f"{stage}_{name}_ms"]}
            row |= _describe_rung(rung)
            rows.append(row)
    return to_frame(rows, LADDER_COLUMNS)


def _describe_rung(rung: Frame) -> Row:
    committed = rung["committed_per_s"].astype(float).fillna(0.0)
    shortfall = (1 - committed / rung["offered_per_s"]).median()
    bounds = dict.fromkeys(name for names in rung["latency_quorum_bounds"] for name in names.split(", ") if name)
    return {
        **{f"cpu_ms_per_tx_{role}": rung[f"cpu_s_per_tx_{role}"].median() * 1e3 for role in ROLES},
        **{name: rung[name].median() for name in ("cores_busy", "queued", "lateness_p99_ms")},
        "unanswered": int(rung["unanswered_tx"].sum()),
        "bounds": ", ".join(bounds),
        "verdict": "keeps up" if shortfall <= SHORTFALL else "falls behind",
        "repeats": len(rung),
        "voided": int(rung["planned"].iloc[0]) - len(rung),
    }


LADDER_COLUMNS: Final = {
    **NODE_COLUMNS,
    "share": Column("Share of closed loop", "", ".0%"),
    "offered_per_s": Column("Offered", "tx/s", ".0f"),
    "accepted_per_s": Column("Accepted", "tx/s", ".0f"),
    **with_ends("committed_per_s", "Committed", "tx/s", ".0f"),
    "goodput_per_s": Column("Goodput", "tx/s", ".0f"),
    "verdict": Column("The network"),
    **with_ends("quorum_p50_ms", "Latency p50", "ms", ".1f"),
    **with_ends("quorum_p95_ms", "Latency p95", "ms", ".1f"),
    **with_ends("quorum_p99_ms", "Latency p99", "ms", ".1f"),
    **{
        f"{stage}_{name}_ms": Column(f"Latency to {_STAGES[stage]}, {name}", "ms", ".1f")
        for stage in ("first", "everyone")
        for name in _PERCENTILES
    },
    "bounds": Column("Lower bounds"),
    "lateness_p99_ms": Column("Lateness p99", "ms", ".2f"),
    **{f"cpu_ms_per_tx_{role}": Column(f"CPU {role}", "ms/tx", ".2f") for role in ROLES},
    "cores_busy": Column("Cores busy", "", ".2f"),
    "queued": Column("Waiting at the end", "tx and messages", ".0f"),
    "unanswered": Column("Unanswered", "tx"),
    "repeats": Column("Repeats"),
    "voided": Column("Repeats void"),
}


def build_capacity(raw: Frame) -> Frame:
    """A row per configuration: closed loop, knee, throughput under the latency cap, and what limits it."""
    rungs = {tuple(counts.values()): part for counts, part in select(raw, "rung")}
    rows = []
    for counts, full in select(raw, "saturated"):
        rates = full["committed_per_s"].tolist(), full["committed_per_s_parts"]
        row: Row = counts | dict(zip(_SATURATED, middle_of_networks(*rates), strict=True))
        ladder = rungs.get(tuple(counts.values()))
        repeats = [] if ladder is None else [part for _, part in ladder.groupby(["network", "round"])]
        cap_ms = float(full["cap_ms"].iloc[0])
        row |= describe_middle("knee_per_s", [find_knee(_points(part, "committed_per_s")) for part in repeats])
        row |= describe_middle("capped_per_s", [find_crossing(_latencies(part), cap_ms) for part in repeats])
        row["cap_ms"] = cap_ms
        first = full.iloc[0]
        row |= {name: first[name] for name in ("bottleneck", "cores_busy", "busiest_share", "disk_share")}
        row |= {name: full[name].median() for name in ("messages_per_tx", "frames_per_tx", "commits_per_tx")}
        row |= describe_medians(full, PER_TX) | {"rss_megabytes": full["rss_bytes"].max() / 1e6}
        row |= {"energy_status": first["energy_status"], "audited_tx": int(full["audited_tx"].sum())}
        row |= {"networks": len(full), "repeats": len(repeats)}
        rows.append(row)
    return to_frame(rows, CAPACITY_COLUMNS)


_SATURATED: Final = ("saturated_per_s", "saturated_per_s_low", "saturated_per_s_high")


def _points(part: Frame, name: str) -> list[tuple[float, float | None]]:
    """What was offered on each rung, and the column ``name`` there; None where it is missing."""
    values = (None if value is None or value != value else float(value) for value in part[name])  # noqa: PLR0124 - NaN
    return list(zip(part["offered_per_s"].astype(float), values, strict=True))


def _latencies(part: Frame) -> list[tuple[float, float]]:
    points = _points(part, "latency_quorum_p95_ms")
    return [(offered, latency) for offered, latency in points if latency is not None]


CAPACITY_COLUMNS: Final = {
    **NODE_COLUMNS,
    **with_ends("saturated_per_s", "Closed loop", "tx/s", ".0f"),
    **with_ends("knee_per_s", "Knee", "tx/s", ".0f"),
    "capped_per_s": Column("Under the latency cap", "tx/s", ".0f"),
    "capped_per_s_low": Column("Under the cap, low", "tx/s", ".0f"),
    "capped_per_s_high": Column("Under the cap, high", "tx/s", ".0f"),
    "cap_ms": Column("Cap of p95", "ms", ".0f"),
    "bottleneck": Column("Bottleneck"),
    "cores_busy": Column("Cores busy", "", ".2f"),
    "busiest_share": Column("Busiest process", "cores", ".2f"),
    "disk_share": Column("Longest at its disk", "share", ".2f"),
    **list_costs("Energy,"),
    "frames_per_tx": Column("Frames", "1/tx", ".2f"),
    "commits_per_tx": Column("Durable commits", "1/tx", ".2f"),
    "rss_megabytes": Column("Memory of all", "MB", ".0f"),
    "networks": Column("Networks"),
    "repeats": Column("Ladders"),
    "audited_tx": Column("Audited in the ledgers", "tx"),
}


_HOW: Final = (
    "Measured: a process per node on this machine, HTTP over loopback, real signatures, durable ledgers, and the load "
    "generator on the same cores as a process of its own. "
)
EXPERIMENT: Final = Experiment(
    "load", QUESTIONS["load"], ("C26", "C31", "C44"), declare_cases,
    (
        Table(
            "load_capacity",
            _HOW + "Closed loop: so many transactions always under way. Knee: the offered load from which on more than "
            "5 % of it is not committed, straight between rungs; under the cap: that up to which the 95th percentile "
            "of latency to a quorum stays below it; infinite where no rung is beyond. Medians over ladders (closed "
            "loop: over networks, with the interval of consecutive parts of their runs where there are fewer than six) "
            "with exact sign-test intervals of 95 % each. The bottleneck is named from what was busy in the closed "
            "loop. Every transaction that was acknowledged was found once in each contributor's ledger. Energy without "
            "idle power.",
            CAPACITY_COLUMNS, build_capacity,
            (*COUNTS, "saturated_per_s", "knee_per_s", "capped_per_s", "cap_ms", "cpu_ms_per_tx", "bottleneck"),
        ),
        Table(
            "load_ladder",
            _HOW + "Open loop: transactions come on a schedule, latency counts from the intended instant, to the "
            "receipt of the first, a quorum and all of the contributors. Accepted: taken and not refused by the "
            "agents; committed: in the ledgers of all; goodput: valid, and in time. A rung whose generator lagged, or "
            "of which others took too much of the machine, is void. The lowest, on which it hangs whether a network "
            "keeps up at all, lasts longer where the scenario says so (first_tx), and is played again where others "
            "took too much. Medians over repeats with exact sign-test intervals of 95 % each.",
            LADDER_COLUMNS, build_ladder,
            (*COUNTS, "share", "offered_per_s", "accepted_per_s", "committed_per_s", "goodput_per_s",
             "quorum_p50_ms", "quorum_p95_ms", "quorum_p99_ms", "verdict"),
        ),
        Table(
            "load_roles",
            _HOW + "What one transaction took of all processes of a role, in the closed loop; the load generator "
            "stands for the visitors. Energy shared out by processor time.",
            ROLE_COLUMNS, build_roles,
            (*COUNTS, "role", "nodes", "cpu_ms_per_tx", "energy_mj_per_tx", "commits_per_tx", "rss_megabytes"),
        ),
        Table(
            "load_legs",
            _HOW + "Messages and their bytes (frames and HTTP not counted) per transaction by leg, in the closed loop.",
            LEG_COLUMNS, build_legs,
        ),
    ),
    (
        Figure(
            "load_curves",
            _HOW + "Left: what is committed of what is offered; the dashed line is all of it, a vertical line the "
            "knee. Right: latency to a quorum over what is committed, median (solid) and 95th percentile (dotted); "
            "the grey line is the cap. Medians over repeats with 95 % intervals where there are enough repeats.",
            draw_load,
        ),
    ),
    declare_others,
    needs_records=True, weight=12.0,
)  # fmt: skip
