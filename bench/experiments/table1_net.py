"""What real networks of the paper's configurations did: columns of Table 1 beside the simulated ones."""

import math
from typing import Final

from bench.experiments.base import Column, Frame
from bench.experiments.rows import describe_medians, to_frame

#: Columns, the raw ones that they are made of, and by what those are multiplied.
_SOURCES: Final = {
    "net_tx_per_s": ("committed_per_s", 1.0),
    "net_latency_p50_ms": ("latency_quorum_p50_ms", 1.0),
    "net_latency_p99_ms": ("latency_quorum_p99_ms", 1.0),
    "net_cpu_ms_per_tx": ("cpu_s_per_tx", 1e3),
    "net_energy_mj_mid": ("energy_j_per_tx_mid", 1e3),
}
NET_COLUMNS: Final = {
    "net_tx_per_s": Column("Real network", "tx/s", ".0f"),
    "net_latency_p50_ms": Column("Real network, latency p50", "ms", ".1f"),
    "net_latency_p99_ms": Column("Real network, latency p99", "ms", ".1f"),
    "net_cpu_ms_per_tx": Column("Real network, CPU", "ms/tx", ".2f"),
    "net_energy_mj_mid": Column("Real network, energy mid", "mJ/tx", ".1f"),
    "net_bottleneck": Column("Real network, bottleneck"),
}


def read_networks(raw: Frame) -> Frame:
    """A row per row of the paper that was measured: medians over its networks; empty if none was."""
    rows = [
        {"row": number, **describe_medians(part, _SOURCES), "net_bottleneck": part["bottleneck"].iloc[0]}
        for number, part in raw[raw["case"].str.startswith("net-")].groupby("row")
    ]
    return to_frame(rows, {"row": Column("Row"), **NET_COLUMNS}).astype(dict.fromkeys(_SOURCES, float))


def read_repeats(raw: Frame) -> list[dict[int, float]]:
    """Committed transactions per second by row of the paper, of each repeat in order; rows without any are left out."""
    repeats: dict[int, dict[int, float]] = {}
    for record in raw[raw["case"].str.startswith("net-")].to_dict("records"):
        if record["committed_per_s"] is not None and not math.isnan(record["committed_per_s"]):
            repeat = int(record["case"].rpartition("-")[2])
            repeats.setdefault(repeat, {})[int(record["row"])] = float(record["committed_per_s"])
    return [repeats[repeat] for repeat in sorted(repeats)]
