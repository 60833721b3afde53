"""A ledger file keeps what it was given, for ever, and says so of nothing else.

One small real chain is simulated once; every test gets its own copy of the file and does something bad to it.
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from ehrcore.block import Attestation, Block
from ehrcore.codec import MAX_MESSAGE_BYTES, decode, encode
from ehrcore.drive.cost import EXAMPLE
from ehrcore.drive.sim import SimSetup, Simulation
from ehrcore.effects import Observed, Persist, Requested
from ehrcore.errors import LedgerError
from ehrcore.identity import Reason
from ehrcore.ledger import APPLICATION_ID, SCHEMA_VERSION, Entry, Genesis, MemoryLedger, SqliteLedger
from ehrcore.network import Network, found_network
from ehrcore.params import ChainParams, Limits, Topology
from ehrcore.records import ClinicalRecord, RecordKind

RECORDS = 13
TRIGGERS = ("genesis_is_kept", "genesis_stays", "genesis_is_one", "blocks_are_kept", "blocks_stay", "blocks_follow")


@dataclass(frozen=True)
class Chain:
    """A simulated chain: its file, its blocks as they were persisted, and its last state."""

    network: Network
    genesis: Genesis
    path: Path
    persisted: tuple[Persist, ...]
    state: bytes

    @property
    def height(self) -> int:
        return len(self.persisted)


def build_chain(folder: Path, label: str) -> Chain:
    params = ChainParams(label, Topology(2, 2, 4, 2), 2, 2, limits=Limits(max_transactions=3))
    network = found_network(params, "cryptography", label)
    genesis = Genesis(network.params, network.certificates)
    path = folder / "chain.ledger"
    memory = MemoryLedger()

    def observe(at: int, name: str, observed: Observed) -> None:
        """Nothing to measure."""

    with SqliteLedger.create(path, genesis) as ledger:
        simulation = Simulation(
            network, SimSetup("seed", EXAMPLE), observe, {"contributor-0": ledger, "contributor-1": memory}
        )
        for number in range(RECORDS):
            record = ClinicalRecord(RecordKind.SENSOR, "patient", "Observation", f"/r/{number}", b"x" * 40)
            simulation.inject(number * 1_000_000, "visitor-0", Requested(record, network.authority.pseudonym("p")))
        simulation.run(10**13)
    return Chain(network, genesis, path, tuple(memory.entries), memory.entries[-1].state)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    chain = build_chain(tmp_path_factory.mktemp("chain"), "net")
    assert chain.height == 5, "13 records in blocks of 3, the last of them cut by time"
    return chain


@pytest.fixture
def copy(chain: Chain, tmp_path: Path) -> Path:
    return Path(shutil.copy(chain.path, tmp_path / "copy.ledger"))


@pytest.fixture
def bare(copy: Path) -> Path:
    """A copy whose triggers someone has dropped."""
    with closing(sqlite3.connect(copy)) as db, db:
        for name in TRIGGERS:
            db.execute(f"DROP TRIGGER {name}")
    return copy


def run_sql(path: Path, sql: str, *arguments: object) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(sql, arguments)


def contents_of(path: Path) -> list[bytes]:
    with closing(sqlite3.connect(path)) as db:
        return [row[0] for row in db.execute("SELECT content FROM blocks ORDER BY height")]


def verify(path: Path) -> bytes:
    """The digest of the state after the last block."""
    with SqliteLedger.open(path) as ledger:
        return ledger.verify().digest


def refusal_of(path: Path) -> str:
    with pytest.raises(LedgerError) as caught:
        verify(path)
    return str(caught.value)


# -- what was kept is there ------------------------------------------------------------------------------------------


def test_a_reopened_ledger_verifies_to_the_state_that_the_chain_had(chain: Chain, copy: Path) -> None:
    with SqliteLedger.open(copy) as ledger:
        assert (ledger.height, ledger.genesis) == (chain.height, chain.genesis)
        state = ledger.verify()
    assert (state.height, state.digest, state.chain) == (chain.height, chain.state, chain.network.chain)


def test_the_entries_are_what_was_persisted(chain: Chain, copy: Path) -> None:
    with SqliteLedger.open(copy) as ledger:
        entries = list(ledger.entries())
    assert [(entry.block, entry.certificate, entry.reasons, entry.state) for entry in entries] == [
        (persist.block, persist.certificate, persist.reasons, persist.state) for persist in chain.persisted
    ]
    assert sum(len(entry.block.transactions) for entry in entries) == RECORDS


def test_a_new_ledger_is_empty_and_verifies(chain: Chain, tmp_path: Path) -> None:
    path = tmp_path / "new.ledger"
    with SqliteLedger.create(path, chain.genesis) as ledger:
        assert (ledger.height, list(ledger.entries())) == (0, [])
    with SqliteLedger.open(path) as ledger:
        assert ledger.verify().height == 0


@pytest.mark.parametrize(
    "name",
    [
        "plain.ledger",
        "what?.ledger",
        "number #1.ledger",
        "100%.ledger",
        "100%41.ledger",
        "with space.ledger",
        "Krankenakte-ä-病歴.ledger",
        "a&b=c;mode=memory",
        "?mode=memory",
        "'quoted\"",
        "file:name",
        "-",
        "surrogate-\udcff",
    ],
)
def test_any_file_name_is_that_file(chain: Chain, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "a folder? #1 100% é"
    folder.mkdir()
    with SqliteLedger.create(folder / name, chain.genesis) as ledger:
        ledger.append(chain.persisted[0])
        assert (folder / name).is_file()
    assert {path.name for path in folder.iterdir()} == {name}
    with SqliteLedger.open(folder / name) as ledger:
        assert ledger.verify().height == 1


def test_a_path_with_two_slashes_in_front_is_that_file(chain: Chain, tmp_path: Path) -> None:
    """POSIX lets them mean something else, and in a URI they would begin a host."""
    path = Path(f"/{tmp_path / 'x.ledger'}")
    SqliteLedger.create(path, chain.genesis).close()
    assert (tmp_path / "x.ledger").is_file()


def test_a_relative_path_is_relative_to_the_folder_of_the_process(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    SqliteLedger.create(Path("x.ledger"), chain.genesis).close()
    assert (tmp_path / "x.ledger").is_file()


# -- appending -------------------------------------------------------------------------------------------------------


@pytest.fixture
def growing(chain: Chain, tmp_path: Path) -> Iterator[SqliteLedger]:
    """A ledger that holds blocks 1 and 2."""
    with SqliteLedger.create(tmp_path / "growing.ledger", chain.genesis) as ledger:
        for persist in chain.persisted[:2]:
            ledger.append(persist)
        yield ledger


@pytest.mark.parametrize("height", [1, 2, 4, 5])
def test_only_the_next_block_is_appended(chain: Chain, growing: SqliteLedger, height: int) -> None:
    with pytest.raises(LedgerError, match=f"expected block 3, found block {height}"):
        growing.append(chain.persisted[height - 1])
    assert growing.height == 2
    growing.append(chain.persisted[2])
    assert growing.verify().height == 3


@pytest.mark.parametrize("height", [0, 2, 3])
def test_memory_takes_only_the_next_block_too(chain: Chain, height: int) -> None:
    ledger = MemoryLedger()
    ledger.append(chain.persisted[0])
    persist = chain.persisted[max(height - 1, 0)]
    header = msgspec.structs.replace(persist.block.header, height=height)
    block = msgspec.structs.replace(persist.block, header=header)
    if height == 2:
        ledger.append(persist)
        assert ledger.height == 2
    else:
        with pytest.raises(LedgerError, match=f"expected block 2, found block {height}"):
            ledger.append(msgspec.structs.replace(persist, block=block))
        assert ledger.height == 1


def test_memory_keeps_the_last_blocks_within_bounds(chain: Chain) -> None:
    ledger = MemoryLedger(keep=2)
    for persist in chain.persisted:
        ledger.append(persist)
    assert (ledger.height, tuple(ledger.entries)) == (chain.height, chain.persisted[-2:])


def test_a_block_is_on_disk_when_append_returns(chain: Chain, growing: SqliteLedger, tmp_path: Path) -> None:
    """What another process finds if this one dies now: the files as they are, without closing."""
    growing.append(chain.persisted[2])
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for path in tmp_path.glob("growing.ledger*"):
        if not path.name.endswith("-shm"):
            shutil.copy(path, crashed)
    with SqliteLedger.open(crashed / "growing.ledger") as ledger:
        assert ledger.verify().height == 3


def test_every_commit_is_synced(copy: Path) -> None:
    with SqliteLedger.open(copy) as ledger:
        pragmas = {name: ledger._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}


def test_a_full_disk_is_an_error_and_changes_nothing(chain: Chain, growing: SqliteLedger) -> None:
    pages = growing._db.execute("PRAGMA page_count").fetchone()[0]
    growing._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(LedgerError, match="block 3 could not be kept: database or disk is full"):
        growing.append(chain.persisted[2])
    assert growing.height == 2
    growing._db.execute("PRAGMA max_page_count=1000000")
    growing.append(chain.persisted[2])
    assert growing.verify().height == 3


def test_of_two_writers_the_second_is_refused(chain: Chain, growing: SqliteLedger) -> None:
    with SqliteLedger.open(growing.path) as other:
        growing.append(chain.persisted[2])
        with pytest.raises(LedgerError, match="block 3 could not be kept"):
            other.append(chain.persisted[2])
        assert other.height == 2
    assert growing.verify().height == 3


def test_a_reader_sees_whole_blocks_while_another_writes(chain: Chain, growing: SqliteLedger) -> None:
    with SqliteLedger.open(growing.path) as reader:
        entries = reader.entries()
        assert next(entries).block == chain.persisted[0].block
        growing.append(chain.persisted[2])
        assert [entry.block for entry in entries] == [chain.persisted[1].block]
        assert reader.verify().height == 3


def test_a_ledger_can_be_appended_to_while_it_is_being_read(chain: Chain, growing: SqliteLedger) -> None:
    entries = growing.entries()
    next(entries)
    growing.append(chain.persisted[2])
    assert len(list(entries)) in {1, 2}
    assert growing.verify().height == 3


def test_a_closed_ledger_takes_and_gives_nothing(chain: Chain, growing: SqliteLedger) -> None:
    growing.close()
    with pytest.raises(LedgerError, match="block 3 could not be kept: Cannot operate on a closed database"):
        growing.append(chain.persisted[2])
    with pytest.raises(LedgerError, match="block 1 cannot be read"):
        growing.verify()
    growing.close()


# -- append-only -----------------------------------------------------------------------------------------------------


def test_the_triggers_are_those_that_the_tests_drop(copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as db:
        names = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    assert names == set(TRIGGERS)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE blocks SET content = x'00' WHERE height = 2",
        "UPDATE blocks SET height = 9 WHERE height = 5",
        "UPDATE blocks SET hash = x'00' WHERE height = 2",
        "UPDATE OR REPLACE blocks SET height = 2 WHERE height = 3",
        "DELETE FROM blocks WHERE height = 5",
        "DELETE FROM blocks",
        "UPDATE genesis SET content = x'00'",
        "DELETE FROM genesis",
        "INSERT INTO genesis VALUES (0, x'00')",
        "INSERT INTO genesis VALUES (1, x'00')",
        "INSERT OR REPLACE INTO genesis VALUES (0, x'00')",
        "REPLACE INTO blocks VALUES (2, x'00', x'00')",
        "INSERT OR REPLACE INTO blocks VALUES (5, x'00', x'00')",
        "INSERT OR REPLACE INTO blocks SELECT 6, hash, content FROM blocks WHERE height = 2",
        "INSERT INTO blocks VALUES (2, x'00', x'00') ON CONFLICT DO UPDATE SET content = excluded.content",
        "INSERT INTO blocks VALUES (7, x'00', x'00')",
        "INSERT INTO blocks VALUES (0, x'00', x'00')",
        "INSERT INTO blocks VALUES (-1, x'00', x'00')",
        "INSERT INTO blocks (hash, content) VALUES (x'00', x'00')",
    ],
)
def test_a_statement_that_would_change_history_is_refused(chain: Chain, copy: Path, sql: str) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        run_sql(copy, sql)
    assert verify(copy) == chain.state


# -- tampering -------------------------------------------------------------------------------------------------------

HEIGHTS = range(1, 6)


def replace_content(path: Path, height: int, content: object) -> None:
    run_sql(path, "UPDATE blocks SET content = ? WHERE height = ?", content, height)


@pytest.mark.parametrize("height", HEIGHTS)
def test_a_changed_byte_of_a_block_is_found_and_the_block_named(bare: Path, height: int) -> None:
    content = contents_of(bare)[height - 1]
    for at in [*range(0, len(content), 101), len(content) - 1]:
        mutant = bytearray(content)
        mutant[at] ^= 1 << at % 8
        replace_content(bare, height, bytes(mutant))
        assert f"block {height}" in refusal_of(bare), at


@pytest.mark.long
def test_each_byte_of_a_block_counts(bare: Path) -> None:
    content = contents_of(bare)[0]
    for at in range(len(content)):
        mutant = bytearray(content)
        mutant[at] ^= 1 << at % 8
        replace_content(bare, 1, bytes(mutant))
        assert "block 1" in refusal_of(bare), at


Change = Callable[[Entry], Entry]


def change_block(entry: Entry, **changes: Any) -> Entry:
    return msgspec.structs.replace(entry, block=msgspec.structs.replace(entry.block, **changes))


def change_header(entry: Entry, **changes: Any) -> Entry:
    return change_block(entry, header=msgspec.structs.replace(entry.block.header, **changes))


CHANGES: dict[str, tuple[Change, str]] = {
    "height": (lambda entry: change_header(entry, height=9), "height"),
    "previous": (lambda entry: change_header(entry, previous=bytes(32)), "previous"),
    "chain": (lambda entry: change_header(entry, chain=bytes(32)), "chain"),
    "timestamp": (lambda entry: change_header(entry, timestamp=10**15), "certificate"),
    "proposer": (lambda entry: change_header(entry, proposer="administrator-9"), "proposer"),
    "validators": (lambda entry: change_header(entry, validators=bytes(32)), "validators"),
    "merkle-root": (lambda entry: change_header(entry, merkle_root=bytes(32)), "certificate"),
    "no-transactions": (lambda entry: change_block(entry, transactions=()), "size"),
    "a-transaction-less": (lambda entry: change_block(entry, transactions=entry.block.transactions[:-1]), "size"),
    "transactions-swapped": (
        lambda entry: change_block(entry, transactions=entry.block.transactions[::-1]),
        "merkle-root",
    ),
    "a-transaction-doubled": (
        lambda entry: change_block(entry, transactions=entry.block.transactions[:1] * 3),
        "merkle-root",
    ),
    "no-votes": (
        lambda entry: msgspec.structs.replace(entry, certificate=msgspec.structs.replace(entry.certificate, votes=())),
        "certificate",
    ),
    "another-round": (
        lambda entry: msgspec.structs.replace(entry, certificate=msgspec.structs.replace(entry.certificate, round=7)),
        "certificate",
    ),
    "another-voter": (
        lambda entry: msgspec.structs.replace(
            entry,
            certificate=msgspec.structs.replace(
                entry.certificate,
                votes=(Attestation("visitor-0", bytes(64)), *entry.certificate.votes),  # type: ignore[union-attr]
            ),
        ),
        "certificate",
    ),
    "reasons": (
        lambda entry: msgspec.structs.replace(entry, reasons=(Reason.EXPIRED, *entry.reasons[1:])),
        "expected state",
    ),
    "no-reasons": (lambda entry: msgspec.structs.replace(entry, reasons=()), "expected state"),
    "state": (lambda entry: msgspec.structs.replace(entry, state=bytes(32)), "expected state"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_field_is_found_and_the_rule_named(bare: Path, name: str) -> None:
    """Each is kept under the hash of its header, as someone would who knows the format."""
    change, rule = CHANGES[name]
    entry = change(decode(contents_of(bare)[1], Entry))
    with SqliteLedger.open(bare) as ledger:
        block_hash = ledger._crypto.hash_struct(entry.block.header)
    run_sql(bare, "UPDATE blocks SET content = ?, hash = ? WHERE height = 2", encode(entry), block_hash)
    refusal = refusal_of(bare)
    assert "block 2: " in refusal
    assert rule in refusal


@pytest.mark.parametrize("height", HEIGHTS)
def test_a_block_under_another_hash_is_found(bare: Path, height: int) -> None:
    run_sql(bare, "UPDATE blocks SET hash = ? WHERE height = ?", bytes(32), height)
    assert f"block {height}: expected hash" in refusal_of(bare)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("text", id="text"),
        pytest.param(b"", id="empty"),
        pytest.param(5, id="integer"),
        pytest.param(0.5, id="float"),
        pytest.param(bytes(MAX_MESSAGE_BYTES + 1), id="too-long"),
        pytest.param(b"\x91" * 10_000, id="nested"),
    ],
)
@pytest.mark.parametrize("height", [1, 3, 5])
def test_content_of_another_type_is_found(bare: Path, height: int, content: object) -> None:
    replace_content(bare, height, content)
    assert f"block {height} cannot be read" in refusal_of(bare)


@pytest.mark.parametrize("height", [1, 2, 4])
def test_a_deleted_block_is_found(bare: Path, height: int) -> None:
    run_sql(bare, "DELETE FROM blocks WHERE height = ?", height)
    assert f"expected block {height}, found block {height + 1}" in refusal_of(bare)


@pytest.mark.parametrize("height", [0, -1])
def test_a_block_before_the_first_is_found(bare: Path, height: int) -> None:
    run_sql(bare, "INSERT INTO blocks VALUES (?, x'00', x'00')", height)
    assert f"expected block 1, found block {height}" in refusal_of(bare)


def test_swapped_blocks_are_found(bare: Path) -> None:
    contents = contents_of(bare)
    replace_content(bare, 2, contents[2])
    replace_content(bare, 3, contents[1])
    assert "block 2" in refusal_of(bare)


def test_a_block_that_comes_twice_is_found(bare: Path) -> None:
    run_sql(bare, "INSERT INTO blocks SELECT 6, x'00', content FROM blocks WHERE height = 5")
    assert "block 6" in refusal_of(bare)


def test_a_block_of_another_chain_is_found(bare: Path, tmp_path: Path) -> None:
    """The same keys' names, parameters and records, but another label: every signature in it is valid there."""
    other = build_chain(tmp_path, "other")
    persist = other.persisted[0]
    entry = Entry(persist.block, persist.certificate, persist.reasons, persist.state)
    block_hash = other.network.crypto("visitor-0").hash_struct(entry.block.header)
    run_sql(bare, "UPDATE blocks SET content = ?, hash = ? WHERE height = 1", encode(entry), block_hash)
    assert "block 1: chain: expected" in refusal_of(bare)


def test_a_chain_cut_at_its_end_verifies_to_its_lower_height(chain: Chain, bare: Path) -> None:
    """No ledger can show what it never had; whoever knows a later block's hash notices."""
    run_sql(bare, "DELETE FROM blocks WHERE height = 5")
    assert verify(bare) == chain.persisted[3].state != chain.state


def test_a_changed_genesis_is_found(chain: Chain, bare: Path) -> None:
    content = encode(chain.genesis)
    for at in range(0, len(content), 29):
        mutant = bytearray(content)
        mutant[at] ^= 1 << at % 8
        run_sql(bare, "UPDATE genesis SET content = ?", bytes(mutant))
        with pytest.raises(LedgerError):
            verify(bare)


@pytest.mark.parametrize("which", ["less", "twice", "reordered", "none"])
def test_changed_founders_are_found(chain: Chain, bare: Path, which: str) -> None:
    founders = chain.genesis.certificates
    changed = {"less": founders[1:], "twice": founders[:1] + founders, "reordered": founders[::-1], "none": ()}[which]
    run_sql(bare, "UPDATE genesis SET content = ?", encode(Genesis(chain.genesis.params, changed)))
    with pytest.raises(LedgerError):
        verify(bare)


# -- files that are no ledger ----------------------------------------------------------------------------------------


def open_error(path: Path) -> str:
    with pytest.raises(LedgerError) as caught:
        SqliteLedger.open(path)
    return str(caught.value)


def test_a_missing_file_is_no_ledger_and_is_not_made(tmp_path: Path) -> None:
    assert "expected a ledger file, found none" in open_error(tmp_path / "missing")
    assert not list(tmp_path.iterdir())


def test_opening_makes_no_file_that_vanished_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_file", lambda _: True)
    assert "unable to open database file" in open_error(tmp_path / "vanished")
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_ledger(tmp_path: Path) -> None:
    assert "expected a ledger file, found none" in open_error(tmp_path)


@pytest.mark.parametrize("name", ["x" * 300, "nul\0byte"])
def test_an_impossible_name_is_no_ledger(chain: Chain, tmp_path: Path, name: str) -> None:
    assert "expected a ledger" in open_error(tmp_path / name)
    with pytest.raises(LedgerError, match="expected a place to write a ledger"):
        SqliteLedger.create(tmp_path / name, chain.genesis)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0", id="one-byte"),
        pytest.param(b"no ledger\n" * 1_000, id="text"),
        pytest.param(bytes(8_192), id="zeros"),
        pytest.param(b"SQLite format 3\0", id="magic-alone"),
        pytest.param(b"SQLite format 3\0" + b"\xff" * 5_000, id="magic-and-garbage"),
    ],
)
def test_another_file_is_no_ledger_and_stays_as_it_was(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert f"{path}: expected" in open_error(path)
    assert path.read_bytes() == content
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("setup", ["", "PRAGMA application_id=1", f"PRAGMA application_id={APPLICATION_ID}"])
def test_another_database_is_no_ledger_and_stays_as_it_was(tmp_path: Path, setup: str) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(f"{setup}; CREATE TABLE blocks (anything); INSERT INTO blocks VALUES (1)")
    before = path.read_bytes()
    assert f"{path}: expected" in open_error(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1])
def test_another_version_of_the_schema_is_named(copy: Path, version: int) -> None:
    with closing(sqlite3.connect(copy)) as db:
        db.execute(f"PRAGMA user_version={version}")
    assert f"expected user_version {SCHEMA_VERSION}, found {version}" in open_error(copy)


@pytest.mark.parametrize("table", ["genesis", "blocks"])
def test_a_missing_table_is_found(copy: Path, table: str) -> None:
    run_sql(copy, f"DROP TABLE {table}")
    assert f"no such table: {table}" in open_error(copy)


@pytest.mark.parametrize("content", ["text", 5, b"", b"\x93", bytes(MAX_MESSAGE_BYTES + 1)])
def test_a_genesis_that_is_none_is_found(bare: Path, content: object) -> None:
    run_sql(bare, "UPDATE genesis SET content = ?", content)
    assert "expected a genesis, found" in open_error(bare)


def test_a_missing_genesis_is_found(bare: Path) -> None:
    run_sql(bare, "DELETE FROM genesis")
    assert "expected a genesis, found none" in open_error(bare)


def test_a_table_of_another_shape_is_found(copy: Path) -> None:
    run_sql(copy, "DROP TABLE blocks")
    run_sql(copy, "CREATE TABLE blocks (height, hash, content)")
    run_sql(copy, "INSERT INTO blocks VALUES ('first', NULL, NULL)")
    assert "expected block 1, found block first" in refusal_of(copy)


def test_a_truncated_file_is_found(chain: Chain, tmp_path: Path) -> None:
    whole = chain.path.read_bytes()
    for size in range(0, len(whole), 2_048):
        path = tmp_path / f"cut-{size}"
        path.write_bytes(whole[:size])
        assert f"{path}" in refusal_of(path)


def assert_flips_do_no_harm(chain: Chain, path: Path, positions: range) -> None:
    """A changed byte anywhere in the file is refused as such, or lies where nothing is kept."""
    whole = chain.path.read_bytes()
    for at in positions:
        mutant = bytearray(whole)
        mutant[at] ^= 1 << at % 8
        path.write_bytes(mutant)
        try:
            found = verify(path)
        except LedgerError:
            continue
        assert found == chain.state, at


def test_a_flipped_bit_anywhere_in_the_file_is_refused_or_changes_nothing(chain: Chain, tmp_path: Path) -> None:
    size = chain.path.stat().st_size
    assert_flips_do_no_harm(chain, tmp_path / "flipped", range(0, 100, 2))
    assert_flips_do_no_harm(chain, tmp_path / "flipped", range(100, size, size // 60))


@pytest.mark.long
def test_many_flipped_bits_are_refused_or_change_nothing(chain: Chain, tmp_path: Path) -> None:
    assert_flips_do_no_harm(chain, tmp_path / "flipped", range(0, chain.path.stat().st_size, 13))


def test_a_damaged_schema_that_is_no_text_is_found(chain: Chain, tmp_path: Path) -> None:
    """SQLite quotes it in its error, and Python then fails to decode that error."""
    path = tmp_path / "damaged"
    whole = chain.path.read_bytes()
    assert b"BEFORE INSERT ON blocks" in whole
    path.write_bytes(whole.replace(b"BEFORE INSERT ON blocks", b"BEFORE INSERT ON bl\xe3cks"))
    assert f"{path}: expected a ledger, found: " in open_error(path)


# -- creating --------------------------------------------------------------------------------------------------------


def test_a_ledger_is_not_created_twice(chain: Chain, copy: Path) -> None:
    before = copy.read_bytes()
    with pytest.raises(LedgerError, match="expected no file, found one"):
        SqliteLedger.create(copy, chain.genesis)
    assert copy.read_bytes() == before


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_ledger_replaces_nothing(chain: Chain, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "taken"
    path.touch() if kind == "file" else path.mkdir()
    with pytest.raises(LedgerError, match="expected no file, found one"):
        SqliteLedger.create(path, chain.genesis)


def test_a_ledger_needs_its_folder(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="expected a place to write a ledger, found: unable to open"):
        SqliteLedger.create(tmp_path / "missing" / "x.ledger", chain.genesis)


@pytest.fixture
def modelled() -> Genesis:
    params = ChainParams("net", Topology(1, 1, 1, 1), 1, 1, is_modelled=True)
    network = found_network(params, "modelled", "net")
    return Genesis(network.params, network.certificates)


def test_a_modelled_chain_gets_no_ledger(modelled: Genesis, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="expected a chain with real signatures, found a modelled one"):
        SqliteLedger.create(tmp_path / "x.ledger", modelled)
    assert not list(tmp_path.iterdir())


def test_a_modelled_chain_that_someone_put_into_a_ledger_is_not_opened(modelled: Genesis, bare: Path) -> None:
    run_sql(bare, "DELETE FROM blocks")
    run_sql(bare, "UPDATE genesis SET content = ?", encode(modelled))
    assert "expected a chain with real signatures, found a modelled one" in open_error(bare)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hash_suite": "sha0"}, "hash suite: expected one of"),
        ({"curve": "p384"}, "signature scheme: expected one of"),
        ({"limits": Limits(max_transactions=0)}, "expected a genesis"),
        ({"name": "x" * MAX_MESSAGE_BYTES}, "expected a genesis, found: message: expected at most"),
    ],
)
def test_what_could_not_be_opened_is_not_created(
    chain: Chain, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    genesis = Genesis(msgspec.structs.replace(chain.genesis.params, **changes), chain.genesis.certificates)
    with pytest.raises(LedgerError, match=message):
        SqliteLedger.create(tmp_path / "x.ledger", genesis)
    assert not list(tmp_path.iterdir())


class Watched(sqlite3.Connection):
    """Tells who is still open."""

    alive: ClassVar[set["Watched"]] = set()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.alive.add(self)

    def close(self) -> None:
        self.alive.discard(self)
        super().close()


@pytest.mark.parametrize("which", ["garbage", "empty", "other-database", "no-genesis", "create-in-missing-folder"])
def test_what_is_refused_is_closed(
    chain: Chain, bare: Path, tmp_path: Path, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / which
    if which == "garbage":
        path.write_bytes(b"no ledger" * 1_000)
    elif which == "empty":
        path.touch()
    elif which == "other-database":
        run_sql(path, "CREATE TABLE anything (x)")
    elif which == "no-genesis":
        run_sql(bare, "DELETE FROM genesis")
        path = bare
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, **options, factory=Watched))
    if which == "create-in-missing-folder":
        with pytest.raises(LedgerError):
            SqliteLedger.create(path / "x.ledger", chain.genesis)
    else:
        open_error(path)
    assert not Watched.alive


def test_blocks_and_entries_are_canonical(chain: Chain, copy: Path) -> None:
    for content, persist in zip(contents_of(copy), chain.persisted, strict=True):
        assert encode(decode(content, Entry)) == content
        assert decode(encode(persist.block), Block) == persist.block


def test_a_ledger_may_leave_syncing_to_the_system_until_it_is_opened_again(tmp_path: Path, chain: Chain) -> None:
    path = tmp_path / "unsynced.db"
    with SqliteLedger.create(path, chain.genesis, is_synced=False) as ledger:
        assert ledger._db.execute("PRAGMA synchronous").fetchone()[0] == 1
    with SqliteLedger.open(path) as ledger:
        assert ledger._db.execute("PRAGMA synchronous").fetchone()[0] == 2
