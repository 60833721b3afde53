"""Proof of work at difficulties that nobody simulates: a model fitted to the points that were, and its residuals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.experiments.base import Column, Drawing, Figure, Frame, Table, Tables
from bench.experiments.rows import to_frame
from bench.experiments.variants_rows import BASE_RULE, BASE_SUITE, in_order, name_rules

#: Fewer points leave nothing to see whether the model is right.
_LEAST_POINTS: Final = 3
#: Beyond this a figure would show nothing of what was simulated.
_DRAWN_BITS: Final = 40
#: Where work is less of the greatest simulated point, its cost is not known well enough to go beyond.
_LEAST_WORK: Final = 0.5
#: Quantity -> its title and, from a raw row, what grows with the work for a block.
_QUANTITIES: Final = {
    "seconds": "time per transaction, saturated [s]",
    "cpu": "CPU per transaction, saturated [s]",
    "latency": "latency p50 at the offered load [s]",
}


@dataclass(frozen=True, slots=True)
class Model:
    """``fixed + 2^bits × per_try``: what does not depend on the work for a block, and the work."""

    fixed: float
    per_try: float
    #: Typical factor by which simulated points lie off, minus 1; NaN with no more points than parameters.
    residual: float

    def find_work(self, bits: float) -> float:
        """The part of work in what is predicted, 0 to 1."""
        return 1 - self.fixed / self.predict(bits)

    def predict(self, bits: float) -> float:
        return self.fixed + self.per_try * math.exp2(bits)


def fit(bits: Sequence[float], values: Sequence[float]) -> Model:
    """The model with the least squared log residuals; both parameters at least 0, ``values`` above 0.

    The logarithm makes an error of a tenth weigh alike in a small and in a large value.  For a given ratio of the two
    parameters the best scale is known, so one dimension is searched.
    """
    from scipy.optimize import minimize_scalar

    logs = [math.log(value) for value in values]

    def scale_of(ratio_bits: float) -> tuple[float, float]:
        shapes = [math.log1p(2.0 ** (at + ratio_bits)) for at in bits]
        scale = sum(log - shape for log, shape in zip(logs, shapes, strict=True)) / len(logs)
        return scale, sum((log - shape - scale) ** 2 for log, shape in zip(logs, shapes, strict=True))

    grid = [-80 + 0.25 * step for step in range(401)]
    start = min(grid, key=lambda at: scale_of(at)[1])
    best = float(minimize_scalar(lambda at: scale_of(at)[1], bounds=(start - 0.25, start + 0.25), method="bounded").x)
    scale, squares = scale_of(best)
    spare = len(logs) - 2
    residual = math.expm1(math.sqrt(squares / spare)) if spare > 0 else math.nan
    return Model(math.exp(scale), math.exp(scale) * 2.0**best, residual)


def build_extrapolation(raw: Frame) -> Frame:
    """A row per quantity and difficulty: simulated ones with the model's error, then modelled ones."""
    rows = in_order(raw)
    rows = rows[
        (rows["suite"] == BASE_SUITE) & (rows["rule"].isin(["pow", BASE_RULE])) & ~rows["is_control"].astype(bool)
    ]
    rows = rows.assign(seconds=1 / rows["saturated_tx_per_s"], cpu=rows.get("saturated_cpu_s_per_tx", math.nan),
                       latency=rows["latency_quorum_p50_ms"].astype(float) / 1e3)  # fmt: skip
    work, stake = rows[rows["rule"] == "pow"], rows[rows["rule"] == BASE_RULE]
    found: list[dict[str, Any]] = []
    models: dict[str, Model] = {}
    for name, title in _QUANTITIES.items():
        medians = work.groupby("difficulty_bits")[name].median().dropna()
        if len(medians) < _LEAST_POINTS:
            continue
        model = models[name] = fit(list(medians.index), list(medians))
        most = float(medians.index.max())
        level = float(stake[name].median())
        common = {"quantity": title, "residual": model.residual, "points": len(medians),
                  "fixed": model.fixed, "per_try": model.per_try, "work": model.find_work(most)}  # fmt: skip
        for bits, value in zip(map(float, medians.index), map(float, medians), strict=True):
            found.append({**common, "difficulty_bits": bits, "source": "simulated", "simulated": value,
                          "model": model.predict(bits), "error": model.predict(bits) / value - 1,
                          "over_stake": value / level})  # fmt: skip
        # Whether there is a latency at all rests on the first of the models, too.
        is_known = min(models[key].find_work(most) for key in (name, "seconds") if key in models) >= _LEAST_WORK
        for bits in work["extrapolate_bits"].iloc[0] if is_known else ():
            value = model.predict(bits)
            # Where blocks come more slowly than the load fills them there is a queue that grows, and no latency.
            if name == "latency" and models["seconds"].predict(bits) * float(work["offered_per_s"].iloc[0]) > 1:
                value = math.inf
            found.append({**common, "difficulty_bits": float(bits), "source": "model alone", "simulated": math.nan,
                          "model": value, "error": math.nan, "over_stake": value / level})  # fmt: skip
    return to_frame(found, COLUMNS)


COLUMNS: Final = {
    "quantity": Column("Quantity"),
    "difficulty_bits": Column("Difficulty", "bits", ".0f"),
    "source": Column("Is"),
    "simulated": Column("Simulated", "s", ".3g"),
    "model": Column("Model", "s", ".3g"),
    "error": Column("Model over simulated, less 1", "", "+.1%"),
    "over_stake": Column("Over PoS", "ratio", ".3g"),
    "residual": Column("Typical residual", "", ".1%"),
    "points": Column("Points"),
    "fixed": Column("a", "s", ".3g"),
    "per_try": Column("b", "s", ".3g"),
    "work": Column("Work in the last point", "", ".0%"),
}


def draw_extrapolation(tables: Tables) -> Drawing:
    """Simulated points, the model dashed through and beyond them, and the level of proof of stake."""
    from bench.report.style import COLOURS, new_figure

    frame = tables["variants_extrapolation"]
    frame = frame[frame["difficulty_bits"] <= _DRAWN_BITS]
    figure, axes = new_figure("page", 2.6, ncols=len(_QUANTITIES))
    for axis, title in zip(axes, _QUANTITIES.values(), strict=True):
        axis.set_yscale("log")
        part = frame[frame["quantity"] == title].sort_values("difficulty_bits")
        part = part[part["model"] < math.inf]
        known = part[part["source"] == "simulated"]
        if len(part):
            first, last = (float(end) for end in part["difficulty_bits"].agg(["min", "max"]))
            bits = [first + (last - first) * step / 200 for step in range(201)]
            model = Model(float(part["fixed"].iloc[0]), float(part["per_try"].iloc[0]), math.nan)
            axis.plot(bits, [model.predict(at) for at in bits], "--", color=COLOURS[0], linewidth=0.9, label="model")
        axis.plot(known["difficulty_bits"], known["simulated"], "o", color=COLOURS[0], label="simulated")
        if len(known):
            level = float((known["simulated"] / known["over_stake"]).iloc[0])
            axis.axhline(level, color="black", linewidth=0.9, label=name_rules()[BASE_RULE])
            axis.axvspan(float(known["difficulty_bits"].min()), float(known["difficulty_bits"].max()), color="#eeeeee")
            drawn = [level, *part["model"], *known["simulated"]]
            axis.set_ylim(min(drawn) / 1.5, max(drawn) * 1.5)
            if len(known) == len(part):
                axis.text(0.97, 0.5, "not to be told beyond", rotation=90, va="center", ha="right", fontsize=6.5,
                          transform=axis.transAxes)  # fmt: skip
        if len(frame):
            axis.set_xlim(frame["difficulty_bits"].min() - 1, frame["difficulty_bits"].max() + 1)
        axis.set(xlabel="Proof-of-work difficulty [bits]", ylabel=title[0].upper() + title[1:])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


EXTRAPOLATION: Final = Table(
    "variants_extrapolation",
    "A model, not a measurement, beyond the simulated points: proof of work with SHA-256 at difficulties that nobody "
    "simulates. Each quantity is taken for a + b × 2^bits, fitted to the simulated medians by least squared log "
    "residuals; the errors at those points and their typical size are shown. At this machine's cost of a try (Python's "
    "hashlib) and number of miners: special hardware moves everything by its speed-up. CPU saturated: all blocks full, "
    "so none is mined to confirm others alone. An infinite latency: the load comes faster than blocks take it. "
    "Where work is less than half of the greatest simulated point there is nothing to go beyond it with, and no row. "
    "79 bits are about Bitcoin's expected tries per block in 2025 (a difficulty of 1.3×10^14, times 2^32).",
    COLUMNS, build_extrapolation,
    ("quantity", "difficulty_bits", "source", "simulated", "model", "error", "over_stake"),
)  # fmt: skip
EXTRAPOLATION_FIGURE: Final = Figure(
    "variants_extrapolation",
    "Proof of work (SHA-256) over its difficulty: simulated points on grey, and dashed the model a + b × 2^bits that "
    "was fitted to them. What is dashed beyond the grey is the model's alone. Line: proof of stake, simulated.",
    draw_extrapolation,
)
