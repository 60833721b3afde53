"""What the tables of experiment `variants` share: names, and the raw rows of each kind of case."""

from typing import Any, Final

from bench.experiments.base import Frame, Row
from ehrcore.params import FAMILIES

BASE_RULE: Final = "pos"
BASE_SUITE: Final = "sha256"
_TITLES: Final = {"pos": "PoS", "single": "single orderer", "leader": "elected leader", "pow": "PoW"}
_ORDER: Final = ("pos", "leader", "single", "pow")
#: What the labels of cases begin with that are not the variants themselves.
NET, CELL, RISK, SIGNING = "net-", "cell-", "risk-", "signing-"
KEYS: Final = ["rule", "difficulty_bits", "suite", "is_control"]


def name_rules() -> dict[str, str]:
    """Rule -> how tables and figures call it, in their order; an extension's goes by its name, after ours."""
    ranks = {rule: rank for rank, rule in enumerate(_ORDER)}
    return {rule: _TITLES.get(rule, rule) for rule in sorted(FAMILIES, key=lambda rule: ranks.get(rule, len(ranks)))}


def list_rules(difficulties: list[int]) -> list[tuple[str, int | None]]:
    """Every rule that there is, proof of work once per difficulty and last."""
    rules: list[tuple[str, int | None]] = [(rule, None) for rule in name_rules() if rule != "pow"]
    return rules + [("pow", bits) for bits in sorted(set(difficulties))]


def describe_rule(rule: str, bits: int | None, confirmations: int) -> Row:
    """A case's settings of its rule; only proof of work has confirmations."""
    return {"rule": rule, "difficulty_bits": bits, "confirmations": confirmations if rule == "pow" else None}


def rows_of(raw: Frame, kind: str) -> Frame:
    """The rows of cases whose label begins with ``kind``, without columns that none of them has."""
    return raw[raw["case"].str.startswith(kind)].dropna(axis="columns", how="all")


def in_order(raw: Frame) -> Frame:
    """The variants' rows by rule, difficulty and suite, the control last, whichever repeat was the first to succeed."""
    raw = raw[~raw["case"].str.startswith((NET, CELL, RISK, SIGNING))]
    ranks: dict[str, Any] = {
        "is_control": raw["is_control"].astype(bool),
        "rule": raw["rule"].map({name: rank for rank, name in enumerate(name_rules())}),
        "difficulty_bits": raw["difficulty_bits"].fillna(0),
        "suite": raw["suite"] != BASE_SUITE,
    }
    order = raw.assign(**{f"_{name}": rank for name, rank in ranks.items()}).sort_values(
        [*(f"_{name}" for name in ranks), "suite", "repeat"], kind="stable"
    )
    return order[list(raw.columns)]


def name_rule(rule: str, bits: float | None) -> str:
    """A rule with its difficulty, as one word of a table."""
    title = name_rules()[rule]
    return title if rule != "pow" or bits is None else f"{title}, {bits:.0f} bits"
