"""One administrator's proof of stake, driven by hand (arXiv:1807.04938, Algorithm 1, by its line numbers)."""

from typing import Any

import msgspec
import pytest

from ehrcore.block import Block
from ehrcore.consensus import early, pos
from ehrcore.consensus.laggards import CATCH_UP_LIMIT
from ehrcore.consensus.rounds import ROUND_LIMIT
from ehrcore.consensus.seam import CLOCK_TOLERANCE
from ehrcore.effects import SetTimer
from ehrcore.messages import Finalised, Mined, Propose, Vote
from ehrcore.types import MILLISECOND, SECOND
from tests.core.protocol.conftest import NIL, PRECOMMIT, PREVOTE, Council, messages, sends


class Seven:
    """One real machine of seven administrators, which proposes in none of the first rounds; the others are puppets."""

    def __init__(self) -> None:
        self.council = Council(7)
        self.me = self.council.bystander(5)
        self.council.machines = {self.me: self.council.machines[self.me]}
        self.machine: Any = self.council.machines[self.me]
        self.scribe = self.council.scribe
        self.others = [name for name in self.council.names if name != self.me]
        self.x, self.y = (self.block(nonce) for nonce in (101, 102))

    def block(self, nonce: int, **changes: Any) -> Block:
        return self.scribe.block([self.scribe.endorsed(self.scribe.transaction(nonce))], **({"timestamp": 0} | changes))

    def hear(self, *given: Any, sender: str = "") -> list[tuple[int, int, bytes]]:
        """My votes in answer to these messages."""
        return self.council.votes_of(self.council.tell(self.me, *given, sender=sender))

    def votes(self, count: int, block: Block | None, round_: int = 0, step: int = PREVOTE) -> list[Vote]:
        block_hash = self.scribe.hash(block) if block else NIL
        return [self.scribe.vote(name, block_hash, round_, step) for name in self.others[:count]]

    def ids(self, *blocks: Block) -> list[bytes]:
        return [self.scribe.hash(block) for block in blocks]

    def lock(self) -> None:
        """Lock on x in round 0, see no decision, and move on to round 1."""
        x = self.scribe.hash(self.x)
        assert self.hear(self.scribe.propose(self.x)) == [(0, PREVOTE, x)]
        assert self.hear(*self.votes(4, self.x)) == [(0, PRECOMMIT, x)]
        self.move_on(0)

    def move_on(self, round_: int) -> None:
        """Precommits for nothing end a round."""
        self.hear(*self.votes(5, None, round_, PRECOMMIT))
        self.council.fire_all(self.me, "precommit")
        assert self.machine._round == round_ + 1


@pytest.fixture
def seven() -> Seven:
    return Seven()


# -- the rules ---------------------------------------------------------------------------------------------------------


def test_a_valid_proposal_gets_a_prevote(seven: Seven) -> None:
    """Lines 22 to 25."""
    assert seven.hear(seven.scribe.propose(seven.x)) == [(0, PREVOTE, seven.scribe.hash(seven.x))]


def test_a_silent_proposer_gets_a_prevote_for_none_in_time(seven: Seven) -> None:
    """Lines 57 to 60."""
    seven.council.ready(seven.me)
    (timer,) = [step for step in seven.council.steps[seven.me] if isinstance(step, SetTimer) and "prop" in step.name]
    assert timer == SetTimer("propose/1/0", 3 * SECOND)
    assert seven.council.votes_of(seven.council.fire_all(seven.me, "propose")) == [(0, PREVOTE, NIL)]


def test_five_of_seven_prevotes_are_a_polka_and_four_are_not(seven: Seven) -> None:
    """Lines 36 to 43, mine included."""
    seven.hear(seven.scribe.propose(seven.x))
    votes = seven.votes(4, seven.x)
    assert seven.hear(*votes[:3]) == []
    assert seven.hear(votes[3]) == [(0, PRECOMMIT, seven.scribe.hash(seven.x))]


def test_five_prevotes_for_none_call_for_a_precommit_for_none(seven: Seven) -> None:
    """Lines 44 to 46."""
    seven.hear(seven.scribe.propose(seven.x))
    assert seven.hear(*seven.votes(5, None)) == [(0, PRECOMMIT, NIL)]


def test_prevotes_that_disagree_start_a_clock(seven: Seven) -> None:
    """Lines 34 and 35, then 61 to 64."""
    seven.hear(seven.scribe.propose(seven.x))
    seven.hear(*seven.votes(2, seven.y), *seven.votes(4, None)[2:])
    assert seven.council.votes_of(seven.council.fire_all(seven.me, "prevote")) == [(0, PRECOMMIT, NIL)]


def test_five_precommits_decide_and_are_the_certificate(seven: Seven) -> None:
    """Lines 49 to 54."""
    seven.hear(seven.scribe.propose(seven.x), *seven.votes(4, seven.x), *seven.votes(3, seven.x, 0, PRECOMMIT))
    assert not seven.council.decided[seven.me]
    seven.hear(seven.votes(4, seven.x, 0, PRECOMMIT)[3])
    (decided,) = seven.council.decided[seven.me]
    assert (decided.block, decided.block_hash) == (seven.x, seven.scribe.hash(seven.x))
    assert len(decided.certificate.votes) == 5  # type: ignore[union-attr]
    seven.scribe.state().validate(decided.block, decided.certificate)


def test_precommits_of_an_earlier_round_still_decide(seven: Seven) -> None:
    """Line 49 asks for any round."""
    seven.hear(seven.scribe.propose(seven.x), *seven.votes(4, seven.x), *seven.votes(3, seven.x, 0, PRECOMMIT))
    seven.hear(*seven.votes(3, None, 2))
    assert seven.machine._round == 2
    assert not seven.council.decided[seven.me]
    seven.hear(seven.votes(4, seven.x, 0, PRECOMMIT)[3])
    assert seven.council.hashes() == {seven.scribe.hash(seven.x)}


def test_time_outs_grow_with_the_round(seven: Seven) -> None:
    seven.hear(*seven.votes(3, None, 4))
    names = {step.name: step.delay_ns for step in seven.council.steps[seven.me] if isinstance(step, SetTimer)}
    assert names["propose/1/4"] - names["propose/1/0"] == 4 * 500 * MILLISECOND


def test_a_time_out_of_another_round_or_height_is_stale(seven: Seven) -> None:
    seven.hear(seven.votes(1, None)[0])
    for name in ("propose/1/1", "propose/2/0", "precommit/1/1", "prevote/1/0"):
        assert seven.machine.on_timer(name, 0) == []


def test_a_polka_that_comes_after_the_precommit_changes_neither_vote_nor_lock(seven: Seven) -> None:
    """Lines 36 to 43: only the block to propose again is learnt from it; a second precommit would be a lie."""
    seven.hear(seven.scribe.propose(seven.x), *seven.votes(2, seven.x), *seven.votes(4, None)[2:])
    assert seven.council.votes_of(seven.council.fire_all(seven.me, "prevote")) == [(0, PRECOMMIT, NIL)]
    assert seven.hear(*seven.votes(6, seven.x)[2:]) == []
    assert (seven.machine._locked_round, seven.machine._valid_round) == (-1, 0)


# -- the lock ----------------------------------------------------------------------------------------------------------


def test_a_locked_node_prevotes_none_for_another_block(seven: Seven) -> None:
    """Line 23: lockedRound = -1 or lockedValue = v."""
    seven.lock()
    assert seven.hear(seven.scribe.propose(seven.y, 1)) == [(1, PREVOTE, NIL)]


def test_a_locked_node_prevotes_its_own_block_again(seven: Seven) -> None:
    seven.lock()
    assert seven.hear(seven.scribe.propose(seven.x, 1)) == [(1, PREVOTE, seven.scribe.hash(seven.x))]


def test_a_newer_polka_unlocks(seven: Seven) -> None:
    """Lines 28 to 31: lockedRound <= vr."""
    seven.lock()
    seven.hear(seven.scribe.propose(seven.y, 1), *seven.votes(5, seven.y, 1))
    seven.move_on(1)
    assert seven.hear(seven.scribe.propose(seven.y, 2, valid_round=1)) == [(2, PREVOTE, seven.scribe.hash(seven.y))]


def test_a_polka_is_not_taken_on_the_proposers_word(seven: Seven) -> None:
    """The proposal says that round 1 had one; until its votes are here, nothing is answered, and then time runs out."""
    seven.lock()
    seven.hear(*seven.votes(4, seven.y, 1))
    seven.move_on(1)
    assert seven.hear(seven.scribe.propose(seven.y, 2, valid_round=1)) == []
    assert seven.council.votes_of(seven.council.fire_all(seven.me, "propose")) == [(2, PREVOTE, NIL)]


def test_a_proposal_that_came_early_and_waits_for_a_polka_does_not_stop_the_clock(seven: Seven) -> None:
    seven.lock()
    seven.hear(seven.scribe.propose(seven.y, 2, valid_round=1))
    seven.move_on(1)
    assert seven.council.votes_of(seven.council.fire_all(seven.me, "propose")) == [(2, PREVOTE, NIL)]


def test_a_polka_older_than_the_lock_does_not_unlock(seven: Seven) -> None:
    """Lock on x in round 1; a polka for y in round 0 then comes to light."""
    seven.hear(*seven.votes(3, None, 1, PRECOMMIT))
    seven.hear(seven.scribe.propose(seven.x, 1), *seven.votes(4, seven.x, 1), *seven.votes(5, seven.y, 0))
    assert seven.machine._locked_round == 1
    seven.move_on(1)
    assert seven.hear(seven.scribe.propose(seven.y, 2, valid_round=0)) == [(2, PREVOTE, NIL)]


def test_a_proposer_repeats_what_had_a_polka(seven: Seven) -> None:
    """Line 16: validValue, with the round that shows it."""
    council = Council(4)
    first, later = council.proposer(0), next(r for r in range(1, 9) if council.proposer(r) != council.proposer(0))
    me = council.proposer(later)
    others = [name for name in council.names if name != me]
    council.machines = {me: council.machines[me]}
    council.ready(me)
    scribe = council.scribe
    block = scribe.block([scribe.endorsed(scribe.transaction(55))], proposer=first, timestamp=0)
    council.tell(me, scribe.propose(block), *(scribe.vote(n, scribe.hash(block), 0, PREVOTE) for n in others[:2]))
    steps = council.tell(me, *(scribe.vote(n, b"", later, PREVOTE) for n in others[:2]))
    (again,) = messages(steps, Propose)
    assert (again.block, again.body.round, again.body.valid_round) == (block, later, 0)


# -- what is not believed ----------------------------------------------------------------------------------------------


def test_a_vote_counts_once_per_voter_round_and_step_and_only_with_its_signature(seven: Seven) -> None:
    seven.hear(seven.scribe.propose(seven.x))
    one, two, three, four = seven.votes(4, seven.x)
    forged = msgspec.structs.replace(one, voter=four.voter)
    stranger = seven.scribe.vote("agent-0", seven.scribe.hash(seven.x), 0, PREVOTE)
    second_thoughts = seven.votes(1, seven.y)[0]
    assert seven.hear(one, one, two, three, forged, stranger, second_thoughts) == []
    assert seven.hear(four) == [(0, PRECOMMIT, seven.scribe.hash(seven.x))]


def test_a_liars_vote_for_another_proposed_block_counts_for_that_block_too(seven: Seven) -> None:
    """Quorums count messages: else a liar's first vote here and second vote there could keep two honest nodes apart."""
    liar, *honest = seven.votes(4, seven.x)
    seven.hear(seven.scribe.vote(liar.voter, NIL, 0, PREVOTE), *honest)
    assert seven.hear(seven.scribe.propose(seven.x)) == [(0, PREVOTE, seven.scribe.hash(seven.x))]
    assert seven.hear(liar) == [(0, PRECOMMIT, seven.scribe.hash(seven.x))]


def test_a_voter_that_votes_twice_is_half_of_two_voters(seven: Seven) -> None:
    """More than two thirds must have spoken before disagreement starts a clock: voices, not votes."""
    seven.hear(seven.scribe.propose(seven.x))
    one, two, liar, honest = seven.votes(4, None)
    seven.hear(one, two, liar, seven.scribe.vote(liar.voter, seven.scribe.hash(seven.x), 0, PREVOTE))
    assert not seven.council.fire_all(seven.me, "prevote")
    seven.hear(honest)
    assert seven.council.fire_all(seven.me, "prevote")


def test_what_a_stuck_node_relies_on_is_repeated_with_what_it_said(seven: Seven) -> None:
    seven.lock()
    polka = seven.votes(4, seven.x)
    repeated = messages(seven.council.fire_all(seven.me, "repeat"), Vote)
    assert all(vote in repeated for vote in polka)
    assert [vote.voter for vote in repeated].count(seven.me) == 2


def test_of_two_proposals_for_one_round_the_first_counts(seven: Seven) -> None:
    assert seven.hear(seven.scribe.propose(seven.x)) == [(0, PREVOTE, seven.scribe.hash(seven.x))]
    assert seven.hear(seven.scribe.propose(seven.y)) == []
    assert seven.hear(*seven.votes(6, seven.y)) == []


def test_only_the_rounds_proposer_proposes(seven: Seven) -> None:
    other = next(name for name in seven.others if name != seven.council.proposer())
    assert seven.hear(seven.scribe.propose(seven.x, signer=other)) == []


@pytest.mark.parametrize("change", ["block", "round", "valid_round", "height"])
def test_a_changed_proposal_is_not_believed(seven: Seven, change: str) -> None:
    good = seven.scribe.propose(seven.x)
    value = {"block": seven.scribe.hash(seven.y), "round": 1, "valid_round": 0, "height": 2}[change]
    body = msgspec.structs.replace(good.body, **{change: value})
    assert seven.hear(msgspec.structs.replace(good, body=body)) == []


def test_a_proposal_shows_the_block_that_it_names(seven: Seven) -> None:
    assert seven.hear(msgspec.structs.replace(seven.scribe.propose(seven.x), block=seven.y)) == []


def test_a_polka_cannot_lie_in_the_future(seven: Seven) -> None:
    assert seven.hear(seven.scribe.propose(seven.x, 0, valid_round=0)) == []
    assert seven.hear(seven.scribe.propose(seven.x, 0, valid_round=3)) == []
    assert seven.hear(seven.scribe.propose(seven.x)) == [(0, PREVOTE, seven.scribe.hash(seven.x))]


@pytest.mark.parametrize(
    "changes",
    [{"previous": bytes(32)}, {"height": 2}, {"chain": bytes(32)}, {"validators": bytes(32)}, {"size": 2},
     {"merkle_root": bytes(32)}, {"proposer": "agent-0"}],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_an_invalid_block_gets_a_prevote_for_none(seven: Seven, changes: dict[str, Any]) -> None:
    block = seven.block(103, **changes)
    assert seven.hear(seven.scribe.propose(block)) == [(0, PREVOTE, NIL)]


def test_a_block_older_than_its_parent_gets_a_prevote_for_none(seven: Seven) -> None:
    parent = seven.block(103, timestamp=SECOND)
    seven.hear(Finalised(parent, seven.scribe.certificate(parent)), sender=seven.others[0])
    for round_, (timestamp, is_valid) in enumerate([(SECOND - 1, False), (SECOND, True)]):
        block = seven.scribe.block(
            [seven.scribe.endorsed(seven.scribe.transaction(7))], parent.header, timestamp=timestamp
        )
        expected = seven.scribe.hash(block) if is_valid else NIL
        seven.hear(*(seven.scribe.vote(name, NIL, round_, PREVOTE, height=2) for name in seven.others[:3]))
        assert (round_, PREVOTE, expected) in seven.hear(seven.scribe.propose(block, round_, height=2))


def test_a_block_without_transactions_gets_a_prevote_for_none(seven: Seven) -> None:
    """Else a single proposer could make heights pass and ledgers grow as fast as the network goes."""
    empty = seven.scribe.block((), timestamp=0)
    assert seven.hear(seven.scribe.propose(empty)) == [(0, PREVOTE, NIL)]


def test_a_block_that_the_pool_refuses_gets_a_prevote_for_none(seven: Seven) -> None:
    seven.council.pools[seven.me].refuses = {seven.scribe.tx_id(seven.x.transactions[0].transaction)}
    assert seven.hear(seven.scribe.propose(seven.x)) == [(0, PREVOTE, NIL)]


def test_a_header_that_was_found_valid_vouches_for_no_other_transactions(seven: Seven) -> None:
    """In round 1, a liar shows the block of round 0 with other content: nobody may lock or decide that."""
    seven.lock()
    false = Block(seven.x.header, seven.y.transactions)
    assert seven.hear(seven.scribe.propose(false, 1)) == [(1, PREVOTE, NIL)]
    seven.hear(*seven.votes(6, seven.x, 1, PRECOMMIT))
    assert not seven.council.decided[seven.me]


def test_nor_does_one_that_was_shown_with_false_content_condemn_the_true_block(seven: Seven) -> None:
    false = Block(seven.x.header, seven.y.transactions)
    assert seven.hear(seven.scribe.propose(false)) == [(0, PREVOTE, NIL)]
    seven.hear(*seven.votes(5, None))
    seven.move_on(0)
    assert seven.hear(seven.scribe.propose(seven.x, 1)) == [(1, PREVOTE, seven.scribe.hash(seven.x))]


@pytest.mark.parametrize(("ahead", "is_accepted"), [(CLOCK_TOLERANCE, True), (CLOCK_TOLERANCE + 1, False)])
def test_a_block_from_the_future_gets_no_prevote(seven: Seven, ahead: int, is_accepted: bool) -> None:
    """One at the end of time would let every certificate expire, and no block could follow it."""
    seven.council.now = 5 * SECOND
    block = seven.block(103, timestamp=5 * SECOND + ahead)
    expected = seven.scribe.hash(block) if is_accepted else NIL
    assert seven.hear(seven.scribe.propose(block)) == [(0, PREVOTE, expected)]


def test_yet_a_node_whose_clock_is_slow_decides_with_the_others(seven: Seven) -> None:
    block = seven.block(103, timestamp=60 * SECOND)
    seven.hear(seven.scribe.propose(block), *seven.votes(5, block), *seven.votes(5, block, 0, PRECOMMIT))
    assert seven.council.hashes() == {seven.scribe.hash(block)}


def test_messages_of_another_chain_or_rule_mean_nothing(seven: Seven) -> None:
    vote = seven.votes(1, None)[0]
    assert seven.hear(msgspec.structs.replace(vote, body=msgspec.structs.replace(vote.body, chain=bytes(32)))) == []
    assert seven.hear(Mined(seven.x)) == []
    assert seven.machine.on_work(0, bytes(8), 0) == []
    assert seven.machine._phase is pos.Phase.IDLE


# -- rounds ------------------------------------------------------------------------------------------------------------


def test_more_than_a_third_in_a_later_round_pulls_a_node_along(seven: Seven) -> None:
    """Lines 55 and 56."""
    seven.hear(*seven.votes(2, None, 3))
    assert seven.machine._round == 0
    seven.hear(seven.votes(3, None, 3, PRECOMMIT)[2])
    assert seven.machine._round == 3


def test_one_liar_far_ahead_keeps_nobody_back(seven: Seven) -> None:
    seven.hear(seven.scribe.vote(seven.others[5], NIL, ROUND_LIMIT, PREVOTE))
    seven.hear(*seven.votes(3, None, 3))
    assert seven.machine._round == 3


def test_what_lies_too_far_ahead_is_not_even_remembered(seven: Seven) -> None:
    liar = seven.others[0]
    seven.hear(*(seven.scribe.vote(liar, NIL, round_, PREVOTE) for round_ in range(0, 2_000_000_000, 50_000_000)))
    assert len(seven.machine._record.votes._first) == 1


# -- later heights and catching up -------------------------------------------------------------------------------------


def test_messages_for_the_next_height_wait_for_it(seven: Seven) -> None:
    parent = seven.x.header
    block = seven.scribe.block([seven.scribe.endorsed(seven.scribe.transaction(7))], parent, timestamp=0)
    proposal = seven.scribe.propose(block, height=2)
    seven.hear(proposal, sender=seven.council.proposer(0, 2))
    assert seven.machine._height == 1
    seven.hear(seven.scribe.propose(seven.x), *seven.votes(4, seven.x))
    votes = seven.hear(*seven.votes(4, seven.x, 0, PRECOMMIT))
    assert seven.machine._height == 2
    assert (0, PREVOTE, seven.scribe.hash(block)) in seven.council.votes_of(seven.council.steps[seven.me])
    assert votes == []


def test_no_peers_flood_takes_the_room_of_another(seven: Seven, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "EARLY_LIMIT", 60)
    flood, honest = seven.others[:2]
    for round_ in range(500):
        seven.hear(seven.scribe.vote(flood, NIL, round_, PREVOTE, height=2), sender=flood)
    assert len(seven.machine._early) == 10
    seven.hear(seven.scribe.vote(honest, NIL, 0, PREVOTE, height=2), sender=honest)
    assert len(seven.machine._early) == 11
    seven.hear(seven.scribe.vote(honest, NIL, 0, PREVOTE, height=2 + CATCH_UP_LIMIT), sender=honest)
    seven.hear(seven.scribe.vote(honest, NIL, 0, PREVOTE, height=2), sender="agent-0")
    assert len(seven.machine._early) == 11


def test_no_peer_fills_the_memory_with_blocks_that_nobody_can_check_yet(seven: Seven) -> None:
    """A vote takes a few hundred bytes, a block up to half a megabyte: one of each kind for each height."""
    flood, honest = seven.others[:2]
    for height in (2, 2 + CATCH_UP_LIMIT // 2):
        for round_ in range(50):
            proposal = seven.scribe.propose(seven.scribe.block((), height=height), round_, height=height)
            seven.hear(proposal, sender=flood)
    assert len(seven.machine._early) == 2
    seven.hear(proposal, sender=honest)
    assert len(seven.machine._early) == 3
    seven.hear(seven.scribe.propose(seven.x), *seven.votes(4, seven.x), *seven.votes(4, seven.x, 0, PRECOMMIT))
    assert (seven.machine._height, len(seven.machine._early)) == (2, 2)


def test_a_final_block_lets_a_node_catch_up_and_needs_no_trust_in_its_sender(seven: Seven) -> None:
    seven.hear(Finalised(seven.x, seven.scribe.certificate(seven.x)), sender="agent-0")
    assert seven.council.hashes() == {seven.scribe.hash(seven.x)}


def test_final_blocks_may_come_in_any_order(seven: Seven) -> None:
    chain = [Finalised(seven.x, seven.scribe.certificate(seven.x))]
    for nonce in (7, 8):
        items = [seven.scribe.endorsed(seven.scribe.transaction(nonce))]
        chain.append(seven.scribe.final(items, chain[-1].block.header, timestamp=0))
    for final in reversed(chain):
        seven.hear(final, sender=seven.others[0])
    assert [step.block for step in seven.council.decided[seven.me]] == [final.block for final in chain]


def false_finals(seven: Seven) -> dict[str, Finalised]:
    good = seven.scribe.certificate(seven.x)
    items = [seven.scribe.endorsed(seven.scribe.transaction(7))]
    return {
        "too few votes": Finalised(seven.x, seven.scribe.certificate(seven.x, seven.others[:4])),
        "of another block": Finalised(seven.y, good),
        "with other transactions": Finalised(Block(seven.x.header, seven.y.transactions), good),
        "with no transactions": Finalised(Block(seven.x.header, ()), good),
        "of another parent": seven.scribe.final(items, previous=bytes(32)),
        "of another chain": seven.scribe.final(items, chain=bytes(32)),
    }


@pytest.mark.parametrize("name", list(false_finals(Seven())))
def test_a_false_final_block_is_not_followed(seven: Seven, name: str) -> None:
    seven.hear(false_finals(seven)[name], sender=seven.others[0])
    assert not seven.council.decided[seven.me]


def test_a_stuck_node_repeats_itself_ever_more_rarely(seven: Seven) -> None:
    seven.council.ready(seven.me)
    (vote,) = messages(seven.council.fire_all(seven.me, "propose"), Vote)
    delays = []
    for _ in range(4):
        delays += [at - seven.council.now for at, _, name in seven.council.timers if name.startswith("repeat")]
        assert messages(seven.council.fire_all(seven.me, "repeat"), Vote) == [vote]
    assert delays == [5 * SECOND, 10 * SECOND, 20 * SECOND, 40 * SECOND]


def test_who_is_past_a_height_answers_the_stuck_but_not_the_merely_late(seven: Seven) -> None:
    chain = [Finalised(seven.x, seven.scribe.certificate(seven.x))]
    items = [seven.scribe.endorsed(seven.scribe.transaction(7))]
    chain.append(seven.scribe.final(items, chain[-1].block.header, timestamp=0))
    seven.hear(*chain, sender=seven.others[0])
    late = seven.votes(6, seven.x, 0, PRECOMMIT)[5]

    def answers(sender: str = late.voter) -> list[Any]:
        return sends(seven.council.tell(seven.me, late, sender=sender), Finalised)

    seven.council.now = SECOND - 1
    assert answers() == []
    seven.council.now = SECOND
    assert [(send.to, send.message) for send in answers()] == [((late.voter,), final) for final in chain]
    assert answers() == []  # it has been answered
    assert answers("agent-0") == []  # not an administrator
    seven.council.now = 2 * SECOND
    assert len(answers()) == 2


def test_what_is_remembered_of_past_heights_is_bounded(seven: Seven) -> None:
    chain = [Finalised(seven.x, seven.scribe.certificate(seven.x))]
    for _ in range(CATCH_UP_LIMIT + 10):
        chain.append(seven.scribe.final([], chain[-1].block.header, timestamp=0))
    for final in chain:
        seven.hear(final, sender=seven.others[0])
    assert seven.machine._height == len(chain) + 1
    assert len(seven.machine._past._blocks) == CATCH_UP_LIMIT


def test_a_lone_administrator_decides_by_itself() -> None:
    council = Council(1)
    council.ready()
    assert len(council.hashes()) == 1
    assert not council.bag
