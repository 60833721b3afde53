"""The figures of experiment faults, drawn from its tables."""

from typing import Any, Final

from bench.experiments.base import Drawing, Frame, Tables

SIMULATED, REAL = "simulated", "real nodes"
#: The axis ends at so many times the offered load, or a peak of what had piled up would hide all else.
_TOP: Final = 4
#: Panels: cell and title.
_PANELS: Final = {
    "crash-1-of-4-mid": "One of four crashes",
    "crash-1-of-3-mid": "One of three crashes",
    "partition-2---2": "Two of four cut off",
    "pause": "One of four paused",
    "equivocate-1-of-4-mid": "One of four equivocates",
    "single-crash-1-of-1": "The single orderer crashes",
}
_LINES: Final = ("commits_per_s", "commits_per_s_low", "commits_per_s_high")
_FAULTS: Final = {"crash": "crashed", "equivocate": "equivocating"}


def draw_course(tables: Tables) -> Drawing:
    """A panel for each of six cells, simulated and real; a cell that was not run has an empty one."""
    from bench.report.style import new_figure, palette

    course = tables["faults_course"]
    end = course["at_s"].max() + course["at_s"].diff().max()
    figure, axes = new_figure("page", 3.6, nrows=2, ncols=3, sharex=True, sharey=True)
    colours = palette([SIMULATED, REAL])
    for axis, (cell, title) in zip(axes.flat, _PANELS.items(), strict=True):
        axis.set_title(title)
        part = course[course["cell"] == cell]
        if part.empty:
            axis.text(0.5, 0.5, "not run", ha="center", va="center", transform=axis.transAxes)
            continue
        first = part.iloc[0]
        until = end if first["heal_s"] != first["heal_s"] else first["heal_s"]
        axis.axvspan(first["fault_s"], until, color="#e5e5e5", linewidth=0, zorder=0)
        axis.axvline(first["fault_s"], color="black", linewidth=0.8, linestyle="--")
        axis.plot([0, first["load_s"]], [first["offered_per_s"]] * 2, color="black", linewidth=0.8, linestyle=":")
        for engine in (SIMULATED, REAL):
            _draw_line(axis, part[part["engine"] == engine], engine, colours[engine])
    for axis in axes[1]:
        axis.set_xlabel("Time [s]")
    for axis in axes[:, 0]:
        axis.set_ylabel("Committed [tx / s]")
    axes[0, 0].set_ylim(0, _TOP * course["offered_per_s"].max())
    axes[0, 0].set_xlim(0, end)
    handles = {name: line for axis in axes.flat for line, name in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2)
    return figure


def _draw_line(axis: Any, part: Frame, name: str, colour: str) -> None:
    if part.empty:
        return
    begins = part["at_s"].tolist()
    edges = [*begins, 2 * begins[-1] - begins[-2]] if len(begins) > 1 else begins
    # The last interval has a width, too.
    values, low, high = ([*part[key], part[key].iloc[-1]][: len(edges)] for key in _LINES)
    axis.step(edges, values, where="post", color=colour, label=name, linewidth=1.1)
    if name == SIMULATED:
        axis.fill_between(edges, low, high, step="post", color=colour, alpha=0.2, linewidth=0)


def draw_limit(tables: Tables) -> Drawing:
    """Throughput under the fault over the share of the faulty, a panel for when it began, a colour for each size."""
    from bench.report.style import markers, new_figure, palette

    frame, offered = tables["faults"], tables["faults_course"]["offered_per_s"].max()
    frame = frame[(frame["group"] == "limit")]
    figure, axes = new_figure("page", 2.6, ncols=2, sharey=True)
    sizes = [str(size) for size in sorted(frame["administrators"].unique())]
    colours, shapes = palette(sizes), markers(sizes)
    for axis, (fault, title) in zip(axes, _FAULTS.items(), strict=True):
        axis.axvline(100 / 3, color="black", linewidth=0.8, linestyle="--")
        for size in sizes:
            part = frame[(frame["administrators"] == int(size)) & frame["fault"].isin(["none", fault])]
            part = part[part["when"] == "mid-run"].sort_values("count")
            share = 100 * part["count"] / int(size)
            rate = 100 * part["during_per_s"] / offered
            axis.plot(share, rate, color=colours[size], marker=shapes[size], label=f"{size} administrators")
            broken = part["found"].str.contains("violated")
            axis.plot(share[broken], [0.04] * broken.sum(), "x", color="black", markersize=7,
                      transform=axis.get_xaxis_transform())  # fmt: skip
        axis.set(xlabel=f"{title.capitalize()} administrators [%]", ylim=(-5, 115))
    axes[0].set_ylabel("Committed meanwhile [%]")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure
