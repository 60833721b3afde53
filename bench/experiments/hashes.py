"""What a hash costs, by function, message size and library; and what the processor's SHA instructions change."""

from typing import Final

from bench.analysis.blocks import BLOCK_COLUMNS, compare_blocks
from bench.experiments.base import Case, Column, Comparison, Experiment, Figure, Frame, Scenario, Table
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.columns import with_ends
from bench.experiments.hashes_figures import draw_ratios, draw_throughput, nearest_size
from bench.experiments.processes import KEY_COLUMNS, LIBRARY_COLUMNS, METHOD, declare_processes
from bench.experiments.rows import select_rows

#: Libraries whose OpenSSL can be told to leave SHA-NI alone; the others have code of their own.
MASKABLE: Final = ["hashlib", "cryptography"]


def declare_cases(scenario: Scenario) -> list[Case]:
    """All libraries as they are; beside each such process one in which OpenSSL leaves SHA-NI alone."""
    plan = scenario.hashes
    options = {"suites": plan.suites, "sizes_bytes": plan.sizes_bytes}
    return declare_processes(scenario, "hashes", options, {**options, "libraries": MASKABLE}, share=0.75)


def build_hashes(raw: Frame) -> Frame:
    """Every function beside SHA-256 of the same library, at the same size, with the same instructions.

    The paper's block comes first, SHA-NI on and masked together.
    """
    frame = _with_rates(raw, "suites", COLUMNS)
    block = nearest_size(frame["size_bytes"])
    libraries = {name: place for place, name in enumerate(dict.fromkeys(frame["library"]))}
    order = frame.assign(_other=frame["size_bytes"] != block, _place=frame["library"].map(libraries))
    order = order.sort_values(["_other", "_place", "size_bytes"], kind="stable")
    return order[list(COLUMNS)].reset_index(drop=True)


def build_libraries(raw: Frame) -> Frame:
    """SHA-256 of every library beside that of `hashlib`; BLAKE3, which has a library of its own, with them."""
    return _with_rates(raw, "libraries", LIBRARIES_COLUMNS)


def _with_rates(raw: Frame, kind: str, columns: dict[str, Column]) -> Frame:
    frame = compare_blocks(raw)
    for rate, time in (("", ""), ("_low", "_high"), ("_high", "_low")):  # the longest time is the lowest rate
        frame[f"gigabyte_per_s{rate}"] = frame["size_bytes"] / frame[f"median_ns{time}"]
    found = select_rows(frame, kind, columns)
    return found.astype({name: kind for name, kind in {"is_weak": bool, "size_bytes": int}.items() if name in found})


def build_overhead(raw: Frame) -> Frame:
    """Time per call apart from time per byte, by function and library."""
    from bench.analysis.overhead import estimate_overhead

    return estimate_overhead(raw)[list(OVERHEAD_COLUMNS)].astype({"is_weak": bool})


#: What is measured in a row, and of what.
_MEASURED: Final = {
    **BLOCK_COLUMNS,
    **KEY_COLUMNS,
    **with_ends("gigabyte_per_s", "Throughput", "GB/s", ".3f"),
    **LIBRARY_COLUMNS,
}
COLUMNS: Final = {
    "instructions": Column("Instructions"),
    "library": Column("Library"),
    "size_bytes": Column("Size", "B"),
    "variant": Column("Function"),
    "is_weak": Column("Broken"),
    **_MEASURED,
}
LIBRARIES_COLUMNS: Final = {
    "instructions": Column("Instructions"),
    "size_bytes": Column("Size", "B"),
    "variant": Column("Library"),
    "suite": Column("Function"),
    **_MEASURED,
}
OVERHEAD_COLUMNS: Final = {
    "instructions": Column("Instructions"),
    "library": Column("Library"),
    "suite": Column("Function"),
    "is_weak": Column("Broken"),
    **with_ends("call_ns", "Per call", "ns", ".4g"),
    **with_ends("byte_ns", "Per byte", "ns", ".4g"),
    "misfit": Column("Worst misfit of the line", "%", ".2g"),
    "sizes": Column("Sizes"),
}
_MASK_NOTE: Final = (
    "'SHA-NI masked' tells the OpenSSL in hashlib and in cryptography to leave the processor's SHA instructions alone; "
    "other libraries have code of their own and are not measured so."
)

EXPERIMENT: Final = Experiment(
    "hashes", QUESTIONS["hashes"], ("C03",), declare_cases,
    (
        Table(
            "hashes",
            f"Time of one call (object, data, digest) of each function over SHA-256's in the same library. {METHOD} "
            f"{_MASK_NOTE} Functions marked as broken are measured, not recommended.",
            COLUMNS, build_hashes,
            ("instructions", "library", "size_bytes", "variant", "ratio", "verdict", "ratio_low", "ratio_high",
             "median_ns"),
            comparisons=(Comparison(("instructions", "library", "size_bytes", "variant")),),
        ),
        Table(
            "hashes_libraries",
            f"Time of one call of SHA-256 in each library over hashlib's; the library blake3 computes BLAKE3. {METHOD} "
            f"{_MASK_NOTE}",
            LIBRARIES_COLUMNS, build_libraries,
            ("instructions", "size_bytes", "variant", "ratio", "verdict", "ratio_low", "ratio_high", "median_ns"),
            comparisons=(Comparison(("instructions", "size_bytes", "variant")),),
        ),
        Table(
            "hashes_overhead",
            "Fitted to measured times: what a call costs apart from its bytes (the message's padding included), and "
            "what a byte costs. The line through the sizes has the least sum of relative deviations, process by "
            "process; medians over processes, each with a 95 % sign-test interval of its own. The misfit says how far "
            "the line is from the medians at worst, as where a function does not take its bytes at one pace (BLAKE3 "
            "works on several 1 KiB chunks at once): a call's cost is known no better than that.",
            OVERHEAD_COLUMNS, build_overhead,
            ("instructions", "library", "suite", "call_ns", "byte_ns", "misfit"),
            keys=("instructions", "library", "suite"),
        ),
    ),
    (
        Figure(
            "hashes_throughput",
            "Measured throughput of hash functions by message size, called from Python, each with a 95 % interval of "
            "its own: hashlib, and BLAKE3 from a package of its own (which no mask changes). Dashed: collisions are "
            "practical.",
            draw_throughput,
        ),
        Figure(
            "hashes_ratios",
            "Measured time of hash functions over SHA-256's in the same library, at the size of the paper's block, "
            "with simultaneous 95 % intervals; grey: SHA-256 over itself. Hollow: collisions are practical.",
            draw_ratios,
        ),
    ),
    weight=30.0,
)  # fmt: skip
