"""The rows behind the tables of `table1`: its configurations with what is known of each, and throughputs by source.

The paper's own throughputs come from the table as printed, whatever a run has; ours from the run's rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bench.analysis.paper_table import OUTLIER_ROW, REPEATED_ROW, read_paper_table
from bench.analysis.regression import FACTORS
from bench.experiments.base import Frame
from bench.experiments.table1_net import read_networks, read_repeats

#: The letters by which the paper's columns are called here.
LETTERS: Final = dict(zip(FACTORS, "ACOK", strict=True))
PRINTED: Final = "18 as printed"
WITHOUT_1: Final = "17, row 1 out"
WITHOUT_BOTH: Final = "16, rows 1 and 16 out"
#: Each reading of the table -> the rows that it leaves out.
SUBSETS: Final = {PRINTED: set[int](), WITHOUT_1: {OUTLIER_ROW}, WITHOUT_BOTH: {OUTLIER_ROW, REPEATED_ROW}}
FLAGS: Final = {OUTLIER_ROW: "outlier", REPEATED_ROW: "repeats 15"}
PAPER: Final = "paper"
ALONE, SHARED = "computed, a machine per node", "computed, shared cores"
CALIBRATED, REAL = "paper-calibrated", "measured, real networks"
#: Where throughputs come from -> column of `configurations`, in units of its ending.
SOURCES: Final = {
    PAPER: "paper_tx_per_6min",
    ALONE: "tx_per_s",
    SHARED: "shared_tx_per_s",
    CALIBRATED: "calibrated_tx_per_6min",
    REAL: "net_tx_per_s",
}


def configurations(raw: Frame) -> Frame:
    """Rows of the computed mode, with the calibrated throughput and what was measured, in the order of the paper."""
    computed = (
        raw[raw["case"].str.startswith("row-")].sort_values("row").merge(read_networks(raw), on="row", how="left")
    )
    if "calibrated_tx_per_6min" in raw:
        calibrated = raw[raw["case"].str.startswith("calibrated-")][["row", "calibrated_tx_per_6min"]]
        computed = computed.drop(columns="calibrated_tx_per_6min").merge(calibrated, on="row", how="left")
    else:
        computed = computed.assign(calibrated_tx_per_6min=float("nan"))
    return computed.reset_index(drop=True)


@dataclass(frozen=True, slots=True)
class Sample:
    """Throughputs from one source, with number and counts of nodes, of those rows of a reading that have any.

    ``repeats`` are the same, each from one repeat that has all of those rows.
    """

    source: str
    subset: str
    unit: str
    rows: list[int]
    counts: list[list[float]]
    throughputs: list[float]
    repeats: list[list[float]]


def paper_frame() -> Frame:
    """The printed table alone, with the columns of `configurations` that it has."""
    import pandas as pd

    rows = [(p.row, p.agents, p.coordinators, p.administrators, p.contributors, p.tx_per_6min)
            for p in read_paper_table()]  # fmt: skip
    return pd.DataFrame(rows, columns=["row", *FACTORS, SOURCES[PAPER]])


def read_samples(raw: Frame) -> Iterator[Sample]:
    """The paper's throughputs in every reading, then each source of ours with all rows and without row 1."""
    frame, printed = configurations(raw), paper_frame()
    networks = read_repeats(raw)
    for source in SOURCES:
        for subset in list(SUBSETS)[: 3 if source == PAPER else 2]:
            yield _take(printed if source == PAPER else frame, source, subset, networks)


def _take(frame: Frame, source: str, subset: str, networks: list[dict[int, float]]) -> Sample:
    column = SOURCES[source]
    chosen = frame[~frame["row"].isin(SUBSETS[subset]) & frame[column].notna()]
    rows = [int(row) for row in chosen["row"]]
    whole = [repeat for repeat in networks if repeat.keys() >= {*rows}] if source == REAL and rows else []
    return Sample(
        source, subset, "tx/s" if column.endswith("_s") else "tx/6 min", rows,
        chosen[list(FACTORS)].astype(float).to_numpy().tolist(), chosen[column].astype(float).tolist(),
        [[repeat[row] for row in rows] for repeat in whole],
    )  # fmt: skip
