"""What floods, slow clients and bombs do to an honest visitor of a real network, and what holds them back.

Bounds were fixed before (`bench.net.assault`); a node without its bounds is attacked, too, for comparison.
"""

from collections.abc import Mapping
from typing import Any, Final

from bench.experiments.attacks import answer_attacks, attack_table
from bench.experiments.base import Case, Column, Drawing, Experiment, Figure, Frame, Row, Scenario, Table, Tables
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.rows import list_rows, select_rows, to_frame

BOUNDED, UNBOUNDED = "bounded", "no bounds"
FULL: Final = "all protections"


def declare_cases(scenario: Scenario) -> list[Case]:
    """One network with bounds under all attacks, and one without under those that only bounds hold back."""
    from bench.net.assault import ASSAULTS

    names = scenario.abuse.attacks or list(ASSAULTS)
    weak = [name for name in names if ASSAULTS[name].needs_bounds]
    cases = [Case("bombs", "bombs"), Case(BOUNDED, "abuse", {"variant": BOUNDED, "attacks": names})]
    return [*cases, Case(UNBOUNDED, "abuse", {"variant": UNBOUNDED, "attacks": weak})] if weak else cases


def is_held(row: Mapping[str, Any]) -> bool:
    """Whether a row is within the bounds that were fixed for it; without bounds: whether nothing held the attack back.

    That is what a weakened node has to show: slow clients stay, and nobody is turned away.
    """
    from bench.net.assault import ASSAULTS, LEAST_GREETED, LEAST_HELD, MOST_GROWTH_MIB

    if row["attack"] == "none":
        return bool(row["committed_per_s"] > 0)
    assault = ASSAULTS[row["attack"]]
    if row["variant"] == UNBOUNDED:
        return bool(row["tries"] > 0 and row["throttled"] == 0)
    is_throttled = not assault.held or (
        row["taken"] == 0 and row["answered"] > 0 and row["throttled"] >= LEAST_HELD * row["answered"]
    )
    return bool(
        is_throttled
        and row["lost"] == 0
        and (row["throughput_ratio"] or 0) >= assault.least_ratio
        and (row["newcomer_share"] or 0) >= LEAST_GREETED
        and row["rss_growth_mib"] <= MOST_GROWTH_MIB
    )


def describe_expected(attack: str, variant: str) -> str:
    """The bounds of an attack in a few words."""
    from bench.net.assault import ASSAULTS, LEAST_GREETED, MOST_GROWTH_MIB

    if attack == "none":
        return ""
    assault = ASSAULTS[attack]
    if variant == UNBOUNDED:
        return "not held back"
    how = f"{' or '.join(sorted(assault.held))}; " if assault.held else ""
    return (
        f"{how}throughput >= {assault.least_ratio:g}, none lost, newcomers >= {LEAST_GREETED:g}, "
        f"memory <= +{MOST_GROWTH_MIB:g} MiB"
    )


def build_abuse(raw: Frame) -> Frame:
    """A row per attack and variant."""
    found = [
        row | {"expected": describe_expected(row["attack"], row["variant"]), "holds": is_held(row)}
        for row in list_rows(raw[raw["kind"] == "abuse"] if "kind" in raw else raw)
    ]
    counted = ("tries", "answered", "throttled", "taken", "due", "lost")
    return to_frame(found, COLUMNS).astype(dict.fromkeys(counted, int))


def build_course(raw: Frame) -> Frame:
    """The honest visitor's throughput over time."""
    return select_rows(raw, "course", COURSE_COLUMNS).fillna({"under": ""})


def draw_course(tables: Tables) -> Drawing:
    """Throughput of the bounded network, each attack shaded and named."""
    from bench.report.style import COLOURS, new_figure

    frame = tables["abuse_course"]
    frame = frame[frame["variant"] == BOUNDED]
    figure, axes = new_figure("page", 3.2)
    step = frame["at_s"].diff().median() if len(frame) > 1 else 1.0
    attacks = frame[frame["under"] != ""].groupby("under", sort=False)
    for place, (name, part) in enumerate(attacks):
        begin, end = part["at_s"].iloc[0], part["at_s"].iloc[-1] + step
        axes.axvspan(begin, end, color=("#e4e4e4", "#f2f2f2")[place % 2], linewidth=0, zorder=0)
        axes.annotate(
            str(name).replace(", of missing objects", ",\nof missing objects"),
            ((begin + end) / 2, 1.02), xycoords=("data", "axes fraction"), rotation=60, fontsize="x-small",
            ha="left", va="bottom",
        )  # fmt: skip
    # A step ends where the next begins: the last one needs an end of its own.
    ends, rates = [*frame["at_s"], *(frame["at_s"].tail(1) + step)], [*frame["commits_per_s"]]
    axes.step(ends, [*rates, *rates[-1:]], where="post", color=COLOURS[0], linewidth=1.2)
    axes.set(xlabel="Time [s]", ylabel="Honest commits [tx/s]")
    axes.set_ylim(bottom=0)
    return figure


def answer(tables: Tables) -> list[str]:
    """Who was held back and how, and what the honest visitor kept."""
    frame = tables["abuse"]
    attacks = frame[(frame["attack"] != "none") & (frame["variant"] == BOUNDED)]
    bombs = tables["abuse_bombs"]
    burst = answer_attacks(bombs[~bombs["variant"].str.contains("control", regex=False)], _REASONS)
    if attacks.empty:
        return burst
    worst = attacks.sort_values("throughput_ratio").iloc[0]
    slowest = attacks.sort_values("latency_p50_ms").iloc[-1]
    before = frame.loc[frame["attack"] == "none", "latency_p50_ms"].iloc[0]
    kept = (
        f"The honest visitor kept at least {worst['throughput_ratio']:.0%} of its throughput ({worst['attack']}) and "
        f"lost {attacks['lost'].sum()} of {attacks['due'].sum()} transactions; its median latency was at most "
        f"{slowest['latency_p50_ms']:.0f} ms ({slowest['attack']}), {before:.0f} ms before. The node's memory grew by "
        f"at most {attacks['rss_growth_mib'].max():.0f} MiB."
    )
    held = int(attacks["holds"].sum())
    lines = [f"{held} of {len(attacks)} attacks stayed within the bounds that were fixed before.", kept]
    weak = frame[(frame["variant"] == UNBOUNDED) & (frame["attack"] != "none")]
    if not weak.empty:
        free = ", ".join(weak.loc[weak["throttled"] == 0, "attack"])
        lines.append(f"Without bounds nothing held back: {free or 'none of them'}.")
    return [*lines, *burst]


#: Why theory lets a bomb go off under a protection.
_REASONS: Final = {
    "neither bounds nor fuel": "Who writes the clauses decides how long every node works on each act under them.",
    "no limit per patient": "Every decision goes through all that one patient has in force, and each keeper holds it.",
    "no limit per author": "Who waits without limit takes the room of all who come later.",
}


def list_bounded(frame: Frame) -> list[Row]:
    """Attacks on the bounded node; all tries of one that exceeds its bound succeed."""
    rows = frame[(frame["variant"] == BOUNDED) & (frame["attack"] != "none")].assign(expected="refused")
    rows["succeeded"] = rows["tries"].where(~rows["holds"], 0)
    return list_rows(rows[["attack", "variant", "expected", "tries", "succeeded"]])


COLUMNS: Final = {
    "attack": Column("Attack"),
    "variant": Column("Node"),
    "expected": Column("Bound"),
    "tries": Column("Tries"),
    "answered": Column("Answered"),
    "throttled": Column("Held back"),
    "taken": Column("Taken"),
    "how": Column("Answers by status"),
    "committed_per_s": Column("Honest commits", "tx/s", ".0f"),
    "throughput_ratio": Column("Over before", "", ".2f"),
    "due": Column("Honest tx"),
    "lost": Column("Lost", "tx"),
    "latency_p50_ms": Column("Latency p50", "ms", ".0f"),
    "latency_max_ms": Column("Latency max", "ms", ".0f"),
    "newcomer_share": Column("Newcomers let in", "", ".2f"),
    "newcomer_ms": Column("Newcomer's wait", "ms", ".0f"),
    "peak_rss_mib": Column("Memory, peak", "MiB", ".0f"),
    "rss_growth_mib": Column("Growth", "MiB", ".0f"),
    "cpu_cores": Column("Processor", "cores", ".2f"),
    "holds": Column("Within its bound"),
}
COURSE_COLUMNS: Final = {
    "variant": Column("Node"),
    "at_s": Column("Time", "s", ".2f"),
    "under": Column("Attack"),
    "commits_per_s": Column("Honest commits", "tx/s", ".0f"),
}
EXPERIMENT: Final = Experiment(
    "abuse", QUESTIONS["abuse"], ("C14", "C18", "C26"), declare_cases,
    (
        Table(
            "abuse",
            "Attacks on the agent of a network of four processes, measured over loopback: an honest visitor on a "
            "steady schedule, a newcomer that opens a connection every 50 ms, attackers from another address; all on "
            "this machine. Honest commits: a quorum of contributors within 1 s of the intended instant. Bounded: at "
            "most 256 connections from an address, 512 in all, 0.2 s for headers and for a body "
            "(usual: 1,024, 4,096 and 10 s; small here, for attacks are short). No bounds: none of these; 'within its "
            "bound' is there that nothing holds the attack back. Memory: largest so far over that before all attacks.",
            COLUMNS, build_abuse,
            ("attack", "variant", "tries", "throttled", "how", "throughput_ratio", "latency_p50_ms", "rss_growth_mib",
             "holds"),
            keys=("attack", "variant"), exact=("holds",),
            strongest=list_bounded,
        ),
        attack_table(
            "abuse_bombs",
            "Bombs and floods that are no matter of HTTP: clauses of agreements that cost more than they may, one "
            "patient's consents and agreements without end, and one member's accesses that will all be denied. "
            "Succeeded: taken beyond the bound, or evaluated beyond the fuel.",
            "Bounds: what the codec takes of clauses (levels, parts, nodes, number); fuel: steps of one evaluation. "
            "'Fuel alone' reads any clauses; 'neither' evaluates them to their end as well. A denied access is an "
            "audit event and so a transaction: what bounds it is how many of one author wait at an agent, and how "
            "fast the chain commits; its size and what bounds it stand in the note.",
            group="bombs",
            strongest=lambda row: row["protection"] == FULL and "control" not in row["variant"],
        ),
        Table(
            "abuse_course",
            "Honest commits per second over time, by quarter seconds, and the attack under way.",
            COURSE_COLUMNS, build_course,
        ),
    ),
    (
        Figure(
            "abuse",
            "Measured: commits of the honest visitor, by quarter seconds, before and under attacks (grey).",
            draw_course,
        ),
    ),
    answer=answer, weight=4.6,
)  # fmt: skip
