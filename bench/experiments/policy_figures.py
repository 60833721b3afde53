"""The figure of experiment `policy` and its question answered in words, out of its tables."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as MplFigure

    Tables = Mapping[str, "pd.DataFrame"]

_MODES: Final = {"throughput, shared cores": "-", "throughput, a machine per node": "--"}
_ROLES: Final = ("agent", "coordinator", "administrator", "contributor", "visitor")


def draw_policy(tables: "Tables") -> "MplFigure":
    """Speed-up, latency, CPU by role, and throughput with a slow node, over the number asked."""
    from bench.report.style import markers, new_figure, palette

    main, ratios, failures = tables["policy"], tables["policy_ratios"], tables["policy_failures"]
    main, ratios = main[~main["is_control"]], ratios[~ratios["is_control"]]
    kinds = list(dict.fromkeys(main["who"]))
    colours, shapes = palette(kinds), markers(kinds)
    figure, ((speed, latency), (work, slow)) = new_figure("page", 4.6, nrows=2, ncols=2)
    for place, who in enumerate(kinds):
        look: dict[str, Any] = {"color": colours[who], "marker": shapes[who]}
        for mode, style in _MODES.items():
            part = ratios[(ratios["who"] == who) & (ratios["quantity"] == mode)].sort_values("asked")
            below, above = part["ratio"] - part["ratio_low"], part["ratio_high"] - part["ratio"]
            label = who if style == "-" else None
            aside = 0.06 * (2 * place - 1) + 0.03 * (style == "-")  # intervals side by side
            speed.errorbar(part["asked"] + aside, part["ratio"], [below, above], linestyle=style, label=label, **look)
        own = main[main["who"] == who].sort_values("asked")
        latency.plot(own["asked"], own["latency_p50_ms"], label=who, **look)
        part = failures[(failures["who"] == who) & (failures["failure"] == "one slow")].sort_values("asked")
        slow.plot(part["asked"], part["tx_per_s"], label=who, **look)
    _stack(work, main, kinds)
    most = int(main["of"].max())
    speed.axhline(1, color="black", linewidth=0.6)
    for axis, label in ((speed, "Throughput over that of all asked"), (latency, "Commit latency, median [ms]"),
                        (slow, "Saturated, one node slow [tx / s]")):  # fmt: skip
        axis.set_xticks(range(1, most + 1))
        axis.set_xlabel("Asked")
        axis.set_ylabel(label)
    for axis in (latency, slow):
        axis.set_ylim(0, 1.08 * axis.get_ylim()[1])
    speed.legend()
    return figure


def _stack(axis: Any, main: "pd.DataFrame", kinds: list[str]) -> None:
    """A bar for each number asked, in a group for each kind."""
    from bench.report.style import palette

    colours, base = palette([*kinds, *_ROLES]), 0
    ticks: dict[int, str] = {}
    for who in kinds:
        own = main[main["who"] == who].sort_values("asked")
        places, below = [base + number for number in range(len(own))], [0.0] * len(own)
        for role in _ROLES:
            values = list(own[f"{role}_ms_per_tx"])
            label = f"{role}s" if who == kinds[0] else None
            axis.bar(places, values, 0.8, bottom=below, color=colours[role], label=label)
            below = [low + value for low, value in zip(below, values, strict=True)]
        ticks |= {place: f"{who[0].upper()}{asked}" for place, asked in zip(places, own["asked"], strict=True)}
        base += len(own) + 1
    axis.set_xticks(list(ticks), list(ticks.values()))
    axis.set_ylabel("CPU time [ms / tx]")
    axis.set_ylim(top=1.45 * axis.get_ylim()[1])
    axis.legend(ncols=2, loc="upper left")


def answer(tables: "Tables") -> list[str]:
    """What fewer approvals save and what they stand; who had better look first; what the second look costs."""
    return [*_saved(tables), *_measured(tables["policy_net"]), *_stood(tables["policy_failures"]),
            *_looked(tables["policy_defences"])]  # fmt: skip


def _saved(tables: "Tables") -> Iterator[str]:
    ratios, main = tables["policy_ratios"], tables["policy"]
    for _, row in main[(main["level"] == "majority") & ~main["is_control"]].iterrows():
        own = ratios[(ratios["who"] == row["who"]) & (ratios["asked"] == row["asked"]) & ~ratios["is_control"]]
        parts = [f"{item['quantity']} {item['ratio']:.3f} ({item['verdict']})" for _, item in own.iterrows()]
        yield (
            f"Asking {row['asked']} of {row['of']} {row['who']} saves {row['saves']}: times what asking all takes, "
            f"{', '.join(parts)}. All of them answer all the same."
        )


def _measured(frame: "pd.DataFrame") -> Iterator[str]:
    for who, part in frame.groupby("who", sort=False):
        by = part.set_index("asked").sort_index()
        if len(by) > 1:
            few, every = by.iloc[0], by.iloc[-1]
            yield (
                f"On real networks, one each and so without an interval, {by.index[0]} of {every['of']} {who} gave "
                f"{few['committed_per_s'] / every['committed_per_s']:.3f} times the throughput of asking all, and "
                f"{few['cpu_ms_per_tx'] / every['cpu_ms_per_tx']:.3f} times the CPU of {every['cpu_ms_per_tx']:.1f} ms "
                "a transaction, of which signatures are a part."
            )


def _stood(frame: "pd.DataFrame") -> Iterator[str]:
    for who, part in frame.groupby("who", sort=False):
        slow = part[part["failure"] == "one slow"].sort_values("asked")
        wrong = int((part["committed"] != part["expected"]).sum())
        if len(slow) > 1:
            fewer, every = slow.iloc[-2], slow.iloc[-1]
            yield (
                f"With one of {every['of']} {who} slow, {every['tx_per_s']:.0f} transactions a second are committed if "
                f"all are asked and {fewer['tx_per_s']:.0f} if {fewer['asked']} are. m of n stands n - m that are down "
                f"and no more: {len(part) - wrong} of {len(part)} cells are as that says."
            )


def _looked(frame: "pd.DataFrame") -> Iterator[str]:
    if frame.empty:
        return
    costs = ", ".join(f"{row['defence']} {row['bad_cpu_ms']:.2f}" for _, row in frame.iterrows())
    good = frame["good_cpu_ms"].iloc[0]
    yield f"CPU of a bad transaction by who is first to look [ms]: {costs}; a good one takes {good:.2f}."
    last = frame.set_index("defence")["good_cpu_ms"]
    if {"ledger keepers", "nobody"} <= {*last.index}:
        cost, bad = last["ledger keepers"] - last["nobody"], frame.set_index("defence")["invalid"]["ledger keepers"]
        yield (
            f"The second validation takes {cost:.2f} ms of each good transaction, and "
            f"marks {bad} that nobody before had looked at."
        )
