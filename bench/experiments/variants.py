"""Every consensus rule with SHA-256, SHA-1 and MD5; some over real networks.

All variants of one repeat meet the same arrivals, records and jitter, so they are compared pair by pair.  Proof of
work is final only under its confirmations, which is what a receipt means under the other rules at once.
"""

import math
from typing import TYPE_CHECKING, Final

from bench.analysis.paired import AMOUNT, RATE, TIME, UNRESOLVED, compare
from bench.experiments.base import Case, Column, Comparison, Experiment, Figure, Frame, Scenario, Table
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.columns import LATENCY_NOTES, PER_TX, QUORUM_COLUMNS, VARIANT_COLUMNS, list_costs, with_ends
from bench.experiments.rows import to_frame
from bench.experiments.variants_answer import answer
from bench.experiments.variants_break_even import BREAK_EVEN
from bench.experiments.variants_extrapolation import EXTRAPOLATION, EXTRAPOLATION_FIGURE
from bench.experiments.variants_factors import FACTORS_FIGURE, FACTORS_TABLE, LEVELS_TABLE, declare_cells
from bench.experiments.variants_figures import draw_difficulty
from bench.experiments.variants_net import NETWORKS, declare_networks
from bench.experiments.variants_rows import (
    BASE_RULE,
    BASE_SUITE,
    KEYS,
    SIGNING,
    describe_rule,
    in_order,
    list_rules,
    name_rules,
)
from bench.experiments.variants_security import FINALITY_COLUMNS, SECURITY, declare_risks, describe_finality
from bench.experiments.variants_traffic import TRAFFIC_TABLES

if TYPE_CHECKING:
    import pandas as pd


def declare_cases(scenario: Scenario) -> list[Case]:
    """Every rule with every suite, the base variant again as the A/A control, and the designs; real networks last.

    Each repeat has all of its cases before the next, so that a slow hour hits all alike.
    """
    plan = scenario.variants
    # The base variant is always there: every ratio is over it.
    suites = dict.fromkeys((BASE_SUITE, *plan.suites))
    variants = [(*rule, suite, False) for rule in list_rules(plan.difficulty_bits) for suite in suites]
    variants.append((BASE_RULE, None, BASE_SUITE, True))
    cases = []
    for repeat in range(plan.repeats):
        for rule, bits, suite, is_control in variants:
            label = f"{rule}{'' if bits is None else f'-{bits}'}-{suite}{'-control' if is_control else ''}-{repeat}"
            settings = describe_rule(rule, bits, plan.confirmations) | {
                "suite": suite, "is_control": is_control, "repeat": repeat, "planned": plan.repeats,
                "extrapolate_bits": plan.extrapolate_bits,
            }  # fmt: skip
            cases.append(Case(label, "variant", settings))
        cases += declare_risks(scenario, repeat) + declare_cells(scenario, repeat)
        cases.append(Case(f"{SIGNING}{repeat}", "signing-costs", {"repeat": repeat}))
    return cases + declare_networks(scenario)


_FIRST: Final = ("confirmations", "busiest_role", "energy_status")
_NOT_NUMBERS: Final = (*_FIRST, "is_overloaded", "latency_status", "latency_quorum_bounds")


def build_main(raw: Frame) -> Frame:
    """Medians over repeats, one row per variant."""
    raw = in_order(raw)
    measured = raw.assign(**{name: raw[source] * scale for name, (source, scale) in PER_TX.items()})
    numbers = [name for name in MAIN_COLUMNS if name in measured and name not in {*KEYS, *_NOT_NUMBERS}]
    measured[numbers] = measured[numbers].astype(float)  # a latency that no repeat has is None, not a number
    groups = measured.groupby(KEYS, dropna=False, sort=False)
    frame = groups[numbers].median().reset_index()
    voids = groups["latency_status"].agg(lambda status: (status == "void").sum()).to_numpy()
    frame["latency_status"] = [f"void in {count}" if count else "ok" for count in voids]
    frame["latency_quorum_bounds"] = groups["latency_quorum_bounds"].agg(_join_bounds).to_numpy()
    frame["repeats"] = groups.size().to_numpy()
    frame["failed"] = groups["planned"].first().to_numpy().astype(int) - frame["repeats"]
    frame["is_overloaded"] = groups["is_overloaded"].any().to_numpy().astype(bool)
    frame = frame.assign(**{name: groups[name].first().to_numpy() for name in _FIRST})
    finality = [describe_finality(*pair) for pair in zip(frame["rule"], frame["confirmations"], strict=True)]
    frame = frame.assign(**{name: [row[name] for row in finality] for name in FINALITY_COLUMNS})
    frame["rule"] = frame["rule"].map(name_rules())
    frame["is_control"] = frame["is_control"].astype(bool)
    return frame[list(MAIN_COLUMNS)]


def _join_bounds(bounds: "pd.Series[str]") -> str:
    """What is a lower bound in any repeat."""
    return ", ".join(dict.fromkeys(name for names in bounds for name in names.split(", ") if name))


MAIN_COLUMNS: Final = {
    **VARIANT_COLUMNS,
    "is_control": Column("A/A control"),
    "confirmations": Column("Confirmations", "", ".0f"),
    **FINALITY_COLUMNS,
    "repeats": Column("Repeats"),
    "failed": Column("Repeats failed"),
    "saturated_tx_per_s": Column("Saturated", "tx/s", ".0f"),
    "is_overloaded": Column("Offered load exceeds it"),
    **QUORUM_COLUMNS,
    **LATENCY_NOTES,
    **list_costs("Energy est."),
    "empty_share": Column("Empty blocks", "", ".0%"),
    "busiest_role": Column("Busiest role"),
    "tries_per_block": Column("Hash tries", "1/block", ".3g"),
    "refused_blocks": Column("Blocks refused by ledger keepers", "", ".0f"),
}


def build_ratios(raw: Frame) -> Frame:
    """Each variant over proof of stake with SHA-256, repeat by repeat, with simultaneous intervals."""
    raw = in_order(raw)
    is_base = (raw["rule"] == BASE_RULE) & (raw["suite"] == BASE_SUITE) & ~raw["is_control"].astype(bool)
    base = raw[is_base].set_index("repeat")
    groups = {key: group.set_index("repeat") for key, group in raw[~is_base].groupby(KEYS, dropna=False, sort=False)}
    paired = {key: group.loc[group.index.isin(base.index)] for key, group in groups.items()}
    families = {control: sum(bool(key[3]) is control for key in paired) * len(RATIOS) for control in (False, True)}
    rows: list[dict[str, object]] = []
    for (rule, bits, suite, is_control), group in paired.items():
        row: dict[str, object] = {"rule": name_rules()[str(rule)], "difficulty_bits": bits, "suite": suite}
        row |= {"is_control": bool(is_control), "pairs": len(group)}
        for name, (column, words) in RATIOS.items():
            pairs = zip(group[column], base.loc[group.index, column], strict=True)
            clusters = [[math.log(ours / theirs)] for ours, theirs in pairs if ours == ours and theirs == theirs]  # noqa: PLR0124 - a void latency is NaN
            row[f"{name}_verdict"] = UNRESOLVED
            if clusters:
                found = compare(clusters, families[bool(is_control)], is_control=bool(is_control), words=words)
                row |= found.as_columns(f"{name}_")
        rows.append(row)
    return to_frame(rows, RATIO_COLUMNS)


#: What is compared -> the raw column, and what a ratio below and above 1 is called.
RATIOS: Final = {
    "throughput": ("saturated_tx_per_s", RATE),
    "latency": ("latency_quorum_p50_ms", TIME),
    "cpu": ("cpu_s_per_tx", AMOUNT),
}


def _compared(name: str, title: str) -> dict[str, Column]:
    return {**with_ends(f"{name}_ratio", title, "ratio", ".3f"), f"{name}_verdict": Column(f"{title} is")}


RATIO_COLUMNS: Final = {
    **VARIANT_COLUMNS,
    "is_control": Column("A/A control"),
    "pairs": Column("Pairs"),
    **_compared("throughput", "Throughput"),
    **_compared("latency", "Latency p50"),
    **_compared("cpu", "CPU and energy"),
}


EXPERIMENT: Final = Experiment(
    "variants", QUESTIONS["variants"], ("C01", "C02", "C03", "C36", "C37"), declare_cases,
    (
        Table(
            "variants",
            "Consensus rules and hash suites on one topology, with what each one's finality is worth; medians over "
            "repeats that did not fail (simulated with this machine's measured unit costs). Latency, CPU and energy at "
            "one offered load, at which most of the latency is the wait for a block to fill; energy estimated as "
            "CPU-seconds times stated watts, idle power not in it. SHA-1 and MD5 are broken: variants for comparison "
            "only. Proof of work is final under its confirmations, by the odds that the columns of reversals state, "
            "and no equal of a certificate; its search runs beside the node's other work, as on a core of its own. "
            "An elected leader's messages are unsigned, hence a CPU time near a single orderer's. "
            "Where blocks come faster than the network carries them, administrators finalise different blocks, ledger "
            "keepers refuse the later ones, and the repeat fails.",
            MAIN_COLUMNS, build_main,
            ("rule", "difficulty_bits", "suite", "is_control", "saturated_tx_per_s", "latency_quorum_p50_ms",
             "cpu_ms_per_tx", "energy_mj_mid"),
        ),
        Table(
            "variants_ratios",
            "Each variant over proof of stake with SHA-256, paired by repeat: the same arrivals, jitter and unit "
            "costs (simulated). Medians over repeats with exact sign-test intervals, 95 % for all of the table at "
            "once; below 2 % nothing is called a difference. The A/A control is that variant itself, priced with the "
            "second measurement of each unit cost, which was interleaved with the first. Unit costs are measured in "
            "the run's own process.",
            RATIO_COLUMNS, build_ratios,
            ("rule", "difficulty_bits", "suite", "is_control", "throughput_ratio", "throughput_verdict",
             "latency_ratio", "latency_verdict", "cpu_ratio", "cpu_verdict"),
            comparisons=tuple(Comparison(("rule", "difficulty_bits", "suite"), f"{name}_") for name in RATIOS),
        ),
        SECURITY,
        BREAK_EVEN,
        EXTRAPOLATION,
        FACTORS_TABLE,
        LEVELS_TABLE,
        *TRAFFIC_TABLES,
        NETWORKS,
    ),
    (
        Figure(
            "variants_difficulty",
            "Proof of work over its difficulty, suites side by side; proof of stake, an elected leader and a single "
            "orderer, with SHA-256, as levels (where the last two coincide, the one lies on the other). Simulated.",
            draw_difficulty,
        ),
        FACTORS_FIGURE,
        EXTRAPOLATION_FIGURE,
    ),
    answer=answer, needs_records=True, weight=24.0,
)  # fmt: skip
