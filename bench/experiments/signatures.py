"""What signing, verifying and loading a key cost, by curve and library."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from bench.experiments.base import Case, Column, Experiment, Figure, Table
from bench.experiments.catalogue import QUESTIONS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as MplFigure

    from bench.scenario import Scenario

#: Operation -> how a figure names it, in the order of a signature's life.
OPERATIONS: Final = {"sign": "sign", "verify": "verify", "load": "load public key"}
BASELINE: Final = "p256/cryptography"


def declare_cases(scenario: "Scenario") -> list[Case]:
    """One run of the file measures all schemes."""
    del scenario
    return [Case("signatures", "micro", {"file": "test_signatures.py"})]


def build_signatures(raw: "pd.DataFrame") -> "pd.DataFrame":
    """Time per operation, in microseconds, with its ratio to the default scheme's."""
    frame = raw.copy()
    for name in ("median", "iqr", "q1", "q3", "min", "mean", "stddev"):
        frame[f"{name}_us"] = frame[f"{name}_ns"] / 1e3
    base = frame[frame["scheme"] == BASELINE][["operation", "median_us"]].rename(columns={"median_us": "base_us"})
    frame = frame.merge(base, on="operation", how="left")
    frame["relative"] = frame["median_us"] / frame["base_us"]
    return frame[list(COLUMNS)].reset_index(drop=True)


def draw_signatures(tables: Mapping[str, "pd.DataFrame"]) -> "MplFigure":
    """Median time with its quartiles, a panel per operation, a row per library and curve."""
    from bench.report.style import markers, new_figure, palette

    frame = tables["signatures"]
    libraries, curves = list(dict.fromkeys(frame["library"])), list(dict.fromkeys(frame["curve"]))
    colours, shapes = palette(curves), markers(curves)
    rows = {library: len(libraries) - 1 - place for place, library in enumerate(libraries)}
    figure, panels = new_figure("page", 2.2, ncols=len(OPERATIONS), sharex=True, sharey=True)
    for axes, (operation, title) in zip(panels, OPERATIONS.items(), strict=True):
        for place, curve in enumerate(curves):
            part = frame[frame["operation"].eq(operation) & frame["curve"].eq(curve)]
            spots = [rows[library] + 0.15 - 0.3 * place for library in part["library"]]
            style = {"color": colours[curve], "marker": shapes[curve], "linestyle": "none"}
            axes.errorbar(part["median_us"], spots, xerr=reach_of(part), label=curve, **style)
        axes.set(title=title, xscale="log", xlabel="Time per operation [µs]")
        axes.set_yticks(list(rows.values()), list(rows))
    panels[0].set_ylim(-0.6, len(libraries) - 0.4)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(curves))
    return figure


def reach_of(part: "pd.DataFrame") -> list["pd.Series[float]"]:
    """How far the quartiles lie below and above the median."""
    return [part["median_us"] - part["q1_us"], part["q3_us"] - part["median_us"]]


COLUMNS: Final = {
    "scheme": Column("Scheme"),
    "curve": Column("Curve"),
    "library": Column("Library"),
    "library_version": Column("Version"),
    "openssl": Column("OpenSSL in it"),
    "operation": Column("Operation"),
    "median_us": Column("Median", "µs", ".4g"),
    "iqr_us": Column("Interquartile range", "µs", ".3g"),
    "q1_us": Column("First quartile", "µs", ".4g"),
    "q3_us": Column("Third quartile", "µs", ".4g"),
    "min_us": Column("Least", "µs", ".4g"),
    "mean_us": Column("Mean", "µs", ".4g"),
    "stddev_us": Column("Standard deviation", "µs", ".3g"),
    "ops_per_s": Column("Operations (from the mean)", "1/s", ".4g"),
    "relative": Column("Time / default scheme's", "", ".3g"),
    "rounds": Column("Rounds"),
    "iterations": Column("Calls per round"),
}

EXPERIMENT: Final = Experiment(
    "signatures",
    QUESTIONS["signatures"],
    ("C36", "C42"),
    declare_cases,
    (
        Table(
            "signatures",
            "Measured with pytest-benchmark: time of one operation on a digest of 32 bytes, by curve and library, with "
            "the framework's own backends (deterministic nonces, low S, fixed-length signatures). Keys are parsed once "
            f"and kept; 'load' is that parsing, from a compressed point. The default scheme is {BASELINE}.",
            COLUMNS,
            build_signatures,
            ("scheme", "operation", "median_us", "iqr_us", "ops_per_s", "relative"),
        ),
    ),
    (
        Figure(
            "signatures",
            "Measured time of one signature operation by library and curve: median and quartiles, on a "
            "logarithmic scale.",
            draw_signatures,
        ),
    ),
)
