"""What Merkle trees and their proofs cost, beside a flat hash and in other libraries; and how large proofs are."""

from functools import partial
from typing import Final

from bench.analysis.blocks import BLOCK_COLUMNS, compare_blocks
from bench.experiments.base import Case, Column, Comparison, Drawing, Experiment, Figure, Frame, Scenario, Table, Tables
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.processes import KEY_COLUMNS, METHOD, declare_processes, reach_of
from bench.experiments.rows import select_rows

#: Operation -> how tables and figures name it.
OPERATIONS: Final = {"root": "root", "proofs": "root and all proofs", "verify": "verify one proof"}


def declare_cases(scenario: Scenario) -> list[Case]:
    """Fresh processes, each with all trees."""
    return declare_processes(scenario, "merkle", {"leaves": scenario.merkle.leaves}, share=0.5)


def build_times(raw: Frame, kind: str) -> Frame:
    """Beside this implementation other libraries, or it beside a flat hash of the same leaves."""
    found = select_rows(compare_blocks(raw), kind, COLUMNS)
    found["operation"] = found["operation"].map(OPERATIONS)
    return found.astype({"leaves": int})


def build_sizes(raw: Frame) -> Frame:
    """Sizes of the proofs of all leaves, which the leaves alone determine; every process says the same."""
    frame = compare_blocks(raw)
    frame = frame[frame["operation"].eq("verify") & ~frame["is_control"]]
    once = frame.drop_duplicates(["leaves", "variant"]).sort_values("leaves", kind="stable")
    whole = ["leaves", "proof_digests_max", "proof_bytes_max", "own_form_bytes_max"]
    return once[list(SIZE_COLUMNS)].astype(dict.fromkeys(whole, int)).reset_index(drop=True)


def draw_merkle(tables: Tables) -> Drawing:
    """Time over this implementation's, a panel per operation, a marker per number of leaves."""
    from bench.experiments.hashes_figures import style_ratio_axis
    from bench.report.style import markers, new_figure, palette

    frame = tables["merkle"]
    libraries = list(dict.fromkeys(frame[frame["verdict"].ne("base")]["variant"]))
    counts = [f"{count:,} leaves" for count in dict.fromkeys(frame["leaves"])]
    colours, shapes = palette(counts), markers(counts)
    figure, panels = new_figure("page", 1.1 + 0.3 * len(libraries), ncols=len(OPERATIONS), sharex=True, sharey=True)
    for axes, title in zip(panels, OPERATIONS.values(), strict=True):
        for place, count in enumerate(counts):
            part = frame[frame["operation"].eq(title) & frame["leaves"].map("{:,} leaves".format).eq(count)]
            part = part[part["verdict"].ne("base")]
            spots = [libraries.index(name) - 0.15 + 0.3 * place / max(len(counts) - 1, 1) for name in part["variant"]]
            style = {"color": colours[count], "marker": shapes[count], "linestyle": "none"}
            axes.errorbar(part["ratio"], spots, xerr=reach_of(part, "ratio"), label=count, **style)
        axes.axvline(1, color="black", linewidth=0.8, zorder=0)
        axes.set(title=title, xscale="log", xlabel="Time / time of ehrcore")
        style_ratio_axis(axes)
        axes.set_yticks(range(len(libraries)), libraries)
    panels[0].set_ylim(len(libraries) - 0.5, -0.5)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=len(counts))
    return figure


COLUMNS: Final = {
    "instructions": Column("Instructions"),
    "operation": Column("Operation"),
    "leaves": Column("Leaves"),
    "variant": Column("Library"),
    "tree": Column("Tree"),
    **BLOCK_COLUMNS,
    **KEY_COLUMNS,
    "version": Column("Version"),
}
SIZE_COLUMNS: Final = {
    "leaves": Column("Leaves"),
    "variant": Column("Library"),
    "tree": Column("Tree"),
    "proof_digests_mean": Column("Digests in a proof, mean", "", ".4g"),
    "proof_digests_max": Column("Digests in a proof, most"),
    "proof_bytes_max": Column("Longest proof, digests alone", "B"),
    "own_form_bytes_max": Column("Longest proof in its own form", "B"),
}
_WHAT: Final = (
    "Over leaves that are digests of 32 bytes, with SHA-256 from hashlib; trees are built anew in each call. "
    "merkletools takes the digests as leaves as they are and uses no prefixes: half as many hashes, and a weaker tree "
    "than that of RFC 6962."
)
_HIGHLIGHTS: Final = ("operation", "leaves", "variant", "median_ns", "ratio", "ratio_low", "ratio_high", "verdict")
_KEYS: Final = ("operation", "leaves", "variant")

EXPERIMENT: Final = Experiment(
    "merkle", QUESTIONS["merkle"], ("C39",), declare_cases,
    (
        Table(
            "merkle",
            f"Time in each library, used as its documentation says, over this implementation's. {_WHAT} To check a "
            f"proof, ehrcore hashes the leaf, pymerkle is given its hash, merkletools needs none. {METHOD}",
            COLUMNS, partial(build_times, kind="libraries"),
            _HIGHLIGHTS, comparisons=(Comparison(_KEYS),),
        ),
        Table(
            "merkle_flat",
            "Time of this implementation's Merkle tree over that of one hash of all leaves. A tree costs more to "
            f"build; to check one leaf, a flat hash needs all others, a tree a few digests. {METHOD}",
            COLUMNS, partial(build_times, kind="flat"),
            _HIGHLIGHTS, comparisons=(Comparison(_KEYS),),
        ),
        Table(
            "merkle_sizes",
            "Exact: what shows that one leaf is among the others, over the proofs of all leaves. 'Its own form' is "
            "what the library gives: canonical MessagePack here and for the flat hash, JSON with hexadecimal digests "
            "in the others.",
            SIZE_COLUMNS, build_sizes,
            tuple(SIZE_COLUMNS),
            keys=("leaves", "variant"),
            exact=("proof_digests_mean", "proof_digests_max", "proof_bytes_max", "own_form_bytes_max"),
        ),
    ),
    (
        Figure(
            "merkle",
            "Measured time of Merkle trees in other libraries over this implementation's, with simultaneous 95 % "
            "intervals; the A/A control is this implementation over itself.",
            draw_merkle,
        ),
    ),
    weight=12.0,
)  # fmt: skip
