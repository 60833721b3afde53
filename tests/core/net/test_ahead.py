"""Objects are hashed in threads before contracts ask: a slow store holds up its sender's frame and not the node."""

import asyncio
import threading
from pathlib import Path

import pytest

from ehrcore.block import Attestation, RecordRef, Revocation, Transaction, TransactionBody
from ehrcore.contracts import WHOLE_BYTES, look_up
from ehrcore.crypto import Crypto
from ehrcore.drive.net.ahead import REMEMBERED, Ahead
from ehrcore.drive.net.objects import FileStore
from ehrcore.errors import StorageError
from ehrcore.hashing import find_suite
from ehrcore.identity import Reason
from ehrcore.messages import Endorse
from ehrcore.signing import find_scheme
from ehrcore.storage import MemoryStore

BODY = b"a record"


class FarStore(MemoryStore):
    """A store elsewhere: it answers when it may, notes who asked, and may be out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer, self.is_down = threading.Event(), False
        self.may_answer.set()
        self.asked: list[tuple[str, bool]] = []

    def get(self, location: str) -> bytes | None:
        self.asked.append((location, threading.current_thread() is threading.main_thread()))
        assert self.may_answer.wait(60)
        if self.is_down:
            raise StorageError("store: expected an answer, found none")
        return super().get(location)


@pytest.fixture
def crypto() -> Crypto:
    return Crypto(find_suite("sha256"), find_scheme("p256/cryptography"))


@pytest.fixture
def store() -> FarStore:
    return FarStore()


@pytest.fixture
def ahead(store, crypto):
    ahead = Ahead(store, crypto)
    yield ahead
    ahead.close()


def cite(crypto: Crypto, index: int = 0, body: bytes = BODY) -> RecordRef:
    return RecordRef(1, bytes(32), crypto.hash(body), f"/r/{index}", len(body))


def endorse(payload: RecordRef | Revocation) -> Endorse:
    transaction = Transaction(TransactionBody(bytes(32), "visitor-0", 0, 0, payload), bytes(64))
    return Endorse(transaction, Reason.ACCEPTED, Attestation("agent-0", bytes(64)))


def test_what_was_fetched_is_not_asked_for_again_and_counts_as_hashed(ahead, store, crypto) -> None:
    records = [cite(crypto, index) for index in range(50)]
    for record in records[:-1]:
        store.put(record.location, BODY)
    store.put(records[0].location, b"A record")
    asyncio.run(ahead.fetch([*map(endorse, records), endorse(Revocation(1)), endorse(records[1])]))
    before = crypto.meter.hashed_bytes
    found = [look_up(crypto, ahead, record) for record in records]
    assert found == [None, *[records[0].digest] * 48, None]
    assert sorted(store.asked) == sorted((record.location, False) for record in records)
    assert crypto.meter.hashed_bytes - before == 50 * len(BODY)


def test_what_was_not_fetched_is_asked_for_on_the_spot(ahead, store, crypto) -> None:
    store.put("/r/0", BODY)
    assert look_up(crypto, ahead, cite(crypto)) == crypto.hash(BODY)
    assert store.asked == [("/r/0", True)]
    assert ahead.get("/r/0") == BODY


def test_while_the_store_is_slow_the_node_goes_on(ahead, store, crypto) -> None:
    """Planted: asked by the contract itself, the same store would stop the loop until it answers."""
    store.put("/r/0", BODY)
    store.may_answer.clear()

    async def run() -> None:
        fetching = asyncio.create_task(ahead.fetch([endorse(cite(crypto))]))
        while not store.asked:  # noqa: ASYNC110 - it is a thread that asks
            await asyncio.sleep(0)
        assert not fetching.done()  # and this loop is running
        store.may_answer.set()
        await fetching

    asyncio.run(run())
    assert look_up(crypto, ahead, cite(crypto)) == crypto.hash(BODY)


@pytest.mark.parametrize("trouble", ["down", "missing"])
def test_what_was_not_there_is_asked_for_again_with_the_next_endorsement(ahead, store, crypto, trouble) -> None:
    store.is_down = trouble == "down"
    asyncio.run(ahead.fetch([endorse(cite(crypto))]))
    store.is_down = False
    store.put("/r/0", BODY)
    asyncio.run(ahead.fetch([endorse(cite(crypto))]))
    asyncio.run(ahead.fetch([endorse(cite(crypto))]))
    assert len(store.asked) == 2
    assert look_up(crypto, ahead, cite(crypto)) == crypto.hash(BODY)


def test_a_store_that_is_down_refuses_and_harms_nobody(ahead, store, crypto) -> None:
    store.is_down = True
    asyncio.run(ahead.fetch([endorse(cite(crypto))]))
    assert look_up(crypto, ahead, cite(crypto)) is None


def test_answers_that_nobody_asks_for_are_forgotten(ahead, store, crypto) -> None:
    store.put("/r/0", BODY)
    first = cite(crypto)
    asyncio.run(ahead.fetch([endorse(first)]))
    ahead._found |= {cite(crypto, index): None for index in range(1, REMEMBERED + 1)}
    asyncio.run(ahead.fetch([]))
    assert len(ahead._found) == REMEMBERED
    assert first not in ahead._found


def test_small_files_are_left_to_the_contract_and_large_ones_are_not(tmp_path: Path, crypto) -> None:
    store, large = FileStore(tmp_path), bytes(WHOLE_BYTES + 1)
    store.put("/r/0", BODY)
    store.put("/r/1", large)
    ahead = Ahead(store, crypto)
    records = [cite(crypto), cite(crypto, 1, large)]
    asyncio.run(ahead.fetch(map(endorse, records)))
    assert list(ahead._found) == records[1:]
    assert [look_up(crypto, ahead, record) for record in records] == [record.digest for record in records]
    ahead.close()
