"""What 'final' is worth under each rule, and what proof of work takes where it is worth as much."""

from typing import Any, Final

from bench.experiments.base import Case, Column, Frame, Scenario, Table
from bench.experiments.columns import PER_TX
from bench.experiments.rows import describe_medians
from bench.experiments.variants_rows import BASE_SUITE, RISK, describe_rule, in_order, name_rules, rows_of
from ehrcore.consensus.reversal import confirmations_for, rule_risk
from ehrcore.params import WorkRule, family_of

#: The attacker's parts of all work or stake that tables speak of, and the probability of a reversal that they equal.
ATTACKERS: Final = (0.1, 0.3)
RISK_LEVEL: Final = 0.001
AS_RUN: Final = "as run"
#: Rule -> whom a final block stands against.
_GUARANTEES: Final = {
    "pos": "liars with less than 1/3 of the stake",
    "leader": "crashes of fewer than half; no liar",
    "single": "nobody: who orders decides",
    "pow": "by odds: miners with less than 1/2 of the work",
}


def declare_risks(scenario: Scenario, repeat: int) -> list[Case]:
    """Proof of work as run and with the confirmations that an equal risk takes; none after the last such repeat."""
    plan = scenario.variants
    if repeat >= plan.risk_repeats:
        return []
    cases = []
    for depth in list_depths(plan.confirmations):
        settings = describe_rule("pow", plan.equal_risk_bits, depth)
        settings |= {"suite": BASE_SUITE, "purpose": _name_purposes(depth, plan.confirmations), "repeat": repeat}
        cases.append(Case(f"{RISK}{depth}-{repeat}", "variant", settings))
    return cases


def list_depths(confirmations: int) -> list[int]:
    """Confirmations as run and those that each attacker takes, ascending, each once."""
    return sorted({confirmations, *(find_depth(share) for share in ATTACKERS)})


def _name_purposes(depth: int, confirmations: int) -> str:
    """Why there are so many confirmations: as run elsewhere, or for the stated risk."""
    names = [AS_RUN] if depth == confirmations else []
    return ", ".join(names + [f"{RISK_LEVEL:.1%} at {share:.0%}" for share in ATTACKERS if find_depth(share) == depth])


def find_depth(share: float) -> int:
    """The fewest successors under which an attacker with this share reverts a block with the stated risk at most."""
    # Rosenfeld counts the block itself, `WorkRule.confirmations` its successors.
    return max(confirmations_for(share, RISK_LEVEL) - 1, 0)


def describe_finality(rule: str, confirmations: float) -> dict[str, Any]:
    """Columns on what 'final' means: probability of a reversal by each attacker, and confirmations for the stated risk.

    Under proof of stake an attacker below a third of the stake cannot revert.  Where nobody may lie there is no
    probability: a share of what?
    """
    family = family_of(rule)
    row: dict[str, Any] = {"guarantee": _GUARANTEES[family]}
    for share in ATTACKERS:
        chance, needed = {"pos": (0.0, 0.0)}.get(family, (float("nan"), float("nan")))
        if family == "pow":
            chance = rule_risk(WorkRule(confirmations=int(confirmations)), share)
            needed = float(find_depth(share))
        row |= {f"reversal_{share * 100:.0f}": chance, f"needed_{share * 100:.0f}": needed}
    return row


def build_security(raw: Frame) -> Frame:
    """The rules with SHA-256 in the same repeats: what their finality is worth, and what it takes."""
    import pandas as pd

    work, rows = rows_of(raw, RISK), in_order(raw)
    rows = rows[(rows["rule"] != "pow") & (rows["suite"] == BASE_SUITE) & ~rows["is_control"].astype(bool)]
    if len(work):
        rows = rows[rows["repeat"].isin(set(work["repeat"]))]
    found = []
    for part in (rows, work):
        if part.empty:
            continue
        for (rule, depth), group in part.groupby(["rule", "confirmations"], dropna=False, sort=False):
            bits = group["difficulty_bits"].iloc[0]
            row: dict[str, Any] = {"rule": name_rules()[str(rule)], "difficulty_bits": bits, "confirmations": depth}
            row["purpose"] = group["purpose"].iloc[0] if "purpose" in group else None
            row |= describe_finality(str(rule), float(str(depth))) | {"repeats": len(group)}
            if rule == "pow" and "stale_blocks" in group:
                found_blocks = group["blocks"] + group["stale_blocks"].astype(float)
                row["stale_share"] = float((group["stale_blocks"] / found_blocks).median())
            found.append(row | describe_medians(group, _SOURCES))
    frame = pd.DataFrame(found, columns=[*SECURITY_COLUMNS][:-2])
    stake = frame[frame["rule"] == name_rules()["pos"]]
    for name, source in (("cpu_ratio", "cpu_ms_per_tx"), ("latency_ratio", "latency_p50_ms")):
        frame[name] = frame[source] / (float(stake[source].iloc[0]) if len(stake) else float("nan"))
    return frame.astype({"difficulty_bits": float, "confirmations": float})


_SOURCES: Final = {
    "saturated_tx_per_s": ("saturated_tx_per_s", 1.0),
    "latency_p50_ms": ("latency_quorum_p50_ms", 1.0),
    "cpu_ms_per_tx": PER_TX["cpu_ms_per_tx"],
}
FINALITY_COLUMNS: Final = {
    "guarantee": Column("Final against"),
    **{f"reversal_{share * 100:.0f}": Column(f"Reverted by {share:.0%}", "probability", ".2g") for share in ATTACKERS},
    **{f"needed_{share * 100:.0f}": Column(f"For {RISK_LEVEL:.1%} at {share:.0%}", "confirmations", ".0f")
       for share in ATTACKERS},
}  # fmt: skip
SECURITY_COLUMNS: Final = {
    "rule": Column("Rule"),
    "difficulty_bits": Column("Difficulty", "bits", ".0f"),
    "confirmations": Column("Confirmations", "", ".0f"),
    "purpose": Column("Confirmations chosen for"),
    **FINALITY_COLUMNS,
    "repeats": Column("Repeats"),
    "stale_share": Column("Stale blocks", "", ".1%"),
    "saturated_tx_per_s": Column("Saturated", "tx/s", ".0f"),
    "latency_p50_ms": Column("Latency p50", "ms", ".1f"),
    "cpu_ms_per_tx": Column("CPU", "ms/tx", ".2f"),
    "cpu_ratio": Column("CPU, over PoS", "ratio", ".3g"),
    "latency_ratio": Column("Latency, over PoS", "ratio", ".3g"),
}
SECURITY: Final = Table(
    "variants_security",
    "The same security level, or both shown: what 'final' is worth, and what it takes (simulated, SHA-256, medians "
    "over the same repeats). Proof of work as run, and with the confirmations at which an attacker with 10 % or 30 % "
    "of the work reverts a block with a probability of 0.1 % at most (Rosenfeld 2014, equation 1; a block under k "
    "confirmations has k successors). A certificate of more than two thirds of the stake cannot be reverted by less "
    "than a third; under a leader or a single orderer whoever lies reverts at will, and there is no probability to "
    "state. The odds of proof of work suppose that no block is lost to another on its way: stale ones make them worse.",
    SECURITY_COLUMNS, build_security,
    ("rule", "confirmations", "purpose", "reversal_10", "reversal_30", "latency_p50_ms", "latency_ratio", "cpu_ratio"),
)  # fmt: skip
