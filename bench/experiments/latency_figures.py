"""The figure of experiment latency, drawn from its tables."""

from collections.abc import Mapping
from typing import Any, Final

from bench.experiments.base import Drawing, Frame, Tables

#: Methods and stalls, as tables call them.
OPEN: Final = "open loop"
CLOSED: Final = "closed loop"
UNDISTURBED: Final = "nobody"
COORDINATORS: Final = "every coordinator"
CONTRIBUTOR: Final = "one contributor"
_STAGES: Final = {"everyone": "all contributors", "quorum": "a quorum", "first": "the first"}


def draw_stall(tables: Tables) -> Drawing:
    """Percentile curves of both methods, their course, and percentile curves by stage."""
    from bench.report.style import new_figure, palette

    curves = tables["latency_curves"].set_index(["stall", "method", "stage"]).sort_index()
    figure, (left, middle, right) = new_figure("page", 2.6, ncols=3)
    colours = palette([OPEN, CLOSED, "first", *_STAGES])
    for key, label, colour, style in (
        ((COORDINATORS, OPEN, "quorum"), "what users wait", colours[OPEN], "-"),
        ((COORDINATORS, CLOSED, "quorum"), "what a closed loop sees", colours[CLOSED], "-"),
        ((UNDISTURBED, OPEN, "quorum"), "undisturbed", "black", ":"),
    ):
        _draw_curve(left, curves.loc[[key]], label, colour, style)
    left.set_title("Every coordinator stalls")
    _draw_course(middle, tables["latency_course"], tables["latency"], colours)
    for (stage, title), style in zip(_STAGES.items(), ("-", "-", "--"), strict=True):
        _draw_curve(right, curves.loc[[(CONTRIBUTOR, OPEN, stage)]], f"to {title}", colours[stage], style)
    right.set_title("One contributor stalls")
    for axis in (left, right):
        axis.set(xscale="log", yscale="log", xlabel="Percentile [%]", ylabel="Latency [ms]")
        axis.set_xticks([1, 10, 100, 1000], ["0", "90", "99", "99.9"])
        axis.minorticks_off()
        axis.legend(loc="lower right")
    return figure


def _draw_curve(axis: Any, curve: Frame, label: str, colour: str, style: str) -> None:
    axis.plot(curve["inverse"], curve["latency_ms"], color=colour, linestyle=style, label=label)


def _draw_course(axis: Any, course: Frame, main: Frame, colours: Mapping[str, str]) -> None:
    given = main[main["stall"] == COORDINATORS].iloc[0]
    begin = given["stall_from_s"]
    axis.axvspan(begin, begin + given["stall_s"], color="#d9d9d9", linewidth=0, zorder=0)
    for method, marker in ((OPEN, "o"), (CLOSED, "s")):
        part = course[course["method"] == method]
        axis.scatter(part["at_s"], part["latency_ms"] / 1e3, color=colours[method], marker=marker, s=6, label=method)
    axis.set(title="Over time", xlabel="Time of the request [s]", ylabel="Longest latency [s]")
    axis.set_ylim(bottom=0)
    axis.legend(loc="center left")
