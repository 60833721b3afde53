"""What a hash costs, by function, message size and library; and what the processor's SHA instructions change."""

import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from bench.experiments.base import Case, Column, Experiment, Figure, Table
from bench.experiments.catalogue import QUESTIONS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MplFigure

    from bench.scenario import Scenario

#: OpenSSL's mask for the processor's features; it counts at start-up only.  Bit 29 of the third word is SHA-NI.
NO_SHA_NI: Final = {"OPENSSL_ia32cap": ":~0x20000000"}
ALL: Final = "all"
MASKED: Final = "no SHA-NI"
BASELINE: Final = "sha256"
#: The paper's block of fifteen transactions, in bytes.
BLOCK_BYTES: Final = 30_720


def declare_cases(scenario: "Scenario") -> list[Case]:
    """Every library as it is; and `hashlib`, whose OpenSSL can be told to, without the x86 SHA instructions."""
    del scenario
    cases = [Case("hashes", "micro", {"file": "test_hashes.py", "variant": ALL})]
    if platform.machine().lower() in {"x86_64", "amd64"}:
        environment = {**NO_SHA_NI, "EHRBENCH_LIBRARIES": "hashlib"}
        settings = {"file": "test_hashes.py", "variant": MASKED, "environment": environment}
        cases.append(Case("hashes-masked", "micro", settings))
    return cases


def build_hashes(raw: "pd.DataFrame") -> "pd.DataFrame":
    """Time per call with its ratio to SHA-256's in the same library, at the same size, on the same processor."""
    frame = raw.rename(columns={"variant": "instructions"})
    frame = frame[frame["openssl"].ne("") | frame["instructions"].eq(ALL)]
    keys = ["instructions", "library", "size_bytes"]
    base = frame[frame["suite"] == BASELINE][[*keys, "median_ns"]].rename(columns={"median_ns": "base_ns"})
    frame = frame.merge(base, on=keys, how="left")
    frame["relative"] = frame["median_ns"] / frame["base_ns"]
    return frame[list(COLUMNS)].astype({"is_weak": bool}).reset_index(drop=True)


def draw_throughput(tables: Mapping[str, "pd.DataFrame"]) -> "MplFigure":
    """Throughput by message size in `hashlib` (BLAKE3 in its own package), one line per function."""
    from bench.report.style import markers, new_figure, palette

    frame = tables["hashes"]
    frame = frame[frame["instructions"].eq(ALL) & frame["library"].isin(["hashlib", "blake3"])]
    suites = list(dict.fromkeys(frame["suite"]))
    colours, shapes = palette(suites), markers(suites)
    figure, axes = new_figure("column", 3.0)
    for suite in suites:
        line = frame[frame["suite"] == suite].sort_values("size_bytes")
        is_weak = bool(line["is_weak"].iloc[0])
        axes.loglog(
            line["size_bytes"],
            line["gigabyte_per_s"],
            "--" if is_weak else "-",
            color=colours[suite],
            marker=shapes[suite],
            label=label_of(suite, is_weak=is_weak),
        )
    axes.set(xlabel="Message size [B]", ylabel="Throughput [GB/s]")
    axes.set_xscale("log", base=2)
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def label_of(suite: str, *, is_weak: bool) -> str:
    """A suite's name, with the word that a reader of a weak one has to see."""
    return f"{suite} (broken)" if is_weak else suite


def draw_libraries(tables: Mapping[str, "pd.DataFrame"]) -> "MplFigure":
    """Time relative to SHA-256's in the same library, at the size nearest to the paper's block."""
    from bench.report.style import new_figure

    frame = tables["hashes"].dropna(subset=["relative"])
    frame = frame[frame["size_bytes"] == nearest_size(frame["size_bytes"])]
    groups = {
        str(library) if words == ALL else f"{library}, {words}": part
        for (library, words), part in frame.groupby(["library", "instructions"])
    }
    suites = list(dict.fromkeys(frame["suite"]))
    figure, axes = new_figure("page", 2.8)
    draw_bars(axes, groups, {suite: bool(frame[frame["suite"] == suite]["is_weak"].any()) for suite in suites})
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_ylabel(f"Time / time of SHA-256,\n{nearest_size(frame['size_bytes']):,} B")
    figure.legend(loc="outside upper center", ncols=len(suites))
    return figure


def nearest_size(sizes: "pd.Series[Any]") -> int:
    """The measured size nearest to `BLOCK_BYTES`."""
    return min((int(size) for size in sizes.unique()), key=lambda size: abs(size - BLOCK_BYTES))


def draw_bars(axes: "Axes", groups: Mapping[str, "pd.DataFrame"], is_weak: Mapping[str, bool]) -> None:
    """A group of bars per library, a colour per suite; weak suites are hatched."""
    from bench.report.style import palette

    colours, width = palette(list(is_weak)), 0.85 / len(is_weak)
    for place, suite in enumerate(is_weak):
        heights = [float(part.set_index("suite")["relative"].get(suite, float("nan"))) for part in groups.values()]
        spots = [group + (place - (len(is_weak) - 1) / 2) * width for group in range(len(groups))]
        hatch = "////" if is_weak[suite] else ""
        label = label_of(suite, is_weak=is_weak[suite])
        axes.bar(spots, heights, width, color=colours[suite], hatch=hatch, edgecolor="white", label=label)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.grid(visible=False, axis="x")


COLUMNS: Final = {
    "suite": Column("Function"),
    "is_weak": Column("Broken"),
    "library": Column("Library"),
    "library_version": Column("Version"),
    "openssl": Column("OpenSSL in it"),
    "instructions": Column("Instructions"),
    "size_bytes": Column("Size", "B"),
    "median_ns": Column("Median", "ns", ".4g"),
    "iqr_ns": Column("Interquartile range", "ns", ".3g"),
    "min_ns": Column("Least", "ns", ".4g"),
    "mean_ns": Column("Mean", "ns", ".4g"),
    "stddev_ns": Column("Standard deviation", "ns", ".3g"),
    "ops_per_s": Column("Calls (from the mean)", "1/s", ".4g"),
    "gigabyte_per_s": Column("Throughput (from the median)", "GB/s", ".3f"),
    "relative": Column("Time / SHA-256's", "", ".3f"),
    "rounds": Column("Rounds"),
    "iterations": Column("Calls per round"),
}

EXPERIMENT: Final = Experiment(
    "hashes",
    QUESTIONS["hashes"],
    ("C03",),
    declare_cases,
    (
        Table(
            "hashes",
            "Measured with pytest-benchmark: time of one call (object, data, digest) by function, library and message "
            "size. 'no SHA-NI' tells hashlib's OpenSSL to leave the processor's SHA instructions alone; where it has "
            "none, nothing changes. Functions marked as broken are measured, not recommended.",
            COLUMNS,
            build_hashes,
            ("suite", "library", "instructions", "size_bytes", "median_ns", "iqr_ns", "gigabyte_per_s", "relative"),
        ),
    ),
    (
        Figure(
            "hashes_throughput",
            "Measured throughput of hash functions by message size, called from Python: hashlib, and BLAKE3 from a "
            "package of its own. Dashed: collisions are practical.",
            draw_throughput,
        ),
        Figure(
            "hashes_libraries",
            "Measured time of hash functions relative to SHA-256 in the same library and with the same processor "
            "instructions, at the size of the paper's block. Hatched: collisions are practical.",
            draw_libraries,
        ),
    ),
)
