"""Table 1 of the paper: its 18 configurations, simulated, and where asked for over real networks.

Three ways, never mixed.  *Computed*: saturated throughput and commit latency with this machine's calibrated
cryptographic costs; only shape and rank can be compared with the paper.  *Paper-calibrated*: one transaction at a time,
each message taking a delay fitted to the printed numbers; it shows whether message counts alone explain them.
*Measured*: a process per node on this machine (``--engine net``, or the rows that the scenario names).
"""

import math
from typing import Final

from bench.analysis.message_models import fit_delays
from bench.analysis.paper_table import LEAST_ROWS, OUTLIER_ROW, REPEATED_ROW, read_paper_table
from bench.analysis.regression import FACTORS
from bench.experiments import columns, table1_agreement, table1_models, table1_printed, table1_regression
from bench.experiments.base import Case, Column, Experiment, Figure, Frame, Row, Scenario, Table
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.columns import LATENCY_NOTES, PER_TX, QUORUM_COLUMNS, list_costs
from bench.experiments.rows import list_legs, to_frame
from bench.experiments.table1_answer import answer
from bench.experiments.table1_effect_figures import draw_influence, draw_models, draw_shares
from bench.experiments.table1_figures import draw_cost, draw_kinds, draw_main
from bench.experiments.table1_net import NET_COLUMNS
from bench.experiments.table1_rows import FLAGS, LETTERS, configurations

CONFIGURATION: Final = "configuration"
CALIBRATED: Final = "paper-calibrated"


def declare_cases(scenario: Scenario) -> list[Case]:
    """One case per printed row, and one more for each repeat of those that are measured over real networks."""
    cases = []
    for paper in read_paper_table():
        settings = {name: getattr(paper, name) for name in ("row", "printed_conf", *FACTORS)}
        settings["paper_tx_per_6min"] = paper.tx_per_6min
        cases.append(Case(f"row-{paper.row:02d}", CONFIGURATION, settings))
    repeats = range(scenario.net.repeats)
    rows = {case.settings["row"]: case.settings for case in cases}
    nets = [(row, repeat) for repeat in repeats for row in sorted(scenario.net_rows)]
    return cases + [Case(f"net-{row:02d}-{repeat}", "configuration-net", rows[row]) for row, repeat in nets]


def declare_calibrated(scenario: Scenario, rows: list[Row]) -> list[Case]:
    """The paper-calibrated mode of each row, with delays fitted to all rows but the outlier and the repetition."""
    del scenario
    rows = [row for row in rows if row["case"].startswith("row-")]
    used = [row for row in rows if row["row"] not in {OUTLIER_ROW, REPEATED_ROW}]
    if len(used) < LEAST_ROWS:
        return []
    fit = fit_delays([row["single_messages_per_tx"] for row in used], [row["paper_tx_per_6min"] for row in used])
    fitted = {"pause_ns": round(fit.pause_s * 1e9), "message_ns": round(fit.delay_s * 1e9)}
    return [
        Case(f"calibrated-{row['row']:02d}", CALIBRATED, {key: row[key] for key in ("row", *FACTORS)} | fitted)
        for row in rows
    ]


def build_main(raw: Frame) -> Frame:
    """The table itself."""
    frame = configurations(raw)
    frame = frame.assign(
        flag=frame["row"].map(FLAGS).fillna(""),
        **{name: frame[source] * scale for name, (source, scale) in PER_TX.items()},
    )
    latencies = [name for name in MAIN_COLUMNS if "latency_" in name and name.endswith("_ms")]
    types = dict.fromkeys(("row", *FACTORS, "paper_tx_per_6min"), int)
    return frame[list(MAIN_COLUMNS)].astype(types | dict.fromkeys(latencies, float))  # None alone would be objects


MAIN_COLUMNS: Final = {
    "row": Column("Row"),
    **{name: Column(letter) for name, letter in LETTERS.items()},
    "flag": Column("Flag"),
    "paper_tx_per_6min": Column("Paper", "tx/6 min"),
    "calibrated_tx_per_6min": Column("Calibrated", "tx/6 min", ".1f"),
    "tx_per_s": Column("Saturated", "tx/s", ".0f"),
    "shared_tx_per_s": Column("Saturated, shared cores", "tx/s", ".0f"),
    "busiest_role": Column("Bottleneck"),
    **QUORUM_COLUMNS,
    "latency_quorum_max_ms": Column("Latency max", "ms", ".1f"),
    **LATENCY_NOTES,
    **list_costs("Energy est."),
    "single_messages_per_tx": Column("Messages, alone", "1/tx", ".0f"),
    **NET_COLUMNS,
}


def build_legs(raw: Frame) -> Frame:
    """Messages and bytes per transaction, by row and leg (sending role, receiving role), in long form."""
    frame = configurations(raw)
    rows = [
        (int(record["row"]), sender, receiver, record[f"messages:{leg}"], record[f"bytes:{leg}"])
        for record in frame.to_dict("records")
        for leg, sender, receiver in list_legs(frame)
        if not math.isnan(record[f"messages:{leg}"])  # a leg that does not exist
    ]
    return to_frame(rows, LEG_COLUMNS)


LEG_COLUMNS: Final = {"row": Column("Row"), **columns.LEG_COLUMNS, "bytes_per_tx": Column("Traffic", "B/tx", ".0f")}


#: What the captions of figures that take up the paper's own have to say.
UNSEEN: Final = "The originals could not be seen by us: only the text of the article was at hand."
EXPERIMENT: Final = Experiment(
    "table1", QUESTIONS["table1"], ("C25", "C30", "C31", "C33", "C34", "C35", "C41"), declare_cases,
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
            MAIN_COLUMNS, build_main,
            ("row", *FACTORS, "paper_tx_per_6min", "calibrated_tx_per_6min", "tx_per_s", "net_tx_per_s",
             "latency_quorum_p50_ms", "cpu_ms_per_tx", "messages_per_tx"),
            keys=("row",), exact=("single_messages_per_tx", "calibrated_tx_per_6min"),
            ordered=("tx_per_s", "shared_tx_per_s", "cpu_ms_per_tx", "messages_per_tx"),
        ),
        *table1_agreement.TABLES,
        *table1_regression.TABLES,
        *table1_printed.TABLES,
        *table1_models.TABLES,
        Table(
            "table1_legs",
            "Messages and bytes per transaction by leg, saturated (simulated).",
            LEG_COLUMNS, build_legs,
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
    needs_records=True, weight=12.0,
)  # fmt: skip
