"""The baseline that stands crashes and no lies: who leads, what it costs, and what it does not hold against."""

from typing import Any

import msgspec
import pytest

from ehrcore.block import Block, CommitBody, LeaderCertificate, OrdererCertificate
from ehrcore.consensus.finality import verify_certificate
from ehrcore.consensus.leader import ElectedLeader, Part
from ehrcore.drive.links import LinkModel, Partition
from ehrcore.effects import Heard, ObservedKind, SetTimer, Work
from ehrcore.errors import ValidationError
from ehrcore.messages import Append, Ballot, Canvass, Commit, Finalised, Mined, Stored
from ehrcore.params import ConsensusRule, StakeRule
from ehrcore.types import MILLISECOND, MINUTE, SECOND, Role
from tests.core.protocol.conftest import Council, Run, check_invariants, make_params, messages, sends

LEADER, OTHER, THIRD = "administrator-0", "administrator-1", "administrator-2"


def council_of(size: int = 3) -> Council:
    return Council(size, rule=ElectedLeader, consensus=ConsensusRule.LEADER)


@pytest.fixture
def council() -> Council:
    return council_of()


def block_of(council: Council, nonce: int = 50, **changes: Any) -> Block:
    scribe = council.scribe
    return scribe.block([scribe.endorsed(scribe.transaction(nonce))], **({"timestamp": 0} | changes))


def commit_of(council: Council, block: Block, term: int = 1, leader: str = LEADER, signer: str = "") -> Commit:
    scribe, height = council.scribe, block.header.height
    body = CommitBody(scribe.chain, height, term, scribe.hash(block))
    signature = scribe.cryptos[signer or leader].sign(body)
    return Commit(height, scribe.hash(block), LeaderCertificate(term, leader, signature))


def part_of(council: Council, name: str) -> Part:
    part: Part = council.machines[name]._part
    return part


# -- whole networks --------------------------------------------------------------------------------------------------


def run_of(size: int, **more: Any) -> Run:
    return Run(make_params((3, 3, size, 2), consensus=ConsensusRule.LEADER), **more)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_all_agree_on_all_and_then_the_network_is_at_rest(size: int) -> None:
    params = make_params((3, 3, size, 2), consensus=ConsensusRule.LEADER, is_modelled=False)
    run = Run(params, links=LinkModel(jitter_ns=50_000)).submit(30)
    run.sim.run(1 << 62)
    check_invariants(run)
    assert run.sim.kernel.pending == 0
    assert {len(chain) for chain in run.decided().values()} == {2}
    assert len(run.decided()) == size
    assert sorted(run.ids(ObservedKind.FINAL)) == sorted(run.ids(ObservedKind.SUBMITTED))


def cost_of(rule: ConsensusRule, size: int, blocks: int) -> tuple[int, int]:
    """Messages among administrators and signatures by them, for so many blocks."""
    run = Run(make_params((3, 3, size, 1), consensus=rule)).submit(15 * blocks).run()
    check_invariants(run)
    assert {len(chain) for chain in run.decided().values()} == {blocks}
    signs = sum(node.crypto.meter.signs for node in run.sim.nodes if node.role is Role.ADMINISTRATOR)
    return run.sim.legs[Role.ADMINISTRATOR, Role.ADMINISTRATOR].messages, signs


@pytest.mark.parametrize("size", [4, 7])
def test_a_block_takes_three_messages_per_follower_and_one_signature_all_in_all(size: int) -> None:
    """Proof of stake: the proposal, and two votes of each to each; all of them signed."""
    few, many = (cost_of(ConsensusRule.LEADER, size, blocks) for blocks in (1, 3))
    assert ((many[0] - few[0]) / 2, (many[1] - few[1]) / 2) == (3 * (size - 1), 1)
    few, many = (cost_of(ConsensusRule.PROOF_OF_STAKE, size, blocks) for blocks in (1, 3))
    assert ((many[0] - few[0]) / 2, (many[1] - few[1]) / 2) == ((size - 1) * (1 + 2 * size), 1 + 2 * size)


@pytest.mark.parametrize("size", [3, 5])
def test_another_leads_soon_after_the_leader_has_fallen_silent(size: int) -> None:
    cut = Partition(SECOND, MINUTE, frozenset({LEADER}))
    run = run_of(size, partitions=(cut,)).submit(15).submit(15, start=2 * SECOND).run(MINUTE)
    decided = run.decided()
    assert {len(chain) for name, chain in decided.items() if name != LEADER} == {2}
    at = min(at for at, name, item in run.of(ObservedKind.DECIDED) if item.subjects[0] == run.hashes()[1])
    least = StakeRule().propose_timeout_ns
    assert least < at - 2 * SECOND < 2 * least + SECOND, "patience is at least a time-out and less than two"
    # It comes back: it follows, and catches up when there is something to order again.
    run.submit(15, start=2 * MINUTE).run()
    check_invariants(run)
    assert len(run.decided()[LEADER]) == 3
    assert part_in(run, LEADER) is Part.FOLLOWER
    assert run.sim.kernel.pending == 0


def part_in(run: Run, name: str) -> Part:
    part: Part = run.node(name).machine._rule._part
    return part


def test_less_than_a_majority_decides_nothing_until_it_is_one_again() -> None:
    cut = Partition(0, MINUTE, frozenset({"administrator-3", "administrator-4", THIRD}))
    alone = frozenset({"administrator-3", "administrator-4"})
    run = run_of(5, partitions=(cut, Partition(0, MINUTE, alone))).submit(30).run(MINUTE)
    assert run.decided() == {}
    run.run()
    check_invariants(run)
    assert {len(chain) for chain in run.decided().values()} == {2}


@pytest.mark.parametrize("seed", ["a", "b", "c"])
def test_they_go_on_over_links_that_lose_a_tenth(seed: str) -> None:
    run = run_of(4, links=LinkModel(jitter_ns=MILLISECOND, loss=0.1), seed=seed)
    run.submit(60, every=100 * MILLISECOND).run(20 * MINUTE)
    check_invariants(run, is_complete=False)
    assert len({len(chain) for chain in run.decided().values()}) == 1
    assert len(run.decided()[LEADER]) >= 3


# -- elections -------------------------------------------------------------------------------------------------------


def test_the_first_to_lead_need_not_wait_and_nobody_else_stands(council: Council) -> None:
    council.ready()
    assert [message for _, _, message in council.bag] == 2 * [Canvass(1, 1, 0, is_trial=False)]
    council.settle()
    assert part_of(council, LEADER) is Part.LEADER
    assert len(council.hashes()) == 1


def test_patience_differs_between_nodes_and_terms_and_is_no_matter_of_chance() -> None:
    def due(size: int, name: str, term: int) -> int:
        machine = council_of(size).machines[name]
        machine._term, machine._restless_at = term, 0
        return int(machine._due())

    places = [(name, term) for name in (LEADER, OTHER, THIRD) for term in range(5)]
    found = [due(3, *place) for place in places]
    assert found == [due(3, *place) for place in places]
    assert len(set(found)) == len(found)
    least = StakeRule().propose_timeout_ns
    assert all(least <= each < 2 * least for each in found)


def test_competing_candidates_split_the_vote_and_then_one_leads() -> None:
    council = council_of(4)
    del council.machines[LEADER]
    names = council.names[1:]
    council.ready(*names)
    council.now = MINUTE
    for name in names:
        council.take(name, council.machines[name].on_timer("patience", council.now))
    for at in reversed(range(len(council.bag))):  # each asks, and each hears that it would win
        council.deliver(at)
    while any(isinstance(message, Ballot) and message.is_trial for _, _, message in council.bag):
        council.deliver(next(i for i, each in enumerate(council.bag) if isinstance(each[2], Ballot)))
    assert {part_of(council, name) for name in names} == {Part.CANDIDATE}
    council.settle()
    assert len(council.hashes()) == 1


def test_a_vote_is_given_once_per_term_and_again_to_the_same(council: Council) -> None:
    def granted(sender: str, term: int) -> bool:
        (ballot,) = messages(council.tell(THIRD, Canvass(term, 1, 0, is_trial=False), sender=sender), Ballot)
        return bool(ballot.is_granted)

    assert [granted(OTHER, 2), granted(LEADER, 2), granted(OTHER, 2)] == [True, False, True]
    assert not granted(LEADER, 1), "a term that is over"
    assert granted(LEADER, 3)


@pytest.mark.parametrize(("height", "stored", "is_granted"), [(1, 0, False), (1, 1, False), (1, 2, True), (2, 0, True)])
def test_nobody_votes_for_a_log_that_lacks_what_it_has(
    council: Council, height: int, stored: int, *, is_granted: bool
) -> None:
    council.tell(OTHER, Append(2, block_of(council)), sender=LEADER)
    (ballot,) = messages(council.tell(OTHER, Canvass(3, height, stored, is_trial=False), sender=THIRD), Ballot)
    assert ballot == Ballot(3, 1, THIRD, is_trial=False, is_granted=is_granted)


def test_who_hears_of_a_leader_unseats_it_for_nobody(council: Council) -> None:
    def granted() -> bool:
        (ballot,) = messages(council.tell(OTHER, Canvass(1, 1, 1, is_trial=True), sender=THIRD), Ballot)
        return bool(ballot.is_granted)

    council.now = MINUTE
    council.tell(OTHER, Append(1, block_of(council)), sender=LEADER)
    assert not granted()
    council.now += 2 * SECOND
    assert granted()
    assert council.machines[OTHER]._term == 1, "a question changes nothing"


def test_a_leader_that_hears_of_a_later_term_steps_down(council: Council) -> None:
    council.ready()
    council.settle()
    later: list[Any] = [
        Canvass(5, 2, 0, is_trial=False),
        Ballot(6, 2, LEADER, is_trial=True, is_granted=False),
        Stored(7, 2, b""),
        Append(8, block_of(council)),
    ]
    for message in later:
        council.machines[LEADER]._part = Part.LEADER
        council.tell(LEADER, message, sender=OTHER)
        assert part_of(council, LEADER) is Part.FOLLOWER
        assert council.machines[LEADER]._term == message.term


def test_a_stale_leader_is_told_so(council: Council) -> None:
    council.tell(OTHER, Canvass(4, 1, 0, is_trial=False), sender=THIRD)
    (answer,) = sends(council.tell(OTHER, Append(3, block_of(council)), sender=LEADER), Stored)
    assert (answer.to, answer.message) == ((LEADER,), Stored(4, 1, b""))
    assert council.machines[OTHER]._block is None


# -- blocks ----------------------------------------------------------------------------------------------------------


def test_a_block_is_noted_before_it_is_acknowledged_and_only_once(council: Council) -> None:
    append = Append(1, block_of(council))
    noted, said, *_ = council.tell(OTHER, append, sender=LEADER)
    assert (noted, said.message) == (Heard(append), Stored(1, 1, council.scribe.hash(append.block)))  # type: ignore[union-attr]
    again = council.tell(OTHER, append, sender=LEADER)
    assert [step for step in again if isinstance(step, Heard)] == []
    assert len(sends(again, Stored)) == 1


def test_what_is_not_the_next_block_or_far_ahead_of_the_clock_is_not_stored(council: Council) -> None:
    for changes in ({"previous": bytes(32)}, {"timestamp": MINUTE}):
        steps = council.tell(OTHER, Append(1, block_of(council, **changes)), sender=LEADER)
        assert not sends(steps, Stored)
    assert council.machines[OTHER]._block is None


def test_a_commit_before_its_block_waits_for_it(council: Council) -> None:
    block = block_of(council)
    council.tell(OTHER, commit_of(council, block), sender=LEADER)
    assert council.decided[OTHER] == []
    council.tell(OTHER, Append(1, block), sender=LEADER)
    assert [item.block for item in council.decided[OTHER]] == [block]


def test_later_heights_wait_and_their_sender_hears_what_is_missing(council: Council) -> None:
    one = block_of(council)
    two = block_of(council, 51, height=2, previous=council.scribe.hash(one))
    for message in (Append(1, two), commit_of(council, two)):
        (answer,) = sends(council.tell(OTHER, message, sender=LEADER), Stored)
        assert (answer.to, answer.message) == ((LEADER,), Stored(1, 1, b""))
    council.tell(OTHER, Finalised(one, commit_of(council, one).certificate))
    assert [item.block for item in council.decided[OTHER]] == [one, two]


def test_who_lacks_a_block_gets_it_from_whoever_has_it(council: Council) -> None:
    council.ready(LEADER)
    del council.machines[THIRD]
    council.settle()
    council.now += MINUTE
    for message in (Stored(1, 1, b""), Canvass(1, 1, 0, is_trial=True), Append(2, block_of(council))):
        council.now += MINUTE
        (final,) = messages(council.tell(OTHER, message, sender=THIRD), Finalised)
        assert final.block.header.height == 1


@pytest.mark.parametrize("message", [Mined, "stake", "stranger"])
def test_no_other_rules_and_no_strangers_messages_count(council: Council, message: Any) -> None:
    block = block_of(council)
    given: Any = {Mined: Mined(block), "stake": council.scribe.propose(block), "stranger": Append(1, block)}[message]
    steps = council.tell(OTHER, given, sender="visitor-0" if message == "stranger" else LEADER)
    assert all(isinstance(step, SetTimer) for step in steps)
    assert council.machines[OTHER]._block is None
    assert council.machines[OTHER].on_work(0, bytes(8), 0) == []


def test_nothing_to_order_takes_no_timer_and_no_work() -> None:
    council = council_of(3)
    for pool in council.pools.values():
        pool.ready = ()
    council.ready()
    assert [step for given in council.steps.values() for step in given if isinstance(step, SetTimer | Work)] == []


# -- certificates, and what they are worth ---------------------------------------------------------------------------


def false_certificates(council: Council, block: Block) -> dict[str, Any]:
    other = block_of(council, 51)
    certificate = commit_of(council, block).certificate
    return {
        "under another's name": commit_of(council, block, signer=OTHER).certificate,
        "of no administrator": commit_of(council, block, leader="agent-0").certificate,
        "for another block": commit_of(council, other).certificate,
        "of another term": msgspec.structs.replace(certificate, term=2),
        "of another rule": OrdererCertificate(council.scribe.cryptos[LEADER].sign(block.header)),
    }


@pytest.mark.parametrize("name", false_certificates(council_of(), block_of(council_of())))
def test_a_certificate_is_the_signed_word_of_an_administrator(council: Council, name: str) -> None:
    scribe, block = council.scribe, block_of(council)

    def verify(certificate: Any) -> None:
        verify_certificate(
            scribe.crypto, scribe.params, scribe.validators, block.header, scribe.hash(block), certificate
        )

    verify(commit_of(council, block).certificate)
    with pytest.raises(ValidationError, match="^certificate"):
        verify(false_certificates(council, block)[name])
    # Nor does it make anybody decide.
    council.tell(OTHER, Append(1, block), sender=LEADER)
    council.tell(OTHER, Finalised(block, false_certificates(council, block)[name]), sender=LEADER)
    assert council.decided[OTHER] == []


def test_one_that_lies_is_enough_to_break_it(council: Council) -> None:
    """The price of the cheaper guarantee: a leader shows one block to one half and another to the other half."""
    for name, nonce in ((OTHER, 60), (THIRD, 61)):
        block = block_of(council, nonce)
        council.tell(name, Append(1, block), commit_of(council, block), sender=LEADER)
    assert len(council.hashes()) == 2
