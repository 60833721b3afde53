"""No two honest administrators decide differently, whatever the network and less than a third of the stake do.

Four bare machines, with the test as the network: it reorders, duplicates, delays and lies.
"""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehrcore.consensus.validators import ValidatorSet
from ehrcore.messages import Propose
from tests.core.protocol.conftest import NIL, PRECOMMIT, PREVOTE, Council, TwoFaced

#: A schedule: each number is an action and which message it is about.  Long ones, since short ones decide nothing.
SCHEDULES = st.lists(st.integers(0, (1 << 16) - 1), min_size=160, max_size=160)


def play(council: Council, schedule: list[int], *, may_lose: bool = False) -> None:
    """Deliver a message from anywhere in the bag, deliver it again later, lose it, or let a timer run out.

    Agreement must hold at every instant.
    """
    for number in schedule:
        action, choice = number % 8, number // 8
        if action == 0 and council.timers:
            council.fire(choice)
        elif not council.bag:
            continue
        elif action == 1 and may_lose:
            del council.bag[choice % len(council.bag)]
        else:
            council.deliver(choice % len(council.bag), is_kept=action == 2)
        assert len(council.hashes()) <= 1


@given(schedule=SCHEDULES, stakes=st.sampled_from([(1, 1, 1, 1), (10, 1, 5, 3), (1, 2, 3, 4)]))
@settings(max_examples=150)
def test_whatever_the_order_all_agree_and_in_the_end_all_decide(schedule: list[int], stakes: tuple[int, ...]) -> None:
    council = Council(4, stakes)
    council.ready()
    play(council, schedule)
    council.settle()
    assert len(council.hashes()) == 1
    assert all(len(given) == 1 for given in council.decided.values())


@given(schedule=SCHEDULES)
@settings(max_examples=150)
def test_messages_may_be_lost_and_what_is_repeated_makes_up_for_it(schedule: list[int]) -> None:
    council = Council(4)
    council.ready()
    play(council, schedule, may_lose=True)
    council.settle()
    assert len(council.hashes()) == 1
    assert all(council.decided[name] for name in council.names)


class Liar:
    """The last administrator's key in the hands of an adversary, who votes for anything to anyone."""

    def __init__(self, council: Council) -> None:
        self.council, self.scribe, self.me = council, council.scribe, council.names[-1]
        del council.machines[self.me]
        scribe = self.scribe
        self.blocks = [
            scribe.block([scribe.endorsed(scribe.transaction(index))], proposer=self.me, timestamp=0)
            for index in (70, 71)
        ]

    def known(self) -> list[bytes]:
        """All blocks that anyone has spoken of, and none."""
        proposed = {message.body.block for _, _, message in self.council.bag if isinstance(message, Propose)}
        return [NIL, *map(self.scribe.hash, self.blocks), *sorted(proposed)]

    def lie(self, number: int) -> None:
        """One lie out of many: a proposal of its round, or any vote, to any of the others."""
        to, number = self.council.names[number % 3], number // 3
        round_, number = number % 4, number // 4
        if number % 3 == 0 and self.council.proposer(round_) == self.me:
            message: Any = self.scribe.propose(self.blocks[number % 2], round_, number % (round_ + 1) - 1)
        else:
            known = self.known()
            block = known[number // 2 % len(known)]
            message = self.scribe.vote(self.me, block, round_, (PREVOTE, PRECOMMIT)[number % 2])
        self.council.tell(to, message, sender=self.me)


@given(schedule=SCHEDULES, lies=st.lists(st.integers(0, (1 << 16) - 1), min_size=80, max_size=80))
@settings(max_examples=150)
def test_one_liar_of_four_cannot_make_the_others_decide_differently(schedule: list[int], lies: list[int]) -> None:
    council = Council(4)
    liar = Liar(council)
    council.ready(*council.machines)
    for index, lie in enumerate(lies):
        play(council, schedule[2 * index : 2 * index + 2])
        liar.lie(lie)
        assert len(council.hashes()) <= 1
    council.settle()
    assert len(council.hashes()) == 1
    assert all(council.decided[name] for name in council.machines)


@pytest.mark.parametrize("groups", [((0,), (1, 2)), ((0, 1), (2,)), ((2,), (0, 1))])
def test_a_two_faced_proposer_splits_nobody(groups: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    """It runs two honest machines with one key, one for each half of the others, which do not hear each other."""
    council = Council(4)
    TwoFaced(council, council.names[3], groups).play()
    assert len(council.hashes()) == 1


def test_three_of_equal_stake_tolerate_no_liar_but_do_not_fork_either() -> None:
    council = Council(3)
    TwoFaced(council, council.names[2], ((0,), (1,))).play()
    assert council.hashes() == set()


def test_planted_bug_a_quorum_of_exactly_two_thirds_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ValidatorSet, "is_quorum", lambda self, stake: 3 * stake >= 2 * self.total_stake)
    council = Council(3)
    TwoFaced(council, council.names[2], ((0,), (1,))).play()
    assert len(council.hashes()) == 2
