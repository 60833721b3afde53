"""Executing experiments: every case leaves rows, whatever happens; what is refused is refused before a file is made."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import run as module
from bench.engines.base import Context
from bench.errors import BenchError
from bench.experiments.base import Case, Experiment, Row
from bench.measure.calibrate import Calibration, Measured
from bench.record import RunDirectory
from bench.run import execute, load_workload, mix_kinds
from bench.scenario import load_scenario
from bench.workload import make_record
from ehrcore.drive.cost import EXAMPLE
from ehrcore.errors import LedgerError
from ehrcore.records import ClinicalRecord, RecordKind

SCENARIO = load_scenario("smoke")
OBSERVATION = b'{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/p"}}'


class Notes:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def begin(self, experiment: str, cases: int) -> None:
        self.lines.append(f"{experiment}: {cases}")

    def step(self, label: str) -> None:
        self.lines.append(label)


Engine = Callable[[Context, Case], list[Row]]


class Lab:
    """Experiments of this test's own, and a run of them."""

    def __init__(self, results: Path) -> None:
        self.results, self.notes = results, Notes()
        self.experiments: dict[str, Experiment] = {}
        self.engines: dict[str, Engine] = {}

    def add(self, name: str, engine: Engine, cases: int = 2, **more: Any) -> None:
        self.engines[name] = engine
        declared = [Case(f"{name}-{number}", name, {"number": number}) for number in range(cases)]
        self.experiments[name] = Experiment(name, "?", (), lambda _: declared, (), **more)

    def find(self, name: str) -> Experiment:
        if name not in self.experiments:
            raise BenchError(f"experiment: expected one of {', '.join(self.experiments)}, found {name!r}")
        return self.experiments[name]

    def run(self, *names: str) -> tuple[RunDirectory, bool]:
        return execute(SCENARIO, names, records=None, is_strict=False, results=self.results, progress=self.notes)

    @property
    def folder(self) -> Path:
        (folder,) = self.results.iterdir()
        return folder

    @property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))
        return found

    def rows(self, name: str) -> list[Row]:
        text = (self.folder / "raw" / f"{name}.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    made = Lab(tmp_path / "results")
    monkeypatch.setattr(module, "find_experiment", made.find)
    monkeypatch.setattr(module, "find_engine", made.engines.__getitem__)
    return made


def measure(context: Context, case: Case) -> list[Row]:
    return [{"value": case.settings["number"]}, {"value": -1}]


def raising(error: BaseException, at: int = 0) -> Engine:
    def engine(context: Context, case: Case) -> list[Row]:
        if case.settings["number"] == at:
            raise error
        return measure(context, case)

    return engine


# -- rows and order ----------------------------------------------------------------------------------------------


def test_every_row_carries_its_case_and_status(lab: Lab) -> None:
    lab.add("a", measure)
    run, is_interrupted = lab.run("a")
    assert not is_interrupted
    assert run.folder == lab.folder
    assert lab.rows("a") == [
        {"case": "a-0", "status": "ok", "value": 0},
        {"case": "a-0", "status": "ok", "value": -1},
        {"case": "a-1", "status": "ok", "value": 1},
        {"case": "a-1", "status": "ok", "value": -1},
    ]
    assert lab.manifest["status"] == "complete"
    summary = lab.manifest["experiments"]["a"]
    assert (summary["status"], summary["cases"], summary["failed"]) == ("complete", 2, 0)


def test_experiments_run_in_the_order_given_and_each_once(lab: Lab) -> None:
    for name in ("a", "b", "c"):
        lab.add(name, measure, cases=1)
    lab.run("c", "a", "c", "a")
    assert lab.notes.lines == ["c: 1", "c-0", "a: 1", "a-0"]
    assert list(lab.manifest["experiments"]) == ["c", "a"]


def test_without_names_the_scenarios_experiments_run(lab: Lab) -> None:
    for name in SCENARIO.experiments:
        lab.add(name, measure, cases=1)
    lab.run()
    assert list(lab.manifest["experiments"]) == SCENARIO.experiments


def test_an_unknown_experiment_is_refused_before_anything_is_written_or_run(lab: Lab) -> None:
    lab.add("a", measure)
    with pytest.raises(BenchError, match="found 'b'"):
        lab.run("a", "b")
    assert not lab.results.exists()
    assert lab.notes.lines == []


def test_the_manifest_says_running_while_it_runs(lab: Lab) -> None:
    seen = []

    def look(context: Context, case: Case) -> list[Row]:
        seen.append((lab.manifest["status"], lab.manifest["experiments"]["a"]["status"]))
        return []

    lab.add("a", look)
    lab.run("a")
    assert seen == [("running", "running")] * 2


def test_rows_are_on_disk_before_the_next_case_begins(lab: Lab) -> None:
    def look(context: Context, case: Case) -> list[Row]:
        if case.settings["number"]:
            assert len(lab.rows("a")) == case.settings["number"]
        return [{}]

    lab.add("a", look, cases=4)
    lab.run("a")
    assert len(lab.rows("a")) == 4


# -- follow-up ---------------------------------------------------------------------------------------------------


def test_a_follow_up_sees_the_good_rows_alone(lab: Lab) -> None:
    given: list[Row] = []

    def follow_up(scenario: Any, rows: list[Row]) -> list[Case]:
        given.extend(rows)
        return [Case("second", "a", {"number": 9})]

    lab.add("a", raising(TimeoutError("late")), follow_up=follow_up)
    lab.run("a")
    assert [row["value"] for row in given] == [1, -1]
    assert [row["case"] for row in lab.rows("a")] == ["a-0", "a-1", "a-1", "second", "second"]
    assert lab.notes.lines == ["a: 2", "a-0", "a-1", "a (follow-up): 1", "second"]
    assert lab.manifest["experiments"]["a"]["cases"] == 3


def test_a_follow_up_may_be_empty(lab: Lab) -> None:
    lab.add("a", measure, follow_up=lambda *_: [])
    lab.run("a")
    assert lab.manifest["status"] == "complete"
    assert lab.notes.lines == ["a: 2", "a-0", "a-1"]


# -- what goes wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BenchError("no such library"), "failed"),
        (LedgerError("block 3 could not be kept"), "failed"),
        (TimeoutError("3 of 9 transactions"), "timeout"),
    ],
)
def test_a_case_that_fails_is_a_row_and_the_run_goes_on(lab: Lab, error: Exception, status: str) -> None:
    lab.add("a", raising(error))
    lab.add("b", measure)
    _, is_interrupted = lab.run("a", "b")
    assert not is_interrupted
    assert lab.rows("a")[0] == {"case": "a-0", "status": status, "reason": str(error), "number": 0}
    assert [row["status"] for row in lab.rows("a")] == [status, "ok", "ok"]
    assert lab.manifest["status"] == "complete"
    assert lab.manifest["experiments"]["a"]["failed"] == 1
    assert len(lab.rows("b")) == 4


def test_a_bug_fails_the_run_and_is_not_hidden(lab: Lab) -> None:
    bug = ZeroDivisionError("division by zero")
    lab.add("a", raising(bug, at=1))
    lab.add("b", measure)
    with pytest.raises(ZeroDivisionError) as caught:
        lab.run("a", "b")
    assert caught.value is bug
    manifest = lab.manifest
    assert manifest["status"] == "failed"
    assert manifest["finished"] is not None
    assert manifest["experiments"]["a"]["status"] == "failed"
    assert "b" not in manifest["experiments"]
    assert len(lab.rows("a")) == 2, "what was measured before is kept"


def test_an_interrupt_keeps_what_is_done(lab: Lab) -> None:
    lab.add("a", measure)
    lab.add("b", raising(KeyboardInterrupt(), at=1))
    lab.add("c", measure)
    run, is_interrupted = lab.run("a", "b", "c")
    assert is_interrupted
    manifest = lab.manifest
    assert manifest["status"] == run.manifest["status"] == "interrupted"
    assert [item["status"] for item in manifest["experiments"].values()] == ["complete", "interrupted"]
    assert (len(lab.rows("a")), len(lab.rows("b"))) == (4, 2)
    assert manifest["noise"]["load_average"]


def test_a_row_that_cannot_be_kept_fails_the_run(lab: Lab) -> None:
    def spoil(context: Context, case: Case) -> list[Row]:
        (context.folder / "raw" / "a.jsonl").mkdir(exist_ok=True)
        return [{}]

    lab.add("a", spoil)
    with pytest.raises(BenchError, match="a.jsonl: expected a file that can be written"):
        lab.run("a")
    assert lab.manifest["status"] == "failed"


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_results_that_cannot_be_written_are_refused_before_records_are_made(
    lab: Lab, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    lab.results = tmp_path / place
    lab.add("a", measure, needs_records=True)
    monkeypatch.setattr("bench.workload.synthesise", lambda *_, **__: pytest.fail("made records first"))
    with pytest.raises(BenchError, match="expected a folder that can be written"):
        lab.run("a")
    assert (tmp_path / "file").read_text() == "mine"


# -- what the manifest says --------------------------------------------------------------------------------------


def test_unit_costs_are_recorded_if_they_were_used_and_measured_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def calibrate(scenario: Any, folder: Path) -> Calibration:
        calls.append(folder)
        return Calibration({"sha256": EXAMPLE}, (Measured("sign", 20_000.0, 0.1),))

    monkeypatch.setattr("bench.measure.calibrate.calibrate", calibrate)

    def price(context: Context, case: Case) -> list[Row]:
        return [{"sign": context.calibration.costs["sha256"].sign_ns}]

    lab.add("a", price)
    lab.add("b", price)
    lab.run("a", "b")
    assert calls == [lab.folder]
    found = lab.manifest["calibration"]
    assert found["costs"]["sha256"]["sign_ns"] == EXAMPLE.sign_ns
    assert found["measured"] == [{"name": "sign", "median_ns": 20_000.0, "spread": 0.1}]


def test_without_simulations_there_are_no_unit_costs(lab: Lab) -> None:
    lab.add("a", measure)
    lab.run("a")
    assert "calibration" not in lab.manifest


def test_the_manifest_names_everything_that_went_in(lab: Lab) -> None:
    lab.add("a", measure)
    lab.run("a")
    manifest = lab.manifest
    assert manifest["seed"] == SCENARIO.seed
    assert manifest["scenario"]["table1"]["transactions"] == SCENARIO.table1.transactions
    assert {"machine", "versions", "git", "noise"} <= set(manifest)
    workload = manifest["workload"]
    assert workload["records"] == SCENARIO.workload.sensor_patients * SCENARIO.workload.sensor_readings
    assert [item["kind"] for item in workload["kinds"]] == ["sensor"]
    assert len(workload["digest"]) == 64


# -- records -----------------------------------------------------------------------------------------------------


def load(folder: Path | None, notes: Notes, *, needs_records: bool = True, strict: bool = False) -> Any:
    experiment = Experiment("a", "?", (), lambda _: [], (), needs_records=needs_records)
    return load_workload(SCENARIO, [experiment], folder, is_strict=strict, say=notes.say)


def test_a_folder_of_records_takes_the_place_of_synthetic_patients(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(OBSERVATION)
    (tmp_path / "b.json").write_bytes(b"{")
    notes = Notes()
    workload = load(tmp_path, notes)
    kinds = Counter(record.kind for record in workload.records)
    assert kinds == {RecordKind.DIAGNOSTIC_REPORT: 1, RecordKind.SENSOR: 15}
    assert len(notes.lines) == 1
    assert notes.lines[0].startswith("skipped b.json: ")
    assert str(tmp_path) in workload.source
    assert "vital signs" in workload.source
    with pytest.raises(BenchError, match="b.json"):
        load(tmp_path, notes, strict=True)


def test_many_skipped_files_are_not_all_said_but_all_kept(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(OBSERVATION)
    for number in range(14):
        (tmp_path / f"bad-{number:02d}.json").write_bytes(b"{")
    notes = Notes()
    workload = load(tmp_path, notes)
    assert len(workload.skipped) == 14
    assert len(notes.lines) == 11
    assert notes.lines[-1] == "... and 4 more files or entries skipped"


def test_synthetic_patients_are_made_only_if_an_experiment_needs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def synthesise(*given: Any, warn: Any) -> Any:
        asked.append(given)
        return module_workload()

    def module_workload() -> Any:
        from bench.workload import build_workload

        return build_workload([make_record(RecordKind.BILL, "p", "Claim", b"{}")], "synthetic")

    monkeypatch.setattr("bench.workload.synthesise", synthesise)
    notes = Notes()
    assert {record.kind for record in load(None, notes, needs_records=False).records} == {RecordKind.SENSOR}
    assert (asked, notes.lines) == ([], [])
    assert {record.kind for record in load(None, notes).records} == {RecordKind.SENSOR, RecordKind.BILL}
    plan = SCENARIO.workload
    assert asked == [(plan.population, plan.seed, plan.reference_date)]
    assert notes.lines[0].startswith("Records of 1 synthetic patients")


RECORD_LISTS = st.lists(st.tuples(st.sampled_from(RecordKind), st.integers(0, 10**6)), max_size=60).map(
    lambda pairs: [make_record(kind, "p", "Thing", b"%d" % number) for kind, number in pairs]
)


@given(RECORD_LISTS)
def test_mixing_loses_nothing_and_adds_nothing(records: list[ClinicalRecord]) -> None:
    before = list(records)
    assert Counter(mix_kinds(records, "seed")) == Counter(before)
    assert records == before


@given(RECORD_LISTS)
def test_kinds_take_turns_until_each_is_used_up(records: list[ClinicalRecord]) -> None:
    left = Counter(record.kind for record in records)
    mixed = [record.kind for record in mix_kinds(records, "seed")]
    while mixed:
        turn = sorted(kind for kind in left if left[kind])
        assert mixed[: len(turn)] == turn
        mixed = mixed[len(turn) :]
        left -= Counter(turn)


@given(RECORD_LISTS, st.text(min_size=1, max_size=5))
def test_the_mix_is_the_same_for_a_seed(records: list[ClinicalRecord], seed: str) -> None:
    assert mix_kinds(records, seed) == mix_kinds(records, seed)


def test_the_mix_differs_between_seeds_and_shuffles_each_kind() -> None:
    records = [make_record(RecordKind.BILL, "p", "Claim", b"%d" % number) for number in range(50)]
    first, second = mix_kinds(records, "a"), mix_kinds(records, "b")
    assert first != second
    assert first != records


def test_drift_is_the_greatest_unit_cost_over_the_least_by_operation() -> None:
    found = [
        Calibration({}, (Measured("sign", cost, 0.1), Measured("verify", 50.0, 0.1))) for cost in (20.0, 10.0, 15.0)
    ]
    assert module.measure_drift(found) == {"sign": 2.0, "verify": 1.0}
