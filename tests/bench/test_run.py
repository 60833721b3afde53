"""Executing experiments: every case leaves rows, whatever happens; what is refused is refused before a file is made."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.claims import read_rules
from bench.engines.base import Context
from bench.errors import BenchError
from bench.experiments.base import Case, Experiment, Row
from bench.measure.calibrate import Calibration, Measured
from bench.record import ROW_STATUSES, SCHEMA_VERSION, Status
from bench.run import execute, load_workload, mix_kinds
from bench.scenario import load_scenario
from bench.sitting import find_problems, measure_drift
from bench.workload import make_record
from ehrcore.drive.cost import EXAMPLE
from ehrcore.errors import LedgerError
from ehrcore.records import ClinicalRecord, RecordKind

SCENARIO = load_scenario("smoke")
OBSERVATION = b'{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/p"}}'


Engine = Callable[[Context, Case], list[Row]]


def measure(context: Context, case: Case) -> list[Row]:
    return [{"value": case.settings["number"]}, {"value": -1}]


def raising(error: BaseException, at: int = 0) -> Engine:
    def engine(context: Context, case: Case) -> list[Row]:
        if case.settings["number"] == at:
            raise error
        return measure(context, case)

    return engine


# -- rows and order ----------------------------------------------------------------------------------------------


def test_every_row_carries_its_case_and_status(lab: Any) -> None:
    lab.add("a", measure)
    outcome = lab.run("a")
    assert not outcome.is_interrupted
    assert outcome.run.folder == lab.folder
    assert lab.rows("a") == [
        {"case": "a-0", "status": "ok", "part": 1, "parts": 2, "value": 0},
        {"case": "a-0", "status": "ok", "part": 2, "parts": 2, "value": -1},
        {"case": "a-1", "status": "ok", "part": 1, "parts": 2, "value": 1},
        {"case": "a-1", "status": "ok", "part": 2, "parts": 2, "value": -1},
    ]
    assert lab.manifest["status"] == "complete"
    summary = lab.manifest["experiments"]["a"]
    assert (summary["status"], summary["cases"], summary["failed"]) == ("complete", 2, 0)
    assert lab.manifest["rules"] == {name: claim.digest for name, claim in read_rules().claims.items()}


def test_experiments_run_in_the_order_given_and_each_once(lab: Any) -> None:
    for name in ("a", "b", "c"):
        lab.add(name, measure, cases=1)
    lab.run("c", "a", "c", "a")
    assert lab.notes.lines == ["c: 1", "c-0", "a: 1", "a-0"]
    assert list(lab.manifest["experiments"]) == ["c", "a"]


def test_without_names_the_scenarios_experiments_run(lab: Any) -> None:
    for name in SCENARIO.experiments:
        lab.add(name, measure, cases=1)
    lab.run()
    assert list(lab.manifest["experiments"]) == SCENARIO.experiments


def test_an_unknown_experiment_is_refused_before_anything_is_written_or_run(lab: Any) -> None:
    lab.add("a", measure)
    with pytest.raises(BenchError, match="found 'b'"):
        lab.run("a", "b")
    assert not lab.results.exists()
    assert lab.notes.lines == []


def test_the_manifest_says_running_while_it_runs(lab: Any) -> None:
    seen = []

    def look(context: Context, case: Case) -> list[Row]:
        manifest = lab.manifest
        seen.append((manifest["status"], *(item["status"] for item in manifest["experiments"].values())))
        return [{}]

    lab.add("a", look)
    lab.add("b", look)
    lab.run("a", "b")
    assert seen == [("running", "running", "pending")] * 2 + [("running", "complete", "running")] * 2


def test_a_case_without_rows_is_a_row_that_says_so(lab: Any) -> None:
    lab.add("a", lambda *_: [])
    lab.run("a")
    assert [(row["status"], row["reason"]) for row in lab.rows("a")] == [
        ("failed", "expected rows of the engine a, found none")
    ] * 2


def test_what_an_engine_keeps_is_known_before_the_rows_of_its_case(lab: Any) -> None:
    known = []

    def keep(context: Context, case: Case) -> list[Row]:
        known.append(lab.manifest["experiments"]["a"]["artefacts"])
        (context.folder / "kept").mkdir(exist_ok=True)
        if case.settings["number"] != 1:
            (context.folder / "kept" / f"{case.label}.bin").write_bytes(b"x")
        return [{}]

    lab.add("a", keep, cases=3)
    lab.run("a")
    first = {"a-0": ["kept/a-0.bin"]}
    assert known == [{}, first, first]
    assert lab.manifest["experiments"]["a"]["artefacts"] == first | {"a-2": ["kept/a-2.bin"]}
    assert set(lab.manifest["files"]) == {"kept/a-0.bin", "kept/a-2.bin", "raw/a.jsonl"}


def test_rows_are_on_disk_before_the_next_case_begins(lab: Any) -> None:
    def look(context: Context, case: Case) -> list[Row]:
        if case.settings["number"]:
            assert len(lab.rows("a")) == case.settings["number"]
        return [{}]

    lab.add("a", look, cases=4)
    lab.run("a")
    assert len(lab.rows("a")) == 4


# -- follow-up ---------------------------------------------------------------------------------------------------


def test_a_follow_up_sees_the_good_rows_alone(lab: Any) -> None:
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


def test_a_follow_up_may_be_empty(lab: Any) -> None:
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
def test_a_case_that_fails_is_a_row_and_the_run_goes_on(lab: Any, error: Exception, status: str) -> None:
    lab.add("a", raising(error))
    lab.add("b", measure)
    outcome = lab.run("a", "b")
    assert not outcome.is_interrupted
    expected = {"case": "a-0", "status": status, "part": 1, "parts": 1, "reason": str(error), "number": 0}
    assert lab.rows("a")[0] == expected
    assert [row["status"] for row in lab.rows("a")] == [status, "ok", "ok"]
    assert lab.manifest["status"] == "complete"
    assert lab.manifest["experiments"]["a"]["failed"] == 1
    assert len(lab.rows("b")) == 4


def test_a_bug_fails_the_run_and_is_not_hidden(lab: Any) -> None:
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
    assert manifest["experiments"]["b"]["status"] == "pending"
    assert len(lab.rows("a")) == 2, "what was measured before is kept"


def test_an_interrupt_keeps_what_is_done(lab: Any) -> None:
    lab.add("a", measure)
    lab.add("b", raising(KeyboardInterrupt(), at=1))
    lab.add("c", measure)
    outcome = lab.run("a", "b", "c")
    assert outcome.is_interrupted
    manifest = lab.manifest
    assert manifest["status"] == outcome.run.manifest["status"] == "interrupted"
    assert [item["status"] for item in manifest["experiments"].values()] == ["complete", "interrupted", "pending"]
    assert (len(lab.rows("a")), len(lab.rows("b"))) == (4, 2)
    assert manifest["sittings"][0]["noise"]["load_average"]


def test_a_row_that_cannot_be_kept_fails_the_run(lab: Any) -> None:
    def spoil(context: Context, case: Case) -> list[Row]:
        (context.folder / "raw" / "a.jsonl").mkdir(exist_ok=True)
        return [{}]

    lab.add("a", spoil)
    with pytest.raises(BenchError, match="a.jsonl: expected a file that can be written"):
        lab.run("a")
    assert lab.manifest["status"] == "failed"


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_results_that_cannot_be_written_are_refused_before_records_are_made(
    lab: Any, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    lab.results = tmp_path / place
    lab.add("a", measure, needs_records=True)
    monkeypatch.setattr("bench.workload.synthesise", lambda *_, **__: pytest.fail("made records first"))
    with pytest.raises(BenchError, match="expected a folder that can be written"):
        lab.run("a")
    assert (tmp_path / "file").read_text() == "mine"


# -- what must not go unnoticed ----------------------------------------------------------------------------------


def a_row(status: str = "ok", **more: Any) -> Row:
    return {"case": "a", "status": status, "reason": f"why {status}", **more}


PROBLEMS: dict[str, tuple[list[Row], list[str]]] = {
    "all is well": ([a_row(), a_row(kind="check", check="one", holds=True)], []),
    "nothing at all": ([], []),
    "a repeat that failed beside others": ([a_row("failed"), a_row()], []),
    "void and skipped rows": (
        [a_row("void"), a_row("skipped")],
        ["a: nothing that was measured counts, the first said: why void"],
    ),
    "processes whose blocks are void": (
        [a_row(kind="process"), a_row("void")],
        ["a: nothing that was measured counts, the first said: why void"],
    ),
    "void blocks beside others": ([a_row(kind="process"), a_row("void"), a_row(kind="block")], []),
    "no time": (
        [a_row("skipped", kind="not-begun")] * 3,
        ["a: nothing that was measured counts, the first said: why skipped"],
    ),
    "a check that does not hold": (
        [a_row(kind="check", check="one", holds=False), a_row(kind="check", check="two", holds=False), a_row()],
        ["a: checks that do not hold: 2, the first: one"],
    ),
    "every case failed": (
        [a_row("failed"), a_row("timeout")],
        ["a: nothing that was measured counts, the first said: why failed"],
    ),
    "every case timed out": (
        [a_row("timeout"), a_row("skipped")],
        ["a: nothing that was measured counts, the first said: why timeout"],
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_must_not_go_unnoticed(name: str) -> None:
    rows, expected = PROBLEMS[name]
    assert find_problems("a", rows) == expected


def test_problems_of_all_experiments_are_in_the_outcome(lab: Any) -> None:
    lab.add("a", raising(BenchError("no such library")), cases=1)
    lab.add("b", lambda *_: [{"kind": "check", "check": "one", "holds": False}], cases=1)
    lab.add("c", measure)
    assert lab.run("a", "b", "c").problems == (
        "a: nothing that was measured counts, the first said: no such library",
        "b: checks that do not hold: 1, the first: one",
    )


# -- what the manifest says --------------------------------------------------------------------------------------


def test_unit_costs_are_recorded_if_they_were_used_and_measured_once(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def calibrate(scenario: Any, folder: Path, label: str) -> Calibration:
        calls.append((folder, label))
        return Calibration({"sha256": EXAMPLE}, EXAMPLE, (Measured("sign", 20_000.0, 0.1),))

    monkeypatch.setattr("bench.measure.calibrate.calibrate", calibrate)

    def price(context: Context, case: Case) -> list[Row]:
        return [{"sign": context.calibration.costs["sha256"].sign_ns}]

    lab.add("a", price)
    lab.add("b", price)
    lab.run("a", "b")
    assert calls == [(lab.folder, "start")]
    found = lab.manifest["calibrations"]["start"]
    assert found["costs"]["sha256"]["sign_ns"] == EXAMPLE.sign_ns
    assert found["measured"] == [{"name": "sign", "median_ns": 20_000.0, "spread": 0.1}]
    assert lab.manifest["drift"] == {"sign": 1.0}


def test_without_simulations_there_are_no_unit_costs(lab: Any) -> None:
    lab.add("a", measure)
    lab.run("a")
    assert lab.manifest["calibrations"] == lab.manifest["drift"] == {}


def test_the_manifest_names_everything_that_went_in(lab: Any) -> None:
    lab.add("a", measure)
    lab.run("a")
    manifest = lab.manifest
    assert manifest["seed"] == SCENARIO.seed
    assert manifest["scenario"]["table1"]["transactions"] == SCENARIO.table1.transactions
    assert {"machine", "versions", "git", "sittings"} <= set(manifest)
    assert manifest["options"] == {"records": None, "strict": False}
    workload = manifest["workload"]
    assert workload["records"] == SCENARIO.workload.sensor_patients * SCENARIO.workload.sensor_readings
    assert [item["kind"] for item in workload["kinds"]] == ["sensor"]
    assert len(workload["digest"]) == 64


# -- what results/README.md says ---------------------------------------------------------------------------------

DOCUMENTED = (Path(__file__).parents[2] / "results" / "README.md").read_text(encoding="utf-8")
#: Objects whose keys are names (of packages, files, cases, ...), and those that are documented elsewhere.
OF_NAMES = {
    "rules",
    "experiments",
    "artefacts",
    "files",
    "drift",
    "calibrations",
    "costs",
    "packages",
    "other_types",
    "left_out",
}
ELSEWHERE = {"scenario", "costs", "control"}


def keys_of(value: Any, name: str = "") -> set[str]:
    if isinstance(value, list):
        return set[str]().union(*(keys_of(item) for item in value))
    if not isinstance(value, dict) or name in ELSEWHERE:
        return set()
    own = set() if name in OF_NAMES else set(value)
    return own.union(*(keys_of(item, "" if name in OF_NAMES else key) for key, item in value.items()))


def test_the_page_names_every_key_status_and_column_that_a_run_writes(
    lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Calibration({"sha256": EXAMPLE}, EXAMPLE, (Measured("sign", 20_000.0, 0.1),))
    monkeypatch.setattr("bench.measure.calibrate.calibrate", lambda *_: made)

    def use_all(context: Context, case: Case) -> list[Row]:
        context.calibrate("start")
        (context.folder / "kept.bin").write_bytes(b"x")
        return [{"status": status, "reason": "why", "kind": "block"} for status in ROW_STATUSES]

    lab.add("a", use_all, cases=1)
    lab.scenario = msgspec.structs.replace(lab.scenario, budget_s=1e-9)
    lab.add("b", measure)
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "a.json").write_bytes(OBSERVATION)
    (tmp_path / "records" / "b.json").write_bytes(b"{")
    run = execute(lab.scenario, ["a", "b"], records=tmp_path / "records", is_strict=False, results=lab.results,
                  progress=lab.notes, clock=lambda: lab.now_s).run  # fmt: skip
    run.seal_derived()
    manifest = lab.manifest
    assert manifest["calibrations"]
    assert manifest["workload"]["skipped"]
    words = keys_of(manifest) | {*ROW_STATUSES, "not-begun", *get_args(Status), "pending"}
    words |= {"case", "status", "part", "parts", "reason", "kind"}
    assert len(words) > 60
    assert not [word for word in sorted(words) if f"`{word}`" not in DOCUMENTED]


def test_the_page_is_about_todays_version() -> None:
    assert f"`schema_version` {SCHEMA_VERSION}" in DOCUMENTED


def test_the_page_names_the_rows_of_the_paired_engine() -> None:
    from bench.measure.noise import NoiseLimits, NoiseWatch
    from bench.measure.paired import Group, Plan, repeat_nothing
    from bench.measure.worker import measure_rows

    groups = [Group("g", {"a": repeat_nothing, "b": repeat_nothing}, missing={"c": "not here"})]
    rows = measure_rows(groups, Plan(1, epoch_ns=1_000), NoiseWatch(), NoiseLimits())
    words = {word for row in rows for word in (row["kind"], *row)} | {"process", "instructions"}
    words |= {key for row in rows if row["kind"] == "process" for key in row["groups"]["g"]}
    assert not [word for word in sorted(words) if f"`{word}`" not in DOCUMENTED]


# -- records -----------------------------------------------------------------------------------------------------


def load(folder: Path | None, notes: Any, *, needs_records: bool = True, strict: bool = False) -> Any:
    experiment = Experiment("a", "?", (), lambda _: [], (), needs_records=needs_records)
    return load_workload(SCENARIO, [experiment], folder, is_strict=strict, say=notes.say)


def test_a_folder_of_records_takes_the_place_of_synthetic_patients(tmp_path: Path, lab: Any) -> None:
    (tmp_path / "a.json").write_bytes(OBSERVATION)
    (tmp_path / "b.json").write_bytes(b"{")
    notes = lab.notes
    workload = load(tmp_path, notes)
    kinds = Counter(record.kind for record in workload.records)
    assert kinds == {RecordKind.DIAGNOSTIC_REPORT: 1, RecordKind.SENSOR: 15}
    assert len(notes.lines) == 1
    assert notes.lines[0].startswith("skipped b.json: ")
    assert str(tmp_path) in workload.source
    assert "vital signs" in workload.source
    with pytest.raises(BenchError, match="b.json"):
        load(tmp_path, notes, strict=True)


def test_many_skipped_files_are_not_all_said_but_all_kept(tmp_path: Path, lab: Any) -> None:
    (tmp_path / "a.json").write_bytes(OBSERVATION)
    for number in range(14):
        (tmp_path / f"bad-{number:02d}.json").write_bytes(b"{")
    notes = lab.notes
    workload = load(tmp_path, notes)
    assert len(workload.skipped) == 14
    assert len(notes.lines) == 11
    assert notes.lines[-1] == "... and 4 more files or entries skipped"


def test_synthetic_patients_are_made_only_if_an_experiment_needs_them(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def synthesise(*given: Any, warn: Any) -> Any:
        asked.append(given)
        return module_workload()

    def module_workload() -> Any:
        from bench.workload import build_workload

        return build_workload([make_record(RecordKind.BILL, "p", "Claim", b"{}")], "synthetic")

    monkeypatch.setattr("bench.workload.synthesise", synthesise)
    notes = lab.notes
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
        Calibration({}, EXAMPLE, (Measured("sign", cost, 0.1), Measured("verify", 50.0, 0.1)))
        for cost in (20.0, 10.0, 15.0)
    ]
    assert measure_drift(found) == {"sign": 2.0, "verify": 1.0}
