"""Each invariant can break, and says which: a few words of a small network, one of them wrong."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ehrcore.effects import Observed, ObservedKind, Persist, PersistTip, Send
from ehrcore.faults.invariants import Invariants
from ehrcore.faults.mixtures import make_random
from ehrcore.faults.trial import Trial
from ehrcore.faults.weights import InvariantError
from ehrcore.identity import Reason
from ehrcore.messages import Finalised, Submit
from ehrcore.params import ConsensusRule
from tests.core.protocol.conftest import NIL, PRECOMMIT, PREVOTE, Scribe, make_network, make_params

NAMES = tuple(f"administrator-{index}" for index in range(4))


class World:
    """Four administrators whose words the test writes."""

    def __init__(self, faulty: frozenset[str] = frozenset()) -> None:
        self.scribe = Scribe(make_network(make_params()))
        self.watch = Invariants(self.scribe.network, faulty)
        self.x, self.y = self.block(0), self.block(1)

    def say(self, node: str, message: Any) -> None:
        self.watch.saw(0, node, Send((), message))

    def block(self, nonce: int, parent: Any = None) -> Any:
        """Of one transaction that went the right way."""
        scribe, tx = self.scribe, self.scribe.transaction(nonce)
        self.say("visitor-0", Submit(tx))
        for index in range(2):
            self.say(f"agent-{index}", scribe.endorse(tx, f"agent-{index}"))
            self.say(f"coordinator-{index}", scribe.approve(tx, f"coordinator-{index}"))
        return scribe.block([scribe.endorsed(tx)], parent)

    def propose(self, block: Any, round_: int = 0, valid_round: int = -1) -> None:
        proposal = self.scribe.propose(block, round_, valid_round, height=block.header.height)
        self.say(self.proposer(round_, block.header.height), proposal)

    def proposer(self, round_: int, height: int = 1) -> str:
        return self.scribe.validators.proposer(self.scribe.crypto, self.scribe.chain, height, round_).node

    def vote(self, node: str, block: Any, round_: int = 0, step: int = PREVOTE) -> None:
        height = block.header.height if block else 1
        self.say(node, self.scribe.vote(node, self.scribe.hash(block) if block else NIL, round_, step, height))

    def agree(self, block: Any, voters: tuple[str, ...] = NAMES) -> Finalised:
        """All that leads to a final block in round 0."""
        self.propose(block)
        for step in (PREVOTE, PRECOMMIT):
            for name in voters:
                self.vote(name, block, 0, step)
        return Finalised(block, self.scribe.certificate(block, voters))

    def accept(self, node: str, final: Finalised) -> None:
        header = final.block.header
        self.watch.saw(0, node, PersistTip(header.height, self.scribe.hash(final.block)))
        self.say(node, final)

    def append(self, node: str, final: Finalised, state: bytes = b"s", reasons: tuple[Reason, ...] = ()) -> None:
        given = reasons or (Reason.ACCEPTED,) * len(final.block.transactions)
        self.watch.saw(0, node, Persist(final.block, final.certificate, given, state))


def two_blocks(world: World) -> None:
    first = world.agree(world.x)
    world.accept(NAMES[0], first)
    world.watch.saw(0, NAMES[1], PersistTip(1, world.scribe.hash(world.y)))


def replaced(world: World) -> None:
    world.accept(NAMES[0], world.agree(world.x))
    world.watch.saw(0, NAMES[0], PersistTip(1, world.scribe.hash(world.y)))


def skipped(world: World) -> None:
    world.watch.saw(0, NAMES[0], PersistTip(2, bytes(32)))


def voted_twice(world: World) -> None:
    world.propose(world.x)
    world.vote(NAMES[0], world.x)
    world.vote(NAMES[0], None)


def proposed_twice(world: World) -> None:
    world.propose(world.x)
    world.propose(world.y)


def unlocked(world: World) -> None:
    world.propose(world.x)
    for name in NAMES[:3]:
        world.vote(name, world.x)
    world.vote(NAMES[0], world.x, 0, PRECOMMIT)
    world.propose(world.y, 1)
    world.vote(NAMES[0], world.y, 1)


def precommitted_alone(world: World) -> None:
    world.propose(world.x)
    for name in NAMES[:2]:
        world.vote(name, world.x)
    world.vote(NAMES[0], world.x, 0, PRECOMMIT)


def too_few(world: World) -> None:
    final = world.agree(world.x)
    world.accept(NAMES[0], Finalised(final.block, world.scribe.certificate(world.x, NAMES[:2])))


def invented_vote(world: World) -> None:
    world.agree(world.x, NAMES[:3])
    world.accept(NAMES[0], Finalised(world.x, world.scribe.certificate(world.x, NAMES[1:])))


def not_proposed(world: World) -> None:
    world.vote(NAMES[0], world.x)


def unlinked(world: World) -> None:
    stray = msgspec.structs.replace(world.x, header=msgspec.structs.replace(world.x.header, previous=bytes(32)))
    world.accept(NAMES[0], world.agree(stray))


def unapproved(world: World) -> None:
    scribe = world.scribe
    world.accept(NAMES[0], world.agree(scribe.block([scribe.endorsed(scribe.transaction(9))])))


def twice(world: World) -> None:
    first = world.agree(world.x)
    world.accept(NAMES[0], first)
    again = world.scribe.block(world.x.transactions, world.x.header)
    world.accept(NAMES[0], world.agree(again))


def other_state(world: World) -> None:
    final = world.agree(world.x)
    world.append("contributor-0", final)
    world.append("contributor-1", final, b"t")


def lost(world: World) -> None:
    final = world.agree(world.x)
    for name in ("coordinator-0", "contributor-0"):
        world.append(name, final)
    world.watch.saw(0, "visitor-0", Observed(ObservedKind.FINAL, (world.scribe.tx_id(world.scribe.transaction(0)),)))
    world.watch.finish()


def slander(world: World) -> None:
    world.watch.saw(0, NAMES[0], Observed(ObservedKind.ACCUSED, (), f"{NAMES[1]}/1"))


BREAKS: list[tuple[Callable[[World], None], str]] = [
    (two_blocks, "agreement"), (replaced, "finality"), (skipped, "finality"), (voted_twice, "double-sign"),
    (proposed_twice, "double-sign"), (unlocked, "lock"), (precommitted_alone, "quorum"), (too_few, "quorum"),
    (invented_vote, "quorum"), (not_proposed, "validity"), (unlinked, "validity"), (unapproved, "validity"),
    (twice, "once"), (other_state, "state"), (lost, "lost"), (slander, "evidence"),
]  # fmt: skip


@pytest.mark.parametrize(("story", "rule"), BREAKS, ids=[story.__name__ for story, _ in BREAKS])
def test_a_breach_is_called_by_its_name(story: Callable[[World], None], rule: str) -> None:
    with pytest.raises(InvariantError) as caught:
        story(World())
    assert caught.value.rule == rule
    assert str(caught.value).startswith(f"{rule}: ")


@pytest.mark.parametrize("story", [voted_twice, proposed_twice, unlocked, precommitted_alone, not_proposed, slander])
def test_nothing_is_asked_of_who_may_lie(story: Callable[[World], None]) -> None:
    world = World()
    story(World(frozenset({*NAMES, world.proposer(0)})))


def test_a_later_quorum_frees_from_the_lock() -> None:
    world = World(frozenset(NAMES[2:]))
    world.propose(world.x)
    for name in NAMES[:3]:
        world.vote(name, world.x)
    world.vote(NAMES[0], world.x, 0, PRECOMMIT)
    world.propose(world.y, 1)
    for name in NAMES[1:]:
        world.vote(name, world.y, 1)
    world.propose(world.y, 2, 1)
    world.vote(NAMES[0], world.y, 2)


def test_a_chain_that_goes_well_breaks_nothing() -> None:
    world = World()
    first = world.agree(world.x)
    second = world.agree(world.block(2, world.x.header))
    for final in (first, second):
        for name in NAMES:
            world.accept(name, final)
        for name in ("coordinator-0", "contributor-0", "contributor-1"):
            world.append(name, final)
    assert (world.watch.height(NAMES[0]), world.watch.decided_in) == (2, {1: 0, 2: 0})
    # The other block's transaction was accepted by agents and is in no ledger.
    assert world.watch.waiting() == {world.scribe.tx_id(world.scribe.transaction(1))}


def test_slashed_stake_is_followed_height_by_height() -> None:
    """Under a schedule in which an equivocator loses its stake, quorums are counted without it from then on."""
    for seed in range(60):
        trial = Trial(make_random(seed, 4, ConsensusRule.PROOF_OF_STAKE))
        if trial.schedule.plan.faulty and not trial.verdict(seed).rule:
            stakes = [sum(weights.values()) for _, weights in sorted(trial.invariants._weights.items())]
            if stakes[-1] < stakes[0]:
                return
    pytest.fail("nobody was slashed")
