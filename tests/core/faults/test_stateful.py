"""Four administrators whose every message, timer and restart hypothesis decides; all invariants after each step."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from ehrcore.consensus.seam import Tip
from ehrcore.effects import (
    Effects,
    Heard,
    Received,
    Send,
    SetTimer,
    TimerFired,
)
from ehrcore.faults.invariants import Invariants
from ehrcore.faults.mutants import MUTANTS, planted
from ehrcore.faults.weights import InvariantError
from ehrcore.messages import Finalised, Propose, Submit, Vote
from ehrcore.params import Limits
from ehrcore.roles import Administrator
from ehrcore.roles.context import Context, Kept
from ehrcore.types import SECOND
from tests.core.protocol.conftest import Scribe, make_network, make_params

NAMES = tuple(f"administrator-{index}" for index in range(4))
CHOICE = st.integers(0, 1 << 16)
NODE = st.sampled_from(NAMES)


class Member:
    """One administrator with its log: what it said, what it heard, and its last block."""

    def __init__(self, scribe: Scribe, name: str) -> None:
        self.scribe, self.name = scribe, name
        self.tip = Tip(0, scribe.chain, 0)
        self.heard: list[Propose | Vote] = []
        self.settled: list[bytes] = []
        self.finals: list[Finalised] = []
        self.start()

    def start(self) -> None:
        """A new process on the old log."""
        scribe, heard = self.scribe, tuple(item for item in self.heard if item.body.height > self.tip.height)
        kept = Kept(tip=self.tip, heard=heard, settled=tuple(self.settled))
        crypto = scribe.network.crypto(self.name)
        context = Context(self.name, scribe.params, scribe.chain, scribe.network.certificates, crypto, kept)
        self.machine = Administrator(context)
        self.timers: dict[str, int] = {}

    def keep(self, effects: Effects) -> None:
        for effect in effects:
            match effect:
                case Heard(message=message):
                    self.heard.append(message)
                case Send(message=Propose() as message):
                    self.heard.append(message)
                case Send(message=Vote(voter=voter) as vote) if voter == self.name:
                    self.heard.append(vote)
                case Send(message=Finalised(block=block) as final) if block.header.height == self.tip.height + 1:
                    header = block.header
                    self.finals.append(final)
                    self.tip = Tip(header.height, self.scribe.hash(block), header.timestamp)
                    self.settled += [self.scribe.tx_id(item.transaction) for item in block.transactions]


class Council(RuleBasedStateMachine):
    """The test is the network, the clock and the power supply."""

    @initialize()
    def found(self) -> None:
        self.scribe = Scribe(make_network(make_params(limits=Limits(1))))
        self.watch = Invariants(self.scribe.network)
        self.members = {name: Member(self.scribe, name) for name in NAMES}
        self.bag: list[tuple[str, str, Any]] = []
        self.now = self.count = 0
        self.approve(0)

    def take(self, name: str, event: Any) -> None:
        member = self.members[name]
        effects = member.machine.handle(event, self.now)
        member.keep(effects)
        for effect in effects:
            self.watch.saw(self.now, name, effect)
            if isinstance(effect, Send):
                self.bag += [(name, to, effect.message) for to in effect.to if to in self.members]
            elif isinstance(effect, SetTimer):
                member.timers[effect.name] = self.now + effect.delay_ns

    @precondition(lambda self: self.count < 4)
    @rule(first=CHOICE)
    def approve(self, first: int) -> None:
        """A transaction that all coordinators approve reaches everyone, whoever hears of it first."""
        tx = self.scribe.transaction(self.count)
        self.count += 1
        self.watch.saw(0, "visitor-0", Send((), Submit(tx)))
        for index in range(2):
            self.watch.saw(0, f"agent-{index}", Send((), self.scribe.endorse(tx, f"agent-{index}")))
        for name in (*NAMES[first % 4 :], *NAMES[: first % 4]):
            for index in range(2):
                approve = self.scribe.approve(tx, f"coordinator-{index}")
                self.watch.saw(0, approve.approval.node, Send((), approve))
                self.take(name, Received(approve.approval.node, approve))

    @precondition(lambda self: self.bag)
    @rule(choice=CHOICE, is_kept=st.booleans())
    def deliver(self, choice: int, *, is_kept: bool) -> None:
        """Any message, in any order; once more later if it is kept."""
        index = choice % len(self.bag)
        sender, receiver, message = self.bag[index]
        if not is_kept:
            del self.bag[index]
        self.take(receiver, Received(sender, message))

    @precondition(lambda self: self.bag)
    @rule(count=st.integers(1, 12))
    def deliver_some(self, count: int) -> None:
        """The oldest ones, in order, so that something gets decided within few steps."""
        for _ in range(min(count, len(self.bag))):
            self.deliver(0, is_kept=False)

    @precondition(lambda self: self.bag)
    @rule(choice=CHOICE)
    def drop(self, choice: int) -> None:
        del self.bag[choice % len(self.bag)]

    @precondition(lambda self: any(member.timers for member in self.members.values()))
    @rule(choice=CHOICE)
    def fire(self, choice: int) -> None:
        """Any timer: clocks may differ."""
        timers = sorted(
            (at, name, timer) for name, member in self.members.items() for timer, at in member.timers.items()
        )
        at, name, timer = timers[choice % len(timers)]
        del self.members[name].timers[timer]
        self.now = max(self.now, min(at, self.now + 10 * SECOND))
        self.take(name, TimerFired(timer))

    @rule(name=NODE)
    def restart(self, name: str) -> None:
        """It has forgotten all but its log; coordinators repeat their approvals."""
        self.members[name].start()
        for nonce in range(self.count):
            tx = self.scribe.transaction(nonce)
            for index in range(2):
                self.take(name, Received(f"coordinator-{index}", self.scribe.approve(tx, f"coordinator-{index}")))

    @rule(name=NODE, peer=NODE)
    def fetch(self, name: str, peer: str) -> None:
        """It asks another for the blocks that it has missed, as nodes do now and then."""
        for final in self.members[peer].finals[self.members[name].tip.height :]:
            self.take(name, Received(peer, final))

    def teardown(self) -> None:
        """Then all goes well: everyone decides everything."""
        if not hasattr(self, "members"):
            return
        for _ in range(4_000):
            if {member.tip.height for member in self.members.values()} == {self.count}:
                return
            if self.bag:
                self.deliver(0, is_kept=False)
            else:
                self.fire(0)
                for name, peer in pairwise((*NAMES, NAMES[0])):
                    self.fetch(name, peer)
        heights = {name: member.tip.height for name, member in self.members.items()}
        raise InvariantError("liveness", f"expected {self.count} blocks everywhere, found {heights}")


def test_whatever_happens_in_whatever_order_all_invariants_hold() -> None:
    run_state_machine_as_test(Council, settings=settings(max_examples=40, stateful_step_count=60))


@pytest.mark.long
def test_the_same_at_length() -> None:
    run_state_machine_as_test(Council, settings=settings(max_examples=120, stateful_step_count=150))


@pytest.mark.parametrize("name", ["no-log"])
def test_planted_bugs_are_found_here_too(name: str) -> None:
    few = settings(max_examples=300, stateful_step_count=60, phases=[Phase.generate])
    with planted(MUTANTS[name]), pytest.raises(InvariantError) as caught:
        run_state_machine_as_test(Council, settings=few)
    assert caught.value.rule in MUTANTS[name].rules
