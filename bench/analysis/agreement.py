"""How well predictions agree with measurements, and costs that are fitted to some of them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from bench.analysis.paired import find_interval
from bench.analysis.paper_table import correlate_ranks
from bench.experiments.base import Row
from bench.net.usage import total_flow
from ehrcore.drive.cost import CostModel

#: What is aimed at: the greatest median error of throughput, and the least rank correlation.
MEDIAN_ERROR: Final = 0.15
LEAST_RHO: Final = 0.9


@dataclass(frozen=True, slots=True)
class Factors:
    """What makes the unit costs of an idle machine those of a busy node.

    ``crypto`` is how much longer signatures, hashes and encoding take there, Python's part and other processes on the
    same cores included; the others are nanoseconds of processor time of a frame (each side), a message (each side) and
    a durable commit.
    """

    crypto: float
    frame_ns: float
    message_ns: float
    commit_ns: float

    def apply(self, costs: CostModel) -> CostModel:
        """The unit costs of busy nodes; waiting for the disk and searching for nonces take as long as before."""
        return replace(
            costs,
            sign_ns=round(costs.sign_ns * self.crypto),
            verify_ns=round(costs.verify_ns * self.crypto),
            hash_ns=round(costs.hash_ns * self.crypto),
            hash_byte_ps=0,
            message_ns=round(self.message_ns),
            message_byte_ps=round(costs.message_byte_ps * self.crypto),
            frame_ns=round(self.frame_ns),
            commit_ns=round(self.commit_ns),
        )


def fit_factors(processes: Iterable[Row], costs: CostModel) -> Factors:
    """The factors, each at least 0, with which counted work explains the processor time of ``processes`` best.

    They are rows of kind ``process``; the sum of squared relative errors is least.  `ValueError` for fewer rows than
    factors.
    """
    from scipy.optimize import nnls

    rows = [row for row in processes if row["cpu_cores"] > 0]
    if len(rows) < len(Factors.__slots__):
        raise ValueError(f"fit: expected at least {len(Factors.__slots__)} processes, found {len(rows)}")
    work = [[part / row["cpu_cores"] for part in count_work(row, costs)] for row in rows]
    found, _ = nnls(work, [1.0] * len(rows))
    crypto, *seconds = map(float, found)
    return Factors(crypto, *(value * 1e9 for value in seconds))


def count_work(process: Row, costs: CostModel) -> tuple[float, float, float, float]:
    """A second's work of a process: seconds of cryptography and of bytes at ``costs``, frames, messages, commits."""
    crypto_ns = (
        process["signs_per_s"] * costs.sign_ns
        + process["verifies_per_s"] * costs.verify_ns
        + process["hashes_per_s"] * costs.hash_ns
        + total_flow(process, "bytes") * costs.message_byte_ps / 1e3
    )
    frames = process["frames_in_per_s"] + process["frames_out_per_s"]
    return crypto_ns / 1e9, frames, total_flow(process, "messages"), process["commits_per_s"]


def explain(process: Row, factors: Factors, costs: CostModel) -> float:
    """The processor time of a process, in cores, as the factors have it."""
    crypto, frames, messages, commits = count_work(process, costs)
    spent_ns = frames * factors.frame_ns + messages * factors.message_ns + commits * factors.commit_ns
    return crypto * factors.crypto + spent_ns / 1e9


@dataclass(frozen=True, slots=True)
class Summary:
    """Over configurations: the median absolute error with its interval, and Spearman's rank correlation."""

    count: int
    error: float
    low: float
    high: float
    rho: float


def summarise_errors(predicted: Sequence[float], measured: Sequence[float]) -> Summary:
    """Of ``measured`` values above 0; NaN for what so few configurations cannot tell."""
    pairs = [(a, b) for a, b in zip(predicted, measured, strict=True) if not math.isnan(a) and b > 0]
    errors = [abs(a / b - 1) for a, b in pairs]
    if not errors:
        return Summary(0, math.nan, math.nan, math.nan, math.nan)
    return Summary(len(pairs), median(errors), *find_interval(errors), correlate_ranks(pairs))
