"""The five properties of Raft (Ongaro and Ousterhout, 2014, Figure 3), under any schedule with crashes and losses.

Leader append-only needs no test: the log beyond the chain is one block.  The test is the network, the clock and the
disk; what it checks speaks of hashes.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehrcore.block import Block, EndorsedTransaction
from ehrcore.consensus import Seat, Tip
from ehrcore.consensus.leader import ElectedLeader, Part
from ehrcore.consensus.seam import Decided, Step
from ehrcore.effects import Heard, Send
from ehrcore.messages import Append, Ballot, Canvass, Finalised, Stored, Word
from ehrcore.params import ConsensusRule
from ehrcore.types import MINUTE
from tests.core.protocol.conftest import Broken, Council

#: Each node has to decide so many blocks in the end; there is something to order up to the second height.
HEIGHTS, MOST_HEIGHTS = 3, 12
ACTIONS = ("deliver", "fire", "lose", "repeat", "crash", "fetch", "stand")
SCHEDULES = st.lists(
    st.tuples(st.sampled_from(ACTIONS + 8 * ACTIONS[:1]), st.integers(0, (1 << 12) - 1)), min_size=150, max_size=150
)
#: Messages that are under way at most while accidents happen.
CARRIED = 16
Rule = Callable[[Seat, Tip], ElectedLeader]


class World(Council):
    """A council over several heights, with journals and crashes; raises `Broken` as soon as a property fails."""

    def __init__(self, size: int, rule: Rule = ElectedLeader) -> None:
        self.rule = rule
        super().__init__(size, rule=rule, consensus=ConsensusRule.LEADER)
        self.journals: dict[str, list[Any]] = {name: [] for name in self.names}
        self.written: dict[str, int] = dict.fromkeys(self.names, 0)
        self.leaders: dict[int, set[str]] = defaultdict(set)
        self.sent: dict[tuple[int, int], set[bytes]] = defaultdict(set)
        self.final: dict[int, tuple[int, bytes]] = {}

    def take(self, name: str, steps: list[Step]) -> list[Step]:
        for step in steps:
            if isinstance(step, Heard | Send) and isinstance(step.message, Word):
                self.journals[name].append(step.message)
                self.written[name] = len(self.journals[name]) if isinstance(step, Send) else self.written[name]
            if isinstance(step, Send) and isinstance(step.message, Append):
                self._check_append(name, step.message)
            elif isinstance(step, Decided):
                self._check_final(name, step)
        super().take(name, steps)
        machine = self.machines[name]
        if machine._part is Part.LEADER:
            self._check_leader(name, machine)
        return steps

    def _check_append(self, name: str, message: Append) -> None:
        place = message.term, message.block.header.height
        self.leaders[message.term].add(name)
        self.sent[place].add(self.scribe.hash(message.block))
        if len(self.leaders[message.term]) > 1:
            raise Broken("election safety", f"term {message.term} is led by {sorted(self.leaders[message.term])}")
        if len(self.sent[place]) > 1:
            raise Broken("log matching", f"two blocks of term and height {place}")

    def _check_final(self, name: str, decided: Decided) -> None:
        header, certificate = decided.block.header, decided.certificate
        term, first = self.final.setdefault(header.height, (certificate.term, decided.block_hash))  # type: ignore[union-attr]
        if first != decided.block_hash:
            raise Broken("state machine safety", f"two blocks at height {header.height}, the first of term {term}")

    def next_batch(self, name: str, decided: Decided) -> tuple[EndorsedTransaction, ...]:
        height = decided.block.header.height
        nonce = 100 * height + self.names.index(name)
        return () if height >= MOST_HEIGHTS else (self.scribe.endorsed(self.scribe.transaction(nonce)),)

    def _check_leader(self, name: str, machine: Any) -> None:
        for height, (term, block) in self.final.items():
            has_it = machine._height > height or (machine._height, machine._block_hash) == (height, block)
            if term < machine._term and not has_it:
                raise Broken("leader completeness", f"{name} leads term {machine._term} without block {height}")

    def is_done(self) -> bool:
        return all(len(self.decided[name]) >= HEIGHTS for name in self.names)

    def crash(self, name: str, *, is_torn: bool) -> None:
        """It loses its memory; ``is_torn``: and what was written after the last word that left."""
        if is_torn:
            del self.journals[name][self.written[name] :]
        scribe, decided = self.scribe, self.decided[name]
        tip = Tip(0, scribe.chain, 0)
        if decided:
            tip = Tip(len(decided), decided[-1].block_hash, decided[-1].block.header.timestamp)
        peers = tuple(peer for peer in self.names if peer != name)
        pool, crypto, heard = self.pools[name], scribe.network.crypto(name), tuple(self.journals[name])
        seat = Seat(name, peers, scribe.params, scribe.chain, scribe.stakes(), crypto, pool, heard)
        self.machines[name] = self.rule(seat, tip)
        self.timers = [timer for timer in self.timers if timer[1] != name]
        self.ready(name)

    def fetch(self, name: str) -> None:
        """Ask the others' disks for the blocks that it has missed, as real nodes do now and then."""
        longest = max(self.decided.values(), key=len)
        finals = [Finalised(item.block, item.certificate) for item in longest[len(self.decided[name]) :]]
        self.tell(name, *finals, sender="contributor-0")

    def play(self, schedule: Iterable[tuple[str, int]]) -> None:
        for action, choice in schedule:
            name = self.names[choice % len(self.names)]
            del self.bag[:-CARRIED]  # what is older is lost: else most of what arrives is stale
            if action == "crash":
                self.crash(name, is_torn=choice % 2 == 0)
            elif action == "fetch":
                self.fetch(name)
            elif action == "fire" and self.timers:
                self.fire(choice)
            elif action == "stand":
                self.stand(name)
            elif action == "lose" and self.bag:
                del self.bag[choice % len(self.bag)]
            elif self.bag:
                self.deliver(choice % len(self.bag), is_kept=action == "repeat")

    def finish(self) -> None:
        """No more accidents: everything arrives, and every clock runs."""
        for _ in range(20_000):
            if self.is_done():
                return
            if self.bag:
                self.deliver()
            elif self.timers:
                self.fire()
                self.fetch(self.names[self.now % len(self.names)])
            else:
                self.ready()

    def exchange(self, group: tuple[int, ...], *kinds: type) -> None:
        """Deliver messages of these kinds within a group of nodes until there are none."""
        names = {self.names[index] for index in group}
        while True:
            fitting = [at for at, (sender, receiver, message) in enumerate(self.bag)
                       if {sender, receiver} <= names and isinstance(message, kinds)]  # fmt: skip
            if not fitting:
                return
            self.deliver(fitting[0])

    def stand(self, name: str) -> None:
        """Let a node lose patience."""
        self.now += MINUTE
        self.take(name, self.machines[name].on_timer("patience", self.now))

    def elect(self, index: int, group: tuple[int, ...]) -> bool:
        """Let ``index`` lose patience and ask the others in ``group``; whether it leads."""
        name = self.names[index]
        self.bag.clear()
        self.stand(name)
        self.exchange((index, *group), Canvass, Ballot)
        return bool(self.machines[name]._part is Part.LEADER)


@given(schedule=SCHEDULES, size=st.sampled_from([2, 3, 4, 5]))
@settings(max_examples=80)
def test_whatever_the_schedule_the_properties_hold_and_all_decide_in_the_end(
    schedule: list[tuple[str, int]], size: int
) -> None:
    world = World(size)
    world.ready()
    world.play(schedule)
    world.finish()
    assert world.is_done()


def run(seed: int, size: int, rule: Rule = ElectedLeader) -> World:
    """A long random schedule; how rich it is in each kind of accident is drawn first."""
    chance, world = random.Random(f"{seed}|leader|{size}"), World(size, rule)
    world.ready()
    weights = [1.0, *(chance.random() ** 2 / 2 for _ in ACTIONS[1:])]
    world.play((action, chance.randrange(1 << 12)) for action in chance.choices(ACTIONS, weights, k=1_000))
    world.finish()
    return world


def search(rule: Rule) -> None:
    for seed in range(1_000):
        run(seed, 3, rule)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_many_random_schedules_with_crashes_break_nothing(size: int) -> None:
    for seed in range(12):
        assert run(seed, size).is_done()


class NoComparison(ElectedLeader):
    """Planted bug: votes for whoever asks first, whatever its log lacks."""

    def _answer(self, sender: str, message: Canvass, now: int, steps: list[Step]) -> None:
        super()._answer(sender, msgspec.structs.replace(message, stored=self._stored_term), now, steps)


class NoVote(ElectedLeader):
    """Planted bug: forgets over a restart whom it has voted for."""

    def _recall(self) -> None:
        super()._recall()
        self._voted = ""


class NoBlock(ElectedLeader):
    """Planted bug: forgets over a restart what it has stored."""

    def _recall(self) -> None:
        super()._recall()
        self._block, self._stored_term = None, 0


class NoTerm(ElectedLeader):
    """Planted bug: keeps the term of a block whose term is an earlier leader's, and counts it all the same."""

    def _store(self, term: int, block: Block) -> None:
        kept, is_same = self._stored_term, block == self._block
        super()._store(term, block)
        if is_same:
            self._stored_term = kept


class NoCarrying(ElectedLeader):
    """Planted bug: forgets its vote when a height ends, though the term goes on."""

    def _conclude(self, decided: Decided, now: int, steps: list[Step]) -> None:
        before = len(steps)
        super()._conclude(decided, now, steps)
        steps[before:] = [step for step in steps[before:] if not isinstance(step, Heard)]


@pytest.mark.parametrize("rule", [NoComparison, NoVote, pytest.param(NoCarrying, marks=pytest.mark.long), NoBlock])
def test_planted_bugs_are_found_by_random_schedules(rule: Rule) -> None:
    with pytest.raises(Broken, match="election safety|log matching|leader completeness|state machine safety"):
        search(rule)


def figure_8(rule: Rule) -> World:
    """The paper's Figure 8, (a) to (c); terms are one less than there, and S1 to S5 are administrators 0 to 4."""
    world = World(5, rule)
    world.ready()
    world.exchange((0, 1, 2, 3, 4), Canvass, Ballot)
    world.exchange((0, 1), Append)  # (a) S1 leads, and its block is stored by two
    assert world.elect(4, (2, 3))  # (b) S5 leads, and nobody else stores its block
    world.crash(world.names[0], is_torn=True)
    assert world.elect(0, (1, 2, 3))
    world.exchange((0, 1, 2), Append, Stored)  # (c) S1 leads again, and its block is with a majority
    world.crash(world.names[4], is_torn=True)
    return world


def test_what_a_majority_has_stored_in_a_later_term_stays_whoever_leads_next() -> None:
    """Figure 8 (e)."""
    world = figure_8(ElectedLeader)
    assert len(world.decided[world.names[0]]) == 1
    assert not world.elect(4, (1, 2, 3))
    world.finish()
    assert world.is_done()


def test_planted_bug_to_count_what_is_stored_in_an_earlier_term_is_found_by_figure_8() -> None:
    """Figure 8 (d)."""
    world = figure_8(NoTerm)
    assert len(world.decided[world.names[0]]) == 1
    with pytest.raises(Broken, match="leader completeness"):
        world.elect(4, (1, 2, 3))
