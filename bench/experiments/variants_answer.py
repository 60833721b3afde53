"""The question of `variants` answered in words, every number of it out of the tables."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.experiments.base import Tables
from bench.experiments.variants_factors import WITHOUT_WORK
from bench.experiments.variants_rows import BASE_SUITE, name_rules
from bench.experiments.variants_security import AS_RUN, ATTACKERS, RISK_LEVEL
from ehrcore.hashing import SUITES
from ehrcore.params import ConsensusRule, family_of

if TYPE_CHECKING:
    import pandas as pd

#: Less of the variance is not told apart.
_LEAST_SHARE = 0.001
_STAKE, _WORK = (name_rules()[rule] for rule in ("pos", "pow"))


def answer(tables: Tables) -> list[str]:
    """What the paper's proof of stake and SHA-256 buy, and what they cost; what cannot be said is left out."""
    return [
        line for part in (_finality, _equal_risk, _agreement, _break_even, _hashes, _factors) for line in part(tables)
    ]


def _finality(tables: Tables) -> Iterator[str]:
    frame = tables["variants_security"]
    work = frame[frame["purpose"].fillna("").str.contains(AS_RUN)]
    if _STAKE not in set(frame["rule"]) or work.empty:
        return
    as_run, needed = work.iloc[0], [f"{work.iloc[0][f'needed_{share * 100:.0f}']:.0f}" for share in ATTACKERS]
    chances = [f"{as_run[f'reversal_{share * 100:.0f}']:.2g}" for share in ATTACKERS]
    shares = [f"{share:.0%}" for share in ATTACKERS]
    yield (
        "What proof of stake buys: a block with its certificate is final at once against whoever has less than a third "
        f"of the stake. Under proof of work with {as_run['confirmations']:.0f} confirmations an attacker with "
        f"{' or '.join(shares)} of the work reverts one with a probability of {' or '.join(chances)}; for "
        f"{RISK_LEVEL:.1%} at most it takes {' or '.join(needed)} confirmations."
    )


def _equal_risk(tables: Tables) -> Iterator[str]:
    frame = tables["variants_security"]
    work = frame[(frame["rule"] == _WORK) & frame["cpu_ratio"].notna()]
    for share in ATTACKERS:
        for _, row in work[work["confirmations"] == work[f"needed_{share * 100:.0f}"]].iterrows():
            yield (
                f"At that risk from {share:.0%}, proof of work at {row['difficulty_bits']:.0f} bits has "
                f"{row['latency_ratio']:.3g} times the latency and {row['cpu_ratio']:.3g} times the CPU time and "
                "active energy of proof of stake (simulated)."
            )


def _agreement(tables: Tables) -> Iterator[str]:
    frame = tables["variants_ratios"]
    for rule in (title for name, title in name_rules().items() if family_of(name) is not ConsensusRule.PROOF_OF_STAKE):
        found = frame[(frame["rule"] == rule) & (frame["suite"] == BASE_SUITE) & ~frame["is_control"]]
        if rule == _WORK or found.empty or math.isnan(found.iloc[0]["cpu_ratio"]):
            continue
        row = found.iloc[0]
        article = "an" if rule[0] in "aeiou" else "a"
        yield (
            f"What it costs beside {article} {rule}, under which no liar is caught: {_over(row, 'cpu')} times the CPU "
            f"time and active energy, {_over(row, 'throughput')} times the throughput, {_over(row, 'latency')} times "
            "the median latency at the offered load."
        )


def _over(row: "pd.Series[Any]", name: str) -> str:
    """Proof of stake over another, from a ratio of the other over it, with its interval and whether it is resolved."""
    low, high = 1 / row[f"{name}_ratio_high"], 1 / row[f"{name}_ratio_low"]
    return _interval(1 / row[f"{name}_ratio"], low, high, row[f"{name}_verdict"])


def _interval(ratio: float, low: float, high: float, verdict: str) -> str:
    words = [] if math.isnan(low) else [f"{_number(low)} to {_number(high)}"]
    words += ["unresolved"] if verdict == "unresolved" else []
    return _number(ratio) + (f" ({', '.join(words)})" if words else "")


def _number(ratio: float) -> str:
    return f"{ratio:.3f}" if ratio < 2 else f"{ratio:.3g}"


def _break_even(tables: Tables) -> Iterator[str]:
    frame = tables["variants_break_even"]
    for _, row in frame[frame["suite"] == BASE_SUITE].iterrows():
        bare, saturated, as_run = (_place(row, name) for name in ("bare", "saturated", "as_run"))
        yield (
            "The difficulty above which work takes more CPU time than stake: one block's search beside one agreement, "
            f"{bare}; per transaction with all blocks full, {saturated}; as run at the offered load with "
            f"{row['confirmations']:.0f} confirmations, {as_run}."
        )


def _place(row: "pd.Series[Any]", name: str) -> str:
    middle, low, high = (row[f"{name}_{part}"] for part in ("median", "low", "high"))
    if math.isinf(middle):
        least, _, most = row["grid"].partition(" to ")
        return f"under {least}, the least simulated" if middle < 0 else f"over {most}, the most simulated"
    ends = "" if math.isnan(low) else f" ({low:.1f} to {high:.1f})"
    return "none to be found" if math.isnan(middle) else f"{middle:.1f} bits{ends}"


def _hashes(tables: Tables) -> Iterator[str]:
    frame = tables["variants_ratios"]
    rows = frame[(frame["rule"] == _STAKE) & (frame["suite"] != BASE_SUITE) & ~frame["is_control"]]
    rows = rows[rows["cpu_ratio"].notna()]
    costs = [
        f"{row['suite']} {_interval(row['cpu_ratio'], row['cpu_ratio_low'], row['cpu_ratio_high'], row['cpu_verdict'])}"
        for _, row in rows.iterrows()
    ]
    bits = [f"2^{SUITES[name].collision_bits} for {name}" for name in (BASE_SUITE, *rows["suite"])]
    if costs:
        yield (
            f"What SHA-256 buys: the best published collision attack takes {', '.join(bits)}. Under proof of stake "
            f"the others take, of the CPU time with SHA-256, {', '.join(costs)} times as much."
        )


def _factors(tables: Tables) -> Iterator[str]:
    frame = tables["variants_factors"]
    for scope, part in frame.groupby("scope", sort=False):
        singles = part[~part["span"].isna()]
        leading = singles.loc[singles.groupby("response", sort=False)["share"].idxmax()]
        most = [f"{row['term']} {row['share']:.0%} of {row['response']}" for _, row in leading.iterrows()]
        hashes = singles[singles["term"] == "hash"]["share"].max()
        where = "with every rule" if scope != WITHOUT_WORK else str(scope)
        yield (
            f"Over the factorial design {where}, the most of the variance is explained by: {'; '.join(most)}. The hash "
            f"explains {'at most' if hashes >= _LEAST_SHARE else 'less than'} {max(hashes, _LEAST_SHARE):.1%} of any."
        )
