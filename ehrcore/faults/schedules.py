"""What happens to a network and when: every two-way split over three rounds, and seeded random mixtures of all faults.

A schedule stays within what the rule promises to stand: liars hold less than a third of the stake, liars and nodes that
are down for good together too; all else heals.  The same seed is the same schedule anywhere.
"""

import random
from collections.abc import Callable
from typing import Final

import msgspec

from ehrcore.drive.links import LinkModel
from ehrcore.errors import ParameterError
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
from ehrcore.network import Network, found_network
from ehrcore.params import ChainParams, ConsensusRule, Limits, StakeRule, Topology, WorkRule
from ehrcore.types import MILLISECOND, SECOND, Role, node_id

#: Faults begin within this (ns), and none but those for good lasts longer than the other.
HORIZON_NS: Final = 20 * SECOND
LONGEST_NS: Final = 10 * SECOND
ROUNDS: Final = 3
_LOAD: Final = 14
#: What comes in after the last fault has healed, and how far apart (ns).
_LATE: Final = 4
_LATE_PAUSE: Final = 2 * SECOND
_CLOCK_ERROR: Final = 4_500 * MILLISECOND


class Schedule(msgspec.Struct, frozen=True):
    """One run: the network, what it is asked (instants in ns), and what befalls it."""

    label: str
    rule: ConsensusRule
    stakes: tuple[int, ...]
    latency_ns: int
    jitter_ns: int
    load: tuple[int, ...]
    plan: FaultPlan

    @property
    def links(self) -> LinkModel:
        """The network between faults."""
        return LinkModel(self.latency_ns, self.jitter_ns)

    @property
    def healed_ns(self) -> int:
        """When the last fault that ends has ended."""
        return max((end_of(fault) for fault in self.plan.faults), default=0)

    @property
    def down(self) -> frozenset[str]:
        """Nodes that crash and do not come back."""
        return frozenset(f.node for f in self.plan.faults if isinstance(f, Crash) and f.restart_ns is None)

    @property
    def is_tolerable(self) -> bool:
        """Whether less than a third of the stake is lying or down for good: more, and nothing need ever be decided."""
        held = dict(zip(administrators(len(self.stakes)), self.stakes, strict=True))
        lost = sum(stake for name, stake in held.items() if name in self.plan.faulty | self.down)
        return 3 * lost < sum(self.stakes)

    def network(self) -> Network:
        """Two of every other role, small blocks, and any one endorsement and approval: so one of each may crash."""
        topology = Topology(2, 2, len(self.stakes), 2)
        params = ChainParams(
            "check", topology, 1, 1, is_modelled=True, consensus=self.rule, limits=Limits(3, max_wait_ns=SECOND),
            work=WorkRule(1 << 22, confirmations=3),
        )  # fmt: skip
        return found_network(params, "modelled", "check", self.stakes)


def end_of(fault: Fault) -> int:
    """When a fault has ended (ns); one for good, when it begins."""
    match fault:
        case (
            Crash(at_ns=start, restart_ns=end)
            | Cut(start_ns=start, end_ns=end)
            | Lossy(start_ns=start, end_ns=end)
            | Pause(start_ns=start, end_ns=end)
            | Slow(start_ns=start, end_ns=end)
        ):
            return start if end is None else end
        case Byzantine(start_ns=start):
            return start
        case _:
            return 0


def administrators(count: int) -> tuple[str, ...]:
    """Their names, in order."""
    return tuple(node_id(Role.ADMINISTRATOR, index) for index in range(count))


def _late_load(plan: FaultPlan) -> tuple[int, ...]:
    healed = max((end_of(fault) for fault in plan.faults), default=0)
    return tuple(healed + number * _LATE_PAUSE for number in range(1, _LATE + 1))


# -- splits ------------------------------------------------------------------------------------------------------------


def count_splits(nodes: int) -> int:
    """How many schedules `make_split` knows for so many nodes."""
    return 2 ** (ROUNDS * (nodes - 1)) * (2 * nodes + 1)


def make_split(index: int, nodes: int, rule: ConsensusRule) -> Schedule:
    """The ``index``-th way to split the nodes in two in each of the first three rounds (or in none of them).

    First all of them with honest nodes; then, for each node, all with it crashing in the second round; then, for each
    node, all with it as a twin whose copies live on the two sides of the first split.
    """
    ways, names = 2 ** (nodes - 1), administrators(nodes)
    variant, way = divmod(index, ways**ROUNDS)
    masks = [way // ways**round_ % ways for round_ in range(ROUNDS)]
    faults: list[Fault] = []
    starts = _round_starts()
    for mask, start, end in zip(masks, starts, starts[1:], strict=False):
        side = tuple(name for bit, name in enumerate(names) if mask >> bit & 1)
        other = tuple(name for name in names if name not in side)
        if side:
            faults += partition(side, other, start, end)
    if variant:
        node = names[(variant - 1) % nodes]
        if variant <= nodes:
            faults.append(Crash(node, starts[1], starts[2]))
        else:
            rest = [(masks[0] >> bit & 1, name) for bit, name in enumerate(names) if name != node]
            sides = [tuple(name for bit, name in rest if bit == side) for side in (0, 1)]
            if all(sides):
                faults.append(Twin(node, *sides))
    plan = FaultPlan(tuple(faults))
    load = tuple(start + number * MILLISECOND for start in starts[:ROUNDS] for number in range(3))
    return Schedule(f"split {index}", rule, (1,) * nodes, 20 * MILLISECOND, 0, load + _late_load(plan), plan)


def _round_starts() -> list[int]:
    """When each round would begin and the last end if every time-out ran out (ns)."""
    rule, starts = StakeRule(), [0]
    for round_ in range(ROUNDS):
        waits = rule.propose_timeout_ns + 2 * rule.vote_timeout_ns + 3 * round_ * rule.timeout_step_ns
        starts.append(starts[-1] + waits)
    return starts


# -- chance ------------------------------------------------------------------------------------------------------------


def make_random(seed: int, nodes: int, rule: ConsensusRule) -> Schedule:
    """A seeded mixture of every kind of fault that the rule is to stand."""
    chance = random.Random(f"{seed}|schedule|{nodes}|{rule.value}")
    if nodes < 1:
        raise ParameterError(f"nodes: expected at least 1, found {nodes}")
    stakes = (1,) * nodes if chance.random() < 0.5 else tuple(chance.randint(1, 5) for _ in range(nodes))
    load = tuple(sorted(chance.randrange(HORIZON_NS) for _ in range(_LOAD)))
    mixture = _Mixture(chance, stakes, load)
    if rule is ConsensusRule.PROOF_OF_STAKE:
        mixture.add_liars()
    if rule is not ConsensusRule.SINGLE_ORDERER:
        mixture.add_losses_for_good()
    for _ in range(chance.randint(1, 6)):
        mixture.add()
    plan = FaultPlan(tuple(mixture.faults))
    latency, jitter = chance.choice((1, 20, 100, 300)), chance.choice((0, 20, 100))
    load += _late_load(plan)
    return Schedule(f"seed {seed}", rule, stakes, latency * MILLISECOND, jitter * MILLISECOND, load, plan)


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
        while self._chance.random() < 0.7 and (node := self._lose()) is not None:
            kind = self._chance.randrange(len(Behaviour) + 2)
            others = [name for name in self._stakes if name != node]
            if kind < len(Behaviour):
                self.faults.append(Byzantine(node, tuple(Behaviour)[kind]))
            elif kind == len(Behaviour) and len(others) > 1:
                self._chance.shuffle(others)
                cut = self._chance.randrange(1, len(others))
                sides = tuple(sorted(others[:cut])), tuple(sorted(others[cut:]))
                self.faults.append(Twin(node, *sides, hears_all=self._chance.random() < 0.3))
            else:
                for _ in range(self._chance.randint(1, 3)):
                    self._crash(node, forgets=True)

    def add_losses_for_good(self) -> None:
        """Now and then a node that does not come back, or a link that stays cut one way."""
        if self._chance.random() < 0.15 and (node := self._lose()) is not None:
            self.faults.append(Crash(node, self._instant(), None))
        if self._chance.random() < 0.15 and len(self._sound) > 1:
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
        if self._chance.random() < 0.5:
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
        is_torn = not forgets and self._chance.random() < 0.3
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
            self.faults.append(Skew(node, self._chance.randint(-_CLOCK_ERROR, _CLOCK_ERROR)))

    def _disturb(self) -> None:
        """One of the others crashes: the second of its role, so that the first goes on."""
        node = node_id(self._chance.choice((Role.AGENT, Role.COORDINATOR, Role.CONTRIBUTOR)), 1)
        self._crash(node)
