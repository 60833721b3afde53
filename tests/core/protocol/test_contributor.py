"""Ledger keepers take blocks early, twice or in any order; contributors persist first and tell afterwards (step 4)."""

from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehrcore.block import Block, Revocation
from ehrcore.effects import ObservedKind, Persist, Received, Send, TimerFired
from ehrcore.identity import Reason
from ehrcore.merkle import verify_inclusion
from ehrcore.messages import Finalised, Receipt
from ehrcore.params import Dissemination
from ehrcore.roles.keeper import EARLY_LIMIT, LedgerKeeper
from ehrcore.storage import MemoryStore
from tests.core.protocol.conftest import Scribe, handle, make_network, make_params, messages, observed, sends


def contributor(scribe: Scribe, index: int = 0) -> Any:
    name = f"contributor-{index}"
    return scribe.network.machine(name, scribe.network.crypto(name), MemoryStore())


def give(machine: Any, *finals: Finalised) -> list[Any]:
    return [effect for final in finals for effect in handle(machine, Received("administrator-0", final))]


def heights(effects: list[Any]) -> list[int]:
    return [effect.block.header.height for effect in effects if isinstance(effect, Persist)]


def test_a_block_is_persisted_before_anyone_hears_of_it() -> None:
    scribe = Scribe(make_network(make_params((3, 3, 4, 3), dissemination=Dissemination.TREE)))
    (final,) = scribe.finals(1)
    effects = give(contributor(scribe), final)
    kinds = [type(effect) for effect in effects]
    assert kinds.index(Persist) == 0
    assert Send in kinds
    assert isinstance(effects[0], Persist)
    assert effects[0].reasons == (Reason.ACCEPTED,) * 2
    expected = scribe.state()
    assert effects[0].state == expected.apply(final.block, expected.validate(final.block, final.certificate))
    assert [send.to for send in sends(effects, Finalised)] == [("contributor-1", "contributor-2")]


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_blocks_in_any_order_are_appended_in_theirs(scribe: Scribe, order: tuple[int, ...]) -> None:
    finals = scribe.finals(3)
    assert heights(give(contributor(scribe), *(finals[index] for index in order))) == [1, 2, 3]


@given(order=st.permutations([0, 0, 1, 1, 1, 2, 3, 3, 4]))
def test_duplicates_change_nothing(order: list[int]) -> None:
    finals = FIVE.finals(5)
    machine = contributor(FIVE)
    assert heights(give(machine, *(finals[index] for index in order))) == [1, 2, 3, 4, 5]


FIVE = Scribe(make_network(make_params()))


def test_how_early_a_block_may_be_is_bounded(scribe: Scribe) -> None:
    finals = scribe.finals(EARLY_LIMIT + 5, size=0)
    keeper = LedgerKeeper(scribe.network.context("contributor-0"))
    for final in finals[1:]:
        assert keeper.take(final) == ([], None)
    assert len(keeper._early) == EARLY_LIMIT - 1
    appended, error = keeper.take(finals[0])
    assert (len(appended), error) == (EARLY_LIMIT, None)


def forgeries(scribe: Scribe, final: Finalised) -> dict[str, Finalised]:
    block = final.block
    return {
        "without votes": Finalised(block, scribe.certificate(block, ["administrator-0"])),
        "with other transactions": Finalised(Block(block.header, block.transactions[::-1]), final.certificate),
        "with fewer transactions": Finalised(Block(block.header, block.transactions[:1]), final.certificate),
        "with a changed header": Finalised(
            Block(msgspec.structs.replace(block.header, timestamp=1), block.transactions), final.certificate
        ),
        "of another chain": Finalised(
            Block(msgspec.structs.replace(block.header, chain=bytes(32)), block.transactions), final.certificate
        ),
    }


@pytest.mark.parametrize("name", list(forgeries(FIVE, FIVE.finals(1)[0])))
@pytest.mark.parametrize("is_early", [False, True])
def test_a_forgery_is_dropped_aloud_and_takes_no_true_blocks_place(scribe: Scribe, name: str, is_early: bool) -> None:
    one, two = scribe.finals(2)
    machine = contributor(scribe)
    forged = forgeries(scribe, two if is_early else one)[name]
    effects = give(machine, forged)
    assert len(observed(effects, ObservedKind.DROPPED)) == 1
    assert not heights(effects)
    assert heights(give(machine, two, one)) == [1, 2]


def test_a_final_block_that_does_not_follow_is_refused_and_the_right_one_still_taken(scribe: Scribe) -> None:
    one, two = scribe.finals(2)
    stray = scribe.final([], one.block.header, previous=bytes(32))
    machine = contributor(scribe)
    give(machine, one)
    (item,) = observed(give(machine, stray), ObservedKind.DROPPED)
    assert item.detail.startswith("previous:")
    assert heights(give(machine, two)) == [2]


def test_each_author_gets_one_receipt_with_a_proof_for_each_of_its_transactions() -> None:
    scribe = Scribe(make_network(make_params((3, 3, 4, 1, 2))))
    authors = ("visitor-0", "visitor-1", "visitor-0", "visitor-1", "visitor-0")
    items = [scribe.endorsed(scribe.transaction(nonce, author)) for nonce, author in enumerate(authors)]
    items.insert(2, scribe.endorsed(scribe.order(Revocation(77))))
    final = scribe.final(items)
    receipts = sends(give(contributor(scribe), final), Receipt)
    assert [(send.to, len(send.message.entries)) for send in receipts] == [  # type: ignore[union-attr]
        (("visitor-0",), 3), (("visitor-1",), 2),
    ]  # fmt: skip
    for receipt in (send.message for send in receipts):
        assert isinstance(receipt, Receipt)
        for entry in receipt.entries:
            verify_inclusion(
                scribe.crypto.suite, final.block.header.merkle_root, 6, entry.index, entry.leaf, entry.path
            )


def test_a_receipt_tells_what_became_of_each_transaction(scribe: Scribe) -> None:
    txs = [scribe.transaction(0), scribe.transaction(0, content=b"other"), scribe.transaction(1, signer="agent-0")]
    (receipt,) = messages(give(contributor(scribe), scribe.final([scribe.endorsed(tx) for tx in txs])), Receipt)
    assert [entry.reason for entry in receipt.entries] == [Reason.ACCEPTED, Reason.REPLAYED, Reason.BAD_SIGNATURE]


@pytest.mark.parametrize("fanout", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [1, 2, 5, 7, 13])
def test_the_hierarchy_is_a_tree_over_all_contributors(count: int, fanout: int) -> None:
    scribe = Scribe(make_network(make_params((1, 1, 1, count), endorsements=1, approvals=1,
                                             dissemination=Dissemination.TREE, fanout=fanout)))  # fmt: skip
    children = [contributor(scribe, index)._children for index in range(count)]
    assert all(len(names) <= fanout for names in children)
    assert sorted(name for names in children for name in names) == sorted(
        f"contributor-{index}" for index in range(1, count)
    )


def test_without_a_hierarchy_nobody_forwards(scribe: Scribe) -> None:
    effects = give(contributor(scribe), *scribe.finals(1))
    assert not sends(effects, Finalised)


def test_other_events_mean_nothing_to_a_contributor(scribe: Scribe) -> None:
    machine = contributor(scribe)
    assert machine.start(0) == ()
    assert handle(machine, TimerFired("any")) == ()
