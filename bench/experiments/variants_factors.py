"""A factorial design over everything that a chain can choose, and which choice explains how much."""

import math
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from bench.analysis.factorial import HIGHER, REPEATS, RESIDUAL, decompose, keep_balanced, to_array
from bench.experiments.base import Case, Column, Drawing, Figure, Frame, Scenario, Table, Tables
from bench.experiments.rows import to_frame
from bench.experiments.variants_rows import CELL, describe_rule, list_rules, name_rule, rows_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

#: Factors in the order of the tables.
FACTORS: Final = ("consensus rule", "hash", "curve", "block size", "nodes")
#: Raw column -> what tables call its logarithm.
RESPONSES: Final = {
    "saturated_tx_per_s": "throughput",
    "latency_quorum_p50_ms": "latency",
    "cpu_s_per_tx": "CPU, active energy",
    "energy_with_idle_j": "energy with idle",
}
EVERYTHING, WITHOUT_WORK = "all rules", "without proof of work"


def declare_cells(scenario: Scenario, repeat: int) -> list[Case]:
    """All cells of one repeat; none after the design's last one."""
    plan = scenario.variants.factors
    if repeat >= plan.repeats:
        return []
    rules = list_rules(plan.difficulty_bits)
    cells = list(product(rules, plan.suites, plan.curves, plan.block_transactions, plan.topologies))
    cases = []
    for (rule, bits), suite, curve, size, topology in cells:
        words = [rule, *([] if bits is None else [bits]), suite, curve, size, ".".join(map(str, topology)), repeat]
        settings = describe_rule(rule, bits, scenario.variants.confirmations) | {
            "suite": suite, "curve": curve, "block_transactions": size, "topology": topology, "blocks": plan.blocks,
            "repeat": repeat, "planned_repeats": plan.repeats, "planned_cells": len(cells),
        }  # fmt: skip
        cases.append(Case(CELL + "-".join(map(str, words)), "variant", settings))
    return cases


def read_cells(raw: Frame) -> Frame:
    """The cells' rows with a column of words per factor, and the energy with idle power (J per transaction)."""
    rows = rows_of(raw, CELL).copy()
    if rows.empty:
        return rows
    bits = rows["difficulty_bits"] if "difficulty_bits" in rows else [None] * len(rows)
    rows["consensus rule"] = [name_rule(rule, at) for rule, at in zip(rows["rule"], bits, strict=True)]
    rows["hash"] = rows["suite"]
    rows["curve"] = [f"{curve} ({library})" for curve, library in zip(rows["curve"], rows["library"], strict=True)]
    rows["block size"] = [f"{size:.0f} tx" for size in rows["block_transactions"]]
    rows["nodes"] = ["+".join(f"{count:.0f}" for count in counts) for counts in rows["topology"]]
    idle = rows["idle_j_per_tx"].astype(float) if "idle_j_per_tx" in rows else float("nan")
    rows["energy_with_idle_j"] = rows["energy_j_per_tx_mid"].astype(float) + idle
    return rows


def _levels(rows: Frame) -> dict[str, list[Any]]:
    """The planned levels of each factor, as far as any row has them, and the planned repeats."""
    levels = {name: list(dict.fromkeys(rows[name])) for name in FACTORS}
    return levels | {"repeat": list(range(int(rows["planned_repeats"].iloc[0])))}


def build_factors(raw: Frame) -> Frame:
    """A row per scope, response and term of the decomposition."""
    cells, rows = read_cells(raw), []
    for scope in (EVERYTHING, WITHOUT_WORK) if len(cells) else ():
        part = cells if scope == EVERYTHING else cells[cells["rule"] != "pow"]
        for response, title in RESPONSES.items():
            if part.empty or response not in part or part[response].isna().all():
                continue
            levels = _levels(part)
            kept, left_out = keep_balanced(part, levels, [response])
            never = int(part["planned_cells"].iloc[0]) - math.prod(len(levels[name]) for name in FACTORS)
            if scope == EVERYTHING and never:
                left_out.append(f"{never} combinations of levels that no row has")
            if not len(kept) or any(kept[name].nunique() < 2 for name in FACTORS):
                continue
            values = to_array(kept, FACTORS, "repeat", response)
            common = {"scope": scope, "response": title, "repeats": values.shape[-1], "cells": kept.shape[0]}
            common |= {"left_out": ", ".join(left_out) or None, "blocks": int(part["blocks"].iloc[0])}
            for term in decompose(values, FACTORS):
                effect = _range(values, FACTORS.index(term.name)) if term.name in FACTORS else float("nan")
                rows.append(
                    {**common, "term": term.name, "degrees_of_freedom": term.freedom, "sum_of_squares": term.squares,
                     "share": term.share, "share_low": term.low, "share_high": term.high, "span": effect}
                )  # fmt: skip
    return to_frame(rows, FACTOR_COLUMNS)


def _range(values: "np.ndarray[Any, Any]", axis: int) -> float:
    """The greatest of the levels' geometric means over the least."""
    import numpy as np

    means = values.mean(axis=tuple(other for other in range(values.ndim) if other != axis))
    return float(np.exp(means.max() - means.min()))


def build_levels(raw: Frame) -> Frame:
    """A row per factor and level: the geometric means over everything else."""
    import numpy as np

    cells, rows = read_cells(raw), []
    for factor in FACTORS if len(cells) else ():
        for level, part in cells.groupby(factor, sort=False):
            row: dict[str, Any] = {"factor": factor, "level": level, "rows": len(part)}
            for response in RESPONSES:
                numbers = part.reindex(columns=[response])[response].astype(float)
                row[response] = float(np.exp(np.log(numbers).mean()))
            rows.append(row)
    return to_frame(rows, LEVEL_COLUMNS)


FACTOR_COLUMNS: Final = {
    "scope": Column("Over"),
    "response": Column("Logarithm of"),
    "term": Column("Factor or interaction"),
    "share": Column("Share of the variance", "", ".1%"),
    "share_low": Column("Least of a repeat", "", ".1%"),
    "share_high": Column("Greatest of a repeat", "", ".1%"),
    "span": Column("Greatest level over least", "ratio", ".3g"),
    "degrees_of_freedom": Column("Degrees of freedom", "", "d"),
    "sum_of_squares": Column("Sum of squares", "", ".4g"),
    "repeats": Column("Repeats"),
    "cells": Column("Values"),
    "left_out": Column("Left out for gaps"),
    "blocks": Column("Full blocks per cell"),
}
LEVEL_COLUMNS: Final = {
    "factor": Column("Factor"),
    "level": Column("Level"),
    "rows": Column("Values"),
    "saturated_tx_per_s": Column("Saturated", "tx/s", ".0f"),
    "latency_quorum_p50_ms": Column("Latency p50", "ms", ".1f"),
    "cpu_s_per_tx": Column("CPU", "s/tx", ".3g"),
    "energy_with_idle_j": Column("Energy with idle, est.", "J/tx", ".3g"),
}


def draw_factors(tables: Tables) -> Drawing:
    """Stacked bars: of each response's variance, what each factor, the interactions and chance explain."""
    from bench.report.style import COLOURS, new_figure

    frame = tables["variants_factors"]
    scopes, responses = list(dict.fromkeys(frame["scope"])), list(RESPONSES.values())
    figure, axes = new_figure("page", 2.9, ncols=max(len(scopes), 1), sharey=True, squeeze=False)
    parts = [*FACTORS, "interactions of two", HIGHER, f"{REPEATS}, {RESIDUAL}"]
    # Hatches tell them apart in black and white.
    hatches = ("", "///", "...", "\\\\\\", "xxx", "", "---", "+++")
    colours = (*COLOURS[:5], "#FFFFFF", COLOURS[7], COLOURS[5])
    for axis, scope in zip(axes[0], scopes, strict=False):
        here = frame[frame["scope"] == scope]
        for place, response in enumerate(responses):
            part = here[here["response"] == response].set_index("term")["share"]
            below = 0.0
            for share, name, colour, hatch in zip(_stack(part, parts), parts, colours, hatches, strict=True):
                axis.bar(place, share, 0.62, below, color=colour, hatch=hatch, edgecolor="black", linewidth=0.5,
                         label=name if place == 0 else None)  # fmt: skip
                if share >= 0.07:
                    axis.text(place, below + share / 2, f"{100 * share:.0f}", ha="center", va="center", fontsize=6.5,
                              bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8})  # fmt: skip
                below += share
        broken = [name.replace(", ", ",\n").replace(" with", "\nwith") for name in responses]
        axis.set_xticks(range(len(responses)), broken)
        axis.set(title=scope, ylim=(0, 1))
        axis.grid(visible=False, axis="x")
        axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
    axes[0][0].set_ylabel("Share of the log variance [%]")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _stack(shares: "pd.Series[float]", parts: list[str]) -> list[float]:
    """Heights of the parts; 0 for what a table without rows does not have."""
    pairs = sum(float(shares[name]) for name in shares.index if " × " in str(name))
    known = {parts[-3]: pairs, parts[-1]: float(shares.get(REPEATS, 0.0)) + float(shares.get(RESIDUAL, 0.0))}
    return [known[name] if name in known else float(shares.get(name, 0.0)) for name in parts]


FACTORS_TABLE: Final = Table(
    "variants_factors",
    "Which choice explains how much: eta squared, each term's sum of squares over the total, of the logarithms over a "
    "balanced full factorial design (simulated; every combination of rule, hash, curve, block size and topology of "
    "agents + coordinators + administrators + contributors, in each repeat; unit costs measured anew per repeat; "
    "levels in the next table; `paper` has more of them than `quick`). A cell is a closed loop over as many full "
    "blocks as the last column says, and as many at the offered load. "
    "Shares depend on the levels: they rank the factors over these, and proof of work, where difficulty can be had at "
    "will, is shown apart. Least and greatest: each repeat as a design of its own, without repeats and residual, so "
    "that a share of all may lie below both. Residual: what repeats of a cell differ by beyond their own means. Active "
    "energy is CPU time times watts, so that its shares are those of CPU; energy with idle adds what all "
    "nodes draw while they wait.",
    FACTOR_COLUMNS, build_factors,
    ("scope", "response", "term", "share", "span"),
)  # fmt: skip
LEVELS_TABLE: Final = Table(
    "variants_levels",
    "The levels of the factorial design: geometric means over all other factors and repeats (simulated). In brackets "
    "the library whose measured unit costs stand for the curve. Energy: estimated, CPU-seconds times stated watts "
    "(mid) and idle power of all nodes.",
    LEVEL_COLUMNS, build_levels,
    ("factor", "level", "saturated_tx_per_s", "latency_quorum_p50_ms", "cpu_s_per_tx"),
)  # fmt: skip
FACTORS_FIGURE: Final = Figure(
    "variants_factors",
    "What explains the variance of each response over the factorial design, with proof of work and without it "
    "(numbers: per cent, from 7 on). Simulated; shares hold for the levels of the design.",
    draw_factors,
)
