"""What signing, verifying and loading a key cost, by curve and library."""

from functools import partial
from typing import Final

from bench.analysis.blocks import BLOCK_COLUMNS, compare_blocks
from bench.experiments.base import Case, Column, Comparison, Drawing, Experiment, Figure, Frame, Scenario, Table, Tables
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.processes import KEY_COLUMNS, LIBRARY_COLUMNS, METHOD, declare_processes, reach_of
from bench.experiments.rows import select_rows

#: Operation -> how a figure names it, in the order of a signature's life.
OPERATIONS: Final = {"sign": "sign", "verify": "verify", "load": "load public key"}


def declare_cases(scenario: Scenario) -> list[Case]:
    """Fresh processes, each with all schemes."""
    return declare_processes(scenario, "signatures", {"libraries": scenario.signatures.libraries}, share=0.5)


def build_times(raw: Frame, kind: str) -> Frame:
    """Every library beside the default one on the same curve; or secp256k1 there beside P-256 and a library for it."""
    return select_rows(compare_blocks(raw), kind, COLUMNS)


def draw_signatures(tables: Tables) -> Drawing:
    """Median time with its interval, a panel per operation, a row per library and curve."""
    import pandas as pd

    from bench.report.style import markers, new_figure, palette

    frame = pd.concat([tables["signatures"], tables["signatures_curves"]])
    frame = frame[~frame["is_control"]].drop_duplicates(["operation", "variant"])
    frame["curve"], frame["library"] = frame["variant"].str.partition("/")[0], frame["variant"].str.partition("/")[2]
    for end in ("", "_low", "_high"):
        frame[f"median_us{end}"] = frame[f"median_ns{end}"] / 1e3
    libraries, curves = list(dict.fromkeys(frame["library"])), list(dict.fromkeys(frame["curve"]))
    colours, shapes = palette(curves), markers(curves)
    rows = {library: len(libraries) - 1 - place for place, library in enumerate(libraries)}
    figure, panels = new_figure("page", 2.2, ncols=len(OPERATIONS), sharex=True, sharey=True)
    for axes, (operation, title) in zip(panels, OPERATIONS.items(), strict=True):
        for place, curve in enumerate(curves):
            part = frame[frame["operation"].eq(operation) & frame["curve"].eq(curve)]
            spots = [rows[library] + 0.15 - 0.3 * place for library in part["library"]]
            style = {"color": colours[curve], "marker": shapes[curve], "linestyle": "none"}
            axes.errorbar(part["median_us"], spots, xerr=reach_of(part, "median_us"), label=curve, **style)
        axes.set(title=title, xscale="log", xlabel="Time per operation [µs]")
        axes.set_yticks(list(rows.values()), list(rows))
    panels[0].set_ylim(-0.6, len(libraries) - 0.4)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=len(curves))
    return figure


COLUMNS: Final = {
    "instructions": Column("Instructions"),
    "operation": Column("Operation"),
    "variant": Column("Scheme"),
    **BLOCK_COLUMNS,
    **KEY_COLUMNS,
    **LIBRARY_COLUMNS,
}
_WHAT: Final = (
    "One operation on a digest of 32 bytes with the framework's own backends (deterministic nonces, low S, signatures "
    "of 64 bytes). Keys are parsed once and kept; 'load' is that parsing, from a compressed point."
)
_KEYS: Final = ("operation", "base", "variant")
_HIGHLIGHTS: Final = ("operation", "variant", "median_ns", "ratio", "ratio_low", "ratio_high", "verdict")

EXPERIMENT: Final = Experiment(
    "signatures", QUESTIONS["signatures"], ("C42",), declare_cases,
    (
        Table(
            "signatures",
            f"Time in each library over that in the default library, on the same curve. {_WHAT} ecdsa is pure Python: "
            f"its version says whether it found faster integers. {METHOD}",
            COLUMNS, partial(build_times, kind="libraries"),
            _HIGHLIGHTS, comparisons=(Comparison(_KEYS),),
        ),
        Table(
            "signatures_curves",
            "Time on P-256 in the default library, and on secp256k1 in coincurve, which has no other curve, over that "
            f"on secp256k1 in the default library. {_WHAT} {METHOD}",
            COLUMNS, partial(build_times, kind="curves"),
            _HIGHLIGHTS, comparisons=(Comparison(_KEYS),),
        ),
    ),
    (
        Figure(
            "signatures",
            "Measured time of one signature operation by library and curve: medians over processes, each with a 95 % "
            "interval of its own, on a logarithmic scale.",
            draw_signatures,
        ),
    ),
    weight=10.0,
)  # fmt: skip
