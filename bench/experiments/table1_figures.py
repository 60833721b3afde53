"""The figures of experiment table1, drawn from its tables."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bench.analysis.paper_table import OUTLIER_ROW

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as MplFigure


def draw_main(tables: Mapping[str, "pd.DataFrame"]) -> "MplFigure":
    """The paper's throughput beside the calibrated one, and the computed one on an axis of its own."""
    from bench.report.style import new_figure, palette

    frame = tables["table1"]
    figure, (left, right) = new_figure("page", 3.4, ncols=2, width_ratios=(3, 2))
    colours = palette(["paper", "calibrated", "computed", "shared"])
    positions = range(len(frame))
    labels = [f"{a.agents},{a.coordinators},{a.administrators},{a.contributors}" for a in frame.itertuples()]
    left.bar(
        [x - 0.2 for x in positions], frame["paper_tx_per_6min"], 0.4, color=colours["paper"], label="Paper, as printed"
    )
    left.bar(
        [x + 0.2 for x in positions], frame["calibrated_tx_per_6min"], 0.4,
        color=colours["calibrated"], label="Ours, paper-calibrated", hatch="///", edgecolor="white",
    )  # fmt: skip
    left.set_xticks(list(positions), labels, rotation=90)
    left.set_xlabel("Configuration (A,C,O,K), in the order of the paper")
    left.set_ylabel("Throughput [tx / 6 min]")
    left.legend(loc="upper left")
    flagged = frame["row"] == OUTLIER_ROW
    for is_flagged, marker in ((False, "o"), (True, "x")):
        part = frame[flagged == is_flagged]
        for name, key, title in (
            ("computed", "tx_per_s", "A machine per node"),
            ("shared", "shared_tx_per_s", "All on shared cores"),
        ):
            label = f"{title}{', row 1' if is_flagged else ''}"
            right.scatter(part["paper_tx_per_6min"], part[key], color=colours[name], marker=marker, s=18, label=label)
    right.set_yscale("log")
    right.set_xlabel("Paper [tx / 6 min]")
    right.set_ylabel("Ours, computed [tx / s]")
    right.legend(loc="best")
    return figure


def draw_cost(tables: Mapping[str, "pd.DataFrame"]) -> "MplFigure":
    """CPU time and traffic per transaction by number of administrators."""
    from bench.report.style import new_figure, palette

    frame = tables["table1"]
    figure, axes = new_figure("page", 2.6, ncols=3)
    colour = palette(["value"])["value"]
    for axis, (key, label) in zip(axes, (
        ("cpu_ms_per_tx", "CPU time [ms / tx]"),
        ("kilobytes_per_tx", "Traffic [kB / tx]"),
        ("latency_quorum_p50_ms", "Commit latency, median [ms]"),
    ), strict=True):  # fmt: skip
        axis.scatter(frame["administrators"], frame[key], color=colour, s=16)
        axis.set_xlabel("Administrators")
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.set_xticks(sorted(set(frame["administrators"])))
    return figure
