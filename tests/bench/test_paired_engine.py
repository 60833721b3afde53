"""The paired engine in virtual time: balance, drift, calibration, order, garbage; and mutants that must be caught."""

import gc
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.blocks import compute_log_ns
from bench.analysis.paired import HOLDS, VIOLATED, Estimate, compare
from bench.measure.paired import (
    CONTROL,
    Block,
    Group,
    PairedMeasurement,
    Plan,
    Runner,
    build_square,
    hold_heap,
    repeat_call,
    repeat_nothing,
)

EPOCH_NS = 2_000_000

pytestmark = pytest.mark.usefixtures("_few_objects")


class Machine:
    """Virtual time that only operations move; ``pace`` says how much slower than usual it is at a moment."""

    def __init__(self, pace: Callable[[float], float] = lambda _: 1.0) -> None:
        self.now, self.pace = 0.0, pace
        self.calls: list[tuple[str, int]] = []

    def clock(self) -> int:
        return round(self.now)

    def build(self, name: str, cost_ns: float) -> Callable[[], Runner]:
        """A factory of runners whose calls take ``cost_ns`` at full pace."""

        def run(count: int) -> None:
            self.calls.append((name, count))
            self.now += cost_ns * count * self.pace(self.now)

        return lambda: run

    def group(self, name: str = "group", **costs_ns: float) -> Group:
        return Group(name, {key: self.build(key, cost) for key, cost in costs_ns.items()})


def play(
    machine: Machine, plan: Plan, *groups: Group, engine: type[PairedMeasurement] = PairedMeasurement
) -> list[Block]:
    measurement = engine(groups, plan, machine.clock)
    measurement.calibrate()
    return [block for blocks in measurement.rounds() for block in blocks]


@pytest.fixture
def frozen() -> Iterator[None]:
    """Nothing of the test session is collected: many measurements then take no time for that."""
    with hold_heap():
        yield


def log_ns(block: Block, variant: str) -> float:
    return compute_log_ns(block.forward_ns, block.backward_ns, variant)


# -- runners -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), (1,), (1, "b"), (None, [], {}), tuple(range(7))])
@pytest.mark.parametrize("count", range(1, 41))
def test_a_runner_calls_exactly_as_often_as_told_with_the_same_arguments(
    count: int, arguments: tuple[Any, ...]
) -> None:
    calls: list[tuple[Any, ...]] = []
    runner = repeat_call(lambda *given: calls.append(given), *arguments)
    runner(count)
    assert calls == [arguments] * count
    assert all(one is other for call in calls for one, other in zip(call, arguments, strict=True))


def test_a_runner_calls_as_often_as_told_when_the_count_is_large() -> None:
    calls = []
    for runner in (repeat_call(lambda: calls.append(1)), repeat_call(calls.append, 1)):
        calls.clear()
        runner(100_003)
        assert len(calls) == 100_003


def test_the_empty_runner_takes_any_count() -> None:
    for count in range(1, 41):
        repeat_nothing()(count)


# -- calibration ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("frozen")
@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 5_000_000), min_size=1), st.integers(2, 20))
def test_the_fastest_variant_fills_an_epoch_and_all_share_its_loops(costs: dict[str, int], epoch_ms: int) -> None:
    machine, epoch_ns = Machine(), epoch_ms * 1_000_000
    blocks = play(machine, Plan(2, epoch_ns), machine.group(**costs))
    fastest = min(costs.values())
    (loops,) = {block.loops for block in blocks}
    assert loops * fastest >= epoch_ns
    assert (loops - 1) * fastest <= 1.1 * epoch_ns, "nor does it take much longer than it must"
    for block in blocks:
        expected = {name: costs.get(name, costs[next(iter(costs))]) * loops for name in block.order}
        assert block.forward_ns == block.backward_ns == expected
    played = machine.calls[-2 * 2 * (len(costs) + 1) :]
    assert {count for _, count in played} == {loops}


class SlowAtFirst(Machine):
    """The first call of each variant takes 50 ms more, as one that imports does."""

    def build(self, name: str, cost_ns: float) -> Callable[[], Runner]:
        warm = super().build(name, cost_ns)()

        def build_cold() -> Runner:
            extra_ns = [50_000_000]

            def run(count: int) -> None:
                self.now += extra_ns.pop() if extra_ns else 0
                warm(count)

            return run

        return build_cold


class Once(PairedMeasurement):
    """Mutant: the first calibration is the last."""

    def calibrate(self) -> None:
        self.loops = {group.name: (self._count_loops(group.name, 1),) * 2 for group in self._groups}


class Cold(Once):
    """Mutant: besides, it calibrates with the very first call, as pytest-benchmark does."""

    def _count_loops(self, group: str, loops: int) -> int:
        while (took := min(self._time(run, loops) for run in self._runners[group].values())) < EPOCH_NS:
            loops = max(loops + 1, min(int(loops * EPOCH_NS * 1.1 / max(took, 1)), loops * 10))
        return loops


def fills_epochs(machine: Machine, engine: type[PairedMeasurement]) -> bool:
    blocks = play(machine, Plan(3), machine.group(one=1_000), engine=engine)
    return all(
        took >= EPOCH_NS for block in blocks for took in (*block.forward_ns.values(), *block.backward_ns.values())
    )


def slow_start() -> Machine:
    """Eight times slower at first: a processor that has yet to raise its frequency."""
    return Machine(lambda now: 8.0 if now < 12e6 else 1.0)


def test_a_cold_first_call_does_not_shorten_epochs() -> None:
    machine = SlowAtFirst()
    measurement = PairedMeasurement([machine.group(one=1_000)], Plan(1), machine.clock)
    measurement.calibrate()
    warm = Machine()
    reference = PairedMeasurement([warm.group(one=1_000)], Plan(1), warm.clock)
    reference.calibrate()
    assert measurement.loops == reference.loops
    assert fills_epochs(SlowAtFirst(), PairedMeasurement)
    assert not fills_epochs(SlowAtFirst(), Cold)


def test_the_second_calibration_overrules_one_made_in_a_slow_moment() -> None:
    machine = slow_start()
    measurement = PairedMeasurement([machine.group(one=1_000)], Plan(1), machine.clock)
    measurement.calibrate()
    first, second = measurement.loops["group"]
    assert first < second
    assert fills_epochs(slow_start(), PairedMeasurement)
    assert not fills_epochs(slow_start(), Once)


def test_an_interrupted_epoch_does_not_end_the_search() -> None:
    """Every fifth call is interrupted for 20 ms: an epoch that looks long need not be."""
    machine = Machine()

    def build() -> Runner:
        def run(count: int) -> None:
            machine.calls.append(("one", count))
            machine.now += 1_000 * count + (20_000_000 if len(machine.calls) % 5 == 0 else 0)

        return run

    measurement = PairedMeasurement([Group("group", {"one": build})], Plan(1), machine.clock)
    measurement.calibrate()
    assert measurement.loops["group"][1] >= 2_000


def test_the_clock_may_stand_still_for_a_while() -> None:
    machine = Machine()
    measurement = PairedMeasurement([machine.group(nothing=0.001)], Plan(1), machine.clock)
    measurement.calibrate()
    assert measurement.loops["group"][1] >= 1 << 30


# -- orders --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(1, 14))
def test_a_square_has_each_number_once_per_row_and_column_and_neighbours_alike(size: int) -> None:
    square = build_square(size)
    assert [sorted(row) for row in square] == [list(range(size))] * size
    assert [sorted(column) for column in zip(*square, strict=True)] == [list(range(size))] * size
    follows = Counter(pair for row in square for pair in pairwise(row))
    mirrored = follows + Counter(pair for row in square for pair in pairwise(row[::-1]))
    assert set(mirrored.values()) <= {2}
    assert len(mirrored) == size * (size - 1)
    if size % 2 == 0:
        assert set(follows.values()) == {1}


@pytest.mark.parametrize("variants", [1, 2, 3, 4, 7])
def test_over_whole_squares_every_variant_has_every_place_and_every_neighbour_alike(variants: int) -> None:
    machine, size = Machine(), variants + 1
    names = [f"v{number}" for number in range(variants)]
    blocks = play(machine, Plan(2 * size, seed="s"), machine.group(**dict.fromkeys(names, 1e6)))
    places = Counter((place, name) for block in blocks for place, name in enumerate(block.order))
    assert set(places.values()) == {2}
    assert len(places) == size * size
    played = [[*block.order, *reversed(block.order)] for block in blocks]
    follows = Counter(pair for sequence in played for pair in pairwise(sequence))
    assert {count for (one, other), count in follows.items() if one != other} == {4}
    assert {follows[name, name] for name in [*names, CONTROL]} == {2}


def test_runners_are_played_in_the_order_that_the_block_names_and_once_more_in_reverse() -> None:
    machine = Machine()
    blocks = play(machine, Plan(5, seed="s"), machine.group(a=1e6, b=1e6, c=1e6))
    played = [name for name, _ in machine.calls][-5 * 8 :]
    expected = [name for block in blocks for name in (*block.order, *reversed(block.order))]
    assert played == ["a" if name == CONTROL else name for name in expected]


@pytest.mark.usefixtures("frozen")
def test_between_processes_no_variant_owns_a_place() -> None:
    """4 blocks in each of 1,500 processes: each of 5 players has each place in a fifth, within 4.5 errors."""
    places: Counter[tuple[int, str]] = Counter()
    for process in range(1_500):
        machine = Machine()
        for block in play(machine, Plan(4, seed=f"process {process}"), machine.group(a=3e6, b=3e6, c=3e6, d=3e6)):
            places.update(enumerate(block.order))
    count = 4 * 1_500
    assert len(places) == 25
    assert all(abs(held - count / 5) < 4.5 * math.sqrt(count * 0.2 * 0.8) for held in places.values())


def test_each_round_has_one_block_of_each_group_in_changing_order() -> None:
    machine = Machine()
    groups = [machine.group(f"g{number}", one=1e6) for number in range(4)]
    measurement = PairedMeasurement(groups, Plan(30, seed="s"), machine.clock)
    measurement.calibrate()
    rounds = list(measurement.rounds())
    assert [{block.round for block in blocks} for blocks in rounds] == [{number} for number in range(30)]
    orders = [tuple(block.group for block in blocks) for blocks in rounds]
    assert all(sorted(order) == ["g0", "g1", "g2", "g3"] for order in orders)
    assert len({order[0] for order in orders}) == 4


def orders_of(seed: str, *names: str) -> list[tuple[str, ...]]:
    machine = Machine()
    blocks = play(machine, Plan(6, seed=seed), *(machine.group(name, a=1e6, b=1e6, c=1e6) for name in names))
    return [block.order for block in blocks if block.group == names[0]]


def test_orders_depend_on_the_seed_and_the_group_and_on_nothing_else() -> None:
    assert orders_of("s", "g") == orders_of("s", "g") == orders_of("s", "g", "other")
    assert orders_of("s", "g") != orders_of("t", "g")
    assert orders_of("s", "g") != orders_of("s", "h")


PROGRAM = """
import json
from bench.measure.paired import Group, PairedMeasurement, Plan
now = [0]
def build():
    def run(count):
        now[0] += 1_000_000 * count
    return run
groups = [Group(name, dict.fromkeys(("md5", "sha1", "sha256", "blake3"), build)) for name in ("x", "y", "z")]
measurement = PairedMeasurement(groups, Plan(7, seed="the seed"), lambda: now[0])
measurement.calibrate()
print(json.dumps([[block.group, *block.order] for blocks in measurement.rounds() for block in blocks]))
"""


def test_orders_are_the_same_under_any_hash_seed(print_of: Callable[..., str]) -> None:
    said = [print_of(PROGRAM, PYTHONHASHSEED=hash_seed) for hash_seed in ("0", "4242")]
    assert said[0] == said[1]
    assert len(json.loads(said[0])) == 21


# -- drift and steps -----------------------------------------------------------------------------------------------


class Drifting(Machine):
    """Its pace falls linearly with time, in the middle of epochs, too: work w done at time (e^(rate w) - 1) / rate."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate, self.work = rate, 0.0

    def build(self, name: str, cost_ns: float) -> Callable[[], Runner]:
        def run(count: int) -> None:
            self.work += cost_ns * count
            self.now = math.expm1(self.rate * self.work) / self.rate

        return lambda: run


def worst_error(engine: type[PairedMeasurement], rate: float) -> float:
    """The largest deviation of a block's log ratio from the truth, 0 and log 1.03, under steady drift."""
    machine = Drifting(rate)
    blocks = play(machine, Plan(8, seed="s"), machine.group(a=1e6, same=1e6, more=1.03e6), engine=engine)
    truths = {"same": 0.0, CONTROL: 0.0, "more": math.log(1.03)}
    errors = (log_ns(block, name) - log_ns(block, "a") - truth for block in blocks for name, truth in truths.items())
    return max(map(abs, errors))


@pytest.mark.parametrize("rate", [1e-10, 1e-9, 5e-9])
def test_linear_drift_cancels_in_every_block(rate: float) -> None:
    """By 0.01 to 0.5 % per ms; what is left is the clock's nanosecond in an epoch of two million."""
    assert worst_error(PairedMeasurement, rate) < 2e-6


def play_with_step(variants: int, step: int) -> list[Block]:
    """A whole square of blocks on a machine that takes twice as long after the first ``step`` epochs of each block."""
    machine, size = Machine(), variants + 1
    group = machine.group(**{f"v{number}": 2e6 for number in range(variants)})
    measurement = PairedMeasurement([group], Plan(size, seed=f"step {step}"), machine.clock)
    measurement.calibrate()
    done = len(machine.calls) + 1
    machine.pace = lambda _: 2.0 if (len(machine.calls) - done) % (2 * size) >= step else 1.0
    return [block for blocks in measurement.rounds() for block in blocks]


@pytest.mark.parametrize("variants", [2, 3, pytest.param(5, marks=pytest.mark.long)])
def test_a_step_at_any_place_of_a_block_hits_all_variants_alike(variants: int) -> None:
    for step in range(2 * variants + 3):
        logs: dict[str, float] = {}
        for block in play_with_step(variants, step):
            for name in block.order:
                logs[name] = logs.get(name, 0.0) + log_ns(block, name)
        assert len(logs) == variants + 1
        assert max(logs.values()) - min(logs.values()) < 1e-9, step


@pytest.mark.parametrize("variants", [1, 2, 5])
def test_a_step_between_the_halves_of_a_block_cancels_in_it(variants: int) -> None:
    for block in play_with_step(variants, variants + 1):
        assert {*block.forward_ns.values()} == {2_000_000}
        assert {*block.backward_ns.values()} == {4_000_000}


# -- what the engine leaves behind -----------------------------------------------------------------------------------


@pytest.fixture(params=[True, False], ids=["enabled", "disabled"])
def collector(request: pytest.FixtureRequest) -> Iterator[bool]:
    was_enabled = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if was_enabled else gc.disable)()


def watched_group(seen: list[bool], fails_at: int = -1) -> tuple[Machine, Group]:
    machine = Machine()

    def build() -> Runner:
        def run(count: int) -> None:
            if len(seen) == fails_at:
                raise OSError("planted")
            seen.append(gc.isenabled())
            machine.now += 1e6 * count

        return run

    return machine, Group("group", {"a": build, "b": build})


def test_garbage_is_collected_between_blocks_and_never_in_one(collector: bool) -> None:
    seen: list[bool] = []
    machine, group = watched_group(seen)
    measurement = PairedMeasurement([group], Plan(3), machine.clock)
    measurement.calibrate()
    seen.clear()
    for _ in measurement.rounds():
        assert gc.isenabled() is collector
    assert seen == [False] * 3 * 6
    assert gc.isenabled() is collector


def test_each_block_begins_without_garbage() -> None:
    class Cycle:
        alive = 0

        def __init__(self) -> None:
            self.me = self
            Cycle.alive += 1

        def __del__(self) -> None:
            Cycle.alive -= 1

    machine, found = Machine(), []

    def build() -> Runner:
        def run(count: int) -> None:
            found.append(Cycle.alive)
            Cycle()
            machine.now += 2e6 * count

        return run

    measurement = PairedMeasurement([Group("group", {"a": build})], Plan(3), machine.clock)
    measurement.calibrate()
    found.clear()
    gc.collect()
    list(measurement.rounds())
    assert found == [0, 1, 2, 3] * 3


def test_the_collector_is_as_it_was_after_an_exception(collector: bool) -> None:
    seen: list[bool] = []
    machine, group = watched_group(seen, fails_at=40)
    measurement = PairedMeasurement([group], Plan(100), machine.clock)
    measurement.calibrate()
    frozen = gc.get_freeze_count()
    assert len(seen) < 40
    with pytest.raises(OSError, match="planted"):
        list(measurement.rounds())
    assert gc.isenabled() is collector
    assert gc.get_freeze_count() == frozen


def test_nothing_stays_frozen_when_the_rounds_end_or_are_left() -> None:
    machine = Machine()
    for taken in (1, 3):
        measurement = PairedMeasurement([machine.group(a=1e6)], Plan(3), machine.clock)
        measurement.calibrate()
        rounds = measurement.rounds()
        assert len(list(islice(rounds, taken))) == taken
        del rounds
        assert gc.get_freeze_count() == 0


def test_of_several_that_hold_the_heap_the_last_lets_go() -> None:
    machine = Machine()
    with hold_heap():
        play(machine, Plan(1), machine.group(a=1e6))
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0
    first, second = hold_heap(), hold_heap()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_freeze_count() > 0
    second.__exit__(None, None, None)
    assert gc.get_freeze_count() == 0


# -- groups --------------------------------------------------------------------------------------------------------


def test_the_control_is_the_base_built_anew() -> None:
    built: list[str] = []
    machine = Machine()

    def factory(name: str) -> Callable[[], Runner]:
        def build() -> Runner:
            built.append(name)
            return machine.build(name, 1e6)()

        return build

    group = Group("group", {name: factory(name) for name in ("base", "other")})
    assert group.base == "base"
    blocks = play(machine, Plan(1), group)
    assert sorted(built) == ["base", "base", "other"]
    assert sorted(blocks[0].order) == sorted(["base", "other", CONTROL])


def test_groups_that_would_hide_one_another_or_have_no_base_are_refused() -> None:
    machine = Machine()
    one = machine.group("one", a=1e6)
    for groups, message in (
        ([one, one], "groups: expected names that differ, found one, one"),
        ([Group("empty", {})], "group empty: expected variants, none of them 'A/A control', found none"),
        (
            [Group("g", {CONTROL: one.variants["a"]})],
            "group g: expected variants, none of them 'A/A control', found A/A",
        ),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            PairedMeasurement(groups, Plan(1), machine.clock)


# -- mutants: each breaks one promise, and one check tells it from the engine -----------------------------------------


class InTurn(PairedMeasurement):
    """Mutant: all of A, then all of B, as most tools do."""

    def rounds(self) -> Iterator[list[Block]]:
        (group,), loops = self._groups, self.loops[self._groups[0].name][1]
        runners = self._runners[group.name]
        times = {name: [self._time(run, loops) for _ in range(2 * self._plan.blocks)] for name, run in runners.items()}
        for number in range(self._plan.blocks):
            halves = ({name: took[2 * number + half] for name, took in times.items()} for half in (0, 1))
            yield [Block(group.name, number, tuple(runners), loops, *halves)]


class NotReversed(PairedMeasurement):
    """Mutant: the second half of a block repeats the order of the first."""

    def _play(self, group: Group, number: int, order: tuple[str, ...]) -> Block:
        runners, loops = self._runners[group.name], self.loops[group.name][1]
        halves = ({name: self._time(runners[name], loops) for name in order} for _ in range(2))
        return Block(group.name, number, order, loops, *halves)


class SameOrder(PairedMeasurement):
    """Mutant: every block plays the variants as they were declared."""

    def _play(self, group: Group, number: int, order: tuple[str, ...]) -> Block:
        return super()._play(group, number, (*group.variants, CONTROL))


class DropsSlowest(PairedMeasurement):
    """Mutant: leaves out the block that took longest, as an outlier."""

    def rounds(self) -> Iterator[list[Block]]:
        rounds = list(super().rounds())
        rounds.remove(max(rounds, key=lambda blocks: sum(sum(block.forward_ns.values()) for block in blocks)))
        yield from rounds


def estimate(engine: type[PairedMeasurement], build: Callable[[], Machine], variant: str) -> Estimate:
    """What 14 processes with 4 blocks each say of a variant of the base's own cost."""
    clusters = []
    for process in range(14):
        machine = build()
        group = machine.group(a=1e6, same=1e6, other=2e6)
        blocks = play(machine, Plan(4, seed=f"process {process}"), group, engine=engine)
        clusters.append([log_ns(block, variant) - log_ns(block, "a") for block in blocks])
    return compare(clusters, is_control=variant == CONTROL)


def first_place_is_slow() -> Machine:
    """The epoch after each collection is 10 % slower: the caches are cold."""
    machine, seen = Machine(), [0]

    def pace(now: float) -> float:
        collected = gc.get_stats()[2]["collections"]
        is_first, seen[0] = collected != seen[0], collected
        return 1.1 if is_first else 1.0

    machine.pace = pace
    return machine


def controls_hold(engine: type[PairedMeasurement], build: Callable[[], Machine]) -> bool:
    found = estimate(engine, build, CONTROL)
    assert found.verdict in (HOLDS, VIOLATED)
    return found.verdict == HOLDS and abs(estimate(engine, build, "same").ratio - 1) < 1e-4


def cancels_drift(engine: type[PairedMeasurement]) -> bool:
    return worst_error(engine, 1e-9) < 2e-6


def accounts_for_all_time(engine: type[PairedMeasurement]) -> bool:
    """What the rounds take by the clock is what their epochs say: no epoch is lost, whether slow or fast."""
    machine = Machine(lambda now: 5.0 if 300e6 < now < 320e6 else 1.0)
    groups = [machine.group("g", a=1e6, b=1.5e6), machine.group("h", a=1e6)]
    measurement = engine(groups, Plan(9, seed="s"), machine.clock)
    measurement.calibrate()
    begin = machine.clock()
    blocks = [block for found in measurement.rounds() for block in found]
    return (
        sum(sum((*block.forward_ns.values(), *block.backward_ns.values())) for block in blocks)
        == machine.clock() - begin
    )


@pytest.mark.parametrize(
    ("check", "mutant"),
    [
        pytest.param(
            lambda engine: controls_hold(engine, lambda: Drifting(1e-9)),
            InTurn,
            marks=pytest.mark.long,
            id="in turn, control",
        ),
        pytest.param(cancels_drift, InTurn, id="in turn, drift"),
        pytest.param(cancels_drift, NotReversed, id="not reversed"),
        pytest.param(
            lambda engine: controls_hold(engine, first_place_is_slow),
            SameOrder,
            marks=pytest.mark.long,
            id="same order",
        ),
        pytest.param(accounts_for_all_time, DropsSlowest, id="drops the slowest"),
    ],
)
def test_a_mutant_is_told_from_the_engine(
    check: Callable[[type[PairedMeasurement]], bool], mutant: type[PairedMeasurement]
) -> None:
    assert check(PairedMeasurement)
    assert not check(mutant)


def test_the_control_of_measurements_in_turn_is_violated_and_a_slower_variant_misjudged() -> None:
    def build() -> Machine:
        return Drifting(2e-9)

    assert estimate(InTurn, build, CONTROL).verdict == VIOLATED
    assert estimate(InTurn, build, "same").verdict == "slower", "though it is the same"
    assert estimate(PairedMeasurement, build, "same").verdict == "unresolved"


BUILDS: Final = """
import sys
from bench.measure.paired import Group, PairedMeasurement, Plan, repeat_call
built, kept = [], []
def factory(name):
    def build():
        built.append(name)
        kept.append(bytes(30_720))
        return repeat_call(len, kept[-1])
    return build
PairedMeasurement([Group("g", {name: factory(name) for name in ("one", "two", "three")})], Plan(1, seed=sys.argv[1]))
print(*built, *((id(message) - id(kept[0])) % 4096 for message in kept))
"""


def test_variants_are_built_in_other_orders_and_places_in_other_processes(print_of: Callable[..., str]) -> None:
    """Messages that all begin alike in memory would bias every process alike; fresh heaps are."""
    found = set()
    for seed in ("a", "b", "c", "d", "e", "a"):
        words = print_of(BUILDS, seed, PYTHONHASHSEED="0").split()
        assert sorted(words[:4]) == ["one", "one", "three", "two"], "the base is built twice"
        found.add((tuple(words[:4]), tuple(words[4:])))
    assert len({order for order, _ in found}) > 2
    assert len({places for _, places in found}) > 2


def test_a_machine_that_becomes_faster_gets_more_calls_from_the_next_round_on() -> None:
    """Half as long from 12 ms on, which is after the calibration: one round is short, and none after it."""
    calibrated = Machine()
    first = PairedMeasurement([calibrated.group(one=1_000)], Plan(1), calibrated.clock)
    first.calibrate()
    change = calibrated.now
    machine = Machine(lambda now: 1.0 if now < change else 0.5)
    blocks = play(machine, Plan(4), machine.group(one=1_000))
    shortest = [min(*block.forward_ns.values(), *block.backward_ns.values()) for block in blocks]
    assert shortest[0] < EPOCH_NS
    assert min(shortest[1:]) >= EPOCH_NS
    assert [block.loops for block in blocks[1:]] == [blocks[1].loops] * 3
    assert blocks[1].loops > blocks[0].loops
