"""Contracts read the object itself (claim C19) and agree on their output or approve nothing (claim C24)."""

from collections.abc import Iterator

import msgspec
import pytest

from ehrcore.block import Enrolment, RecordRef, Revocation, Transaction, TransactionBody
from ehrcore.contracts import CONTRACTS, WHOLE_BYTES, look_up, run_contracts
from ehrcore.crypto import Crypto
from ehrcore.errors import StorageError
from ehrcore.hashing import find_suite
from ehrcore.identity import Certificate, CertificateBody
from ehrcore.signing import find_scheme
from ehrcore.storage import MemoryStore, ObjectStore
from ehrcore.types import Role

BODY = b"a record"


@pytest.fixture
def crypto() -> Crypto:
    return Crypto(find_suite("sha256"), find_scheme("p256/cryptography"))


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.put("/r/1", BODY)
    return store


@pytest.fixture
def record(crypto: Crypto) -> RecordRef:
    return RecordRef(1, bytes(32), crypto.hash(BODY), "/r/1", len(BODY))


def transaction_of(payload: RecordRef | Enrolment | Revocation) -> Transaction:
    return Transaction(TransactionBody(bytes(32), "visitor-0", 0, 0, payload), bytes(64))


def test_a_stored_object_with_the_declared_digest_passes(crypto: Crypto, store: MemoryStore, record: RecordRef) -> None:
    assert look_up(crypto, store, record) == record.digest
    outcome, refused_by = run_contracts(crypto, store, transaction_of(record))
    assert (len(outcome), refused_by) == (32, "")


def test_a_missing_object_is_refused(crypto: Crypto, record: RecordRef) -> None:
    assert look_up(crypto, MemoryStore(), record) is None
    assert run_contracts(crypto, MemoryStore(), transaction_of(record)) == (b"", "look-up")


def test_another_object_at_the_same_path_is_refused(crypto: Crypto, store: MemoryStore, record: RecordRef) -> None:
    """That something lies there is all that the paper's example would have found out."""
    store.put("/r/1", BODY + b"!")
    assert run_contracts(crypto, store, transaction_of(record)) == (b"", "look-up")


def test_an_empty_object_is_an_object(crypto: Crypto, store: MemoryStore, record: RecordRef) -> None:
    store.put("/r/1", b"")
    empty = msgspec.structs.replace(record, digest=crypto.hash(b""), size_bytes=0)
    assert run_contracts(crypto, store, transaction_of(empty))[1] == ""


def test_transactions_of_the_authority_run_no_contract(crypto: Crypto) -> None:
    body = CertificateBody("net", 1, "agent-9", Role.AGENT, b"\x02" * 33, (), 0, 0, 1)
    outcomes = {
        run_contracts(crypto, MemoryStore(), transaction_of(payload))
        for payload in (Revocation(1), Enrolment(Certificate(body, bytes(64))))
    }
    assert len(outcomes) == 1
    assert outcomes.pop()[1] == ""


def constant(output: bytes | None) -> object:
    def contract(crypto: Crypto, store: ObjectStore, record: RecordRef) -> bytes | None:
        return output

    return contract


def test_the_outcome_tells_outputs_names_and_their_order_apart(
    crypto: Crypto, store: MemoryStore, record: RecordRef
) -> None:
    given = [
        {"a": b"x", "b": b"y"},
        {"a": b"y", "b": b"x"},
        {"a": b"x", "c": b"y"},
        {"a": b"xy"},
        {"a": b"x", "b": b"y", "c": b""},
        {},
    ]
    outcomes = [
        run_contracts(crypto, store, transaction_of(record), {name: constant(value) for name, value in each.items()})  # type: ignore[misc]
        for each in given
    ]
    assert len(set(outcomes)) == len(given)


def test_the_outcome_does_not_depend_on_the_order_in_which_contracts_were_registered(
    crypto: Crypto, store: MemoryStore, record: RecordRef
) -> None:
    first = {"a": constant(b"x"), "b": constant(b"y")}
    second = dict(reversed(first.items()))
    tx = transaction_of(record)
    assert run_contracts(crypto, store, tx, first) == run_contracts(crypto, store, tx, second)  # type: ignore[arg-type]


def test_the_first_contract_that_refuses_is_named(crypto: Crypto, store: MemoryStore, record: RecordRef) -> None:
    contracts = {"b": constant(None), "a": constant(b"x"), "c": constant(None)}
    assert run_contracts(crypto, store, transaction_of(record), contracts) == (b"", "b")  # type: ignore[arg-type]


def test_the_papers_contract_is_registered() -> None:
    assert dict(CONTRACTS) == {"look-up": look_up}


class Chunks(MemoryStore):
    """A store that gives out objects in chunks, and counts them."""

    def __init__(self, chunks: int) -> None:
        super().__init__()
        self.left = self.chunks = chunks

    def get(self, location: str) -> bytes | None:
        raise AssertionError("a large object must not be read whole")

    def open(self, location: str) -> Iterator[bytes] | None:
        def give() -> Iterator[bytes]:
            for _ in range(self.chunks):
                self.left -= 1
                yield bytes(WHOLE_BYTES)
            yield b"end"

        return give() if location == "/r/1" else None


def test_a_large_object_is_hashed_as_it_comes_and_no_further_than_declared(crypto: Crypto) -> None:
    body = bytes(3 * WHOLE_BYTES) + b"end"
    good = RecordRef(1, bytes(32), crypto.hash(body), "/r/1", len(body))
    before = crypto.meter.hashed_bytes
    assert look_up(crypto, Chunks(3), good) == good.digest
    assert crypto.meter.hashed_bytes - before == len(body)
    assert look_up(crypto, Chunks(2), good) is None
    endless = Chunks(1_000_000)
    assert look_up(crypto, endless, good) is None
    assert endless.chunks - endless.left == 4
    assert look_up(crypto, Chunks(3), msgspec.structs.replace(good, digest=bytes(32))) is None
    assert look_up(crypto, Chunks(3), msgspec.structs.replace(good, location="/r/2")) is None


def test_a_store_that_does_not_answer_confirms_nothing(crypto: Crypto, record: RecordRef) -> None:
    class Down(MemoryStore):
        def get(self, location: str) -> bytes | None:
            raise StorageError("store: expected an answer, found none")

    assert run_contracts(crypto, Down(), transaction_of(record)) == (b"", "look-up")
