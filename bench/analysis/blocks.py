"""From the raw rows of the paired engine to one row per variant: time, ratio to the base, interval, verdict."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from bench.analysis.paired import UNRESOLVED, Estimate, compare, find_interval
from bench.experiments.base import Column
from bench.measure.paired import CONTROL
from bench.measure.worker import CANARY, HARNESS, NOTHING

if TYPE_CHECKING:
    import pandas as pd

#: Logarithms of ratios and nanoseconds per call, by process; a list has an entry per block.
_Key = tuple[str, str, str]

#: How tables show what `compare_blocks` adds to labels and details.
BLOCK_COLUMNS: Final[Mapping[str, Column]] = {
    "ratio": Column("Ratio to base", "", ".3f"),
    "verdict": Column("Verdict"),
    "ratio_low": Column("Ratio, low", "", ".3f"),
    "ratio_high": Column("Ratio, high", "", ".3f"),
    "median_ns": Column("Time per call", "ns", ".4g"),
    "median_ns_low": Column("Time, low", "ns", ".4g"),
    "median_ns_high": Column("Time, high", "ns", ".4g"),
    "processes": Column("Processes"),
    "blocks": Column("Blocks"),
    "voided": Column("Blocks void"),
    "harness_share": Column("Harness", "% of the time", ".2f"),
}


@dataclass(slots=True)
class _Found:
    """What the blocks of one variant hold, by process."""

    log_ratios: dict[int, list[float]]
    times_ns: dict[int, list[float]]


def compare_blocks(raw: "pd.DataFrame", *, with_harness: bool = False) -> "pd.DataFrame":
    """A row per instruction set, group and variant, controls included, with labels, details and `BLOCK_COLUMNS`.

    ``raw`` holds the rows that are ok.  The variants of all groups are one family of comparisons, the controls another.
    The group of the harness itself is used for ``harness_share`` and is a row only ``with_harness``.
    """
    import pandas as pd

    processes = _records(raw, "process")
    found = _collect(_records(raw, "block"), processes)
    groups = _describe_groups(processes)
    hidden = {CANARY} if with_harness else {CANARY, HARNESS}
    shown = [key for key in found if key[1] not in hidden]
    compared = [key for key in shown if key[2] != groups[key[:2]]["base"]]
    families = {is_control: sum((key[2] == CONTROL) is is_control for key in compared) for is_control in (False, True)}
    overhead = {key[0]: _middle(found[key].times_ns) for key in found if key[1:] == (HARNESS, NOTHING)}
    rows = []
    for key in shown:
        group, item = groups[key[:2]], found[key]
        details = group["details"].get(group["base"] if key[2] == CONTROL else key[2], {})
        row: dict[str, Any] = {
            "instructions": key[0],
            "group": key[1],
            "variant": key[2],
            "is_control": key[2] == CONTROL,
        }
        row |= {**group["labels"], **details, "base": group["base"]}
        row |= _numbers(item, families[key[2] == CONTROL], is_base=key not in compared, is_control=key[2] == CONTROL)
        row["voided"] = sum(int(one["void_rounds"]) for one in processes if one["instructions"] == key[0])
        row["harness_share"] = overhead[key[0]] / row["median_ns"] * 100 if key[0] in overhead else math.nan
        rows.append(row)
    return pd.DataFrame(rows)


def _records(raw: "pd.DataFrame", kind: str) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in raw[raw["kind"] == kind].to_dict("records")]


def measure_contention(rows: Iterable[Mapping[str, Any]]) -> float | None:
    """By what factor the canary's ratio differs between processes, at most; None without two processes that have one.

    It should be the same in all; it moves when something that no counter shows takes a part of the core.
    """
    found: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        if row.get("kind") == "block" and row["group"] == CANARY and row["status"] == "ok":
            narrow, wide = (compute_log_ns(row["forward_ns"], row["backward_ns"], name) for name in ("md5", "sha3"))
            found.setdefault((row["instructions"], row["process"]), []).append(wide - narrow)
    middles = [median(values) for values in found.values()]
    return math.exp(max(middles) - min(middles)) if len(middles) > 1 else None


def _describe_groups(processes: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """The description of each group by instruction set and name; all processes give the same."""
    return {(one["instructions"], name): group for one in processes for name, group in one["groups"].items()}


def _collect(blocks: list[dict[str, Any]], processes: list[dict[str, Any]]) -> dict[_Key, _Found]:
    """By instruction set, group and variant, in the order of their declaration, what their blocks hold.

    Where every block was void nothing is held, and the variant is there all the same.
    """
    found = {
        (instructions, name, variant): _Found({}, {})
        for (instructions, name), group in _describe_groups(processes).items()
        for variant in (*group["variants"], CONTROL)
    }
    bases = {key: group["base"] for key, group in _describe_groups(processes).items()}
    for block in blocks:
        place, process = (block["instructions"], block["group"]), int(block["process"])
        forward_ns, backward_ns = block["forward_ns"], block["backward_ns"]
        base = compute_log_ns(forward_ns, backward_ns, bases[place])
        for variant in block["order"]:
            item, here = found[*place, variant], compute_log_ns(forward_ns, backward_ns, variant)
            item.log_ratios.setdefault(process, []).append(here - base)
            item.times_ns.setdefault(process, []).append(math.exp(here) / block["loops"])
    return found


def time_calls(raw: "pd.DataFrame") -> dict[_Key, dict[int, float]]:
    """By instruction set, group and variant: nanoseconds of a call by process, the median of its blocks."""
    found = _collect(_records(raw, "block"), _records(raw, "process"))
    return {key: {process: median(times) for process, times in item.times_ns.items()} for key, item in found.items()}


def compute_log_ns(forward_ns: Mapping[str, int], backward_ns: Mapping[str, int], variant: str) -> float:
    """Logarithm of the geometric mean of a variant's two epochs: what doubles one and not the other counts half."""
    return (math.log(forward_ns[variant]) + math.log(backward_ns[variant])) / 2


def _middle(times_ns: Mapping[int, list[float]]) -> float:
    """The median over processes; NaN without any."""
    return median([median(times) for times in times_ns.values()] or [math.nan])


def _numbers(item: _Found, family: int, *, is_base: bool, is_control: bool) -> dict[str, Any]:
    """Time, ratio and verdict of one variant; the base has no verdict over itself."""
    low, high = find_interval([median(times) for times in item.times_ns.values()])
    row: dict[str, Any] = {
        "median_ns": _middle(item.times_ns),
        "median_ns_low": low,
        "median_ns_high": high,
        "processes": len(item.times_ns),
        "blocks": sum(map(len, item.times_ns.values())),
    }
    if is_base:
        return row | Estimate(1.0 if item.times_ns else math.nan, math.nan, math.nan, 0, "base").as_columns()
    if not item.log_ratios:
        return row | Estimate(math.nan, math.nan, math.nan, 0, UNRESOLVED).as_columns()
    return row | compare(item.log_ratios.values(), family, is_control=is_control).as_columns()
