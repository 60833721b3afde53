"""The store of shares: durable, bounded, encrypted, and what it forgets is in no file; the ledger here is a list."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehrcore.block import (
    Block,
    EndorsedTransaction,
    Header,
    OrdererCertificate,
    RecordRef,
    Transaction,
    TransactionBody,
)
from ehrcore.codec import encode
from ehrcore.consent import Erasure
from ehrcore.custody import SHARE_BYTES, Dealing, Denial, Deposit, Pledge, share_digest
from ehrcore.drive.net import shares as module
from ehrcore.drive.net.share_file import KEY_FILE, KEYS_FILE
from ehrcore.drive.net.shares import WAITING_NS, ShareStore, place_of, split_place
from ehrcore.errors import DeploymentError, LedgerError
from ehrcore.hashing import find_suite
from ehrcore.identity import Reason
from ehrcore.ledger import Entry

SUITE, CHAIN, ME = find_suite("sha256"), bytes(32), "contributor-0"
ANNA, BERT = hashlib.sha256(b"anna").digest(), hashlib.sha256(b"bert").digest()


class ListLedger:
    """Blocks that are as good as validated."""

    def __init__(self) -> None:
        self.blocks: list[Entry] = []

    @property
    def height(self) -> int:
        return len(self.blocks)

    def entries(self, first: int, last: int) -> Iterator[Entry]:
        return iter(self.blocks[first - 1 : last - 1])

    def add(self, *payloads: object, reason: Reason = Reason.ACCEPTED, author: str = "visitor-0") -> None:
        height = self.height + 1
        root = hashlib.sha256(encode((height, payloads))).digest()
        header = Header(CHAIN, height, CHAIN, root, len(payloads), height, "administrator-0", CHAIN, CHAIN, 0, bytes(8))
        bodies = [TransactionBody(CHAIN, author, height * 100 + n, 0, each) for n, each in enumerate(payloads)]  # type: ignore[arg-type]
        items = tuple(EndorsedTransaction(Transaction(body, bytes(64)), (), CHAIN, ()) for body in bodies)
        self.blocks.append(Entry(Block(header, items), OrdererCertificate(bytes(64)), (reason,) * len(payloads), CHAIN))


def make_record(number: int, pseudonym: bytes = ANNA, location: str = "") -> RecordRef:
    digest = hashlib.sha256(b"%d" % number).digest()
    return RecordRef(3, pseudonym, digest, location or f"/r/{number}", number)


def digest_of(record: RecordRef) -> bytes:
    return SUITE.hash(encode(record))


def share_of(number: int) -> bytes:
    return (b"\x02\x01" + hashlib.sha256(b"share %d" % number).digest())[:SHARE_BYTES]


def deposit_of(record: RecordRef, share: bytes, author: str = "visitor-0") -> Deposit:
    pledges = (Pledge(ME, share_digest(share)),)
    return Deposit(Dealing(CHAIN, author, digest_of(record), 1, pledges, 7), bytes(64), bytes(32 + SHARE_BYTES + 16))


@pytest.fixture
def ledger() -> ListLedger:
    return ListLedger()


def open_store(home: Path, ledger: ListLedger, node: str = ME) -> ShareStore:
    return ShareStore.open(home, CHAIN, node, SUITE, ledger)  # type: ignore[arg-type]


def follow(store: ShareStore, ledger: ListLedger) -> None:
    store.require_chain(ledger.height)
    if store.height < ledger.height:
        store.follow(ledger.entries(store.height + 1, ledger.height + 1))


def files(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(home.glob(f"{KEYS_FILE}*")))


def blobs(home: Path) -> dict[bytes, bytes]:
    """Every share as it lies on the disk, by record."""
    with closing(sqlite3.connect(home / KEYS_FILE)) as db:
        rows = db.execute("SELECT record, content FROM deposits JOIN slots USING (slot)").fetchall()
        return dict(rows)


def test_a_share_is_kept_once_found_by_its_author_and_encrypted(tmp_path: Path, ledger: ListLedger) -> None:
    record, share = make_record(1), share_of(1)
    with closing(open_store(tmp_path, ledger)) as store:
        assert store.add(deposit_of(record, share), share, 0) is Denial.NONE
        assert store.add(deposit_of(record, share), share, 5) is Denial.NONE
        assert store.add(deposit_of(record, share_of(2)), share_of(2), 0) is Denial.OTHER_SHARE
        assert store.add(deposit_of(record, share_of(3), "visitor-1"), share_of(3), 0) is Denial.NONE
        assert store.find("visitor-2", digest_of(record)) is None
    assert share[2:] not in files(tmp_path)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    with closing(open_store(tmp_path, ledger)) as store:
        assert store.find("visitor-0", digest_of(record))[2] == share  # type: ignore[index]
        assert store.find("visitor-1", digest_of(record))[2] == share_of(3)  # type: ignore[index]
        assert store.count() == 2


def test_only_what_comes_onto_the_chain_is_kept_for_good(
    tmp_path: Path, ledger: ListLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AUTHOR_LIMIT", 3)
    records = [make_record(number) for number in range(6)]
    with closing(open_store(tmp_path, ledger)) as store:

        def add(number: int, author: str = "visitor-0") -> Denial:
            return store.add(deposit_of(records[number], share_of(number), author), share_of(number), number)

        assert [add(number) for number in range(4)] == [Denial.NONE] * 3 + [Denial.TOO_MANY]
        ledger.add(records[0], records[5])
        ledger.add(records[1], reason=Reason.REVOKED)
        ledger.add(records[2], author="visitor-1")
        follow(store, ledger)
        assert store.count_waiting("visitor-0") == 2, "another's transaction claims nothing, nor does an invalid one"
        assert add(3) is Denial.NONE
        assert add(4) is Denial.TOO_MANY
        assert add(5) is Denial.NONE, "it is on the chain already"
        old = blobs(tmp_path)
        assert (store.sweep(WAITING_NS), store.sweep(WAITING_NS + 2)) == (0, 2)
        assert sum(content in files(tmp_path) for content in old.values()) == len(old) - 2, "nor in the log"
        assert [store.find("visitor-0", digest_of(record)) is not None for record in records] == [
            True, False, False, True, False, True,
        ]  # fmt: skip
        assert add(1) is Denial.NONE


@settings(deadline=None, max_examples=6)
@given(st.data())
def test_what_is_erased_is_in_no_file_and_nothing_else_is_lost(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """SQLite moves rows as it likes: whatever the order of deposits, claims and erasures, no trace is left."""
    home, ledger = tmp_path_factory.mktemp("store"), ListLedger()
    numbers = data.draw(st.permutations(range(36)))
    records = {number: make_record(number) for number in numbers}
    held: dict[int, bytes] = {}
    store = open_store(home, ledger)
    for start in range(0, 36, 12):
        for number in numbers[start : start + 12]:
            assert store.add(deposit_of(records[number], share_of(number)), share_of(number), 0) is Denial.NONE
        ledger.add(*(records[number] for number in numbers[start : start + 12]))
        follow(store, ledger)
        store.close()
        known = blobs(home)
        held |= {number: known[digest_of(records[number])] for number in numbers[start : start + 12]}
        store = open_store(home, ledger)
        gone = data.draw(st.sets(st.sampled_from(sorted(held)), max_size=15))
        ledger.add(*(Erasure(ANNA, digest_of(records[number])) for number in gone))
        follow(store, ledger)
        content = files(home)
        assert not [number for number in gone if held[number] in content]
        held = {number: blob for number, blob in held.items() if number not in gone}
    assert {number for number in records if store.find("visitor-0", digest_of(records[number]))} == set(held)
    store.close()


def test_nobody_erases_anothers_record_or_anothers_object(tmp_path: Path, ledger: ListLedger) -> None:
    mine, theirs = make_record(1), make_record(2, BERT)
    # Bert has his own record name Anna's object, and erases it.
    sly = make_record(3, BERT, mine.location)
    with closing(open_store(tmp_path, ledger)) as store:
        for number, record in ((1, mine), (2, theirs), (3, sly)):
            assert store.add(deposit_of(record, share_of(number)), share_of(number), 0) is Denial.NONE
        ledger.add(mine, theirs, sly)
        ledger.add(Erasure(BERT, digest_of(mine)), Erasure(BERT, digest_of(sly)))
        ledger.add(Erasure(ANNA, digest_of(theirs)), reason=Reason.NO_RIGHT)
        follow(store, ledger)
        assert store.find("visitor-0", digest_of(mine)) is not None
        assert store.find("visitor-0", digest_of(theirs)) is not None
        assert store.find("visitor-0", digest_of(sly)) is None
        assert store.erased_objects() == [(mine.location, True)]
        store.forget(mine.location)
        ledger.add(Erasure(ANNA, digest_of(mine)))
        follow(store, ledger)
        assert store.erased_objects() == [(mine.location, False)], "now nobody needs it"
        store.forget(mine.location)
        assert store.erased_objects() == []
        assert store.add(deposit_of(mine, share_of(1)), share_of(1), 0) is Denial.ERASED
        hits, last = store.search(ANNA, 0, place_of(0, -1), 10)
        assert ([(hit.record, hit.is_erased) for hit in hits], last) == ([(mine, True)], None)


def test_what_is_erased_before_it_comes_is_not_kept_when_it_does(tmp_path: Path, ledger: ListLedger) -> None:
    record = make_record(1)
    with closing(open_store(tmp_path, ledger)) as store:
        ledger.add(Erasure(ANNA, digest_of(record)), Erasure(BERT, digest_of(record)))
        follow(store, ledger)
        assert store.add(deposit_of(record, share_of(1)), share_of(1), 0) is Denial.NONE, "nobody knows whose it is"
        ledger.add(record)
        follow(store, ledger)
        assert store.find("visitor-0", digest_of(record)) is None
        assert store.erased_objects() == [(record.location, False)]


def test_a_ledger_that_is_another_is_followed_anew_and_a_shorter_one_waited_for(
    tmp_path: Path, ledger: ListLedger
) -> None:
    record = make_record(1)
    with closing(open_store(tmp_path, ledger)) as store:
        ledger.add(make_record(9))
        ledger.add(make_record(8))
        follow(store, ledger)
        store.require_chain(1)
        assert store.height == 2
        other = ListLedger()
        other.add(record)
        other.add(make_record(7))
        store._ledger = other  # type: ignore[assignment]
        follow(store, other)
        assert store.height == 2
        assert [hit.record for hit in store.search(ANNA, 0, 0, 10)[0]] == [record, make_record(7)]


def test_an_interrupted_erasure_is_ended_at_the_next_start(tmp_path: Path, ledger: ListLedger) -> None:
    record = make_record(1)
    store = open_store(tmp_path, ledger)
    assert store.add(deposit_of(record, share_of(1)), share_of(1), 0) is Denial.NONE
    ledger.add(record)
    follow(store, ledger)
    (blob,) = blobs(tmp_path).values()
    ledger.add(Erasure(ANNA, digest_of(record)))
    store.empty_log = lambda: None  # type: ignore[method-assign]
    follow(store, ledger)
    crash = tmp_path / "crash"
    crash.mkdir()
    for path in [path for path in tmp_path.iterdir() if path.is_file()]:
        (crash / path.name).write_bytes(path.read_bytes())
        (crash / path.name).chmod(0o600)
    store.close()
    assert blob in files(crash), "what a power cut may leave"
    with closing(open_store(crash, ledger)) as again:
        assert blob not in files(crash)
        assert again.erased_objects() == [(record.location, False)]


def test_places_are_heights_and_positions_in_order() -> None:
    places = [place_of(height, position) for height in (1, 2, 1 << 40) for position in (0, 1, 65_535)]
    assert places == sorted(places)
    assert [split_place(place) for place in places[3:6]] == [(2, 0), (2, 1), (2, 65_535)]
    assert place_of(0, -1) < place_of(1, -1) < places[0]


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda home: (home / KEY_FILE).unlink(), DeploymentError, f"{KEY_FILE}: expected a file that can be read"),
        (lambda home: (home / KEY_FILE).write_text("odd"), DeploymentError, "expected a key of 32 bytes"),
        (lambda home: (home / KEY_FILE).chmod(0o644), DeploymentError, "expected a secret that its owner alone"),
        (lambda home: (home / KEYS_FILE).write_bytes(b"odd" * 999), LedgerError, "expected a node's shares of keys"),
    ],
)
def test_files_that_are_damaged_are_named(tmp_path: Path, ledger: ListLedger, spoil, error, words) -> None:
    open_store(tmp_path, ledger).close()
    spoil(tmp_path)
    with pytest.raises(error, match=words):
        open_store(tmp_path, ledger)


def test_the_shares_of_another_node_and_under_another_key_are_refused(tmp_path: Path, ledger: ListLedger) -> None:
    record = make_record(1)
    with closing(open_store(tmp_path, ledger)) as store:
        assert store.add(deposit_of(record, share_of(1)), share_of(1), 0) is Denial.NONE
    with pytest.raises(LedgerError, match="expected the shares of contributor-1"):
        open_store(tmp_path, ledger, "contributor-1")
    (tmp_path / KEY_FILE).write_text("00" * 32)
    with closing(open_store(tmp_path, ledger)) as store, pytest.raises(LedgerError, match="expected a share under"):
        store.find("visitor-0", digest_of(record))
