"""The figure of experiment agree, drawn from its table."""

from typing import Final

from bench.analysis.agreement import MEDIAN_ERROR
from bench.experiments.base import Drawing, Tables
from bench.experiments.processes import reach_of

#: What the costs were fitted on, and what they were not: as tables and cases call it.
FITTED: Final = "fitted"
PREDICTED: Final = "predicted"


def draw_agreement(tables: Tables) -> Drawing:
    """Predicted over measured, throughput and latency."""
    from bench.report.style import markers, new_figure, palette

    frame = tables["agree"]
    figure, axes = new_figure("page", 2.9, ncols=2)
    colours, shapes = palette([PREDICTED, FITTED]), markers([PREDICTED, FITTED])
    panels = (("per_s", "Saturated throughput", "tx / s"), ("p50_ms", "Median latency", "ms"))
    for axis, (name, title, unit) in zip(axes, panels, strict=True):
        columns = (f"net_{name}", f"net_{name}_low", f"net_{name}_high", f"predicted_{name}")
        values = [value for column in columns for value in frame[column].dropna()]
        ends = [min(values) * 0.8, max(values) * 1.25]
        axis.plot(ends, ends, color="black", linewidth=0.8)
        low, high = ([end * (1 + sign * MEDIAN_ERROR) for end in ends] for sign in (-1, 1))
        axis.fill_between(ends, low, high, color="#e5e5e5", linewidth=0, zorder=0)
        for use in (PREDICTED, FITTED):
            part = frame[frame["use"] == use]
            look = {"color": colours[use], "marker": shapes[use], "linestyle": "none", "label": use}
            axis.errorbar(part[f"net_{name}"], part[f"predicted_{name}"], xerr=reach_of(part, f"net_{name}"), **look)
        axis.set(xscale="log", yscale="log", xlabel=f"Measured [{unit}]", ylabel=f"Predicted [{unit}]", title=title)
        axis.set(xlim=ends, ylim=ends)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
