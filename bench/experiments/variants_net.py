"""Consensus rules and hash suites over real networks: the cases and the table beside the simulated ones."""

from typing import Final

from bench.experiments.base import Case, Column, Frame, Row, Scenario, Table
from bench.experiments.columns import PER_TX, VARIANT_COLUMNS, list_costs
from bench.experiments.rows import describe_medians, to_frame
from bench.experiments.variants_rows import NET, describe_rule, name_rules

_KEYS: Final = tuple(VARIANT_COLUMNS)
_PERCENTILES: Final = ("p50", "p95", "p99")


def declare_networks(scenario: Scenario) -> list[Case]:
    """The variants that are measured over real networks, each repeat of all before the next."""
    cases = []
    for repeat in range(scenario.net.repeats):
        for name in scenario.net_variants:
            rule, _, suite = name.partition("/")
            bits = scenario.net.difficulty_bits if rule == "pow" else None
            settings = describe_rule(rule, bits, scenario.variants.confirmations)
            settings |= {"suite": suite, "repeat": repeat, "planned_networks": scenario.net.repeats}
            cases.append(Case(f"{NET}{rule}-{suite}-{repeat}", "variant-net", settings))
    return cases


def build_networks(raw: Frame) -> Frame:
    """A row per variant that was measured: medians over its networks."""
    rows = []
    for keys, part in raw[raw["case"].str.startswith(NET)].groupby(list(_KEYS), dropna=False, sort=False):
        row: Row = {**dict(zip(_KEYS, keys, strict=True)), **describe_medians(part, _SOURCES)}
        row |= {name: part[name].iloc[0] for name in ("energy_status", "bottleneck_saturated")}
        row |= {"networks": len(part), "failed": int(part["planned_networks"].iloc[0]) - len(part)}
        rows.append(row | {"rule": name_rules()[row["rule"]], "audited_tx": int(part["audited_tx"].sum())})
    return to_frame(rows, NETWORK_COLUMNS).astype({"difficulty_bits": float})


_SOURCES: Final = {
    "saturated_tx_per_s": ("saturated_tx_per_s", 1.0),
    **{f"latency_{name}_ms": (f"latency_quorum_{name}_ms", 1.0) for name in _PERCENTILES},
    **PER_TX,
    **{name: (name, 1.0) for name in ("messages_per_tx", "commits_per_tx")},
}
NETWORK_COLUMNS: Final = {
    **VARIANT_COLUMNS,
    "saturated_tx_per_s": Column("Saturated", "tx/s", ".0f"),
    **{f"latency_{name}_ms": Column(f"Latency {name}", "ms", ".1f") for name in _PERCENTILES},
    **list_costs("Energy,"),
    "commits_per_tx": Column("Durable commits", "1/tx", ".2f"),
    "bottleneck_saturated": Column("Bottleneck, saturated"),
    "networks": Column("Networks"),
    "failed": Column("Networks failed or void"),
    "audited_tx": Column("Audited in the ledgers", "tx"),
}
NETWORKS: Final = Table(
    "variants_net",
    "Consensus rules and hash suites over real networks, where asked for. Measured: a process per node and the load "
    "generator on this machine's cores, HTTP over loopback, real signatures, searches and disks. Saturated: closed "
    "loop. Latency, CPU and energy at one offered load, the same as simulated, at which most of the latency is the "
    "wait for a block to fill. Medians over networks; no intervals, for there are few.",
    NETWORK_COLUMNS, build_networks,
    ("rule", "difficulty_bits", "suite", "saturated_tx_per_s", "latency_p50_ms", "cpu_ms_per_tx", "energy_mj_mid",
     "bottleneck_saturated"),
)  # fmt: skip
