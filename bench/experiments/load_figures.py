"""The figure of experiment load, drawn from its tables."""

from collections.abc import Mapping
from typing import Any

from bench.experiments.base import Drawing, Frame, Tables
from bench.experiments.processes import reach_of

_NODES = ["agents", "coordinators", "administrators", "contributors"]


def draw_load(tables: Tables) -> Drawing:
    """Committed over offered, and latency over committed, a colour per configuration."""
    from bench.report.style import markers, new_figure, palette

    ladder, capacity = tables["load_ladder"], tables["load_capacity"]
    knees = {tuple(row[name] for name in _NODES): row["knee_per_s"] for row in capacity.to_dict("records")}
    figure, (left, right) = new_figure("page", 2.9, ncols=2)
    groups = {f"({','.join(map(str, key))})": (key, part) for key, part in ladder.groupby(_NODES, sort=False)}
    colours, shapes = palette(list(groups)), markers(list(groups))
    most = float(ladder["offered_per_s"].max())
    left.plot([0, most], [0, most], color="black", linestyle="--", linewidth=0.8)
    for name, (key, part) in groups.items():
        look = {"color": colours[name], "marker": shapes[name], "markersize": 3}
        reach = reach_of(part, "committed_per_s")
        left.errorbar(part["offered_per_s"], part["committed_per_s"], yerr=reach, label=name, **look)
        _draw_latency(right, part, reach, look)
        if 0 < knees.get(key, 0) < float("inf"):
            left.axvline(knees[key], color=colours[name], linewidth=0.8, linestyle=":")
    left.set(xlabel="Offered [tx / s]", ylabel="Committed [tx / s]")
    right.axhline(float(capacity["cap_ms"].iloc[0]), color="#7f7f7f", linewidth=0.8)
    right.set(yscale="log", xlabel="Committed [tx / s]", ylabel="Latency to a quorum [ms]")
    for axis in (left, right):
        axis.set_xlim(left=0)
    left.set_ylim(bottom=0)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _draw_latency(axis: Any, part: Frame, reach: list[Any], look: Mapping[str, Any]) -> None:
    for name, style in (("quorum_p50_ms", "-"), ("quorum_p95_ms", ":")):
        reaches = {"xerr": reach, "yerr": reach_of(part, name)}
        axis.errorbar(part["committed_per_s"], part[name], linestyle=style, **reaches, **look)
