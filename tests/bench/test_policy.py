"""Experiment `policy`: how many are asked reaches the chain, what fails, who looks; its tables, figure and rule."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

from bench.analysis.claims import read_rules
from bench.analysis.verdicts import judge_claim
from bench.engines.base import Context, find_engine
from bench.engines.policy import build_params
from bench.experiments import find_experiment
from bench.experiments.base import Case, Row
from bench.experiments.policy import declare_cases
from bench.experiments.policy_plan import DEFENCES, Policy
from bench.measure.calibrate import Calibration
from bench.measure.noise import NoiseLimits
from bench.net.sections import Net
from bench.scenario import load_scenario
from bench.workload import build_workload, vital_signs
from ehrcore.drive.cost import EXAMPLE

EXPERIMENT = find_experiment("policy")


def plan(**changes: Any) -> Any:
    """Two of a kind with one of all others, which is small and still has fewer to ask."""
    small = {"agents": [3, 1, 1, 1], "coordinators": [1, 3, 1, 1], "asked": [], "transactions": 15, "outstanding": 15}
    return msgspec.structs.replace(load_scenario("smoke"), policy=Policy(**{**small, "repeats": 1, **changes}))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """A whole run, with unit costs that are the same for the control."""
    scenario = plan()
    calibration = Calibration({"sha256": EXAMPLE}, EXAMPLE, ())
    workload = build_workload(vital_signs(1, 3, 1).records, "test")
    context = Context(scenario, workload, tmp_path_factory.mktemp("run"), {"repeat 0": calibration})
    return [
        {"case": case.label, "status": "ok", **row}
        for case in declare_cases(scenario)
        for row in find_engine(case.engine)(context, case)
    ]


@pytest.fixture
def tables(rows: list[Row]) -> dict[str, pd.DataFrame]:
    return {table.name: table.build(pd.DataFrame(rows)) for table in EXPERIMENT.tables}


def test_all_are_asked_first_and_a_majority_always() -> None:
    policy = Policy(asked=[1, 9])
    assert policy.levels("agents") == [5, 1, 3]
    assert Policy(coordinators=[1, 2, 1, 1], asked=[]).levels("coordinators") == [2], "their majority is all of them"
    assert policy.net_levels("coordinators") == [5, 3]
    assert Policy(coordinators=[1, 2, 1, 1]).net_levels("coordinators") == [2], "no case has its name twice"
    labels = [case.label for case in declare_cases(plan(repeats=2))]
    assert labels[:4] == ["agents-0", "coordinators-0", "agents-1", "coordinators-1"]
    assert not any(label.startswith("net-") for label in labels)
    real = [case.label for case in declare_cases(msgspec.structs.replace(plan(), engine="net"))][-4:]
    assert real == ["net-agents-3", "net-agents-2", "net-coordinators-3", "net-coordinators-2"]


def test_the_number_asked_is_the_chains(tmp_path: Path) -> None:
    context = Context(plan(), build_workload((), "none"), tmp_path)
    few, other = build_params(context, "agents", 1), build_params(context, "coordinators", 3)
    assert (few.endorsements, few.approvals, other.endorsements, other.approvals) == (1, 1, 1, 3)


@pytest.mark.parametrize("who", ["agents", "coordinators"])
def test_asking_fewer_saves_work_and_no_message(rows: list[Row], who: str) -> None:
    every, control, fewer = [row for row in rows if row["kind"] == "policy" and row["who"] == who]
    assert [row["asked"] for row in (every, control, fewer)] == [3, 3, 2]
    assert json.loads(json.dumps(every)) == every
    same = {key for key in every if every[key] != control[key]}
    assert same == {"is_control"}, "the same unit costs, arrivals and jitter"
    assert fewer["cpu_s_per_tx"] < 0.95 * every["cpu_s_per_tx"]
    assert fewer["shared_tx_per_s"] > every["shared_tx_per_s"]
    assert fewer["offered_per_s"] == every["offered_per_s"]
    for name in ("messages:agent>coordinator", "messages:coordinator>administrator", "cpu_s_per_tx_agent"):
        assert fewer[name] == every[name], "all answer all the same"


def test_m_of_n_stands_n_less_m_and_one_slow_node_holds_up_who_ask_all(rows: list[Row]) -> None:
    found = {(row["who"], row["asked"], row["failure"]): row for row in rows if row["kind"] == "failure"}
    assert all(row["committed"] == row["expected"] for row in found.values())
    assert [key[2] for key in found if key[:2] == ("agents", 3)] == ["none", "one slow", "1 down"]
    assert [key[2] for key in found if key[:2] == ("coordinators", 2)] == ["none", "one slow", "1 down", "2 down"]
    for who in ("agents", "coordinators"):
        every, fewer = (found[who, asked, "one slow"]["tx_per_s"] for asked in (3, 2))
        assert every < 0.8 * fewer


def test_a_bad_transaction_costs_those_who_come_before_it_is_found(rows: list[Row]) -> None:
    found = {row["defence"]: row for row in rows if row["kind"] == "rejection"}
    assert list(found) == list(DEFENCES)
    counts = [(row["valid"], row["invalid"], row["is_in_ledger"]) for row in found.values()]
    assert counts == [(30, 0, False)] * 3 + [(30, 30, True), (60, 0, True)]
    told, silent, coordinators, keepers, nobody = found.values()
    assert silent["bad_cpu_s_per_tx_coordinator"] == 0 < told["bad_cpu_s_per_tx_coordinator"]
    assert max(row["bad_cpu_s_per_tx"] for row in (silent, coordinators)) < keepers["bad_cpu_s_per_tx"]
    assert keepers["good_cpu_s_per_tx"] > nobody["good_cpu_s_per_tx"], "the second validation"


def test_tables_figure_and_answer_are_of_these_rows(tables: dict[str, pd.DataFrame]) -> None:
    for table in EXPERIMENT.tables:
        assert list(tables[table.name].columns) == list(table.columns)
    assert tables["policy_net"].empty
    assert len(tables["policy"]) == 2 * 3
    assert len(tables["policy_ratios"]) == 2 * 2 * 5
    assert set(tables["policy_ratios"]["verdict"]) == {"unresolved"}, "one repeat"
    (figure,) = EXPERIMENT.figures
    assert [bool(axis.lines or axis.patches) for axis in figure.draw(tables).axes] == [True] * 4
    assert EXPERIMENT.answer is not None
    lines = EXPERIMENT.answer(tables)
    assert len(lines) == 6
    assert "7 of 7 cells are as that says" in lines[2]
    assert EXPERIMENT.answer({name: frame.iloc[:0] for name, frame in tables.items()}) == []


def repeat(rows: list[Row], **factors: float) -> pd.DataFrame:
    """Eleven repeats of the rows, those that ask fewer with so many times a column's value of those that ask all."""
    every = {row["who"]: row for row in rows if row["kind"] == "policy" and row["asked"] == 3}
    made = [
        {**row, "repeat": number,
         **{key: every[row["who"]][key] * (factor if row["asked"] < 3 else 1) for key, factor in factors.items()}}
        for number in range(11) for row in rows if row["kind"] == "policy"
    ]  # fmt: skip
    return pd.DataFrame(made)


def test_what_is_saved_is_what_is_resolved(rows: list[Row]) -> None:
    made = repeat(rows, cpu_s_per_tx=0.5, latency_quorum_p50_ms=0.8, messages_per_tx=0.99, shared_tx_per_s=1.01)
    tables = {table.name: table.build(made) for table in EXPERIMENT.tables[:2]}
    assert set(tables["policy"].query("asked < 3")["saves"]) == {"work, waiting"}
    assert set(tables["policy"].query("asked == 3")["saves"]) == {""}
    ratios = tables["policy_ratios"].query("asked == 2").set_index(["who", "quantity"])
    latency = ratios.loc[("agents", "latency p50")]
    assert (latency["ratio"], latency["speedup"], latency["speedup_low"]) == pytest.approx((0.8, 1.25, 1.25))
    assert ratios.loc[("agents", "throughput, shared cores")]["verdict"] == "unresolved", "1 % is no difference"
    assert ratios["speedup"].isna().sum() == 4, "CPU and messages are no speed"
    assert set(tables["policy_ratios"].query("is_control")["verdict"]) == {"holds"}


def test_what_real_networks_gave_is_said_beside_what_simulation_did(tables: dict[str, pd.DataFrame]) -> None:
    nets = pd.DataFrame({"who": "agents", "asked": [5, 3], "of": 5, "committed_per_s": [200.0, 160.0],
                         "cpu_ms_per_tx": [10.0, 11.0]})  # fmt: skip
    lines = EXPERIMENT.answer(tables | {"policy_net": nets})
    (line,) = (line for line in lines if line.startswith("On real networks"))
    assert "3 of 5 agents gave 0.800 times the throughput of asking all, and 1.100 times the CPU of 10.0 ms" in line
    alone = EXPERIMENT.answer(tables | {"policy_net": nets.iloc[:1]})
    assert not any(line.startswith("On real networks") for line in alone), "one network has nothing beside it"


SAME = {"shared_tx_per_s": 1.0, "tx_per_s": 1.0, "latency_quorum_p50_ms": 1.0}


@pytest.mark.parametrize(
    ("agents", "coordinators", "disks", "verdict"),
    [
        (1.3, 1.3, 1.1, "supported under a condition"),
        (1.3, 1.3, 1.0, "supported under a condition"),
        (1.3, 1.0, 1.1, "supported under a condition"),
        (1.0, 1.3, 1.1, "supported under a condition"),
        (1.01, 1.0, 1.1, "contradicted"),
    ],
)
def test_the_rule_asks_both_kinds_for_more_than_two_per_cent(
    rows: list[Row], agents: float, coordinators: float, disks: float, verdict: str
) -> None:
    parts = [repeat([row for row in rows if row.get("who") == who], **SAME | {"shared_tx_per_s": factor})
             for who, factor in (("agents", agents), ("coordinators", coordinators))]  # fmt: skip
    ratios = EXPERIMENT.tables[1].build(pd.concat(parts))
    failures = EXPERIMENT.tables[2].build(pd.DataFrame(rows))
    failures.loc[failures["failure"] == "none", "tx_per_s"] = 100.0
    failures.loc[(failures["failure"] == "none") & (failures["asked"] < 3), "tx_per_s"] = 100.0 * disks
    terms = [(source, subset, who) for who in ("agents", "coordinators")
             for source, subset in (("paper", "17, row 1 out"), ("paper", "18 as printed"),
                                    ("computed, shared cores", "18 as printed"))]  # fmt: skip
    slopes = pd.DataFrame(terms, columns=["source", "subset", "term"]).assign(coefficient=-1, low=-2, high=0)
    found = {"policy_ratios": ratios, "policy_failures": failures, "table1_regression": slopes}

    def find_table(name: str) -> list[dict[str, str]]:
        rows: list[dict[str, str]] = found[name].astype(object).fillna("").astype(str).to_dict("records")
        return rows

    judged = judge_claim("C25", read_rules().claims["C25"], find_table)
    assert judged.verdict == verdict
    assert "{" not in judged.says


@pytest.mark.long
def test_a_real_network_asks_as_many_as_it_is_told(tmp_path: Path) -> None:
    noise = NoiseLimits(steal_share=1.0, foreign_cpu_share=1.0)
    net = Net(outstanding=30, warm_s=0.3, seconds=1.0, records=3)
    scenario = msgspec.structs.replace(plan(agents=[2, 1, 1, 1], asked=[1]), net=net, noise=noise)
    context = Context(scenario, build_workload(vital_signs(1, 3, 1).records, "test"), tmp_path)
    cases = [Case(f"net-{asked}", "policy-net", {"who": "agents", "asked": asked}) for asked in (2, 1)]
    rows = [{"status": "ok", **row} for case in cases for row in find_engine(case.engine)(context, case)]
    frame = EXPERIMENT.tables[-1].build(pd.DataFrame(rows))
    assert list(frame["asked"]) == [2, 1]
    assert (frame["audited_tx"] > 0).all()
    kilobytes = [row["bytes:coordinator>administrator"] for row in rows if row["kind"] == "net"]
    assert kilobytes[1] < kilobytes[0], "an endorsement less"
