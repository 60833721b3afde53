"""Stake that changes: when it counts, how long it can be lost, and that everyone finds the same."""

import dataclasses
from collections import Counter
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehrcore.block import Bond, Evidence, Revocation, Unbond, Validator
from ehrcore.consensus.evidence import statement_of
from ehrcore.consensus.seam import Tip
from ehrcore.consensus.stakes import StakeOrder, Stakes
from ehrcore.consensus.validators import ValidatorSet
from ehrcore.effects import ObservedKind, Received
from ehrcore.errors import ParameterError
from ehrcore.identity import Reason
from ehrcore.messages import Submit
from ehrcore.params import ConsensusRule, StakeRule
from ehrcore.roles.context import Kept
from ehrcore.rules import AUTHORITY
from ehrcore.state import keep_orders
from ehrcore.types import SECOND, Role
from tests.core.protocol.conftest import PREVOTE, Run, Scribe, check_invariants, make_network, make_params

NAMES = tuple(f"administrator-{index}" for index in range(4))


def make_scribe(**rule: int) -> Scribe:
    return Scribe(make_network(make_params(stake=StakeRule(**rule)), (4, 3, 2, 1)))


def show(scribe: Scribe, node: str, height: int = 1) -> Evidence:
    """Two prevotes of one node for one round."""
    first, second = (scribe.vote(node, bytes([mark]) * 32, 0, PREVOTE, height) for mark in (1, 2))
    return Evidence(node, statement_of(first), statement_of(second))


def held(voters: ValidatorSet) -> dict[str, int]:
    return {member.node: member.stake for member in voters.members}


# -- who proposes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stakes", [(1, 1, 1, 1), (1_000_000, 1, 1, 1), (1, 2, 3, 4), (7,), (5, 1) * 20])
def test_every_draw_has_its_owner_in_exact_proportion_to_stake(stakes: tuple[int, ...]) -> None:
    """All residues of a small total; for a large one, those at which the owner changes."""
    scribe = Scribe(make_network(make_params((3, 3, len(stakes), 1)), stakes))
    voters, total = scribe.validators, sum(stakes)
    if total < 1_000:
        owners = Counter(voters.owner(draw).node for draw in range(total))
        assert {node: Fraction(count, total) for node, count in owners.items()} == {
            member.node: Fraction(member.stake, total) for member in voters.members
        }
    at = 0
    for member in voters.members:
        assert voters.owner(at) == voters.owner(at + member.stake - 1) == member
        at += member.stake
    assert at == total


@pytest.mark.parametrize("stakes", [(1, 1, 1, 1), (90, 5, 4, 1)])
def test_draws_over_many_heights_follow_the_stake(stakes: tuple[int, ...]) -> None:
    """Chi-square of 4,000 draws with 3 degrees of freedom: a fair draw exceeds 21.1 once in 10,000."""
    scribe = Scribe(make_network(make_params(), stakes))
    draws = 4_000
    found = Counter(
        scribe.validators.proposer(scribe.crypto, scribe.chain, 1 + number // 4, number % 4).node
        for number in range(draws)
    )
    wanted = {member.node: draws * member.stake / sum(stakes) for member in scribe.validators.members}
    assert sum((found[node] - count) ** 2 / count for node, count in wanted.items()) < 21.1


def test_nothing_that_a_proposer_chooses_moves_the_draw(scribe: Scribe) -> None:
    """The draw's input is chain, height and round alone; another chain draws otherwise."""
    crypto, voters = scribe.crypto, scribe.validators
    rounds = range(64)
    mine = [voters.proposer(crypto, scribe.chain, 1, number).node for number in rounds]
    assert mine == [voters.proposer(scribe.cryptos["agent-0"], scribe.chain, 1, number).node for number in rounds]
    assert mine != [voters.proposer(crypto, bytes(32), 1, number).node for number in rounds]
    assert mine != [voters.proposer(crypto, scribe.chain, 2, number).node for number in rounds]


def test_nobody_votes_twice_in_one_set(scribe: Scribe) -> None:
    member = Validator("administrator-0", 1, bytes(33))
    with pytest.raises(ParameterError, match="one twice"):
        ValidatorSet(scribe.crypto, (member, member))


# -- orders ------------------------------------------------------------------------------------------------------------


def test_what_a_block_orders_is_in_force_two_heights_later() -> None:
    scribe = make_scribe()
    stakes = scribe.stakes()
    assert stakes.carry_out(Bond(NAMES[3], 5), 1) is Reason.ACCEPTED
    stakes.advance(1)
    assert held(stakes.validators)[NAMES[3]] == 1
    assert held(stakes.upcoming)[NAMES[3]] == 6
    stakes.advance(2)
    assert held(stakes.validators)[NAMES[3]] == 6


def test_unbonded_stake_votes_no_more_but_can_be_lost_for_a_while() -> None:
    scribe = make_scribe(unbonding_blocks=3)
    stakes = scribe.stakes()
    assert stakes.carry_out(Unbond(NAMES[0], 3), 1) is Reason.ACCEPTED
    for height in (1, 2, 3, 4):
        assert held(stakes.validators)[NAMES[0]] == (4 if height <= 2 else 1)
        stakes.advance(height)
        assert stakes.unbonding(NAMES[0]) == 3
    twin = stakes.copy()
    # The last height at which all of it voted, in the last block in which that can be shown.
    assert twin.carry_out(show(scribe, NAMES[0], 1), 5) is Reason.EXPIRED
    assert twin.carry_out(show(scribe, NAMES[0], 2), 5) is Reason.ACCEPTED
    twin.advance(5)
    assert (held(twin.upcoming).get(NAMES[0]), twin.unbonding(NAMES[0])) == (None, 0)
    stakes.advance(5)
    assert stakes.unbonding(NAMES[0]) == 0
    assert held(stakes.upcoming)[NAMES[0]] == 1


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (Bond("administrator-9", 1), Reason.UNKNOWN_ADMINISTRATOR),
        (Bond(NAMES[0], (1 << 53) - 1), Reason.NO_STAKE),
        (Unbond(NAMES[3], 2), Reason.NO_STAKE),
        (Unbond("agent-0", 1), Reason.UNKNOWN_ADMINISTRATOR),
    ],
)
def test_orders_that_cannot_be_carried_out_change_nothing(order: StakeOrder, reason: Reason) -> None:
    stakes = make_scribe().stakes()
    assert stakes.carry_out(order, 1) is reason
    stakes.advance(1)
    assert stakes.upcoming is stakes.validators


def test_somebody_always_votes() -> None:
    scribe = make_scribe()
    stakes = scribe.stakes()
    for name, amount in zip(NAMES[1:], (3, 2, 1), strict=True):
        assert stakes.carry_out(Unbond(name, amount), 1) is Reason.ACCEPTED
    assert stakes.carry_out(Unbond(NAMES[0], 4), 1) is Reason.NO_STAKE
    assert stakes.carry_out(show(scribe, NAMES[0]), 1) is Reason.ACCEPTED
    stakes.advance(1)
    assert held(stakes.upcoming) == {NAMES[0]: 4}


@pytest.mark.parametrize("rule", [rule for rule in ConsensusRule if rule is not ConsensusRule.PROOF_OF_STAKE])
def test_where_stake_does_not_vote_it_is_fixed(rule: ConsensusRule) -> None:
    scribe = Scribe(make_network(make_params(consensus=rule)))
    assert scribe.stakes().carry_out(Bond(NAMES[0], 1), 1) is Reason.FIXED_ADMINISTRATORS


# -- offences ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("percent", "left"), [(100, None), (50, 2), (1, 3), (30, 2)])
def test_an_offender_loses_its_share_rounded_up_and_once_for_each_height(percent: int, left: int | None) -> None:
    scribe = make_scribe(slash_percent=percent)
    stakes = scribe.stakes()
    assert stakes.carry_out(show(scribe, NAMES[0]), 2) is Reason.ACCEPTED
    assert stakes.carry_out(show(scribe, NAMES[0]), 2) is Reason.PUNISHED
    stakes.advance(2)
    assert held(stakes.upcoming).get(NAMES[0]) == left
    assert stakes.carry_out(show(scribe, NAMES[0]), 3) is Reason.PUNISHED
    assert stakes.carry_out(show(scribe, NAMES[0], 2), 3) is Reason.ACCEPTED


def test_offences_expire_and_do_not_come_early() -> None:
    scribe = make_scribe(unbonding_blocks=5)
    stakes = scribe.stakes()
    assert stakes.carry_out(show(scribe, NAMES[0], 4), 10) is Reason.EXPIRED
    assert stakes.carry_out(show(scribe, NAMES[0], 5), 10) is Reason.ACCEPTED
    assert stakes.carry_out(show(scribe, NAMES[1], 11), 10) is Reason.BAD_EVIDENCE


ORDERS = st.lists(
    st.lists(
        st.one_of(
            st.builds(Bond, st.sampled_from(NAMES), st.integers(1, 9)),
            st.builds(Unbond, st.sampled_from(NAMES), st.integers(1, 9)),
        ),
        max_size=3,
    ),
    max_size=12,
)
GENERAL = make_scribe()


@given(blocks=ORDERS)
@settings(max_examples=150)
def test_any_orders_give_what_the_naive_sum_gives(blocks: list[list[StakeOrder]]) -> None:
    stakes: Stakes = GENERAL.stakes()
    amounts = dict(zip(NAMES, (4, 3, 2, 1), strict=True))
    at = {1: dict(amounts), 2: dict(amounts)}
    for height, orders in enumerate(blocks, start=1):
        assert held(stakes.validators) == {node: stake for node, stake in at[height].items() if stake}
        for order in orders:
            assert not isinstance(order, Evidence)
            change = order.amount if isinstance(order, Bond) else -order.amount
            wanted = amounts | {order.node: amounts[order.node] + change}
            is_possible = min(wanted.values()) >= 0 and sum(wanted.values()) > 0
            assert (stakes.carry_out(order, height) is Reason.ACCEPTED) is is_possible
            amounts = wanted if is_possible else amounts
        stakes.advance(height)
        at[height + 2] = dict(amounts)


def test_after_a_restart_administrators_count_as_the_ledger_does() -> None:
    """Also an order whose endorser an earlier order of the same block has revoked, and one that comes blocks later."""
    scribe = make_scribe()
    context = scribe.network.context(NAMES[0])
    standing, state, parent, ordering = context.open_standing(), scribe.state(), None, []
    late = scribe.order(Bond(NAMES[2], 7), 3)
    endorsed_late = msgspec.structs.replace(scribe.endorsed(late), endorsements=scribe.endorsements(late, (1, 2)))
    revoke, bond = scribe.order(Revocation(scribe.serial_of("agent-0")), 1), scribe.order(Bond(NAMES[1], 5), 2)
    for items in ([scribe.endorsed(revoke), scribe.endorsed(bond)], [], [], [endorsed_late], [], []):
        voters = state.stakes.validators.digest, state.stakes.upcoming.digest
        block = scribe.block(items, parent, validators=voters[0], next_validators=voters[1])
        verdict = state.validate(block, scribe.certificate(block))
        assert verdict.reasons in ((Reason.ACCEPTED, Reason.POLICY), (), (Reason.ACCEPTED,))
        state.apply(block, verdict)
        standing.follow(block)
        ordering += [held for held in (keep_orders(block),) if held is not None]
        parent = block.header
        kept = Kept(tip=Tip(parent.height, scribe.hash(block), parent.timestamp), ordering=tuple(ordering))
        again = dataclasses.replace(context, kept=kept).open_standing()
        for held_by in (standing, again):
            assert held_by.stakes.validators.digest == state.stakes.validators.digest
            assert held_by.stakes.upcoming.digest == state.stakes.upcoming.digest
    assert len(ordering) == 2
    assert held(state.validators) == {NAMES[0]: 4, NAMES[1]: 3, NAMES[2]: 9, NAMES[3]: 1}


# -- on a network ------------------------------------------------------------------------------------------------------


def order(run: Run, at: int, tx: object) -> None:
    for name, role in run.network.roles.items():
        if role is Role.AGENT:
            run.sim.inject(at, name, Received(AUTHORITY, Submit(tx)))  # type: ignore[arg-type]


def test_orders_about_stake_change_who_votes_and_receipts_still_verify() -> None:
    run = Run(make_params(), (4, 3, 2, 1), is_wired=True)
    authority, chain = run.network.authority, run.network.chain
    order(run, SECOND, authority.bond(chain, NAMES[3], 20, SECOND))
    order(run, 2 * SECOND, authority.unbond(chain, NAMES[0], 4, 2 * SECOND))
    run.submit(150, every=SECOND // 10).run()
    check_invariants(run)
    assert len(run.ids(ObservedKind.FINAL)) == 150
    assert not [item for _, _, item in run.of(ObservedKind.FINAL) if item.detail]
    state = run.node("contributor-0").machine.state
    assert held(state.validators) == {NAMES[1]: 3, NAMES[2]: 2, NAMES[3]: 21}
    assert (
        len(state.trail) == len({entry.block.header.validators for entry in run.ledgers["contributor-0"].entries}) - 1
    )
    for name in NAMES:
        assert run.node(name).machine._pool._standing.stakes.validators.digest == state.validators.digest


def test_who_votes_twice_is_accused_convicted_and_out_and_the_chain_goes_on() -> None:
    run = Run(make_params(stake=StakeRule(unbonding_blocks=50)), is_wired=True)
    scribe, guilty = Scribe(run.network), NAMES[2]
    words = show(scribe, guilty, 2)
    for index, word in enumerate((words.first, words.second)):
        vote = scribe.vote(guilty, word.body.block, 0, PREVOTE, 2)
        for name in NAMES:
            if name != guilty:
                run.sim.inject(index, name, Received(guilty, vote))
    run.submit(120, every=SECOND // 10).run()
    check_invariants(run)
    assert {item.detail for _, _, item in run.of(ObservedKind.ACCUSED)} == {f"{guilty}/2"}
    entries = run.ledgers["contributor-0"].entries
    shown = [
        (entry.block.header.height, reason)
        for entry in entries
        for item, reason in zip(entry.block.transactions, entry.reasons, strict=True)
        if isinstance(item.transaction.body.payload, Evidence)
    ]
    assert [reason for _, reason in shown] == [Reason.ACCEPTED] + [Reason.PUNISHED] * (len(shown) - 1)
    convicted = shown[0][0]
    digests = {entry.block.header.height: entry.block.header.validators for entry in entries}
    assert digests[convicted + 1] == digests[1] != digests[convicted + 2]
    assert len(entries) > convicted + 3
    state = run.node("contributor-0").machine.state
    assert guilty not in held(state.validators)
    late = [entry for entry in entries if entry.block.header.height >= convicted + 2]
    assert not any(vote.node == guilty for entry in late for vote in entry.certificate.votes)  # type: ignore[union-attr]
    assert not any(entry.block.header.proposer == guilty for entry in late)
    assert len(run.ids(ObservedKind.FINAL)) == 120
