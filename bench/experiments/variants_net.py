"""Consensus rules and hash suites over real networks: the cases and the table beside the simulated ones."""

from typing import TYPE_CHECKING, Any, Final

from bench.experiments.base import Case, Column, Table
from bench.experiments.variants_rows import NET, name_rules

if TYPE_CHECKING:
    import pandas as pd

    from bench.scenario import Scenario

_KEYS: Final = ("rule", "difficulty_bits", "suite")


def declare_networks(scenario: "Scenario") -> list[Case]:
    """The variants that are measured over real networks, each repeat of all before the next."""
    cases = []
    for repeat in range(scenario.net.repeats):
        for name in scenario.net_variants:
            rule, _, suite = name.partition("/")
            is_work = rule == "pow"
            settings = {
                "rule": rule,
                "difficulty_bits": scenario.net.difficulty_bits if is_work else None,
                "confirmations": scenario.variants.confirmations if is_work else None,
                "suite": suite,
                "repeat": repeat,
                "planned_networks": scenario.net.repeats,
            }
            cases.append(Case(f"{NET}{rule}-{suite}-{repeat}", "variant-net", settings))
    return cases


def build_networks(raw: "pd.DataFrame") -> "pd.DataFrame":
    """A row per variant that was measured: medians over its networks."""
    import pandas as pd

    rows = []
    for keys, part in raw[raw["case"].str.startswith(NET)].groupby(list(_KEYS), dropna=False, sort=False):
        row: dict[str, Any] = dict(zip(_KEYS, keys, strict=True))
        row |= {name: part[source].astype(float).median() * scale for name, (source, scale) in _SOURCES.items()}
        row |= {name: part[name].iloc[0] for name in ("energy_status", "bottleneck_saturated")}
        row |= {"networks": len(part), "failed": int(part["planned_networks"].iloc[0]) - len(part)}
        rows.append(row | {"rule": name_rules()[row["rule"]], "audited_tx": int(part["audited_tx"].sum())})
    return pd.DataFrame(rows, columns=list(NETWORK_COLUMNS)).astype({"difficulty_bits": float})


_SOURCES: Final = {
    "saturated_tx_per_s": ("saturated_tx_per_s", 1.0),
    **{f"latency_{name}_ms": (f"latency_quorum_{name}_ms", 1.0) for name in ("p50", "p95", "p99")},
    "cpu_ms_per_tx": ("cpu_s_per_tx", 1e3),
    **{f"energy_mj_{bound}": (f"energy_j_per_tx_{bound}", 1e3) for bound in ("low", "mid", "high")},
    "messages_per_tx": ("messages_per_tx", 1.0),
    "kilobytes_per_tx": ("bytes_per_tx", 1e-3),
    "commits_per_tx": ("commits_per_tx", 1.0),
}
NETWORK_COLUMNS: Final = {
    "rule": Column("Rule"),
    "difficulty_bits": Column("Difficulty", "bits", ".0f"),
    "suite": Column("Hash"),
    "saturated_tx_per_s": Column("Saturated", "tx/s", ".0f"),
    "latency_p50_ms": Column("Latency p50", "ms", ".1f"),
    "latency_p95_ms": Column("Latency p95", "ms", ".1f"),
    "latency_p99_ms": Column("Latency p99", "ms", ".1f"),
    "cpu_ms_per_tx": Column("CPU", "ms/tx", ".2f"),
    "energy_mj_low": Column("Energy, low", "mJ/tx", ".1f"),
    "energy_mj_mid": Column("Energy, mid", "mJ/tx", ".1f"),
    "energy_mj_high": Column("Energy, high", "mJ/tx", ".1f"),
    "energy_status": Column("Energy is"),
    "messages_per_tx": Column("Messages", "1/tx", ".1f"),
    "kilobytes_per_tx": Column("Traffic", "kB/tx", ".1f"),
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
    NETWORK_COLUMNS,
    build_networks,
    ("rule", "difficulty_bits", "suite", "saturated_tx_per_s", "latency_p50_ms", "cpu_ms_per_tx", "energy_mj_mid",
     "bottleneck_saturated"),
)  # fmt: skip
