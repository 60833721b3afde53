"""A measurement's rows: what is void and why, energy shared out by processor time, and the ladder's rungs."""

import csv
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.engines import net as engine
from bench.engines.base import Context
from bench.experiments import load as experiment
from bench.experiments.base import Case, Row
from bench.experiments.table1_net import read_networks
from bench.experiments.variants_net import build_networks
from bench.measure.calibrate import Calibration
from bench.measure.energy import Window
from bench.net.measurement import Measurement
from bench.net.step import GENERATOR, Moment, Played, Step
from bench.scenario import load_scenario
from bench.workload import build_workload
from ehrcore.drive.cost import EXAMPLE
from ehrcore.types import MILLISECOND, SECOND

SCENARIO = load_scenario("smoke")


def flow(messages: float, size_bytes: float) -> dict[str, int]:
    return {"messages": round(messages), "size_bytes": round(size_bytes)}


def statuses(at_s: float, done: float) -> dict[str, Any]:
    """Four processes, after so many transactions."""
    common = {
        "now_ns": round(at_s * SECOND), "rss_bytes": 60_000_000, "queued": 0, "voluntary_switches": 0,
        "involuntary_switches": 0, "frames_in": 0, "frames_out": round(done / 5), "received": {}, "waiting": None,
        "transactions": None, "dropped": {}, "durable_commits": round(done / 10), "signs": round(done), "verifies": 0,
        "hashes": 0, "grind_tries": 0,
    }  # fmt: skip
    return {
        GENERATOR: {**common, "role": "visitor", "cpu_s": done / 1e4, "sent": {"agent": flow(done, 300 * done)}},
        "agent-0": {**common, "role": "agent", "cpu_s": done / 1e3, "sent": {"coordinator": flow(done, 400 * done)},
                    "received": {"visitor": flow(done, 300 * done)}},
        "contributor-0": {**common, "role": "contributor", "cpu_s": done / 2e3, "sent": {},
                          "transactions": round(done)},
    }  # fmt: skip


class FakeNetwork:
    """Commits all that is offered up to so much a second, after ``took_ms``; sends ``late_ms`` late."""

    def __init__(self, capacity: float, late_ms: float = 0.0, took_ms: float = 50.0) -> None:
        self.capacity, self.late, self.took = capacity, round(late_ms * MILLISECOND), round(took_ms * MILLISECOND)
        self.steps: list[Step] = []

    def play(self, step: Step) -> Played:
        self.steps.append(step)
        rate = step.per_s or self.capacity
        done_rate = min(rate, self.capacity)
        count = round(rate * step.seconds)
        moments = []
        for number in range(count):
            intended = round(number * SECOND / rate)
            done = round(number * SECOND / done_rate) + self.took
            moments.append(Moment(intended, intended + self.late, done, done, done))
        until = round(step.seconds * SECOND)
        return Played(
            since=0, until=until, ended_at=until + self.took, is_out_of_stock=False, moments=moments,
            completions=[moment.everyone or 0 for moment in moments], before=statuses(0, 0),
            after=statuses(step.seconds, done_rate * step.seconds), unsettled=0,
        )  # fmt: skip


def measure(network: FakeNetwork, **noise: float) -> Measurement:
    scenario = msgspec.structs.replace(SCENARIO, noise=msgspec.structs.replace(SCENARIO.noise, **noise))
    return Measurement(scenario, network, 100_000)  # type: ignore[arg-type]


def test_a_step_is_a_row_and_one_for_each_process() -> None:
    network = FakeNetwork(400)
    row, *processes = measure(network).offer("seed", 200, 2.0)
    assert [item["process"] for item in processes] == [GENERATOR, "agent-0", "contributor-0"]
    assert row["offered_per_s"] == 200
    assert row["committed_per_s"] == pytest.approx(200, rel=0.01)
    assert row["latency_quorum_p50_ms"] == pytest.approx(50)
    assert row["latency_status"] == "ok"
    assert "status" not in row
    assert row["cpu_s_per_tx"] == pytest.approx(1e-4 + 1e-3 + 5e-4)
    (step,) = network.steps
    assert (step.per_s, step.seconds, step.outstanding) == (200, 2.0, 0)
    assert step.stock > 200 * (step.warm_s + step.seconds)


def test_a_closed_loop_has_no_latency() -> None:
    network = FakeNetwork(400)
    row = measure(network).saturate()[0]
    assert row["committed_per_s"] == pytest.approx(400, rel=0.01)
    assert not any(name.startswith("latency") for name in row)
    assert network.steps[0].outstanding == SCENARIO.net.outstanding
    measure(network).saturate(0.5, 6)
    assert (network.steps[1].seconds, network.steps[1].warm_s) == (15.0, SCENARIO.net.warm_s + 8), (
        "rare blocks take longer"
    )


def test_a_generator_that_lags_voids_the_latency() -> None:
    row = measure(FakeNetwork(400, late_ms=6.0)).offer("seed", 200, 2.0)[0]
    assert row["latency_status"] == "void"
    assert "p99 lateness of the generator: expected at most 10 %" in row["latency_reason"]
    assert row["latency_quorum_p50_ms"] is None
    assert measure(FakeNetwork(400, late_ms=4.0)).offer("seed", 200, 2.0)[0]["latency_status"] == "ok"


def test_others_that_take_the_machine_void_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.net import measurement

    class Busy(measurement.NoiseWatch):
        def lap(self) -> dict[str, Any]:
            return {"steal_share": 0.0, "foreign_cpu_share": 0.4, "throttled_periods": 0}

    monkeypatch.setattr(measurement, "NoiseWatch", Busy)
    measurement = measure(FakeNetwork(400), foreign_cpu_share=0.25)
    rows = measurement.saturate()
    assert {row["status"] for row in rows} == {"void"}
    assert "40.0% of the processor time was taken by other processes" in rows[0]["reason"]
    assert len(measurement.voided) == SCENARIO.net.attempts - 1 >= 1, "it was played again, in vain"
    assert {(row["kind"], row["status"]) for row in measurement.voided} == {("attempt", "void")}
    assert "status" not in measure(FakeNetwork(400), foreign_cpu_share=0.5).saturate()[0]


def test_a_step_counts_once_the_others_are_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.net import measurement

    shares = iter([0.0, 0.4, 0.0, 0.1])

    class Calming(measurement.NoiseWatch):
        def lap(self) -> dict[str, Any]:
            return {"steal_share": 0.0, "foreign_cpu_share": next(shares), "throttled_periods": 0}

    monkeypatch.setattr(measurement, "NoiseWatch", Calming)
    found = measure(FakeNetwork(400), foreign_cpu_share=0.25)
    row = found.saturate()[0]
    assert "status" not in row
    assert row["foreign_cpu_share"] == 0.1
    assert [item["foreign_cpu_share"] for item in found.voided] == [0.4]


def test_energy_is_shared_out_by_processor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.net import measurement

    class Counted(measurement.Meter):
        """Six joules for three processor seconds, and nothing when idle."""

        def rest(self, seconds: float) -> Window:
            return Window(1.0, 0.0, 0.0)

        def measure(self, work: Any) -> Window:
            work()
            return Window(2.0, 3.0, 6.0)

    monkeypatch.setattr(measurement, "Meter", Counted)
    row = measure(FakeNetwork(400)).saturate()[0]
    assert row["energy_status"] == "measured"
    assert row["energy_j_per_tx_mid"] == pytest.approx(2 * row["cpu_s_per_tx"])
    parts = [row[f"energy_j_per_tx_{role}"] for role in ("visitor", "agent", "coordinator", "contributor")]
    assert parts == pytest.approx([2e-4, 2e-3, 0, 1e-3])


# -- the ladder --------------------------------------------------------------------------------------------------


@pytest.fixture
def ladder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the engine on fake networks; its rows as the run would keep them."""

    def run(network: FakeNetwork, case: Case | None = None, **changes: Any) -> list[Row]:
        plan = {"topologies": [[1, 1, 1, 1]], "shares": [0.5, 0.9, 1.2], "rounds": 6, "seconds": 1.0, **changes}
        scenario = msgspec.structs.replace(SCENARIO, load=msgspec.structs.replace(SCENARIO.load, **plan))

        @contextmanager
        def measured(*_: Any, **__: Any) -> Iterator[Measurement]:
            measurement = Measurement(scenario, network, 100_000)  # type: ignore[arg-type]
            yield measurement
            measurement.audited_tx = 77

        monkeypatch.setattr(engine, "measure_network", measured)
        case = case or experiment.declare_cases(scenario)[0]
        rows = engine.run_ladder(Context(scenario, build_workload((), "none"), tmp_path), case)
        return [{"case": case.label, "status": "ok", **row} for row in rows]

    return run


def build(rows: list[Row]) -> dict[str, Any]:
    import pandas as pd

    good = pd.DataFrame([row for row in rows if row["status"] == "ok"])
    return {table.name: table.build(good.copy()) for table in experiment.EXPERIMENT.tables}


def test_the_knee_of_a_network_that_commits_so_much_and_no_more(ladder: Any) -> None:
    rows = ladder(FakeNetwork(400, took_ms=80.0))
    tables = build(rows)
    capacity = tables["load_capacity"].iloc[0]
    assert capacity["saturated_per_s"] == pytest.approx(400, rel=0.02)
    assert 380 < capacity["knee_per_s"] < 480
    assert capacity["knee_per_s_low"] <= capacity["knee_per_s"] <= capacity["knee_per_s_high"]
    assert (capacity["repeats"], capacity["audited_tx"], capacity["networks"]) == (6, 77, 1)
    rungs = tables["load_ladder"].set_index("share")
    assert rungs["verdict"].to_dict() == {0.5: "keeps up", 0.9: "keeps up", 1.2: "falls behind"}
    assert rungs.loc[0.5, "quorum_p50_ms"] == pytest.approx(80, rel=0.01)
    assert rungs.loc[1.2, "quorum_p95_ms"] > 200
    assert rungs.loc[0.5, "offered_per_s"] == pytest.approx(200, rel=0.02)
    assert rungs.loc[1.2, "committed_per_s"] == pytest.approx(400, rel=0.02)
    roles = tables["load_roles"].set_index("role")
    assert roles["cpu_ms_per_tx"].to_dict() == pytest.approx({"visitor": 0.1, "agent": 1.0, "contributor": 0.5})
    legs = tables["load_legs"].set_index("sender")["messages_per_tx"]
    assert legs.to_dict() == pytest.approx({"visitor": 1.0, "agent": 1.0})


def test_all_rungs_of_a_round_are_played_before_the_next_in_an_order_that_changes(ladder: Any) -> None:
    network = FakeNetwork(400)
    rows = [row for row in ladder(network) if row["kind"] == "rung"]
    rounds = [[row["share"] for row in rows if row["round"] == number] for number in range(6)]
    assert [row["round"] for row in rows] == sorted(row["round"] for row in rows)
    assert all(sorted(order) == [0.5, 0.9, 1.2] for order in rounds)
    assert len(set(map(tuple, rounds))) > 1
    assert len({step.seed for step in network.steps[1:]}) == 18, "each rung has arrivals of its own"


def test_the_lowest_rung_alone_lasts_for_as_many_transactions_as_decide_it(ladder: Any) -> None:
    network = FakeNetwork(400)
    rows = [row for row in ladder(network, first_tx=500) if row["kind"] == "rung"]
    lasted = {row["share"]: step.seconds for row, step in zip(rows, network.steps[1:], strict=True)}
    assert lasted == {0.5: pytest.approx(500 / 200, rel=0.02), 0.9: 1.0, 1.2: 1.0}


def test_a_rung_whose_generator_lagged_is_void_and_is_counted(ladder: Any) -> None:
    rows = ladder(FakeNetwork(400, late_ms=20.0, took_ms=80.0))
    rungs = [row for row in rows if row["kind"] == "rung"]
    # Beyond the knee latency is so long that the lag does not matter.
    assert {(row["share"], row["status"]) for row in rungs} == {(0.5, "void"), (0.9, "void"), (1.2, "ok")}
    assert all("lateness" in row["reason"] for row in rungs if row["status"] == "void")
    frame = build([*rows, {**rungs[0], "share": 0.5, "status": "ok"}])["load_ladder"].set_index("share")
    assert frame["voided"].to_dict() == {0.5: 5, 1.2: 0}


def test_the_instants_of_every_transaction_are_kept(ladder: Any, tmp_path: Path) -> None:
    ladder(FakeNetwork(400, took_ms=80.0))
    (path,) = (tmp_path / "load").iterdir()
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        kept = list(csv.DictReader(file))
    assert {row["step"] for row in kept} >= {"saturated", "0.5, round 0", "1.2, round 5"}
    first = next(row for row in kept if row["step"] == "0.5, round 0")
    assert (first["intended_us"], first["first_us"], first["refused_us"], first["verdict"]) == ("0", "80000", "", "")


def test_other_networks_are_taken_to_the_rungs_of_the_first(ladder: Any) -> None:
    changes = {"topologies": [[1, 1, 1, 1]], "shares": [0.5, 0.9, 1.2], "networks": 3}
    scenario = msgspec.structs.replace(SCENARIO, load=msgspec.structs.replace(SCENARIO.load, **changes))
    rows = ladder(FakeNetwork(400), networks=3)
    cases = experiment.declare_others(scenario, rows)
    assert [case.label for case in cases] == ["1-1-1-1-network-1", "1-1-1-1-network-2"]
    assert cases[0].settings["rates_per_s"] == sorted({row["rate_per_s"] for row in rows if row["kind"] == "rung"})
    other = ladder(FakeNetwork(300), cases[0], networks=3)
    assert {row["rate_per_s"] for row in other if row["kind"] == "rung"} == set(cases[0].settings["rates_per_s"])
    tables = build(rows + other)
    assert tables["load_capacity"]["networks"].iloc[0] == 2
    assert tables["load_ladder"]["repeats"].tolist() == [12, 12, 12]
    gone = [row for row in rows if not (row["kind"] == "rung" and row["share"] == 0.9)]
    assert experiment.declare_others(scenario, gone) == [], "a rung that was void throughout has no rate"


@pytest.fixture
def lone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs an engine on a fake network; its rows, and how the network was asked for."""

    def run(function: Any, network: FakeNetwork, settings: Row, **noise: float) -> tuple[list[Row], dict[str, Any]]:
        asked: dict[str, Any] = {}
        scenario = msgspec.structs.replace(SCENARIO, noise=msgspec.structs.replace(SCENARIO.noise, **noise))

        @contextmanager
        def measured(_context: Any, _label: str, counts: Any, **variant: Any) -> Iterator[Measurement]:
            asked.update({**counts, **variant})
            yield Measurement(scenario, network, 100_000)  # type: ignore[arg-type]

        monkeypatch.setattr(engine, "measure_network", measured)
        context = Context(scenario, build_workload((), "none"), tmp_path)
        context.__dict__["calibration"] = Calibration({}, EXAMPLE, ())
        return function(context, Case("net-18-0", "x", settings)), asked

    return run


def test_a_row_of_table_1_has_what_its_columns_need(lone: Any) -> None:
    import pandas as pd

    network = FakeNetwork(400)
    (row,), asked = lone(engine.run_configuration_net, network, {"row": 18, "agents": 1})
    frame = read_networks(pd.DataFrame([{"case": "net-18-0", **row}]))
    assert frame["net_tx_per_s"].tolist() == [pytest.approx(400, rel=0.01)]
    assert frame["net_latency_p50_ms"].tolist() == [pytest.approx(50)]
    assert frame["net_cpu_ms_per_tx"].tolist() == [pytest.approx(1.6)]
    assert asked == {"row": 18, "agents": 1}
    assert network.steps[1].per_s == pytest.approx(row["committed_per_s"] * SCENARIO.table1.load_share)


def test_a_variant_has_what_its_columns_need_and_asks_for_its_rule(lone: Any) -> None:
    import pandas as pd

    settings = {"rule": "pow", "suite": "md5", "difficulty_bits": 20, "confirmations": 6, "repeat": 0,
                "planned_networks": 1}  # fmt: skip
    network = FakeNetwork(400)
    (row,), asked = lone(engine.run_variant_net, network, settings)
    assert {name: asked[name] for name in ("hash_suite", "difficulty_bits", "confirmations")} == {
        "hash_suite": "md5", "difficulty_bits": 20, "confirmations": 6,
    }  # fmt: skip
    assert asked["consensus"] == "pow"
    assert asked["max_wait_ms"] == round(30_000 / SCENARIO.variants.offered_per_second), "a block may fill"
    frame = build_networks(pd.DataFrame([{"case": "net-pow-md5-0", **row}]))
    assert set(frame.columns[frame.isna().any()]) == {"latency_p99_ms"}, "so few requests cannot tell it"
    assert frame["saturated_tx_per_s"].tolist() == [pytest.approx(400, rel=0.01)]
    assert network.steps[0].warm_s > SCENARIO.net.warm_s + 8 * (1 << 20) * EXAMPLE.grind_ns / 1e9 / 1_000
    assert network.steps[1].per_s == SCENARIO.variants.offered_per_second


def test_a_network_that_commits_nothing_is_a_timeout() -> None:
    with pytest.raises(TimeoutError, match="found none that came in time"):
        engine.need_rate({"committed_per_s": None})


def test_the_figure_is_drawn_with_and_without_a_knee(ladder: Any) -> None:
    for shares in ([0.5, 0.9, 1.2], [0.3, 0.5]):
        tables = build(ladder(FakeNetwork(400), shares=shares))
        (figure,) = experiment.EXPERIMENT.figures
        assert len(figure.draw(tables).axes) == 2
    assert tables["load_capacity"]["knee_per_s"].iloc[0] == float("inf")
