"""A measuring process: its rows, what it voids, and that nothing around it changes how it runs."""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.analysis.blocks import compare_blocks
from bench.engines import paired as engine
from bench.engines.base import Context, find_engine
from bench.engines.paired import hash_seed, run_paired
from bench.errors import BenchError
from bench.experiments.base import Case
from bench.measure.noise import NoiseLimits
from bench.measure.paired import CONTROL, Group, Plan, repeat_call
from bench.measure.worker import CANARY, HARNESS, NOTHING, measure_rows
from bench.scenario import load_scenario

#: Epochs need not be long enough to mean anything here.
PLAN = Plan(blocks=4, epoch_ns=10_000, seed="the seed")
LIMITS = NoiseLimits()
QUIET = {"steal_share": 0.0, "foreign_cpu_share": 0.0, "throttled_periods": 0}
STOLEN = QUIET | {"steal_share": 0.4}


class FakeWatch:
    """Tells what it was told to, lap by lap; the first lap ends the calibration."""

    def __init__(self, laps: Iterable[dict[str, Any]]) -> None:
        self.left = [QUIET | {"which": "calibration"}, *laps]

    def lap(self) -> dict[str, Any]:
        return self.left.pop(0)


def hash_group(**missing: str) -> Group:
    return Group(
        "g",
        {"abs": lambda: repeat_call(abs, -1), "len": lambda: repeat_call(len, "text")},
        {"size_bytes": 4},
        {"abs": {"library": "builtins"}, "len": {"library": "builtins"}},
        missing,
    )


def measure(*laps: dict[str, Any], groups: Iterable[Group] = (), limits: NoiseLimits = LIMITS) -> list[dict[str, Any]]:
    return measure_rows([*groups] or [hash_group()], PLAN, FakeWatch(laps), limits, lap_s=0)


def by_kind(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["kind"] == kind]


def test_rows_are_one_of_the_process_one_per_block_and_one_per_missing_variant() -> None:
    rows = measure(*[QUIET] * 4, groups=[hash_group(blake3="blake3 is not installed")])
    assert [row["kind"] for row in rows] == ["process", *["block"] * 12, "skipped"]
    assert rows[-1] == {
        "status": "skipped", "kind": "skipped", "group": "g", "variant": "blake3", "reason": "blake3 is not installed",
    }  # fmt: skip
    (process,) = by_kind(rows, "process")
    assert process["groups"]["g"] == {
        "base": "abs",
        "variants": ["abs", "len"],
        "labels": {"size_bytes": 4},
        "details": {"abs": {"library": "builtins"}, "len": {"library": "builtins"}},
        "loops": process["groups"]["g"]["loops"],
    }
    assert (process["seed"], process["void_rounds"], process["noise"]) == ("the seed", 0, [{"rounds": 1, **QUIET}] * 4)
    assert process["hash_seed"] == os.environ.get("PYTHONHASHSEED", "random")
    for row in by_kind(rows, "block"):
        players = {"g": {"abs", "len", CONTROL}, HARNESS: {NOTHING, CONTROL}, CANARY: {"md5", "sha3", CONTROL}}[
            row["group"]
        ]
        assert {*row["order"]} == {*row["forward_ns"]} == {*row["backward_ns"]} == players
        calibrated = process["groups"][row["group"]]["loops"][1]
        # Later rounds get more calls if the machine has become faster.
        assert row["loops"] == calibrated if row["round"] == 0 else row["loops"] >= calibrated
        assert row["status"] == "ok"


def test_rows_are_plain_json() -> None:
    rows = measure(*[QUIET] * 4, groups=[hash_group(blake3="not installed")])
    assert json.loads(json.dumps(rows, allow_nan=False)) == json.loads(json.dumps(rows))


def test_a_round_in_which_others_took_too_much_is_void_whole_and_stays_in_the_record() -> None:
    rows = measure(QUIET, STOLEN, QUIET, STOLEN)
    blocks = by_kind(rows, "block")
    assert {row["round"] for row in blocks if row["status"] == "void"} == {1, 3}
    assert {row["round"] for row in blocks if row["status"] == "ok"} == {0, 2}
    for row in blocks:
        assert ("reason" in row) is (row["status"] == "void")
        assert row["status"] == "ok" or row["reason"].startswith(
            "40.0% of the processor time was taken by other machines"
        )
        assert min(row["forward_ns"].values()) > 0
    (process,) = by_kind(rows, "process")
    assert process["void_rounds"] == 2
    assert [noise["steal_share"] for noise in process["noise"]] == [0.0, 0.4, 0.0, 0.4]


def test_rounds_shorter_than_a_lap_are_judged_together() -> None:
    rows = measure_rows([hash_group()], PLAN, FakeWatch([STOLEN]), LIMITS, lap_s=3_600)
    (process,) = by_kind(rows, "process")
    assert process["noise"] == [{"rounds": 4, **STOLEN}]
    assert process["void_rounds"] == 4
    assert [row["round"] for row in by_kind(rows, "block")] == [number for number in range(4) for _ in range(3)]
    assert {row["status"] for row in by_kind(rows, "block")} == {"void"}


def test_the_limits_are_those_that_were_given() -> None:
    rows = measure(*[STOLEN] * 4, limits=NoiseLimits(steal_share=0.5))
    assert {row["status"] for row in rows} == {"ok"}


def test_what_the_system_does_not_tell_voids_nothing() -> None:
    rows = measure(*[dict.fromkeys(QUIET)] * 4)
    assert {row["status"] for row in rows} == {"ok"}


def test_noise_while_calibrating_voids_no_round() -> None:
    watch = FakeWatch([QUIET] * 4)
    watch.left[0] = STOLEN
    rows = measure_rows([hash_group()], PLAN, watch, LIMITS, lap_s=0)
    assert {row["status"] for row in rows} == {"ok"}
    assert watch.left == []


def test_a_group_of_the_harness_own_name_is_refused() -> None:
    with pytest.raises(ValueError, match="^groups: expected names that differ, found harness, harness"):
        measure(groups=[Group(HARNESS, {"a": lambda: repeat_call(abs, 1)})])


def test_the_rows_of_two_processes_make_a_table() -> None:
    rows = [
        {"case": f"p{process}", "process": process, "instructions": "all", **row}
        for process in range(2)
        for row in measure(QUIET, STOLEN, QUIET, QUIET, groups=[hash_group(blake3="not installed")])
    ]
    found = compare_blocks(pd.DataFrame([row for row in rows if row["status"] == "ok"]), with_harness=True)
    assert list(zip(found["group"], found["variant"], strict=True)) == [
        ("g", "abs"), ("g", "len"), ("g", CONTROL), (HARNESS, NOTHING), (HARNESS, CONTROL),
    ]  # fmt: skip
    assert set(found["blocks"]) == {6}
    assert set(found["voided"]) == {2}


# -- fresh processes -------------------------------------------------------------------------------------------------


def case_of(suite: str = "hashes", process: int = 0, **more: Any) -> Case:
    options = {"suites": ["sha256"], "sizes_bytes": [64]} if suite == "hashes" else {}
    return Case("c", "paired", {"suite": suite, "options": options, "process": process, "instructions": "all", **more})


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(load_scenario("smoke"), None, tmp_path)  # type: ignore[arg-type]


def test_the_engine_is_found_by_its_name() -> None:
    assert find_engine("paired") is run_paired


def test_hash_seeds_come_from_labels_and_python_takes_them() -> None:
    seeds = [hash_seed(f"process {number}") for number in range(1_000)]
    assert len({*seeds}) == 1_000
    assert seeds == [hash_seed(f"process {number}") for number in range(1_000)]
    assert all(0 <= seed < 1 << 32 for seed in seeds)


CHANGED = (
    *("PYTHONHASHSEED", "PYTHONTRACEMALLOC", "PYTHONDEVMODE", "PYTHONOPTIMIZE", "PYTHONMALLOC", "PYTHON_JIT"),
    *("PYTHONDONTWRITEBYTECODE", "OPENSSL_ia32cap", "OPENSSL_armcap"),
)


def test_of_the_environment_nothing_is_inherited_that_changes_how_fast_code_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in CHANGED:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("OPENSSL_CONF", "/etc/openssl.cnf")
    found = engine.plain_environment()
    assert not {*CHANGED} & {*found}
    assert found["PYTHONPATH"].split(os.pathsep) == [str(Path(engine.__file__).parents[2]), "/elsewhere"]
    assert found["OPENSSL_CONF"] == "/etc/openssl.cnf"


class RecordedError(Exception):
    """Carries what would have been run."""


def job_of(context: Context, case: Case, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], dict[str, str]]:
    """The job and the environment of the process that a case starts."""

    def run(words: list[str], **given: Any) -> None:
        assert words[:3] == [sys.executable, "-P", "-m"]
        raise RecordedError(json.loads(given["input"]), given["env"])

    with monkeypatch.context() as patch:
        patch.setattr(engine.subprocess, "run", run)
        with pytest.raises(RecordedError) as caught:
            run_paired(context, case)
    return caught.value.args


def test_each_process_has_a_seed_and_a_hash_seed_of_its_own_the_same_for_all_instructions(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = {"environment": {"OPENSSL_ia32cap": ":~0x20000000"}, "instructions": "masked"}
    first, again, masked, second = (
        job_of(context, case, monkeypatch) for case in (case_of(), case_of(), case_of(**mask), case_of(process=1))
    )
    assert first == again
    assert masked[0] == first[0]
    assert {*masked[1].items()} - {*first[1].items()} == {("OPENSSL_ia32cap", ":~0x20000000")}
    assert first[0]["plan"]["seed"] != second[0]["plan"]["seed"]
    assert first[1]["PYTHONHASHSEED"] != second[1]["PYTHONHASHSEED"]


def test_a_process_that_fails_is_one_line_with_what_it_said_last(context: Context) -> None:
    with pytest.raises(BenchError, match=r"^the measuring process ended with status 1: KeyError: 'nothing'$"):
        run_paired(context, case_of("nothing"))


def test_files_in_the_current_directory_are_not_taken_for_modules(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "random", "secrets"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(BenchError, match="KeyError: 'nothing'"):
        run_paired(context, case_of("nothing"))


def test_a_process_that_does_not_end_is_a_timeout(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "TIMEOUT_S", 0.001)
    with pytest.raises(TimeoutError, match=r"^the measuring process took more than 0.001 s$"):
        run_paired(context, case_of())


@pytest.mark.slow
def test_a_real_process_measures_with_the_hash_seed_that_it_was_given(context: Context) -> None:
    rows = run_paired(context, case_of(process=3))
    (process,) = by_kind(rows, "process")
    seed = f"{context.scenario.seed}|hashes|process 3"
    assert (process["seed"], process["hash_seed"]) == (seed, str(hash_seed(seed)))
    assert {(row["process"], row["instructions"]) for row in rows} == {(3, "all")}
    blocks = by_kind(rows, "block")
    assert len(blocks) == context.scenario.paired.blocks * len(process["groups"])
    assert len(process["noise"]) == context.scenario.paired.blocks
    assert all(took > 0 for row in blocks for took in (*row["forward_ns"].values(), *row["backward_ns"].values()))
