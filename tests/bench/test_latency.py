"""Latency: exact percentiles, nothing dropped, lag voids, the HDR text reads back; and what a stall does to it all."""

import json
import math
import re
import statistics
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.engines.base import Context, find_engine
from bench.experiments import find_experiment
from bench.experiments.base import Row
from bench.experiments.latency import declare_cases
from bench.measure.latency import (
    PERCENTILES,
    STAGES,
    Latency,
    Sample,
    build_columns,
    compute_curve,
    compute_latencies,
    compute_lateness,
    is_supported,
    summarise,
    write_hgrm,
)
from bench.report.tables import check_columns, format_rows
from bench.scenario import load_scenario
from bench.workload import build_workload

TIMEOUT_NS = 50
#: Latency, or None if there was no answer, and by how much the request was sent late.
WAITS = st.lists(st.tuples(st.one_of(st.none(), st.integers(1, 10**6)), st.integers(0, 10**5)), min_size=1)


def samples_of(waits: list[Any], intended: int = 7) -> list[Sample]:
    return [Sample(intended, intended + late, quorum=None if wait is None else intended + wait) for wait, late in waits]


def exactly(*waits: int | None) -> list[Sample]:
    return samples_of([(wait, 0) for wait in waits])


# -- percentiles -------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=1_200))
def test_percentiles_are_the_nearest_rank_and_occur(waits: list[int]) -> None:
    values = summarise(exactly(*waits), "quorum", 0, TIMEOUT_NS).values_ns
    for name, part in PERCENTILES.items():
        enough = sorted(waits)[math.ceil(len(waits) * part / 1000) - 1]
        assert values[name] == (enough if len(waits) >= 1000 / (1000 - part) else None)
    assert (values["max"], values["mean"]) == (max(waits), sum(waits) / len(waits))


@pytest.mark.parametrize(("name", "least"), [("p50", 2), ("p95", 20), ("p99", 100), ("p999", 1_000)])
def test_a_percentile_needs_a_sample_beyond_it(name: str, least: int) -> None:
    assert is_supported(least, PERCENTILES[name])
    assert not is_supported(least - 1, PERCENTILES[name])
    values = [summarise(exactly(*range(1, count + 1)), "quorum", 0, 1).values_ns for count in (least - 1, least)]
    assert values[0][name] is None
    assert values[1][name] == least - 1, "the last but one: not the maximum under another name"


def test_latency_counts_from_the_intended_instant_not_from_the_sending() -> None:
    late = Sample(intended=100, sent=190, first=200, quorum=200, everyone=200)
    assert compute_latencies([late], "first", 0, TIMEOUT_NS) == [(100, False)]
    assert compute_lateness([late], 0) == [90]


# -- censoring ---------------------------------------------------------------------------------------------------


def test_what_got_no_answer_counts_with_the_time_waited_and_at_least_the_time_out() -> None:
    samples = [Sample(0, 0), Sample(980, 980), Sample(940, 940), Sample(990, 990), Sample(0, 0, quorum=3)]
    found = compute_latencies(samples, "quorum", 1_000, TIMEOUT_NS)
    assert found == [(3, False), (50, True), (50, True), (60, True), (1_000, True)]


@given(WAITS)
def test_no_request_is_dropped(waits: list[Any]) -> None:
    summary = summarise(samples_of(waits), "quorum", 10**9, TIMEOUT_NS)
    lost = sum(wait is None for wait, _ in waits)
    assert (summary.count, summary.censored) == (len(waits), lost)
    assert len(compute_latencies(samples_of(waits), "quorum", 10**9, TIMEOUT_NS)) == len(waits)
    assert (summary.values_ns["max"] == 10**9 - 7) is (lost > 0)


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=300, unique=True), st.data())
def test_exactly_what_would_grow_with_the_censored_ones_is_a_lower_bound(waits: list[int], data: st.DataObject) -> None:
    """The naive definition: let every censored request wait for ever, and see which percentiles move."""
    lost = data.draw(st.sets(st.sampled_from(waits)))
    samples = [Sample(-wait, -wait) if wait in lost else Sample(0, 0, quorum=wait) for wait in waits]
    found = summarise(samples, "quorum", 0, 0)
    grown = sorted(math.inf if wait in lost else wait for wait in waits)
    for name, part in PERCENTILES.items():
        if found.values_ns[name] is not None:
            moved = grown[math.ceil(len(waits) * part / 1000) - 1] != found.values_ns[name]
            assert (name in found.bounds) is moved, name
    assert ("max" in found.bounds) is ("mean" in found.bounds) is bool(lost)


def test_a_percentile_above_a_censored_sample_is_a_bound_even_if_its_own_sample_is_exact() -> None:
    samples = [Sample(-1, -1), *(Sample(0, 0, quorum=wait) for wait in range(2, 12))]
    assert summarise(samples, "quorum", 0, 0).bounds == ("p50", "mean", "max")


# -- void --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lateness", "is_void"), [(0, False), (100, False), (101, True)])
def test_a_generator_that_lags_by_more_than_a_tenth_voids_the_point(lateness: int, is_void: bool) -> None:
    samples = samples_of([(1_000, lateness)] * 3 + [(10, 0)] * 97)
    assert bool(summarise(samples, "quorum", 0, TIMEOUT_NS).void) is is_void


def test_two_late_ones_in_a_hundred_void_and_one_does_not() -> None:
    for late in (1, 2):
        samples = samples_of([(1_000, 900)] * late + [(1_000, 0)] * (100 - late))
        assert bool(summarise(samples, "quorum", 0, TIMEOUT_NS).void) is (late == 2)


def test_in_few_samples_the_greatest_lateness_counts() -> None:
    assert summarise(samples_of([(1_000, 0)] * 9 + [(1_000, 101)]), "quorum", 0, TIMEOUT_NS).void


def test_a_request_that_was_never_sent_is_late_by_all_the_time_since() -> None:
    assert compute_lateness([Sample(100), Sample(200, 205)], 1_000) == [5, 900]


def test_a_void_point_shows_its_reason_and_no_value() -> None:
    row = build_columns(samples_of([(5_000_000, 2_000_000)]), 9_000_000, 8_000_000)
    assert row["latency_status"] == "void"
    assert row["latency_reason"] == (
        "p99 lateness of the generator: expected at most 10 % of the p99 latency (9 ms), found 2 ms"
    )
    assert all(row[f"latency_{stage}_{name}_ms"] is None for stage in STAGES for name in (*PERCENTILES, "mean", "max"))
    assert (row["latency_samples"], row["lateness_p99_ms"], row["latency_first_censored"]) == (1, 2.0, 1)
    assert json.loads(json.dumps(row)) == row


def test_no_request_at_all_is_void() -> None:
    row = build_columns([], 0, TIMEOUT_NS)
    assert (row["latency_status"], row["latency_reason"]) == ("void", "no request was made")


def test_columns_are_milliseconds() -> None:
    row = build_columns([Sample(0, 0, 1_500_000, 2_500_000)] * 2, 3_000_000, 4_000_000)
    assert (row["latency_first_p50_ms"], row["latency_quorum_max_ms"], row["latency_everyone_p50_ms"]) == (1.5, 2.5, 4)
    assert [row[f"latency_{stage}_bounds"] for stage in STAGES] == ["", "", "p50, mean, max"]


# -- the HDR text format -----------------------------------------------------------------------------------------

_FOOTER = re.compile(r"#\[(?P<a>\w[\w ]*?) *= +(?P<x>[\w.]+), (?P<b>\w[\w ]*?) *= +(?P<y>[\w.]+)\]")


def read_hgrm(path: Path) -> tuple[list[tuple[float, float, int, float]], dict[str, str]]:
    """Points and footer, as plotters read them: four columns between a header and lines that begin with #."""
    header, blank, *lines = path.read_text(encoding="utf-8").splitlines()
    assert header.split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    assert blank == ""
    points = [line.split() for line in lines if not line.startswith("#")]
    footer: dict[str, str] = {}
    for line in lines[len(points) :]:
        found = _FOOTER.fullmatch(line)
        assert found, line
        footer |= {found["a"]: found["x"], found["b"]: found["y"]}
    return [(float(a), float(b), int(c), float(d)) for a, b, c, d in points], footer


@given(st.lists(st.tuples(st.integers(0, 10**13), st.booleans()), min_size=1, max_size=3_000))
def test_the_hdr_text_reads_back_as_exact_percentiles(tmp_path_factory: Any, drawn: list[tuple[int, bool]]) -> None:
    path = tmp_path_factory.mktemp("hdr") / "a.hgrm"
    latencies = sorted(Latency(*item) for item in drawn)
    write_hgrm(path, latencies)
    points, footer = read_hgrm(path)
    values = [latency.ns for latency in latencies]
    for value, share, total, inverse in points:
        assert round(value * 1e6) == values[max(math.ceil(round(share * 10**12) * len(values) / 10**12), 1) - 1]
        assert total == sum(other <= round(value * 1e6) for other in values)
        assert inverse == (math.inf if share == 1 else pytest.approx(1 / (1 - share), abs=0.005))
    assert [share for _, share, _, _ in points] == sorted({share for _, share, _, _ in points})
    assert (points[0][1], points[-1][:3]) == (0.0, (max(values) / 1e6, 1.0, len(values)))
    assert float(footer["Mean"]) == pytest.approx(statistics.fmean(values) / 1e6, abs=1e-6)
    assert float(footer["StdDeviation"]) == pytest.approx(statistics.pstdev(values) / 1e6, rel=1e-9, abs=1e-6)
    assert (float(footer["Max"]), int(footer["Total count"])) == (max(values) / 1e6, len(values))
    assert int(footer["Censored"]) == sum(is_censored for _, is_censored in drawn)


def test_the_curve_has_five_ticks_per_halving_and_ends_with_the_maximum() -> None:
    latencies = [Latency(number, is_censored=False) for number in range(1, 1_001)]
    shares = [share for share, _, _ in compute_curve(latencies)]
    assert shares[:11] == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75]
    assert shares[-1] == 1
    assert 1 - shares[-2] >= 1 / 1_000, "no tick that a thousand samples cannot tell from their maximum"
    assert len(shares) < 60


def test_there_is_no_file_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected at least one latency, found none"):
        write_hgrm(tmp_path / "a.hgrm", [])
    assert not (tmp_path / "a.hgrm").exists()


# -- the experiment ----------------------------------------------------------------------------------------------

EXPERIMENT = find_experiment("latency")
USERS = 16


def run(folder: Path, cases: slice = slice(None), **changes: Any) -> list[Row]:
    """The cases, small; the context has no calibration, so using one would fail."""
    scenario = load_scenario("smoke")
    plan = msgspec.structs.replace(scenario.latency, requests=400, users=USERS, stall_s=0.5)
    context = Context(msgspec.structs.replace(scenario, latency=plan, **changes), build_workload((), "none"), folder)
    return [
        {"case": case.label, "status": "ok", **row}
        for case in declare_cases(context.scenario)[cases]
        for row in find_engine(case.engine)(context, case)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def rows(folder: Path) -> list[Row]:
    return run(folder)


@pytest.fixture
def tables(rows: list[Row]) -> dict[str, pd.DataFrame]:
    return {table.name: table.build(pd.DataFrame(rows)) for table in EXPERIMENT.tables}


def test_undisturbed_both_methods_agree(tables: dict[str, pd.DataFrame]) -> None:
    calm = tables["latency"].query("stall == 'nobody'")
    assert list(calm["stage"]) == list(STAGES)
    assert calm["p99_ratio"].tolist() == pytest.approx([1, 1, 1], rel=0.02)
    assert calm["open_p50_ms"].tolist() == pytest.approx(calm["closed_p50_ms"].tolist(), rel=0.05)
    assert (calm["open_samples"] - calm["closed_samples"]).abs().max() <= 1


def test_a_closed_loop_omits_what_users_would_have_asked_while_the_system_stood_still(rows: list[Row]) -> None:
    slow = {}
    for method in ("open loop", "closed loop"):
        curve = [row for row in rows if (row["stall"], row["method"], row["kind"], row.get("stage")) ==
                 ("every coordinator", method, "curve", "quorum")]  # fmt: skip
        count = max(row["inverse"] for row in curve)
        slow[method] = count * (1 - min(row["share"] for row in curve if row["latency_ms"] > 200))
    # Half a second at 179 a second; of the closed loop's users each has one request out, and that is all.
    assert slow["open loop"] > 0.3 * 179
    assert 0 < slow["closed loop"] <= USERS


def test_the_longest_wait_is_the_stalls_under_both_methods(tables: dict[str, pd.DataFrame]) -> None:
    stalled = tables["latency"].query("stall == 'every coordinator'")
    for name in ("open_max_ms", "closed_max_ms"):
        assert ((stalled[name] > 450) & (stalled[name] < 800)).all()
    assert (stalled["closed_samples"] < stalled["open_samples"] - 0.2 * 179).all()


def test_one_contributor_is_noticed_only_by_who_waits_for_all(tables: dict[str, pd.DataFrame]) -> None:
    main = tables["latency"].set_index(["stall", "stage"])["open_max_ms"]
    assert main["one contributor", "first"] == pytest.approx(main["nobody", "first"], rel=0.05)
    assert main["one contributor", "quorum"] == pytest.approx(main["nobody", "quorum"], rel=0.05)
    assert main["one contributor", "everyone"] > 450


def test_the_course_shows_the_stall_where_it_is(tables: dict[str, pd.DataFrame]) -> None:
    course, given = tables["latency_course"], tables["latency"].iloc[0]
    begin, end = given["stall_from_s"], given["stall_from_s"] + given["stall_s"]
    slow = course[course["latency_ms"] > 200]
    assert slow["at_s"].between(begin - 0.1, end).all()
    assert slow.groupby("method")["requests"].sum().to_dict().keys() == {"open loop", "closed loop"}
    assert course[course["method"] == "open loop"]["requests"].sum() == given["open_samples"]


def test_the_seed_alone_determines_the_table(rows: list[Row], tmp_path: Path) -> None:
    stalled = [row for row in rows if row["stall"] == "every coordinator"]
    assert run(tmp_path, slice(1, 2)) == stalled
    other = run(tmp_path, slice(1, 2), seed="another")
    assert [row["latency_ms"] for row in other if row["kind"] == "course"] != [
        row["latency_ms"] for row in stalled if row["kind"] == "course"
    ]


def test_tables_are_whole_and_figures_are_drawn_from_them(tables: dict[str, pd.DataFrame]) -> None:
    from bench.report.style import journal_style

    for table in EXPERIMENT.tables:
        check_columns(table, tables[table.name])
    (main, *_) = EXPERIMENT.tables
    assert set(main.exact) == set(tables["latency"].select_dtypes("number").columns), "all that are numbers"
    assert tables["latency"]["open_samples"].tolist() == [400] * 9
    assert tables["latency"]["open_p999_ms"].isna().all(), "400 requests tell no p99.9"
    assert [cell for row in format_rows(main, tables["latency"]) for cell in row].count("–") == 18
    with journal_style():
        for figure in EXPERIMENT.figures:
            drawn = figure.draw({name: frame.copy() for name, frame in tables.items()})
            assert all(axes.get_xlabel() and axes.get_ylabel() for axes in drawn.axes)


def test_every_point_leaves_its_histogram(rows: list[Row], folder: Path) -> None:
    summaries = {(row["case"], row["method"].split()[0]): row for row in rows if row["kind"] == "summary"}
    assert len(summaries) == 6
    for (case, method), row in summaries.items():
        points, footer = read_hgrm(folder / "latency" / f"latency-{case}-{method}.hgrm")
        assert int(footer["Total count"]) == row["latency_samples"]
        assert points[-1][0] == pytest.approx(row["latency_quorum_max_ms"], abs=1e-6)
        assert row["latency_quorum_p50_ms"] in {value for value, *_ in points}


def test_a_method_that_is_void_has_dashes_and_says_so(rows: list[Row]) -> None:
    lagging = [
        {**row, **build_columns([Sample(0, 5, 6, 6, 6)], 9, 9)}
        if (row["kind"], row["method"]) == ("summary", "open loop")
        else row
        for row in rows
    ]
    frame = EXPERIMENT.tables[0].build(pd.DataFrame(lagging))
    assert set(frame["open_status"]) == {"void"}
    assert frame[["open_p50_ms", "open_max_ms", "p99_ratio"]].isna().all().all()
    assert frame["closed_p50_ms"].notna().all()
