"""Visitors believe nothing but proofs: a receipt counts once its certificate and inclusion proof hold (step 1, 5)."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ehrcore.block import Attestation, OrdererCertificate, RecordRef, StakeCertificate, Transaction
from ehrcore.effects import Effects, ObservedKind, Received, Requested, Store, TimerFired
from ehrcore.identity import Reason
from ehrcore.messages import Finalised, Receipt, ReceiptEntry, Refused, Submit, verdict_body
from ehrcore.records import ClinicalRecord, RecordKind
from ehrcore.storage import MemoryStore
from tests.core.protocol.conftest import Scribe, handle, messages, observed, sends


class Client:
    """A visitor with two pending transactions that are in one final block."""

    def __init__(self, scribe: Scribe) -> None:
        self.scribe = scribe
        self.machine: Any = scribe.network.machine("visitor-0", scribe.network.crypto("visitor-0"), MemoryStore())
        self.txs = [self.request(number) for number in range(2)]
        self.ids = [scribe.tx_id(tx) for tx in self.txs]
        keeper = scribe.network.machine("contributor-0", scribe.network.crypto("contributor-0"), MemoryStore())
        # A third transaction of somebody else makes the proofs two hashes long.
        items = [scribe.endorsed(tx) for tx in (*self.txs, scribe.transaction(9))]
        self.final: Finalised = scribe.final(items)
        receipt: Receipt = messages(handle(keeper, Received("administrator-0", self.final)), Receipt)[0]
        self.receipt = msgspec.structs.replace(receipt, entries=receipt.entries[:2])

    def request(self, number: int, now: int = 3) -> Transaction:
        record = ClinicalRecord(RecordKind.SENSOR, "patient", "Observation", f"/r/{number}", b"body")
        self.effects = handle(self.machine, Requested(record, b"\7" * 32), now)
        (message,) = messages(self.effects, Submit)
        tx: Transaction = message.transaction
        return tx

    def hear(self, message: Receipt | Refused, sender: str = "contributor-0") -> Effects:
        """``message`` from ``sender``, after the other contributor has sent the same: two of two must agree."""
        if isinstance(message, Receipt):
            assert self.final_ids(self.hear_alone(message, "contributor-1")) == []
        return self.hear_alone(message, sender)

    def hear_alone(self, message: Receipt | Refused, sender: str) -> Effects:
        """A contributor signs all that it says, its lies too."""
        if isinstance(message, Receipt) and sender in self.scribe.cryptos:
            message = self.signed(message, sender)
        return handle(self.machine, Received(sender, message))

    def signed(self, receipt: Receipt, keeper: str) -> Receipt:
        crypto = self.scribe.cryptos[keeper]
        body = verdict_body(receipt.header.chain, crypto.hash_struct(receipt.header), receipt.entries)
        return msgspec.structs.replace(receipt, word=Attestation(keeper, crypto.sign(body)))

    def final_ids(self, effects: Effects) -> list[bytes]:
        return [subject for item in observed(effects, ObservedKind.FINAL) for subject in item.subjects]

    def pending(self) -> set[bytes]:
        return set(self.machine._pending)


@pytest.fixture(params=["modelled", "real"])
def client(request: pytest.FixtureRequest) -> Client:
    return Client(request.getfixturevalue("scribe" if request.param == "modelled" else "real_scribe"))


# -- submitting --------------------------------------------------------------------------------------------------------


def test_a_request_stores_the_object_first_and_then_goes_signed_to_every_agent(client: Client) -> None:
    tx = client.request(5)
    assert client.effects[0] == Store("/r/5", b"body")
    (send,) = sends(client.effects, Submit)
    assert send.to == ("agent-0", "agent-1", "agent-2")
    key = client.scribe.network.keys["visitor-0"].public_bytes
    assert client.scribe.crypto.verify(key, tx.body, tx.signature)
    assert (tx.body.author, tx.body.submitted_at, tx.body.chain) == ("visitor-0", 3, client.scribe.chain)


def test_a_transaction_holds_a_pseudonym_and_a_digest_and_nothing_personal(client: Client) -> None:
    payload = client.txs[0].body.payload
    digest = client.scribe.crypto.hash(b"body")
    assert payload == RecordRef(int(RecordKind.SENSOR), b"\7" * 32, digest, "/r/0", 4)
    assert b"patient" not in msgspec.msgpack.encode(client.txs[0])


def test_each_transaction_has_a_fresh_nonce(client: Client) -> None:
    assert [tx.body.nonce for tx in client.txs] + [client.request(7).body.nonce] == [0, 1, 2]


# -- receipts ----------------------------------------------------------------------------------------------------------


def test_a_receipt_that_verifies_settles_its_transactions_once(client: Client) -> None:
    assert client.final_ids(client.hear(client.receipt)) == client.ids
    assert client.pending() == set()
    assert client.hear(client.receipt, "contributor-1") == ()


def entry(change: Callable[[ReceiptEntry], ReceiptEntry]) -> Callable[[Client], Receipt]:
    """The first entry changed."""
    return lambda client: msgspec.structs.replace(
        client.receipt, entries=(change(client.receipt.entries[0]), *client.receipt.entries[1:])
    )


def header(**changes: Any) -> Callable[[Client], Receipt]:
    def mutate(client: Client) -> Receipt:
        return msgspec.structs.replace(client.receipt, header=msgspec.structs.replace(client.receipt.header, **changes))

    return mutate


def certificate(make: Callable[[Client], Any]) -> Callable[[Client], Receipt]:
    return lambda client: msgspec.structs.replace(client.receipt, certificate=make(client))


def with_one_byte_changed(leaf: bytes) -> bytes:
    return leaf[:-1] + bytes([leaf[-1] ^ 1])


replace = msgspec.structs.replace
TAMPERED: dict[str, Callable[[Client], Receipt]] = {
    "leaf": entry(lambda item: replace(item, leaf=with_one_byte_changed(item.leaf))),
    "leaf that is none": entry(lambda item: replace(item, leaf=b"\xc1")),
    "leaf with a byte appended": entry(lambda item: replace(item, leaf=item.leaf + b"\0")),
    "path": entry(lambda item: replace(item, path=(bytes(32), *item.path[1:]))),
    "path too short": entry(lambda item: replace(item, path=item.path[:-1])),
    "path too long": entry(lambda item: replace(item, path=(*item.path, bytes(32)))),
    "index": entry(lambda item: replace(item, index=1)),
    "index outside": entry(lambda item: replace(item, index=3)),
    "root": header(merkle_root=bytes(32)),
    "size": header(size=2),
    "height": header(height=2),
    "time": header(timestamp=1),
    "chain": header(chain=bytes(32)),
    "no votes": certificate(lambda _: StakeCertificate(0, ())),
    "too few votes": certificate(
        lambda client: client.scribe.certificate(client.final.block, ["administrator-0", "administrator-1"])
    ),
    "votes of agents": certificate(
        lambda client: client.scribe.certificate(client.final.block, ["agent-0", "agent-1", "agent-2"])
    ),
    "another rule's certificate": certificate(lambda _: OrdererCertificate(bytes(64))),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_receipt_leaves_its_transaction_pending_with_a_tampered(client: Client, name: str) -> None:
    effects = client.hear(TAMPERED[name](client))
    assert client.ids[0] not in client.final_ids(effects)
    assert client.ids[0] in client.pending()
    assert len(observed(effects, ObservedKind.DROPPED)) == 1
    client.hear(client.receipt)
    assert client.pending() == set()


def test_what_was_proven_before_a_tampered_entry_is_not_lost(client: Client) -> None:
    good, bad = client.receipt.entries
    receipt = replace(client.receipt, entries=(good, replace(bad, path=())))
    effects = client.hear(receipt)
    assert client.final_ids(effects) == client.ids[:1]
    assert len(observed(effects, ObservedKind.DROPPED)) == 1
    assert client.pending() == {client.ids[1]}


def test_one_contributors_word_on_what_became_of_a_transaction_is_not_enough(client: Client) -> None:
    """The proof holds either way: nothing that is proven covers the reason."""
    lie = replace(
        client.receipt, entries=tuple(replace(entry, reason=Reason.REVOKED) for entry in client.receipt.entries)
    )
    assert client.final_ids(client.hear_alone(lie, "contributor-0")) == []
    assert client.final_ids(client.hear_alone(lie, "contributor-0")) == []
    assert client.final_ids(client.hear_alone(client.receipt, "contributor-1")) == []
    assert client.pending() == set(client.ids)
    effects = client.hear_alone(client.receipt, "contributor-0")
    assert client.final_ids(effects) == client.ids
    assert {item.detail for item in observed(effects, ObservedKind.FINAL)} == {""}


@pytest.mark.parametrize("signer", ["contributor-1", "coordinator-0", "visitor-0"])
def test_a_verdict_counts_under_its_senders_own_signature_alone(client: Client, signer: str) -> None:
    client.hear_alone(client.receipt, "contributor-1")
    for word in (client.signed(client.receipt, signer).word, Attestation("contributor-0", bytes(64))):
        effects = handle(client.machine, Received("contributor-0", replace(client.receipt, word=word)))
        assert client.final_ids(effects) == []
        assert len(observed(effects, ObservedKind.DROPPED)) == 1
    assert client.final_ids(client.hear_alone(client.receipt, "contributor-0")) == client.ids


@pytest.mark.parametrize("sender", ["agent-0", "administrator-0", "coordinator-0", "visitor-0", "contributor-2"])
def test_receipts_come_from_contributors_alone(client: Client, sender: str) -> None:
    assert client.hear(client.receipt, sender) == ()
    assert client.pending() == set(client.ids)


def test_another_chains_receipt_proves_nothing_here(client: Client) -> None:
    """Its certificate holds for its own header; the header is of another chain."""
    changed = header(chain=bytes(32))(client)
    client.machine._verified.add(client.scribe.crypto.hash_struct(changed.header))
    assert client.final_ids(client.hear(changed)) == []
    assert len(client.pending()) == 2


def test_strangers_transactions_in_a_receipt_are_passed_over(client: Client) -> None:
    other = Client(client.scribe)
    other.machine = client.machine
    stranger = client.scribe.final([client.scribe.endorsed(client.scribe.transaction(50))])
    keeper = client.scribe.network.machine(
        "contributor-0", client.scribe.network.crypto("contributor-0"), MemoryStore()
    )
    (receipt,) = messages(handle(keeper, Received("administrator-0", stranger)), Receipt)
    assert client.hear(receipt) == ()


# -- refusals ----------------------------------------------------------------------------------------------------------


def refuse(client: Client, *senders: str, reason: Reason = Reason.NO_RIGHT) -> list[int]:
    message = Refused(client.ids[0], reason, "")
    return [len(observed(client.hear(message, sender), ObservedKind.REFUSED)) for sender in senders]


def test_it_is_refused_once_the_policy_cannot_be_met_any_more(client: Client) -> None:
    """Two of three agents must endorse: one refusal proves nothing, two do."""
    assert refuse(client, "agent-0", "agent-0", "agent-0") == [0, 0, 0]
    assert refuse(client, "agent-2", "agent-1") == [1, 0]
    assert client.pending() == {client.ids[1]}


def test_agents_and_coordinators_are_counted_apart_and_nobody_else(client: Client) -> None:
    assert refuse(client, "agent-0", "coordinator-0", "administrator-0", "contributor-0", "visitor-0") == [0] * 5
    assert refuse(client, "coordinator-2") == [1]


def test_a_refusal_of_something_else_means_nothing(client: Client) -> None:
    message = Refused(bytes(32), Reason.NO_RIGHT, "")
    assert [client.hear(message, f"agent-{index}") for index in range(3)] == [()] * 3


def test_one_liars_refusal_does_not_outlive_the_receipt(client: Client) -> None:
    refuse(client, "agent-0")
    assert client.final_ids(client.hear(client.receipt)) == client.ids


def test_other_events_mean_nothing_to_a_visitor(client: Client) -> None:
    assert client.machine.start(0) == ()
    assert handle(client.machine, TimerFired("any")) == ()
