"""Whether the simulator's 'all on n cores' predicts real networks that its costs were not fitted on.

Costs are fitted on a few real networks (processor time of every process against what it counted), then other
configurations are predicted and only afterwards measured.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any, Final

from bench.analysis.agreement import LEAST_RHO, MEDIAN_ERROR, Factors, Summary, explain, fit_factors, summarise_errors
from bench.analysis.knee import middle_of_networks
from bench.experiments.agree_figures import FITTED, PREDICTED, draw_agreement
from bench.experiments.base import Case, Column, Experiment, Figure, Frame, Row, Scenario, Table
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.columns import with_ends
from bench.experiments.load_processes import COUNTS, NODE_COLUMNS
from bench.experiments.rows import to_frame
from ehrcore.drive.cost import CostModel


def declare_cases(scenario: Scenario) -> list[Case]:
    """The real networks that costs are fitted on."""
    plan = scenario.agree
    return [
        Case(_label("calibrate", topology, repeat), "agree-calibration", _settings(topology, repeat))
        for repeat in range(plan.repeats)
        for topology in plan.calibration
    ]


def _label(what: str, topology: Sequence[int], repeat: int) -> str:
    return f"{what}-{'-'.join(map(str, topology))}-{repeat}"


def _settings(topology: Sequence[int], repeat: int) -> Row:
    return {**dict(zip(COUNTS, topology, strict=True)), "repeat": repeat}


def declare_predictions(scenario: Scenario, rows: list[Row]) -> list[Case]:
    """Every other configuration, with costs fitted to the calibration's alone; and the calibration's own, for show."""
    measured = [row for row in rows if row["kind"] == "measured"]
    processes = [row for row in rows if row["kind"] == "process"]
    if {tuple(row[name] for name in COUNTS) for row in measured} != set(map(tuple, scenario.agree.calibration)):
        return []  # without one of them the fit would be another
    costs = CostModel(**measured[0]["costs"])
    fitted = {"factors": asdict(fit_factors(processes, costs)), "costs": asdict(costs)}
    cases: list[tuple[str, list[int], int, Row | None]] = []
    for row in measured:
        topology, held = [row[name] for name in COUNTS], {key: row[key] for key in _HELD}
        cases.append((FITTED, topology, row["repeat"], held))
    for repeat in range(scenario.agree.repeats):
        cases += [(PREDICTED, topology, repeat, None) for topology in scenario.agree.topologies]
    return [
        Case(_label(use, topology, repeat), "agree", _settings(topology, repeat) | fitted | {"measured": held})
        for use, topology, repeat, held in cases
    ]


#: What was measured of a network that is compared later.
_HELD: Final = ("net_per_s", "net_per_s_parts", "net_cpu_s_per_tx", "bottleneck", "others_share", "offered_per_s",
                "net_p50_ms", "net_p50_ms_parts")  # fmt: skip


def build_agreement(raw: Frame) -> Frame:
    """A row per configuration, fitted ones first."""
    compared = raw[raw["kind"] == "compared"]
    compared = compared.assign(use=compared["case"].str.split("-").str[0])
    rows = []
    for (use, *counts), part in compared.groupby(["use", *COUNTS], sort=False):
        row: Row = {**dict(zip(COUNTS, (int(str(count)) for count in counts), strict=True)), "use": use}
        row |= _compare("per_s", part) | _compare("p50_ms", part)
        row["offered_per_s"] = part["offered_per_s"].median()
        for name in ("predicted", "net"):
            row[f"{name}_cpu_ms"] = part[f"{name}_cpu_s_per_tx"].median() * 1e3
        row["cpu_error"] = row["predicted_cpu_ms"] / row["net_cpu_ms"] - 1
        row |= {"bottleneck": part["bottleneck"].iloc[0], "networks": len(part)}
        row["others_share"] = part["others_share"].max()
        rows.append(row)
    return to_frame(rows, COLUMNS)


def _compare(name: str, part: Frame) -> Row:
    """Both sides with the measured one's interval, and the error; it is the lowest for the highest measured value."""
    found, low, high = middle_of_networks(part[f"net_{name}"].astype(float).tolist(), part[f"net_{name}_parts"])
    predicted = part[f"predicted_{name}"].astype(float).median()
    return {
        f"predicted_{name}": predicted, f"net_{name}": found, f"net_{name}_low": low, f"net_{name}_high": high,
        f"{name}_error": predicted / found - 1, f"{name}_error_low": predicted / high - 1,
        f"{name}_error_high": predicted / low - 1,
    }  # fmt: skip


def _columns(name: str, title: str, unit: str, form: str) -> dict[str, Column]:
    return {
        **with_ends(f"net_{name}", f"{title}, measured", unit, form),
        f"predicted_{name}": Column(f"{title}, predicted", unit, form),
        **with_ends(f"{name}_error", f"{title}, error", "", "+.0%"),
    }


COLUMNS: Final = {
    **NODE_COLUMNS,
    "use": Column("Is"),
    **_columns("per_s", "Saturated", "tx/s", ".0f"),
    "offered_per_s": Column("Latency at", "tx/s", ".0f"),
    **_columns("p50_ms", "Latency p50", "ms", ".1f"),
    "net_cpu_ms": Column("CPU, measured", "ms/tx", ".2f"),
    "predicted_cpu_ms": Column("CPU, predicted", "ms/tx", ".2f"),
    "cpu_error": Column("CPU, error", "", "+.0%"),
    "bottleneck": Column("Bottleneck"),
    "others_share": Column("Taken by others, saturated, at most", "", ".0%"),
    "networks": Column("Networks"),
}


def build_summary(raw: Frame) -> Frame:
    """Median error and rank correlation over the predicted configurations, beside what is aimed at."""
    frame = build_agreement(raw)
    frame = frame[frame["use"] == PREDICTED]
    rows = []
    for name, quantity, aims in (
        ("per_s", "saturated throughput", (MEDIAN_ERROR, LEAST_RHO)),
        ("p50_ms", "median latency", (math.nan, math.nan)),
    ):
        found = summarise_errors(frame[f"predicted_{name}"].tolist(), frame[f"net_{name}"].tolist())
        row: Row = {"quantity": quantity, "configurations": found.count, "error": found.error}
        row |= {"error_low": found.low, "error_high": found.high, "error_aim": aims[0], "rho": found.rho}
        rows.append(row | {"rho_aim": aims[1], "aim": _judge(found, *aims)})
    return to_frame(rows, SUMMARY_COLUMNS)


def _judge(found: Summary, most_error: float, least_rho: float) -> str:
    """What became of an aim, where there is one; so few configurations may leave it open."""
    if math.isnan(most_error):
        return "none"
    if found.error > most_error or found.rho < least_rho:
        return "not met"
    return "unresolved" if math.isnan(found.error + found.rho) else "met"


SUMMARY_COLUMNS: Final = {
    "quantity": Column("Quantity"),
    "configurations": Column("Configurations"),
    **with_ends("error", "Median error", "", ".0%"),
    "error_aim": Column("Aim, at most", "", ".0%"),
    "rho": Column("Spearman rho", "", ".2f"),
    "rho_aim": Column("Aim, at least", "", ".2f"),
    "aim": Column("Aim is"),
}


def build_costs(raw: Frame) -> Frame:
    """The fitted costs, and how well they explain the processor time that they were fitted to, and that of others."""
    compared = raw[raw["kind"] == "compared"].to_dict("records")
    if not compared:
        return to_frame([], COST_COLUMNS)
    factors, costs = Factors(**compared[0]["factors"]), CostModel(**compared[0]["costs"])
    rows: list[tuple[Any, ...]] = [
        ("signatures, hashes and encoding, over the same on an idle machine", factors.crypto, ""),
        ("a frame, on each side", factors.frame_ns / 1e3, "µs"),
        ("a message, on each side", factors.message_ns / 1e3, "µs"),
        ("a durable commit, processor time", factors.commit_ns / 1e3, "µs"),
        ("a durable commit, the wait", costs.persist_ns / 1e3, "µs"),
    ]
    processes = raw[raw["kind"] == "process"]
    is_fitted = processes["case"].str.startswith("calibrate-")
    for what, part in (("fitted", processes[is_fitted]), ("predicted", processes[~is_fitted])):
        records = [_drop_missing(row) for row in part.to_dict("records")]
        errors = [abs(explain(row, factors, costs) / row["cpu_cores"] - 1) for row in records if row["cpu_cores"]]
        if errors:
            name = f"error of a process's CPU from its counts, median, {what} networks"
            rows.append((name, median(errors) * 100, "%"))
    return to_frame(rows, COST_COLUMNS)


def _drop_missing(row: Mapping[Any, Any]) -> Row:
    return {str(key): value for key, value in row.items() if value == value}  # noqa: PLR0124 - NaN


COST_COLUMNS: Final = {"cost": Column("Cost"), "value": Column("Value", "", ".3g"), "unit": Column("Unit")}

_STRICT: Final = (
    "Costs were fitted on the configurations marked 'fitted' alone; the others were predicted first and measured "
    "afterwards. "
)
EXPERIMENT: Final = Experiment(
    "agree", QUESTIONS["agree"], (), declare_cases,
    (
        Table(
            "agree_summary",
            "Simulated against measured. " + _STRICT + "Absolute errors of the predicted configurations, their median "
            "with its sign-test interval of 95 % where there are enough, and whether their order is right.",
            SUMMARY_COLUMNS, build_summary,
            ("quantity", "configurations", "error", "error_aim", "rho", "rho_aim", "aim"),
        ),
        Table(
            "agree",
            "Simulated (all nodes and the load generator on this machine's cores, framed links) against measured (a "
            "process per node on the same cores). " + _STRICT + "Latency to a quorum, at a share of the predicted "
            "throughput. Intervals of 95 %: of networks where there are at least six, else of consecutive parts of one "
            "run, which do not show how networks differ.",
            COLUMNS, build_agreement,
            (*COUNTS, "use", "net_per_s", "predicted_per_s", "per_s_error", "net_p50_ms", "predicted_p50_ms",
             "p50_ms_error"),
        ),
        Table(
            "agree_costs",
            "Measured unit costs, made those of busy nodes by four numbers that are fitted to the processor time of "
            "real processes (least squares of relative errors).",
            COST_COLUMNS, build_costs,
        ),
    ),
    (
        Figure(
            "agree",
            "Predicted (simulated) over measured: saturated throughput (left) and median latency (right), with 95 % "
            "intervals of what was measured; on the line both are equal, the band is 15 %.",
            draw_agreement,
        ),
    ),
    declare_predictions,
    needs_records=True, weight=14.0,
)  # fmt: skip
