"""What hashing and signing cost in energy: processor time first, joules between bounds, measured or estimated."""

import math
from typing import Any, Final

from bench.analysis.paired import AMOUNT, compare
from bench.experiments.base import Case, Column, Comparison, Drawing, Experiment, Figure, Frame, Scenario, Table, Tables
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.columns import BOUNDS, with_bounds, with_ends

#: Group -> the operation that the others in it are compared with.
BASES: Final = {"hash": "sha256", "signature": "sign"}
_KEYS: Final = ["group", "operation", "is_control"]


def declare_cases(scenario: Scenario) -> list[Case]:
    """A case per repeat.  Where nothing counts energy, short windows serve as well, and leave time for repeats."""
    from bench.measure.energy import Meter

    plans = scenario.energy_windows
    plan = plans.uncounted if Meter().reason else plans.counted
    settings = {"seconds": plan.seconds, "planned": plan.repeats}
    return [Case(f"repeat-{repeat:02}", "energy", {"repeat": repeat, **settings}) for repeat in range(plan.repeats)]


def build_energy(raw: Frame) -> Frame:
    """A row per operation: medians over windows, and processor time over the base's, repeat by repeat."""
    import pandas as pd

    windows = raw[raw["kind"] == "window"].astype({"is_control": bool})
    windows["rank"] = windows["group"].map({group: rank for rank, group in enumerate(BASES)})
    windows["is_other"] = windows["operation"] != windows["group"].map(BASES)
    windows["cpu_s_per_call"] = windows["cpu_s"] / windows["calls"]
    windows = windows.sort_values(["rank", "is_control", "is_other", "operation"], kind="stable")
    groups = {(str(a), str(b), bool(c)): found for (a, b, c), found in windows.groupby(_KEYS, sort=False)}
    bases = {key: (key[0], BASES[key[0]], False) for key in groups}
    families = {control: sum(key != bases[key] and key[2] is control for key in groups) for control in (False, True)}
    voided = int(raw.loc[raw["kind"] == "repeat", "is_void"].sum())
    rows = []
    for key, found in groups.items():
        row: dict[str, Any] = dict(zip(_KEYS, key, strict=True)) | _describe_amounts(found)
        base = None if key == bases[key] else groups[bases[key]]
        rows.append(row | _compare(found, base, families[key[2]]) | {"voided": voided})
    return pd.DataFrame(rows)[list(COLUMNS)]


def _describe_amounts(found: Frame) -> dict[str, Any]:
    """Per call: processor time of all windows; joules of the measured ones, of all if none is."""
    import pandas as pd

    is_measured = found["energy_status"] == "measured"
    used = found[is_measured] if is_measured.any() else found
    reasons = [reason for reason in dict.fromkeys(found["energy_reason"]) if reason]
    reason = reasons[0] if reasons else ""
    if is_measured.any() and reason:
        reason = f"{(~is_measured).sum()} of {len(found)} windows are left out: {reason}"
    row: dict[str, Any] = {"cpu_us": found["cpu_s_per_call"].median() * 1e6}
    row |= {f"energy_uj_{bound}": (used[f"joules_{bound}"] / used["calls"]).median() * 1e6 for bound in BOUNDS}
    row["co2_ug"] = (pd.to_numeric(used["co2_g"]) / used["calls"]).median() * 1e6
    return row | {"energy_status": used["energy_status"].iloc[0], "energy_reason": reason, "windows": len(used)}


def _compare(found: Frame, base: "Frame | None", family: int) -> dict[str, Any]:
    """Processor time over the base's; a repeat, with its two windows of each, is a cluster."""
    ours = _log_times(found)
    if base is None:
        ratios = {"ratio": 1.0, "ratio_low": math.nan, "ratio_high": math.nan, "verdict": "base"}
        return ratios | {"repeats": len(ours)}
    theirs = _log_times(base)
    clusters = [[ours[repeat] - theirs[repeat]] for repeat in ours if repeat in theirs]
    is_control = bool(found["is_control"].iloc[0])
    return compare(clusters, family, is_control=is_control, words=AMOUNT).as_columns() | {"repeats": len(clusters)}


def _log_times(found: Frame) -> dict[Any, float]:
    """By repeat, the mean of the logarithms: what doubles one window and not the other counts half."""
    return {key: sum(map(math.log, times)) / len(times) for key, times in found.groupby("repeat")["cpu_s_per_call"]}


def draw_energy(tables: Tables) -> Drawing:
    """The range of joules of each operation, on a logarithmic axis."""
    from bench.report.style import new_figure, palette

    frame = tables["energy"]
    frame = frame[~frame["is_control"]].iloc[::-1]
    figure, axes = new_figure("column", 0.9 + 0.2 * len(frame))
    colours = palette(["estimated", "measured"])
    for place, row in enumerate(frame.to_dict("records")):
        colour = colours[row["energy_status"]]
        axes.plot([row["energy_uj_low"], row["energy_uj_high"]], [place, place], color=colour, linewidth=2)
        axes.plot(row["energy_uj_mid"], place, "o", color=colour)
    axes.set_xscale("log")
    axes.set_yticks(range(len(frame)), list(frame["operation"]))
    words = " and ".join(sorted(set(frame["energy_status"])))
    axes.set_xlabel(f"Energy of one operation [µJ], {words}")
    return figure


COLUMNS: Final = {
    "group": Column("Kind"),
    "operation": Column("Operation"),
    "is_control": Column("A/A control"),
    "cpu_us": Column("CPU", "µs/call", ".4g"),
    **with_ends("ratio", "CPU / base's", "", ".3f"),
    "verdict": Column("CPU is"),
    **with_bounds("energy_uj", "Energy,", "µJ/call", ".3g"),
    "energy_status": Column("Energy is"),
    "co2_ug": Column("CO2", "µg/call", ".3g"),
    "energy_reason": Column("Why not measured"),
    "windows": Column("Windows"),
    "repeats": Column("Repeats"),
    "voided": Column("Repeats void"),
}

EXPERIMENT: Final = Experiment(
    "energy", QUESTIONS["energy"], ("C03",), declare_cases,
    (
        Table(
            "energy",
            "Measured: processor time of one call, hashing 30,720 bytes (hashlib; BLAKE3 from its package) or signing "
            "and verifying a digest (P-256, cryptography), in windows of time of one process, in balanced order, over "
            "that of SHA-256 or of signing; medians over repeats with exact sign-test intervals, 95 % for all of the "
            "table at once. Energy is what its column says. Measured: what the processor's packages took above their "
            "idle power, from low (highest idle power) to high (idle power included). Estimated: processor time "
            "times the scenario's range of watts for a busy core, so its ratios are those of processor time. CO2 only "
            "where the scenario states a factor for the grid.",
            COLUMNS, build_energy,
            ("operation", "is_control", "cpu_us", "ratio", "verdict", "energy_uj_mid", "energy_status",
             "ratio_low", "ratio_high"),
            comparisons=(Comparison(("group", "operation")),),
        ),
    ),
    (
        Figure(
            "energy",
            "Energy of one operation: the point is the middle, the line reaches from the low to the high bound, "
            "measured or estimated as the axis says. Hashing is of 30,720 bytes.",
            draw_energy,
        ),
    ),
    weight=5.0,
)  # fmt: skip
