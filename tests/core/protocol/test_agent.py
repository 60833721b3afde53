"""Agents judge first (paper, step 1): a signed 'A' to every coordinator, or a signed 'R' and a word to the sender."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ehrcore.block import EndorsementBody, Enrolment, Revocation, Transaction
from ehrcore.effects import Effects, ObservedKind, Received, TimerFired
from ehrcore.identity import Reason
from ehrcore.messages import Endorse, Refused, Submit
from ehrcore.params import Limits
from ehrcore.records import RecordKind
from ehrcore.rules import AUTHORITY
from ehrcore.storage import MemoryStore
from ehrcore.types import Role
from tests.core.protocol.conftest import Scribe, handle, make_network, make_params, messages, observed, sends

COORDINATORS = ("coordinator-0", "coordinator-1", "coordinator-2")


@pytest.fixture(params=["modelled", "real"])
def scribe(request: pytest.FixtureRequest) -> Scribe:
    params = make_params(is_modelled=request.param == "modelled")
    return Scribe(make_network(params, rights={"visitor-0": [RecordKind.SENSOR, RecordKind.BILL]}))


@pytest.fixture
def agent(scribe: Scribe) -> Any:
    return scribe.network.machine("agent-0", scribe.network.crypto("agent-0"), MemoryStore())


def submit(agent: Any, tx: Transaction, now: int = 0, sender: str = "visitor-0") -> Effects:
    return handle(agent, Received(sender, Submit(tx)), now)


def verdict(scribe: Scribe, effects: Effects) -> Reason:
    """The one verdict that every coordinator gets, after checking its signature."""
    (send,) = sends(effects, Endorse)
    message = send.message
    assert isinstance(message, Endorse)
    assert send.to == COORDINATORS
    assert message.endorsement.node == "agent-0"
    body = EndorsementBody(scribe.chain, scribe.tx_id(message.transaction), "agent-0", message.reason)
    assert body.flag == ("R" if message.reason else "A")
    assert scribe.crypto.verify(scribe.network.keys["agent-0"].public_bytes, body, message.endorsement.signature)
    return message.reason


def test_a_good_transaction_gets_a_signed_a_at_every_coordinator_and_nothing_else(scribe: Scribe, agent: Any) -> None:
    effects = submit(agent, scribe.transaction())
    assert verdict(scribe, effects) is Reason.ACCEPTED
    assert len(effects) == 1


def with_bad_signature(scribe: Scribe) -> Transaction:
    return scribe.transaction(signer="agent-1")


def with_a_changed_digest(scribe: Scribe) -> Transaction:
    tx = scribe.transaction()
    payload = msgspec.structs.replace(tx.body.payload, digest=bytes(32))
    return Transaction(msgspec.structs.replace(tx.body, payload=payload), tx.signature)


def of_an_unknown_author(scribe: Scribe) -> Transaction:
    return scribe.transaction(author="visitor-9", signer="visitor-0")


def of_an_agent(scribe: Scribe) -> Transaction:
    return scribe.transaction(author="agent-1")


def of_a_kind_beyond_its_rights(scribe: Scribe) -> Transaction:
    return scribe.transaction(kind=int(RecordKind.MEDICATION))


def of_a_visitor_who_revokes(scribe: Scribe) -> Transaction:
    return scribe.transaction(payload=Revocation(1))


def of_an_authority_that_keeps_records(scribe: Scribe) -> Transaction:
    return scribe.transaction(author=AUTHORITY)


def of_a_false_authority(scribe: Scribe) -> Transaction:
    return scribe.signed(Revocation(1), 0, AUTHORITY, "visitor-0")


def for_another_chain(scribe: Scribe) -> Transaction:
    return scribe.transaction(chain=b"\1" * 32)


def with_a_forged_certificate(scribe: Scribe) -> Transaction:
    certificate = scribe.certify("visitor-9")
    return scribe.order(Enrolment(msgspec.structs.replace(certificate, signature=bytes(64))))


def with_an_old_certificate(scribe: Scribe) -> Transaction:
    return scribe.order(Enrolment(scribe.network.certificates[0]))


REFUSED: list[tuple[Callable[[Scribe], Transaction], Reason]] = [
    (with_bad_signature, Reason.BAD_SIGNATURE),
    (with_a_changed_digest, Reason.BAD_SIGNATURE),
    (of_an_unknown_author, Reason.UNKNOWN_AUTHOR),
    (of_an_agent, Reason.WRONG_ROLE),
    (of_a_kind_beyond_its_rights, Reason.NO_RIGHT),
    (of_a_visitor_who_revokes, Reason.NO_RIGHT),
    (of_an_authority_that_keeps_records, Reason.NO_RIGHT),
    (of_a_false_authority, Reason.BAD_SIGNATURE),
    (for_another_chain, Reason.WRONG_CHAIN),
    (with_a_forged_certificate, Reason.BAD_CERTIFICATE),
    (with_an_old_certificate, Reason.BAD_CERTIFICATE),
]


@pytest.mark.parametrize(("make", "reason"), REFUSED, ids=[make.__name__ for make, _ in REFUSED])
def test_a_bad_transaction_gets_a_signed_r_and_its_sender_is_told(
    scribe: Scribe, agent: Any, make: Callable[[Scribe], Transaction], reason: Reason
) -> None:
    tx = make(scribe)
    effects = submit(agent, tx)
    assert verdict(scribe, effects) is reason
    (told,) = sends(effects, Refused)
    assert told.to == ("visitor-0",)
    # Who has no key that the authority has certified for the name learns nothing about the name.
    shown = Reason.BAD_SIGNATURE if reason is Reason.UNKNOWN_AUTHOR else reason
    assert told.message == Refused(scribe.tx_id(tx), shown, "")
    assert [item.detail for item in observed(effects, ObservedKind.DROPPED)] == [shown.value]


def make_standings(scribe: Scribe, agent: Any) -> dict[str, Reason]:
    """Names of every standing, and what an agent finds of a transaction that each of them signs."""
    for name, more in (("late", {"not_after": 1}), ("early", {"not_before": 9}), ("gone", {})):
        order = scribe.order(Enrolment(scribe.certify(f"visitor-{name}", **more)), len(name) + len(more) * 10)
        assert verdict(scribe, submit(agent, order, sender=AUTHORITY)) is Reason.ACCEPTED
        scribe.cryptos[f"visitor-{name}"] = scribe.cryptos["visitor-0"]
        if name == "gone":
            revocation = scribe.order(Revocation(order.body.payload.certificate.body.serial), 99)
            assert verdict(scribe, submit(agent, revocation, sender=AUTHORITY)) is Reason.ACCEPTED
    return {
        "visitor-0": Reason.ACCEPTED, "visitor-late": Reason.EXPIRED, "visitor-early": Reason.NOT_YET_VALID,
        "visitor-gone": Reason.REVOKED, "agent-1": Reason.WRONG_ROLE, AUTHORITY: Reason.NO_RIGHT,
    }  # fmt: skip


def test_who_is_in_which_standing_is_told_to_the_keys_owner_alone(scribe: Scribe, agent: Any) -> None:
    standings = make_standings(scribe, agent)
    seen = set()
    for name in (*standings, "visitor-77"):
        effects = submit(agent, scribe.transaction(50, name, signer="agent-2"), now=5, sender="stranger")
        ((told,), counted) = messages(effects, Refused), observed(effects, ObservedKind.DROPPED)
        seen.add((told.reason, told.detail, *(item.detail for item in counted), len(effects)))
    assert seen == {(Reason.BAD_SIGNATURE, "", "bad-signature", 3)}
    for name, reason in standings.items():
        effects = submit(agent, scribe.transaction(50, name), now=5, sender="stranger")
        assert verdict(scribe, effects) is reason
        assert [item.reason for item in messages(effects, Refused)] == [reason] * (reason is not Reason.ACCEPTED)


def test_which_nonces_were_used_is_told_to_the_keys_owner_alone(scribe: Scribe, agent: Any) -> None:
    submit(agent, scribe.transaction(3))
    effects = submit(agent, scribe.transaction(3, content=b"other", signer="agent-2"), sender="stranger")
    assert [item.reason for item in messages(effects, Refused)] == [Reason.BAD_SIGNATURE]


def test_a_refusal_costs_as_many_verifications_for_a_name_that_nobody_has(scribe: Scribe) -> None:
    agent = scribe.network.machine("agent-0", scribe.network.crypto("agent-0"), MemoryStore())
    make_standings(scribe, agent)
    spent = {}
    for name in ("visitor-0", "visitor-late", "visitor-gone", "visitor-77", "agent-1", AUTHORITY):
        before = agent._context.crypto.meter.verifies
        submit(agent, scribe.transaction(50, name, signer="agent-2"), now=5)
        spent[name] = agent._context.crypto.meter.verifies - before
    assert set(spent.values()) == {1}


def test_the_sender_is_told_and_not_the_author_whose_name_was_forged(scribe: Scribe, agent: Any) -> None:
    effects = submit(agent, with_bad_signature(scribe), sender="agent-2")
    assert [send.to for send in sends(effects, Refused)] == [("agent-2",)]


def test_a_replayed_transaction_is_refused_and_so_is_another_with_its_nonce(scribe: Scribe, agent: Any) -> None:
    assert verdict(scribe, submit(agent, scribe.transaction(3))) is Reason.ACCEPTED
    assert verdict(scribe, submit(agent, scribe.transaction(3))) is Reason.REPLAYED
    assert verdict(scribe, submit(agent, scribe.transaction(3, content=b"other"))) is Reason.REPLAYED
    assert verdict(scribe, submit(agent, scribe.transaction(2))) is Reason.ACCEPTED


def test_a_refused_transaction_uses_up_no_nonce(scribe: Scribe, agent: Any) -> None:
    submit(agent, with_bad_signature(scribe))
    assert verdict(scribe, submit(agent, scribe.transaction())) is Reason.ACCEPTED


def test_who_is_revoked_is_refused_from_then_on(scribe: Scribe, agent: Any) -> None:
    assert verdict(scribe, submit(agent, scribe.transaction(0))) is Reason.ACCEPTED
    revocation = scribe.order(Revocation(scribe.serial_of("visitor-0")))
    assert verdict(scribe, submit(agent, revocation, sender=AUTHORITY)) is Reason.ACCEPTED
    assert verdict(scribe, submit(agent, scribe.transaction(1))) is Reason.REVOKED


def test_a_certificate_counts_from_not_before_until_not_after(scribe: Scribe, agent: Any) -> None:
    certificate = scribe.certify("visitor-9", not_before=100, not_after=200)
    assert verdict(scribe, submit(agent, scribe.order(Enrolment(certificate)), sender=AUTHORITY)) is Reason.ACCEPTED
    found = {}
    for nonce, now in enumerate((99, 100, 199, 200)):
        tx = scribe.transaction(nonce, "visitor-9", "visitor-0")
        found[now] = verdict(scribe, submit(agent, tx, now))
    assert found == {
        99: Reason.NOT_YET_VALID, 100: Reason.ACCEPTED, 199: Reason.ACCEPTED, 200: Reason.EXPIRED,
    }  # fmt: skip


def test_a_new_certificate_replaces_the_key_before_it(scribe: Scribe, agent: Any) -> None:
    rotation = scribe.order(Enrolment(scribe.certify("visitor-0", key_of="agent-2")))
    assert verdict(scribe, submit(agent, rotation, sender=AUTHORITY)) is Reason.ACCEPTED
    assert verdict(scribe, submit(agent, scribe.transaction(0))) is Reason.BAD_SIGNATURE
    assert verdict(scribe, submit(agent, scribe.transaction(0, signer="agent-2"))) is Reason.ACCEPTED


def test_the_authority_is_refused_in_public_but_not_written_to(scribe: Scribe, agent: Any) -> None:
    revocation = scribe.order(Revocation(scribe.serial_of("agent-2")))
    submit(agent, revocation, sender=AUTHORITY)
    effects = submit(agent, revocation, sender=AUTHORITY)
    assert verdict(scribe, effects) is Reason.REPLAYED
    assert not messages(effects, Refused)


def test_an_agent_without_a_certificate_for_visitors_cannot_enrol_itself(scribe: Scribe, agent: Any) -> None:
    certificate = scribe.certify("agent-1", Role.VISITOR, key_of="agent-1")
    effects = submit(agent, scribe.signed(Enrolment(certificate), 0, "agent-1", "agent-1"))
    assert verdict(scribe, effects) is Reason.WRONG_ROLE


def test_other_events_and_the_start_mean_nothing_to_an_agent(scribe: Scribe, agent: Any) -> None:
    assert agent.start(0) == ()
    assert handle(agent, TimerFired("any")) == ()
    assert handle(agent, Received("agent-1", scribe.endorse(scribe.transaction(), "agent-1"))) == ()


def test_a_transaction_that_would_fit_no_block_is_refused_rather_than_left_waiting() -> None:
    scribe = Scribe(make_network(make_params(limits=Limits(max_block_bytes=1_536))))
    agent = scribe.network.machine("agent-0", scribe.network.crypto("agent-0"), MemoryStore())
    good = verdict(scribe, submit(agent, scribe.transaction(0)))
    long = verdict(scribe, submit(agent, scribe.transaction(1, location="/" + 511 * "x")))
    assert (good, long) == (Reason.ACCEPTED, Reason.TOO_LARGE)


@pytest.mark.parametrize("order", ["revoke", "enrol", "replace"])
def test_administrators_are_fixed_at_genesis_and_orders_about_them_are_refused(
    scribe: Scribe, agent: Any, order: str
) -> None:
    if order == "revoke":
        tx = scribe.order(Revocation(scribe.serial_of("administrator-0")))
    elif order == "replace":
        tx = scribe.order(Enrolment(scribe.certify("administrator-0", Role.VISITOR)))
    else:
        tx = scribe.order(Enrolment(scribe.certify("administrator-9", Role.ADMINISTRATOR, stake=1)))
    assert verdict(scribe, submit(agent, tx, sender=AUTHORITY)) is Reason.FIXED_ADMINISTRATORS


def test_so_many_coordinators_refusals_that_the_policy_cannot_be_met_end_it(scribe: Scribe, agent: Any) -> None:
    """Two of three must approve: one refusal says nothing, nor do any of another, of others, or the same again."""
    tx = scribe.transaction()
    submit(agent, tx)
    refused = Refused(scribe.tx_id(tx), Reason.CONTRACT, "look-up")
    for sender in ("coordinator-0", "coordinator-0", "agent-1", "administrator-0", "visitor-0"):
        assert handle(agent, Received(sender, refused)) == ()
    other = msgspec.structs.replace(refused, transaction=bytes(32))
    assert handle(agent, Received("coordinator-1", other)) == ()
    (item,) = handle(agent, Received("coordinator-2", refused))
    assert (item.kind, item.subjects, item.detail) == (ObservedKind.ABANDONED, (scribe.tx_id(tx),), "contract")  # type: ignore[union-attr]
    assert handle(agent, Received("coordinator-1", refused)) == ()


def test_what_coordinators_refuse_is_counted_within_bounds(
    scribe: Scribe, agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ehrcore.roles.agent.REFUSALS_LIMIT", 8)
    for number in range(50):
        handle(agent, Received("coordinator-0", Refused(number.to_bytes(32), Reason.CONTRACT, "")))
    assert len(agent._refusals) == 8
