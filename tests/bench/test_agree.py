"""Experiment `agree`: fitted on the calibration alone, predictions before measurements, errors with intervals."""

import math
import random
from dataclasses import asdict
from pathlib import Path

import msgspec
import pandas as pd
import pytest

from bench.analysis.agreement import Factors, explain
from bench.engines import agree as engine
from bench.engines.base import Context
from bench.experiments import agree as experiment
from bench.experiments import find_experiment
from bench.experiments.base import Case, Row
from bench.scenario import load_scenario
from bench.workload import build_workload, vital_signs
from ehrcore.drive.cost import EXAMPLE

EXPERIMENT = find_experiment("agree")
SMOKE = load_scenario("smoke")
PLAN = msgspec.structs.replace(
    SMOKE.agree, calibration=[[1, 1, 1, 1], [2, 2, 1, 1]], topologies=[[1, 2, 2, 1], [2, 2, 3, 1], [3, 3, 5, 2]],
    repeats=1, transactions=150,
)  # fmt: skip
SCENARIO = msgspec.structs.replace(SMOKE, agree=PLAN)
FACTORS = Factors(2.0, 400_000.0, 20_000.0, 60_000.0)


def processes(case: Case, seed: str, factors: Factors = FACTORS) -> list[Row]:
    """Rows of processes that did random work at these costs."""
    chance = random.Random(seed)
    rows = []
    for number in range(5):
        row: Row = {
            "kind": "process", "process": f"agent-{number}", "role": "agent", **case.settings,
            "signs_per_s": chance.uniform(0, 500), "verifies_per_s": chance.uniform(0, 900),
            "hashes_per_s": chance.uniform(0, 5_000), "commits_per_s": chance.uniform(0, 80),
            "frames_in_per_s": chance.uniform(5, 90), "frames_out_per_s": chance.uniform(5, 90),
            "sent_messages_per_s:agent": chance.uniform(0, 900), "sent_bytes_per_s:agent": chance.uniform(0, 5e5),
        }  # fmt: skip
        rows.append({"case": case.label, "status": "ok", **row, "cpu_cores": explain(row, factors, EXAMPLE)})
    return rows


def calibrated(factors: Factors = FACTORS) -> list[Row]:
    rows: list[Row] = []
    for case in experiment.declare_cases(SCENARIO):
        measured = {
            "case": case.label, "status": "ok", **case.settings, "kind": "measured", "costs": asdict(EXAMPLE),
            "net_per_s": 500.0, "net_per_s_parts": [490.0, 510.0], "net_cpu_s_per_tx": 0.004, "bottleneck": "CPU",
            "others_share": 0.01, "offered_per_s": 250.0, "net_p50_ms": 40.0, "net_p50_ms_parts": [39.0, 41.0],
        }  # fmt: skip
        rows += [measured, *processes(case, case.label, factors)]
    return rows


def compared(scale: dict[tuple[int, ...], float]) -> list[Row]:
    """What the engine would write: predictions that are so many times what was measured."""
    rows: list[Row] = []
    for case in experiment.declare_predictions(SCENARIO, calibrated()):
        counts = tuple(case.settings[name] for name in experiment.COUNTS)
        found = 1_000.0 / sum(counts)
        held = {
            "kind": "compared", "net_per_s": found, "net_per_s_parts": [found * (1 + part / 100) for part in range(6)],
            "predicted_per_s": found * scale.get(counts, 1.0), "net_cpu_s_per_tx": 0.004, "offered_per_s": found / 2,
            "predicted_cpu_s_per_tx": 0.005, "net_p50_ms": 50.0, "net_p50_ms_parts": [50.0, None, 52.0],
            "predicted_p50_ms": 40.0, "bottleneck": "CPU", "others_share": 0.02,
        }  # fmt: skip
        rows += [{"case": case.label, "status": "ok", **case.settings, **held}]
        if case.settings["measured"] is None:
            rows += processes(case, case.label)
    return rows


def build(rows: list[Row]) -> dict[str, pd.DataFrame]:
    return {table.name: table.build(pd.DataFrame(rows)) for table in EXPERIMENT.tables}


def test_only_the_calibration_is_measured_first() -> None:
    cases = experiment.declare_cases(SCENARIO)
    assert [case.label for case in cases] == ["calibrate-1-1-1-1-0", "calibrate-2-2-1-1-0"]
    assert {case.engine for case in cases} == {"agree-calibration"}


def test_predictions_rest_on_the_calibration_alone() -> None:
    cases = experiment.declare_predictions(SCENARIO, calibrated())
    assert [case.label for case in cases] == [
        "fitted-1-1-1-1-0", "fitted-2-2-1-1-0", "predicted-1-2-2-1-0", "predicted-2-2-3-1-0", "predicted-3-3-5-2-0",
    ]  # fmt: skip
    for case in cases:
        found = Factors(**case.settings["factors"])
        assert found.frame_ns == pytest.approx(FACTORS.frame_ns)
        assert found.crypto == pytest.approx(FACTORS.crypto)
        assert case.settings["costs"] == asdict(EXAMPLE)
        assert (case.settings["measured"] is None) == case.label.startswith("predicted")


def test_without_one_of_the_calibration_nothing_is_predicted() -> None:
    rows = [row for row in calibrated() if row["agents"] != 2]
    assert experiment.declare_predictions(SCENARIO, rows) == []


def test_errors_have_the_sign_of_the_prediction_and_the_interval_of_the_measurement() -> None:
    frame = build(calibrated() + compared({(1, 2, 2, 1): 1.1, (3, 3, 5, 2): 0.8}))["agree"].set_index("administrators")
    row = frame.loc[2]
    assert row["per_s_error"] == pytest.approx(0.1)
    assert row["per_s_error_low"] == pytest.approx(1.1 / 1.05 - 1)
    assert row["per_s_error_high"] == pytest.approx(0.1)
    assert (row["net_per_s_low"], row["net_per_s_high"]) == (pytest.approx(1_000 / 6), pytest.approx(1_050 / 6))
    assert frame.loc[5, "per_s_error"] == pytest.approx(-0.2)
    assert math.isnan(row["p50_ms_error_low"]), "two parts make no interval"
    assert row["p50_ms_error"] == pytest.approx(-0.2)
    assert row["cpu_error"] == pytest.approx(0.25)
    assert list(frame["use"]) == ["fitted", "fitted", "predicted", "predicted", "predicted"]


def test_the_summary_is_of_the_predicted_ones_alone() -> None:
    tables = build(calibrated() + compared({(1, 1, 1, 1): 9.0, (1, 2, 2, 1): 1.1, (3, 3, 5, 2): 0.8}))
    found = tables["agree_summary"].set_index("quantity")
    row = found.loc["saturated throughput"]
    assert (row["configurations"], row["error"], row["rho"]) == (3, pytest.approx(0.1), pytest.approx(1))
    assert row["aim"] == "met"
    assert found.loc["median latency", "aim"] == "none"
    wrong = compared({(1, 2, 2, 1): 0.5, (3, 3, 5, 2): 2.0})
    assert build(calibrated() + wrong)["agree_summary"]["aim"].iloc[0] == "not met"


def test_six_networks_make_an_interval_of_their_own() -> None:
    base = compared({})
    rows = [
        {**row, "repeat": repeat, "net_per_s": row["net_per_s"] * (1 + repeat / 10)}
        for repeat in range(6)
        for row in base
        if row["kind"] == "compared"
    ]
    frame = build(rows + calibrated())["agree"]
    row = frame[frame["administrators"] == 5].iloc[0]
    found = 1_000 / 13
    assert (row["net_per_s_low"], row["net_per_s_high"]) == (pytest.approx(found), pytest.approx(found * 1.5))
    assert row["networks"] == 6


def test_the_fit_is_shown_with_its_error_on_both_kinds() -> None:
    found = build(calibrated() + compared({}))["agree_costs"].set_index("cost")["value"]
    assert found["a frame, on each side"] == pytest.approx(400.0)
    assert found["signatures, hashes and encoding, over the same on an idle machine"] == pytest.approx(2.0)
    errors = [value for name, value in found.items() if "error" in str(name)]
    assert errors == [pytest.approx(0, abs=1e-3)] * 2


def test_where_the_calibration_was_void_the_tables_are_empty() -> None:
    tables = build([row for row in calibrated() if row["kind"] == "process"])
    assert [len(tables[name]) for name in ("agree", "agree_costs")] == [0, 0]
    assert tables["agree_summary"]["configurations"].tolist() == [0, 0]
    assert tables["agree_summary"]["aim"].tolist() == ["unresolved", "none"]


def test_the_figure_is_drawn() -> None:
    (figure,) = EXPERIMENT.figures
    assert len(figure.draw(build(calibrated() + compared({}))).axes) == 2


# -- the simulated side, for real --------------------------------------------------------------------------------


def predict(tmp_path: Path, topology: list[int], factors: Factors = FACTORS) -> Row:
    context = Context(SCENARIO, build_workload(vital_signs(2, 10, 1).records, "sensors"), tmp_path)
    held = {"offered_per_s": 40.0, "net_per_s": 1.0, "net_cpu_s_per_tx": 1.0}
    settings = {
        **dict(zip(experiment.COUNTS, topology, strict=True)), "repeat": 0, "factors": asdict(factors),
        "costs": asdict(EXAMPLE), "measured": held,
    }  # fmt: skip
    (row,) = engine.run_agreement(context, Case("fitted", "agree", settings))
    return row


def test_a_prediction_is_the_same_each_time_and_falls_with_costs_and_nodes(tmp_path: Path) -> None:
    small, again = predict(tmp_path, [1, 1, 1, 1]), predict(tmp_path, [1, 1, 1, 1])
    assert small == again
    assert (small["kind"], small["net_per_s"], small["offered_per_s"]) == ("compared", 1.0, 40.0)
    larger = predict(tmp_path, [2, 2, 2, 1])
    assert larger["predicted_per_s"] < small["predicted_per_s"]
    dearer = predict(tmp_path, [1, 1, 1, 1], Factors(6.0, 900_000.0, 60_000.0, 60_000.0))
    assert dearer["predicted_per_s"] < small["predicted_per_s"]
    assert dearer["predicted_cpu_s_per_tx"] > small["predicted_cpu_s_per_tx"]
    assert 0 < small["predicted_p50_ms"] < 1_000
