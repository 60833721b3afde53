"""An administrator that is killed at any moment and comes back with its journal never says otherwise than before."""

import random
from typing import Any

import pytest

from ehrcore.block import Block
from ehrcore.consensus.pos import ProofOfStake
from ehrcore.consensus.seam import Decided, Seat, Tip
from ehrcore.effects import Send
from ehrcore.messages import Propose, Vote
from tests.core.protocol.conftest import NIL, PRECOMMIT, PREVOTE, Council


class Journalled:
    """A council whose members write down what they say and hear, and can be killed and started again."""

    def __init__(self, size: int, *, forgets: bool = False) -> None:
        self.council, self._forgets = Council(size), forgets
        self.heard: dict[str, list[Propose | Vote]] = {name: [] for name in self.council.names}
        self.said: dict[tuple[str, int, int, str], set[bytes]] = {}

    def deliver(self, index: int, *, is_kept: bool) -> None:
        council = self.council
        _, receiver, message = council.bag[index]
        if isinstance(message, Propose | Vote):
            self.heard[receiver].append(message)
        before = {name: len(council.steps[name]) for name in council.names}
        council.deliver(index, is_kept=is_kept)
        self.note(before)

    def do(self, action: Any, *arguments: Any) -> None:
        before = {name: len(self.council.steps[name]) for name in self.council.names}
        action(*arguments)
        self.note(before)

    def note(self, before: dict[str, int]) -> None:
        for name, start in before.items():
            for step in self.council.steps[name][start:]:
                if isinstance(step, Send) and isinstance(step.message, Propose | Vote):
                    self.write(name, step.message)

    def write(self, name: str, message: Propose | Vote) -> None:
        if isinstance(message, Vote) and message.voter != name:
            return  # repeated for another
        self.heard[name].append(message)
        body = message.body
        step = str(body.step) if isinstance(message, Vote) else "proposal"
        self.said.setdefault((name, body.height, body.round, step), set()).add(body.block)

    def restart(self, name: str) -> None:
        council, scribe = self.council, self.council.scribe
        decided = council.decided[name]
        tip = Tip(0, scribe.chain, 0)
        if decided:
            last: Decided = decided[-1]
            tip = Tip(last.block.header.height, last.block_hash, last.block.header.timestamp)
        peers = tuple(peer for peer in council.names if peer != name)
        heard = () if self._forgets else tuple(self.heard[name])
        pool, crypto = council.pools[name], scribe.network.crypto(name)
        seat = Seat(name, peers, scribe.params, scribe.chain, scribe.stakes(), crypto, pool, heard)
        council.machines[name] = ProofOfStake(seat, tip)
        council.timers = [timer for timer in council.timers if timer[1] != name]

    def contradictions(self) -> list[tuple[str, int, int, str]]:
        return [place for place, blocks in self.said.items() if len(blocks) > 1]


def run(seed: int, size: int, *, forgets: bool = False, steps: int = 300) -> Journalled:
    """Random delivery, loss, time-outs and restarts."""
    chance, world = random.Random(seed), Journalled(size, forgets=forgets)
    council = world.council
    world.do(council.ready)
    for _ in range(steps):
        draw = chance.random()
        if draw < 0.12:
            name = chance.choice(council.names)
            world.restart(name)
            world.do(council.ready, name)
        elif draw < 0.2 and council.timers:
            world.do(council.fire, chance.randrange(len(council.timers)))
        elif council.bag:
            world.deliver(chance.randrange(len(council.bag)), is_kept=chance.random() < 0.2)
    return world


def finish(world: Journalled) -> None:
    """Let everything arrive and every clock run, without further accidents."""
    council = world.council
    for _ in range(3_000):
        if all(council.decided[name] for name in council.names):
            return
        if council.bag:
            world.deliver(0, is_kept=False)
        else:
            world.do(council.fire)


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("seed", range(12))
def test_nobody_contradicts_itself_and_all_decide_one_block(seed: int, size: int) -> None:
    world = run(seed, size)
    finish(world)
    assert not world.contradictions()
    first = [world.council.decided[name][0].block_hash for name in world.council.names]
    assert len(set(first)) == 1


def test_a_node_that_forgets_contradicts_itself() -> None:
    """The planted bug: without its journal some schedule makes a node say two things in one place."""
    assert any(run(seed, 4, forgets=True).contradictions() for seed in range(12))


def test_a_precommit_whose_proposal_was_not_kept_still_locks() -> None:
    world = Journalled(7)
    council, scribe = world.council, world.council.scribe
    me = council.bystander(3)
    block = scribe.block([scribe.endorsed(scribe.transaction(101))], timestamp=0)
    world.heard[me] = [scribe.vote(me, scribe.hash(block), 0, PRECOMMIT)]
    world.restart(me)
    machine = council.machines[me]
    assert (machine._locked, machine._locked_round, machine._valid) == (scribe.hash(block), 0, None)


def test_the_lock_of_the_last_precommit_holds_after_a_restart() -> None:
    world = Journalled(7)
    council, scribe = world.council, world.council.scribe
    me = council.bystander(3)
    others = [name for name in council.names if name != me]

    def block(nonce: int) -> Block:
        return scribe.block([scribe.endorsed(scribe.transaction(nonce))], timestamp=0)

    def hear(*messages: Propose | Vote) -> list[tuple[int, int, bytes]]:
        world.heard[me] += messages
        steps = council.tell(me, *messages)
        for step in steps:
            if isinstance(step, Send):
                world.write(me, step.message)  # type: ignore[arg-type]  # nothing else is sent here
        return council.votes_of(steps)

    def votes(wanted: bytes, round_: int, step: int, count: int) -> list[Vote]:
        return [scribe.vote(name, wanted, round_, step) for name in others[:count]]

    x, y = block(101), block(102)
    assert hear(scribe.propose(x)) == [(0, PREVOTE, scribe.hash(x))]
    assert hear(*votes(scribe.hash(x), 0, PREVOTE, 4)) == [(0, PRECOMMIT, scribe.hash(x))]
    world.restart(me)
    # It says again what it has said, and in the next round, where another block is proposed, the lock forbids a vote.
    assert hear(scribe.propose(y, 1)) == [(0, PREVOTE, scribe.hash(x)), (0, PRECOMMIT, scribe.hash(x))]
    assert hear(*votes(NIL, 1, PREVOTE, 3)) == [(1, PREVOTE, NIL)]
