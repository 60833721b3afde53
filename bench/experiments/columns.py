"""Columns that tables of several experiments share, and those that belong together."""

from typing import Final

from bench.experiments.base import Column

#: Energies are stated between bounds.
BOUNDS: Final = ("low", "mid", "high")


def with_ends(name: str, title: str, unit: str = "", form: str = "", *, is_short: bool = False) -> dict[str, Column]:
    """The column of a value and those of its interval's ends, which are called 'low' and 'high' alone if short."""
    ends = {end: Column(end if is_short else f"{title}, {end}", unit, form) for end in ("low", "high")}
    return {name: Column(title, unit, form), **{f"{name}_{end}": column for end, column in ends.items()}}


def with_bounds(name: str, title: str, unit: str = "mJ/tx", form: str = ".1f") -> dict[str, Column]:
    """The columns of an energy's bounds, whose words follow the title."""
    return {f"{name}_{bound}": Column(f"{title} {bound}", unit, form) for bound in BOUNDS}


#: What names a variant of the chain.
VARIANT_COLUMNS: Final = {
    "rule": Column("Rule"),
    "difficulty_bits": Column("Difficulty", "bits", ".0f"),
    "suite": Column("Hash"),
}
QUORUM_COLUMNS: Final = {
    f"latency_quorum_{name}_ms": Column(f"Latency {name}", "ms", ".1f") for name in ("p50", "p95", "p99")
}
LATENCY_NOTES: Final = {"latency_status": Column("Latency is"), "latency_quorum_bounds": Column("Lower bounds")}
#: Where a message goes, and how many do.
LEG_COLUMNS: Final = {
    "sender": Column("From"),
    "receiver": Column("To"),
    "messages_per_tx": Column("Messages", "1/tx", ".2f"),
}


def list_costs(energy: str) -> dict[str, Column]:
    """What a transaction takes: processor time, energy under this title, messages."""
    return {
        "cpu_ms_per_tx": Column("CPU", "ms/tx", ".2f"),
        **with_bounds("energy_mj", energy),
        "energy_status": Column("Energy is"),
        "messages_per_tx": Column("Messages", "1/tx", ".1f"),
        "kilobytes_per_tx": Column("Traffic", "kB/tx", ".1f"),
    }


#: Column of a table -> the raw one that it is made of, and by what that is multiplied.
PER_TX: Final = {
    "cpu_ms_per_tx": ("cpu_s_per_tx", 1e3),
    "kilobytes_per_tx": ("bytes_per_tx", 1e-3),
    **{f"energy_mj_{bound}": (f"energy_j_per_tx_{bound}", 1e3) for bound in BOUNDS},
}
