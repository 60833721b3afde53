"""Whether the measuring engine finds what is planted, and nothing else; and what it adds to what it measures."""

from typing import Final

from bench.analysis.blocks import BLOCK_COLUMNS, compare_blocks
from bench.analysis.paired import HOLDS
from bench.experiments.base import Case, Column, Comparison, Drawing, Experiment, Figure, Frame, Scenario, Table, Tables
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.processes import METHOD, declare_processes, reach_of


def declare_cases(scenario: Scenario) -> list[Case]:
    """Fresh processes, each with all that is planted."""
    return declare_processes(scenario, "harness", {}, share=6)


def build_harness(raw: Frame) -> Frame:
    """What was planted, what had to come out and what came out; and the loop around no call at all."""
    frame = compare_blocks(raw, with_harness=True)
    control = frame["is_control"]
    frame.loc[control, "expected"] = HOLDS
    frame.loc[control & frame["planted"].notna(), "planted"] = 1.0
    # Where there is no interval, nothing was shown either way.
    covers = (frame["ratio_low"] <= frame["planted"]) & (frame["planted"] <= frame["ratio_high"])
    is_known = frame["ratio_low"].notna() & frame["planted"].notna()
    frame["covers_planted"] = covers.astype(object).where(is_known, None)
    frame["is_right"] = frame["verdict"].eq(frame["expected"]).astype(object).where(frame["ratio_low"].notna(), None)
    return frame.reindex(columns=list(COLUMNS))


def draw_harness(tables: Tables) -> Drawing:
    """What was found, with its interval, beside what was planted."""
    from bench.analysis.paired import MIN_EFFECT
    from bench.report.style import COLOURS, new_figure

    frame = tables["harness"]
    frame = frame[frame["planted"].notna() & frame["verdict"].ne("base")]
    spots = list(range(len(frame)))
    figure, axes = new_figure("column", 2.2)
    axes.axvspan(-100 * MIN_EFFECT / (1 + MIN_EFFECT), 100 * MIN_EFFECT, color="#eeeeee", zorder=0)
    axes.axvline(0, color="black", linewidth=0.8, zorder=0)
    reach = [100 * part for part in reach_of(frame, "ratio")]
    axes.errorbar(100 * (frame["ratio"] - 1), spots, xerr=reach, fmt="o", color=COLOURS[0], label="found")
    axes.plot(100 * (frame["planted"] - 1), spots, "x", color=COLOURS[1], label="planted (work)")
    axes.set_yticks(spots, frame["variant"] + "\n(" + frame["verdict"] + ")")
    axes.set(xlabel="Change of the time [%]", ylim=(len(frame) - 0.5, -0.5))
    figure.legend(loc="outside upper right", ncols=2)
    return figure


COLUMNS: Final = {
    "instructions": Column("Instructions"),
    "variant": Column("Variant"),
    "is_control": Column("A/A control"),
    "size_bytes": Column("Message", "B", ".0f"),
    "planted": Column("Work / base's", "", ".4f"),
    "expected": Column("Expected"),
    **BLOCK_COLUMNS,
    "is_right": Column("As expected"),
    "covers_planted": Column("Interval covers the planted"),
}

EXPERIMENT: Final = Experiment(
    "harness", QUESTIONS["harness"], (), declare_cases,
    (
        Table(
            "harness",
            "SHA-256 of the paper's block (30,720 bytes) beside messages whose work differs by a known number of "
            "compressions: the engine has to call 3.1 % slower and faster, and 0.4 % and nothing at all 'unresolved'. "
            f"'nothing' is the engine's loop around no call: what it adds to each call that it times. {METHOD}",
            COLUMNS, build_harness,
            ("variant", "planted", "ratio", "ratio_low", "ratio_high", "verdict", "expected", "is_right",
             "covers_planted", "harness_share"),
            comparisons=(Comparison(("variant", "size_bytes")),),
        ),
    ),
    (
        Figure(
            "harness",
            "Measured: the change of the time that the engine found, with simultaneous 95 % intervals, beside the "
            "change of the work that was planted. Grey: too small to be called a difference.",
            draw_harness,
        ),
    ),
    weight=4.5,
)  # fmt: skip
