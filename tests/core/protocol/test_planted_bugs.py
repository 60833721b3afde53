"""The invariants catch what they are there for: each planted bug, in a network that would be safe without it."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ehrcore.block import Block, Revocation
from ehrcore.consensus.validators import ValidatorSet
from ehrcore.drive.links import Partition
from ehrcore.effects import Effects, Received, Send
from ehrcore.identity import Reason, Registry
from ehrcore.messages import Approve, Finalised, Propose, Submit
from ehrcore.replay import ReplayWindows
from ehrcore.roles.pool import ApprovalPool
from ehrcore.rules import AUTHORITY
from ehrcore.state import ChainState
from ehrcore.types import SECOND
from tests.core.protocol.conftest import END, Broken, Run, Scribe, check_invariants, make_params

Plant = Callable[[pytest.MonkeyPatch], None]


class TwoFacedNode:
    """An administrator that runs two honest machines with its one key, one for each group of the others."""

    def __init__(self, run: Run, name: str, groups: tuple[frozenset[str], frozenset[str]]) -> None:
        self.groups = groups
        self.faces = [run.network.machine(name, run.network.crypto(name), run.sim.store) for _ in range(2)]

    def start(self, now: int) -> Effects:
        return ()

    def handle(self, event: Any, now: int) -> Effects:
        heard = [face for face in (0, 1) if self._hears(face, event)]
        return tuple(effect for face in heard for effect in self._filter(face, self.faces[face].handle(event, now)))

    def _hears(self, face: int, event: Any) -> bool:
        if not isinstance(event, Received):
            return True
        if isinstance(event.message, Approve):
            # The second face orders other transactions than the first.
            return (event.message.transaction.body.nonce < 15) == (face == 0)
        return event.sender in self.groups[face]

    def _filter(self, face: int, effects: Effects) -> Effects:
        kept = []
        for effect in effects:
            if isinstance(effect, Send):
                to = tuple(name for name in effect.to if name in self.groups[face])
                effect = msgspec.structs.replace(effect, to=to)
            kept.append(effect)
        return tuple(kept)


def split_brain() -> Run:
    """Three equal stakes; the liar shows one face to each of the two honest, who cannot hear each other.

    Each honest one with a face has exactly two thirds.  Each serves a contributor of its own.
    """
    left = frozenset({"administrator-0", "contributor-0", "coordinator-0"})
    right = frozenset({"administrator-1", "contributor-1"})
    cut = tuple(
        Partition(0, END, frozenset({name})) for name in ("administrator-0",)
    )
    del cut
    run = Run(make_params((3, 3, 3, 2)))
    run.node("administrator-2").machine = TwoFacedNode(run, "administrator-2", (left, right))
    for name, group in (("administrator-0", left), ("administrator-1", right)):
        node = run.node(name)
        node.machine = Deaf(node.machine, group | {"administrator-2"}, first=name == "administrator-0")
    return run.submit(30).run(60 * SECOND)


class Deaf:
    """An honest machine on one side of a split: what the other side says does not reach it, nor the reverse."""

    def __init__(self, machine: Any, group: frozenset[str], *, first: bool) -> None:
        self.machine, self.group, self.first = machine, group, first

    def handle(self, event: Any, now: int) -> Effects:
        if isinstance(event, Received):
            if isinstance(event.message, Approve):
                if (event.message.transaction.body.nonce < 15) != self.first:
                    return ()
            elif event.sender not in self.group:
                return ()
        kept = []
        for effect in self.machine.handle(event, now):
            if isinstance(effect, Send):
                effect = msgspec.structs.replace(effect, to=tuple(name for name in effect.to if name in self.group))
            kept.append(effect)
        return tuple(kept)


class Forger:
    """An administrator that hands its ledger keepers true headers with other transactions."""

    def __init__(self, machine: Any) -> None:
        self.machine = machine

    def handle(self, event: Any, now: int) -> Effects:
        return tuple(map(self._forge, self.machine.handle(event, now)))

    def _forge(self, effect: Any) -> Any:
        if not isinstance(effect, Send) or not isinstance(effect.message, Finalised):
            return effect
        block = effect.message.block
        forged = Block(block.header, block.transactions[::-1])
        return msgspec.structs.replace(effect, message=msgspec.structs.replace(effect.message, block=forged))


def forged_blocks() -> Run:
    """One of four administrators forges; the keepers hear it first."""
    run = Run(make_params())
    for name in ("administrator-0", "administrator-1", "administrator-2"):
        node = run.node(name)
        node.machine = Forger(node.machine)
    return run.submit(15).run(60 * SECOND)


def late_revocation() -> Run:
    """The author is revoked after its transactions were approved, in a block before theirs."""
    run = Run(make_params((3, 3, 4, 2, 2)))
    scribe = Scribe(run.network)
    run.submit(15)
    order = scribe.order(Revocation(scribe.serial_of("visitor-0")))
    # The order overtakes: it goes through the same steps, but the visitor's last 14 requests come much later.
    for index in range(3):
        run.sim.inject(50_000, f"agent-{index}", Received(AUTHORITY, Submit(order)))
    run.submit(14, start=SECOND)
    return run.run()


def replayed_nonce() -> Run:
    """Two transactions of one author with one nonce, each endorsed by agents that saw only one of them."""
    run = Run(make_params((4, 3, 4, 2), endorsements=2))
    scribe = Scribe(run.network)
    run.submit(14)
    twins = [scribe.transaction(77, content=body, location="/twin") for body in (b"one", b"two")]
    del twins
    return run.run()


def exact_two_thirds(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ValidatorSet, "is_quorum", lambda self, stake: 3 * stake >= 2 * self.total_stake)


def no_merkle_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ChainState, "_build_tree", lambda self, header, leaves: self._crypto.merkle_tree(leaves))


def no_revocation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Registry, "revoke", lambda self, serial: None)
