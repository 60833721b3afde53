from collections import defaultdict

import pytest

from ehrcore.block import StakeCertificate
from ehrcore.codec import encode
from ehrcore.effects import ObservedKind, Persist
from ehrcore.faults.plan import Behaviour, Byzantine, Cut
from ehrcore.messages import Finalised, Mined, Propose, Vote
from ehrcore.params import ConsensusRule, WorkRule
from ehrcore.types import SECOND
from tests.core.faults.support import ADMINS, SUITE, Trial, make_network

A, B, C, D = ADMINS
KEEPERS = {"coordinator-0", "contributor-0"}


def decided(trial):
    """By height: the block hashes that honest administrators hand to ledger keepers."""
    found = defaultdict(set)
    for _, name, send in trial.sent(Finalised):
        if name not in trial.plan.faulty and KEEPERS & set(send.to):
            header = send.message.block.header
            found[header.height].add(SUITE.hash(encode(header)))
    return found


def votes_by_receiver(trial, liar):
    """What each receiver was told in a place: height, round and step."""
    found = defaultdict(lambda: defaultdict(set))
    for _, _, send in trial.sent(Vote, liar):
        body = send.message.body
        if send.message.voter == liar:
            for receiver in send.to:
                found[body.height, body.round, body.step][receiver].add(body.block)
    return found


@pytest.mark.parametrize("behaviour", Behaviour)
@pytest.mark.parametrize("liar", ADMINS)
def test_one_liar_of_four_harms_nobody(behaviour, liar):
    trial = Trial(Byzantine(liar, behaviour)).submit(8).run()
    assert all(len(hashes) == 1 for hashes in decided(trial).values())
    trial.check_whole(liar)


@pytest.mark.parametrize("liar", ADMINS)
def test_before_its_time_a_liar_is_honest(liar):
    plain = Trial().submit().run()
    for behaviour in Behaviour:
        trial = Trial(Byzantine(liar, behaviour, 100 * SECOND)).submit().run()
        assert trial.said == plain.said


# -- equivocation ----------------------------------------------------------------------------------------------------


def test_who_equivocates_tells_each_side_its_own():
    proposals = votes = 0
    for liar in ADMINS:
        trial = Trial(Byzantine(liar, Behaviour.EQUIVOCATE)).submit(8).run()
        for told in votes_by_receiver(trial, liar).values():
            sides = {receiver: blocks for receiver, blocks in told.items() if receiver in ADMINS}
            assert all(len(blocks) == 1 for blocks in sides.values())
            votes += len({*map(frozenset, sides.values())}) > 1
        for _, _, send in trial.sent(Propose, liar):
            proposals += set(send.to) < set(ADMINS) - {liar}
    assert proposals
    assert votes


def test_both_of_its_proposals_are_signed_and_valid():
    pairs = 0
    for liar in ADMINS:
        trial = Trial(Byzantine(liar, Behaviour.EQUIVOCATE)).submit(8).run()
        rounds = defaultdict(dict)
        for _, _, send in trial.sent(Propose, liar):
            if send.message.block.header.proposer == liar:
                rounds[send.message.body.height, send.message.body.round][send.message.body.block] = send.message
        for found in rounds.values():
            if len(found) == 2:
                one, other = found.values()
                assert one.block.transactions == other.block.transactions
                crypto = trial.network.crypto(B)
                key = trial.network.keys[liar].public_bytes
                assert all(crypto.verify(key, item.body, item.signature) for item in (one, other))
                assert all(crypto.hash_struct(item.block.header) == item.body.block for item in (one, other))
                pairs += 1
    assert pairs


def test_two_of_four_fork_the_chain():
    """The negative control: beyond the limit, the same liars do break agreement."""
    forks = 0
    for one, other in ((A, B), (A, C), (A, D), (B, C), (B, D), (C, D)):
        trial = Trial(*(Byzantine(liar, Behaviour.EQUIVOCATE) for liar in (one, other))).submit(8).run(60 * SECOND)
        forks += any(len(hashes) > 1 for hashes in decided(trial).values())
    assert forks


def test_an_orderer_alone_forks_its_followers():
    network = make_network(consensus=ConsensusRule.SINGLE_ORDERER)
    trial = Trial(Byzantine(A, Behaviour.EQUIVOCATE), network=network).submit(2).run(60 * SECOND)
    sides = defaultdict(set)
    for _, _, send in trial.sent(Finalised, A):
        for receiver in send.to:
            sides[send.message.block.header.height, SUITE.hash(encode(send.message.block.header))].add(receiver)
    assert len({key for key in sides if key[0] == 1}) == 2


# -- silence, censorship ---------------------------------------------------------------------------------------------


def test_who_withholds_says_nothing_or_nothing_to_its_targets():
    silent = Trial(Byzantine(A, Behaviour.WITHHOLD)).submit().run()
    assert not silent.sent(object, A)
    choosy = Trial(Byzantine(A, Behaviour.WITHHOLD, 0, (B, "contributor-0"))).submit().run()
    told = {receiver for _, _, send in choosy.sent(object, A) for receiver in send.to}
    assert told == {C, D, "coordinator-0"}
    choosy.check_whole()


def test_a_selfish_miner_shows_its_blocks_when_another_has_found_one():
    network = make_network(consensus=ConsensusRule.PROOF_OF_WORK, work=WorkRule(2_000_000, confirmations=3))
    trial = Trial(Byzantine(A, Behaviour.WITHHOLD), network=network).submit(20).run(60 * SECOND)
    others, shown = 0, 0
    for _, name, send in trial.sent(Mined):
        header = send.message.block.header
        if name != A and header.proposer == name:
            others = max(others, header.height)
        elif name == A and header.proposer == A:
            shown += 1
            # It is never more than one block ahead of what made it speak.
            assert header.height <= others + 1
    assert shown > 3
    assert {name for name in ADMINS if trial.ids(ObservedKind.STALE, name)} >= {B, C, D}
    assert not trial.sent(Finalised, A)


def test_a_miner_that_censors_leaves_out_what_others_put_in():
    network = make_network(
        (1, 1, 4, 1, 2), consensus=ConsensusRule.PROOF_OF_WORK, work=WorkRule(2_000_000, confirmations=3)
    )
    trial = Trial(Byzantine(A, Behaviour.CENSOR, 0, ("visitor-0",)), network=network).submit(12).run()
    blocks = [send.message.block for _, name, send in trial.sent(Mined, A) if send.message.block.header.proposer == A]
    assert blocks
    assert not any(block.transactions for block in blocks)
    ids = [trial.identify(item.transaction) for entry in trial.ledgers["contributor-0"].entries
           for item in entry.block.transactions]  # fmt: skip
    assert sorted(ids) == sorted(trial.accepted)
    assert len(ids) == 12


def test_who_withholds_has_no_blocks_for_who_asks():
    """Its victim hears no other administrator either, so that it asks those who keep the ledger."""
    trial = Trial(Byzantine(A, Behaviour.WITHHOLD), Cut((B, C, D), ("contributor-0",), 0, 9 * SECOND)).submit().run()
    trial.check_whole(A)


@pytest.mark.parametrize("targets", [("visitor-0",), ()])
def test_a_censor_never_proposes_what_it_censors_and_is_honest_otherwise(targets):
    proposed = votes = 0
    network = make_network((1, 1, 4, 1, 2))
    for liar in ADMINS:
        trial = Trial(Byzantine(liar, Behaviour.CENSOR, 0, targets), network=network).submit(8)
        other = Trial(network=network).submit(8).run()
        trial.run()
        for _, _, send in trial.sent(Propose, liar):
            if send.message.block.header.proposer == liar:
                for item in send.message.block.transactions:
                    tx_id = trial.identify(item.transaction)
                    assert not (item.transaction.body.author in targets if targets else tx_id[-1] & 1)
                    proposed += 1
        votes += any(send.message.body.block for _, _, send in trial.sent(Vote, liar))
        trial.check_whole()
        assert trial.accepted == other.accepted
    assert votes == len(ADMINS)
    assert bool(proposed) is not bool(targets)


# -- lies ------------------------------------------------------------------------------------------------------------


def test_what_a_liar_proposes_and_certifies_convinces_nobody():
    proposed, forged = set(), set()
    for liar in ADMINS:
        trial = Trial(Byzantine(liar, Behaviour.LIE)).submit(8).run()
        mine = {
            send.message.body.block
            for _, _, send in trial.sent(Propose, liar)
            if send.message.block.header.proposer == liar
        }
        fakes = {
            send.message.certificate
            for _, _, send in trial.sent(Finalised, liar)
            if isinstance(send.message.certificate, StakeCertificate)
            and len({vote.signature for vote in send.message.certificate.votes}) == 1
        }
        kept = [effect for _, name, effect in trial.said if name == "contributor-0" and isinstance(effect, Persist)]
        assert not mine & set(trial.hashes("contributor-0"))
        assert not fakes & {persist.certificate for persist in kept}
        proposed |= mine
        forged |= fakes
    assert proposed
    assert forged


def test_a_liar_lies_the_same_way_twice():
    """What is repeated is the same lie, so that lying is not equivocating by accident."""
    for liar in ADMINS:
        trial = Trial(Byzantine(liar, Behaviour.LIE), Cut(ADMINS, ADMINS, 0, 30 * SECOND)).submit(4).run()
        words = trial.words(liar)
        assert words
        assert all(len(blocks) == 1 for blocks in words.values())


def test_its_own_log_has_what_it_meant_and_no_forgery():
    for liar in ADMINS:
        trial = Trial(Byzantine(liar, Behaviour.LIE)).submit(8).run()
        chain = trial.hashes("contributor-0")
        assert trial.hashes(liar) == chain[: len(trial.hashes(liar))]
