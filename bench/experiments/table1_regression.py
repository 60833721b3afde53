"""Tables of `table1` that ask which kind of node matters: the paper's own numbers, read each way, and ours."""

import math
from collections.abc import Iterator
from typing import Any, Final

from bench.analysis.regression import (
    FACTORS,
    ORDERING,
    TERMS,
    Estimate,
    compute_shares,
    estimate,
    fit_counts,
    leave_one_out,
    weigh,
)
from bench.experiments.base import Column, Frame, Table
from bench.experiments.columns import with_ends
from bench.experiments.rows import to_frame
from bench.experiments.table1_rows import LETTERS, PAPER, PRINTED, Sample, read_samples


def build_shares(raw: Frame) -> Frame:
    """A row per source and reading: how much the counts explain, and how much of that each kind."""
    return to_frame([_summarize(sample) for sample in read_samples(raw)], SHARE_COLUMNS)


def _summarize(sample: Sample) -> dict[str, Any]:
    fit = fit_counts(sample.counts, sample.throughputs)
    error, q_squared = (math.nan, math.nan) if fit is None else leave_one_out(fit)
    shares, rhos = _shares(sample, sample.throughputs), _rank(sample)
    return {
        "source": sample.source, "subset": sample.subset, "rows": len(sample.rows),
        "r_squared": math.nan if fit is None else float(fit.rsquared), "q_squared": q_squared,
        "loo_rmse": error, "unit": sample.unit,
        **{f"share_{name}": 100 * share for name, share in zip(FACTORS, shares, strict=True)},
        "leads": "" if fit is None else FACTORS[shares.index(max(shares))],
        **{f"rho_{name}": rho for name, rho in zip(FACTORS, rhos, strict=True)},
    }  # fmt: skip


def _shares(sample: Sample, values: list[float]) -> list[float]:
    """LMG shares as parts of R^2, which add up to 1; NaN where nothing can be fitted."""
    if fit_counts(sample.counts, values) is None:
        return [math.nan] * len(FACTORS)
    shares = compute_shares(sample.counts, values)
    return [share / sum(shares) for share in shares]


def _rank(sample: Sample) -> list[float]:
    from scipy.stats import spearmanr

    if fit_counts(sample.counts, sample.throughputs) is None:
        return [math.nan] * len(FACTORS)
    return [float(spearmanr(counts, sample.throughputs).statistic) for counts in zip(*sample.counts, strict=True)]


SHARE_COLUMNS: Final = {
    "source": Column("Throughput"),
    "subset": Column("Rows"),
    "rows": Column("n"),
    "r_squared": Column("R²", "", ".3f"),
    "q_squared": Column("Q²", "", ".2f"),
    "loo_rmse": Column("Leave-one-out RMSE", "", ".3g"),
    "unit": Column("Unit"),
    **{f"share_{name}": Column(f"Share of {letter}", "%", ".0f") for name, letter in LETTERS.items()},
    "leads": Column("Most"),
    **{f"rho_{name}": Column(f"Spearman {letter}", "", ".2f") for name, letter in LETTERS.items()},
}


def build_regression(raw: Frame) -> Frame:
    """A row per source, reading and term: the coefficient, what it is of the mean, and its share of R^2."""
    rows = [row for sample, fit in _fit_samples(raw) for row in _regress(sample, fit)]
    return to_frame(rows, REGRESSION_COLUMNS)


def _fit_samples(raw: Frame) -> Iterator[tuple[Sample, Any]]:
    """Samples that can be fitted: the paper's in every reading, and of ours those of all rows."""
    for sample in read_samples(raw):
        fit = fit_counts(sample.counts, sample.throughputs)
        if fit is not None and (sample.source == PAPER or sample.subset == PRINTED):
            yield sample, fit


def _regress(sample: Sample, fit: Any) -> Iterator[dict[str, Any]]:
    ends = [_shares(sample, values) for values in sample.repeats] if len(sample.repeats) > 1 else []
    shares = dict(zip(FACTORS, _shares(sample, sample.throughputs), strict=True))
    mean = sum(sample.throughputs) / len(sample.throughputs)
    for place, term in enumerate(TERMS):
        found = estimate(fit, weigh(**{term: 1.0}))
        of_repeats = [100 * repeat[place - 1] for repeat in ends] if term in shares else []
        yield {
            "source": sample.source, "subset": sample.subset, "rows": len(sample.rows), "term": term,
            "coefficient": found.value, "error": found.error, "low": found.low, "high": found.high, "p": found.p,
            "unit": sample.unit if term not in shares else f"{sample.unit} per node",
            "percent": 100 * found.value / mean, "percent_low": 100 * found.low / mean,
            "percent_high": 100 * found.high / mean, "share": 100 * shares.get(term, math.nan),
            "share_low": min(of_repeats, default=math.nan), "share_high": max(of_repeats, default=math.nan),
        }  # fmt: skip


REGRESSION_COLUMNS: Final = {
    "source": Column("Throughput"),
    "subset": Column("Rows"),
    "rows": Column("n"),
    "term": Column("Nodes"),
    "coefficient": Column("Coefficient", "", ".4g"),
    "error": Column("Standard error", "", ".3g"),
    "low": Column("low", "", ".4g"),
    "high": Column("high", "", ".4g"),
    "p": Column("p", "", ".2g"),
    "unit": Column("Unit"),
    **with_ends("percent", "Of the mean", "%", ".1f", is_short=True),
    "share": Column("Share of R²", "%", ".0f"),
    "share_low": Column("least repeat", "%", ".0f"),
    "share_high": Column("greatest repeat", "%", ".0f"),
}


#: What is looked at together where slopes are held against half of one: three kinds, as printed, with row 1 out, and
#: ours.
HALVES: Final = 9


def build_contrasts(raw: Frame) -> Frame:
    """A row per source, reading and kind but the ordering nodes: its slope beside theirs, and beside half of theirs."""
    rows = []
    for sample, fit in _fit_samples(raw):
        costs = float(fit.params[TERMS.index(ORDERING)]) < 0
        for term in (name for name in FACTORS if name != ORDERING):
            one = estimate(fit, weigh(**{term: 1.0, ORDERING: -1.0}))
            half = estimate(fit, weigh(**{term: 1.0, ORDERING: -0.5}), HALVES)
            rows.append((sample.source, sample.subset, term, sample.unit, one.value, one.low, one.high, half.value,
                         half.low, half.high, _read_contrast(one, half) if costs else ""))  # fmt: skip
    return to_frame(rows, CONTRAST_COLUMNS)


def _read_contrast(one: Estimate, half: Estimate) -> str:
    """What both intervals say of a node's cost, where an ordering node has one."""
    if one.high < 0:
        return "more than an ordering node"
    if half.low > 0:
        return "less than half of one"
    if half.high < 0:
        return "at least half of one"
    return "less than one" if one.low > 0 else "undecided"


CONTRAST_COLUMNS: Final = {
    "source": Column("Throughput"),
    "subset": Column("Rows"),
    "term": Column("Nodes"),
    "unit": Column("Unit"),
    **with_ends("less_one", "Less one", "", ".3g", is_short=True),
    **with_ends("less_half", "Less half", "", ".3g", is_short=True),
    "reading": Column("A node costs"),
}


TABLES: Final = (
    Table(
        "table1_shares",
        "Which kind of node the throughput depends on, by source of the throughput (A agents, C coordinators, O "
        "administrators, K contributors). Least squares on the four counts; a kind's share of R² is averaged over all "
        "24 orders in which they can enter (LMG, the Shapley value of R²) and depends on these configurations. Q² is "
        "R² for rows that are predicted from the others: 0 is no better than the mean. Real networks: medians over "
        "repeats.",
        SHARE_COLUMNS, build_shares,
        ("source", "subset", "r_squared", "share_agents", "share_coordinators", "share_administrators",
         "share_contributors"),
    ),
    Table(
        "table1_regression",
        "The coefficients behind it: what a node more of each kind changes, with standard error, 95 % Student "
        "interval and p, also in per cent of the source's mean throughput, and its share of R² (of real networks with "
        "the least and the greatest share that single repeats give). The printed rows are single whole numbers, "
        "chosen by the paper: p describes, it does not test.",
        REGRESSION_COLUMNS,
        build_regression,
        ("source", "subset", "term", "coefficient", "low", "high", "unit", "percent", "share"),
    ),
    Table(
        "table1_contrasts",
        "Whether a node of another kind costs as much as an ordering node: its slope less that of ordering nodes, or "
        "less half of it. Below 0 it costs more. Student intervals: those beside one are of 95 % each (C33 asks that "
        "none show a dearer kind, which wider ones would make easier); those beside half of one are simultaneous over "
        f"the {HALVES} that C34 chooses among (three kinds; as printed, with row 1 out, and ours; Bonferroni). Empty: "
        "ordering nodes cost nothing there.",
        CONTRAST_COLUMNS,
        build_contrasts,
        ("source", "subset", "term", "less_one", "less_one_low", "less_one_high", "less_half", "less_half_low",
         "less_half_high", "reading"),
    ),
)  # fmt: skip
