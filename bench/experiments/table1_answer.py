"""The question of `table1` answered in words, both ways for row 1, every number of it out of the tables."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from bench.analysis.paper_table import OUTLIER_ROW
from bench.analysis.regression import FACTORS, ORDERING
from bench.experiments.base import Frame, Tables
from bench.experiments.table1_rows import (
    ALONE,
    CALIBRATED,
    PAPER,
    PRINTED,
    REAL,
    SHARED,
    SOURCES,
    WITHOUT_1,
    WITHOUT_BOTH,
)

if TYPE_CHECKING:
    import pandas as pd

_READINGS: Final = {PRINTED: "As printed (18 rows)", WITHOUT_1: "With row 1 left out (17 rows)"}
_KINDS: Final = {name: "ordering nodes" if name == ORDERING else name for name in FACTORS}
_OURS: Final = {
    ALONE: "computed with a machine per node",
    SHARED: "computed on shared cores",
    REAL: "measured on real networks",
    CALIBRATED: "calibrated to the paper",
}


def answer(tables: Tables) -> list[str]:
    """What the paper's numbers and ours say of each kind of node; what cannot be said is left out."""
    parts = (_readings, _outlier, _place, _pairs, _models, _ours, _rank)
    return [line for part in parts for line in part(tables)]


def _readings(tables: Tables) -> Iterator[str]:
    shares, coefficients, contrasts = (tables[f"table1_{name}"] for name in ("shares", "regression", "contrasts"))
    for subset, words in _READINGS.items():
        row = _only(shares, source=PAPER, subset=subset)
        ranked = sorted(FACTORS, key=lambda name: -row[f"share_{name}"])
        parts = [f"{_KINDS[name]} {row[f'share_{name}']:.0f} %" for name in ranked]
        found = {name: _only(coefficients, source=PAPER, subset=subset, term=name) for name in ranked}
        slopes = [f"{_KINDS[name]} {_interval(found[name])}" for name in ranked]
        beside = contrasts[(contrasts["source"] == PAPER) & (contrasts["subset"] == subset)]
        costs = [_cost(str(reading), [_one(kind) for kind in group["term"]])
                 for reading, group in beside.groupby("reading", sort=False)]  # fmt: skip
        yield (
            f"{words}, the counts of nodes explain {100 * row['r_squared']:.0f} % of the variance of the paper's "
            f"throughput, of which {', '.join(parts)}. A node more changes it by, in 6 minutes: {'; '.join(slopes)}. "
            f"So {'; '.join(costs)}. Rows predicted from the others: Q² {row['q_squared']:.2f}, error "
            f"{row['loo_rmse']:.2f}."
        )


def _interval(row: "pd.Series[Any]") -> str:
    return f"{row['coefficient']:.2f} ({row['low']:.2f} to {row['high']:.2f}, p {_chance(row['p'])})"


def _chance(p: float) -> str:
    return f"{p:.1g}" if p >= 0.001 else "< 0.001"


def _outlier(tables: Tables) -> Iterator[str]:
    frame = tables["table1_influence"]
    first = _only(frame, row=OUTLIER_ROW)
    predicted = _only(tables["table1_predictions"], row=OUTLIER_ROW)["by_linear"]
    others = frame[frame["row"] != OUTLIER_ROW]
    next_ = others.sort_values("studentised_18", key=abs).iloc[-1]
    heaviest = others.sort_values("cooks_d_17").iloc[-1]
    usual = others["contributors"].mode()[0]
    rest = _join([str(row) for row in others[others["contributors"] != usual]["row"]])
    yield (
        f"Row {OUTLIER_ROW} ({', '.join(str(first[name]) for name in FACTORS)}: {first[SOURCES[PAPER]]} printed, "
        f"{predicted:.1f} by a fit to others) decides between the two: its studentised residual is "
        f"{first['studentised_18']:.2f} (p × n {_chance(first['outlier_p_18'])}; the next, of row {next_['row']}, "
        f"{next_['studentised_18']:.2f}) and its Cook's D {first['cooks_d_18']:.2f}. Without it row {heaviest['row']} "
        f"weighs most (leverage {heaviest['leverage_17']:.2f}, Cook's D {heaviest['cooks_d_17']:.2f}), and what "
        f"contributors do rests on rows {rest}: all others have {usual} of them."
    )


def _place(tables: Tables) -> Iterator[str]:
    """Where row 1 stands among all rows, as printed and with us."""
    frame = tables["table1"]
    told = []
    for source, words in {PAPER: "printed", **_OURS}.items():
        known = frame[frame[SOURCES[source]].notna()]
        own = known[known["row"] == OUTLIER_ROW][SOURCES[source]]
        if len(own) and len(known) == len(frame) and source != CALIBRATED:
            place = int((known[SOURCES[source]] > own.iloc[0]).sum()) + 1
            told.append(f"{words} {place}")
    if len(told) > 1:
        yield f"From the highest throughput down, row {OUTLIER_ROW} has this place of {len(frame)}: {', '.join(told)}."


def _pairs(tables: Tables) -> Iterator[str]:
    frame = tables["table1_pairs"]
    part = frame[frame["subset"] == PRINTED].sort_values("mean")
    some = part[part["pairs"] > 0]
    found = [
        f"{_KINDS[row['factor']]} {row['mean']:.2f} ({row['pairs']} pair{'s' if row['pairs'] > 1 else ''}, "
        f"{row['least']:.0f} to {row['greatest']:.0f})"
        for _, row in some.iterrows()
    ]
    none = [_KINDS[name] for name in part[part["pairs"] == 0]["factor"]]
    yield (
        f"Without any model: between printed rows that differ by one node of one kind, the throughput changes by "
        f"{', '.join(found)}{f'; of {_join(none)} there is no such pair' if none else ''}."
    )
    told = []
    for source, words in {PAPER: "the paper's", **_OURS}.items():
        changes = some[f"percent_{SOURCES[source]}"]
        if changes.notna().all() and source != CALIBRATED:
            told.append(f"{words} by {', '.join(f'{change:.0f}' for change in changes)} %")
    if len(told) > 1:
        kinds = _join([_KINDS[name] for name in some["factor"]])
        yield f"In per cent, the same pairs ({kinds}, in this order): {'; '.join(told)}."


def _one(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind[:-1]}"


def _cost(reading: str, nodes: list[str]) -> str:
    """A cell of `table1_contrasts` as a sentence about those nodes; an empty one: ordering nodes cost nothing."""
    if reading == "undecided":
        return f"beside an ordering node, what {' or '.join(nodes)} costs is not decided"
    costs = reading.replace("one", "an ordering node") if reading else "what an ordering node does not"
    return f"{' or '.join(nodes)} costs {costs}"


def _models(tables: Tables) -> Iterator[str]:
    frame = tables["table1_models"]
    for subset, words in ((PRINTED, "As printed"), (WITHOUT_BOTH, "With rows 1 and 16 left out")):
        part = frame[(frame["subset"] == subset) & frame["loo_rmse"].notna()].sort_values("loo_rmse")
        best, others = part[part["is_best"]].iloc[0], part[~part["is_best"]]
        listed = ", ".join(f"{row['model']} {row['loo_rmse']:.2f}" for _, row in others.iterrows())
        is_worse = (others["p"] < 0.05) & (2 * others["nearer"] > others["of"])
        worse, alike = ([str(name) for name in others[is_apart]["model"]] for is_apart in (is_worse, ~is_worse))
        told = [f"is better than {_join(worse)}"] if worse else []
        told += [f"is not told from {_join(alike)}"] if alike else []
        yield (
            f"{words}, the model that predicts unseen rows best is {best['model']} ({best['about']}; "
            f"{best['equation']}), with an error of {best['loo_rmse']:.2f} in 6 minutes (others: {listed}); by the "
            f"sign test over {best['rows']:.0f} rows it {' and '.join(told)}."
        )
    part = frame[(frame["subset"] == WITHOUT_BOTH) & (frame["model"] != "mean") & frame["row_1"].notna()]
    said = ", ".join(f"{row['model']} {row['row_1']:.1f}" for _, row in part.iterrows())
    printed = _only(tables["table1_influence"], row=OUTLIER_ROW)[SOURCES[PAPER]]
    yield f"Of row {OUTLIER_ROW}, where {printed} is printed, models that were fitted without it say: {said}."


def _ours(tables: Tables) -> Iterator[str]:
    frame = tables["table1_shares"]
    told = []
    for source, words in _OURS.items():
        row = _only(frame, source=source, subset=PRINTED)
        if not math.isnan(row["r_squared"]):
            leads = str(row["leads"])
            share = f"{row[f'share_{leads}']:.0f} %"
            share += "" if leads == ORDERING else f", ordering nodes {row[f'share_{ORDERING}']:.0f} %"
            told.append(
                f"{words}, {_KINDS[leads]} lead with {share} (R² {row['r_squared']:.2f}, Q² {row['q_squared']:.2f})"
            )
    if told:
        yield f"The same regression on our own throughputs in the same configurations: {'; '.join(told)}."


def _rank(tables: Tables) -> Iterator[str]:
    frame = tables["table1_agreement"]
    told = []
    for source, words in _OURS.items():
        part = frame[(frame["mode"] == source) & (frame["rows"] > 2) & frame["subset"].isin(_READINGS)]
        if len(part) == len(_READINGS) and source != CALIBRATED:
            whole, rest = part["spearman"]
            times = part["median_ratio"].iloc[1]
            told.append(f"{words} {whole:.2f} and {rest:.2f} ({times:,.0f} times as much)")
    if told:
        yield f"Ours ranks as the paper's, with row 1 and without, by Spearman's ρ: {'; '.join(told)}."


def _only(frame: Frame, **keys: Any) -> "pd.Series[Any]":
    for name, value in keys.items():
        frame = frame[frame[name] == value]
    return frame.iloc[0]


def _join(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
