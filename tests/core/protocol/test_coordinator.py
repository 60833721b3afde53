"""Coordinators apply the endorsement policy, run the contracts, and approve to every administrator (paper, step 2)."""

from typing import Any

import msgspec
import pytest

from ehrcore.block import ApprovalBody, RecordRef, Revocation, Transaction
from ehrcore.contracts import look_up, run_contracts
from ehrcore.crypto import Crypto
from ehrcore.effects import Effects, Observed, ObservedKind, Persist, Received, TimerFired
from ehrcore.identity import Reason
from ehrcore.messages import Approve, Endorse, Refused
from ehrcore.roles import Coordinator
from ehrcore.roles.coordinator import PENDING_LIMIT
from ehrcore.roles.pool import ApprovalPool
from ehrcore.storage import MemoryStore, ObjectStore
from ehrcore.types import Role
from tests.core.protocol.conftest import Scribe, handle, make_network, make_params, messages, observed, sends

ADMINISTRATORS = tuple(f"administrator-{index}" for index in range(4))


class Desk:
    """One coordinator, its store, and a scribe."""

    def __init__(self, endorsements: int = 2, contracts: dict[str, Any] | None = None, name: str = "coordinator-1"):
        self.scribe = Scribe(make_network(make_params(endorsements=endorsements)))
        self.store = MemoryStore()
        self.machine = Coordinator(self.scribe.network.context(name), self.store, contracts)

    def stored(self, nonce: int = 0, **changes: Any) -> Transaction:
        """A transaction whose object lies where it says."""
        tx = self.scribe.transaction(nonce, **changes)
        assert isinstance(tx.body.payload, RecordRef)
        self.store.put(tx.body.payload.location, b"record")
        return tx

    def hear(self, message: Endorse, now: int = 0) -> Effects:
        return handle(self.machine, Received(message.endorsement.node, message), now)

    def endorse(self, tx: Transaction, *agents: int, reason: Reason = Reason.ACCEPTED) -> list[Effects]:
        return [self.hear(self.scribe.endorse(tx, f"agent-{index}", reason)) for index in agents]


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize("needed", [1, 2, 3])
def test_the_mth_endorsement_of_n_approves_and_no_other(needed: int) -> None:
    desk = Desk(needed)
    found = [messages(effects, Approve) for effects in desk.endorse(desk.stored(), 2, 0, 1)]
    assert [len(given) for given in found] == [int(count == needed) for count in (1, 2, 3)]


@pytest.mark.parametrize("needed", [1, 2, 3])
def test_an_approval_is_signed_goes_to_all_administrators_and_holds_m_endorsements(needed: int) -> None:
    desk = Desk(needed)
    scribe, tx = desk.scribe, desk.stored()
    (send,) = [send for effects in desk.endorse(tx, 2, 1, 0) for send in sends(effects, Approve)]
    message = send.message
    assert isinstance(message, Approve)
    assert send.to == ADMINISTRATORS
    assert message.endorsements == scribe.endorsements(tx, sorted((2, 1, 0)[:needed]))
    assert (message.outcome, "") == run_contracts(scribe.crypto, desk.store, tx)
    body = ApprovalBody(scribe.chain, scribe.tx_id(tx), "coordinator-1", message.outcome)
    key = scribe.network.keys["coordinator-1"].public_bytes
    assert scribe.crypto.verify(key, body, message.approval.signature)


def test_one_agents_endorsement_does_not_count_twice(desk: Desk) -> None:
    assert not any(desk.endorse(desk.stored(), 0, 0, 0))
    (effects,) = desk.endorse(desk.stored(), 1)
    assert messages(effects, Approve)


def test_an_agent_that_has_rejected_may_endorse_afterwards_and_counts_once(desk: Desk) -> None:
    tx = desk.stored()
    desk.endorse(tx, 0, reason=Reason.NO_RIGHT)
    assert not any(messages(effects, Approve) for effects in desk.endorse(tx, 0, 0))
    assert messages(desk.endorse(tx, 1)[0], Approve)


def test_an_agent_that_has_endorsed_cannot_reject_afterwards(desk: Desk) -> None:
    tx = desk.stored()
    desk.endorse(tx, 0)
    assert not any(desk.endorse(tx, 0, reason=Reason.NO_RIGHT))
    assert messages(desk.endorse(tx, 1)[0], Approve)


def test_a_forged_endorsement_is_dropped_and_takes_nobodys_place(desk: Desk) -> None:
    tx = desk.stored()
    forged = desk.hear(desk.scribe.endorse(tx, "agent-0", signer="agent-1"))
    assert [item.detail for item in observed(forged, ObservedKind.DROPPED)] == [Reason.BAD_SIGNATURE.value]
    first, second = desk.endorse(tx, 1, 0)
    assert not first
    assert messages(second, Approve)


@pytest.mark.parametrize("node", ["coordinator-0", "administrator-0", "visitor-0", "contributor-0"])
def test_only_agents_endorse(desk: Desk, node: str) -> None:
    tx = desk.stored()
    desk.endorse(tx, 0)
    assert not messages(desk.hear(desk.scribe.endorse(tx, node)), Approve)


@pytest.mark.parametrize(("signed", "shown"), [(Reason.NO_RIGHT, Reason.ACCEPTED), (Reason.ACCEPTED, Reason.NO_RIGHT)])
def test_an_r_cannot_be_turned_into_an_a_nor_back(desk: Desk, signed: Reason, shown: Reason) -> None:
    tx = desk.stored()
    desk.endorse(tx, 0)
    message = msgspec.structs.replace(desk.scribe.endorse(tx, "agent-1", signed), reason=shown)
    assert observed(desk.hear(message), ObservedKind.DROPPED)
    assert messages(desk.endorse(tx, 1)[0], Approve)


def test_an_endorsement_of_another_transaction_does_not_count(desk: Desk) -> None:
    tx, other = desk.stored(0), desk.stored(1)
    desk.endorse(tx, 0)
    message = msgspec.structs.replace(desk.scribe.endorse(other, "agent-1"), transaction=tx)
    assert observed(desk.hear(message), ObservedKind.DROPPED)


@pytest.mark.parametrize(("needed", "rejections"), [(1, 3), (2, 2), (3, 1)])
def test_so_many_rejections_that_the_policy_cannot_be_met_end_it(needed: int, rejections: int) -> None:
    desk = Desk(needed)
    tx = desk.stored()
    found = desk.endorse(tx, *range(rejections), reason=Reason.REVOKED)
    assert [bool(effects) for effects in found] == [False] * (rejections - 1) + [True]
    assert [item.detail for item in observed(found[-1], ObservedKind.DROPPED)] == [Reason.REVOKED.value]
    assert not desk.machine._pending


def test_what_was_refused_with_a_spoilt_signature_is_approved_when_the_genuine_one_comes() -> None:
    """The id does not cover the signature, so anybody can have a copy refused that has the same id."""
    desk = Desk()
    tx = desk.stored()
    desk.endorse(msgspec.structs.replace(tx, signature=bytes(64)), 0, 1, 2, reason=Reason.BAD_SIGNATURE)
    assert messages([effect for effects in desk.endorse(tx, 0, 1, 2) for effect in effects], Approve)


def test_one_agent_that_hands_on_a_broken_signature_stops_nothing(desk: Desk) -> None:
    tx = desk.stored()
    broken = msgspec.structs.replace(tx, signature=bytes(64))
    desk.endorse(broken, 0)
    (approve,) = messages(desk.endorse(tx, 1)[0], Approve)
    assert approve.transaction == tx


def test_a_transaction_with_no_good_signature_at_all_is_refused(desk: Desk) -> None:
    tx = desk.scribe.transaction(signer="agent-2")
    effects = desk.endorse(tx, 0, 1)[-1]
    assert {item.reason for item in messages(effects, Refused)} == {Reason.BAD_SIGNATURE}
    assert not messages(effects, Approve)


def contract_refusal(effects: Effects) -> tuple[tuple[str, ...], Reason, str]:
    send, told = sends(effects, Refused)
    assert isinstance(send.message, Refused)
    assert (told.to, told.message) == (("agent-0", "agent-1"), send.message)
    assert not messages(effects, Approve)
    return send.to, send.message.reason, send.message.detail


def test_the_look_up_contract_refuses_a_missing_object(desk: Desk) -> None:
    effects = desk.endorse(desk.scribe.transaction(), 0, 1)[-1]
    assert contract_refusal(effects) == (("visitor-0",), Reason.CONTRACT, "look-up")


def test_the_look_up_contract_refuses_an_object_that_is_not_what_was_declared(desk: Desk) -> None:
    tx = desk.stored()
    assert isinstance(tx.body.payload, RecordRef)
    desk.store.put(tx.body.payload.location, b"changed")
    assert contract_refusal(desk.endorse(tx, 0, 1)[-1]) == (("visitor-0",), Reason.CONTRACT, "look-up")


def test_the_authoritys_orders_run_no_contract_and_need_the_same_policy(desk: Desk) -> None:
    first, second = desk.endorse(desk.scribe.order(Revocation(77)), 0, 1)
    assert not first
    assert messages(second, Approve)


def test_a_refused_authority_is_not_written_to(desk: Desk) -> None:
    order = msgspec.structs.replace(desk.scribe.order(Revocation(77)), signature=bytes(64))
    effects = desk.endorse(order, 0, 1)[-1]
    assert observed(effects, ObservedKind.DROPPED)
    assert [send.to for send in sends(effects, Refused)] == [("agent-0", "agent-1")]


def test_an_agent_that_endorses_what_was_refused_is_told_and_told_again(desk: Desk) -> None:
    """It would say it again for hours, and its word that it was refused may have been lost."""
    tx = desk.scribe.transaction()
    desk.endorse(tx, 0, 1)
    for agent in (2, 2, 0):
        (effects,) = desk.endorse(tx, agent)
        assert [(send.to, send.message.reason) for send in sends(effects, Refused)] == [  # type: ignore[union-attr]
            ((f"agent-{agent}",), Reason.CONTRACT)
        ]


def test_contracts_that_do_not_agree_gather_no_approvals() -> None:
    """Claim C24: contracts must be deterministic.  One that returns the node's own name never gets a quorum."""
    answers = []
    for index in range(3):

        def whoami(crypto: Crypto, store: ObjectStore, record: RecordRef, index: int = index) -> bytes:
            return b"%d" % index

        desk = Desk(contracts={"look-up": look_up, "who-am-i": whoami}, name=f"coordinator-{index}")
        answers += messages(desk.endorse(desk.stored(), 0, 1)[-1], Approve)
    context = desk.scribe.network.context("administrator-0")
    pool = ApprovalPool(context.params, context.chain, context.open_standing(), context.crypto)
    assert len({answer.outcome for answer in answers}) == 3
    assert [pool.add(answer, 0) for answer in answers] == [False] * 3
    assert pool.oldest() is None


def test_contracts_that_agree_do() -> None:
    answers = []
    for index in range(2):
        desk = Desk(name=f"coordinator-{index}")
        answers += messages(desk.endorse(desk.stored(), 0, 1)[-1], Approve)
    context = desk.scribe.network.context("administrator-0")
    pool = ApprovalPool(context.params, context.chain, context.open_standing(), context.crypto)
    assert [pool.add(answer, 0) for answer in answers] == [False, True]


def test_a_revocation_on_the_chain_reaches_the_coordinators(desk: Desk) -> None:
    scribe = desk.scribe
    revocation = scribe.endorsed(scribe.order(Revocation(scribe.serial_of("visitor-0"))))
    settled = handle(desk.machine, Received("administrator-0", scribe.final([revocation])))
    assert [(item.kind, len(item.subjects)) for item in settled if isinstance(item, Observed)] == [("settled", 1)]
    effects = desk.endorse(desk.stored(), 0, 1)[-1]
    assert {item.reason for item in messages(effects, Refused)} == {Reason.REVOKED}


@pytest.mark.parametrize("before", [1, 2], ids=["waiting", "approved"])
def test_what_rests_on_a_revoked_agents_word_is_approved_on_the_others(desk: Desk, before: int) -> None:
    """Nobody would accept a block with it, and the others have accepted it, too."""
    scribe, tx = desk.scribe, desk.stored()
    desk.endorse(tx, *range(before))
    revocation = scribe.endorsed(scribe.order(Revocation(scribe.serial_of("agent-0"))))
    handle(desk.machine, Received("administrator-0", scribe.final([revocation])))
    (approve,) = messages([effect for effects in desk.endorse(tx, 0, 1, 2) for effect in effects], Approve)
    assert [item.node for item in approve.endorsements] == ["agent-1", "agent-2"]


def test_what_is_final_is_not_approved_again(desk: Desk) -> None:
    tx = desk.stored()
    handle(desk.machine, Received("administrator-0", desk.scribe.final([desk.scribe.endorsed(tx)])))
    assert not any(desk.endorse(tx, 0, 1, 2))


def test_only_the_first_coordinator_keeps_the_ledger() -> None:
    found = []
    for index in range(3):
        desk = Desk(name=f"coordinator-{index}")
        final = desk.scribe.final([desk.scribe.endorsed(desk.stored())])
        effects = handle(desk.machine, Received("administrator-0", final))
        found.append(sum(isinstance(effect, Persist) for effect in effects))
    assert found == [1, 0, 0]


def test_a_block_that_breaks_a_rule_is_dropped_aloud(desk: Desk) -> None:
    final = desk.scribe.final([desk.scribe.endorsed(desk.stored())])
    bad = msgspec.structs.replace(final, block=msgspec.structs.replace(final.block, transactions=()))
    (item,) = observed(handle(desk.machine, Received("contributor-0", bad)), ObservedKind.DROPPED)
    assert item.detail.startswith("size:")


def test_what_waits_for_endorsements_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ehrcore.roles.coordinator.PENDING_LIMIT", 8)
    for nonce in range(50):
        desk.endorse(desk.scribe.transaction(nonce), 0)
    assert PENDING_LIMIT > 8
    assert len(desk.machine._pending) == 8


def test_other_events_mean_nothing_to_a_coordinator(desk: Desk) -> None:
    assert desk.machine.start(0) == ()
    assert handle(desk.machine, TimerFired("any")) == ()
    assert desk.scribe.network.roles["coordinator-1"] is Role.COORDINATOR


def test_an_endorsement_counts_only_from_the_agent_that_made_it(desk: Desk) -> None:
    """Whoever relays one could hand it on with a spoilt signature of the author."""
    tx = desk.scribe.transaction(0)
    message = desk.scribe.endorse(tx, "agent-0")
    assert handle(desk.machine, Received("agent-1", message)) == ()
    assert handle(desk.machine, Received("administrator-0", message)) == ()
