"""The invariants catch what they are there for: each planted bug, in a network that is safe without it."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ehrcore.block import Block, Revocation
from ehrcore.consensus.validators import ValidatorSet
from ehrcore.effects import Effects, ObservedKind, Received, Send
from ehrcore.identity import Reason, Registry
from ehrcore.messages import Approve, Finalised, Submit
from ehrcore.roles import Administrator
from ehrcore.rules import AUTHORITY
from ehrcore.state import ChainState
from ehrcore.types import MILLISECOND, SECOND
from tests.core.protocol.conftest import Broken, Run, Scribe, check_invariants, make_params

LEFT = frozenset({"administrator-0", "administrator-2", "coordinator-0", "contributor-0"})
RIGHT = frozenset({"administrator-1", "administrator-2", "contributor-1"})


class Half:
    """A machine that hears and speaks to one side of a split alone, and orders that side's transactions alone."""

    def __init__(self, machine: Any, side: frozenset[str]) -> None:
        self.machine, self.side = machine, side

    def handle(self, event: Any, now: int) -> Effects:
        if isinstance(event, Received) and not self._hears(event):
            return ()
        return tuple(map(self._limit, self.machine.handle(event, now)))

    def _hears(self, event: Received) -> bool:
        if isinstance(event.message, Approve):
            return (event.message.transaction.body.nonce < 15) == (self.side is LEFT)
        return event.sender in self.side

    def _limit(self, effect: Any) -> Any:
        if not isinstance(effect, Send):
            return effect
        return msgspec.structs.replace(effect, to=tuple(name for name in effect.to if name in self.side))


class TwoFaces:
    """Two honest machines with one key, one for each side."""

    def __init__(self, run: Run, name: str) -> None:
        contexts = [run.network.context(name) for _ in range(2)]
        self.halves = [
            Half(Administrator(context), side) for context, side in zip(contexts, (LEFT, RIGHT), strict=True)
        ]

    def handle(self, event: Any, now: int) -> Effects:
        return tuple(effect for half in self.halves for effect in half.handle(event, now))


def two_faces() -> Run:
    """Three equal stakes: the liar and either honest one hold exactly two thirds, and nobody more."""
    run = Run(make_params((3, 3, 3, 2)))
    for name, side in (("administrator-0", LEFT), ("administrator-1", RIGHT)):
        node: Any = run.node(name)
        node.machine = Half(node.machine, side)
    run.node("administrator-2").machine = TwoFaces(run, "administrator-2")
    return run.submit(30).run(60 * SECOND)


class Forger:
    """An administrator that hands out true headers and certificates with other transactions."""

    def __init__(self, machine: Any) -> None:
        self.machine = machine

    def handle(self, event: Any, now: int) -> Effects:
        return tuple(map(self._forge, self.machine.handle(event, now)))

    def _forge(self, effect: Any) -> Any:
        if not isinstance(effect, Send) or not isinstance(effect.message, Finalised):
            return effect
        block = effect.message.block
        message = msgspec.structs.replace(effect.message, block=Block(block.header, block.transactions[::-1]))
        return msgspec.structs.replace(effect, message=message)


def forged_blocks() -> Run:
    """Three of four administrators agree truly and hand out forgeries."""
    run = Run(make_params())
    for index in range(3):
        node: Any = run.node(f"administrator-{index}")
        node.machine = Forger(node.machine)
    return run.submit(15).run(60 * SECOND)


class Stale:
    """An agent that endorses the authority's orders and forgets them at once."""

    def __init__(self, run: Run, name: str) -> None:
        self.fresh: Callable[[], Any] = lambda: run.network.machine(name, run.network.crypto(name), run.sim.store)
        self.machine = self.fresh()

    def handle(self, event: Any, now: int) -> Effects:
        machine = self.fresh() if isinstance(event, Received) and event.sender == AUTHORITY else self.machine
        effects: Effects = machine.handle(event, now)
        return effects


def late_revocation() -> Run:
    """An author is revoked in one block while its transactions, approved already, wait for the next one."""
    run = Run(make_params((3, 3, 4, 2, 2)))
    scribe = Scribe(run.network)
    order = scribe.order(Revocation(scribe.serial_of("visitor-0")))
    for index in range(3):
        name = f"agent-{index}"
        run.node(name).machine = Stale(run, name)
        run.sim.inject(0, name, Received(AUTHORITY, Submit(order)))
    run.submit(14, visitor="visitor-1")
    run.submit(15, start=2 * MILLISECOND, visitor="visitor-0")
    return run.run(60 * SECOND)


def exactly_two_thirds_suffice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ValidatorSet, "is_quorum", lambda self, stake: 3 * stake >= 2 * self.total_stake)


def no_merkle_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ChainState, "_build_tree", lambda self, _, leaves: self._crypto.merkle_tree(leaves))


def nobody_is_ever_revoked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Registry, "revoke", lambda *_: None)


#: Where, what, and the invariant that breaks.
PLANTED: list[tuple[Callable[[], Run], Callable[[pytest.MonkeyPatch], None], str]] = [
    (two_faces, exactly_two_thirds_suffice, "agreement"),
    (forged_blocks, no_merkle_check, "content"),
    (late_revocation, nobody_is_ever_revoked, "revocation"),
]


@pytest.mark.parametrize("scene", [scene for scene, _, _ in PLANTED], ids=lambda scene: scene.__name__)
def test_without_a_bug_no_invariant_breaks(scene: Callable[[], Run]) -> None:
    check_invariants(scene(), is_complete=False)


@pytest.mark.parametrize(("scene", "plant", "rule"), PLANTED, ids=[plant.__name__ for _, plant, _ in PLANTED])
def test_a_planted_bug_breaks_its_invariant(
    monkeypatch: pytest.MonkeyPatch,
    scene: Callable[[], Run],
    plant: Callable[[pytest.MonkeyPatch], None],
    rule: str,
) -> None:
    plant(monkeypatch)
    with pytest.raises(Broken) as caught:
        check_invariants(scene(), is_complete=False)
    assert caught.value.rule == rule


def test_two_faces_decide_nothing_with_two_thirds() -> None:
    assert two_faces().decided() == {}


def test_forgeries_are_dropped_and_the_one_true_copy_is_kept() -> None:
    run = forged_blocks()
    check_invariants(run)
    assert {item.detail.split(":")[0] for _, _, item in run.of(ObservedKind.DROPPED)} <= {"merkle-root"}
    assert run.of(ObservedKind.DROPPED)


def test_the_second_validation_marks_what_came_too_late_and_commits_the_rest() -> None:
    run = late_revocation()
    reasons = [reason for entry in run.ledgers["contributor-0"].entries for reason in entry.reasons]
    assert reasons == [Reason.ACCEPTED] * 15 + [Reason.REVOKED] * 15
    told = [item.detail for _, _, item in run.of(ObservedKind.FINAL, "visitor-0")]
    assert told == [Reason.REVOKED.value] * 15
    assert len(run.of(ObservedKind.FINAL, "visitor-1")) == 14


@pytest.mark.parametrize("rule", ["link", "content", "once", "invented", "lost", "agreement", "state", "quorum"])
def test_each_invariant_can_break(rule: str) -> None:
    """Damage to what a run has kept, one invariant at a time."""
    run = Run(make_params()).submit(30).run()
    check_invariants(run)
    entries = run.ledgers["contributor-0"].entries
    first, second = entries
    replace = msgspec.structs.replace
    swapped = replace(first.block, transactions=first.block.transactions[::-1])
    if rule == "link":
        entries.popleft()
        run.seen.clear()
        del run.ledgers["contributor-1"], run.ledgers["coordinator-0"]
    elif rule == "content":
        entries[0] = replace(first, block=swapped)
    elif rule == "once":
        scribe = Scribe(run.network)
        final = scribe.final(first.block.transactions, second.block.header)
        entries.append(replace(first, block=final.block, certificate=final.certificate))
    elif rule == "invented":
        run.seen = [seen for seen in run.seen if seen[2].kind is not ObservedKind.SUBMITTED]
    elif rule == "lost":
        entries.pop()
    elif rule == "agreement":
        run.seen = [(at, name, replace(item, subjects=(bytes(32),))) for at, name, item in run.seen]
    elif rule == "state":
        entries[0] = replace(first, state=bytes(32))
    else:
        entries[0] = replace(first, certificate=replace(first.certificate, votes=first.certificate.votes[:2]))
    with pytest.raises(Broken) as caught:
        check_invariants(run)
    assert caught.value.rule == rule
