"""What the experiments over real networks share: configurations, medians, and tables of processes and legs."""

import math
from collections.abc import Iterator, Sequence
from typing import Final

from bench.analysis.knee import middle_of
from bench.experiments import columns
from bench.experiments.base import Column, Frame, Row
from bench.experiments.rows import list_legs, to_frame

COUNTS: Final = ("agents", "coordinators", "administrators", "contributors")
NODE_COLUMNS: Final = {name: Column(letter) for name, letter in zip(COUNTS, "ACOK", strict=True)}
ROLES: Final = ("visitor", "agent", "coordinator", "administrator", "contributor")


def select(raw: Frame, kind: str) -> Iterator[tuple[Row, Frame]]:
    """The rows of a kind by configuration: the numbers of its nodes, and its rows."""
    chosen = raw[raw["kind"] == kind]
    for counts, part in chosen.groupby(list(COUNTS), sort=False):
        yield dict(zip(COUNTS, (int(str(count)) for count in counts), strict=True)), part


def describe_middle(name: str, values: Sequence[float | None], scale: float = 1) -> Row:
    """The median of repeats under ``name``, with ``name_low`` and ``name_high``."""
    middle, low, high = middle_of([math.nan if value is None else float(value) * scale for value in values])
    return {name: middle, f"{name}_low": low, f"{name}_high": high}


def build_roles(raw: Frame) -> Frame:
    """A row per configuration and role, saturated: what one transaction took of all its nodes."""
    saturated = {tuple(counts.values()): part for counts, part in select(raw, "saturated")}
    rows = []
    for counts, part in select(raw, "process"):
        rates = part[part["role"] == "contributor"].groupby("network")["transactions_per_s"].median()
        full = saturated[tuple(counts.values())]
        for role in ROLES:
            nodes = part[part["role"] == role]
            if nodes.empty:
                continue
            per_tx = nodes.groupby("network")[list(_ROLE_RATES)].sum().div(rates, axis=0).median()
            row: Row = {**counts, "role": role, "nodes": int(nodes["process"].nunique())}
            row |= {column: per_tx[name] * scale for name, (column, scale) in _ROLE_RATES.items()}
            row["energy_mj_per_tx"] = full[f"energy_j_per_tx_{role}"].median() * 1e3
            row["energy_status"] = full["energy_status"].iloc[0]
            row["busiest_cores"] = nodes["cpu_cores"].max()
            row["rss_megabytes"] = nodes["rss_bytes"].max() / 1e6
            rows.append(row)
    return to_frame(rows, ROLE_COLUMNS)


_COUNTED: Final = {
    "signs": Column("Signatures made", "1/tx", ".2f"),
    "verifies": Column("Signatures verified", "1/tx", ".2f"),
    "commits": Column("Durable commits", "1/tx", ".3f"),
    "frames_in": Column("Frames in", "1/tx", ".3f"),
    "frames_out": Column("Frames out", "1/tx", ".3f"),
    "voluntary_switches": Column("Switches, waiting", "1/tx", ".2f"),
    "involuntary_switches": Column("Switches, forced", "1/tx", ".2f"),
}
#: Raw column, in a second -> the one of a transaction, and the factor.
_ROLE_RATES: Final = {
    "cpu_cores": ("cpu_ms_per_tx", 1e3),
    **{f"{name}_per_s": (f"{name}_per_tx", 1.0) for name in _COUNTED},
}
ROLE_COLUMNS: Final = {
    **NODE_COLUMNS,
    "role": Column("Role"),
    "nodes": Column("Processes"),
    "cpu_ms_per_tx": Column("CPU", "ms/tx", ".3f"),
    "energy_mj_per_tx": Column("Energy, mid", "mJ/tx", ".2f"),
    "energy_status": Column("Energy is"),
    "busiest_cores": Column("Busiest process", "cores", ".2f"),
    "rss_megabytes": Column("Memory, largest", "MB", ".0f"),
    **{f"{name}_per_tx": column for name, column in _COUNTED.items()},
}


def build_legs(raw: Frame) -> Frame:
    """Messages and bytes per transaction by configuration and leg, saturated, in long form."""
    rows = []
    for counts, part in select(raw, "saturated"):
        for leg, sender, receiver in list_legs(part):
            messages, size = (part[f"{unit}:{leg}"].median() for unit in ("messages", "bytes"))
            if not math.isnan(messages):
                rows.append((*counts.values(), sender, receiver, messages, size))
    return to_frame(rows, LEG_COLUMNS)


LEG_COLUMNS: Final = {**NODE_COLUMNS, **columns.LEG_COLUMNS, "bytes_per_tx": Column("Traffic", "B/tx", ".0f")}
