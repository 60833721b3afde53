"""The paired engine: variants of one operation measured so close together that what disturbs one disturbs all.

Theory of operation.  A *group* holds variants that are compared with each other; the first is the base and is in it a
second time, built anew, as the A/A control.  An *epoch* times a loop of calls of one variant.  Before anything counts,
a group is calibrated twice, warm: the loop count is such that the epoch of its fastest variant lasts the plan's time (2
ms at least, a thousand times what reading the clock takes), and it is shared by all, so the loop costs all the same.
The second calibration, after everything has run, overrules the first if it asks for more; and where an epoch comes out
shorter all the same, because the machine has become faster since, the rounds after it get more calls.

A *block* plays each variant once in some order and once more in reverse: whatever drifts steadily cancels.  Orders
are the rows of a Latin square in which each variant also follows each other one (nearly) equally often, drawn and
relabelled from a recorded seed, so that no variant owns a place or a neighbour.  The groups of a process take turns,
block by block, in an order drawn anew each round; garbage is collected between blocks, never in one.

A round in which other processes or other machines took too much is void by a rule that sees the kernel's counters
and never the times.  It stays in the record with its reason.  Nothing else is left out.
"""

import gc
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Final

#: Does the operation so many times (at least once).
Runner = Callable[[int], object]
#: Nanoseconds from any origin.
Clock = Callable[[], int]
#: Name of the base's second self.
CONTROL: Final = "A/A control"
_UNROLLED: Final = 8
_MAX_LOOPS: Final = 1 << 30
#: Less would fill a hole of the heap and move nothing; from twice as much on, memory is mapped page by page.
_PADDING_BYTES: Final = 1 << 16
#: How much longer an epoch of the calibration may be than the one before.
_STEP: Final = 8


@dataclass(frozen=True, slots=True)
class Group:
    """Variants that are compared with each other; the first is the base.

    A variant is a factory, called once per process (the base's once more, for the control), that returns a runner.
    ``labels`` describe the group and ``details`` its variants, in JSON values: tables show them as columns.
    ``missing`` says of variants that this machine does not have why.
    """

    name: str
    variants: Mapping[str, Callable[[], Runner]]
    labels: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return next(iter(self.variants))


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured in one process."""

    blocks: int
    epoch_ns: int = 2_000_000
    seed: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """One block: by variant, the nanoseconds of its first and of its second epoch of ``loops`` calls.

    ``round`` counts the turns of all groups; blocks of one round are void together.
    """

    group: str
    round: int
    order: tuple[str, ...]
    loops: int
    forward_ns: dict[str, int]
    backward_ns: dict[str, int]


def repeat_call(function: Callable[..., object], *arguments: object) -> Runner:
    """A runner that calls ``function(*arguments)``; unrolled, so the loop itself takes about a nanosecond per call."""
    if len(arguments) == 1:
        return _repeat_unary(function, arguments[0])

    def run(count: int) -> None:
        for _ in repeat(None, count // _UNROLLED):
            function(*arguments)
            function(*arguments)
            function(*arguments)
            function(*arguments)
            function(*arguments)
            function(*arguments)
            function(*arguments)
            function(*arguments)
        for _ in repeat(None, count % _UNROLLED):
            function(*arguments)

    return run


def _repeat_unary(function: Callable[..., object], argument: object) -> Runner:
    """The same for one argument, without the cost of unpacking it."""

    def run(count: int) -> None:
        for _ in repeat(None, count // _UNROLLED):
            function(argument)
            function(argument)
            function(argument)
            function(argument)
            function(argument)
            function(argument)
            function(argument)
            function(argument)
        for _ in repeat(None, count % _UNROLLED):
            function(argument)

    return run


def repeat_nothing() -> Runner:
    """The same loop around no call at all: what the engine adds to each call that it times."""

    def run(count: int) -> None:
        for _ in repeat(None, count // _UNROLLED):
            pass
        for _ in repeat(None, count % _UNROLLED):
            pass

    return run


_holders: list[None] = []


@contextmanager
def hold_heap() -> Iterator[None]:
    """Keep what is there already out of collections: one between blocks then looks at the little that has come since.

    Of several that overlap the first holds and the last lets go.
    """
    if not _holders:
        gc.collect()
        gc.freeze()
    _holders.append(None)
    try:
        yield
    finally:
        _holders.pop()
        if not _holders:
            gc.unfreeze()


class PairedMeasurement:
    """All groups of one process; ``clock`` is read at both ends of each epoch and nowhere else."""

    def __init__(self, groups: Sequence[Group], plan: Plan, clock: Clock = time.perf_counter_ns) -> None:
        _validate(groups)
        self._groups, self._plan, self._clock = groups, plan, clock
        self._padding: list[bytes] = []
        chance = random.Random(f"{plan.seed}|layout")
        self._runners = {group.name: self._build(group, chance) for group in groups}
        #: Group -> loop count of the first calibration, and of both together.
        self.loops: dict[str, tuple[int, int]] = {}
        self._raised: dict[str, int] = {}

    def _build(self, group: Group, chance: random.Random) -> dict[str, Runner]:
        """The runners of a group, built in an order and in places of memory that other processes do not have.

        Where a message begins moves its time by half a per cent; built alike, every process would be biased alike.
        """
        factories = {**group.variants, CONTROL: group.variants[group.base]}
        built = {}
        for name in chance.sample([*factories], len(factories)):
            self._padding.append(bytes(_PADDING_BYTES + 16 * chance.randrange(256)))
            built[name] = factories[name]()
        return {name: built[name] for name in factories}

    def calibrate(self) -> None:
        """Find the loop count of each group: once, and again when everything is warm."""
        cold = {group.name: self._count_loops(group.name, 1) for group in self._groups}
        warm = {name: max(loops, self._count_loops(name, max(loops // _STEP, 1))) for name, loops in cold.items()}
        self.loops = {name: (loops, warm[name]) for name, loops in cold.items()}

    def _count_loops(self, group: str, loops: int) -> int:
        """Loops, from ``loops`` up, that fill an epoch of the fastest variant."""
        runners = [*self._runners[group].values()]
        for runner in runners:
            runner(1)  # the first call of all imports, allocates and fills caches
        while loops < _MAX_LOOPS:
            # The least of two: an interrupted epoch looks long and would end the search too early.
            times_ns = [min(self._time(runner, loops) for _ in range(2)) for runner in runners]
            shortest = min(times_ns)
            if shortest >= self._plan.epoch_ns:
                break
            # Variants that are far from the fastest only take time.
            near = [runner for runner, time_ns in zip(runners, times_ns, strict=True) if time_ns < 3 * shortest]
            runners = near or runners
            # Towards the aim with a tenth to spare, in limited steps: short epochs tell little.
            wanted = loops * self._plan.epoch_ns * 1.1 / max(shortest, 1)
            loops = max(loops + 1, min(int(wanted), loops * _STEP))
        return loops

    def _time(self, runner: Runner, loops: int) -> int:
        begin = self._clock()
        runner(loops)
        return self._clock() - begin

    def rounds(self) -> Iterator[list[Block]]:
        """One block of each group, as often as the plan says; `calibrate` comes first."""
        chance = random.Random(f"{self._plan.seed}|rounds")
        orders = {name: _draw_orders([*runners], self._plan, name) for name, runners in self._runners.items()}
        with hold_heap():
            for number in range(self._plan.blocks):
                turns = chance.sample(self._groups, len(self._groups))
                yield [self._play(group, number, next(orders[group.name])) for group in turns]

    def _play(self, group: Group, number: int, order: tuple[str, ...]) -> Block:
        runners, loops = self._runners[group.name], self._raised.get(group.name, self.loops[group.name][1])
        was_enabled = gc.isenabled()
        gc.collect()
        gc.disable()
        try:
            forward = {name: self._time(runners[name], loops) for name in order}
            backward = {name: self._time(runners[name], loops) for name in reversed(order)}
        finally:
            if was_enabled:
                gc.enable()
        shortest = min(*forward.values(), *backward.values())
        if shortest < self._plan.epoch_ns:  # the machine has become faster: from the next round on, more calls
            self._raised[group.name] = int(loops * self._plan.epoch_ns * 1.1 / max(shortest, 1)) + 1
        return Block(group.name, number, order, loops, forward, backward)


def _validate(groups: Sequence[Group]) -> None:
    """Raise `ValueError` for groups that would hide one another or lack a base."""
    names = [group.name for group in groups]
    if len({*names}) != len(names):
        raise ValueError(f"groups: expected names that differ, found {', '.join(names)}")
    for group in groups:
        if not group.variants or CONTROL in group.variants:
            found = ", ".join(group.variants) or "none"
            raise ValueError(f"group {group.name}: expected variants, none of them {CONTROL!r}, found {found}")


def _draw_orders(variants: list[str], plan: Plan, group: str) -> Iterator[tuple[str, ...]]:
    """Orders without end: the rows of one Latin square after another, each shuffled and relabelled."""
    chance = random.Random(f"{plan.seed}|orders|{group}")
    while True:
        names = chance.sample(variants, len(variants))
        square = build_square(len(variants))
        for row in chance.sample(square, len(square)):
            yield tuple(names[index] for index in row)


def build_square(size: int) -> list[list[int]]:
    """A Latin square of ``size`` (at least 1): each number once per row and once per column.

    For even sizes each number also follows each other one exactly once.  For odd ones that takes the square with its
    mirror image, which the second half of a block plays.  Source: Williams (1949), Australian Journal of Scientific
    Research A 2, 149-168.
    """
    zigzag = [(step + 1) // 2 if step % 2 else -(step // 2) for step in range(size)]
    return [[(start + step) % size for step in zigzag] for start in range(size)]
