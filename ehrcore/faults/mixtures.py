"""Seeded mixtures of every kind of fault, within what the rule promises to stand: one seed is one schedule."""

import random
from collections.abc import Callable
from typing import Final

from ehrcore.faults.plan import (
    Behaviour,
    Byzantine,
    Crash,
    Cut,
    Fault,
    FaultPlan,
    Lossy,
    Pause,
    Skew,
    Slow,
    Twin,
    partition,
)
from ehrcore.faults.schedules import Schedule, administrators, late_load
from ehrcore.params import ConsensusRule, family_of
from ehrcore.types import MILLISECOND, SECOND, Role, node_id

#: Faults begin within this (ns), and none but those for good lasts longer than the other.
HORIZON_NS: Final = 20 * SECOND
LONGEST_NS: Final = 10 * SECOND
#: How far off a clock may be (ns): two of them by less than what nodes forgive each other.
CLOCK_ERROR_NS: Final = 4_500 * MILLISECOND
_LOAD: Final = 14
#: A third sound node hands on what a cut link between two others does not.
_ENOUGH_TO_RELAY: Final = 2


def make_random(seed: int, nodes: int, rule: str) -> Schedule:
    """A seeded mixture of every kind of fault that the rule is to stand."""
    chance = random.Random(f"{seed}|schedule|{nodes}|{rule}")
    family = family_of(rule)
    stakes = (1,) * nodes if _happens(chance, 0.5) else tuple(chance.randint(1, 5) for _ in range(nodes))
    load = tuple(sorted(chance.randrange(HORIZON_NS) for _ in range(_LOAD)))
    mixture = _Mixture(chance, stakes, load)
    if family is ConsensusRule.PROOF_OF_STAKE:
        mixture.add_liars()
    if family is ConsensusRule.PROOF_OF_WORK:
        mixture.add_miner(random.Random(f"{seed}|miner|{nodes}"))
    if family is not ConsensusRule.SINGLE_ORDERER:
        mixture.add_losses_for_good()
    for _ in range(chance.randint(1, 6)):
        mixture.add()
    plan = FaultPlan(tuple(mixture.faults))
    latency, jitter = chance.choice((1, 20, 100, 300)), chance.choice((0, 20, 100))
    load += late_load(plan)
    return Schedule(f"seed {seed}", rule, stakes, latency * MILLISECOND, jitter * MILLISECOND, load, plan)


def _happens(chance: random.Random, probability: float) -> bool:
    return chance.random() < probability


class _Mixture:
    """Draws faults; nobody that lies or is down for good meets any other fault of its own."""

    def __init__(self, chance: random.Random, stakes: tuple[int, ...], load: tuple[int, ...]) -> None:
        self._chance, self._load = chance, load
        self._stakes = dict(zip(administrators(len(stakes)), stakes, strict=True))
        self._lost = 0
        self._sound = list(self._stakes)
        self._busy: dict[str, list[tuple[int, int]]] = {}
        self.faults: list[Fault] = []

    def _lose(self) -> str | None:
        """Take a node out of those that are sound, if less than a third of the stake is lost with it."""
        total = sum(self._stakes.values())
        given = [name for name in self._sound if 3 * (self._lost + self._stakes[name]) < total]
        if not given:
            return None
        name = self._chance.choice(given)
        self._sound.remove(name)
        self._lost += self._stakes[name]
        return name

    def add_liars(self) -> None:
        """As many as can be, more often than not."""
        while _happens(self._chance, 0.7) and (node := self._lose()) is not None:
            kind = self._chance.randrange(len(Behaviour) + 2)
            others = [name for name in self._stakes if name != node]
            if kind < len(Behaviour):
                self.faults.append(Byzantine(node, tuple(Behaviour)[kind]))
            elif kind == len(Behaviour) and len(others) > 1:
                self._chance.shuffle(others)
                cut = self._chance.randrange(1, len(others))
                sides = tuple(sorted(others[:cut])), tuple(sorted(others[cut:]))
                self.faults.append(Twin(node, *sides, hears_all=_happens(self._chance, 0.3)))
            else:
                for _ in range(self._chance.randint(1, 3)):
                    self._crash(node, forgets=True)

    def add_miner(self, chance: random.Random) -> None:
        """Now and then one miner that mines in secret or leaves out what it does not like."""
        if _happens(chance, 0.15) and (node := self._lose()) is not None:
            self.faults.append(Byzantine(node, chance.choice((Behaviour.WITHHOLD, Behaviour.CENSOR))))

    def add_losses_for_good(self) -> None:
        """Now and then a node that does not come back, or a link that stays cut one way."""
        if _happens(self._chance, 0.15) and (node := self._lose()) is not None:
            self.faults.append(Crash(node, self._instant(), None))
        if _happens(self._chance, 0.15) and len(self._sound) > _ENOUGH_TO_RELAY:
            sender, receiver = self._chance.sample(self._sound, 2)
            self.faults.append(Cut((sender,), (receiver,), self._instant(), None))

    def add(self) -> None:
        """One fault that heals."""
        makers: tuple[Callable[[], None], ...] = (
            self._crash, self._crash, self._pause, self._slow, self._cut, self._split, self._lossy, self._lossy,
            self._skew, self._disturb,
        )  # fmt: skip
        self._chance.choice(makers)()

    def _instant(self) -> int:
        """Any, or one at which something is being agreed on."""
        if _happens(self._chance, 0.5):
            return self._chance.randrange(HORIZON_NS)
        return self._chance.choice(self._load) + self._chance.randrange(2 * SECOND)

    def _window(self, node: str = "") -> tuple[int, int] | None:
        """When; None if ``node`` is not there for something else then."""
        start = self._instant()
        end = start + self._chance.randrange(50 * MILLISECOND, LONGEST_NS)
        taken = self._busy.setdefault(node, []) if node else []
        if any(start <= last and first <= end for first, last in taken):
            return None
        taken.append((start, end))
        return start, end

    def _some(self) -> tuple[str, ...]:
        names = list(self._stakes)
        return tuple(sorted(self._chance.sample(names, self._chance.randint(1, max(len(names) - 1, 1)))))

    def _crash(self, node: str = "", *, forgets: bool = False) -> None:
        node = node or self._chance.choice(self._sound)
        is_torn = not forgets and _happens(self._chance, 0.3)
        if (window := self._window(node)) is not None:
            self.faults.append(Crash(node, *window, is_torn=is_torn, forgets=forgets))

    def _pause(self) -> None:
        node = self._chance.choice(self._sound)
        if (window := self._window(node)) is not None:
            self.faults.append(Pause(node, *window))

    def _slow(self) -> None:
        node = self._chance.choice(self._sound)
        if (window := self._window(node)) is not None:
            self.faults.append(Slow(node, *window, self._chance.choice((10.0, 100.0, 1_000.0))))

    def _cut(self) -> None:
        if (window := self._window()) is not None:
            self.faults.append(Cut(self._some(), self._some(), *window))

    def _split(self) -> None:
        side = self._some()
        other = tuple(name for name in self._stakes if name not in side)
        if (window := self._window()) is not None and other:
            self.faults += partition(side, other, *window)

    def _lossy(self) -> None:
        receivers = (*self._stakes, node_id(Role.CONTRIBUTOR, 0), node_id(Role.COORDINATOR, 0))
        if (window := self._window()) is not None:
            loss, duplication = self._chance.uniform(0, 0.6), self._chance.uniform(0, 0.3)
            delay = self._chance.choice((0, 200, 1_000, 3_000)) * MILLISECOND
            self.faults.append(Lossy(self._some(), receivers, *window, loss, duplication, delay))

    def _skew(self) -> None:
        node = self._chance.choice(self._sound)
        if not any(isinstance(fault, Skew) and fault.node == node for fault in self.faults):
            self.faults.append(Skew(node, self._chance.randint(-CLOCK_ERROR_NS, CLOCK_ERROR_NS)))

    def _disturb(self) -> None:
        """One of the others crashes: the second of its role, so that the first goes on."""
        node = node_id(self._chance.choice((Role.AGENT, Role.COORDINATOR, Role.CONTRIBUTOR)), 1)
        self._crash(node)
