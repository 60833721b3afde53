"""What a stall does to latency, and who notices: this suite's open loop beside the closed loop of a naive load test.

Simulated with fixed example costs: a demonstration of method, not of this machine.
"""

from typing import Final

from bench.experiments.base import Case, Column, Experiment, Figure, Frame, Scenario, Table
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.latency_figures import CLOSED, CONTRIBUTOR, COORDINATORS, OPEN, UNDISTURBED, draw_stall
from bench.experiments.rows import select_rows

#: Which curves are drawn: stall, method, stage.
_DRAWN: Final = (
    (UNDISTURBED, OPEN, "quorum"),
    *((COORDINATORS, method, "quorum") for method in (OPEN, CLOSED)),
    *((CONTRIBUTOR, OPEN, stage) for stage in ("first", "quorum", "everyone")),
)


def declare_cases(scenario: Scenario) -> list[Case]:
    """Undisturbed; all coordinators stall; one contributor stalls."""
    stalls = ((UNDISTURBED, "", 0), (COORDINATORS, "coordinator", scenario.latency.topology[1]),
              (CONTRIBUTOR, "contributor", 1))  # fmt: skip
    return [
        Case(stall.replace(" ", "-"), "stall", {"stall": stall, "role": role, "stalled": stalled})
        for stall, role, stalled in stalls
    ]


def build_main(raw: Frame) -> Frame:
    """A row per stall and stage, what both methods saw side by side."""
    import pandas as pd

    summaries = raw[raw["kind"] == "summary"]
    rows = []
    for stall, pair in summaries.groupby("stall", sort=False):
        seen = {row["method"]: row for row in pair.to_dict("records")}
        for stage in ("first", "quorum", "everyone"):
            row = {"stall": stall, "stage": stage, **{name: seen[OPEN][name] for name in _GIVEN}}
            for prefix, method in (("open", OPEN), ("closed", CLOSED)):
                found = seen[method]
                row |= {f"{prefix}_{name}_ms": found[f"latency_{stage}_{name}_ms"] for name in _TITLES}
                row |= {f"{prefix}_{name}": found[f"latency_{name}"] for name in ("samples", "status")}
                row[f"{prefix}_bounds"] = found[f"latency_{stage}_bounds"]
            rows.append(row)
    frame = pd.DataFrame(rows).astype({name: float for name in COLUMNS if name.endswith("_ms")})
    frame = frame.astype({name: int for name, column in COLUMNS.items() if column.form == "d"})
    frame["p99_ratio"] = frame["open_p99_ms"] / frame["closed_p99_ms"]
    return frame[list(COLUMNS)]


_GIVEN: Final = {
    "per_s": Column("Offered", "1/s", ".0f"),
    "users": Column("Users of the closed loop", "", "d"),
    "stall_from_s": Column("Stall from", "s", ".2f"),
    "stall_s": Column("Stall lasts", "s", ".3g"),
}
_TITLES: Final = {"p50": "p50", "p99": "p99", "p999": "p99.9", "max": "max"}
COLUMNS: Final = {
    "stall": Column("Who stalls"),
    "stage": Column("Latency to"),
    **{f"open_{name}_ms": Column(f"Open loop {title}", "ms", ".1f") for name, title in _TITLES.items()},
    **{f"closed_{name}_ms": Column(f"Closed loop {title}", "ms", ".1f") for name, title in _TITLES.items()},
    "p99_ratio": Column("p99, open over closed", "ratio", ".2f"),
    "open_samples": Column("Requests, open", "", "d"),
    "closed_samples": Column("Requests, closed", "", "d"),
    "open_status": Column("Open loop is"),
    "closed_status": Column("Closed loop is"),
    "open_bounds": Column("Lower bounds, open"),
    "closed_bounds": Column("Lower bounds, closed"),
    **_GIVEN,
}


def build_curves(raw: Frame) -> Frame:
    """Percentile curves of the figure, in long form."""
    curves = raw[raw["kind"] == "curve"]
    names = zip(curves["stall"], curves["method"], curves["stage"], strict=True)
    return curves[[name in _DRAWN for name in names]][list(CURVE_COLUMNS)].reset_index(drop=True)


CURVE_COLUMNS: Final = {
    "stall": Column("Who stalls"),
    "method": Column("Method"),
    "stage": Column("Latency to"),
    "share": Column("Share of requests", "", ".6f"),
    "inverse": Column("1/(1 - share)", "", ".4g"),
    "latency_ms": Column("Latency", "ms", ".1f"),
}


def build_course(raw: Frame) -> Frame:
    """Latency over time while the coordinators stall, in long form."""
    return select_rows(raw[raw["stall"] == COORDINATORS], "course", COURSE_COLUMNS)


COURSE_COLUMNS: Final = {
    "method": Column("Method"),
    "requests": Column("Requests", "", "d"),
    "latency_ms": Column("Longest latency", "ms", ".1f"),
    "at_s": Column("Of the request at", "s", ".2f"),
}

_MODE: Final = "Simulated with fixed example costs: a demonstration of method, not of this machine."
EXPERIMENT: Final = Experiment(
    "latency", QUESTIONS["latency"], (), declare_cases,
    (
        Table(
            "latency",
            "Latency with and without a stall in mid-run, to the first, a quorum and all of the contributors. Open "
            "loop: requests come at a steady rate, latency counts from the intended instant. Closed loop, as in a "
            "naive load test: users share that rate for as long, but each waits for an answer before asking again, "
            "and latency counts from then: what was not asked while the system stood still is not in it. " + _MODE,
            COLUMNS, build_main,
            ("stall", "stage", "open_p50_ms", "closed_p50_ms", "open_p99_ms", "closed_p99_ms", "p99_ratio"),
            keys=("stall", "stage"), exact=tuple(name for name, column in COLUMNS.items() if column.form),
        ),
        Table(
            "latency_curves",
            "Percentile curves of the figure: so large a share of the requests took at most so long. " + _MODE,
            CURVE_COLUMNS, build_curves,
        ),
        Table(
            "latency_course",
            "The longest latency to a quorum in each of equal intervals while every coordinator stalls, and when that "
            "request was due (open loop) or made (closed loop). " + _MODE,
            COURSE_COLUMNS, build_course,
        ),
    ),
    (
        Figure(
            "latency_stall",
            "Left: what users wait (open loop) and what a naive closed loop sees of it when every coordinator stalls "
            "in mid-run. Middle: the same over time; each point is the longest latency of an interval, the stall is "
            "shaded. Right: who notices if one contributor stalls (open loop). " + _MODE,
            draw_stall,
        ),
    ),
    weight=3.5,
)  # fmt: skip
