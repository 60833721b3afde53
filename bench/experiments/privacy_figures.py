"""The figures of experiment `privacy`, drawn from its tables."""

from typing import Any, Final

from bench.experiments.base import Drawing, Tables
from bench.experiments.processes import reach_of
from bench.privacy.linkage import MODES, ONCE, STABLE, STUDY

#: Seconds as people say them.
_MARKS: Final = {
    "1 µs": 1e-6, "1 ms": 1e-3, "1 s": 1.0, "1 min": 60.0, "1 h": 3_600.0, "1 day": 86_400.0, "1 year": 3.156e7,
    "1,000 years": 3.156e10,
}  # fmt: skip
#: Ids that nobody can list need no figure.
_MOST_BITS: Final = 64
_KINDS: Final = ("bare", "salted", "keyed, the key leaked", "slow")
_TITLES: Final = {STABLE: "One pseudonym", STUDY: "One per hospital", ONCE: "One per record"}


def draw_spaces(tables: Tables) -> Drawing:
    """Time over id spaces, a colour per kind; one core and one card."""
    from bench.report.style import markers, new_figure, palette

    frame = tables["privacy_spaces"]
    frame = frame[frame["bits"] <= _MOST_BITS]
    figure, axis = new_figure("page", 3.4)
    spaces = list(frame.drop_duplicates("space").sort_values("bits")["space"])
    colours, shapes = palette(_KINDS), markers(_KINDS)
    for index, kind in enumerate(_KINDS):
        part = frame[frame["pseudonym"] == kind].set_index("space").reindex(spaces)
        places = [place + (index - 1.5) * 0.16 for place in range(len(spaces))]
        axis.plot(places, part["core_s"], shapes[kind], color=colours[kind], label=kind)
        axis.plot(places, part["card_s"], "x", color=colours[kind], markersize=4, markeredgewidth=0.9)
    axis.plot([], [], "x", color="black", markersize=4, label="one card (literature)")
    axis.set_yscale("log")
    axis.set_yticks(list(_MARKS.values()), list(_MARKS))
    axis.minorticks_off()
    sizes = frame.set_index("space")["bits"].to_dict()
    names = [f"{name.replace(': ', chr(10), 1)}\n{sizes[name]:.0f} bit" for name in spaces]
    axis.set_xticks(range(len(spaces)), [name.replace(" number", "\nnumber") for name in names], fontsize=6)
    axis.set_ylabel("Time to try all ids")
    axis.legend(loc="upper left", ncols=2)
    return figure


def draw_linkage(tables: Tables) -> Drawing:
    """A column per reach of the pseudonym: who is singled out, and what else is learnt."""
    from bench.report.style import markers, new_figure, palette

    frame = tables["privacy_linkage"]
    frame = frame[frame["knowledge"] == "time, hospital, kind"]
    precisions = list(dict.fromkeys(frame["precision"]))
    colours, shapes = palette(precisions), markers(precisions)
    figure, axes = new_figure("page", 3.8, nrows=2, ncols=len(MODES), sharex=True, sharey=True)
    for column, mode in enumerate(MODES):
        for precision in precisions:
            part = frame[(frame["mode"] == mode) & (frame["precision"] == precision)].sort_values("known")
            style: dict[str, Any] = {"color": colours[precision], "marker": shapes[precision], "label": precision}
            named = part.rename(columns={"singled_low": "singled_share_low", "singled_high": "singled_share_high"})
            reach = reach_of(named, "singled_share")
            axes[0][column].errorbar(part["known"], part["singled_share"], yerr=reach, **style)
            axes[1][column].plot(part["known"], part["gained_share"], **style)
        axes[0][column].set_title(_TITLES[mode])
        axes[1][column].set_xlabel("Visits known")
    axes[0][0].set_ylabel("Share singled out")
    axes[1][0].set(ylabel="Share of other\nrecords learnt", xticks=sorted(frame["known"].unique()))
    axes[1][-1].legend(title="Time known to the", loc="upper left", ncols=2)
    return figure


def draw_anonymity(tables: Tables) -> Drawing:
    """Bars per level: alone, and among fewer than 11."""
    from bench.report.style import new_figure, palette

    frame = tables["privacy_anonymity"]
    frame = frame[frame["data"] != "workload"]
    levels, sets = list(dict.fromkeys(frame["level"])), list(dict.fromkeys(frame["data"]))
    colours = palette(sets)
    figure, (left, right) = new_figure("page", 3.0, ncols=2, sharey=True)
    height = 0.8 / max(len(sets), 1)
    for axis, column, title in ((left, "unique_share", "Alone"), (right, "under_11_share", "Among fewer than 11")):
        for index, name in enumerate(sets):
            part = frame[frame["data"] == name].set_index("level").reindex(levels)
            places = [place + (index - (len(sets) - 1) / 2) * height for place in range(len(levels))]
            people = f"{int(part['people'].iloc[0]):,}"
            label = f"population ({people})" if name == "population" else f"sample ({people})"
            axis.barh(places, part[column], height=height, color=colours[name], label=label)
        axis.set(title=title, xlabel="Share of people", xlim=(0, 1))
    left.set_yticks(range(len(levels)), levels)
    left.invert_yaxis()
    left.legend(loc="lower right")
    return figure
