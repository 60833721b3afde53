"""Experiment `framework`: a sound run gives only checks that hold, and every planted fault makes one fail."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

from bench.engines import framework as engine
from bench.engines.base import Context
from bench.engines.framework import check, describe_roles, run_framework
from bench.experiments import framework as experiment
from bench.experiments.base import Case, Row
from bench.measure.calibrate import Calibration
from bench.scenario import load_scenario
from bench.workload import build_workload, make_record, vital_signs
from ehrcore.drive.cost import EXAMPLE
from ehrcore.drive.sim import Simulation
from ehrcore.ledger import SqliteLedger
from ehrcore.merkle import MerkleTree
from ehrcore.records import RecordKind
from ehrcore.storage import MemoryStore

COUNT = 6
CASE = Case("end-to-end", "framework")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    scenario = load_scenario("smoke")
    tiny = msgspec.structs.replace(scenario.framework, topology=[1, 1, 2, 2], transactions=COUNT)
    bills = [make_record(RecordKind.BILL, "p", "Claim", b'{"n":%d}' % number) for number in range(3)]
    workload = build_workload((*bills, *vital_signs(1, 3, 1).records), "test")
    made = Context(msgspec.structs.replace(scenario, framework=tiny), workload, tmp_path)
    made.__dict__["calibration"] = Calibration({"sha256": EXAMPLE}, EXAMPLE, ())
    return made


def checks_of(rows: list[Row]) -> dict[str, Row]:
    return {row["check"]: row for row in rows if row["kind"] == "check"}


def failing(context: Context) -> dict[str, str]:
    """The checks that do not hold, with what was found."""
    return {name: row["found"] for name, row in checks_of(run_framework(context, CASE)).items() if not row["holds"]}


def test_a_sound_run_gives_only_checks_that_hold(context: Context) -> None:
    rows = run_framework(context, CASE)
    checks = checks_of(rows)
    assert all(row["holds"] for row in checks.values())
    assert len(checks) == 16
    assert checks["records committed by every contributor"]["found"] == str(COUNT)
    assert checks["transactions with a valid inclusion proof"]["found"] == str(COUNT)
    assert checks["a sensor gateway's bill is refused for"]["found"] == "no-right"
    (cost,) = [row for row in rows if row["kind"] == "cost"]
    assert cost["transactions"] == COUNT
    assert cost["process_cpu_s_per_tx"] > 0


def test_ledgers_stay_in_the_run_and_hold_every_transaction(context: Context) -> None:
    run_framework(context, CASE)
    files = sorted((context.folder / "ledgers").iterdir())
    assert [file.name for file in files] == ["contributor-0.db", "contributor-1.db", "coordinator-0.db"]
    for file in files:
        with SqliteLedger.open(file) as ledger:
            ledger.verify()
            assert sum(entry.block.header.size for entry in ledger.entries()) == COUNT


def test_every_role_has_its_row(context: Context) -> None:
    raw = pd.DataFrame([{"case": "end-to-end", "status": "ok", **row} for row in run_framework(context, CASE)])
    roles = experiment.build_roles(raw).set_index("role")
    assert list(roles.index) == ["visitor", "agent", "coordinator", "administrator", "contributor"]
    assert list(roles["nodes"]) == [2, 1, 1, 2, 2]
    assert list(roles["ledgers"]) == [0, 0, 1, 0, 2]
    assert roles.loc["administrator", "kept_bytes"] == 32, "the hash of the last block and nothing else"
    assert 0 < roles.loc["contributor", "signs_per_tx"] < 1, "a word on each receipt, of a whole block's transactions"
    assert roles.loc["visitor", "signs_per_tx"] * 2 == 1, "one signature per transaction, by one of both visitors"
    assert list(experiment.build_checks(raw).columns) == list(experiment.CHECK_COLUMNS)


def test_roles_without_any_finished_transaction_divide_by_one(context: Context, tmp_path: Path) -> None:
    loaded = engine.drive(context, CASE, engine.found(context), {})
    loaded.collector.finished = 0
    assert all(row["signs_per_tx"] >= 0 for row in describe_roles(loaded, tmp_path))


def test_a_check_compares_both_sides_as_they_are() -> None:
    assert check("a", 1, 1)["holds"] is True
    assert check("a", 1, "1")["holds"] is False, "equal in print is not equal"


# -- planted faults ----------------------------------------------------------------------------------------------


def between_run_and_checks(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None]) -> None:
    """Call ``spoil`` with the folder of the ledgers after they were written and before they are checked."""
    sound = engine.check_ledgers

    def checked(loaded: Any, network: Any, folder: Path, keepers: list[str]) -> list[Row]:
        spoil(folder)
        return sound(loaded, network, folder, keepers)

    monkeypatch.setattr(engine, "check_ledgers", checked)


def _flip(name: str) -> Callable[[Path], None]:
    """Change one byte of the last block, as somebody with the file in hand could, triggers and all."""

    def spoil(folder: Path) -> None:
        db = sqlite3.connect(folder / f"{name}.db")
        db.execute("DROP TRIGGER blocks_stay")
        (content,) = db.execute("SELECT content FROM blocks ORDER BY height DESC LIMIT 1").fetchone()
        place = content.index(b"/hospital/")
        db.execute("UPDATE blocks SET content = ?", (content[:place] + b"#" + content[place + 1 :],))
        db.commit()
        db.close()

    return spoil


def _cut_off(folder: Path) -> None:
    path = folder / "contributor-0.db"
    path.write_bytes(path.read_bytes()[:5_000])


def _overwrite(folder: Path) -> None:
    (folder / "contributor-0.db").write_bytes(b"not a ledger" * 100)


def _remove(folder: Path) -> None:
    (folder / "contributor-0.db").unlink()


FIRST = {
    "ledger of contributor-0 verifies from genesis",
    "transactions with a valid inclusion proof",
    "off-chain objects whose digest is on the chain",
}


@pytest.mark.parametrize("spoil", [_cut_off, _overwrite, _remove])
def test_a_ledger_that_cannot_be_read_fails_its_checks_and_no_others(
    context: Context, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None]
) -> None:
    between_run_and_checks(monkeypatch, spoil)
    found = failing(context)
    assert set(found) == FIRST
    assert "contributor-0.db" in found["ledger of contributor-0 verifies from genesis"]
    assert found["transactions with a valid inclusion proof"] == "0"


def test_a_changed_byte_in_the_first_ledger_is_found_by_replay_and_by_proof(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    between_run_and_checks(monkeypatch, _flip("contributor-0"))
    found = failing(context)
    assert {"ledger of contributor-0 verifies from genesis", "transactions with a valid inclusion proof"} <= set(found)
    assert "block 1" in found["ledger of contributor-0 verifies from genesis"]
    assert int(found["transactions with a valid inclusion proof"]) < COUNT


@pytest.mark.parametrize("name", ["contributor-1", "coordinator-0"])
def test_a_changed_byte_in_another_ledger_is_found_by_replay(
    context: Context, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    between_run_and_checks(monkeypatch, _flip(name))
    assert set(failing(context)) == {f"ledger of {name} verifies from genesis"}


def test_a_store_that_returns_other_bytes_is_found_by_digest(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = engine.check_ledgers

    def checked(loaded: Any, *rest: Any) -> list[Row]:
        location = next(iter(loaded.simulation.store._objects))
        loaded.simulation.store.put(location, b"other bytes")
        return sound(loaded, *rest)

    monkeypatch.setattr(engine, "check_ledgers", checked)
    found = failing(context)
    assert set(found) == {"off-chain objects whose digest is on the chain"}
    assert int(found["off-chain objects whose digest is on the chain"]) < COUNT


def test_a_store_that_lies_from_the_beginning_lets_nothing_through(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryStore, "get", lambda *_: b"other bytes")
    found = failing(context)
    assert found["records committed by every contributor"] == "0"
    assert int(found["transactions refused or marked invalid"]) == COUNT


def test_a_wrong_proof_is_found(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = MerkleTree.prove_inclusion
    driving = [True]

    def prove(self: MerkleTree, index: int) -> Any:
        proof = sound(self, index)
        return proof if driving[0] else tuple(bytes(len(node)) for node in proof)

    monkeypatch.setattr(MerkleTree, "prove_inclusion", prove)
    between_run_and_checks(monkeypatch, lambda _: driving.__setitem__(0, False))
    assert failing(context) == {"transactions with a valid inclusion proof": "0"}


def test_a_second_run_that_differs_is_found(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    sound, calls = engine.drive, []

    def drive(context: Context, case: Case, *rest: Any) -> Any:
        calls.append(case)
        return sound(context, Case(f"{case.label} {len(calls)}", case.engine), *rest)

    monkeypatch.setattr(engine, "drive", drive)
    assert set(failing(context)) == {"trace digest of a second run"}


def test_a_message_that_is_lost_is_found(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    sound, sent = Simulation._send, []

    def send(self: Simulation, node: Any, to: tuple[str, ...], message: Any, size: int) -> None:
        sent.append(message)
        if type(message).__name__ == "Finalised" and "contributor-1" in to:
            to = tuple(name for name in to if name != "contributor-1")
        sound(self, node, to, message, size)

    monkeypatch.setattr(Simulation, "_send", send)
    found = failing(context)
    assert found["records committed by every contributor"] == "0"
    assert "different ledgers" in found
    assert found["different ledgers"] == "2"


def test_a_gateway_whose_rights_are_not_checked_is_found(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = engine.found_network

    def without_limits(*given: Any) -> Any:
        return sound(*given[:4])

    monkeypatch.setattr(engine, "found_network", without_limits)
    assert failing(context) == {"a sensor gateway's bill is refused for": "nothing"}
