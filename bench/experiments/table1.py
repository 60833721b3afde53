"""Table 1 of the paper: its 18 configurations, simulated, and where asked for over real networks.

Three ways, never mixed.  *Computed*: saturated throughput and commit latency with this machine's calibrated
cryptographic costs; only shape and rank can be compared with the paper.  *Paper-calibrated*: one transaction at a time,
each message taking a delay fitted to the printed numbers; it shows whether message counts alone explain them.
*Measured*: a process per node on this machine (``--engine net``, or the rows that the scenario names).
"""

from typing import TYPE_CHECKING, Any, Final

from bench.analysis.message_models import fit_delays
from bench.analysis.paper_table import LEAST_ROWS, OUTLIER_ROW, REPEATED_ROW, read_paper_table
from bench.experiments import table1_agreement, table1_models, table1_printed, table1_regression
from bench.experiments.base import Case, Column, Experiment, Figure, Row, Table
from bench.experiments.table1_answer import answer
from bench.experiments.table1_effect_figures import draw_influence, draw_models, draw_shares
from bench.experiments.table1_figures import draw_cost, draw_kinds, draw_main
from bench.experiments.table1_net import NET_COLUMNS
from bench.experiments.table1_rows import FLAGS, configurations

if TYPE_CHECKING:
    import pandas as pd

    from bench.scenario import Scenario

CONFIGURATION: Final = "configuration"
CALIBRATED: Final = "paper-calibrated"


def declare_cases(scenario: "Scenario") -> list[Case]:
    """One case per printed row, and one more for each repeat of those that are measured over real networks."""
    cases = []
    for paper in read_paper_table():
        settings = {
            "row": paper.row,
            "printed_conf": paper.printed_conf,
            "agents": paper.agents,
            "coordinators": paper.coordinators,
            "administrators": paper.administrators,
            "contributors": paper.contributors,
            "paper_tx_per_6min": paper.tx_per_6min,
        }
        cases.append(Case(f"row-{paper.row:02d}", CONFIGURATION, settings))
    repeats = range(scenario.net.repeats)
    rows = {case.settings["row"]: case.settings for case in cases}
    nets = [(row, repeat) for repeat in repeats for row in sorted(scenario.net_rows)]
    return cases + [Case(f"net-{row:02d}-{repeat}", "configuration-net", rows[row]) for row, repeat in nets]


def declare_calibrated(scenario: "Scenario", rows: list[Row]) -> list[Case]:
    """The paper-calibrated mode of each row, with delays fitted to all rows but the outlier and the repetition."""
    del scenario
    rows = [row for row in rows if row["case"].startswith("row-")]
    used = [row for row in rows if row["row"] not in {OUTLIER_ROW, REPEATED_ROW}]
    if len(used) < LEAST_ROWS:
        return []
    fit = fit_delays([row["single_messages_per_tx"] for row in used], [row["paper_tx_per_6min"] for row in used])
    kept = ("row", "agents", "coordinators", "administrators", "contributors")
    return [
        Case(
            f"calibrated-{row['row']:02d}",
            CALIBRATED,
            {key: row[key] for key in kept}
            | {"pause_ns": round(fit.pause_s * 1e9), "message_ns": round(fit.delay_s * 1e9)},
        )
        for row in rows
    ]


def build_main(raw: "pd.DataFrame") -> "pd.DataFrame":
    """The table itself."""
    frame = configurations(raw)
    frame = frame.assign(
        row=frame["row"].astype(int),
        flag=frame["row"].map(FLAGS).fillna(""),
        cpu_ms_per_tx=frame["cpu_s_per_tx"] * 1e3,
        kilobytes_per_tx=frame["bytes_per_tx"] / 1e3,
        **{f"energy_mj_{bound}": frame[f"energy_j_per_tx_{bound}"] * 1e3 for bound in ("low", "mid", "high")},
    )
    for name in ("agents", "coordinators", "administrators", "contributors", "paper_tx_per_6min", "printed_conf"):
        frame[name] = frame[name].astype(int)
    latencies = [name for name in MAIN_COLUMNS if "latency_" in name and name.endswith("_ms")]
    frame[latencies] = frame[latencies].astype(float)  # of None alone they would be objects
    return frame[list(MAIN_COLUMNS)]


MAIN_COLUMNS: Final = {
    "row": Column("Row"),
    "agents": Column("A"),
    "coordinators": Column("C"),
    "administrators": Column("O"),
    "contributors": Column("K"),
    "flag": Column("Flag"),
    "paper_tx_per_6min": Column("Paper", "tx/6 min"),
    "calibrated_tx_per_6min": Column("Calibrated", "tx/6 min", ".1f"),
    "tx_per_s": Column("Saturated", "tx/s", ".0f"),
    "shared_tx_per_s": Column("Saturated, shared cores", "tx/s", ".0f"),
    "busiest_role": Column("Bottleneck"),
    "latency_quorum_p50_ms": Column("Latency p50", "ms", ".1f"),
    "latency_quorum_p95_ms": Column("Latency p95", "ms", ".1f"),
    "latency_quorum_p99_ms": Column("Latency p99", "ms", ".1f"),
    "latency_quorum_max_ms": Column("Latency max", "ms", ".1f"),
    "latency_status": Column("Latency is"),
    "latency_quorum_bounds": Column("Lower bounds"),
    "cpu_ms_per_tx": Column("CPU", "ms/tx", ".2f"),
    "energy_mj_low": Column("Energy est. low", "mJ/tx", ".1f"),
    "energy_mj_mid": Column("Energy est. mid", "mJ/tx", ".1f"),
    "energy_mj_high": Column("Energy est. high", "mJ/tx", ".1f"),
    "energy_status": Column("Energy is"),
    "messages_per_tx": Column("Messages", "1/tx", ".1f"),
    "kilobytes_per_tx": Column("Traffic", "kB/tx", ".1f"),
    "single_messages_per_tx": Column("Messages, alone", "1/tx", ".0f"),
    **NET_COLUMNS,
}


def build_legs(raw: "pd.DataFrame") -> "pd.DataFrame":
    """Messages and bytes per transaction, by row and leg (sending role, receiving role), in long form."""
    import pandas as pd

    frame = configurations(raw)
    rows: list[dict[str, Any]] = []
    for record in frame.to_dict("records"):
        for name, value in record.items():
            if str(name).startswith("messages:") and value == value:  # noqa: PLR0124 - a leg that does not exist is NaN
                leg = str(name).removeprefix("messages:")
                sender, receiver = leg.split(">")
                size = record[f"bytes:{leg}"]
                rows.append({
                    "row": int(record["row"]), "sender": sender, "receiver": receiver,
                    "messages_per_tx": value, "bytes_per_tx": size,
                })  # fmt: skip
    return pd.DataFrame(rows, columns=list(LEG_COLUMNS))


LEG_COLUMNS: Final = {
    "row": Column("Row"),
    "sender": Column("From"),
    "receiver": Column("To"),
    "messages_per_tx": Column("Messages", "1/tx", ".2f"),
    "bytes_per_tx": Column("Traffic", "B/tx", ".0f"),
}


#: What the captions of figures that take up the paper's own have to say.
UNSEEN: Final = "The originals could not be seen by us: only the text of the article was at hand."
EXPERIMENT: Final = Experiment(
    "table1",
    "Do the paper's 18 configurations rank and behave as its Table 1 says?",
    ("C25", "C30", "C31", "C33", "C34", "C35", "C41"),
    declare_cases,
    (
        Table(
            "table1",
            "Table 1 of the paper (A agents, C coordinators, O administrators, K contributors; throughput as printed) "
            "beside ours. Calibrated: simulated with a delay per message fitted to the paper. Saturated, latency (to a "
            "quorum of contributors, open loop at a share of the saturated rate, from the intended instant; a dash "
            "where the requests are too few for a percentile or the load lagged), CPU, messages and traffic: simulated "
            "with this machine's measured unit costs. Energy: estimated, CPU-seconds times stated watts, idle power "
            "not in it. Real network: measured where it was asked for, a process per node and the load generator on "
            "this machine's cores, HTTP, real signatures and disks; latency at the same share of its own throughput.",
            MAIN_COLUMNS,
            build_main,
            ("row", "agents", "coordinators", "administrators", "contributors", "paper_tx_per_6min",
             "calibrated_tx_per_6min", "tx_per_s", "net_tx_per_s", "latency_quorum_p50_ms", "cpu_ms_per_tx",
             "messages_per_tx"),
            keys=("row",),
            exact=("single_messages_per_tx", "calibrated_tx_per_6min"),
            ordered=("tx_per_s", "shared_tx_per_s", "cpu_ms_per_tx", "messages_per_tx"),
        ),
        *table1_agreement.TABLES,
        *table1_regression.TABLES,
        *table1_printed.TABLES,
        *table1_models.TABLES,
        Table(
            "table1_legs",
            "Messages and bytes per transaction by leg, saturated (simulated).",
            LEG_COLUMNS,
            build_legs,
        ),
    ),
    (
        Figure(
            "table1_throughput",
            "Throughput over the 18 configurations, in the spirit of the paper's Figure 6. Left: as printed (row 1, "
            "an outlier, hatched) and ours in the paper-calibrated mode. Right: ours in transactions per second. "
            f"{UNSEEN}",
            draw_main,
        ),
        Figure(
            "table1_kinds",
            "Throughput by the number of nodes of each kind, in the spirit of the paper's Figure 7. Above: as printed, "
            "with lines between configurations that differ by one node of that kind alone, and row 1 crossed. Below: "
            f"ours for the same configurations, over its median. {UNSEEN}",
            draw_kinds,
        ),
        Figure(
            "table1_shares",
            "Left: what each kind of node takes of R², by source of the throughput (R² at the right). Right: what a "
            "node more changes, of the source's mean throughput, with 95 % Student intervals.",
            draw_shares,
        ),
        Figure(
            "table1_influence",
            "What each printed row does to a linear fit of the printed throughputs: externally studentised residual "
            "over leverage, Cook's D as area. Dashed: the residual at which one row of so many is an outlier at 5 % "
            "(Bonferroni), and twice the mean leverage. Rows beyond either, or with a D above 4/n, are numbered.",
            draw_influence,
        ),
        Figure(
            "table1_models",
            "Left: printed rows as models predict them from the other configurations, row 1 (crossed) never among "
            "them. Middle: the errors of these predictions; bars: one transaction either way. Right: leave-one-out "
            "error in each reading of the table.",
            draw_models,
        ),
        Figure(
            "table1_cost",
            "Simulated cost per transaction of the 18 configurations by number of administrators.",
            draw_cost,
        ),
    ),
    declare_calibrated,
    answer,
    needs_records=True,
    weight=12.0,
)  # fmt: skip
