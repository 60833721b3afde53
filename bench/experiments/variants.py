"""Proof of stake, proof of work and a single orderer, each with SHA-256, SHA-1 and MD5; some over real networks.

All variants of one repeat meet the same arrivals, records and jitter, so they are compared pair by pair.  Proof of
work is final only under its confirmations, which is what a receipt means under the other rules at once.
"""

import math
import statistics
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from bench.analysis.paired import AMOUNT, RATE, TIME, UNRESOLVED, compare
from bench.experiments.base import Case, Column, Comparison, Experiment, Figure, Table
from bench.experiments.variants_figures import BASE_SUITE, NAMES, draw_difficulty
from bench.experiments.variants_net import NETWORKS, declare_networks

if TYPE_CHECKING:
    import pandas as pd

    from bench.scenario import Scenario

BASE_RULE: Final = "pos"
_KEYS: Final = ["rule", "difficulty_bits", "suite", "is_control"]


def declare_cases(scenario: "Scenario") -> list[Case]:
    """Every rule with every suite, and the base variant once more as the A/A control; then those over real networks."""
    plan = scenario.variants
    rules: list[tuple[str, int | None]] = [("pos", None), ("single", None)]
    rules += [("pow", bits) for bits in sorted(set(plan.difficulty_bits))]
    # The base variant is always there: every ratio is over it.
    suites = dict.fromkeys((BASE_SUITE, *plan.suites))
    variants = [(rule, bits, suite, False) for rule, bits in rules for suite in suites]
    variants.append((BASE_RULE, None, BASE_SUITE, True))
    cases = []
    for repeat in range(plan.repeats):
        for rule, bits, suite, is_control in variants:
            label = f"{rule}{'' if bits is None else f'-{bits}'}-{suite}{'-control' if is_control else ''}-{repeat}"
            settings = {
                "rule": rule,
                "difficulty_bits": bits,
                "confirmations": plan.confirmations if rule == "pow" else None,
                "suite": suite,
                "is_control": is_control,
                "repeat": repeat,
                "planned": plan.repeats,
            }
            cases.append(Case(label, "variant", settings))
    return cases + declare_networks(scenario)


_NOT_NUMBERS: Final = ("is_overloaded", "energy_status", "busiest_role", "latency_status", "latency_quorum_bounds")


def in_order(raw: "pd.DataFrame") -> "pd.DataFrame":
    """Simulated rows by rule, difficulty and suite, the control last, whichever repeat was the first to succeed."""
    raw = raw[~raw["case"].str.startswith("net-")]
    ranks: dict[str, Any] = {
        "is_control": raw["is_control"].astype(bool),
        "rule": raw["rule"].map({name: rank for rank, name in enumerate(NAMES)}),
        "difficulty_bits": raw["difficulty_bits"].fillna(0),
        "suite": raw["suite"] != BASE_SUITE,
    }
    order = raw.assign(**{f"_{name}": rank for name, rank in ranks.items()}).sort_values(
        [*(f"_{name}" for name in ranks), "suite", "repeat"], kind="stable"
    )
    return order[list(raw.columns)]


def build_main(raw: "pd.DataFrame") -> "pd.DataFrame":
    """Medians over repeats, one row per variant."""
    raw = in_order(raw)
    measured = raw.assign(
        cpu_ms_per_tx=raw["cpu_s_per_tx"] * 1e3,
        kilobytes_per_tx=raw["bytes_per_tx"] / 1e3,
        **{f"energy_mj_{bound}": raw[f"energy_j_per_tx_{bound}"] * 1e3 for bound in ("low", "mid", "high")},
    )
    numbers = [name for name in MAIN_COLUMNS if name in measured and name not in {*_KEYS, *_NOT_NUMBERS}]
    measured[numbers] = measured[numbers].astype(float)  # a latency that no repeat has is None, not a number
    groups = measured.groupby(_KEYS, dropna=False, sort=False)
    frame = groups[numbers].median().reset_index()
    voids = groups["latency_status"].agg(lambda status: (status == "void").sum()).to_numpy()
    frame["latency_status"] = [f"void in {count}" if count else "ok" for count in voids]
    frame["latency_quorum_bounds"] = groups["latency_quorum_bounds"].agg(_join_bounds).to_numpy()
    frame["repeats"] = groups.size().to_numpy()
    frame["failed"] = groups["planned"].first().to_numpy().astype(int) - frame["repeats"]
    frame["busiest_role"] = groups["busiest_role"].first().to_numpy()
    frame["is_overloaded"] = groups["is_overloaded"].any().to_numpy().astype(bool)
    frame["energy_status"] = groups["energy_status"].first().to_numpy()
    frame["rule"] = frame["rule"].map(NAMES)
    frame["is_control"] = frame["is_control"].astype(bool)
    return frame[list(MAIN_COLUMNS)]


def _join_bounds(bounds: "pd.Series[str]") -> str:
    """What is a lower bound in any repeat."""
    return ", ".join(dict.fromkeys(name for names in bounds for name in names.split(", ") if name))


MAIN_COLUMNS: Final = {
    "rule": Column("Rule"),
    "difficulty_bits": Column("Difficulty", "bits", ".0f"),
    "suite": Column("Hash"),
    "is_control": Column("A/A control"),
    "repeats": Column("Repeats"),
    "failed": Column("Repeats failed"),
    "saturated_tx_per_s": Column("Saturated", "tx/s", ".0f"),
    "is_overloaded": Column("Offered load exceeds it"),
    "latency_quorum_p50_ms": Column("Latency p50", "ms", ".1f"),
    "latency_quorum_p95_ms": Column("Latency p95", "ms", ".1f"),
    "latency_quorum_p99_ms": Column("Latency p99", "ms", ".1f"),
    "latency_status": Column("Latency is"),
    "latency_quorum_bounds": Column("Lower bounds"),
    "cpu_ms_per_tx": Column("CPU", "ms/tx", ".2f"),
    "energy_mj_low": Column("Energy est. low", "mJ/tx", ".1f"),
    "energy_mj_mid": Column("Energy est. mid", "mJ/tx", ".1f"),
    "energy_mj_high": Column("Energy est. high", "mJ/tx", ".1f"),
    "energy_status": Column("Energy is"),
    "messages_per_tx": Column("Messages", "1/tx", ".1f"),
    "kilobytes_per_tx": Column("Traffic", "kB/tx", ".1f"),
    "empty_share": Column("Empty blocks", "", ".0%"),
    "busiest_role": Column("Busiest role"),
    "tries_per_block": Column("Hash tries", "1/block", ".3g"),
    "refused_blocks": Column("Blocks refused by ledger keepers", "", ".0f"),
}


def build_ratios(raw: "pd.DataFrame") -> "pd.DataFrame":
    """Each variant over proof of stake with SHA-256, repeat by repeat, with simultaneous intervals."""
    import pandas as pd

    raw = in_order(raw)
    is_base = (raw["rule"] == BASE_RULE) & (raw["suite"] == BASE_SUITE) & ~raw["is_control"].astype(bool)
    base = raw[is_base].set_index("repeat")
    groups = {key: group.set_index("repeat") for key, group in raw[~is_base].groupby(_KEYS, dropna=False, sort=False)}
    paired = {key: group.loc[group.index.isin(base.index)] for key, group in groups.items()}
    families = {control: sum(bool(key[3]) is control for key in paired) * len(RATIOS) for control in (False, True)}
    rows: list[dict[str, object]] = []
    for (rule, bits, suite, is_control), group in paired.items():
        row: dict[str, object] = {"rule": NAMES[str(rule)], "difficulty_bits": bits, "suite": suite}
        row |= {"is_control": bool(is_control), "pairs": len(group)}
        for name, (column, words) in RATIOS.items():
            pairs = zip(group[column], base.loc[group.index, column], strict=True)
            clusters = [[math.log(ours / theirs)] for ours, theirs in pairs if ours == ours and theirs == theirs]  # noqa: PLR0124 - a void latency is NaN
            row[f"{name}_verdict"] = UNRESOLVED
            if clusters:
                found = compare(clusters, families[bool(is_control)], is_control=bool(is_control), words=words)
                row |= found.as_columns(f"{name}_")
        rows.append(row)
    return pd.DataFrame(rows, columns=list(RATIO_COLUMNS))


#: What is compared -> the raw column, and what a ratio below and above 1 is called.
RATIOS: Final = {
    "throughput": ("saturated_tx_per_s", RATE),
    "latency": ("latency_quorum_p50_ms", TIME),
    "cpu": ("cpu_s_per_tx", AMOUNT),
}
RATIO_COLUMNS: Final = {
    "rule": Column("Rule"),
    "difficulty_bits": Column("Difficulty", "bits", ".0f"),
    "suite": Column("Hash"),
    "is_control": Column("A/A control"),
    "pairs": Column("Pairs"),
    **{
        f"{name}_{part}": Column(f"{title}{words}", "" if part == "verdict" else "ratio", form)
        for name, title in (("throughput", "Throughput"), ("latency", "Latency p50"), ("cpu", "CPU and energy"))
        for part, words, form in (
            ("ratio", "", ".3f"),
            ("ratio_low", ", low", ".3f"),
            ("ratio_high", ", high", ".3f"),
            ("verdict", " is", ""),
        )
    },
}


def find_break_even(bits: list[float], costs: list[float], level: float) -> float:
    """Difficulty (bits) at which ``costs``, straight between their points on a log scale, first reach ``level``.

    Minus infinity if even the first point costs more, infinity if none does.
    """
    points = sorted(zip(bits, costs, strict=True))
    if not points or points[0][1] >= level:
        return -math.inf if points else math.nan
    for (low, before), (high, after) in pairwise(points):
        if after >= level:
            share = (math.log(level) - math.log(before)) / (math.log(after) - math.log(before))
            return low + share * (high - low)
    return math.inf


def build_break_even(raw: "pd.DataFrame") -> "pd.DataFrame":
    """Per suite, the difficulty above which proof of work takes more CPU than proof of stake, in two readings."""
    import pandas as pd

    raw = in_order(raw)
    usable = raw[~raw["is_control"].astype(bool)]
    rows = []
    for suite, group in usable.groupby("suite", sort=False):
        repeats = (_break_even_of(repeat) for _, repeat in group.groupby("repeat"))
        found = [pair for pair in repeats if pair is not None]
        if not found:
            continue
        as_run = [bits for bits, _ in found]
        where = "below the grid" if -math.inf in as_run else "above the grid" if math.inf in as_run else "in the grid"
        finite = [bits for bits in as_run if math.isfinite(bits)] or [math.nan]
        bare = sorted(bits for _, bits in found if math.isfinite(bits)) or [math.nan]
        tested = group[group["rule"] == "pow"]
        confirmations = int(tested["confirmations"].iloc[0])
        grid = f"{tested['difficulty_bits'].min():.0f} to {tested['difficulty_bits'].max():.0f}"
        rows.append((suite, len(found), statistics.median(bare), bare[0], bare[-1], confirmations, grid, where,
                     statistics.median(finite)))  # fmt: skip
    return pd.DataFrame(rows, columns=list(BREAK_EVEN_COLUMNS))


def _break_even_of(repeat: "pd.DataFrame") -> tuple[float, float] | None:
    """Break-even (bits) as run, with all confirmations, and bare, one block's search against one agreement."""
    by_rule = {rule: part for rule, part in repeat.groupby("rule")}  # noqa: C416 - pandas groups are not a mapping
    if not {"pos", "pow", "single"} <= set(by_rule):
        return None
    stake, single, work = by_rule["pos"].iloc[0], by_rule["single"].iloc[0], by_rule["pow"]
    as_run = find_break_even(
        work["difficulty_bits"].tolist(), work["cpu_s_per_tx"].tolist(), float(stake["cpu_s_per_tx"])
    )
    agreement_s = float(stake["cpu_s_per_tx"] - single["cpu_s_per_tx"]) * float(stake["tx_per_block"])
    bare = math.log2(agreement_s / (float(stake["grind_ns"]) * 1e-9)) if agreement_s > 0 else math.nan
    return as_run, bare


BREAK_EVEN_COLUMNS: Final = {
    "suite": Column("Hash"),
    "repeats": Column("Repeats"),
    "bare_bits_median": Column("Bare, median", "bits", ".1f"),
    "bare_bits_min": Column("Bare, min", "bits", ".1f"),
    "bare_bits_max": Column("Bare, max", "bits", ".1f"),
    "confirmations": Column("Confirmations as run"),
    "grid": Column("Grid", "bits"),
    "where": Column("As run, it lies"),
    "bits_median": Column("As run, median", "bits", ".1f"),
}


EXPERIMENT: Final = Experiment(
    "variants",
    "What do proof of stake and SHA-256 cost against proof of work, SHA-1, MD5 and no agreement?",
    ("C01", "C02", "C03", "C36", "C37"),
    declare_cases,
    (
        Table(
            "variants",
            "Consensus rules and hash suites on one topology, medians over repeats that did not fail (simulated with "
            "this machine's measured unit costs). Latency, CPU and energy at one offered load, at which most of the "
            "latency is the wait for a block to fill; energy estimated as CPU-seconds times stated watts, idle power "
            "not in it. SHA-1 and MD5 are broken: variants for comparison only. Proof of work is final under its "
            "confirmations; its search runs beside the node's other work, as on a core of its own. Where blocks come "
            "faster than the network carries them, administrators finalise different blocks, ledger keepers refuse "
            "the later ones, and the repeat fails.",
            MAIN_COLUMNS,
            build_main,
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
            RATIO_COLUMNS,
            build_ratios,
            ("rule", "difficulty_bits", "suite", "is_control", "throughput_ratio", "throughput_verdict",
             "latency_ratio", "latency_verdict", "cpu_ratio", "cpu_verdict"),
            comparisons=tuple(Comparison(("rule", "difficulty_bits", "suite"), f"{name}_") for name in RATIOS),
        ),
        Table(
            "variants_break_even",
            "Difficulty above which proof of work takes more CPU time than proof of stake, at the same offered load. "
            "Bare: the search for one block, at the cost of a try here (Python's hashlib: a miner n times as fast "
            "moves it by log2 n bits), against what agreement adds to a single orderer's block. As run: per "
            "transaction with all confirmations and the empty blocks that they need, interpolated on a log scale. "
            "Ranges are those of the repeats, no intervals.",
            BREAK_EVEN_COLUMNS,
            build_break_even,
            ("suite", "bare_bits_median", "confirmations", "grid", "where", "bits_median"),
        ),
        NETWORKS,
    ),
    (
        Figure(
            "variants_difficulty",
            "Proof of work over its difficulty, suites side by side; proof of stake (dashed) and a single orderer "
            "(dotted), both with SHA-256, as levels. Simulated.",
            draw_difficulty,
        ),
    ),
    needs_records=True,
    weight=37.0,
)  # fmt: skip
