"""No two honest administrators decide differently, whatever the network and less than a third of the stake do.

Four bare machines, with the test as the network: it reorders, duplicates, delays and lies.
"""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import pytest

from ehrcore.consensus.validators import ValidatorSet
from tests.core.protocol.conftest import NIL, PRECOMMIT, PREVOTE, Council, TwoFaced

#: One step of a schedule: deliver a message from somewhere in the bag, deliver it and keep a copy, or let time pass.
STEPS = st.lists(
    st.tuples(st.sampled_from(["deliver", "deliver", "deliver", "repeat", "wait"]), st.integers(0, 1 << 16)),
    max_size=150,
)


def play(council: Council, steps: list[tuple[str, int]]) -> None:
    """Carry out a schedule; agreement must hold at every instant."""
    for action, number in steps:
        if action == "wait" and council.timers:
            council.fire()
        elif council.bag:
            council.deliver(number % len(council.bag), is_kept=action == "repeat")
        assert len(council.hashes()) <= 1


@given(steps=STEPS, stakes=st.sampled_from([(1, 1, 1, 1), (10, 1, 5, 3), (1, 2, 3, 4)]))
@settings(max_examples=60)
def test_whatever_the_order_all_agree_and_in_the_end_all_decide(
    steps: list[tuple[str, int]], stakes: tuple[int, ...]
) -> None:
    council = Council(4, stakes)
    council.ready()
    play(council, steps)
    council.settle()
    assert len(council.hashes()) == 1
    assert all(len(given) == 1 for given in council.decided.values())


@given(steps=STEPS, lost=st.sets(st.integers(0, 200), max_size=60))
@settings(max_examples=40)
def test_messages_may_be_lost_and_what_is_repeated_makes_up_for_it(
    steps: list[tuple[str, int]], lost: set[int]
) -> None:
    council = Council(4)
    council.ready()
    for index in sorted(lost):
        if council.bag:
            del council.bag[index % len(council.bag)]
        play(council, steps[index % 7 :: 7][:3])
    play(council, steps)
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
        proposed = {m.body.block for _, _, m in self.council.bag if hasattr(m, "block")}
        return [NIL, *map(self.scribe.hash, self.blocks), *sorted(proposed)]

    def lie(self, to: str, choice: tuple[int, int, int, int]) -> None:
        kind, round_, step, number = choice
        round_ %= 4
        if kind == 0 and self.council.proposer(round_) == self.me:
            block = self.blocks[number % 2]
            valid_round = number % (round_ + 1) - 1
            message: Any = self.scribe.propose(block, round_, valid_round)
        else:
            known = self.known()
            message = self.scribe.vote(self.me, known[number % len(known)], round_, step)
        self.council.tell(to, message, sender=self.me)


LIES = st.tuples(
    st.integers(0, 2), st.integers(0, 3), st.sampled_from([PREVOTE, PRECOMMIT]), st.integers(0, 1 << 10)
)
MIXED = st.lists(
    st.tuples(st.sampled_from(["deliver", "deliver", "lie", "wait"]), st.integers(0, 1 << 16), LIES), max_size=200
)


@given(steps=MIXED)
@settings(max_examples=120)
def test_one_liar_of_four_cannot_make_the_others_decide_differently(
    steps: list[tuple[str, int, tuple[int, int, int, int]]]
) -> None:
    council = Council(4)
    liar = Liar(council)
    council.ready(*council.machines)
    for action, number, choice in steps:
        if action == "lie":
            liar.lie(council.names[number % 3], choice)
        elif action == "wait" and council.timers:
            council.fire()
        elif council.bag:
            council.deliver(number % len(council.bag))
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
