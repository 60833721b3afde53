"""Observations of one run that were made in pairs: the raw repeats behind its comparison tables, by table name.

A row is one observation of one variant: *factors* (what was chosen, as words), a *cluster* (a process or a repeat,
which counts once), a *place* in it (what was measured close together shares one), and the measures.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from bench.analysis.blocks import compute_log_ns
from bench.analysis.paired import AMOUNT, RATE, TIME
from bench.experiments.base import Row
from bench.experiments.variants_rows import CELL, NET, RISK, SIGNING, name_rules
from bench.measure.paired import CONTROL
from bench.measure.worker import CANARY, HARNESS

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Measure:
    """What is compared: its title and what a ratio below and above 1 is called.

    ``of`` is the measure of which this one may be a multiple, as energy is of CPU time where it is estimated.
    """

    title: str
    words: tuple[str, str]
    of: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where observations come from: the experiment, the names of its factors and measures, and how to read its rows.

    ``clusters`` is what counts once, in the plural; ``how`` says for a caption where the numbers come from.
    """

    experiment: str
    factors: tuple[str, ...]
    measures: Mapping[str, Measure]
    read: Callable[[Iterable[Row]], Iterator[dict[str, Any]]]
    clusters: str
    how: str


#: Columns of observations that are neither factors nor measures.
PLACES: Final = ("cluster", "place", "is_control")
_SIMULATED: Final = (
    "Simulated with unit costs that were measured on the machine in the same run; all variants of a repeat meet the "
    "same arrivals, jitter and unit costs"
)
_MEASURED: Final = "Measured in turns, in the same blocks of fresh processes"


def read_observations(source: Source, rows: Iterable[Row]) -> "pd.DataFrame":
    """The observations that are ok, with factors as text and measures as numbers (NaN where there is none)."""
    import pandas as pd

    found = list(source.read(row for row in rows if row["status"] == "ok"))
    frame = pd.DataFrame(found, columns=[*source.factors, *PLACES, *source.measures])
    kinds = dict.fromkeys(source.measures, "float64") | {"is_control": "bool"}
    frame = frame.astype(kinds)
    for name in source.factors:
        frame[name] = frame[name].map(write_level)
    return frame


def write_level(value: Any) -> str:
    """A factor's level as a word: a whole number without a point, a list with dots, nothing as ''."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | tuple):
        return ".".join(map(write_level, value))
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _read_blocks(kind: str, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Blocks of the paired engine, of groups of one kind: a variant's two epochs are one observation.

    Only what is in one block is paired, so that the group is a part of the place.
    """
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    blocks: list[Row] = []
    for row in rows:
        if row["kind"] == "process":
            groups |= {(row["instructions"], name): group for name, group in row["groups"].items()}
        elif row["kind"] == "block" and row["group"] not in {CANARY, HARNESS}:
            blocks.append(row)
    order = {key: place for place, key in enumerate(groups)}
    blocks.sort(key=lambda row: order[row["instructions"], row["group"]])
    for row in blocks:
        group = groups[row["instructions"], row["group"]]
        if group["labels"].get("kind", "") == kind:
            yield from _read_block(row, group)


def _read_block(row: Row, group: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for variant in dict.fromkeys([*group["variants"], CONTROL]):
        time_ns = math.exp(compute_log_ns(row["forward_ns"], row["backward_ns"], variant)) / row["loops"]
        yield {"instructions": row["instructions"], **group["labels"], "time": time_ns,
               "variant": group["base"] if variant == CONTROL else variant, "is_control": variant == CONTROL,
               "cluster": row["process"], "place": f"{row['group']} {row['round']}"}  # fmt: skip


#: Measure -> raw column of the simulated variants.
_COLUMNS: Final = {
    "throughput": "saturated_tx_per_s",
    "latency": "latency_quorum_p50_ms",
    "cpu": "cpu_s_per_tx",
    "energy": "energy_j_per_tx_mid",
    "bytes": "bytes_per_tx",
    "messages": "messages_per_tx",
}


def _read_variants(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    for row in _sort_by_rule(row for row in rows if not row["case"].startswith((NET, CELL, RISK, SIGNING))):
        yield {**_describe(row), "is_control": row["is_control"]}


def _read_cells(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    for row in _sort_by_rule(row for row in rows if row["case"].startswith(CELL)):
        # Each curve has the library that is best at it: what is compared is both.
        yield {**_describe(row), "curve": f"{row['curve']}-{row['library']}",
               "block_transactions": row["block_transactions"], "topology": row["topology"],
               "is_control": False}  # fmt: skip


def _sort_by_rule(rows: Iterable[Row]) -> list[Row]:
    order = {rule: place for place, rule in enumerate(name_rules())}
    return sorted(rows, key=lambda row: (order.get(row["rule"], len(order)), row["difficulty_bits"] or 0))


def _describe(row: Row) -> dict[str, Any]:
    """Rule (with its difficulty), hash, repeat and measures; energy only where it was counted or estimated."""
    bits = row.get("difficulty_bits")
    rule = row["rule"] if bits is None else f"{row['rule']}-{write_level(bits)}"
    measures = {name: row.get(column) for name, column in _COLUMNS.items()}
    return {"rule": rule, "suite": row["suite"], "cluster": row["repeat"], "place": 0, **measures}


def _read_windows(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Windows of the energy experiment: those of one repeat and direction are a pair."""
    for row in rows:
        if row["kind"] == "window":
            yield {"group": row["group"], "operation": row["operation"], "is_control": row["is_control"],
                   "cluster": row["repeat"], "place": row["direction"], "cpu": row["cpu_s"] / row["calls"],
                   "energy": row["joules_mid"] / row["calls"]}  # fmt: skip


_TIME: Final = {"time": Measure("Time per call", TIME)}
_CPU: Final = Measure("CPU time", AMOUNT)
_ENERGY: Final = Measure("Energy", AMOUNT, of="cpu")
_OF_VARIANTS: Final = {
    "throughput": Measure("Throughput", RATE),
    "latency": Measure("Latency p50", TIME),
    "cpu": _CPU,
    "energy": _ENERGY,
    "bytes": Measure("Bytes", AMOUNT),
    "messages": Measure("Messages", AMOUNT),
}


def _paired(experiment: str, kind: str, labels: Sequence[str]) -> Source:
    factors = ("variant", "instructions", *labels)
    return Source(experiment, factors, _TIME, partial(_read_blocks, kind), "processes", _MEASURED)


#: The tables whose raw repeats can be compared anew, by name.
SOURCES: Final[Mapping[str, Source]] = {
    "variants": Source("variants", ("rule", "suite"), _OF_VARIANTS, _read_variants, "repeats", _SIMULATED),
    "variants_factors": Source(
        "variants", ("rule", "suite", "curve", "block_transactions", "topology"), _OF_VARIANTS, _read_cells, "repeats",
        _SIMULATED,
    ),
    "hashes": _paired("hashes", "suites", ("library", "size_bytes")),
    "hashes_libraries": _paired("hashes", "libraries", ("size_bytes",)),
    "signatures": _paired("signatures", "libraries", ("operation",)),
    "signatures_curves": _paired("signatures", "curves", ("operation",)),
    "merkle": _paired("merkle", "libraries", ("operation", "leaves")),
    "merkle_flat": _paired("merkle", "flat", ("operation", "leaves")),
    "harness": _paired("harness", "", ()),
    "energy": Source(
        "energy", ("operation", "group"), {"cpu": _CPU, "energy": _ENERGY}, _read_windows, "repeats",
        "Measured in windows of time of one process, in balanced order",
    ),
}  # fmt: skip
