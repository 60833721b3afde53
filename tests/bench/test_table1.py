"""Experiment `table1`: 18 rows in order and flagged, calibrated values merged, agreement from what is there."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

from bench.analysis.message_models import fit_delays
from bench.analysis.paper_table import LEAST_ROWS, agree, read_paper_table
from bench.engines.base import Context, find_engine
from bench.experiments import find_experiment
from bench.experiments import table1 as experiment
from bench.experiments.base import Row
from bench.experiments.table1_net import NET_COLUMNS
from bench.measure.calibrate import Calibration
from bench.scenario import load_scenario
from bench.workload import build_workload, make_record
from ehrcore.drive.cost import EXAMPLE
from ehrcore.records import RecordKind

SCENARIO = msgspec.structs.replace(load_scenario("smoke"), engine="sim")
EXPERIMENT = find_experiment("table1")


def messages_of(row: int) -> float:
    """Planted message counts: every printed throughput but row 1's is 360 / (20 + messages / 2)."""
    return 2 * (360 / read_paper_table()[row - 1].tx_per_6min - 20) if row != 1 else 9.0


def fake_rows() -> list[Row]:
    """Rows as the engine writes them, last configuration first."""
    rows = []
    for case in reversed(experiment.declare_cases(SCENARIO)):
        row = case.settings["row"]
        measured = {
            "tx_per_s": 1_000.0 + row, "shared_tx_per_s": 500.0 + row, "busiest_role": "agent",
            "cpu_s_per_tx": 0.001 * row, "messages_per_tx": 3.0, "bytes_per_tx": 4_000.0,
            "messages:visitor>agent": 2.0, "bytes:visitor>agent": 700.0,
            "energy_j_per_tx_low": 0.001, "energy_j_per_tx_mid": 0.002, "energy_j_per_tx_high": 0.003,
            "energy_status": "estimated", "single_messages_per_tx": messages_of(row),
            **{f"latency_quorum_{name}_ms": 5.0 for name in ("p50", "p95", "p99", "max")},
            "latency_status": "ok", "latency_quorum_bounds": "",
        }  # fmt: skip
        if row % 2:
            measured |= {"messages:agent>coordinator": 1.0, "bytes:agent>coordinator": 90.0}
        rows.append({"case": case.label, "status": "ok", **case.settings, **measured})
    return rows


def calibrated_rows(rows: list[Row]) -> list[Row]:
    return [
        {"case": case.label, "status": "ok", **case.settings, "calibrated_tx_per_6min": 100.0 + case.settings["row"]}
        for case in experiment.declare_calibrated(SCENARIO, rows)
    ]


#: What is judged here; the others of the experiment are in test_table1_analysis.
NAMES = ("table1", "table1_agreement", "table1_fit", "table1_legs")


def build(rows: list[Row], names: Sequence[str] = NAMES) -> dict[str, pd.DataFrame]:
    return {table.name: table.build(pd.DataFrame(rows)) for table in EXPERIMENT.tables if table.name in names}


def test_there_is_a_case_for_every_printed_row_in_order() -> None:
    cases = experiment.declare_cases(SCENARIO)
    assert [case.label for case in cases] == [f"row-{number:02d}" for number in range(1, 19)]
    for case, paper in zip(cases, read_paper_table(), strict=True):
        assert case.settings["paper_tx_per_6min"] == paper.tx_per_6min
        assert [case.settings[name] for name in ("agents", "coordinators", "administrators", "contributors")] == [
            paper.agents,
            paper.coordinators,
            paper.administrators,
            paper.contributors,
        ]


def test_the_table_has_18_rows_in_the_papers_order_whatever_the_order_of_the_raw_rows() -> None:
    frame = build(fake_rows())["table1"]
    assert list(frame["row"]) == list(range(1, 19))
    assert list(frame["paper_tx_per_6min"]) == [row.tx_per_6min for row in read_paper_table()]
    assert list(frame["tx_per_s"]) == [1_000.0 + row for row in range(1, 19)]
    assert all(frame[name].dtype.kind == "i" for name in ("row", "agents", "administrators", "printed_conf")
               if name in frame)  # fmt: skip


def test_rows_1_and_16_are_flagged_and_no_other() -> None:
    flags = build(fake_rows())["table1"].set_index("row")["flag"]
    assert dict(flags[flags != ""]) == {1: "outlier", 16: "repeats 15"}


def test_units_are_those_of_the_headings() -> None:
    frame = build(fake_rows())["table1"].set_index("row")
    assert frame.loc[4, "cpu_ms_per_tx"] == pytest.approx(4.0)
    assert frame.loc[4, "kilobytes_per_tx"] == 4.0
    assert frame.loc[4, ["energy_mj_low", "energy_mj_mid", "energy_mj_high"]].tolist() == [1.0, 2.0, 3.0]


def test_calibrated_values_join_their_own_row() -> None:
    rows = fake_rows()
    frame = build(rows + calibrated_rows(rows))["table1"]
    assert len(frame) == 18
    assert list(frame["calibrated_tx_per_6min"]) == [100.0 + row for row in range(1, 19)]


def net_row(row: int, repeat: int, scale: float) -> Row:
    return {
        "case": f"net-{row:02d}-{repeat}", "status": "ok", "row": row, "committed_per_s": 100.0 * scale,
        "latency_quorum_p50_ms": 10.0 * scale, "latency_quorum_p99_ms": None, "cpu_s_per_tx": 0.002 * scale,
        "energy_j_per_tx_mid": 0.02 * scale, "bottleneck": "CPU, all cores",
    }  # fmt: skip


def test_real_networks_stand_beside_their_own_row_as_medians_over_repeats() -> None:
    rows = fake_rows()
    nets = [net_row(9, repeat, scale) for repeat, scale in enumerate((1, 3, 2))] + [net_row(18, 0, 4)]
    frame = build(nets + rows + calibrated_rows(rows))["table1"].set_index("row")
    assert len(frame) == 18
    assert frame["net_tx_per_s"].dropna().to_dict() == {9: 200.0, 18: 400.0}
    assert frame.loc[9, ["net_latency_p50_ms", "net_cpu_ms_per_tx", "net_energy_mj_mid"]].tolist() == [20.0, 4.0, 40.0]
    assert math.isnan(frame.loc[9, "net_latency_p99_ms"])
    assert frame.loc[18, "net_bottleneck"] == "CPU, all cores"
    assert list(frame["tx_per_s"]) == [1_000.0 + row for row in range(1, 19)], "the simulated ones are as they were"


def test_networks_are_measured_for_the_rows_that_are_asked_for() -> None:
    def labels(**changes: Any) -> list[str]:
        cases = experiment.declare_cases(msgspec.structs.replace(SCENARIO, **changes))
        return [case.label for case in cases if case.engine == "configuration-net"]

    net = msgspec.structs.replace(SCENARIO.net, table1_rows=[12, 3], repeats=2)
    assert labels(net=net) == [], "the engine sim measures none"
    assert labels(net=net, engine=None) == ["net-03-0", "net-12-0", "net-03-1", "net-12-1"]
    assert labels(engine="net") == [f"net-{row:02d}-0" for row in range(1, 19)]


def test_the_agreement_counts_the_networks_that_there_are() -> None:
    frame = build([*fake_rows(), *(net_row(row, 0, 1 + row) for row in (5, 9, 18))])["table1_agreement"]
    found = frame[frame["mode"] == "measured, real networks"]
    assert set(found["rows"]) == {3}
    printed = [read_paper_table()[row - 1].tx_per_6min for row in (5, 9, 18)]
    assert found["spearman"].iloc[0] == pytest.approx(agree([6.0, 10.0, 19.0], printed).spearman)
    assert found["rmse_tx_per_6min"].isna().all()


def test_without_calibrated_rows_the_column_is_empty() -> None:
    frame = build(fake_rows())["table1"]
    assert frame["calibrated_tx_per_6min"].isna().all()


def test_legs_are_listed_where_they_exist() -> None:
    legs = build(fake_rows())["table1_legs"]
    assert len(legs) == 18 + 9
    assert set(legs[legs["sender"] == "agent"]["row"]) == set(range(1, 19, 2))
    assert set(legs["bytes_per_tx"]) == {700.0, 90.0}
    assert list(legs.columns) == list(experiment.LEG_COLUMNS)


# -- follow-up ---------------------------------------------------------------------------------------------------


def test_the_follow_up_takes_the_planted_delays_for_every_row() -> None:
    cases = experiment.declare_calibrated(SCENARIO, fake_rows())
    assert sorted(case.settings["row"] for case in cases) == list(range(1, 19))
    for case in cases:
        assert case.engine == "paper-calibrated"
        assert case.settings["pause_ns"] == pytest.approx(20e9, rel=1e-4)
        assert case.settings["message_ns"] == pytest.approx(0.5e9, rel=1e-4)


def test_rows_1_and_16_do_not_enter_the_fit() -> None:
    spoiled = [row | ({"single_messages_per_tx": 1e5} if row["row"] in {1, 16} else {}) for row in fake_rows()]
    case = experiment.declare_calibrated(SCENARIO, spoiled)[0]
    assert case.settings["message_ns"] == pytest.approx(0.5e9, rel=1e-4)


@pytest.mark.parametrize("numbers", [[], [2], [1, 16, 2, 3, 4, 5], [2, 3, 4, 5]])
def test_too_few_rows_have_no_follow_up(numbers: list[int]) -> None:
    rows = [row for row in fake_rows() if row["row"] in numbers]
    assert experiment.declare_calibrated(SCENARIO, rows) == []


def test_just_enough_rows_have_one() -> None:
    rows = [row for row in fake_rows() if row["row"] in range(2, 2 + LEAST_ROWS)]
    assert len(experiment.declare_calibrated(SCENARIO, rows)) == LEAST_ROWS


# -- agreement ---------------------------------------------------------------------------------------------------

SUBSETS = {"18 as printed": 18, "17, row 1 out": 17, "16, rows 1 and 16 out": 16}


def test_agreement_has_every_mode_on_every_subset() -> None:
    rows = fake_rows()
    frame = build(rows + calibrated_rows(rows))["table1_agreement"]
    assert len(frame) == 15
    is_measured = frame["mode"] == "measured, real networks"
    assert set(frame[is_measured]["rows"]) == {0}, "nothing was measured"
    frame = frame[~is_measured]
    assert dict(zip(frame["subset"], frame["rows"], strict=True)) == SUBSETS
    computed = frame[frame["mode"].str.startswith("computed")]
    assert computed["rmse_tx_per_6min"].isna().all(), "an error in the paper's unit needs values that were fitted to it"
    assert frame[~frame["mode"].str.startswith("computed")]["rmse_tx_per_6min"].notna().all()


def test_agreement_is_with_the_printed_values() -> None:
    rows = fake_rows()
    frame = build(rows + calibrated_rows(rows))["table1_agreement"].set_index(["mode", "subset"])
    printed = [row.tx_per_6min for row in read_paper_table()]
    expected = agree([100.0 + row for row in range(2, 19)], printed[1:])
    found = frame.loc[("paper-calibrated", "17, row 1 out")]
    assert found["spearman"] == pytest.approx(expected.spearman)
    assert found["median_ratio"] == expected.median_ratio
    # Planted: all rows but the first lie on the curve, so each of them is predicted by the others.
    left_out = frame.loc[("message count, leave-one-out", "16, rows 1 and 16 out")]
    assert left_out["rmse_tx_per_6min"] == pytest.approx(0, abs=1e-3)
    assert left_out["spearman"] > 0.98, "ties alone are in the way"


def test_the_fit_is_given_with_and_without_the_flagged_rows() -> None:
    fit = build(fake_rows())["table1_fit"].set_index("subset")
    assert list(fit["rows"]) == [18, 16]
    assert fit.loc["16, rows 1 and 16 out", "delay_s"] == pytest.approx(0.5, rel=1e-4)
    assert fit.loc["16, rows 1 and 16 out", "r_squared"] == pytest.approx(1)
    whole = fit_delays([messages_of(row) for row in range(1, 19)], [row.tx_per_6min for row in read_paper_table()])
    assert fit.loc["18 as printed", "pause_s"] == pytest.approx(whole.pause_s)


# -- interrupted runs --------------------------------------------------------------------------------------------


def test_a_follow_up_that_was_interrupted_leaves_gaps_and_counts_what_is_there() -> None:
    rows = fake_rows()
    done = [row for row in calibrated_rows(rows) if row["row"] in {3, 4, 5}]
    tables = build(rows + done)
    assert tables["table1"].set_index("row")["calibrated_tx_per_6min"].dropna().to_dict() == {
        3: 103.0,
        4: 104.0,
        5: 105.0,
    }
    agreement = tables["table1_agreement"].set_index(["mode", "subset"])
    found = agreement.loc[("paper-calibrated", "18 as printed")]
    assert found["rows"] == 3
    assert found["median_ratio"] == pytest.approx(104 / 7)
    assert agreement.loc[("computed, shared cores", "18 as printed"), "rows"] == 18


def test_without_the_follow_up_the_calibrated_agreement_is_empty_and_the_rest_is_there() -> None:
    agreement = build(fake_rows())["table1_agreement"]
    is_empty = agreement["mode"].isin(["paper-calibrated", "measured, real networks"])
    assert set(agreement[is_empty]["rows"]) == {0}
    assert agreement[is_empty]["spearman"].isna().all()
    assert agreement[~is_empty]["spearman"].notna().all()


@pytest.mark.parametrize("count", [9, 17])
def test_an_interrupted_subset_still_builds(count: int) -> None:
    rows = sorted(fake_rows(), key=lambda row: row["row"])[:count]
    tables = build(rows)
    assert list(tables["table1"]["row"]) == list(range(1, count + 1))
    assert tables["table1_agreement"]["rows"].max() == count


def test_a_timed_out_row_is_missing_and_the_others_stay() -> None:
    rows = [row for row in fake_rows() if row["row"] != 7]
    frame = build(rows + calibrated_rows(rows))["table1"]
    assert 7 not in set(frame["row"])
    assert len(frame) == 17


# -- figures and a real run --------------------------------------------------------------------------------------


def test_figures_are_drawn_of_a_run_that_stopped_before_the_calibrated_values() -> None:
    """Of whole runs they are in test_table1_analysis."""
    from bench.report.style import journal_style

    tables = build(fake_rows()[:9], [table.name for table in EXPERIMENT.tables])
    with journal_style():
        for figure in EXPERIMENT.figures:
            drawn = figure.draw(tables)
            # Those of a row that share their axis name it once.
            assert all(axes.get_xlabel() for axes in drawn.axes)
            assert all(axes.get_ylabel() for axes in drawn.axes if figure.name != "table1_kinds")


@pytest.fixture(scope="module")
def real_rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    tiny = msgspec.structs.replace(
        SCENARIO.table1, transactions=15, outstanding=15, latency_transactions=40, calibrated_transactions=1
    )
    record = make_record(RecordKind.BILL, "p", "Claim", b"{}")
    scenario = msgspec.structs.replace(SCENARIO, table1=tiny)
    context = Context(scenario, build_workload([record], "test"), tmp_path_factory.mktemp("run"))
    context.__dict__["calibration"] = Calibration({"sha256": EXAMPLE}, EXAMPLE, ())

    def run(cases: Any) -> list[Row]:
        return [
            {"case": case.label, "status": "ok", **row}
            for case in cases
            for row in find_engine(case.engine)(context, case)
        ]

    rows = run(experiment.declare_cases(scenario))
    return rows + run(experiment.declare_calibrated(scenario, rows))


def test_a_real_run_fills_every_cell(real_rows: list[Row]) -> None:
    tables = build(real_rows)
    frame = tables["table1"]
    assert list(frame["row"]) == list(range(1, 19))
    # Of 40 requests only their half and their maximum can be told.
    assert set(frame.columns[frame.isna().any()]) == {"latency_quorum_p99_ms", *NET_COLUMNS}, "no network was asked for"
    assert not tables["table1_legs"].isna().any().any()
    assert list(frame.columns) == list(experiment.MAIN_COLUMNS)


def test_a_lone_transaction_takes_the_messages_of_section_3_in_every_configuration(real_rows: list[Row]) -> None:
    """Submissions, endorsements, approvals, proposals and two rounds of votes, blocks, receipts; and no more."""
    for row in build(real_rows)["table1"].to_dict("records"):
        a, c, o, k = (row[name] for name in ("agents", "coordinators", "administrators", "contributors"))
        agreement = (o - 1) + 2 * o * (o - 1)
        assert row["single_messages_per_tx"] == a + a * c + c * o + agreement + o * (c + k) + k


def test_calibrated_throughput_is_what_the_fit_predicts(real_rows: list[Row]) -> None:
    """The simulation adds nothing of its own to the fitted delays: messages take their turn on one medium."""
    tables = build(real_rows)
    fit = tables["table1_fit"].set_index("subset").loc["16, rows 1 and 16 out"]
    frame = tables["table1"]
    predicted = 360 / (fit["pause_s"] + fit["delay_s"] * frame["single_messages_per_tx"])
    assert frame["calibrated_tx_per_6min"].tolist() == pytest.approx(predicted.tolist(), rel=0.02)


def test_message_counts_rank_the_papers_rows_once_row_1_is_out(real_rows: list[Row]) -> None:
    agreement = build(real_rows)["table1_agreement"].set_index(["mode", "subset"])["spearman"]
    assert agreement[("paper-calibrated", "17, row 1 out")] > 0.9
    assert agreement[("paper-calibrated", "18 as printed")] < agreement[("paper-calibrated", "17, row 1 out")]


def test_the_module_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    build(fake_rows())
    assert list(tmp_path.iterdir()) == []
    assert math.isnan(build(fake_rows())["table1"]["calibrated_tx_per_6min"].iloc[0])
