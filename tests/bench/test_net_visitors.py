"""Visitors as a load: receipts find their transaction, contributors count once each, and the closed loop goes on."""

from typing import Any

import msgspec
import pytest

from bench.engines.load import sample_block
from bench.net.network import store_records
from bench.net.replies import read_leaf
from bench.net.visitors import Visitors
from ehrcore.block import Attestation, EndorsedTransaction, leaf_bytes
from ehrcore.codec import decode, encode
from ehrcore.drive.net.plan import NetworkConfig, NetworkFolder, found
from ehrcore.identity import Reason
from ehrcore.messages import Receipt, ReceiptEntry, Refused, Submit
from ehrcore.records import ClinicalRecord, RecordKind

CONFIG = NetworkConfig(agents=3, coordinators=3, administrators=1, contributors=3, visitors=2, first_port=1_024)
RECORDS = [ClinicalRecord(RecordKind.SENSOR, f"p{n}", "Observation", f"/records/{n}", bytes([n])) for n in range(5)]
CONTRIBUTORS = [f"contributor-{index}" for index in range(3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> NetworkFolder:
    path = tmp_path_factory.mktemp("visitors") / "network"
    plan = found(path, CONFIG, 0, "visitors")
    store_records(NetworkFolder(path), plan, RECORDS)
    return NetworkFolder(path)


class Outbox:
    """In the place of a visitor's links: what would be sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[tuple[str, ...], Any]] = []

    def send(self, to: tuple[str, ...], message: Any) -> None:
        self.sent.append((to, message))

    def taken(self, peer: str) -> int:
        return len(self.sent) if peer == "agent-1" else 0


@pytest.fixture
def load(folder: NetworkFolder) -> Visitors:
    """Ten transactions in stock, and links that go nowhere."""
    visitors = Visitors(folder, folder.read_plan(), folder.path / "references")
    for visitor in visitors._visitors.values():
        visitor.links = Outbox()  # type: ignore[assignment]
    visitors.build(10)
    return visitors


def sent(visitors: Visitors) -> list[Submit]:
    return [message for visitor in visitors._visitors.values() for _, message in visitor.links.sent]  # type: ignore[attr-defined]


def receipt(*messages: Submit, reason: Reason = Reason.ACCEPTED) -> bytes:
    """What a contributor would send about them; of what is not looked at, something of the right kind."""
    final = sample_block()
    entries = []
    for index, message in enumerate(messages):
        leaf = leaf_bytes(EndorsedTransaction(message.transaction, (), bytes(32), ()))
        entries.append(ReceiptEntry(leaf, index, (bytes(32),), reason))
    return encode(
        Receipt(final.block.header, final.certificate, tuple(entries), Attestation("contributor-0", bytes(64)))
    )


def test_stock_is_signed_cites_the_records_in_turns_and_belongs_to_all_visitors(load: Visitors) -> None:
    for number in range(10):
        load.submit(number)
    messages = sent(load)
    assert len({encode(message.transaction.body) for message in messages}) == 10
    for name, visitor in load._visitors.items():
        own = [message.transaction for message in messages if message.transaction.body.author == name]
        assert [transaction.body.nonce for transaction in own] == list(range(5))
        for transaction in own:
            key = {c.body.subject: c.body.public_key for c in visitor.context.certificates}[name]
            assert visitor.context.crypto.verify(key, transaction.body, transaction.signature)
            assert transaction.body.chain == visitor.context.chain
        places = [transaction.body.payload.location for transaction in own]  # type: ignore[union-attr]
        assert len(set(places)) == 5
    assert {to for visitor in load._visitors.values() for to, _ in visitor.links.sent} == {  # type: ignore[attr-defined]
        ("agent-0", "agent-1", "agent-2")
    }


def test_what_is_cited_is_in_the_store(folder: NetworkFolder, load: Visitors) -> None:
    from ehrcore.drive.net.objects import FileStore

    load.submit(0)
    reference = sent(load)[0].transaction.body.payload
    body = FileStore(folder.objects).get(reference.location)  # type: ignore[union-attr]
    assert body in {record.body for record in RECORDS}
    crypto = next(iter(load._visitors.values())).context.crypto
    assert crypto.hash(body or b"") == reference.digest  # type: ignore[union-attr]


def test_a_leaf_is_read_without_the_rest_of_it() -> None:
    for endorsed in sample_block().block.transactions:
        body = endorsed.transaction.body
        assert read_leaf(leaf_bytes(endorsed)) == (body.author, body.nonce)
        assert decode(leaf_bytes(endorsed), EndorsedTransaction) == endorsed


def test_stages_are_reached_by_distinct_contributors(load: Visitors) -> None:
    load.submit(5)
    (message,) = sent(load)
    (moment,), author = load.moments, message.transaction.body.author
    for number, contributor in enumerate(CONTRIBUTORS, start=1):
        for _ in range(2):  # a frame that is sent again changes nothing
            load.take(author, contributor, receipt(message))
        stages = [moment.first, moment.quorum, moment.everyone]
        assert sum(stage is not None for stage in stages) == number
    assert moment.intended == 5
    assert moment.sent is not None
    assert moment.first is not None
    assert moment.sent <= moment.first <= (moment.quorum or 0) <= (moment.everyone or 0)
    assert load.completions == [moment.everyone]
    assert not load.unsettled
    finished = load.report()
    crypto = next(iter(load._visitors.values())).context.crypto
    assert finished.acknowledged == [crypto.hash_struct(message.transaction.body).hex()]
    assert finished.submitted == []
    assert finished.taken == finished.acknowledged


def test_what_one_agent_has_taken_and_not_all_have_refused_is_kept_for_good(load: Visitors) -> None:
    """Whatever becomes of it: it is taken before there is a receipt, and no longer once it is refused."""
    for _ in range(4):
        load.submit(0)
    taken = load.report().taken
    assert sorted(taken) == sorted(load.report().submitted)
    load.moments[2].refused = 1
    assert len(load.report().taken) == 3


def test_receipts_of_strangers_of_others_and_of_nothing_known_are_no_receipts(load: Visitors) -> None:
    load.submit(0)
    load.submit(0)
    one, other = sent(load)
    assert one.transaction.body.author != other.transaction.body.author
    load.take(one.transaction.body.author, "agent-0", receipt(one))
    load.take(other.transaction.body.author, "contributor-0", receipt(one))
    unknown = msgspec.structs.replace(one.transaction.body, nonce=4_000)
    stranger = Submit(msgspec.structs.replace(one.transaction, body=unknown))
    load.take(one.transaction.body.author, "contributor-0", receipt(stranger))
    assert all(moment.first is None for moment in load.moments)
    assert load.report().acknowledged == []
    with pytest.raises(msgspec.DecodeError):
        load.take(one.transaction.body.author, "contributor-0", encode(one))


def test_the_closed_loop_goes_on_at_a_quorum_once(load: Visitors) -> None:
    load.is_asking_again = True
    load.submit(0)
    message = sent(load)[0]
    author = message.transaction.body.author
    for expected, contributor in zip((1, 2, 2), CONTRIBUTORS, strict=True):
        load.take(author, contributor, receipt(message))
        assert len(load.moments) == expected
    load.is_asking_again = False
    second = next(item for item in sent(load) if item is not message)
    for contributor in CONTRIBUTORS:
        load.take(second.transaction.body.author, contributor, receipt(second))
    assert len(load.moments) == 2


def test_without_stock_the_loop_ends(load: Visitors) -> None:
    load.is_asking_again = True
    for number in range(10):
        load.submit(number)
    message = sent(load)[0]
    for contributor in CONTRIBUTORS:
        load.take(message.transaction.body.author, contributor, receipt(message))
    assert len(load.moments) == 10


def test_a_refusal_is_final_once_the_policy_cannot_be_met(load: Visitors) -> None:
    """Two of three agents, or of three coordinators, have to agree: two refusals of one role settle it."""
    load.is_asking_again = True
    load.submit(0)
    message = sent(load)[0]
    author, crypto = message.transaction.body.author, next(iter(load._visitors.values())).context.crypto
    refused = encode(Refused(crypto.hash_struct(message.transaction.body), Reason.CONTRACT, ""))
    for sender in ("agent-0", "agent-0", "coordinator-2"):
        load.take(author, sender, refused)
        assert load.moments[0].refused is None
    load.take(author, "coordinator-1", refused)
    assert load.moments[0].refused is not None
    assert load.moments[0].verdict == "contract"
    assert 0 not in load.unsettled
    assert len(load.moments) == 2, "another takes its place"
    load.take(author, "coordinator-0", refused)
    assert len(load.moments) == 2


def test_the_oldest_unsettled_one_is_known(load: Visitors) -> None:
    assert load.oldest_unsettled == float("inf")
    load.submit(0)
    load.submit(0)
    assert load.oldest_unsettled == 0
    first = next(item for item in sent(load) if item.transaction.body.author == "visitor-0")
    for contributor in CONTRIBUTORS:
        load.take(first.transaction.body.author, contributor, receipt(first))
    assert load.oldest_unsettled == 1
