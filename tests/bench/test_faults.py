"""Experiment `faults`: its cells, the verdicts on planted outcomes, its tables from made-up rows, and real runs."""

from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

from bench.analysis.recovery import LIVE, STALLED, Course
from bench.engines.base import Context
from bench.engines.faults import run_fault_control, run_faults
from bench.engines.faults_net import find_course, judge_ledgers, run_faults_net
from bench.engines.faults_rows import build_rows
from bench.errors import BenchError
from bench.experiments import find_experiment
from bench.experiments.base import Case, Row
from bench.experiments.faults_cells import MAY_STALL, OPEN, SAFE, declare_cases, declare_cells, declare_real
from bench.experiments.faults_figures import draw_course, draw_limit
from bench.experiments.faults_judge import is_expected, name_outcome
from bench.measure.latency import Sample
from bench.net.faults import Happened, find_targets, list_actions, write_routes
from bench.net.step import Finished, Played
from bench.report.tables import check_columns
from bench.scenario import Scenario, convert_scenario, load_scenario
from bench.workload import build_workload, vital_signs
from ehrcore.drive.net.plan import NetworkConfig, NetworkFolder, found
from ehrcore.drive.net.routes import read_routes
from ehrcore.faults.plan import Crash, Cut, FaultPlan, Pause, Skew, partition
from ehrcore.network import found_network
from ehrcore.params import ChainParams, Topology, majority
from ehrcore.types import SECOND

EXPERIMENT = find_experiment("faults")
QUICK, SMOKE = load_scenario("quick"), load_scenario("smoke")
CELLS = {cell.name: cell for cell in declare_cells(QUICK)}


# -- cells -------------------------------------------------------------------------------------------------------------


def test_every_cell_is_a_plan_that_its_network_can_have() -> None:
    for cell in CELLS.values():
        counts = [cell.counts[name] for name in ("agents", "coordinators", "administrators", "contributors")]
        topology = Topology(*counts)
        params = ChainParams(
            "t", topology, majority(topology.agents), majority(topology.coordinators), is_modelled=True
        )
        plan = msgspec.convert(msgspec.json.decode(msgspec.json.encode(cell.settings["plan"])), FaultPlan)
        assert plan == FaultPlan(cell.faults)
        plan.validate(found_network(params, "modelled", "t", cell.stakes))


def test_crashes_and_lies_go_from_none_to_one_past_the_limit() -> None:
    grid = {
        (c.counts["administrators"], c.fault, c.count): c.expected
        for c in CELLS.values()
        if c.group == "limit" and c.end
    }
    assert {size for size, _, _ in grid} == {3, 4, 5, 7, 10}
    for size, limit in ((3, 0), (4, 1), (5, 1), (7, 2), (10, 3)):
        assert grid[size, "none", 0] == SAFE + LIVE
        assert [grid[size, "crash", count] for count in range(1, limit + 1)] == [SAFE + LIVE] * limit
        assert grid[size, "crash", limit + 1] == SAFE + STALLED
        assert (size, "crash", limit + 2) not in grid


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("equivocate-1-of-3-mid", MAY_STALL),  # a quorum of three: no lie can make two blocks final, none can go on
        ("equivocate-1-of-4-mid", SAFE + LIVE),
        ("equivocate-2-of-4-mid", OPEN),
        ("equivocate-2-of-5-mid", MAY_STALL),
        ("equivocate-3-of-7-start", OPEN),
        ("equivocate-4-of-10-start", OPEN),
        ("stakes-1-1-1-2-crash-1", SAFE + STALLED),
        ("stakes-2-1-1-1-crash-1", SAFE + LIVE),
        ("stakes-4-4-4-1-1-crash-2", SAFE + LIVE),
        ("contributor-crash-1-of-3", SAFE + LIVE),
        ("contributor-crash-2-of-3", SAFE + STALLED),
    ],
)
def test_what_has_to_come_of_it_follows_from_quorums_of_stake(cell: str, expected: str) -> None:
    assert CELLS[cell].expected == expected


def test_a_run_has_every_cell_once_before_anything_twice() -> None:
    scenario = msgspec.structs.replace(QUICK, faults=msgspec.structs.replace(QUICK.faults, seeds=2))
    labels = [case.label for case in declare_cases(scenario)]
    assert len(set(labels)) == len(labels)
    labels = [label for label in labels if not label.startswith("control-")]
    first = labels[: len(CELLS) + len(QUICK.faults.net)]
    assert {label.rpartition("-")[0] for label in first} == {*CELLS, *(f"net-{name}" for name in QUICK.faults.net)}


@pytest.mark.parametrize(("engine", "count"), [("sim", 0), (None, 3), ("net", len(declare_real(QUICK)))])
def test_the_engine_says_how_many_are_measured_on_real_nodes(engine: Any, count: int) -> None:
    scenario = msgspec.structs.replace(QUICK, engine=engine)
    assert sum(case.engine == "faults-net" for case in declare_cases(scenario)) == count


@pytest.mark.parametrize("profile", ["smoke", "quick", "paper"])
def test_what_profiles_measure_on_real_nodes_is_simulated_too_and_can_be_done_to_them(profile: str) -> None:
    scenario = load_scenario(profile)
    for name in scenario.faults.net:
        assert list_actions(FaultPlan(declare_real(scenario)[name].faults)) or name.startswith("none")
        assert profile == "smoke" or name in CELLS


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ({"net": ["crash-9-of-4"]}, "Expected one of none-of-3, "),
        ({"net": ["clock-2-s-ahead"]}, "got 'clock-2-s-ahead' - at `$.faults.net`"),
        ({"groups": ["limits"]}, "Expected one of limit, rules, stakes, kinds, roles, controls, got 'limits'"),
        ({"fault_s": 8.0}, "Expected fault_s < heal_s < seconds"),
        ({"administrators": [4, 4]}, "each value once"),
    ],
)
def test_a_scenario_that_cannot_be_is_one_line(faults: dict[str, Any], words: str) -> None:
    content = msgspec.to_builtins(QUICK) | {"faults": msgspec.to_builtins(QUICK.faults) | faults}
    with pytest.raises(BenchError) as caught:
        convert_scenario(content, "test")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


# -- verdicts ----------------------------------------------------------------------------------------------------------


def outcome(expected: str, safety: str = "held", liveness: str = LIVE, lost: int = 0) -> Row:
    return {"expected": expected, "safety": safety, "liveness": liveness, "lost": lost}


@pytest.mark.parametrize(
    ("run", "good"),
    [
        (outcome(SAFE + LIVE), True),
        (outcome(SAFE + LIVE, liveness=STALLED), False),
        (outcome(SAFE + STALLED), False),
        (outcome(SAFE + STALLED, liveness=STALLED), True),
        (outcome(SAFE + LIVE, lost=1), False),
        (outcome(SAFE + LIVE, "violated: agreement"), False),
        (outcome(MAY_STALL, liveness=STALLED), True),
        (outcome(MAY_STALL), True),
        (outcome(MAY_STALL, "violated: double-sign"), False),
        (outcome(OPEN, "violated: agreement", lost=3), True),
        (outcome(OPEN), True),
    ],
)
def test_a_run_is_as_expected_only_if_nothing_that_was_promised_is_missing(run: Row, good: bool) -> None:
    assert is_expected(run) is good


def test_outcomes_have_names() -> None:
    assert name_outcome(outcome(OPEN)) == "safe, live"
    assert name_outcome(outcome(OPEN, "violated: agreement")) == "agreement violated"


# -- tables ------------------------------------------------------------------------------------------------------------


def made_up(cell: str, seed: int = 0, engine: str = "simulated", **changes: Any) -> list[Row]:
    label = f"{'net-' if engine != 'simulated' else ''}{cell}-{seed}"
    given = {"case": label, "status": "ok", **CELLS[cell].settings, "seed": seed, "planned": 2, "engine": engine}
    row = {
        "kind": "cell", "safety": "held", "violation": "", "liveness": LIVE, "lost": 0, "waiting": 0, "taken": 99,
        "offered_per_s": 30.0, "before_per_s": 30.0, "during_per_s": 20.0, "dip_per_s": 10.0 + seed, "late_per_s": 30.0,
        "stall_s": 0.5, "recovery_s": 0.25, "settling_s": 0.0, "uncommitted": 0, "latency_bounds": "",
        **{f"latency_{name}_ms": 100.0 for name in ("p50", "p95", "p99", "max")},
    } | changes  # fmt: skip
    bins = [
        {"kind": "course", "offered_per_s": 30.0, "load_s": 10.0, "at_s": at / 2, "commits_per_s": 28.0 + seed}
        for at in range(8)
    ]
    return [{**given, **item} for item in (row, *bins)]


def build(rows: list[Row]) -> dict[str, pd.DataFrame]:
    tables = {}
    for table in EXPERIMENT.tables:
        tables[table.name] = table.build(pd.DataFrame(rows))
        check_columns(table, tables[table.name])
    return tables


MADE = [
    *made_up("none-of-4"), *made_up("none-of-4", 1),
    *made_up("crash-1-of-4-mid"), *made_up("crash-1-of-4-mid", 1),
    *made_up("crash-1-of-4-mid", engine="real nodes", happened="3.001 s crash administrator-3"),
    *made_up("crash-1-of-3-mid", liveness=STALLED), *made_up("equivocate-1-of-3-mid"),
    *made_up("equivocate-2-of-4-mid", safety="violated: agreement", violation="agreement: ...", lost=2),
    *made_up("equivocate-2-of-4-mid", 1), *made_up("equivocate-1-of-4-mid"),
    *made_up("stakes-2-1-1-1-crash-1"), *made_up("tree-root-crash"), *made_up("single-crash-1-of-1", liveness=STALLED),
    *made_up("contributor-crash-1-of-3"), *made_up("contributor-crash-3-of-3", liveness=STALLED),
]  # fmt: skip


def test_a_cell_is_a_row_with_the_verdicts_of_all_its_runs() -> None:
    frame = build(MADE)["faults"].set_index("cell")
    crash = frame.loc["crash-1-of-4-mid"]
    assert (crash["found"], crash["is_expected"], crash["runs"], crash["dip_per_s"]) == ("safe, live", True, 2, 10.5)
    assert frame.loc["equivocate-2-of-4-mid", "found"] == "agreement violated (1); safe, live (1)"
    assert (frame.loc["crash-1-of-3-mid", "is_expected"], frame.loc["crash-1-of-3-mid", "not_run"]) == (True, 1)
    assert frame.loc["stakes-2-1-1-1-crash-1", "stakes"] == "2 : 1 : 1 : 1"
    assert "real nodes" not in frame.to_string()


@pytest.mark.parametrize(
    "planted", [{"lost": 1}, {"safety": "violated: double-sign", "violation": "x"}, {"liveness": STALLED}]
)
def test_a_planted_violation_in_one_of_many_runs_is_in_the_tables(planted: Row) -> None:
    tables = build([*MADE, *made_up("crash-1-of-4-mid", 2, **planted)])
    assert not tables["faults"].set_index("cell").loc["crash-1-of-4-mid", "is_expected"]
    claims, before = (built["faults_claims"].set_index("claim") for built in (tables, build(MADE)))
    for claim in ("C09", "C11"):
        assert claims.loc[claim, "runs"] - claims.loc[claim, "as_expected"] == 1
        assert claims.loc[claim, "answer"] != before.loc[claim, "answer"] or "lost" in planted


def test_what_there_is_no_number_of_is_no_zero() -> None:
    broken = {"safety": "violated: agreement", "violation": "x", "before_per_s": None, "uncommitted": None}
    ends = [
        *made_up("equivocate-2-of-4-start", **broken),
        *made_up("crash-1-of-4-start", before_per_s=None, recovery_s=None),
    ]
    frame = build([*MADE, *ends])["faults"].set_index("cell")
    assert pd.isna(frame.loc["equivocate-2-of-4-start", "uncommitted"])
    assert frame["not_recovered"].isna().sum() == 2, "nobody recovers from what was always there"
    assert build([*MADE, *made_up("crash-1-of-4-mid", 2, recovery_s=None)])["faults"].set_index("cell").loc[
        "crash-1-of-4-mid", "not_recovered"] == 1  # fmt: skip


def test_the_answer_names_what_did_not_end_as_expected() -> None:
    lines = EXPERIMENT.answer(build([*MADE, *made_up("pause", liveness=STALLED)]))
    assert [line[:4] for line in lines[:5]] == ["C09:", "C10:", "C11:", "C22:", "C23:"]
    assert lines[5:] == ["Not as expected: pause (safe, stalls until healed)."]


def test_claims_are_answered_by_the_numbers() -> None:
    claims = build(MADE)["faults_claims"].set_index("claim")
    assert list(claims.index) == ["C09", "C10", "C11", "C22", "C23"]
    assert "3 administrators, one crashes: no" in claims.loc["C11", "answer"]
    assert "4 administrators, one lies: yes" in claims.loc["C11", "answer"]
    assert "beyond it: safety violated in 1 of 2 runs" in claims.loc["C09", "answer"]
    assert claims.loc["C22", "answer"].endswith("0 of 198 transactions lost")


def test_three_and_four_stand_side_by_side() -> None:
    frame = build(MADE)["faults_c11"]
    assert set(frame["administrators"]) == {3, 4}
    crashes = frame[frame["fault"] == "crash"]
    assert list(crashes["administrators"]) == [3, 4, 4]
    assert list(crashes["engine"]) == ["simulated", "real nodes", "simulated"]
    assert set(frame["count"]) == {1}


def test_figures_are_drawn_with_and_without_real_nodes() -> None:
    for rows in (MADE, [row for row in MADE if row["engine"] == "simulated"]):
        tables = build(rows)
        assert len(draw_course(tables).axes) == 6
        assert len(draw_limit(tables).axes) == 2
    assert build([row for row in MADE if row["engine"] == "simulated"])["faults_net"].empty


# -- real nodes, without starting any ----------------------------------------------------------------------------------


def test_what_is_done_is_in_order_and_to_all_at_once() -> None:
    plan = FaultPlan((Crash("a", 5, 9), Crash("b", 5, None), Pause("c", 2, 7), *partition(("a",), ("b", "c"), 3, 4)))
    assert list_actions(plan) == [
        (2, "pause", ("c",)), (3, "cut", ("a>b", "a>c", "b>a", "c>a")), (4, "heal", ("a>b", "a>c", "b>a", "c>a")),
        (5, "crash", ("a", "b")), (7, "resume", ("c",)), (9, "restart", ("a",)),
    ]  # fmt: skip


@pytest.mark.parametrize("fault", [Skew("a", 1), Crash("a", 1, 2, is_torn=True), Crash("a", 1, 2, forgets=True)])
def test_what_real_nodes_cannot_be_given_is_refused(fault: Any) -> None:
    with pytest.raises(BenchError, match="expected a crash, a pause or a cut, found"):
        list_actions(FaultPlan((fault,)))


def test_nodes_have_routes_for_the_ways_that_are_cut_and_for_no_others(tmp_path: Path) -> None:
    plan = found(tmp_path / "network", NetworkConfig(administrators=3), 5)
    folder = NetworkFolder(tmp_path / "network")
    cut = Cut(("administrator-0",), ("administrator-0", "administrator-1"), 1, 2)
    targets = find_targets(FaultPlan((cut,)), plan)
    place = plan.nodes["administrator-1"]
    assert targets == {("administrator-0", "administrator-1"): (place.host, place.port)}
    write_routes(folder, dict.fromkeys(targets, 9))
    assert read_routes(folder, plan, "administrator-0").url("administrator-1") == "http://127.0.0.1:9"
    for name, peer in (("administrator-0", "administrator-2"), ("administrator-1", "administrator-0")):
        assert read_routes(folder, plan, name).url(peer) == plan.url(peer)


def test_a_fault_that_came_at_another_time_than_planned_makes_no_figure() -> None:
    played = Played(since=SECOND, until=11 * SECOND, ended_at=12 * SECOND, is_out_of_stock=False, moments=[],
                    completions=[], before={}, after={}, unsettled=0)  # fmt: skip
    done = [Happened(4 * SECOND, "crash", ("a",)), Happened(8 * SECOND, "restart", ("a",))]
    course = find_course(played, done, {"fault_ns": 3 * SECOND, "heal_ns": 7 * SECOND})
    assert (course.begin, course.fault, course.heal, course.end) == (SECOND, 4 * SECOND, 8 * SECOND, 11 * SECOND)
    with pytest.raises(BenchError, match="expected it 2 s after the load's begin, found it 1000 ms off"):
        find_course(played, done, {"fault_ns": 2 * SECOND, "heal_ns": 7 * SECOND})


def test_a_receipt_for_what_no_agent_has_taken_is_a_bug() -> None:
    with pytest.raises(BenchError, match="expected them for what agents have taken, found 1 others"):
        judge_ledgers([], (), Finished(["aa", "bb"], [], ["aa"]))


# -- runs --------------------------------------------------------------------------------------------------------------


def small(**changes: Any) -> Scenario:
    given = {"seconds": 4.0, "fault_s": 1.5, "heal_s": 3.0, "settle_s": 5.0, "per_second": 20.0} | changes
    return msgspec.structs.replace(SMOKE, faults=msgspec.structs.replace(SMOKE.faults, **given))


def context(folder: Path, scenario: Scenario) -> Context:
    return Context(scenario, build_workload(vital_signs(1, 6, 1).records, "test"), folder)


def run(cell: str, folder: Path, scenario: Scenario, seed: int = 0) -> list[Row]:
    every = {item.name: item for item in declare_cells(scenario)} | declare_real(scenario)
    settings = {**every[cell].settings, "seed": seed, "planned": 1}
    return run_faults(context(folder, scenario), Case(f"{cell}-{seed}", "faults", settings))


@pytest.mark.parametrize("cell", ["none-of-4", "crash-1-of-4-mid", "crash-1-of-3-mid", "equivocate-1-of-4-mid"])
def test_simulated_cells_end_as_they_have_to_and_the_same_way_twice(cell: str, tmp_path: Path) -> None:
    first, check, *bins = run(cell, tmp_path, small())
    assert check["holds"]
    assert is_expected(first), first
    assert (first["lost"], first["waiting"], first["taken"]) == (0, 0, 79)
    assert sum(item["commits_per_s"] for item in bins) / 2 == 79 - first["uncommitted"]
    assert run(cell, tmp_path, small())[0] == first


def test_two_liars_of_four_are_found_out(tmp_path: Path) -> None:
    """The negative control: the limit is there, and who goes past it is seen."""
    found = [run("equivocate-2-of-4-start", tmp_path, small(), seed)[0] for seed in range(4)]
    assert "violated: agreement" in {row["safety"] for row in found}
    assert all("liveness" not in row for row in found if row["violation"])


def test_a_negative_control_is_a_check_and_a_row_of_its_table(tmp_path: Path) -> None:
    case = next(case for case in declare_cases(QUICK) if case.label == "control-heads")
    (row,) = run_fault_control(context(tmp_path, QUICK), case)
    missed = {**row, "mutant": "missed", "found": "", "holds": False}
    frame = build([*MADE, *({"case": "c", "status": "ok", **item} for item in (row, missed))])["faults_controls"]
    assert list(frame["mutant"]) == ["heads", "missed"]
    assert list(frame["is_caught"]) == [True, False]
    tables = build([{"case": "c", "status": "ok", **row}, *MADE])
    assert len(draw_limit(tables).axes) == 2, "rows that lack numbers make no others of those that have them"
    assert list(tables["faults"]["administrators"]) == list(build(MADE)["faults"]["administrators"])
    assert str(tables["faults"]["administrators"].dtype) == "int64"
    assert row["found"] in row["expected"].split(" or ")


@pytest.mark.parametrize(
    ("cell", "verdicts", "holds"),
    [
        ("crash-1-of-4-mid", {"violation": "", "lost": 0}, True),
        ("crash-1-of-4-mid", {"violation": "", "lost": 1}, False),
        ("crash-1-of-4-mid", {"violation": "agreement: ...", "lost": 0}, False),
        ("equivocate-2-of-4-mid", {"violation": "agreement: ...", "lost": 1}, True),
    ],
)
def test_what_is_promised_and_not_held_is_a_check_that_fails(cell: str, verdicts: Row, holds: bool) -> None:
    samples = [Sample(at * SECOND // 10, 0, *[at * SECOND // 10 + 1] * 3) for at in range(1, 100)]
    course = Course(0, SECOND, 3 * SECOND, 7 * SECOND, 10 * SECOND, 12 * SECOND, SECOND // 2)
    case = Case(f"{cell}-0", "faults", CELLS[cell].settings)
    rows = build_rows(QUICK, case, samples, course, verdicts)
    assert [row["holds"] for row in rows if row["kind"] == "check"] == [holds]


@pytest.mark.long
def test_a_crash_of_one_of_four_real_administrators_loses_nothing(tmp_path: Path) -> None:
    scenario = small()
    case = Case("net-crash-1-of-4-mid-0", "faults-net",
                {**declare_real(scenario)["crash-1-of-4-mid"].settings, "seed": 0, "planned": 1})  # fmt: skip
    row, check, *bins = run_faults_net(context(tmp_path, scenario), case)
    assert (row["safety"], row["lost"], row["waiting"], row["taken"]) == ("held", 0, 0, 79), row
    assert row["happened"].partition(" s ")[2].startswith("crash administrator-3")
    assert "restart administrator-3" in row["happened"]
    assert row["settling_s"] is not None
    assert check["holds"]
    assert sum(item["commits_per_s"] for item in bins) > 0


@pytest.mark.slow
def test_a_partition_of_real_administrators_stops_commits_and_heals(tmp_path: Path) -> None:
    scenario = small()
    case = Case("net-partition-2---2-0", "faults-net",
                {**declare_real(scenario)["partition-2---2"].settings, "seed": 0, "planned": 1})  # fmt: skip
    row, *_ = run_faults_net(context(tmp_path, scenario), case)
    assert (row["safety"], row["lost"], row["waiting"]) == ("held", 0, 0), row
    assert (row["liveness"], row["uncommitted"]) == (STALLED, 0), row
