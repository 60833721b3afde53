"""Administrators' waiting transactions: which approvals count, and when a block is cut (paper, steps 2 and 3)."""

from typing import Any

import msgspec
import pytest

from ehrcore.block import HEADER_BYTES, EndorsedTransaction, Enrolment, Revocation, leaf_bytes
from ehrcore.effects import ObservedKind, Received, TimerFired
from ehrcore.errors import ValidationError
from ehrcore.identity import Reason
from ehrcore.messages import Approve, Finalised, Propose
from ehrcore.params import ConsensusRule, Limits
from ehrcore.roles.pool import ApprovalPool
from ehrcore.storage import MemoryStore
from ehrcore.types import MINUTE, SECOND, Role
from tests.core.protocol.conftest import (
    OUTCOME,
    Run,
    Scribe,
    check_invariants,
    handle,
    make_network,
    make_params,
    messages,
)

OTHER = b"\x11" * 32


class Waiting:
    """A pool and a scribe; two approvals make a transaction ready."""

    def __init__(self, **changes: Any) -> None:
        self.scribe = Scribe(make_network(make_params(**changes)))
        context = self.scribe.network.context("administrator-0")
        self.standing = context.open_standing()
        self.registry = self.standing.registry
        self.pool = ApprovalPool(context.params, context.chain, self.standing, context.crypto)

    def fill(self, count: int, now: int = 0, start: int = 0, **changes: Any) -> list[EndorsedTransaction]:
        items = []
        for nonce in range(start, start + count):
            tx = self.scribe.transaction(nonce, **changes)
            assert not self.pool.add(self.scribe.approve(tx, "coordinator-0"), now)
            assert self.pool.add(self.scribe.approve(tx, "coordinator-1"), now)
            items.append(self.scribe.endorsed(tx))
        return items


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


# -- approvals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("needed", [1, 2, 3])
def test_the_qth_approval_makes_a_transaction_ready(needed: int) -> None:
    waiting = Waiting(approvals=needed)
    tx = waiting.scribe.transaction()
    found = [waiting.pool.add(waiting.scribe.approve(tx, f"coordinator-{index}"), 5) for index in range(3)]
    assert found == [count == needed for count in (1, 2, 3)]
    assert waiting.pool.oldest() == 5


def test_one_coordinators_approval_does_not_count_twice(waiting: Waiting) -> None:
    approve = waiting.scribe.approve(waiting.scribe.transaction(), "coordinator-0")
    assert [waiting.pool.add(approve, 0) for _ in range(3)] == [False] * 3


def test_approvals_of_different_outcomes_are_not_mixed(waiting: Waiting) -> None:
    scribe, tx = waiting.scribe, waiting.scribe.transaction()
    assert not waiting.pool.add(scribe.approve(tx, "coordinator-0", OTHER), 0)
    assert not waiting.pool.add(scribe.approve(tx, "coordinator-1", OUTCOME), 0)
    assert waiting.pool.add(scribe.approve(tx, "coordinator-2", OUTCOME), 0)
    (item,) = waiting.pool.batch(6 * MINUTE)
    assert item.outcome == OUTCOME
    assert [given.node for given in item.approvals] == ["coordinator-1", "coordinator-2"]


def test_a_coordinator_that_tells_two_outcomes_is_heard_once(waiting: Waiting) -> None:
    scribe, tx = waiting.scribe, waiting.scribe.transaction()
    for outcome in (OTHER, OUTCOME):
        waiting.pool.add(scribe.approve(tx, "coordinator-0", outcome), 0)
    assert not waiting.pool.add(scribe.approve(tx, "coordinator-1", OUTCOME), 0)
    assert waiting.pool.add(scribe.approve(tx, "coordinator-2", OUTCOME), 0)


def test_a_coordinator_that_hands_on_a_broken_signature_speaks_for_itself_alone(waiting: Waiting) -> None:
    scribe, tx = waiting.scribe, waiting.scribe.transaction()
    broken = msgspec.structs.replace(tx, signature=bytes(64))
    assert not waiting.pool.add(scribe.approve(broken, "coordinator-0"), 0)
    assert not waiting.pool.add(scribe.approve(tx, "coordinator-1"), 0)
    assert waiting.pool.add(scribe.approve(tx, "coordinator-2"), 0)
    assert waiting.pool.batch(6 * MINUTE)[0].transaction == tx


def replaced(approve: Approve, **changes: Any) -> Approve:
    return msgspec.structs.replace(approve, **changes)


def too_few(scribe: Scribe, good: Approve) -> Approve:
    return replaced(good, endorsements=good.endorsements[:1])


def one_agent_twice(scribe: Scribe, good: Approve) -> Approve:
    return replaced(good, endorsements=good.endorsements[:1] * 2)


def forged_endorsement(scribe: Scribe, good: Approve) -> Approve:
    forged = scribe.endorsement(good.transaction, "agent-1", signer="agent-0")
    return replaced(good, endorsements=(good.endorsements[0], forged))


def rejection_as_endorsement(scribe: Scribe, good: Approve) -> Approve:
    rejection = scribe.endorsement(good.transaction, "agent-1", Reason.NO_RIGHT)
    return replaced(good, endorsements=(good.endorsements[0], rejection))


def a_third_one_forged(scribe: Scribe, good: Approve) -> Approve:
    forged = scribe.endorsement(good.transaction, "agent-2", signer="agent-0")
    return replaced(good, endorsements=(*good.endorsements, forged))


def endorsed_by_coordinators(scribe: Scribe, good: Approve) -> Approve:
    names = ("coordinator-0", "coordinator-1")
    return replaced(good, endorsements=tuple(scribe.endorsement(good.transaction, name) for name in names))


def endorsements_of_another(scribe: Scribe, good: Approve) -> Approve:
    return replaced(good, endorsements=scribe.endorsements(scribe.transaction(9)))


def forged_approval(scribe: Scribe, good: Approve) -> Approve:
    return replaced(good, approval=scribe.approval(good.transaction, "coordinator-0", signer="coordinator-1"))


def approval_of_an_agent(scribe: Scribe, good: Approve) -> Approve:
    return replaced(good, approval=scribe.approval(good.transaction, "agent-0"))


def approval_of_another_outcome(scribe: Scribe, good: Approve) -> Approve:
    return replaced(good, outcome=OTHER)


BAD_APPROVALS = [
    too_few, one_agent_twice, forged_endorsement, rejection_as_endorsement, a_third_one_forged,
    endorsed_by_coordinators, endorsements_of_another, forged_approval, approval_of_an_agent,
    approval_of_another_outcome,
]  # fmt: skip


@pytest.mark.parametrize("mutate", BAD_APPROVALS, ids=lambda mutate: mutate.__name__)
def test_a_bad_approval_counts_for_nothing(mutate: Any) -> None:
    waiting = Waiting(approvals=1)
    good = waiting.scribe.approve(waiting.scribe.transaction(), "coordinator-0")
    assert not waiting.pool.add(mutate(waiting.scribe, good), 0)
    assert waiting.pool.add(good, 0)


def test_what_is_settled_does_not_become_ready_again(waiting: Waiting) -> None:
    (item,) = waiting.fill(1)
    waiting.pool.settle(waiting.scribe.block((item,)))
    assert waiting.pool.oldest() is None
    assert not waiting.pool.add(waiting.scribe.approve(item.transaction, "coordinator-2"), 0)


# -- cutting -----------------------------------------------------------------------------------------------------------


def test_15_transactions_make_a_block_and_14_wait(waiting: Waiting) -> None:
    items = waiting.fill(14)
    assert waiting.pool.batch(6 * MINUTE - 1) == ()
    items += waiting.fill(2, start=14)
    assert waiting.pool.batch(0) == tuple(items[:15])


def test_a_block_takes_as_many_as_fit_into_its_bytes() -> None:
    waiting = Waiting(limits=Limits(max_block_bytes=8_192))
    items: list[EndorsedTransaction] = []
    while not (batch := waiting.pool.batch(0)):
        items += waiting.fill(1, start=len(items), location="/" + "x" * 400)
    sizes = [len(leaf_bytes(item)) for item in items]
    assert HEADER_BYTES + sum(sizes[:-1]) <= 8_192 < HEADER_BYTES + sum(sizes)
    assert batch == tuple(items[:-1])


def test_after_six_minutes_what_waits_is_cut_however_little(waiting: Waiting) -> None:
    first = waiting.fill(1, now=7)
    second = waiting.fill(1, now=MINUTE, start=1)
    assert waiting.pool.batch(7 + 6 * MINUTE - 1) == ()
    assert waiting.pool.batch(7 + 6 * MINUTE) == (*first, *second)


def test_what_a_rule_holds_already_is_left_out(waiting: Waiting) -> None:
    items = waiting.fill(16)
    taken = {waiting.scribe.tx_id(item.transaction) for item in items[:15]}
    assert waiting.pool.batch(0, taken) == ()
    assert waiting.pool.batch(6 * MINUTE, taken) == (items[15],)


@pytest.mark.parametrize("how", ["revoked", "rotated"])
@pytest.mark.parametrize("name", ["agent-0", "coordinator-0"])
def test_what_rests_on_a_word_that_counts_no_more_keeps_nobody_back(waiting: Waiting, name: str, how: str) -> None:
    """No administrator would accept a block with it, and every later one would hold it."""
    scribe, rest = waiting.scribe, waiting.fill(1)[0].transaction
    role = Role.AGENT if name == "agent-0" else Role.COORDINATOR
    order = Enrolment(scribe.certify(name, role)) if how == "rotated" else Revocation(scribe.serial_of(name))
    waiting.pool.settle(scribe.block((scribe.endorsed(scribe.order(order)),)))
    fresh = scribe.transaction(1)
    for index in (1, 2):
        approve = msgspec.structs.replace(
            scribe.approve(fresh, f"coordinator-{index}"), endorsements=scribe.endorsements(fresh, (1, 2))
        )
        waiting.pool.add(approve, 1)
    batch = waiting.pool.batch(6 * MINUTE + 1)
    assert [item.transaction for item in batch] == [fresh]
    assert waiting.pool.check(batch, 6 * MINUTE + 1)
    for index in (1, 2):
        approve = msgspec.structs.replace(
            scribe.approve(rest, f"coordinator-{index}"), endorsements=scribe.endorsements(rest, (1, 2))
        )
        waiting.pool.add(approve, 2)
    assert [item.transaction for item in waiting.pool.batch(6 * MINUTE + 2)] == [fresh, rest]


def test_a_transaction_that_fits_no_block_never_blocks_the_others() -> None:
    waiting = Waiting(limits=Limits(max_block_bytes=1_400))
    scribe, large = waiting.scribe, waiting.scribe.transaction(location="/" + "x" * 500)
    assert not any(waiting.pool.add(scribe.approve(large, f"coordinator-{index}"), 0) for index in range(3))
    items = waiting.fill(1, start=1)
    assert waiting.pool.batch(6 * MINUTE) == tuple(items)


def test_candidates_are_bounded(waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ehrcore.roles.pool.CANDIDATE_LIMIT", 8)
    for nonce in range(50):
        waiting.pool.add(waiting.scribe.approve(waiting.scribe.transaction(nonce), "coordinator-0"), 0)
    assert len(waiting.pool._candidates) == 8


# -- another administrator's block -------------------------------------------------------------------------------------


def rule_of(waiting: Waiting, items: tuple[EndorsedTransaction, ...]) -> str:
    with pytest.raises(ValidationError) as caught:
        waiting.pool.check(items, 0)
    return caught.value.rule


def test_anothers_block_of_good_transactions_is_accepted_unseen(waiting: Waiting) -> None:
    txs = [waiting.scribe.transaction(nonce) for nonce in range(3)]
    found = waiting.pool.check(tuple(map(waiting.scribe.endorsed, txs)), 0)
    assert found == tuple(map(waiting.scribe.tx_id, txs))


@pytest.mark.parametrize("is_waiting", [False, True])
def test_a_proposer_cannot_put_a_broken_signature_in_place_of_the_authors(waiting: Waiting, is_waiting: bool) -> None:
    item = waiting.fill(1)[0] if is_waiting else waiting.scribe.endorsed(waiting.scribe.transaction())
    broken = msgspec.structs.replace(item.transaction, signature=bytes(64))
    assert waiting.pool.check((item,), 0)
    assert rule_of(waiting, (msgspec.structs.replace(item, transaction=broken),)) == "policy"


def test_anothers_block_is_checked_for_policy_repetition_and_size(waiting: Waiting) -> None:
    (item,) = waiting.fill(1)
    scribe = waiting.scribe
    assert rule_of(waiting, (item, item)) == "duplicate"
    assert rule_of(waiting, (msgspec.structs.replace(item, endorsements=item.endorsements[:1]),)) == "policy"
    assert rule_of(waiting, (msgspec.structs.replace(item, approvals=item.approvals[:1]),)) == "policy"
    assert rule_of(waiting, (msgspec.structs.replace(item, outcome=OTHER),)) == "policy"
    assert rule_of(waiting, tuple(scribe.endorsed(scribe.transaction(nonce)) for nonce in range(16))) == "bytes"
    waiting.pool.settle(waiting.scribe.block((item,)))
    assert rule_of(waiting, (item,)) == "duplicate"


def test_the_authoritys_orders_change_who_may_approve(waiting: Waiting) -> None:
    scribe = waiting.scribe
    orders = (
        scribe.endorsed(scribe.order(Enrolment(scribe.certify("coordinator-9", Role.COORDINATOR, "agent-2")), 0)),
        scribe.endorsed(scribe.order(Revocation(scribe.serial_of("coordinator-0")), 1)),
    )
    waiting.pool.settle(scribe.block(orders))
    tx = scribe.transaction()
    assert not waiting.pool.add(scribe.approve(tx, "coordinator-0"), 0)
    assert not waiting.pool.add(scribe.approve(tx, "coordinator-1"), 0)
    assert waiting.pool.add(scribe.approve(tx, "coordinator-9", signer="agent-2"), 0)


def test_a_forged_order_changes_nothing(waiting: Waiting) -> None:
    scribe = waiting.scribe
    order = msgspec.structs.replace(scribe.order(Revocation(scribe.serial_of("coordinator-0"))), signature=bytes(64))
    waiting.pool.settle(scribe.block((scribe.endorsed(order),)))
    assert not waiting.pool.add(scribe.approve(scribe.transaction(), "coordinator-0"), 0)
    assert waiting.pool.add(scribe.approve(scribe.transaction(), "coordinator-1"), 0)


# -- the administrator around it ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [ConsensusRule.PROOF_OF_STAKE, ConsensusRule.SINGLE_ORDERER])
def test_a_lone_transaction_is_final_after_six_minutes_and_not_before(rule: ConsensusRule) -> None:
    run = Run(make_params(consensus=rule)).submit(1)
    run.run(6 * MINUTE)
    assert not run.of(ObservedKind.DECIDED)
    run.run(6 * MINUTE + SECOND)
    ((at, _, _),) = run.of(ObservedKind.FINAL)
    assert 6 * MINUTE < at < 6 * MINUTE + SECOND
    check_invariants(run)


def test_an_administrator_arms_the_cutter_for_the_oldest_and_again_for_the_next() -> None:
    scribe = Scribe(make_network(make_params((3, 3, 1, 1))))
    machine = scribe.network.machine("administrator-0", scribe.network.crypto("administrator-0"), MemoryStore())
    delays = []
    for nonce, now in ((0, 0), (1, MINUTE)):
        for coordinator in ("coordinator-0", "coordinator-1"):
            approve = scribe.approve(scribe.transaction(nonce), coordinator)
            delays += handle(machine, Received(coordinator, approve), now)
    assert [(timer.name, timer.delay_ns) for timer in delays] == [("cut", 6 * MINUTE)]
    effects = handle(machine, TimerFired("cut"), 6 * MINUTE)
    (final,) = messages(effects, Finalised)
    assert len(final.block.transactions) == 2
    assert not messages(effects, Propose)
