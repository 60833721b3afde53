"""What the tables of experiment `variants` share: names, and the raw rows of each kind of case."""

from typing import TYPE_CHECKING, Any, Final

from ehrcore.params import ConsensusRule

if TYPE_CHECKING:
    import pandas as pd

BASE_RULE: Final = "pos"
BASE_SUITE: Final = "sha256"
_TITLES: Final = {"pos": "PoS", "single": "single orderer", "leader": "elected leader", "pow": "PoW"}
_ORDER: Final = ("pos", "leader", "single", "pow")
#: Rule -> how tables and figures call it, in their order; a rule that has no title yet goes by its name.
NAMES: Final = {
    rule: _TITLES.get(rule, rule)
    for rule in sorted(map(str, ConsensusRule), key=lambda rule: _ORDER.index(rule) if rule in _ORDER else len(_ORDER))
}
#: What the labels of cases begin with that are not the variants themselves.
NET, CELL, RISK, SIGNING = "net-", "cell-", "risk-", "signing-"
KEYS: Final = ["rule", "difficulty_bits", "suite", "is_control"]


def list_rules(difficulties: list[int]) -> list[tuple[str, int | None]]:
    """Every rule that there is, proof of work once per difficulty and last."""
    rules: list[tuple[str, int | None]] = [(rule, None) for rule in NAMES if rule != "pow"]
    return rules + [("pow", bits) for bits in sorted(set(difficulties))]


def rows_of(raw: "pd.DataFrame", kind: str) -> "pd.DataFrame":
    """The rows of cases whose label begins with ``kind``, without columns that none of them has."""
    return raw[raw["case"].str.startswith(kind)].dropna(axis="columns", how="all")


def in_order(raw: "pd.DataFrame") -> "pd.DataFrame":
    """The variants' rows by rule, difficulty and suite, the control last, whichever repeat was the first to succeed."""
    raw = raw[~raw["case"].str.startswith((NET, CELL, RISK, SIGNING))]
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


def name_rule(rule: str, bits: float | None) -> str:
    """A rule with its difficulty, as one word of a table."""
    return NAMES[rule] if rule != "pow" or bits is None else f"{NAMES[rule]}, {bits:.0f} bits"
