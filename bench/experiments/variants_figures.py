"""The figure of experiment variants, drawn from its tables."""

from itertools import cycle
from typing import Final

from bench.experiments.base import Drawing, Tables
from bench.experiments.variants_rows import BASE_SUITE, name_rules

#: Line styles of the other rules, in their order: wide and pale below, or who lies below could not be seen.
_LEVELS: Final = (("--", "black", 1.2), ("-", "#b0b0b0", 2.6), ("-.", "black", 0.9), (":", "black", 1.6))


def draw_difficulty(tables: Tables) -> Drawing:
    """Throughput, latency and CPU over difficulty, with the other rules as levels."""
    from bench.report.style import markers, new_figure, palette

    frame = tables["variants"]
    frame = frame[~frame["is_control"]]
    suites = list(dict.fromkeys(frame["suite"]))
    colours, shapes = palette(suites), markers(suites)
    names = name_rules()
    figure, axes = new_figure("page", 3.0, ncols=3)
    panels = (
        ("saturated_tx_per_s", "Saturated throughput [tx / s]"),
        ("latency_quorum_p50_ms", "Commit latency, median [ms]"),
        ("cpu_ms_per_tx", "CPU time [ms / tx]"),
    )
    for axis, (key, label) in zip(axes, panels, strict=True):
        axis.set_yscale("log")
        if (values := frame[key].dropna()).size:  # values that are all alike have no range of their own
            axis.set_ylim(values.min() / 1.2, values.max() * 1.2)
        for place, suite in enumerate(suites):
            work = frame[(frame["suite"] == suite) & (frame["rule"] == names["pow"])].sort_values("difficulty_bits")
            # Side by side, since the suites differ by less than a marker.
            bits = work["difficulty_bits"] + 0.3 * (place - (len(suites) - 1) / 2)
            axis.plot(bits, work[key], color=colours[suite], marker=shapes[suite], linewidth=0.8, label=f"PoW, {suite}")
        others = [rule for rule in names if rule != "pow"]
        for rule, (style, colour, width) in zip(others, cycle(_LEVELS), strict=False):
            level = frame[(frame["rule"] == names[rule]) & (frame["suite"] == BASE_SUITE)][key]
            if len(level):
                axis.axhline(float(level.iloc[0]), color=colour, linestyle=style, linewidth=width,
                             label=f"{names[rule]}, {BASE_SUITE}")  # fmt: skip
        axis.set_xticks(sorted(set(frame["difficulty_bits"].dropna())))
        axis.set(xlabel="Proof-of-work difficulty [bits]", ylabel=label)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
