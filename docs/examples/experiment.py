"""An experiment: what hashing a record piece by piece costs, over hashing it at once.

The paired engine measures it in fresh processes, in turns, beside an A/A control.
"""

import hashlib
from functools import partial
from typing import Any

from bench.analysis.blocks import BLOCK_COLUMNS, compare_blocks
from bench.experiments import Column, Comparison, Experiment, Figure, Table, add_experiment
from bench.experiments.processes import METHOD, declare_processes, reach_of
from bench.micro.base import Family, Operation, Prepared
from bench.micro.groups import add_families

RECORDS = (2_048, 30_720)
PIECES = (1_024, 256, 64)


def hash_in_pieces(message: bytes, piece_bytes: int) -> bytes:
    """What is measured."""
    state = hashlib.sha256()
    for begin in range(0, len(message), piece_bytes):
        state.update(message[begin : begin + piece_bytes])
    return state.digest()


def prepare(size_bytes: int, piece_bytes: int) -> Prepared:
    """The call with its arguments, and what must hold for its result."""
    message = bytes(size_bytes)
    return (hash_in_pieces, message, piece_bytes), lambda found: found == hashlib.sha256(message).digest()


def build_families() -> list[Family]:
    """The grid: for each size of record the whole at once, the base, and the pieces."""
    families = []
    for size in RECORDS:
        pieces = {"at once": size, **{f"{piece} B": piece for piece in PIECES}}
        calls = {
            name: Operation(partial(prepare, size, piece), {"piece_bytes": piece}) for name, piece in pieces.items()
        }
        families.append(Family(f"record-{size}", {"size_bytes": size}, calls))
    return families


def draw_pieces(tables: Any) -> Any:
    """The ratio over the size of a piece, a line for each size of record."""
    from bench.report import markers, new_figure

    frame = tables["pieces"].query("not is_control and verdict != 'base'")
    figure, axes = new_figure("column", 2.4)
    for size, part in frame.groupby("size_bytes"):
        shape = markers(RECORDS)[size]
        axes.errorbar(part["piece_bytes"], part["ratio"], yerr=reach_of(part, "ratio"), marker=shape, label=f"{size} B")
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(xscale="log", xlabel="Piece [B]", ylabel="Time over that at once")
    axes.legend(title="Record")
    return figure


def answer(tables: Any) -> list[str]:
    """The question's answer in a sentence, every number of it from the table."""
    frame = tables["pieces"]
    worst, controls = frame.loc[frame["ratio"].idxmax()], frame[frame["is_control"]]
    place = f"Of a record of {worst['size_bytes']} B, pieces of {worst['piece_bytes']:.0f} B"
    found = f"{worst['ratio']:.2f} times as long ({worst['verdict']})"
    held = f"{controls['verdict'].eq('holds').sum()} of {len(controls)} A/A controls hold"
    return [f"{place} take {found}; {held}."]


COLUMNS = {
    "size_bytes": Column("Record", "B"),
    "variant": Column("Pieces"),
    "piece_bytes": Column("Piece", "B", ".0f"),
    "is_control": Column("A/A control"),
    **BLOCK_COLUMNS,
}
TABLE = Table(
    "pieces",
    f"SHA-256 of a record in pieces, over SHA-256 of the same record at once. {METHOD}",
    COLUMNS,
    lambda raw: compare_blocks(raw)[list(COLUMNS)],
    ("size_bytes", "variant", "median_ns", "ratio", "ratio_low", "ratio_high", "verdict"),
    comparisons=(Comparison(("size_bytes", "variant")),),  # compare, verify and flags follow
)
FIGURE = Figure("pieces", "Measured time of SHA-256 over pieces, over the time at once, with intervals.", draw_pieces)

add_families("pieces", build_families)
add_experiment(
    Experiment(
        "pieces",
        "What does hashing a record piece by piece cost?",
        claims=(),
        cases=lambda scenario: declare_processes(scenario, "pieces", options={}),
        tables=(TABLE,),
        figures=(FIGURE,),
        answer=answer,
    )
)
