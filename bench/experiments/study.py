"""How often the measuring engine's intervals and verdicts are right where the truth is known: on synthetic machines."""

from typing import Any, Final

from bench.experiments.base import Case, Column, Drawing, Experiment, Figure, Frame, Scenario, Table, Tables
from bench.experiments.catalogue import QUESTIONS


def declare_cases(scenario: Scenario) -> list[Case]:
    """A case per synthetic machine."""
    from bench.analysis.study import MACHINES

    plan = {"replications": scenario.study.replications}
    return [Case(name.replace(" ", "-"), "study", {"machine": name, **plan}) for name in MACHINES]


#: Count in the raw rows -> what its share of the replications is called.
SHARES: Final = {
    "covered": "Interval covers",
    "table_covered": "All cover",
    "false_alarms": "False alarm",
    "violated": "Control violated",
    "found": "3 % found",
    "unresolved": "0.5 % unresolved",
    "tenfold_covered": "Tenfold covers",
}


def build_study(raw: Frame) -> Frame:
    """Shares of the replicated tables, each with its standard error."""
    frame, tables = raw.copy(), raw["replications"]
    for name in SHARES:
        # Two of either kind added (Agresti and Coull 1998): none and all of many have an error, too.
        share = (raw[name] + 2) / (tables + 4)
        frame[f"{name}_error"] = 100 * (share * (1 - share) / (tables + 4)) ** 0.5
        frame[name] = 100 * raw[name] / tables
    return frame[list(COLUMNS)].reset_index(drop=True)


def draw_study(tables: Tables) -> Drawing:
    """Coverage, false alarms and what was found, machine by machine, with two standard errors."""
    from bench.report.style import markers, new_figure, palette

    frame = tables["study"]
    machines, ways = list(dict.fromkeys(frame["machine"])), list(dict.fromkeys(frame["analysis"]))
    colours, shapes = palette(ways), markers(ways)
    figure, axes = new_figure("page", 2.6, ncols=3, sharey=True)
    panels: list[tuple[str, str, float | None]] = [
        ("table_covered", "All intervals cover the truth\n[% of the tables]", 95),
        ("false_alarms", "False alarm\n[% of the tables]", 5),
        ("found", "3 % found\n[% of the tables]", None),
    ]
    for axis, (name, label, bound) in zip(axes, panels, strict=True):
        for place, way in enumerate(ways):
            part = frame[frame["analysis"] == way]
            spots = [machines.index(machine) + 0.2 * (place - 1) for machine in part["machine"]]
            shown: dict[str, Any] = {"color": colours[way], "marker": shapes[way], "linestyle": ""}
            axis.errorbar(part[name], spots, xerr=2 * part[f"{name}_error"], label=way, **shown)
        if bound is not None:
            axis.axvline(bound, color="black", linestyle="--", linewidth=0.8)
        axis.set(xlabel=label, xlim=(-4, 104))
    axes[0].set_yticks(range(len(machines)), machines)
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(ways))
    return figure


COLUMNS: Final = {
    "machine": Column("Synthetic machine"),
    "analysis": Column("Measured by"),
    "replications": Column("Tables"),
    **{
        f"{name}{end}": Column(f"{title}{word}", "%", ".1f")
        for name, title in SHARES.items()
        for end, word in (("", ""), ("_error", ", std. error"))
    },
    "width_percent": Column("Width of an interval, median", "%", ".2f"),
    "tenfold_error_percent": Column("Error of a tenfold ratio, median", "%", ".2f"),
}

EXPERIMENT: Final = Experiment(
    "study", QUESTIONS["study"], (), declare_cases,
    (
        Table(
            "study",
            "Simulated: the measuring engine itself in virtual time, on synthetic machines whose true ratios are "
            "known; nothing is void. Each table compares five variants over fresh processes: two like the base, one "
            "0.5 % and one 3 % slower, one ten times. Shares of the tables in which the 95 % interval of the 3 % "
            "covers the truth, in which all simultaneous intervals do, and so on. 'Unclustered' takes the engine's "
            "blocks for independent witnesses; 'A, then B', with as many epochs, measures one variant after the "
            "other in one process and compares means. 'All cover' leaves the tenfold variant out: its epochs are ten "
            "times as long and meet more interruptions than the base's median epoch, so that a large ratio may be "
            "too large by about as much as interruptions take of the time.",
            COLUMNS, build_study,
            ("machine", "analysis", "covered", "table_covered", "false_alarms", "found", "unresolved"),
            keys=("machine", "analysis"), exact=tuple(SHARES),
        ),
    ),
    (
        Figure(
            "study",
            "Simulated: how often intervals and verdicts are right on synthetic machines, by way of measuring, with "
            "two standard errors. Dashed: what 95 % confidence of the whole table allows.",
            draw_study,
        ),
    ),
)  # fmt: skip
