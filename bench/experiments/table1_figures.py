"""The figures of experiment table1 that show throughput and cost, drawn from its tables."""

from typing import Any, Final

from bench.analysis.paper_table import OUTLIER_ROW
from bench.analysis.regression import FACTORS, find_pairs
from bench.experiments.base import Drawing, Tables

#: Ours in transactions per second: column -> what the legend calls it.
_OURS: Final = {"tx_per_s": "A machine per node", "shared_tx_per_s": "Shared cores", "net_tx_per_s": "Real networks"}
_NAMES: Final = ("paper", "calibrated", *_OURS)
_PAPER: Final = "paper_tx_per_6min"


def draw_main(tables: Tables) -> Drawing:
    """The paper's throughput beside the calibrated one; what was computed and measured, on an axis of its own."""
    from bench.report.style import markers, new_figure, palette

    frame = tables["table1"]
    figure, (left, right) = new_figure("page", 3.2, ncols=2)
    colours, shapes, positions = palette(_NAMES), markers(_NAMES), range(len(frame))
    for is_first, style in ((False, {"label": "Paper, as printed"}), (True, {"hatch": "////", "edgecolor": "white"})):
        chosen = [place for place in positions if (frame["row"][place] == OUTLIER_ROW) == is_first]
        left.bar(chosen, frame[_PAPER][chosen], 0.7, color=colours["paper"], **style)
    left.plot(
        positions, frame["calibrated_tx_per_6min"], shapes["calibrated"], color=colours["calibrated"],
        label="Ours, paper-calibrated",
    )  # fmt: skip
    left.set_ylabel("Throughput [tx / 6 min]")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    for column, label in _OURS.items():
        if frame[column].notna().any():
            right.plot(positions, frame[column], shapes[column], color=colours[column], label=label)
    right.set(yscale="log", ylabel="Throughput [tx / s]")
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, handletextpad=0.2, columnspacing=1.0)
    for axis in (left, right):
        axis.set_xticks(list(positions), [",".join(str(row[name]) for name in FACTORS) for _, row in frame.iterrows()],
                        rotation=90)  # fmt: skip
        axis.set_xlabel("Configuration (A,C,O,K), in the order of the paper")
        axis.grid(visible=False, axis="x")
    return figure


def draw_kinds(tables: Tables) -> Drawing:
    """Throughput over the number of nodes of each kind, as printed and ours."""
    from bench.report.style import new_figure, palette

    frame = tables["table1"]
    figure, axes = new_figure("page", 3.8, nrows=2, ncols=4, sharey="row")
    colours = palette(_NAMES)
    pairs = find_pairs(frame[list(FACTORS)].to_numpy().tolist())
    kept = ("shared_tx_per_s", "net_tx_per_s") if frame["net_tx_per_s"].notna().sum() > 2 else ("shared_tx_per_s",)
    for place, (factor, top, bottom) in enumerate(zip(FACTORS, axes[0], axes[1], strict=True)):
        counts, own = frame[factor].astype(float), [pair[1:] for pair in pairs if pair[0] == place]
        _draw_kind(top, counts, frame[_PAPER], own, colours["paper"], "")
        first = frame["row"] == OUTLIER_ROW
        top.plot(counts[first], frame[_PAPER][first], "x", color="black", markersize=7)
        for number, column in enumerate(kept):
            relative = frame[column] / frame[column].median()
            _draw_kind(bottom, counts + 0.16 * number, relative, own, colours[column], _OURS[column])
        for axis in (top, bottom):
            axis.set(xticks=range(1, 6), xlim=(0.6, 5.4), yscale="log", xlabel=factor.capitalize())
            axis.minorticks_off()
        top.set_ylabel("Printed [tx / 6 min]" if place == 0 else "")
        bottom.set_ylabel("Ours, over its median" if place == 0 else "")
    # Logarithms, for configuration 1,1,1,1 is far from all others.
    axes[0][0].set_yticks([3, 5, 8, 12, 16], ["3", "5", "8", "12", "16"])
    axes[1][0].set_yticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    axes[1][-1].legend(loc="upper right")
    return figure


def _draw_kind(axis: Any, counts: Any, values: Any, pairs: Any, colour: str, label: str) -> None:
    for few, many in pairs:
        ends = [few, many]
        axis.plot(counts.iloc[ends], values.iloc[ends], color=colour, linewidth=0.9, alpha=0.7)
    axis.plot(counts, values, "o", color=colour, markersize=3.5, label=label or None, alpha=0.8)


def draw_cost(tables: Tables) -> Drawing:
    """CPU time and traffic per transaction by number of administrators."""
    from bench.report.style import new_figure, palette

    frame = tables["table1"]
    figure, axes = new_figure("page", 2.6, ncols=3)
    colour = palette(["value"])["value"]
    panels = {"cpu_ms_per_tx": "CPU time [ms / tx]", "kilobytes_per_tx": "Traffic [kB / tx]",
              "latency_quorum_p50_ms": "Commit latency, median [ms]"}  # fmt: skip
    for axis, (key, label) in zip(axes, panels.items(), strict=True):
        axis.scatter(frame["administrators"], frame[key], color=colour, s=16)
        axis.set(xlabel="Administrators", ylabel=label, xticks=sorted(set(frame["administrators"])))
        axis.set_ylim(bottom=0)
    return figure
