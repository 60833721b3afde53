"""Figures of the experiment `hashes`: throughput by size, and times over SHA-256's, a panel per set of instructions."""

from typing import TYPE_CHECKING, Any, Final

from bench.experiments.base import Drawing, Frame, Tables
from bench.experiments.processes import reach_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: The paper's block of fifteen transactions, in bytes.
BLOCK_BYTES: Final = 30_720
BASE: Final = "sha256"
#: The library of the interpreter itself.
DEFAULT: Final = "hashlib"
GREY: Final = "#7f7f7f"


def draw_throughput(tables: Tables) -> Drawing:
    """Throughput by message size in `hashlib` (BLAKE3 in its own package), a line per function."""
    import pandas as pd

    from bench.report.style import markers, new_figure, palette

    one, other = tables["hashes"], tables["hashes_libraries"]
    one = one[one["library"].eq(DEFAULT) & ~one["is_control"]].assign(suite=one["variant"])
    other = other[other["suite"].ne(BASE) & ~other["is_control"]].assign(is_weak=False)
    frame = pd.concat([one, other])
    suites = list(dict.fromkeys(frame["suite"]))
    colours, shapes = palette(suites), markers(suites)
    kinds = list(dict.fromkeys(frame["instructions"]))
    figure, panels = new_figure("page", 2.9, ncols=len(kinds), sharex=True, sharey=True, squeeze=False)
    for axes, kind in zip(panels[0], kinds, strict=True):
        for suite in suites:
            line = frame[frame["suite"].eq(suite) & frame["instructions"].eq(kind)].sort_values("size_bytes")
            _draw_line(axes, line, suite, color=colours[suite], marker=shapes[suite])
        axes.set(title=f"{DEFAULT}, {kind}", xlabel="Message size [B]", xscale="log", yscale="log")
        sizes = sorted(int(size) for size in frame["size_bytes"].unique())
        axes.set_xticks(sizes, [name_size(size) for size in sizes])
        axes.set_xticks([], minor=True)
    panels[0][0].set_ylabel("Throughput [GB/s]")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=len(suites))
    return figure


def _draw_line(axes: "Axes", line: Frame, suite: str, **style: Any) -> None:
    if line.empty:
        return
    is_weak = bool(line["is_weak"].iloc[0])
    style |= {"linestyle": "--" if is_weak else "-", "label": label_of(suite, is_weak=is_weak)}
    axes.errorbar(line["size_bytes"], line["gigabyte_per_s"], yerr=reach_of(line, "gigabyte_per_s"), **style)


def name_size(size_bytes: int) -> str:
    """A size as a tick says it: 64, 30 Ki, 1 Mi."""
    for power, prefix in ((20, " Mi"), (10, " Ki")):
        if size_bytes and size_bytes % (1 << power) == 0:
            return f"{size_bytes >> power}{prefix}"
    return f"{size_bytes:,}"


def label_of(suite: str, *, is_weak: bool) -> str:
    """A suite's name, with the word that a reader of a weak one has to see."""
    return f"{suite} (broken)" if is_weak else suite


def draw_ratios(tables: Tables) -> Drawing:
    """Time over SHA-256's at the size nearest to the paper's block: a panel per set of instructions."""
    from bench.report.style import markers, new_figure, palette

    frame = tables["hashes"]
    frame = frame[frame["size_bytes"] == nearest_size(frame["size_bytes"])]
    suites = [suite for suite in dict.fromkeys(frame[~frame["is_control"]]["variant"]) if suite != BASE]
    libraries, kinds = list(dict.fromkeys(frame["library"])), list(dict.fromkeys(frame["instructions"]))
    colours, shapes = palette(suites), markers(suites)
    figure, panels = new_figure(
        "page", 0.9 + 0.75 * len(libraries), ncols=len(kinds), sharex=True, sharey=True, squeeze=False
    )
    for axes, kind in zip(panels[0], kinds, strict=True):
        for place, library in enumerate(libraries):
            part = frame[frame["library"].eq(library) & frame["instructions"].eq(kind)].set_index("variant")
            if part.empty:
                axes.text(1, place, "  code of its own: no mask", color=GREY, fontsize=7, va="center")
            heights = [place - 0.38 + 0.76 * (step + 0.5) / (len(suites) + 1) for step in range(len(suites) + 1)]
            control = part[part["is_control"]]
            _draw_point(axes, control, heights[0], color=GREY, marker="x", label=f"{BASE} over itself")
            for height, suite in zip(heights[1:], suites, strict=True):
                row = part.loc[part.index == suite]
                fill = {"markerfacecolor": "white"} if row["is_weak"].any() else {}
                label = label_of(suite, is_weak=bool(row["is_weak"].any()))
                _draw_point(axes, row, height, color=colours[suite], marker=shapes[suite], label=label, **fill)
        axes.axvline(1, color="black", linewidth=0.8, zorder=0)
        axes.set(title=kind, xscale="log", xlabel=f"Time / time of SHA-256, {nearest_size(frame['size_bytes']):,} B")
        style_ratio_axis(axes)
        axes.set_yticks(range(len(libraries)), libraries)
        axes.grid(visible=False, axis="y")
    panels[0][0].set_ylim(len(libraries) - 0.45, -0.55)
    handles = dict(zip(*reversed(panels[0][0].get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=len(handles))
    return figure


def _draw_point(axes: "Axes", row: Frame, height: float, **style: Any) -> None:
    """One ratio with its interval; nothing where it was not measured."""
    if not row.empty:
        axes.errorbar(row["ratio"], [height], xerr=reach_of(row, "ratio"), linestyle="none", **style)


def style_ratio_axis(axes: "Axes") -> None:
    """Plain numbers on a logarithmic axis of ratios, at the steps that a reader thinks in."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def nearest_size(sizes: "pd.Series[Any]") -> int:
    """The measured size nearest to `BLOCK_BYTES`."""
    return min((int(size) for size in sizes.unique()), key=lambda size: abs(size - BLOCK_BYTES))
