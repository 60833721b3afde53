"""The audit passes ledgers that hold what was promised, and names what was planted in them."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.errors import BenchError
from bench.net.audit import audit_ledgers
from bench.net.step import Finished
from ehrcore.block import Genesis
from ehrcore.drive.cost import EXAMPLE
from ehrcore.drive.sim import SimSetup, Simulation
from ehrcore.effects import ObservedKind, Persist, Requested
from ehrcore.errors import LedgerError
from ehrcore.identity import Reason
from ehrcore.ledger import SqliteLedger
from ehrcore.network import found_network
from ehrcore.params import ChainParams, Topology
from ehrcore.records import ClinicalRecord, RecordKind
from ehrcore.types import SECOND

NETWORK = found_network(ChainParams("audit", Topology(1, 1, 1, 2), 1, 1), "cryptography", "audit")
NAMES = ("contributor-0", "contributor-1")


@pytest.fixture(scope="module")
def promised(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two real ledgers of three blocks, and the ids in them."""
    folder, ids = tmp_path_factory.mktemp("audit"), list[str]()
    genesis = Genesis(NETWORK.params, NETWORK.certificates)
    ledgers = {name: SqliteLedger.create(folder / f"{name}.db", genesis) for name in NAMES}

    def observe(_at: int, _name: str, observed: Any) -> None:
        if observed.kind is ObservedKind.SUBMITTED:
            ids.append(observed.subjects[0].hex())

    simulation = Simulation(NETWORK, SimSetup("audit", EXAMPLE), observe, ledgers)  # type: ignore[arg-type]
    for index in range(45):
        record = ClinicalRecord(RecordKind.SENSOR, "p", "Observation", f"/records/{index}", bytes(50))
        simulation.inject(index, "visitor-0", Requested(record, NETWORK.authority.pseudonym("p")))
    simulation.run(60 * SECOND)
    for ledger in ledgers.values():
        assert ledger.height == 3
        ledger.close()
    return folder, ids


@pytest.fixture
def ledgers(promised: Any, tmp_path: Path) -> list[Path]:
    """Copies of them, to be spoilt."""
    return [Path(shutil.copy(promised[0] / f"{name}.db", tmp_path)) for name in NAMES]


def test_what_was_promised_is_there(promised: Any, ledgers: list[Path]) -> None:
    assert audit_ledgers(ledgers, Finished(promised[1], [])) == 45
    assert audit_ledgers(ledgers, Finished(promised[1][:40], promised[1][40:])) == 45, "more than was acknowledged"


def test_a_transaction_that_was_lost_is_named(promised: Any, ledgers: list[Path]) -> None:
    lost = "ab" * 32
    with pytest.raises(BenchError, match=f"contributor-0.db: acknowledged transaction {lost}: expected it once"):
        audit_ledgers(ledgers, Finished([*promised[1], lost], []))


def test_a_transaction_that_nobody_submitted_is_named(promised: Any, ledgers: list[Path]) -> None:
    with pytest.raises(BenchError, match=f"transaction {promised[1][7]}: expected one that was submitted"):
        audit_ledgers(ledgers, Finished([*promised[1][:7], *promised[1][8:]], []))


def again(path: Path, **changes: Any) -> None:
    """Keep the last block once more, with the next height."""
    with SqliteLedger.open(path) as ledger:
        entry = list(ledger.entries())[-1]
        header = msgspec.structs.replace(entry.block.header, height=4)
        given = {"block": msgspec.structs.replace(entry.block, header=header), "certificate": entry.certificate,
                 "reasons": entry.reasons, "state": entry.state}  # fmt: skip
        ledger.append(Persist(**{**given, **changes}))


@pytest.mark.parametrize("place", [0, 1])
def test_a_duplicated_transaction_is_named(promised: Any, ledgers: list[Path], place: int) -> None:
    again(ledgers[place])
    with pytest.raises(BenchError, match=rf"contributor-{place}.db: acknowledged transaction \w+: .* found it 2"):
        audit_ledgers(ledgers, Finished(promised[1], []))


@pytest.mark.parametrize("place", [0, 1])
def test_a_duplicate_of_what_was_not_acknowledged_is_named(promised: Any, ledgers: list[Path], place: int) -> None:
    again(ledgers[place])
    with pytest.raises(BenchError, match=rf"contributor-{place}.db: transaction \w+: expected it once, found it 2"):
        audit_ledgers(ledgers, Finished([], promised[1]))


def test_one_that_was_not_accepted_is_named(promised: Any, ledgers: list[Path]) -> None:
    again(ledgers[1], reasons=(Reason.CONTRACT,) * 15)
    with pytest.raises(BenchError, match=r"transaction \w+: expected it accepted, found contract"):
        audit_ledgers(ledgers, Finished(promised[1], []))


def shorten(path: Path) -> None:
    """A ledger that lacks the last block."""
    with SqliteLedger.open(path) as ledger:
        genesis, entries = ledger.genesis, list(ledger.entries())[:-1]
    path.unlink()
    with SqliteLedger.create(path, genesis) as ledger:
        for entry in entries:
            ledger.append(Persist(entry.block, entry.certificate, entry.reasons, entry.state))


def test_a_contributor_that_lacks_a_block_is_named(promised: Any, ledgers: list[Path]) -> None:
    shorten(ledgers[1])
    with pytest.raises(BenchError, match=r"contributor-1.db: acknowledged transaction \w+: .* found it 0 times"):
        audit_ledgers(ledgers, Finished(promised[1], []))
    with pytest.raises(BenchError, match=r"contributor-1.db: expected the blocks of .*contributor-0.db, found others"):
        audit_ledgers(ledgers, Finished([], promised[1]))


def test_a_block_that_breaks_a_rule_is_found_by_replaying(promised: Any, ledgers: list[Path]) -> None:
    for path in ledgers:
        with SqliteLedger.open(path) as ledger:
            genesis, entries = ledger.genesis, list(ledger.entries())
        path.unlink()
        with SqliteLedger.create(path, genesis) as ledger:
            for entry in entries[:-1]:
                ledger.append(Persist(entry.block, entry.certificate, entry.reasons, entry.state))
            ledger.append(Persist(entries[-1].block, entries[-1].certificate, entries[-1].reasons, bytes(32)))
    with pytest.raises(LedgerError, match="block 3: expected state"):
        audit_ledgers(ledgers, Finished(promised[1], []))
